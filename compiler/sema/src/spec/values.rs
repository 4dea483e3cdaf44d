//! Single values: numbers with their units, words of a choice, conditions.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{BinaryOp, ExprId, ExprKind, UnaryOp, Unit};

use super::args::{Given, Reader, Stretch, Value};
use super::words::{alternatives, clipped, describe, dotted, not_built, word};
use crate::schema::{Kind, SPAN_UNITS, Status, Word};
use crate::value::StaticArg;

/// The largest fp32: what updates weights is held in that.
const LARGEST: f64 = f32::MAX as f64;

/// A number, and its unit.
struct Amount {
    value: f64,
    int: Option<i64>,
    unit: Unit,
}

impl Reader<'_, '_> {
    /// One value of a kind, with the unit word that may follow; how many words it took.
    pub(super) fn value(
        &mut self,
        kind: Kind,
        expr: ExprId,
        rest: &[ExprId],
        called: &str,
    ) -> Option<(Given, usize)> {
        let mut span = self.spec[expr].span;
        let mut used = 1;
        let value = match kind {
            Kind::Count { min, max } => Value::Count(self.count(expr, min, max, called)?),
            Kind::Positive => Value::Real(self.real(kind, expr, called, |x| x > 0.0)?),
            Kind::NonNegative => Value::Real(self.real(kind, expr, called, |x| x >= 0.0)?),
            Kind::Prob => Value::Real(self.prob(expr, called)?),
            Kind::Bytes => {
                let bytes = self.with_unit(kind, expr, called, Unit::Bytes, "80GiB")?;
                Value::Bytes(bytes as u64)
            }
            Kind::Time => Value::Time(self.with_unit(kind, expr, called, Unit::Time, "30min")?),
            Kind::Span | Kind::SpanOrTime => {
                let unit = rest.first().and_then(|&e| Some((e, word(self.spec, e)?)));
                let unit = unit.filter(|(_, w)| SPAN_UNITS.contains(w));
                if let Some((unit_expr, _)) = unit {
                    span = span.to(self.spec[unit_expr].span);
                    used = 2;
                }
                Value::Span(self.stretch(kind, expr, unit.map(|(_, w)| w), called)?)
            }
            Kind::Str => {
                let ExprKind::Str(text) = &self.spec[expr].kind else {
                    return self.wrong_kind(kind, expr, called);
                };
                Value::Str(text.clone())
            }
            Kind::Name => match word(self.spec, expr) {
                Some(name) => Value::Name(name.to_owned()),
                None => return self.wrong_kind(kind, expr, called),
            },
            Kind::Metric => match dotted(self.spec, expr) {
                Some(name) => Value::Metric(name),
                None => return self.wrong_kind(kind, expr, called),
            },
            Kind::Choice(words) => Value::Word(self.choice(words, expr, called)?),
            Kind::Head(words) => self.head(words, expr, called)?,
            Kind::Words(words) => return self.words(words, expr, rest, called),
            Kind::Mix => return self.mix(expr, rest, called),
            Kind::Flag => Value::Any,
            Kind::Call => Value::Call(expr),
            Kind::Set => return self.set(expr, rest, called),
            Kind::Batch => return self.batch(expr, rest, called),
            Kind::Cond => self.condition(expr, called)?,
            Kind::Any => Value::Any,
        };
        Some((Given { value, span }, used))
    }

    fn count(&mut self, expr: ExprId, min: u64, max: u64, called: &str) -> Option<u64> {
        let kind = Kind::Count { min, max };
        let amount = self.amount(kind, expr, called)?;
        if !matches!(amount.unit, Unit::None | Unit::Count) {
            return self.wrong_unit(expr, called, "a plain count");
        }
        if amount.value.fract() != 0.0 {
            return self.wrong_kind(kind, expr, called);
        }
        let within = amount.value >= min as f64 && amount.value <= max as f64;
        let whole = amount.int.or_else(|| within.then_some(amount.value as i64));
        match whole.and_then(|n| u64::try_from(n).ok()) {
            Some(n) if (min..=max).contains(&n) => Some(n),
            Some(_) | None => self.out_of_range(expr, called, &format!("{min}..{max}")),
        }
    }

