//! Text to a module: what its own text holds, with any blanks and comments.

use std::collections::BTreeMap;
use std::fmt;

use crate::module::{Entry, Guard, Instr, Module, Stmt, Target};
use crate::op::{Op, Slot};
use crate::print::SHARED;
use crate::reg::{AnyReg, Base, Class, Operand, Special};
use crate::verify::verify;

/// Text that is no module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The line, from 1; 0 for a module that is not well formed as a whole.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "line {line}: {}", self.message),
        }
    }
}

impl std::error::Error for ParseError {}

/// Reads a module and verifies it.
pub fn parse(text: &str) -> Result<Module, ParseError> {
    let mut parser = Parser { tokens: tokens(text), at: 0, ops: ops(), labels: BTreeMap::new() };
    let module = parser.module()?;
    match verify(&module).into_iter().next() {
        Some(message) => Err(ParseError { line: 0, message }),
        None => Ok(module),
    }
}

/// Instructions by their text; a few share one and differ in their operands.
fn ops() -> BTreeMap<String, Vec<Op>> {
    let mut ops: BTreeMap<String, Vec<Op>> = BTreeMap::new();
    for op in Op::all() {
        ops.entry(op.text()).or_default().push(op);
    }
    ops
}

#[derive(Debug, Clone, Copy)]
struct Token<'t> {
    text: &'t str,
    line: usize,
}

/// Words, and marks of one character.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = vec![];
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.split("//").next().unwrap_or_default();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '%' | '.');
            let end = match is_word(first) {
                true => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
                false => first.len_utf8(),
            };
            tokens.push(Token { text: &rest[..end], line });
            rest = rest[end..].trim_start();
        }
    }
    tokens
}

struct Parser<'t> {
    tokens: Vec<Token<'t>>,
    at: usize,
    ops: BTreeMap<String, Vec<Op>>,
    /// Labels of the entry by name.
    labels: BTreeMap<&'t str, u32>,
}

impl<'t> Parser<'t> {
    fn line(&self) -> usize {
        self.tokens.get(self.at).or(self.tokens.last()).map_or(1, |token| token.line)
    }

