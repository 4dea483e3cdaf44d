//! Reads the arguments of one directive as its row of the schema describes them.

use std::sync::Arc;

use diag::{Code, Diagnostic, Span};
use syntax::ast::{ExprId, Spec, StrLit};

use super::Checker;
use super::sets::StatedSet;
use super::words::{alternatives, describe, did_you_mean, not_built, word};
use crate::schema::{Directive, Form, Home, Kind, Opt, Status, is_in};

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub(super) value: Value,
    pub(super) span: Span,
    /// As it would be written, where that is not what stands there: `peak`, `4 * 8`.
    pub(super) shown: Option<String>,
}

impl Given {
    /// A value that is written as it is.
    pub(super) fn new(value: Value, span: Span) -> Self {
        Self { value, span, shown: None }
    }

    /// A whole number.
    pub(super) fn count(&self) -> Option<u64> {
        if let Value::Count(n) = self.value { Some(n) } else { None }
    }

    /// An amount of memory.
    pub(super) fn bytes(&self) -> Option<u64> {
        if let Value::Bytes(n) = self.value { Some(n) } else { None }
    }

    /// A number.
    pub(super) fn real(&self) -> Option<f64> {
        if let Value::Real(x) = self.value { Some(x) } else { None }
    }

    /// A stretch of the run.
    pub(super) fn stretch(&self) -> Option<Stretch> {
        if let Value::Span(stretch) = self.value { Some(stretch) } else { None }
    }

    /// A word of a choice.
    pub(super) fn word(&self) -> Option<&'static str> {
        if let Value::Word(word) = self.value { Some(word) } else { None }
    }

    /// A string.
    pub(super) fn text(&self) -> Option<&StrLit> {
        if let Value::Str(text) = &self.value { Some(text) } else { None }
    }

    /// A batch, in sequences.
    pub(super) fn batch(&self) -> Option<u64> {
        if let Value::Batch(n) = self.value { Some(n) } else { None }
    }

    /// Words of a choice, in order.
    pub(super) fn words(&self) -> &[&'static str] {
        if let Value::Words(words) = &self.value { words } else { &[] }
    }

    /// A call.
    pub(super) fn call(&self) -> Option<ExprId> {
        if let Value::Call(expr) = self.value { Some(expr) } else { None }
    }
}

/// A typed value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Count(u64),
    Bytes(u64),
    Real(f64),
    Time(f64),
    Span(Stretch),
    Str(StrLit),
    Name(String),
    Metric(String),
    Word(&'static str),
    Words(Vec<&'static str>),
    /// `web 70%`.
    Mix(String, f64),
    Call(ExprId),
    Set(StatedSet),
    /// `batch 256`.
    Batch(u64),
    /// The metric is below this.
    Below(String, f64),
    Any,
}

/// A stretch of the run, in the unit it was written in.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stretch {
    Steps(u64),
    Epochs(f64),
    Tokens(f64),
    Samples(f64),
    /// A share of all steps.
    Share(f64),
    Seconds(f64),
}

