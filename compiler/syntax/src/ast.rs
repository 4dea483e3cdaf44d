//! The syntax tree of one `.lt` file, an index arena: dropping never recurses.
//!
//! Every node has a [`Span`]. Nothing here knows a directive, a layer or a shape: those are read
//! out of the tree by `sema`.

use diag::{FileId, Span};

/// A name and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Ident {
    /// As written.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// An expression of a [`Spec`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExprId(pub u32);

/// A statement of a [`Spec`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StmtId(pub u32);

/// One parsed file.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The file it was read from.
    pub file: FileId,
    /// All expressions; operands precede the expressions that use them.
    pub exprs: Vec<Expr>,
    /// All statements; those of a block precede the statement that owns the block.
    pub stmts: Vec<Stmt>,
    /// The statements at file level.
    pub body: Vec<StmtId>,
}

impl std::ops::Index<ExprId> for Spec {
    type Output = Expr;
    fn index(&self, id: ExprId) -> &Expr {
        &self.exprs[id.0 as usize]
    }
}

impl std::ops::Index<StmtId> for Spec {
    type Output = Stmt;
    fn index(&self, id: StmtId) -> &Stmt {
        &self.stmts[id.0 as usize]
    }
}

/// `{ ... }` and the statements in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// From `{` to `}`.
    pub span: Span,
    /// In source order.
    pub stmts: Vec<StmtId>,
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Stmt {
    /// What it is.
    pub kind: StmtKind,
    /// All of it, without the line end.
    pub span: Span,
    /// The text of the `##` comment lines just before it, joined by newlines.
    pub doc: Option<String>,
}

/// What a statement is.
#[derive(Debug, Clone, PartialEq)]
pub enum StmtKind {
    /// `use "base.lt" as base`.
    Use {
        /// The path.
        path: StrLit,
        /// The name it is bound to.
        name: Option<Ident>,
    },
    /// `layer`, `fn` or `rule`.
    Decl(Decl),
    /// `for i in 0..n { .. }`.
    For {
        /// The variable.
        name: Ident,
        /// What it runs over.
        over: ExprId,
        /// What is repeated.
        body: Block,
    },
    /// Any other line: `word value, word value : type = expr { block }`.
    Node(Node),
    /// A line that could not be parsed; its diagnostic is already reported.
    Error,
}

/// A line of words: a directive, a block, a binding or a bare value, told apart by `sema`.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Groups of juxtaposed expressions, separated by commas; at least one, none empty.
    pub groups: Vec<Vec<ExprId>>,
    /// After `:`.
    pub ty: Option<ExprId>,
    /// After `=`.
    pub value: Option<ExprId>,
    /// After everything else.
    pub block: Option<Block>,
}

/// What a declaration declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclKind {
    /// Has parameters and a configuration.
    Layer,
    /// A function without parameters (weights).
    Fn,
    /// An elementwise update rule (optimizer).
    Rule,
}

/// `layer name(config)(data) -> type { body }`.
#[derive(Debug, Clone, PartialEq)]
pub struct Decl {
    /// `layer`, `fn` or `rule`.
    pub kind: DeclKind,
    /// Its name.
    pub name: Ident,
    /// The first parameter list.
    pub params: Vec<Param>,
    /// The second parameter list, where one is written.
    pub data: Option<Vec<Param>>,
    /// After `->`.
    pub ret: Option<ExprId>,
    /// The body.
    pub body: Block,
}

/// `name: type = default`.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: Ident,
    /// Its type, written as an expression.
    pub ty: Option<ExprId>,
    /// Its default.
    pub default: Option<ExprId>,
    /// All of it.
    pub span: Span,
}