    fn wrong<T>(&self, message: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError { line: self.line(), message: message.into() })
    }

    fn peek(&self) -> &'t str {
        self.tokens.get(self.at).map_or("", |token| token.text)
    }

    fn next(&mut self) -> &'t str {
        let text = self.peek();
        self.at += 1;
        text
    }

    fn is_next(&mut self, text: &str) -> bool {
        let is = self.peek() == text;
        self.at += usize::from(is);
        is
    }

    fn expect(&mut self, text: &str) -> Result<(), ParseError> {
        match self.is_next(text) {
            true => Ok(()),
            false => self.wrong(format!("expected `{text}`, found `{}`", self.peek())),
        }
    }

    fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T, ParseError> {
        match self.peek().parse() {
            Ok(number) => {
                self.at += 1;
                Ok(number)
            }
            Err(_) => self.wrong(format!("expected {what}, found `{}`", self.peek())),
        }
    }

    fn module(&mut self) -> Result<Module, ParseError> {
        self.expect(".version")?;
        let version = self.next();
        self.expect(".target")?;
        let name = self.peek();
        let Some(target) = Target::parse(name) else {
            return self.wrong(format!("no target `{name}`"));
        };
        let [major, minor] = target.version();
        if version != format!("{major}.{minor}") {
            return self.wrong(format!("{name} is written in version {major}.{minor}"));
        }
        self.at += 1;
        self.expect(".address_size")?;
        self.expect("64")?;
        let has_shared = self.is_next(".extern");
        if has_shared {
            for text in [".shared", ".align", "128", ".b8", SHARED, "[", "]", ";"] {
                self.expect(text)?;
            }
        }
        let mut entries = vec![];
        while !self.peek().is_empty() {
            entries.push(self.entry(has_shared)?);
        }
        Ok(Module { target, entries })
    }

    fn entry(&mut self, may_share: bool) -> Result<Entry, ParseError> {
        self.labels.clear();
        self.expect(".visible")?;
        self.expect(".entry")?;
        let name = self.next().to_owned();
        self.expect("(")?;
        let mut params = vec![];
        while !self.is_next(")") {
            if !params.is_empty() {
                self.expect(",")?;
            }
            self.expect(".param")?;
            params.push(self.class()?);
            self.expect(&format!("{name}_{}", params.len() - 1))?;
        }
        self.expect(".maxntid")?;
        let threads = self.number("a number of threads")?;
        for text in [",", "1", ",", "1"] {
            self.expect(text)?;
        }
        let resident = match self.is_next(".minnctapersm") {
            true => Some(self.number("a number of blocks")?),
            false => None,
        };
        self.expect("{")?;
        let mut entry = Entry {
            name,
            params,
            threads,
            resident,
            has_shared: false,
            regs: [0; 6],
            body: vec![],
        };
        while self.is_next(".reg") {
            let class = self.class()?;
            self.expect(&format!("%{}", class.prefix()))?;
            self.expect("<")?;
            let at = Class::ALL.iter().position(|c| *c == class).expect("all classes are listed");
            entry.regs[at] = self.number("a number of registers")?;
            self.expect(">")?;
            self.expect(";")?;
        }
        while !self.is_next("}") {
            let stmt = self.stmt(&entry.name)?;
            entry.has_shared |= uses_shared(&stmt);
            entry.body.push(stmt);
        }
        if entry.has_shared && !may_share {
            return self.wrong(format!("`{SHARED}` is not declared"));
        }
        Ok(entry)
    }

    fn class(&mut self) -> Result<Class, ParseError> {
        let name = self.next().strip_prefix('.').unwrap_or_default();
        match Class::ALL.into_iter().find(|class| class.name() == name) {
            Some(class) => Ok(class),
            None => self.wrong(format!("no class of registers `{name}`")),
        }
    }

    fn label(&mut self, name: &'t str) -> u32 {
        let next = u32::try_from(self.labels.len()).expect("fewer than 2^32 labels");
        // A name that the printer made keeps its number.
        let number = name.strip_prefix("$L").and_then(|n| n.parse().ok());
        *self.labels.entry(name).or_insert_with(|| number.unwrap_or(next))
    }

    fn stmt(&mut self, entry: &str) -> Result<Stmt, ParseError> {
        if self.peek().starts_with('$') {
            let name = self.next();
            self.expect(":")?;
            return Ok(Stmt::Label(self.label(name)));
        }
        let guard = match self.is_next("@") {
            true => Some(self.guard()?),
            false => None,
        };
        let line = self.line();
        let text = self.next();
        let Some(ops) = self.ops.get(text).cloned() else {
            return Err(ParseError { line, message: format!("no instruction `{text}`") });
        };
        let mut operands = vec![];
        while !self.is_next(";") {
            if !operands.is_empty() {
                self.expect(",")?;
            }
            operands.push(self.operand(entry)?);
        }
        let op = ops.iter().copied().find(|op| is_meant(*op, &operands)).unwrap_or(ops[0]);
        Ok(Stmt::Instr(Instr { guard, op, operands }))
    }

    fn guard(&mut self) -> Result<Guard, ParseError> {
        let wanted = !self.is_next("!");
        let name = self.next();
        match register(name) {
            Some(reg) => Ok(Guard { reg, wanted }),
            None => self.wrong(format!("`{name}` is no register")),
        }
    }

    fn operand(&mut self, entry: &str) -> Result<Operand, ParseError> {
        if self.is_next("{") {
            let mut regs = vec![];
            while !self.is_next("}") {
                if !regs.is_empty() {
                    self.expect(",")?;
                }
                let name = self.next();
                match register(name) {
                    Some(reg) => regs.push(reg),
                    None => return self.wrong(format!("`{name}` is no register")),
                }
            }
            return Ok(Operand::Vector(regs));
        }
        if self.is_next("[") {
            let base = self.base(entry)?;
            let offset = if self.is_next("+") { self.signed()? } else { 0 };
            self.expect("]")?;
            let Ok(offset) = i32::try_from(offset) else { return self.wrong("an offset too far") };
            return Ok(Operand::Address { base, offset });
        }
        let text = self.peek();
        if text.starts_with('$') {
            self.at += 1;
            return Ok(Operand::Label(self.label(text)));
        }
        if text == SHARED {
            self.at += 1;
            return Ok(Operand::Shared);
        }
        let special = |name: &str| Special::ALL.into_iter().find(|s| s.name() == name);
        if let Some(special) = text.strip_prefix('%').and_then(special) {
            self.at += 1;
            return Ok(Operand::Special(special));
        }
        if let Some(reg) = register(text) {
            self.at += 1;
            return Ok(Operand::Reg(reg));
        }
        let bits = |prefix: &str, digits: usize| {
            let hex = text.strip_prefix(prefix).filter(|hex| hex.len() == digits)?;
            u64::from_str_radix(hex, 16).ok()
        };
        let float = bits("0f", 8)
            .map(|bits| Operand::F32(bits as u32))
            .or_else(|| bits("0d", 16).map(Operand::F64));
        match float {
            Some(float) => {
                self.at += 1;
                Ok(float)
            }
            None => self.signed().map(Operand::Int),
        }
    }

    fn signed(&mut self) -> Result<i64, ParseError> {
        let is_negative = self.is_next("-");
        let magnitude: i128 = self.number("an operand")?;
        let number = if is_negative { -magnitude } else { magnitude };
        match i64::try_from(number) {
            Ok(number) => Ok(number),
            Err(_) => self.wrong("a number beyond 64 bits"),
        }
    }

    fn base(&mut self, entry: &str) -> Result<Base, ParseError> {
        let text = self.next();
        if text == SHARED {
            return Ok(Base::Shared);
        }
        if let Some(reg) = register(text) {
            return Ok(Base::Reg(reg));
        }
        let param = text.strip_prefix(entry).and_then(|rest| rest.strip_prefix('_')?.parse().ok());
        match param {
            Some(at) => Ok(Base::Param(at)),
            None => self.wrong(format!("`{text}` is no address")),
        }
    }
}