    pub(super) fn real(
        &mut self,
        kind: Kind,
        expr: ExprId,
        called: &str,
        fits: impl Fn(f64) -> bool,
    ) -> Option<f64> {
        let amount = self.amount(kind, expr, called)?;
        match amount.unit {
            Unit::None | Unit::Count | Unit::Percent if amount.value > LARGEST => {
                self.out_of_range(expr, called, "at most 3.4e38")
            }
            Unit::None | Unit::Count | Unit::Percent if fits(amount.value) => Some(amount.value),
            Unit::None | Unit::Count | Unit::Percent => {
                self.out_of_range(expr, called, kind.range())
            }
            Unit::Bytes | Unit::Time => self.wrong_unit(expr, called, "a plain number"),
        }
    }

    pub(super) fn prob(&mut self, expr: ExprId, called: &str) -> Option<f64> {
        let amount = self.amount(Kind::Prob, expr, called)?;
        if matches!(amount.unit, Unit::Bytes | Unit::Time) {
            return self.wrong_unit(expr, called, "a ratio or a percentage");
        }
        if (0.0..=1.0).contains(&amount.value) {
            return Some(amount.value);
        }
        let span = self.spec[expr].span;
        let text = clipped(self.cx.map.text(span));
        let wrong = format!("`{called}` must be within 0..1, found {text}");
        let wrong = Diagnostic::new(Code::E0302, span, wrong);
        let percent = amount.unit == Unit::None && (1.0..=100.0).contains(&amount.value);
        self.cx.report(match percent {
            true => wrong.fix(format!("did you mean `{text}%`?"), span, format!("{text}%")),
            false => wrong,
        });
        None
    }

    fn with_unit(
        &mut self,
        kind: Kind,
        expr: ExprId,
        called: &str,
        unit: Unit,
        example: &str,
    ) -> Option<f64> {
        let amount = self.amount(kind, expr, called)?;
        if amount.unit != unit {
            return self.wrong_unit(expr, called, &format!("{} such as `{example}`", kind.wants()));
        }
        if amount.value > 0.0 {
            return Some(amount.value);
        }
        self.out_of_range(expr, called, "above 0")
    }

    pub(super) fn stretch(
        &mut self,
        kind: Kind,
        expr: ExprId,
        unit: Option<&str>,
        called: &str,
    ) -> Option<Stretch> {
        let amount = self.amount(kind, expr, called)?;
        if amount.value < 0.0 {
            return self.out_of_range(expr, called, "above 0");
        }
        match (amount.unit, unit) {
            (Unit::Percent, None) if amount.value <= 1.0 => Some(Stretch::Share(amount.value)),
            (Unit::Percent, None) => self.out_of_range(expr, called, "0%..100%"),
            (Unit::Time, None) if kind == Kind::SpanOrTime && amount.value > 0.0 => {
                Some(Stretch::Seconds(amount.value))
            }
            (Unit::Time, None) => {
                let span = self.spec[expr].span;
                let text = clipped(self.cx.map.text(span));
                let unbuilt = not_built(&format!("{called} {text}"), span);
                self.cx.report(unbuilt.help("give steps: how long one takes is not known here"));
                None
            }
            (Unit::None | Unit::Count, None | Some("step" | "steps")) => {
                if amount.value.fract() != 0.0 {
                    return self.wrong_kind(kind, expr, called);
                }
                if amount.value > 1e12 {
                    return self.out_of_range(expr, called, "0..1e12 steps");
                }
                Some(Stretch::Steps(amount.value as u64))
            }
            (Unit::None | Unit::Count, Some("epoch" | "epochs")) => {
                Some(Stretch::Epochs(amount.value))
            }
            (Unit::None | Unit::Count, Some("token" | "tokens")) => {
                Some(Stretch::Tokens(amount.value))
            }
            (Unit::None | Unit::Count, Some(_)) => Some(Stretch::Samples(amount.value)),
            (Unit::Bytes, _) | (Unit::Percent | Unit::Time, Some(_)) => {
                self.wrong_unit(expr, called, "steps, epochs, tokens or a percentage")
            }
        }
    }

