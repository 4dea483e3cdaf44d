//! Numbers with units, and arithmetic on them: `2 * 40GiB`, `1 * epoch`, `10% / 2`.
//!
//! Units are checked, never guessed: only like is added to like, and a unit is multiplied and
//! divided by plain numbers alone. What has no unit is left to the evaluator of the language.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "what is no number, and units that do not go together, are refused alike"
)]

use diag::{Code, Diagnostic, Span};
use syntax::ast::{BinaryOp, ExprId, ExprKind, Number, UnaryOp, Unit};

use super::args::{Reader, Stretch};
use super::options::Known;
use super::words::{clipped, word};
use crate::schema::Kind;
use crate::value::StaticArg;

/// A number, and what it is a number of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Amount {
    pub(super) value: f64,
    /// The exact value, where it is whole.
    pub(super) int: Option<i64>,
    pub(super) of: Of,
}

/// What a number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// Nothing, or whatever the directive counts.
    Plain,
    /// Parts of a whole: `10%` is 0.1.
    Share,
    Bytes,
    /// Seconds.
    Time,
    Steps,
    Epochs,
    Tokens,
    Samples,
}

impl Of {
    /// The unit that a word stands for, where a stretch of the run is wanted.
    pub(super) fn of_word(word: &str) -> Option<Of> {
        match word {
            "step" | "steps" => Some(Self::Steps),
            "epoch" | "epochs" => Some(Self::Epochs),
            "token" | "tokens" => Some(Self::Tokens),
            "sample" | "samples" => Some(Self::Samples),
            _ => None,
        }
    }

    /// In words, for a message.
    fn words(self) -> &'static str {
        match self {
            Self::Plain => "a plain number",
            Self::Share => "a percentage",
            Self::Bytes => "bytes",
            Self::Time => "a time",
            Self::Steps => "steps",
            Self::Epochs => "epochs",
            Self::Tokens => "tokens",
            Self::Samples => "samples",
        }
    }
}

impl Amount {
    /// A number as it is written.
    pub(super) fn of_literal(n: &Number) -> Self {
        let of = match n.unit {
            Unit::None | Unit::Count => Of::Plain,
            Unit::Percent => Of::Share,
            Unit::Bytes => Of::Bytes,
            Unit::Time => Of::Time,
        };
        Self { value: n.value, int: n.int, of }
    }

    /// A whole number of nothing.
    pub(super) fn whole(n: i64) -> Self {
        Self { value: n as f64, int: Some(n), of: Of::Plain }
    }

    /// A number of nothing.
    pub(super) fn plain(value: f64) -> Self {
        Self { value, int: None, of: Of::Plain }
    }

    pub(super) fn negated(self) -> Self {
        Self { value: -self.value, int: self.int.and_then(i64::checked_neg), ..self }
    }

    /// As it would be written.
    pub(super) fn text(&self) -> String {
        let number = self.int.map_or_else(|| StaticArg::Real(self.value).text(), |n| n.to_string());
        match self.of {
            Of::Plain => number,
            Of::Share => format!("{}%", rounded(self.value * 100.0)),
            Of::Bytes => bytes_text(self.value as u64),
            Of::Time => time_text(self.value),
            Of::Steps => format!("{number} steps"),
            Of::Epochs => format!("{number} epochs"),
            Of::Tokens => format!("{number} tokens"),
            Of::Samples => format!("{number} samples"),
        }
    }

    /// The same of another unit, from a whole number where both sides have one.
    fn with(value: f64, int: Option<i64>, of: Of) -> Self {
        Self { value: int.map_or(value, |n| n as f64), int, of }
    }
}

impl Stretch {
    /// As an amount.
    pub(super) fn amount(self) -> Amount {
        let (value, of) = match self {
            Self::Steps(n) => (n as f64, Of::Steps),
            Self::Epochs(x) => (x, Of::Epochs),
            Self::Tokens(x) => (x, Of::Tokens),
            Self::Samples(x) => (x, Of::Samples),
            Self::Share(x) => (x, Of::Share),
            Self::Seconds(x) => (x, Of::Time),
        };
        let is_whole = value.fract() == 0.0 && value.abs() < 1e15 && of != Of::Share;
        Amount { value, int: is_whole.then_some(value as i64), of }
    }
}

/// `9.999999999999998` of a percentage as `10`.
fn rounded(x: f64) -> f64 {
    (x * 1e9).round() / 1e9
}