/// `%rd12`.
fn register(text: &str) -> Option<AnyReg> {
    let name = text.strip_prefix('%')?;
    let digits = name.find(|c: char| c.is_ascii_digit())?;
    let class = Class::ALL.into_iter().find(|class| class.prefix() == &name[..digits])?;
    Some(AnyReg { class, index: name[digits..].parse().ok()? })
}

/// Which of the instructions with one text the operands belong to.
fn is_meant(op: Op, operands: &[Operand]) -> bool {
    let slots = op.slots();
    let fits = |(slot, operand): (&Slot, &Operand)| match slot {
        Slot::Defs(..) | Slot::Uses(..) => matches!(operand, Operand::Vector(_)),
        Slot::Number => match (op, operand) {
            (Op::CpAsync(bytes), Operand::Int(n)) => *n == i64::from(bytes),
            (_, _) => true,
        },
        Slot::Def(_) | Slot::DefBits(_) | Slot::Use(_) | Slot::UseBits(_) => {
            !matches!(operand, Operand::Vector(_))
        }
        Slot::Source(_) | Slot::Address(_) | Slot::Label => !matches!(operand, Operand::Vector(_)),
    };
    slots.len() == operands.len() && slots.iter().zip(operands).all(fits)
}

fn uses_shared(stmt: &Stmt) -> bool {
    let Stmt::Instr(instr) = stmt else { return false };
    instr.operands.iter().any(|operand| {
        matches!(operand, Operand::Shared | Operand::Address { base: Base::Shared, .. })
    })
}