    /// `batch 256`; two words.
    fn batch(&mut self, expr: ExprId, rest: &[ExprId], called: &str) -> Option<(Given, usize)> {
        let (Some("batch"), Some(&size)) = (word(self.spec, expr), rest.first()) else {
            return self.wrong_kind(Kind::Batch, expr, called);
        };
        let n = self.count(size, 1, 1 << 31, &format!("{called} batch"))?;
        let span = self.spec[expr].span.to(self.spec[size].span);
        Some((Given { value: Value::Batch(n), span }, 2))
    }

    fn choice(
        &mut self,
        words: &'static [Word],
        expr: ExprId,
        called: &str,
    ) -> Option<&'static str> {
        let span = self.spec[expr].span;
        let text = word(self.spec, expr);
        match words.iter().find(|w| Some(w.word) == text) {
            Some(w) if w.status == Status::Built => Some(w.word),
            Some(w) => {
                let built = words.iter().filter(|w| w.status == Status::Built).map(|w| w.word);
                let help = format!("this version has {}", alternatives(built));
                self.cx.report(not_built(&format!("{called} {}", w.word), span).help(help));
                None
            }
            None => {
                let found = describe(self.spec, self.cx.map, expr);
                let wrong = format!("`{called}` does not take {found}");
                let all: Vec<_> = words.iter().map(|w| w.word).collect();
                let wrong = Diagnostic::new(Code::E0301, span, wrong)
                    .primary(format!("expected {}", alternatives(all.iter().copied())));
                let text = text.map(str::to_owned);
                self.cx.report(match text {
                    Some(text) => suggest_near(wrong, &text, span, &all),
                    None => wrong,
                });
                None
            }
        }
    }

    /// A choice that may be written as a call, or a string; its arguments are read by who knows it.
    fn head(&mut self, words: &'static [Word], expr: ExprId, called: &str) -> Option<Value> {
        if let ExprKind::Call { callee, .. } = self.spec[expr].kind {
            self.choice(words, callee, called)?;
        } else if !matches!(self.spec[expr].kind, ExprKind::Str(_)) {
            self.choice(words, expr, called)?;
        }
        Some(Value::Call(expr))
    }

    /// As many words of a choice as stand there; how many words it took.
    fn words(
        &mut self,
        words: &'static [Word],
        expr: ExprId,
        rest: &[ExprId],
        called: &str,
    ) -> Option<(Given, usize)> {
        let mut chosen = vec![self.choice(words, expr, called)?];
        let mut span = self.spec[expr].span;
        for &next in rest {
            let is_one = word(self.spec, next).is_some_and(|w| words.iter().any(|c| c.word == w));
            if !is_one {
                break;
            }
            chosen.push(self.choice(words, next, called)?);
            span = span.to(self.spec[next].span);
        }
        let used = chosen.len();
        Some((Given { value: Value::Words(chosen), span }, used))
    }

    /// `web 70%`; two words.
    fn mix(&mut self, expr: ExprId, rest: &[ExprId], called: &str) -> Option<(Given, usize)> {
        let (Some(name), Some(&share)) = (word(self.spec, expr), rest.first()) else {
            return self.wrong_kind(Kind::Mix, expr, called);
        };
        let (name, span) = (name.to_owned(), self.spec[expr].span.to(self.spec[share].span));
        let share = self.prob(share, called)?;
        Some((Given { value: Value::Mix(name, share), span }, 2))
    }

    fn condition(&mut self, expr: ExprId, called: &str) -> Option<Value> {
        let ExprKind::Binary { op: BinaryOp::Lt | BinaryOp::Le, left, right, .. } =
            self.spec[expr].kind
        else {
            return self.wrong_kind(Kind::Cond, expr, called);
        };
        let Some(metric) = dotted(self.spec, left) else {
            return self.wrong_kind(Kind::Metric, left, called);
        };
        let limit = self.real(Kind::Positive, right, called, |x| x > 0.0)?;
        Some(Value::Below(metric, limit))
    }

    /// The number an expression stands for.
    fn amount(&mut self, kind: Kind, expr: ExprId, called: &str) -> Option<Amount> {
        let literal = self.literal(expr);
        let amount = match (&self.spec[expr].kind, literal) {
            // One beyond all numbers is already reported where it is read.
            (_, Some(literal)) if !literal.value.is_finite() => return None,
            (_, Some(literal)) => literal,
            (ExprKind::Name(name), None) if self.cx.env.get(name).is_none() => {
                return self.wrong_kind(kind, expr, called);
            }
            (ExprKind::Str(_) | ExprKind::None | ExprKind::Bool(_) | ExprKind::List(_), None) => {
                return self.wrong_kind(kind, expr, called);
            }
            (_, None) if self.is_cut_off(expr) => return None,
            (_, None) => self.computed(kind, expr, called)?,
        };
        if amount.value.is_finite() {
            return Some(amount);
        }
        let span = self.spec[expr].span;
        let text = clipped(self.cx.map.text(span));
        self.cx.report(
            Diagnostic::new(Code::E0307, span, format!("`{text}` is too large for a number"))
                .primary("the largest number is 1.8e308"),
        );
        None
    }

    /// Brackets that the parser emptied because they are nested too deep, which it reports.
    fn is_cut_off(&self, expr: ExprId) -> bool {
        let (mut inner, mut depth) = (expr, 0);
        while let ExprKind::Tuple(args) = &self.spec[inner].kind {
            match args.as_slice() {
                [] => return depth > 32,
                [only, ..] => inner = only.value,
            }
            depth += 1;
        }
        false
    }

    /// A number as written, maybe with a sign.
    fn literal(&self, expr: ExprId) -> Option<Amount> {
        let mut number = expr;
        let negative = if let ExprKind::Unary { op: UnaryOp::Neg, operand } = self.spec[expr].kind {
            number = operand;
            true
        } else {
            false
        };
        let ExprKind::Number(n) = &self.spec[number].kind else {
            return None;
        };
        let amount = Amount { value: n.value, int: n.int, unit: n.unit };
        Some(if negative { amount.negated() } else { amount })
    }

    fn computed(&mut self, kind: Kind, expr: ExprId, called: &str) -> Option<Amount> {
        match self.cx.library.eval_static(self.spec, expr, &self.cx.env) {
            Ok(StaticArg::Int(n)) => {
                Some(Amount { value: n as f64, int: Some(n), unit: Unit::None })
            }
            Ok(StaticArg::Real(x)) => Some(Amount { value: x, int: None, unit: Unit::None }),
            // What it depends on is not known yet, or is already reported.
            Ok(StaticArg::Unknown) => None,
            Ok(StaticArg::Bool(_) | StaticArg::Str(_) | StaticArg::None | StaticArg::Module(_)) => {
                self.wrong_kind(kind, expr, called)
            }
            Err(diagnostic) => {
                self.cx.report_all(vec![diagnostic]);
                None
            }
        }
    }

    pub(super) fn wrong_kind<T>(&mut self, kind: Kind, expr: ExprId, called: &str) -> Option<T> {
        let found = describe(self.spec, self.cx.map, expr);
        let wrong = format!("`{called}` takes {}, found {found}", kind.wants());
        let label = format!("expected {}", kind.wants_within());
        self.cx.report(Diagnostic::new(Code::E0301, self.spec[expr].span, wrong).primary(label));
        None
    }

    fn out_of_range<T>(&mut self, expr: ExprId, called: &str, range: &str) -> Option<T> {
        let span = self.spec[expr].span;
        let text = clipped(self.cx.map.text(span));
        let must = if range.contains("..") { format!("within {range}") } else { range.to_owned() };
        let wrong =
            Diagnostic::new(Code::E0302, span, format!("`{called}` must be {must}, found {text}"));
        let takes_none = self.directive.forms.iter().any(|f| f.lead == Some("none"));
        let help = format!("`{} none` turns it off", self.directive.name);
        self.cx.report(if takes_none { wrong.help(help) } else { wrong });
        None
    }

    fn wrong_unit<T>(&mut self, expr: ExprId, called: &str, wants: &str) -> Option<T> {
        let span = self.spec[expr].span;
        let text = clipped(self.cx.map.text(span));
        let wrong = format!("`{called}` takes {wants}, found `{text}`");
        self.cx.report(Diagnostic::new(Code::E0303, span, wrong).primary("another unit"));
        None
    }
}

