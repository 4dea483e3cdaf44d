//! Text of modules: states, functions, one node a line.

use std::fmt::Write;

use super::lexer::{Cursor, TextError, Token, quote};
use crate::attr::{Attr, Attrs};
use crate::graph::{Graph, Module, Node, Origin, Role, State, Value, Within};
use crate::ops::Op;

const ROLES: [(Role, &str); 9] = [
    (Role::Param, "param"),
    (Role::Cast, "cast"),
    (Role::Grad, "grad"),
    (Role::OptState, "opt_state"),
    (Role::Counter, "counter"),
    (Role::Metric, "metric"),
    (Role::Input, "input"),
    (Role::Output, "output"),
    (Role::Cache, "cache"),
];

pub(super) fn role_name(role: Role) -> &'static str {
    let found = ROLES.iter().find(|(r, _)| *r == role);
    found.map(|(_, name)| *name).expect("ROLES lists every role")
}

pub(super) fn role(name: &str) -> Option<Role> {
    ROLES.iter().find(|(_, n)| *n == name).map(|(role, _)| *role)
}

/// The text of a module.
pub fn print_module(module: &Module) -> String {
    let mut out = String::from("module\n");
    for origin in &module.origins {
        let _ = writeln!(out, "origin {}", quote(origin));
    }
    for state in &module.states {
        let _ = write!(out, "{} {} : {}", role_name(state.role), quote(&state.name), state.ty);
        if let Some(Within { state, offset }) = &state.within {
            let _ = write!(out, " within {} + {offset}", quote(state));
        }
        out.push('\n');
    }
    for graph in &module.functions {
        print_graph(&mut out, graph);
    }
    out
}

fn print_graph(out: &mut String, graph: &Graph) {
    let _ = writeln!(out, "fn {} {{", quote(&graph.name));
    for (i, node) in graph.nodes.iter().enumerate() {
        let args: Vec<String> = node.args.iter().map(|a| format!(" %{}", a.0)).collect();
        let (name, attrs) = (node.op.name(), node.op.attrs());
        let _ = write!(out, "  %{i} = {name}{attrs}{} : {}", args.join(","), node.ty);
        if node.origin != Origin::default() {
            let _ = write!(out, " @{}", node.origin.0);
        }
        out.push('\n');
    }
    for (name, value) in &graph.stores {
        let _ = writeln!(out, "  store {} = %{}", quote(name), value.0);
    }
    out.push_str("}\n");
}

/// The module that prints as `text`. It is not verified.
pub fn parse_module(text: &str) -> Result<Module, TextError> {
    let mut c = Cursor::new(text)?;
    let mut module = Module::default();
    c.keyword("module")?;
    while c.takes_word("origin") {
        module.origins.push(c.text()?);
    }
    while c.peek().is_some() && !c.is_word("fn") {
        let error = c.error("a role or `fn`");
        let role = role(&c.word()?).ok_or(error)?;
        let name = c.text()?;
        c.sign(':')?;
        let ty = c.ty()?;
        let within = if c.takes_word("within") { Some(within(&mut c)?) } else { None };
        module.states.push(State { name, ty, role, within });
    }
    while c.takes_word("fn") {
        module.functions.push(graph(&mut c)?);
    }
    c.end().map(|()| module)
}

fn within(c: &mut Cursor) -> Result<Within, TextError> {
    let state = c.text()?;
    c.sign('+')?;
    Ok(Within { state, offset: c.parsed()? })
}

fn graph(c: &mut Cursor) -> Result<Graph, TextError> {
    let mut graph = Graph { name: c.text()?, ..Graph::default() };
    c.sign('{')?;
    while c.is_sign('%') {
        let error = c.error(format!("`%{}`", graph.nodes.len()));
        if value(c)?.index() != graph.nodes.len() {
            return Err(error);
        }
        c.sign('=')?;
        graph.nodes.push(node(c)?);
    }
    while c.takes_word("store") {
        let name = c.text()?;
        c.sign('=')?;
        graph.stores.push((name, value(c)?));
    }
    c.sign('}').map(|()| graph)
}

fn value(c: &mut Cursor) -> Result<Value, TextError> {
    c.reg().map(|reg| Value(reg.0))
}

fn node(c: &mut Cursor) -> Result<Node, TextError> {
    let mut error = c.error("an op");
    let name = c.word()?;
    let attrs = if c.takes('{') { attrs(c)? } else { Attrs::none() };
    let op = Op::parse(&name, &attrs).map_err(|reason| {
        error.expected = format!("an op ({reason})");
        error
    })?;
    let mut args = vec![];
    while c.is_sign('%') || c.takes(',') {
        args.push(value(c)?);
    }
    c.sign(':')?;
    let ty = c.ty()?;
    let origin = if c.takes('@') { Origin(c.parsed()?) } else { Origin::default() };
    Ok(Node { op, args, ty, origin })
}

fn attrs(c: &mut Cursor) -> Result<Attrs, TextError> {
    let mut attrs = Attrs::none();
    while !c.takes('}') {
        if !attrs.0.is_empty() {
            c.sign(',')?;
        }
        let key = c.word()?;
        c.sign('=')?;
        attrs.0.push((key, attr(c)?));
    }
    Ok(attrs)
}

fn attr(c: &mut Cursor) -> Result<Attr, TextError> {
    match c.peek() {
        Some(Token::Text(_)) => c.text().map(Attr::Text),
        Some(Token::Sign('[')) => c.list().map(Attr::Dims),
        Some(Token::Word(word)) if word == "inf" || word == "nan" => c.parsed().map(Attr::Float),
        Some(Token::Word(_)) => {
            let dtype = c.dtype()?;
            if !c.is_sign('[') {
                return Ok(Attr::Dtype(dtype));
            }
            Ok(Attr::Type(crate::types::Type { dtype, shape: c.list()? }))
        }
        Some(Token::Number(number)) if number.chars().all(|d| d.is_ascii_digit()) => {
            c.parsed().map(Attr::Int)
        }
        Some(Token::Number(_)) => c.parsed().map(Attr::Float),
        Some(Token::Sign(_)) | None => Err(c.error("the value of an attribute")),
    }
}
