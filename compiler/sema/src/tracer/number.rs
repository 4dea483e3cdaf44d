//! Arithmetic of values that are known before the run.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{self, BinaryOp};

use super::value::Value;
use super::{Eval, Stop, Tracer};
use crate::dim::{DivideFault, Poly};

impl Tracer<'_> {
    /// A literal: a whole number where it is written as one.
    pub(super) fn literal(&self, number: &ast::Number) -> Value {
        let whole = matches!(number.unit, ast::Unit::None | ast::Unit::Count);
        match number.int {
            Some(n) if whole && !number.text.contains('.') => Value::Size(Poly::constant(n)),
            Some(_) | None => Value::Real(Some(number.value)),
        }
    }

    /// `a op b` of numbers, neither of them of the run.
    pub(super) fn static_binary(
        &mut self,
        op: BinaryOp,
        a: &Value,
        b: &Value,
        span: Span,
    ) -> Eval<Value> {
        if let (Value::Size(x), Value::Size(y)) = (a, b)
            && let Some(value) = self.size_binary(op, x, y, span)?
        {
            return Ok(value);
        }
        if let (Value::Bool(x), Value::Bool(y)) = (a, b) {
            return Ok(Value::Bool(match op {
                BinaryOp::Eq => x.zip(*y).map(|(x, y)| x == y),
                BinaryOp::Ne => x.zip(*y).map(|(x, y)| x != y),
                _ => return Err(self.no_operator(op, a, b, span)),
            }));
        }
        if let (Value::Str(x), Value::Str(y), BinaryOp::Eq | BinaryOp::Ne) = (a, b, op) {
            return Ok(Value::Bool(Some((x == y) == (op == BinaryOp::Eq))));
        }
        let is_number = |v: &Value| matches!(v, Value::Size(_) | Value::Real(_));
        if !is_number(a) || !is_number(b) {
            return Err(self.no_operator(op, a, b, span));
        }
        let known = a.number(&self.atoms).zip(b.number(&self.atoms));
        if let Some(compared) = compare(op, known) {
            return Ok(Value::Bool(compared));
        }
        let Some((x, y)) = known else { return Ok(Value::Real(None)) };
        let result = match op {
            BinaryOp::Add => x + y,
            BinaryOp::Sub => x - y,
            BinaryOp::Mul => x * y,
            BinaryOp::Div => x / y,
            BinaryOp::Pow => x.powf(y),
            _ => return Err(self.no_operator(op, a, b, span)),
        };
        self.finite(result, span)
    }

    /// A number that exists.
    pub(super) fn finite(&mut self, x: f64, span: Span) -> Eval<Value> {
        if x.is_finite() {
            return Ok(Value::Real(Some(x)));
        }
        Err(self.error(Code::E0307, span, "this is not a finite number"))
    }

    /// `a op b` of whole numbers, where the result is one or is a truth value.
    fn size_binary(&mut self, op: BinaryOp, a: &Poly, b: &Poly, span: Span) -> Eval<Option<Value>> {
        let size = match op {
            BinaryOp::Add => self.atoms.add(a, b),
            BinaryOp::Sub => self.atoms.sub(a, b),
            BinaryOp::Mul => self.atoms.mul(a, b),
            // A share such as `1 / rank` is never a size.
            BinaryOp::Div if self.want_real || a.as_constant() == Some(1) => return Ok(None),
            BinaryOp::Div => return Ok(Some(Value::Size(self.divide(a, b, span)?))),
            BinaryOp::Pow => match b.as_constant().and_then(|n| u32::try_from(n).ok()) {
                Some(n) if n <= 16 => {
                    (0..n).try_fold(Poly::constant(1), |product, _| self.atoms.mul(&product, a))
                }
                Some(_) | None => return Ok(None),
            },
            BinaryOp::Divides => return Ok(Some(Value::Bool(self.divides(a, b)))),
            BinaryOp::Eq if a == b => return Ok(Some(Value::Bool(Some(true)))),
            BinaryOp::Ne if a == b => return Ok(Some(Value::Bool(Some(false)))),
            _ => return Ok(None),
        };
        Ok(Some(Value::Size(self.sized(size, span)?)))
    }

    /// Whether `a` divides `b`, where that is known.
    fn divides(&mut self, a: &Poly, b: &Poly) -> Option<bool> {
        match self.atoms.value(a).zip(self.atoms.value(b)) {
            Some((0, _)) => Some(false),
            Some((a, b)) => Some(b % a == 0),
            None if a == b => Some(true),
            None => None,
        }
    }

    /// `a / b`, exact.
    pub(super) fn divide(&mut self, a: &Poly, b: &Poly, span: Span) -> Eval<Poly> {
        let data_ok = self.frame.kind != Some(ast::DeclKind::Layer);
        let fault = match self.atoms.divide(a, b, data_ok) {
            Ok(size) => return Ok(size),
            Err(fault) => fault,
        };
        let (num, den) = (self.show(a), self.show(b));
        let diagnostic = match fault {
            DivideFault::Zero => {
                Diagnostic::new(Code::E0307, span, format!("`{num}` is divided by 0"))
                    .help("give what it is divided by another value")
            }
            DivideFault::Overflow => return Err(self.overflow(span)),
            DivideFault::Unproved => {
                let message = format!("cannot show that `{den}` divides `{num}`");
                Diagnostic::new(Code::E0403, span, message)
                    .note("sizes of the data are known to the run alone")
                    .help("use a size of the configuration, whose value each model states")
            }
            DivideFault::Remainder { num: (num, n), den: (den, d) } => {
                let (num, den) = (self.show(&num), self.show(&den));
                self.remainder((&num, n), (&den, d), span)
            }
        };
        Err(self.fail(diagnostic))
    }

    /// ``heads` 12 does not divide `d` 500`.
    pub(super) fn remainder(
        &self,
        (num, n): (&str, i64),
        (den, d): (&str, i64),
        span: Span,
    ) -> Diagnostic {
        let named = |text: &str, value: i64| {
            if text == value.to_string() { text.to_string() } else { format!("`{text}` {value}") }
        };
        let message = format!("{} does not divide {}", named(den, d), named(num, n));
        let diagnostic = Diagnostic::new(Code::E0405, span, message)
            .primary(format!("{n} cannot be split into {d} equal parts"));
        if d < 1 || n < 1 {
            return diagnostic;
        }
        let (below, above) = (n / d * d, n.saturating_add(d) / d * d);
        let multiples = if below > 0 { format!("{below} or {above}") } else { above.to_string() };
        let (num, den) = (named(num, n), named(den, d));
        let help = format!("use {multiples} in place of {num}");
        diagnostic.help(match divisors(n, d).as_slice() {
            [] => help,
            few => format!("{help}, or {} in place of {den}", few.join(" or ")),
        })
    }

    pub(super) fn no_operator(&mut self, op: BinaryOp, a: &Value, b: &Value, span: Span) -> Stop {
        if matches!(a, Value::Hole) || matches!(b, Value::Hole) {
            return Stop;
        }
        let (a, b) = (self.describe(a), self.describe(b));
        let message = format!("`{}` does not apply to {a} and {b}", op.symbol());
        self.error(Code::E0301, span, message)
    }
}

