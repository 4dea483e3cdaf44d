//! What the grammar's actions build the tree with.

use crate::ast::{
    BinaryOp, Block, Expr, ExprId, ExprKind, Number, Spec, Stmt, StmtId, StmtKind, StrLit,
};
use crate::limits::{self, BLOCK_LINES};
use crate::token::{Lexed, Token};
use diag::{Diagnostic, FileId, Span};
use lalrpop_util::ErrorRecovery;

/// The arena under construction, and the texts that tokens point at.
pub(crate) struct Builder {
    pub(crate) spec: Spec,
    pub(crate) errors: Vec<ErrorRecovery<u32, Token, ()>>,
    /// What is over a limit.
    pub(crate) over: Vec<Diagnostic>,
    names: Vec<String>,
    numbers: Vec<Number>,
    strings: Vec<StrLit>,
    /// Doc comments by the first byte of the item below them, in order.
    docs: Vec<(u32, String)>,
}

impl Builder {
    /// Takes the side tables of `lexed`; its tokens stay.
    pub(crate) fn new(file: FileId, lexed: &mut Lexed) -> Self {
        Self {
            spec: Spec { file, exprs: vec![], stmts: vec![], body: vec![] },
            errors: vec![],
            over: vec![],
            names: std::mem::take(&mut lexed.names),
            numbers: std::mem::take(&mut lexed.numbers),
            strings: std::mem::take(&mut lexed.strings),
            docs: std::mem::take(&mut lexed.docs),
        }
    }

    pub(crate) fn span(&self, l: u32, r: u32) -> Span {
        Span::new(self.spec.file, l, r)
    }

    pub(crate) fn name(&self, idx: u32) -> String {
        self.names[idx as usize].clone()
    }

    pub(crate) fn number(&self, idx: u32) -> Number {
        self.numbers[idx as usize].clone()
    }

    pub(crate) fn string(&self, idx: u32) -> StrLit {
        self.strings[idx as usize].clone()
    }

    pub(crate) fn expr(&mut self, l: u32, r: u32, kind: ExprKind) -> ExprId {
        let id = ExprId(u32::try_from(self.spec.exprs.len()).expect("a file is at most 1 MiB"));
        let span = self.span(l, r);
        self.spec.exprs.push(Expr { kind, span });
        id
    }

    pub(crate) fn binary(
        &mut self,
        l: u32,
        r: u32,
        op: BinaryOp,
        at: (u32, u32),
        left: ExprId,
        right: ExprId,
    ) -> ExprId {
        let op_span = self.span(at.0, at.1);
        self.expr(l, r, ExprKind::Binary { op, op_span, left, right })
    }

    /// A block; of one that is too long the end is a line that could not be read.
    pub(crate) fn block(&mut self, l: u32, r: u32, mut stmts: Vec<StmtId>) -> Block {
        if let Some(&first) = stmts.get(BLOCK_LINES) {
            let at = self.spec[first].span;
            self.over.push(limits::long_block(at));
            stmts.truncate(BLOCK_LINES);
            stmts.push(self.stmt(at.start, at.end, StmtKind::Error));
        }
        Block { span: self.span(l, r), stmts }
    }

    pub(crate) fn stmt(&mut self, l: u32, r: u32, kind: StmtKind) -> StmtId {
        let id = StmtId(u32::try_from(self.spec.stmts.len()).expect("a file is at most 1 MiB"));
        let doc = self.docs.binary_search_by_key(&l, |d| d.0).ok();
        let doc = doc.map(|i| self.docs[i].1.clone());
        // An empty error statement at the end of a block has its bounds the wrong way round.
        let span = self.span(l, r.max(l));
        self.spec.stmts.push(Stmt { kind, span, doc });
        id
    }
}
