//! Single values: numbers with their units, words of a choice, conditions.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{BinaryOp, ExprId, ExprKind, StrLit, StrPart, Unit};
use syntax::unit_meant;

use super::args::{Given, Reader, Stretch, Value};
use super::foreign::percent;
use super::options::Known;
use super::quantity::{Amount, Of};
use super::words::{alternatives, clipped, describe, dotted, not_built, word};
use crate::schema::{Kind, SPAN_UNITS, Status, Word, foreign_value, nearest};
use crate::value::StaticArg;

/// The largest fp32: what updates weights is held in that.
const LARGEST: f64 = f32::MAX as f64;

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
        let wrong =
            self.unit_apart(kind, expr, rest).or_else(|| self.point_of_thousands(kind, expr));
        if let Some(wrong) = wrong {
            self.cx.report(wrong);
            return None;
        }
        let value = match kind {
            Kind::Count { min, max } => Value::Count(self.count(expr, min, max, called)?),
            Kind::Positive => Value::Real(self.real(kind, expr, called, |x| x > 0.0)?),
            Kind::NonNegative => Value::Real(self.real(kind, expr, called, |x| x >= 0.0)?),
            Kind::Prob => Value::Real(self.prob(expr, called)?),
            Kind::Bytes => {
                let bytes = self.with_unit(kind, expr, called, Of::Bytes, "80GiB")?;
                Value::Bytes(bytes as u64)
            }
            Kind::Time => Value::Time(self.with_unit(kind, expr, called, Of::Time, "30min")?),
            Kind::Span | Kind::SpanOrTime => {
                let unit = rest.first().and_then(|&e| Some((e, word(self.spec, e)?)));
                let unit = unit.filter(|(_, w)| SPAN_UNITS.contains(w));
                if let Some((unit_expr, _)) = unit {
                    span = span.to(self.spec[unit_expr].span);
                    used = 2;
                }
                Value::Span(self.stretch(kind, expr, unit.map(|(_, w)| w), called)?)
            }
            Kind::Str => Value::Str(self.string(expr, called)?),
            Kind::Name => match dotted(self.spec, expr) {
                Some(name) => Value::Name(name),
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
            Kind::Steps => {
                used += self.step_range(expr, rest, called)?;
                Value::Any
            }
            Kind::Any => Value::Any,
        };
        let shown = self.shown(kind, expr, &value);
        Some((Given { value, span, shown }, used))
    }

    /// The text of a value that is not written as itself: of an argument, of arithmetic.
    fn shown(&self, kind: Kind, expr: ExprId, value: &Value) -> Option<String> {
        let is_number = self.literal(expr).is_some();
        match value {
            Value::Count(_) | Value::Real(_) | Value::Bytes(_) | Value::Time(_) if is_number => {
                None
            }
            Value::Span(_) if is_number => None,
            Value::Count(n) => Some(n.to_string()),
            Value::Real(x) if kind == Kind::Prob && self.has_units(kind, expr) => {
                Some(Amount { of: Of::Share, ..Amount::plain(*x) }.text())
            }
            Value::Real(x) => Some(StaticArg::Real(*x).text()),
            Value::Bytes(n) => Some(Amount { of: Of::Bytes, ..Amount::plain(*n as f64) }.text()),
            Value::Time(s) => Some(Amount { of: Of::Time, ..Amount::plain(*s) }.text()),
            Value::Span(stretch) => Some(stretch.amount().text()),
            Value::Word(chosen) if word(self.spec, expr) != Some(chosen) => {
                Some((*chosen).to_owned())
            }
            Value::Str(text) if !matches!(self.spec[expr].kind, ExprKind::Str(_)) => {
                text.plain().map(|text| format!("{text:?}"))
            }
            Value::Str(_)
            | Value::Name(_)
            | Value::Metric(_)
            | Value::Word(_)
            | Value::Words(_)
            | Value::Mix(..)
            | Value::Call(_)
            | Value::Set(_)
            | Value::Batch(_)
            | Value::Below(..)
            | Value::Any => None,
        }
    }

    /// A string, or an argument that is one.
    pub(super) fn string(&mut self, expr: ExprId, called: &str) -> Option<StrLit> {
        let span = self.spec[expr].span;
        if let ExprKind::Str(text) = &self.spec[expr].kind {
            return Some(text.clone());
        }
        let name = dotted(self.spec, expr);
        let known = name.and_then(|name| self.cx.env_of(self.spec.file).get(&name).cloned());
        match known {
            Some(StaticArg::Str(text)) => Some(StrLit { parts: vec![StrPart::Text(text)], span }),
            // It has no value yet, which is said where it is declared.
            Some(StaticArg::Unknown) => None,
            Some(_) | None => self.wrong_kind(Kind::Str, expr, called),
        }
    }

    fn count(&mut self, expr: ExprId, min: u64, max: u64, called: &str) -> Option<u64> {
        let kind = Kind::Count { min, max };
        let amount = self.amount(kind, expr, called)?;
        if amount.of != Of::Plain {
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

    /// A whole number of any sign.
    pub(super) fn whole(
        &mut self,
        expr: ExprId,
        called: &str,
        (min, max): (i64, i64),
    ) -> Option<i64> {
        let kind = Kind::Count { min: 0, max: 0 };
        let amount = self.amount(kind, expr, called)?;
        if amount.of != Of::Plain {
            return self.wrong_unit(expr, called, "a plain number");
        }
        if amount.value.fract() != 0.0 {
            return self.not_whole(expr, called);
        }
        let within = amount.value >= min as f64 && amount.value <= max as f64;
        match within {
            true => Some(amount.int.unwrap_or(amount.value as i64)),
            false => self.out_of_range(expr, called, &format!("{min}..{max}")),
        }
    }

    fn not_whole<T>(&mut self, expr: ExprId, called: &str) -> Option<T> {
        let found = describe(self.spec, self.cx.map, expr);
        let wrong = format!("`{called}` takes a whole number, found {found}");
        self.cx.report(Diagnostic::new(Code::E0301, self.spec[expr].span, wrong));
        None
    }

    /// `true` or `false`, or an expression of that.
    pub(super) fn truth(&mut self, expr: ExprId, called: &str) -> Option<bool> {
        if let ExprKind::Bool(b) = self.spec[expr].kind {
            return Some(b);
        }
        let found = describe(self.spec, self.cx.map, expr);
        let wrong = format!("`{called}` takes `true` or `false`, found {found}");
        let wrong = Diagnostic::new(Code::E0301, self.spec[expr].span, wrong);
        match self.cx.library.eval_static(self.spec, expr, self.cx.env_of(self.spec.file)) {
            Ok(StaticArg::Bool(b)) => return Some(b),
            Ok(StaticArg::Unknown) => {}
            Ok(_) | Err(_) => self.cx.report(wrong),
        }
        None
    }

    pub(super) fn real(
        &mut self,
        kind: Kind,
        expr: ExprId,
        called: &str,
        fits: impl Fn(f64) -> bool,
    ) -> Option<f64> {
        let amount = self.amount(kind, expr, called)?;
        match amount.of {
            Of::Plain | Of::Share if amount.value > LARGEST => {
                self.out_of_range(expr, called, "at most 3.4e38")
            }
            Of::Plain | Of::Share if fits(amount.value) => Some(amount.value),
            Of::Plain | Of::Share => self.out_of_range(expr, called, kind.range()),
            Of::Bytes | Of::Time | Of::Steps | Of::Epochs | Of::Tokens | Of::Samples => {
                self.wrong_unit(expr, called, "a plain number")
            }
        }
    }

    pub(super) fn prob(&mut self, expr: ExprId, called: &str) -> Option<f64> {
        let amount = self.amount(Kind::Prob, expr, called)?;
        if !matches!(amount.of, Of::Plain | Of::Share) {
            return self.wrong_unit(expr, called, "a ratio or a percentage");
        }
        if (0.0..=1.0).contains(&amount.value) {
            return Some(amount.value);
        }
        let span = self.spec[expr].span;
        let text = clipped(self.cx.map.text(span));
        let wrong = format!("`{called}` must be within 0..1, found {text}");
        let wrong = Diagnostic::new(Code::E0302, span, wrong);
        // A mean over hardly more than the last step is not what anybody wants.
        let least = if self.directive.name == "ema" { 50.0 } else { 1.0 };
        let percent = amount.of == Of::Plain && (least..=100.0).contains(&amount.value);
        self.cx.report(match percent {
            true => wrong.fix(format!("did you mean `{text}%`?"), span, format!("{text}%")),
            false => wrong,
        });
        None
    }

    pub(super) fn with_unit(
        &mut self,
        kind: Kind,
        expr: ExprId,
        called: &str,
        of: Of,
        example: &str,
    ) -> Option<f64> {
        let amount = self.amount(kind, expr, called)?;
        if amount.of != of {
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
            return self.out_of_range(expr, called, "0 or more");
        }
        let of = match (amount.of, unit.and_then(Of::of_word)) {
            (of, None) => of,
            (Of::Plain, Some(of)) => of,
            (_, Some(_)) => {
                return self.wrong_unit(expr, called, "steps, epochs, tokens or a percentage");
            }
        };
        match of {
            Of::Share if amount.value <= 1.0 => Some(Stretch::Share(amount.value)),
            Of::Share => self.out_of_range(expr, called, "0%..100%"),
            Of::Time if kind == Kind::SpanOrTime && amount.value > 0.0 => {
                Some(Stretch::Seconds(amount.value))
            }
            Of::Time => {
                let span = self.spec[expr].span;
                let text = clipped(self.cx.map.text(span));
                let unbuilt = not_built(&format!("{called} {text}"), span);
                self.cx.report(unbuilt.help("give steps: how long one takes is not known here"));
                None
            }
            Of::Plain | Of::Steps => {
                if amount.value.fract() != 0.0 {
                    return self.part_of_a_step(kind, expr, called, amount);
                }
                if amount.value > 1e12 {
                    return self.out_of_range(expr, called, "0..1e12 steps");
                }
                Some(Stretch::Steps(amount.value as u64))
            }
            Of::Epochs => Some(Stretch::Epochs(amount.value)),
            Of::Tokens => Some(Stretch::Tokens(amount.value)),
            Of::Samples => Some(Stretch::Samples(amount.value)),
            Of::Bytes => self.wrong_unit(expr, called, "steps, epochs, tokens or a percentage"),
        }
    }

    /// `steps / 10`, where `steps` is taken for the length of the run.
    fn part_of_a_step<T>(
        &mut self,
        kind: Kind,
        expr: ExprId,
        called: &str,
        amount: Amount,
    ) -> Option<T> {
        if amount.of == Of::Plain {
            return self.wrong_kind(kind, expr, called);
        }
        let span = self.spec[expr].span;
        let text = clipped(self.cx.map.text(span));
        let wrong = format!("`{text}` is {} of one step", amount.value);
        let wrong = Diagnostic::new(Code::E0303, span, wrong)
            .primary("`steps` is a unit here, not the length of the run");
        self.cx.report(match amount.value {
            x if 0.0 < x && x < 1.0 => {
                let share = percent(x);
                wrong.fix(format!("write `{share}` for a share of the run"), span, share)
            }
            _ => wrong.help("write a whole number of steps, or a percentage of the run"),
        });
        None
    }

    /// `batch 256`; two words.
    fn batch(&mut self, expr: ExprId, rest: &[ExprId], called: &str) -> Option<(Given, usize)> {
        let (Some("batch"), Some(&size)) = (word(self.spec, expr), rest.first()) else {
            return self.wrong_kind(Kind::Batch, expr, called);
        };
        let n = self.count(size, 1, 1 << 31, &format!("{called} batch"))?;
        let span = self.spec[expr].span.to(self.spec[size].span);
        Some((Given::new(Value::Batch(n), span), 2))
    }

    pub(super) fn choice(
        &mut self,
        words: &'static [Word],
        expr: ExprId,
        called: &str,
    ) -> Option<&'static str> {
        let span = self.spec[expr].span;
        let named = dotted(self.spec, expr);
        let text = match named.as_deref().and_then(|name| self.cx.known(self.spec.file, name)) {
            Some(Known::Word(word)) => Some(*word),
            Some(Known::Missing) => return None,
            Some(Known::Static | Known::Amount(_) | Known::Stretch(_)) | None => {
                word(self.spec, expr)
            }
        };
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
                let written = self.cx.map.text(span).trim_matches('"').to_owned();
                let meant = foreign_value(self.directive.name, &written);
                self.cx.report(match (meant, text) {
                    (Some(meant), _) => {
                        wrong.fix(format!("`{written}` is called `{meant}` here"), span, meant)
                    }
                    (None, Some(text)) => suggest_near(wrong, &text, span, &all),
                    (None, None) => wrong,
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
        Some((Given::new(Value::Words(chosen), span), used))
    }

    /// `web 70%`; two words.
    fn mix(&mut self, expr: ExprId, rest: &[ExprId], called: &str) -> Option<(Given, usize)> {
        let (Some(name), Some(&share)) = (word(self.spec, expr), rest.first()) else {
            return self.wrong_kind(Kind::Mix, expr, called);
        };
        let (name, span) = (name.to_owned(), self.spec[expr].span.to(self.spec[share].span));
        let share = self.prob(share, called)?;
        Some((Given::new(Value::Mix(name, share), span), 2))
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

    /// `10..20`, and the path that may follow: how many words that takes.
    fn step_range(&mut self, expr: ExprId, rest: &[ExprId], called: &str) -> Option<usize> {
        let ExprKind::Binary { op: BinaryOp::Range, left, right, .. } = self.spec[expr].kind else {
            return self.wrong_kind(Kind::Steps, expr, called);
        };
        self.count(left, 0, 1 << 40, called)?;
        self.count(right, 1, 1 << 40, called)?;
        let Some(&path) = rest.first() else { return Some(0) };
        self.string(path, called).map(|_| 1)
    }

    /// The number an expression stands for.
    pub(super) fn amount(&mut self, kind: Kind, expr: ExprId, called: &str) -> Option<Amount> {
        let literal = self.literal(expr);
        let amount = match (&self.spec[expr].kind, literal) {
            // One beyond all numbers is already reported where it is read.
            (_, Some(literal)) if !literal.value.is_finite() => return None,
            (_, Some(literal)) => literal,
            (_, None) if self.has_units(kind, expr) => self.quantity(kind, expr, called)?,
            (ExprKind::Name(name), None) if self.cx.env_of(self.spec.file).get(name).is_none() => {
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

    /// A number without a unit that has to be worked out.
    pub(super) fn computed(&mut self, kind: Kind, expr: ExprId, called: &str) -> Option<Amount> {
        match self.cx.library.eval_static(self.spec, expr, self.cx.env_of(self.spec.file)) {
            Ok(StaticArg::Int(n)) => Some(Amount::whole(n)),
            Ok(StaticArg::Real(x)) => Some(Amount::plain(x)),
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
        let (label, span) = (format!("expected {}", kind.wants_within()), self.spec[expr].span);
        let wrong = Diagnostic::new(Code::E0301, span, wrong);
        // What the message says already is not said again.
        let says_more = kind.wants() != kind.wants_within();
        let wrong = if says_more { wrong.primary(label) } else { wrong };
        let text = self.cx.map.text(span);
        let bare = text.trim_matches('"');
        let number: Option<f64> = bare.parse().ok();
        let is_span = matches!(kind, Kind::Span | Kind::SpanOrTime);
        let has_lead = |lead| self.directive.forms.iter().any(|form| form.lead == Some(lead));
        let is_none = ["None", "null", "off"].contains(&bare) && called == self.directive.name;
        let meant = match is_none && has_lead("none") {
            true => Some("none"),
            false => foreign_value(self.directive.name, bare),
        };
        let names = self.cx.arg_names(self.spec.file);
        let near = word(self.spec, expr).and_then(|name| nearest(name, names));
        let near = near.map(str::to_owned);
        if let Some(name) = near.as_ref().filter(|near| *near == text) {
            let known = self.cx.arg_text(self.spec.file, name).flatten();
            let wrong = known.iter().fold(wrong, |w, value| {
                w.note(format!("`{name}` is an argument; its value is {}", clipped(value)))
            });
            self.cx.report(wrong);
            return None;
        }
        self.cx.report(match number {
            Some(_) if bare != text => {
                wrong.fix(format!("write `{bare}`, without quotes"), span, bare)
            }
            Some(x) if is_span && x > 0.0 && x < 1.0 => {
                let share = percent(x);
                wrong.fix(format!("write `{share}` for a share of the run"), span, share)
            }
            Some(_) | None => match meant {
                Some(meant) => wrong.fix(format!("`{bare}` is called `{meant}` here"), span, meant),
                None if bare == "auto" => {
                    let default = self.directive.default;
                    wrong.help(format!("remove the line; the default is {default}"))
                }
                None => match near {
                    Some(near) => wrong.fix(format!("did you mean `{near}`?"), span, near),
                    None => wrong,
                },
            },
        });
        None
    }

    fn out_of_range<T>(&mut self, expr: ExprId, called: &str, range: &str) -> Option<T> {
        let span = self.spec[expr].span;
        let text = clipped(self.cx.map.text(span));
        let value = word(self.spec, expr);
        let value = value.and_then(|name| self.cx.arg_text(self.spec.file, name)).flatten();
        let found = value.map_or(text.clone(), |value| format!("{value}, the value of {text}"));
        let must = if range.contains("..") { format!("within {range}") } else { range.to_owned() };
        let wrong =
            Diagnostic::new(Code::E0302, span, format!("`{called}` must be {must}, found {found}"));
        let leads = |word| self.directive.forms.iter().any(|f| f.lead == Some(word));
        let is_zero = text.parse() == Ok(0.0);
        let help = format!("`{} none` turns it off", self.directive.name);
        self.cx.report(match (leads("dynamic"), leads("none")) {
            // So 0 is read by the tools that scale losses.
            (true, _) if is_zero => {
                wrong.fix("write `dynamic` for one that finds itself", span, "dynamic")
            }
            (_, true) if is_zero && called == self.directive.name => wrong.fix(help, span, "none"),
            (_, true) => wrong.help(help),
            (_, false) if called == self.directive.name && !self.directive.default.is_empty() => {
                wrong.help(format!("remove the line, and it is {}", self.directive.default))
            }
            (_, false) => wrong,
        });
        None
    }

    /// `12 hours`: a unit of time or memory that stands behind its number, or is written in full.
    #[allow(
        clippy::wildcard_enum_match_arm,
        reason = "two sorts of values have units of their own"
    )]
    fn unit_apart(&self, kind: Kind, expr: ExprId, rest: &[ExprId]) -> Option<Diagnostic> {
        let wanted = match kind {
            Kind::Bytes => Unit::Bytes,
            Kind::Time | Kind::SpanOrTime => Unit::Time,
            _ => return None,
        };
        self.literal(expr).filter(|amount| amount.of == Of::Plain)?;
        let (unit, behind) = rest.first().and_then(|&e| Some((word(self.spec, e)?, e)))?;
        let (ours, _) = unit_meant(unit).filter(|(_, of)| *of == wanted)?;
        let (number, behind) = (self.spec[expr].span, self.spec[behind].span);
        let text = format!("{}{ours}", clipped(self.cx.map.text(number)));
        let span = number.to(behind);
        let wrong = format!("`{unit}` is no unit that stands behind its number");
        let wrong = Diagnostic::new(Code::E0303, behind, wrong);
        let help = format!("write `{text}`");
        // A single letter may be many things.
        Some(if unit.len() == 1 { wrong.help(help) } else { wrong.fix(help, span, text) })
    }

    /// `steps 10.000`, whose point some write to set off thousands.
    fn point_of_thousands(&self, kind: Kind, expr: ExprId) -> Option<Diagnostic> {
        if !matches!(kind, Kind::Count { .. } | Kind::Span | Kind::SpanOrTime) {
            return None;
        }
        let ExprKind::Number(number) = &self.spec[expr].kind else { return None };
        let start = number.text.strip_suffix(".000").filter(|start| start.len() <= 3)?;
        let whole: u32 = start.parse().ok().filter(|n| *n > 0)?;
        let span = self.spec[expr].span;
        let wrong = format!("`{}` may be {whole} or {whole}000", number.text);
        let wrong = Diagnostic::new(Code::E0301, span, wrong).primary("a point starts a fraction");
        Some(wrong.help(format!("write `{whole}` or `{whole}_000`")))
    }

    fn wrong_unit<T>(&mut self, expr: ExprId, called: &str, wants: &str) -> Option<T> {
        let span = self.spec[expr].span;
        let text = clipped(self.cx.map.text(span));
        let wrong = format!("`{called}` takes {wants}, found `{text}`");
        let is_bare = self.literal(expr).is_some_and(|amount| amount.of == Of::Plain);
        let label = if is_bare { "no unit" } else { "another unit" };
        let wrong = Diagnostic::new(Code::E0303, span, wrong).primary(label);
        self.cx.report(match example_of(wants).filter(|_| is_bare) {
            Some((one, other)) => wrong.help(format!("write `{text}{one}` or `{text}{other}`")),
            None => wrong,
        });
        None
    }
}

/// Units of what is wanted, of which a number without one has to have one.
fn example_of(wants: &str) -> Option<(&'static str, &'static str)> {
    let units = [("bytes", ("MiB", "GiB")), ("a time", ("min", "h"))];
    units.into_iter().find(|(what, _)| wants.contains(what)).map(|(_, units)| units)
}

/// Only a near word is offered; the label already lists all of them.
fn suggest_near(wrong: Diagnostic, text: &str, span: Span, all: &[&str]) -> Diagnostic {
    match crate::schema::nearest(text, all.iter().copied()) {
        Some(near) => wrong.fix(format!("did you mean `{near}`?"), span, near),
        None => wrong,
    }
}