fn bytes_text(n: u64) -> String {
    for (unit, bytes) in [("TiB", 1u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
    {
        if n >= bytes && n.is_multiple_of(bytes) {
            return format!("{}{unit}", n / bytes);
        }
    }
    format!("{}KiB", n as f64 / 1024.0)
}

fn time_text(seconds: f64) -> String {
    for (unit, length) in [("day", 86400.0), ("h", 3600.0), ("min", 60.0)] {
        if seconds >= length && seconds % length == 0.0 {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

impl Reader<'_, '_> {
    /// A number as written, maybe with a sign.
    pub(super) fn literal(&self, expr: ExprId) -> Option<Amount> {
        match &self.spec[expr].kind {
            ExprKind::Number(n) => Some(Amount::of_literal(n)),
            ExprKind::Unary { op: UnaryOp::Neg, operand } => match &self.spec[*operand].kind {
                ExprKind::Number(n) => Some(Amount::of_literal(n).negated()),
                _ => None,
            },
            _ => None,
        }
    }

    /// Whether units take part in an expression: of numbers, of arguments, or by their words.
    pub(super) fn has_units(&self, kind: Kind, expr: ExprId) -> bool {
        match &self.spec[expr].kind {
            ExprKind::Number(n) => !matches!(n.unit, Unit::None | Unit::Count),
            ExprKind::Name(_) | ExprKind::Field { .. } => self.named_amount(kind, expr).is_some(),
            ExprKind::Tuple(args) => args.iter().any(|a| self.has_units(kind, a.value)),
            ExprKind::Unary { operand, .. } => self.has_units(kind, *operand),
            ExprKind::Binary { left, right, .. } => {
                self.has_units(kind, *left) || self.has_units(kind, *right)
            }
            ExprKind::Str(_)
            | ExprKind::Bool(_)
            | ExprKind::None
            | ExprKind::List(_)
            | ExprKind::If { .. }
            | ExprKind::Call { .. }
            | ExprKind::Index { .. } => false,
        }
    }

    /// What a name stands for, when that has a unit: an argument, or one `epoch`.
    fn named_amount(&self, kind: Kind, expr: ExprId) -> Option<Amount> {
        let name = super::words::dotted(self.spec, expr)?;
        if let Some(known) = self.cx.known(self.spec.file, &name) {
            return match known {
                Known::Amount(amount) => Some(*amount),
                Known::Stretch(stretch) => Some(stretch.amount()),
                Known::Static | Known::Word(_) | Known::Missing => None,
            };
        }
        let takes_span = matches!(kind, Kind::Span | Kind::SpanOrTime);
        let unit = word(self.spec, expr).and_then(Of::of_word).filter(|_| takes_span)?;
        Some(Amount { value: 1.0, int: Some(1), of: unit })
    }

    /// The value of an expression with units; what is wrong with it is reported.
    pub(super) fn quantity(&mut self, kind: Kind, expr: ExprId, called: &str) -> Option<Amount> {
        if let Some(literal) = self.literal(expr) {
            return Some(literal);
        }
        if let Some(named) = self.named_amount(kind, expr) {
            return Some(named);
        }
        if !self.has_units(kind, expr) {
            return self.computed(kind, expr, called);
        }
        match &self.spec[expr].kind {
            ExprKind::Tuple(args) if args.len() == 1 => self.quantity(kind, args[0].value, called),
            ExprKind::Unary { op: UnaryOp::Neg, operand } => {
                Some(self.quantity(kind, *operand, called)?.negated())
            }
            ExprKind::Binary { op, left, right, .. } => {
                let (op, left, right) = (*op, *left, *right);
                let a = self.quantity(kind, left, called)?;
                let b = self.quantity(kind, right, called)?;
                self.combined(op, a, b, (expr, right))
            }
            _ => self.wrong_kind(kind, expr, called),
        }
    }

    /// `a op b`, where at least one has a unit.
    fn combined(
        &mut self,
        op: BinaryOp,
        a: Amount,
        b: Amount,
        (expr, right): (ExprId, ExprId),
    ) -> Option<Amount> {
        let ints = a.int.zip(b.int);
        let int = |f: fn(i64, i64) -> Option<i64>| ints.and_then(|(x, y)| f(x, y));
        let exact = |x: i64, y: i64| (y != 0 && x % y == 0).then(|| x / y);
        let result = match (op, a.of, b.of) {
            (BinaryOp::Add, x, y) if x == y => {
                Amount::with(a.value + b.value, int(i64::checked_add), x)
            }
            (BinaryOp::Sub, x, y) if x == y => {
                Amount::with(a.value - b.value, int(i64::checked_sub), x)
            }
            (BinaryOp::Mul, x, Of::Plain | Of::Share) => {
                Amount::with(a.value * b.value, int(i64::checked_mul), x)
            }
            (BinaryOp::Mul, Of::Plain | Of::Share, y) => {
                Amount::with(a.value * b.value, int(i64::checked_mul), y)
            }
            (BinaryOp::Div, _, _) if b.value == 0.0 => {
                let at = self.spec[right].span;
                self.cx.report(Diagnostic::new(Code::E0307, at, "this divides by 0"));
                return None;
            }
            (BinaryOp::Div, x, Of::Plain | Of::Share) => {
                Amount::with(a.value / b.value, int(exact), x)
            }
            (BinaryOp::Div, x, y) if x == y => {
                Amount::with(a.value / b.value, int(exact), Of::Plain)
            }
            _ => return self.unlike(op, a.of, b.of, self.spec[expr].span),
        };
        Some(result)
    }

    /// E0303: two units that do not go together.
    fn unlike(&mut self, op: BinaryOp, a: Of, b: Of, span: Span) -> Option<Amount> {
        let text = clipped(self.cx.map.text(span));
        let (a, b) = (a.words(), b.words());
        self.cx.report(
            Diagnostic::new(Code::E0303, span, format!("`{text}` mixes {a} with {b}"))
                .primary(format!("`{}` takes two of one unit, or a plain number", op.symbol()))
                .help("write both in one unit"),
        );
        None
    }
}