/// The arguments between two commas.
#[derive(Debug, Clone, Default)]
pub(super) struct Item {
    /// The word that selects the form: `value`, `none`, `when`.
    pub(super) lead: Option<&'static str>,
    pub(super) value: Option<Given>,
    pub(super) flag: Option<(&'static str, Span)>,
    pub(super) options: Vec<(&'static str, Given)>,
}

impl Item {
    /// The value of an option.
    pub(super) fn option(&self, name: &str) -> Option<&Given> {
        self.options.iter().find(|(n, _)| *n == name).map(|(_, g)| g)
    }
}

/// Reads the words after a directive; `None` when something is wrong, which is then reported.
pub(super) struct Reader<'c, 'a> {
    pub(super) cx: &'c mut Checker<'a>,
    pub(super) spec: &'c Arc<Spec>,
    pub(super) home: Home,
    pub(super) directive: &'static Directive,
    /// Directives found on the same line.
    pub(super) swallowed: Vec<&'static str>,
}

impl Reader<'_, '_> {
    /// All of one group; `at` is where the directive stands.
    pub(super) fn item(&mut self, words: &[ExprId], at: Span) -> Option<Item> {
        let mut item = Item::default();
        let mut pos = self.positional(words, at, &mut item)?;
        while let Some(&expr) = words.get(pos) {
            pos += self.option(&words[pos..], expr, &mut item)?;
        }
        Some(item)
    }

    /// One option without what stands before it: `every 10`.
    pub(super) fn option_only(&mut self, groups: &[Vec<ExprId>]) -> Option<Item> {
        let mut item = Item::default();
        let words = groups[0].as_slice();
        let used = self.option(words, *words.first()?, &mut item)?;
        match words.get(used).or_else(|| groups.get(1)?.first()) {
            Some(&more) => self.one_too_many(more).map(|_| item),
            None => Some(item),
        }
    }

    /// The value and its flag; how many words they took.
    fn positional(&mut self, words: &[ExprId], at: Span, item: &mut Item) -> Option<usize> {
        let name = self.directive.name;
        let first = words.first().and_then(|&e| word(self.spec, e));
        let is_option = first.is_some_and(|w| self.directive.option_words().any(|o| o == w));
        if self.directive.bare && (words.is_empty() || is_option) || self.directive.forms.is_empty()
        {
            return Some(0);
        }
        let Some(&first_expr) = words.first() else {
            let wants = self.wants();
            self.cx.report(
                Diagnostic::new(Code::E0301, at, format!("`{name}` needs a value"))
                    .primary(format!("expected {wants}")),
            );
            return None;
        };
        let forms = self.directive.forms;
        let (form, mut pos) = match forms.iter().find(|f| f.lead.is_some() && f.lead == first) {
            Some(form) => (form, 1),
            None => match forms.iter().find(|f| f.lead.is_none()) {
                Some(form) => (form, 0),
                None => return self.no_such_form(first_expr),
            },
        };
        if form.status == Status::NotYet {
            let lead = form.lead.unwrap_or_default();
            let span = self.spec[first_expr].span;
            self.cx.report(not_built(&format!("{name} {lead}"), span));
            return None;
        }
        item.lead = form.lead;
        if let Some(kind) = form.value {
            let Some(&expr) = words.get(pos) else {
                let lead = form.lead.unwrap_or_default();
                let span = self.spec[first_expr].span;
                let wrong = format!("`{name} {lead}` needs a value");
                self.cx.report(
                    Diagnostic::new(Code::E0301, span, wrong)
                        .primary(format!("expected {} after it", kind.wants())),
                );
                return None;
            };
            let (given, used) = self.value(kind, expr, &words[pos + 1..], name)?;
            item.value = Some(given);
            pos += used;
        }
        pos += self.flag(form, &words[pos..], item)?;
        Some(pos)
    }

    fn flag(&mut self, form: &Form, words: &[ExprId], item: &mut Item) -> Option<usize> {
        let Some((&expr, text)) = words.first().and_then(|e| Some((e, word(self.spec, *e)?)))
        else {
            return Some(0);
        };
        let Some(flag) = form.flags.iter().find(|f| f.word == text) else {
            return Some(0);
        };
        let span = self.spec[expr].span;
        if flag.status == Status::NotYet {
            self.cx.report(not_built(&format!("{} .. {}", self.directive.name, flag.word), span));
            return None;
        }
        item.flag = Some((flag.word, span));
        Some(1)
    }

    fn no_such_form(&mut self, expr: ExprId) -> Option<usize> {
        let (name, span) = (self.directive.name, self.spec[expr].span);
        let leads: Vec<_> = self.directive.forms.iter().filter_map(|f| f.lead).collect();
        let found = describe(self.spec, self.cx.map, expr);
        let wanted = alternatives(leads.iter().copied());
        let text = word(self.spec, expr).unwrap_or_default();
        let wrong =
            Diagnostic::new(Code::E0301, span, format!("`{name}` takes {wanted}, found {found}"));
        self.cx.report(did_you_mean(wrong, text, span, &leads));
        None
    }

    /// `word value`; how many words it took.
    fn option(&mut self, words: &[ExprId], expr: ExprId, item: &mut Item) -> Option<usize> {
        let (name, span) = (self.directive.name, self.spec[expr].span);
        let Some(text) = word(self.spec, expr) else {
            return self.one_too_many(expr);
        };
        if let Some(opt) = self.directive.options.iter().find(|o| o.word == text) {
            if opt.status == Status::NotYet {
                if opt.kind == Kind::Any || self.option_value(words, *opt, span, item).is_some() {
                    self.cx.report(not_built(&format!("{name} .. {text}"), span));
                }
                return None;
            }
            return self.option_value(words, *opt, span, item);
        }
        if let Some(next) = self.home.find(text) {
            self.swallowed.push(next.name);
            let gap = Span { start: self.before(expr), end: span.start, file: span.file };
            self.cx.report(
                Diagnostic::new(Code::E0207, span, format!("`{text}` starts a new directive"))
                    .primary(format!("on the line of `{name}`"))
                    .fix(format!("put `{text}` on its own line"), gap, "\n  "),
            );
            // What stands before it is as good as on its own line.
            return Some(words.len());
        }
        let options: Vec<_> = self.directive.option_words().collect();
        let flags = self.directive.forms.iter().flat_map(|f| f.flags.iter().map(|w| w.word));
        let words: Vec<_> = options.iter().copied().chain(flags).collect();
        let wrong = Diagnostic::new(Code::E0208, span, format!("`{name}` has no option `{text}`"));
        let follows = |f: &&Form| f.flags.iter().any(|flag| flag.word == text);
        let wrong = match (self.directive.forms.iter().find(follows), words.as_slice()) {
            (Some(Form { lead: Some(lead), .. }), _) => {
                wrong.help(format!("it stands after a value: `{name} {lead} .. {text}`"))
            }
            (Some(_), _) => wrong.help(format!("it stands after a value: `{name} .. {text}`")),
            (None, _) if is_in(name, text) => {
                let gap = Span { start: self.before(expr), ..span };
                wrong.fix(format!("`{name}` is in {text} without the word"), gap, "")
            }
            (None, []) => wrong.help(format!("`{name}` has no options")),
            (None, words) => did_you_mean(wrong, text, span, words),
        };
        self.cx.report(wrong);
        None
    }

    /// Where the text before an expression of the line ends.
    fn before(&self, expr: ExprId) -> u32 {
        let span = self.spec[expr].span;
        let text = &self.cx.map.file(span.file).text[..span.start as usize];
        u32::try_from(text.trim_end().len()).expect("files are below 4 GiB")
    }

    fn option_value(
        &mut self,
        words: &[ExprId],
        opt: Opt,
        at: Span,
        item: &mut Item,
    ) -> Option<usize> {
        let name = self.directive.name;
        let called = format!("{name} {}", opt.word);
        if opt.kind == Kind::Flag && item.option(opt.word).is_none() {
            item.options.push((opt.word, Given::new(Value::Any, at)));
            return Some(1);
        }
        let Some(&expr) = words.get(1) else {
            self.cx.report(
                Diagnostic::new(Code::E0301, at, format!("`{called}` needs a value"))
                    .primary(format!("expected {} after it", opt.kind.wants())),
            );
            return None;
        };
        if item.option(opt.word).is_some() {
            let wrong = format!("`{}` is set twice in `{name}`", opt.word);
            self.cx.report(Diagnostic::new(Code::E0205, at, wrong).help("remove one"));
            return None;
        }
        let (given, used) = self.value(opt.kind, expr, &words[2..], &called)?;
        item.options.push((opt.word, given));
        Some(1 + used)
    }

    fn one_too_many(&mut self, expr: ExprId) -> Option<usize> {
        let name = self.directive.name;
        let found = describe(self.spec, self.cx.map, expr);
        let span = self.spec[expr].span;
        self.cx.report(
            Diagnostic::new(Code::E0301, span, format!("`{name}` does not take {found} here"))
                .primary("one value too many"),
        );
        None
    }

    /// What the positional part may be, in words.
    fn wants(&self) -> String {
        let wanted = self.directive.forms.iter().map(|f| match (f.lead, f.value) {
            (Some(lead), Some(kind)) => format!("`{lead}` and {}", kind.wants()),
            (Some(lead), None) => format!("`{lead}`"),
            (None, Some(kind)) => kind.wants(),
            (None, None) => "nothing".to_owned(),
        });
        wanted.collect::<Vec<_>>().join(", or ")
    }
}