/// Only a near word is offered; the label already lists all of them.
fn suggest_near(wrong: Diagnostic, text: &str, span: Span, all: &[&str]) -> Diagnostic {
    match crate::schema::nearest(text, all.iter().copied()) {
        Some(near) => wrong.fix(format!("did you mean `{near}`?"), span, near),
        None => wrong,
    }
}

impl Amount {
    fn negated(self) -> Self {
        Self { value: -self.value, int: self.int.map(|n| -n), ..self }
    }
}

impl Kind {
    /// What it is, in words.
    pub fn wants(self) -> String {
        let words = match self {
            Self::Count { .. } => "a whole number",
            Self::Positive | Self::NonNegative => "a number",
            Self::Prob => "a number within 0..1",
            Self::Bytes => "a number of bytes",
            Self::Time => "a time",
            Self::Span => "a number of steps, epochs or tokens, or a percentage",
            Self::SpanOrTime => "steps, epochs, tokens, a percentage or a time",
            Self::Str => "a string",
            Self::Name => "a name",
            Self::Metric => "a metric such as `val.loss`",
            Self::Choice(words) | Self::Words(words) => {
                return alternatives(words.iter().map(|w| w.word));
            }
            Self::Head(words) => {
                let words = alternatives(words.iter().map(|w| w.word));
                return format!("{words}, or a file");
            }
            Self::Mix => "the name of a data block and its share, such as `web 70%`",
            Self::Flag => "nothing",
            Self::Call => "a name or a call",
            Self::Set => "a set of weights such as `matrices`",
            Self::Batch => "a batch such as `batch 256`",
            Self::Cond => "a condition such as `val.loss < 2`",
            Self::Any => "a value",
        };
        words.to_owned()
    }

    /// The values it may have, for a message.
    fn range(self) -> &'static str {
        match self {
            Self::Positive => "above 0",
            Self::NonNegative => "0 or more",
            Self::Count { .. }
            | Self::Prob
            | Self::Bytes
            | Self::Time
            | Self::Span
            | Self::SpanOrTime
            | Self::Str
            | Self::Name
            | Self::Metric
            | Self::Choice(_)
            | Self::Head(_)
            | Self::Words(_)
            | Self::Mix
            | Self::Flag
            | Self::Call
            | Self::Set
            | Self::Batch
            | Self::Cond
            | Self::Any => "",
        }
    }

    /// What it is and which values it may have.
    fn wants_within(self) -> String {
        let wants = self.wants();
        match (self, self.range()) {
            (Self::Count { min, max }, _) => format!("{wants} within {min}..{max}"),
            (_, "") => wants,
            (_, range) => format!("{wants} {range}"),
        }
    }
}
