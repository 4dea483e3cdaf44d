//! A tree as text: one statement a line, two spaces a level, brackets as written.
//!
//! Parsing the text gives the same tree again, apart from spans.

use crate::ast::{
    Arg, BinaryOp, Block, Decl, DeclKind, Elem, ExprId, ExprKind, Node, Param, Spec, Stmt, StmtId,
    StmtKind, StrLit, StrPart, UnaryOp,
};

/// The whole file.
pub fn print_spec(spec: &Spec) -> String {
    let mut printer = Printer { spec, out: String::new(), indent: 0 };
    for &id in &spec.body {
        printer.stmt(id);
    }
    printer.out
}

/// One expression, on one line unless it holds a block.
pub fn print_expr(spec: &Spec, id: ExprId) -> String {
    let mut printer = Printer { spec, out: String::new(), indent: 0 };
    printer.expr(id);
    printer.out
}

/// Depth is bounded by [`crate::limits`], so recursion is safe.
struct Printer<'a> {
    spec: &'a Spec,
    out: String,
    indent: usize,
}

impl Printer<'_> {
    fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    fn line_start(&mut self) {
        for _ in 0..self.indent {
            self.push("  ");
        }
    }

    fn stmt(&mut self, id: StmtId) {
        let Stmt { kind, doc, .. } = &self.spec[id];
        for line in doc.iter().flat_map(|d| d.split('\n')) {
            self.line_start();
            self.push("##");
            self.push(if line.is_empty() { "" } else { " " });
            self.push(line);
            self.push("\n");
        }
        self.line_start();
        match kind {
            StmtKind::Use { path, name } => {
                self.push("use ");
                self.string(path);
                if let Some(name) = name {
                    self.push(" as ");
                    self.push(&name.text);
                }
            }
            StmtKind::Decl(decl) => self.decl(decl),
            StmtKind::For { name, over, body } => {
                self.push("for ");
                self.push(&name.text);
                self.push(" in ");
                self.expr(*over);
                self.push(" ");
                self.block(body);
            }
            StmtKind::Node(node) => self.node(node),
            StmtKind::Error => self.push("# a line that could not be read"),
        }
        self.push("\n");
    }

    fn block(&mut self, block: &Block) {
        if block.stmts.is_empty() {
            self.push("{}");
            return;
        }
        self.push("{\n");
        self.indent += 1;
        for &id in &block.stmts {
            self.stmt(id);
        }
        self.indent -= 1;
        self.line_start();
        self.push("}");
    }

    fn decl(&mut self, decl: &Decl) {
        self.push(match decl.kind {
            DeclKind::Layer => "layer ",
            DeclKind::Fn => "fn ",
            DeclKind::Rule => "rule ",
        });
        self.push(&decl.name.text);
        self.params(&decl.params);
        if let Some(data) = &decl.data {
            self.params(data);
        }
        if let Some(ret) = decl.ret {
            self.push(" -> ");
            self.expr(ret);
        }
        self.push(" ");
        self.block(&decl.body);
    }

    fn params(&mut self, params: &[Param]) {
        self.push("(");
        for (i, param) in params.iter().enumerate() {
            self.push(if i > 0 { ", " } else { "" });
            self.push(&param.name.text);
            self.suffix(": ", param.ty);
            self.suffix(" = ", param.default);
        }
        self.push(")");
    }

    fn suffix(&mut self, before: &str, expr: Option<ExprId>) {
        if let Some(expr) = expr {
            self.push(before);
            self.expr(expr);
        }
    }

    fn node(&mut self, node: &Node) {
        for (i, group) in node.groups.iter().enumerate() {
            self.push(if i > 0 { ", " } else { "" });
            for (j, word) in group.iter().enumerate() {
                self.push(if j > 0 { " " } else { "" });
                self.expr(*word);
            }
        }
        self.suffix(": ", node.ty);
        self.suffix(" = ", node.value);
        if let Some(block) = &node.block {
            self.push(" ");
            self.block(block);
        }
    }

    fn args(&mut self, args: &[Arg]) {
        for (i, arg) in args.iter().enumerate() {
            self.push(if i > 0 { ", " } else { "" });
            self.arg(arg);
        }
    }

    fn arg(&mut self, arg: &Arg) {
        if let Some(name) = &arg.name {
            self.push(&name.text);
            self.push(": ");
        }
        self.expr(arg.value);
    }

    fn elems(&mut self, elems: &[Elem]) {
        for (i, elem) in elems.iter().enumerate() {
            self.push(if i > 0 { ", " } else { "" });
            match elem {
                Elem::Arg(arg) => self.arg(arg),
                Elem::Rest { name, .. } => {
                    self.push("..");
                    self.push(name.as_ref().map_or("", |n| &n.text));
                }
            }
        }
    }

    fn expr(&mut self, id: ExprId) {
        match &self.spec[id].kind {
            ExprKind::Name(name) => self.push(name),
            ExprKind::Number(number) => self.push(&number.text),
            ExprKind::Str(string) => self.string(string),
            ExprKind::Bool(value) => self.push(if *value { "true" } else { "false" }),
            ExprKind::None => self.push("none"),
            ExprKind::Tuple(args) => {
                self.push("(");
                self.args(args);
                self.push(")");
            }
            ExprKind::List(elems) => {
                self.push("[");
                self.elems(elems);
                self.push("]");
            }
            ExprKind::If { cond, then, other } => {
                self.push("if ");
                self.expr(*cond);
                self.push(" ");
                self.block(then);
                self.push(" else ");
                self.block(other);
            }
            ExprKind::Call { callee, args } => {
                self.expr(*callee);
                self.push("(");
                self.args(args);
                self.push(")");
            }
            ExprKind::Index { base, elems } => {
                self.expr(*base);
                self.push("[");
                self.elems(elems);
                self.push("]");
            }
            ExprKind::Field { base, name } => {
                self.expr(*base);
                self.push(".");
                self.push(&name.text);
            }
            ExprKind::Unary { op, operand } => {
                self.push(match op {
                    UnaryOp::Neg => "-",
                    UnaryOp::Not => "not ",
                });
                self.expr(*operand);
            }
            ExprKind::Binary { op, left, right, .. } => {
                self.expr(*left);
                self.operator(*op);
                self.expr(*right);
            }
        }
    }

    fn operator(&mut self, op: BinaryOp) {
        let is_tight = matches!(op, BinaryOp::Range | BinaryOp::Pow);
        self.push(if is_tight { "" } else { " " });
        self.push(op.symbol());
        self.push(if is_tight { "" } else { " " });
    }

    fn string(&mut self, string: &StrLit) {
        self.push("\"");
        for part in &string.parts {
            match part {
                StrPart::Text(text) => {
                    for c in text.chars() {
                        self.character(c);
                    }
                }
                StrPart::Name { path, default, .. } => {
                    self.push("{");
                    self.push(&path.join("."));
                    if let Some(default) = default {
                        self.push(":");
                        self.push(default);
                    }
                    self.push("}");
                }
            }
        }
        self.push("\"");
    }

    fn character(&mut self, c: char) {
        match c {
            '\n' => self.push("\\n"),
            '\t' => self.push("\\t"),
            '"' => self.push("\\\""),
            '\\' => self.push("\\\\"),
            '{' => self.push("{{"),
            '}' => self.push("}}"),
            c if c.is_control() => self.push(&format!("\\u{{{:x}}}", u32::from(c))),
            c => self.out.push(c),
        }
    }
}