/// An expression.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// All of it.
    pub span: Span,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub enum ExprKind {
    /// A name.
    Name(String),
    /// A number with its unit.
    Number(Number),
    /// A string.
    Str(StrLit),
    /// `true` or `false`.
    Bool(bool),
    /// `none`.
    None,
    /// `( .. )`: a parenthesised value when it holds one unnamed argument, else a tuple.
    Tuple(Vec<Arg>),
    /// `[ .. ]`: a list, or a shape.
    List(Vec<Elem>),
    /// `if c { .. } else { .. }`.
    If {
        /// The condition.
        cond: ExprId,
        /// Taken when true.
        then: Block,
        /// Taken when false.
        other: Block,
    },
    /// `callee(args)`.
    Call {
        /// What is called.
        callee: ExprId,
        /// Its arguments.
        args: Vec<Arg>,
    },
    /// `base[elems]`: an index, or a typed shape such as `tok(v)[b, t]`.
    Index {
        /// What is indexed.
        base: ExprId,
        /// The indices.
        elems: Vec<Elem>,
    },
    /// `base.name`.
    Field {
        /// What is looked into.
        base: ExprId,
        /// The member.
        name: Ident,
    },
    /// `-x` or `not x`.
    Unary {
        /// The operator.
        op: UnaryOp,
        /// Its operand.
        operand: ExprId,
    },
    /// `left op right`.
    Binary {
        /// The operator.
        op: BinaryOp,
        /// Where the operator stands.
        op_span: Span,
        /// The left operand.
        left: ExprId,
        /// The right operand.
        right: ExprId,
    },
}

/// `expr` or `name: expr` in a call or tuple.
#[derive(Debug, Clone, PartialEq)]
pub struct Arg {
    /// The name, for a named argument.
    pub name: Option<Ident>,
    /// The value.
    pub value: ExprId,
}

/// An element of a list or an index.
#[derive(Debug, Clone, PartialEq)]
pub enum Elem {
    /// A value, maybe named.
    Arg(Arg),
    /// `..` or `..name`: zero or more leading axes.
    Rest {
        /// The name after the dots.
        name: Option<Ident>,
        /// All of it.
        span: Span,
    },
}

/// A prefix operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnaryOp {
    /// `-x`
    Neg,
    /// `not x`
    Not,
}

/// An infix operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is its symbol")]
pub enum BinaryOp {
    Arrow,
    Pipe,
    Or,
    And,
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    In,
    Divides,
    Range,
    Add,
    Sub,
    Mul,
    Div,
    MatMul,
    Pow,
}

impl BinaryOp {
    /// As written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Arrow => "->",
            Self::Pipe => "|>",
            Self::Or => "or",
            Self::And => "and",
            Self::Eq => "==",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::In => "in",
            Self::Divides => "divides",
            Self::Range => "..",
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::MatMul => "@",
            Self::Pow => "^",
        }
    }
}

/// A string literal after escapes, as pieces of text and interpolated names.
#[derive(Debug, Clone, PartialEq)]
pub struct StrLit {
    /// In order; adjacent text pieces are merged.
    pub parts: Vec<StrPart>,
    /// With the quotes.
    pub span: Span,
}

impl StrLit {
    /// The text, when nothing is interpolated.
    pub fn plain(&self) -> Option<String> {
        self.parts
            .iter()
            .map(|p| match p {
                StrPart::Text(t) => Some(t.as_str()),
                StrPart::Name { .. } => None,
            })
            .collect()
    }
}

/// A piece of a string.
#[derive(Debug, Clone, PartialEq)]
pub enum StrPart {
    /// As it is.
    Text(String),
    /// `{a.b}` or `{env.VAR:default}`.
    Name {
        /// The dotted path, `["env", "VAR"]`.
        path: Vec<String>,
        /// After the colon.
        default: Option<String>,
        /// With the braces.
        span: Span,
    },
}

/// A number literal: the value after its unit's multiplier, and the unit's kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Number {
    /// As written, unit and underscores included.
    pub text: String,
    /// The value; seconds for times, a fraction for percents, bytes for bytes.
    pub value: f64,
    /// The exact value, where it is a whole number below 2^63.
    pub int: Option<i64>,
    /// What the unit says.
    pub unit: Unit,
}

/// The kind of unit a number was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// None: `8`, `1e-3`.
    None,
    /// `k M B T Ki Mi Gi`: a count.
    Count,
    /// `%`: a ratio.
    Percent,
    /// `KB MB GB TB KiB MiB GiB TiB`: bytes.
    Bytes,
    /// `ms s min h day`: time.
    Time,
}