/// The divisors of `n` that are nearest to `d`, below and above it.
fn divisors(n: i64, d: i64) -> Vec<String> {
    /// Numbers that are tried on each side: a size may be as large as 2^63.
    const TRIED: usize = 4096;
    let below = (1..d.min(n)).rev().take(TRIED).find(|x| n % x == 0);
    let above = (d + 1..=n).take(TRIED).find(|x| n % x == 0);
    below.into_iter().chain(above).map(|x| x.to_string()).collect()
}

/// The outcome of a comparison of numbers; `None` when `op` is not one.
fn compare(op: BinaryOp, known: Option<(f64, f64)>) -> Option<Option<bool>> {
    let holds: fn(f64, f64) -> bool = match op {
        BinaryOp::Eq => |x, y| x == y,
        BinaryOp::Ne => |x, y| x != y,
        BinaryOp::Lt => |x, y| x < y,
        BinaryOp::Le => |x, y| x <= y,
        BinaryOp::Gt => |x, y| x > y,
        BinaryOp::Ge => |x, y| x >= y,
        BinaryOp::Arrow
        | BinaryOp::Pipe
        | BinaryOp::Or
        | BinaryOp::And
        | BinaryOp::In
        | BinaryOp::Divides
        | BinaryOp::Range
        | BinaryOp::Add
        | BinaryOp::Sub
        | BinaryOp::Mul
        | BinaryOp::Div
        | BinaryOp::MatMul
        | BinaryOp::Pow => return None,
    };
    Some(known.map(|(x, y)| holds(x, y)))
}
