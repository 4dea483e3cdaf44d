//! Expressions: one arm for each kind.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{self, BinaryOp, DeclKind, ExprId, ExprKind};

use super::value::{Elem, Value};
use super::{Eval, MAX_DEPTH, MAX_STEPS, Stop, Tracer};
use crate::trace::Prim;

/// Names in scope that one unknown may be a slip of, at most: a body may have thousands.
const MAX_NEAR: usize = 1000;

impl Tracer<'_> {
    /// The value of an expression.
    pub(super) fn eval(&mut self, id: ExprId) -> Eval<Value> {
        let span = self.frame.spec[id].span;
        self.step(1, span)?;
        if self.depth >= MAX_DEPTH {
            return Err(self.error(Code::E0306, span, "calls are nested too deep to be built"));
        }
        self.depth += 1;
        let value = self.eval_kind(id, span);
        self.depth -= 1;
        value
    }

    /// Counts steps of the walk, which must end; that it does not is said once.
    pub(super) fn step(&mut self, n: u64, span: Span) -> Eval<()> {
        if self.steps > MAX_STEPS {
            return Err(Stop);
        }
        self.steps += n;
        if self.steps > MAX_STEPS {
            return Err(self.error(
                Code::E0306,
                span,
                "the model takes too many steps to be built",
            ));
        }
        Ok(())
    }

    fn eval_kind(&mut self, id: ExprId, span: Span) -> Eval<Value> {
        let spec = self.frame.spec.clone();
        match &spec[id].kind {
            ExprKind::Name(name) => self.name(name, span),
            ExprKind::Number(number) => Ok(self.literal(number)),
            ExprKind::Str(text) => match text.plain() {
                Some(text) => Ok(Value::Str(text)),
                None => Ok(Value::Hole),
            },
            ExprKind::Bool(b) => Ok(Value::Bool(Some(*b))),
            ExprKind::None => Ok(Value::None),
            ExprKind::Tuple(args) => self.tuple(args),
            ExprKind::List(_) => {
                Err(self.error(Code::E0301, span, "a list or shape cannot stand here"))
            }
            ExprKind::If { cond, then, other } => self.eval_if(*cond, then, other, span),
            ExprKind::Call { callee, args } => self.call(*callee, args, None, span),
            ExprKind::Index { base, elems } => self.index(*base, elems, span),
            ExprKind::Field { base, name } => self.field(*base, name, span),
            ExprKind::Unary { op, operand } => {
                let x = self.eval(*operand)?;
                self.unary(*op, &x, span)
            }
            ExprKind::Binary { op, left, right, .. } => self.operator(*op, *left, *right, span),
        }
    }

    fn operator(&mut self, op: BinaryOp, left: ExprId, right: ExprId, span: Span) -> Eval<Value> {
        match op {
            BinaryOp::Pipe => {
                let x = self.eval(left)?;
                self.pipe(x, right, span)
            }
            BinaryOp::And | BinaryOp::Or => self.logic(op, left, right, span),
            BinaryOp::Arrow | BinaryOp::Range | BinaryOp::In => {
                let message = format!("`{}` cannot stand here", op.symbol());
                Err(self.error(Code::E0301, span, message))
            }
            BinaryOp::Eq
            | BinaryOp::Ne
            | BinaryOp::Lt
            | BinaryOp::Le
            | BinaryOp::Gt
            | BinaryOp::Ge
            | BinaryOp::Divides
            | BinaryOp::Add
            | BinaryOp::Sub
            | BinaryOp::Mul
            | BinaryOp::Div
            | BinaryOp::MatMul
            | BinaryOp::Pow => {
                // Both sides are walked even when one fails, so each fault is reported.
                let (a, b) = (self.eval(left), self.eval(right));
                self.binary(op, &a?, &b?, span)
            }
        }
    }

    fn logic(&mut self, op: BinaryOp, left: ExprId, right: ExprId, span: Span) -> Eval<Value> {
        let (a, b) = (self.eval(left)?, self.eval(right)?);
        if let (Value::Bool(x), Value::Bool(y)) = (&a, &b) {
            let decides = op == BinaryOp::Or;
            let known = match (x, y) {
                (Some(x), _) | (_, Some(x)) if *x == decides => Some(decides),
                (Some(_), Some(_)) => Some(!decides),
                (None, _) | (_, None) => None,
            };
            return Ok(Value::Bool(known));
        }
        self.binary(op, &a, &b, span)
    }

    fn tuple(&mut self, args: &[ast::Arg]) -> Eval<Value> {
        if let [arg] = args
            && arg.name.is_none()
        {
            return self.eval(arg.value);
        }
        Ok(Value::Tuple(args.iter().map(|a| self.eval(a.value)).collect::<Eval<_>>()?))
    }

    fn name(&mut self, name: &str, span: Span) -> Eval<Value> {
        if let Some(value) = self.lookup(name) {
            return Ok(value.clone());
        }
        if name == "context" && self.frame.kind == Some(DeclKind::Layer) {
            return Ok(Value::Size(self.context.clone()));
        }
        if name == "zeros" || name == "ones" {
            return Ok(Value::Size(crate::dim::Poly::constant(i64::from(name == "ones"))));
        }
        Err(self.unknown_name(name, span))
    }

    pub(super) fn unknown_name(&mut self, name: &str, span: Span) -> Stop {
        if self.frame.in_signature {
            let message = format!("size `{name}` is never fixed by an argument");
            // A parameter is known to those behind it.
            let place = match self.frame.kind {
                Some(DeclKind::Fn) => "as the first parameter",
                Some(DeclKind::Layer | DeclKind::Rule) | None => "to the configuration",
            };
            let help = format!("add `{name}: dim` {place}");
            return self.fail(Diagnostic::new(Code::E0409, span, message).help(help));
        }
        if self.frame.unread {
            return Stop;
        }
        if crate::spec::is_later(name) {
            return self.fail(crate::spec::not_built(name, span));
        }
        // The latest come first.
        let known = self.frame.env.iter().rev().map(|(n, _)| n.as_str());
        let known = known.filter(|n| !n.starts_with('.'));
        // As Python writes them.
        let mut constants = ["true", "false"].into_iter();
        let constant = constants.find(|constant| name.eq_ignore_ascii_case(constant));
        let near =
            crate::schema::nearest(name, known.take(MAX_NEAR).chain(self.lib.callable_names()));
        let near = constant.or(near);
        let mut diagnostic = Diagnostic::new(Code::E0202, span, format!("`{name}` is not defined"));
        if let Some(near) = near {
            let near = near.to_string();
            diagnostic = diagnostic.fix(format!("did you mean `{near}`?"), span, near);
        } else if self.frame.kind.is_some() && !name.contains('.') {
            diagnostic = diagnostic.help("bind it on a line before, or make it a parameter");
        }
        self.fail(diagnostic)
    }

    fn field(&mut self, base: ExprId, name: &ast::Ident, span: Span) -> Eval<Value> {
        let spec = self.frame.spec.clone();
        if let Some(path) = dotted(&spec, base) {
            let path = format!("{path}.{}", name.text);
            if let Some(value) = self.lookup(&path) {
                return Ok(value.clone());
            }
            if let ExprKind::Name(base) = &spec[base].kind
                && self.lookup(base).is_none()
            {
                return Err(self.unknown_name(&path, span));
            }
        }
        match self.eval(base)? {
            Value::Module(module) => self.member(&module, name, span),
            Value::Hole => Err(Stop),
            other => {
                let message = format!("{} has no member `{}`", self.describe(&other), name.text);
                Err(self.error(Code::E0202, name.span, message))
            }
        }
    }

    /// `if`: one arm where the condition is known, else both, which must agree.
    fn eval_if(
        &mut self,
        cond: ExprId,
        then: &ast::Block,
        other: &ast::Block,
        span: Span,
    ) -> Eval<Value> {
        let cond_span = self.frame.spec[cond].span;
        match self.eval(cond)? {
            Value::Bool(Some(true)) => self.arm(then),
            Value::Bool(Some(false)) => self.arm(other),
            Value::Bool(None) => {
                let (a, b) = (self.arm(then), self.arm(other));
                let (a, b) = (a?, b?);
                self.join(&a, &b, span)
            }
            Value::Tensor(c)
                if c.elem == Elem::Bool && self.frame.kind != Some(DeclKind::Layer) =>
            {
                let (a, b) = (self.arm(then)?, self.arm(other)?);
                let (a, b) = self.operands("if", &a, &b, span)?;
                self.select(&c, &a, &b, span).map(Value::Tensor)
            }
            Value::Hole => Err(Stop),
            found => {
                let message = format!(
                    "an `if` needs a condition known before the run, found {}",
                    self.describe(&found)
                );
                Err(self.error(Code::E0301, cond_span, message))
            }
        }
    }

    /// An arm of an `if`: its names end with it.
    fn arm(&mut self, block: &ast::Block) -> Eval<Value> {
        let names = self.frame.env.len();
        let value = self.block(block);
        self.frame.env.truncate(names);
        value
    }

    /// `c ? a : b`, elementwise.
    pub(super) fn select(
        &mut self,
        c: &super::value::Tensor,
        a: &super::value::Tensor,
        b: &super::value::Tensor,
        span: Span,
    ) -> Eval<super::value::Tensor> {
        let elem = self.joined("if", a, b, span)?;
        let (a, b) = (self.cast(a, &elem, span)?, self.cast(b, &elem, span)?);
        let shape = a.shape.broadcast(&b.shape).and_then(|s| s.broadcast(&c.shape));
        let Some(shape) = shape else {
            let message = "the arms and the condition do not line up";
            return Err(self.error(Code::E0404, span, message));
        };
        let c = self.stretch(c, &shape, span)?;
        let (a, b) = (self.stretch(&a, &shape, span)?, self.stretch(&b, &shape, span)?);
        self.emit(Prim::Select, &[c.id, a.id, b.id], elem, shape, span)
    }

    /// What an `if` is when its condition is not known: both arms must be alike.
    fn join(&mut self, a: &Value, b: &Value, span: Span) -> Eval<Value> {
        match (a, b) {
            (Value::Hole, _) | (_, Value::Hole) => Ok(Value::Hole),
            (Value::Tensor(x), Value::Tensor(y)) => {
                if !x.shape.same(&y.shape) {
                    let (x, y) = (self.show_shape(&x.shape), self.show_shape(&y.shape));
                    let message = format!("one arm is `{x}`, the other `{y}`");
                    return Err(self.error(Code::E0404, span, message));
                }
                let elem = self.joined("if", x, y, span)?;
                let args = [x.id, y.id];
                let joined = self.emit(Prim::Select, &args, elem, x.shape.clone(), span)?;
                Ok(Value::Tensor(joined))
            }
            (Value::Size(x), Value::Size(y)) if x == y => Ok(a.clone()),
            (Value::Size(_), Value::Size(_)) => {
                let kind = crate::dim::AtomKind::Config;
                Ok(Value::Size(self.atoms.fresh("if .. else ..", kind, None)))
            }
            (Value::Real(_) | Value::Size(_), Value::Real(_) | Value::Size(_)) => {
                Ok(Value::Real(None))
            }
            (Value::Bool(_), Value::Bool(_)) => Ok(Value::Bool(None)),
            (Value::Tuple(x), Value::Tuple(y)) if x.len() == y.len() => {
                let parts = x.iter().zip(y).map(|(x, y)| self.join(x, y, span));
                Ok(Value::Tuple(parts.collect::<Eval<_>>()?))
            }
            (Value::Module(_), Value::Module(_)) => Ok(Value::Hole),
            (a, b) => {
                let (a, b) = (self.describe(a), self.describe(b));
                let message = format!("one arm is {a}, the other {b}");
                Err(self.error(Code::E0301, span, message))
            }
        }
    }
}

/// `a.b` as text.
pub(super) fn dotted(spec: &ast::Spec, id: ExprId) -> Option<String> {
    if let ExprKind::Name(name) = &spec[id].kind {
        return Some(name.clone());
    }
    let ExprKind::Field { base, name } = &spec[id].kind else { return None };
    Some(format!("{}.{}", dotted(spec, *base)?, name.text))
}
