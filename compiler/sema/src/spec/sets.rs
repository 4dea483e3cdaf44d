//! Sets of weights: read from words, then held against the weights of a model.

use std::collections::BTreeSet;

use diag::{Code, Diagnostic, Span};
use syntax::ast::{BinaryOp, DeclKind, Elem, ExprId, ExprKind};

use super::Checker;
use super::allow::whole_lines;
use super::args::{Given, Reader, Value};
use super::lines::{Line, Lines};
use super::words::{alternatives, clipped, did_you_mean, word};
use crate::program::{Group, ParamSet, Program, Step, Term, Train};
use crate::schema::{Kind, nearest};
use crate::trace::Param;
use crate::value::StaticArg;

/// Parts of a set, and of a path in it, at most: no text makes the check long.
const MAX_TERMS: usize = 64;

/// Bytes of a glob at most, for the same reason.
const MAX_GLOB: usize = 256;

/// Names that a help lists at most.
const MAX_NAMES: usize = 8;

/// Classes of weights, by name.
const CLASSES: &[(&str, Term)] = &[
    ("all", Term::All),
    ("matrices", Term::Matrices),
    ("embeddings", Term::Embeddings),
    ("norms", Term::Norms),
    ("biases", Term::Biases),
    ("head", Term::Head),
];

/// A set, and where each of its parts stands.
#[derive(Debug, Clone)]
pub(super) struct StatedSet {
    pub(super) set: ParamSet,
    parts: Vec<(Term, Span)>,
    /// Whether it is what other sets leave.
    is_rest: bool,
}

impl Given {
    /// A set of weights.
    pub(super) fn set(&self) -> Option<&StatedSet> {
        if let Value::Set(set) = &self.value { Some(set) } else { None }
    }
}

impl Reader<'_, '_> {
    /// `matrices except embeddings`, up to the next option; how many words it took.
    pub(super) fn set(
        &mut self,
        expr: ExprId,
        rest: &[ExprId],
        called: &str,
    ) -> Option<(Given, usize)> {
        let ends = |e: &ExprId| {
            word(self.spec, *e).is_some_and(|w| {
                self.directive.option_words().any(|o| o == w) || self.home.find(w).is_some()
            })
        };
        let n_more = rest.iter().position(ends).unwrap_or(rest.len());
        let words: Vec<ExprId> = [expr].into_iter().chain(rest[..n_more].iter().copied()).collect();
        let first = self.spec[expr].span;
        let span = first.to(self.spec[words[words.len() - 1]].span);
        if words.len() > MAX_TERMS {
            let wrong = format!("a set has at most {MAX_TERMS} parts, found {}", words.len());
            self.cx.report(Diagnostic::new(Code::E0302, span, wrong));
            return None;
        }
        let mut stated = StatedSet { set: ParamSet::none(), parts: vec![], is_rest: false };
        let mut excepted = false;
        for &expr in &words {
            match word(self.spec, expr) {
                Some("except") if !excepted && !stated.parts.is_empty() => excepted = true,
                Some("none") if words.len() == 1 => {}
                Some("rest") if self.directive.name == "optimizer" && stated.parts.is_empty() => {
                    stated.is_rest = true;
                    stated.push(Term::All, self.spec[expr].span, excepted);
                }
                _ => {
                    let term = self.term(expr, called)?;
                    stated.push(term, self.spec[expr].span, excepted);
                }
            }
        }
        if excepted && stated.set.except.is_empty() {
            let wrong = format!("`{called} .. except` needs a set");
            self.cx
                .report(Diagnostic::new(Code::E0301, span, wrong).help("name what it is without"));
            return None;
        }
        stated.set.text = self.cx.map.text(span).to_owned();
        Some((Given::new(Value::Set(stated), span), words.len()))
    }

    /// One part of a set.
    fn term(&mut self, expr: ExprId, called: &str) -> Option<Term> {
        if let ExprKind::Str(text) = &self.spec[expr].kind {
            let at = self.spec[expr].span;
            let glob = super::settings::interpolate(self.cx, text, None)?;
            if glob.len() <= MAX_GLOB {
                return Some(Term::Glob(glob));
            }
            let wrong = format!("a glob has at most {MAX_GLOB} bytes, found {}", glob.len());
            self.cx.report(Diagnostic::new(Code::E0302, at, wrong));
            return None;
        }
        if let Some(name) = word(self.spec, expr) {
            if let Some((_, class)) = CLASSES.iter().find(|(class, _)| *class == name) {
                return Some(class.clone());
            }
            let names = self.cx.library.names(DeclKind::Layer);
            if names.contains(&name) {
                return Some(Term::Layer(name.to_owned()));
            }
        }
        match self.steps(expr) {
            Some(steps) if !matches!(word(self.spec, expr), Some("except" | "none" | "rest")) => {
                Some(Term::Binding(steps))
            }
            Some(_) | None => self.wrong_kind(Kind::Set, expr, called),
        }
    }

    /// `blocks[0..6].attn` as a path.
    fn steps(&self, expr: ExprId) -> Option<Vec<Step>> {
        let (mut steps, mut at) = (vec![], expr);
        // Members stand around what they belong to: the last one is met first.
        loop {
            match &self.spec[at].kind {
                ExprKind::Field { base, name } => {
                    steps.push(Step::Name(name.text.clone()));
                    at = *base;
                }
                ExprKind::Index { base, elems } => {
                    let [Elem::Arg(index)] = elems.as_slice() else { return None };
                    steps.push(self.copies(index.value)?);
                    at = *base;
                }
                ExprKind::Name(name) => {
                    steps.push(Step::Name(name.clone()));
                    steps.reverse();
                    return (steps.len() <= MAX_TERMS).then_some(steps);
                }
                ExprKind::Number(_)
                | ExprKind::Str(_)
                | ExprKind::Bool(_)
                | ExprKind::None
                | ExprKind::Tuple(_)
                | ExprKind::List(_)
                | ExprKind::If { .. }
                | ExprKind::Call { .. }
                | ExprKind::Unary { .. }
                | ExprKind::Binary { .. } => return None,
            }
        }
    }

    /// `3`, or `0..6`.
    fn copies(&self, expr: ExprId) -> Option<Step> {
        let number = |expr| match self.cx.library.eval_static(
            self.spec,
            expr,
            self.cx.env_of(self.spec.file),
        ) {
            Ok(StaticArg::Int(n)) => u64::try_from(n).ok(),
            Ok(_) | Err(_) => None,
        };
        if let ExprKind::Binary { op: BinaryOp::Range, left, right, .. } = self.spec[expr].kind {
            return Some(Step::Copies(number(left)?, number(right)?));
        }
        let one = number(expr)?;
        Some(Step::Copies(one, one.checked_add(1)?))
    }
}

impl StatedSet {
    fn push(&mut self, term: Term, at: Span, excepted: bool) {
        self.parts.push((term.clone(), at));
        if excepted { self.set.except.push(term) } else { self.set.terms.push(term) }
    }
}

/// Holds every stated set against the weights, and every weight against the rules.
pub(super) fn check(cx: &mut Checker<'_>, lines: &Lines<'_>, program: &Program, params: &[Param]) {
    let n_faults = cx.diagnostics.len();
    let stated = lines.lines.iter().flat_map(|line| {
        let options = line.items.iter().flat_map(|i| i.options.iter().map(|(_, given)| given));
        options.chain(line.value()).filter_map(Given::set)
    });
    for set in stated {
        unmatched(cx, set, params);
    }
    if cx.diagnostics.len() > n_faults {
        return;
    }
    trainable(cx, lines, &program.train, params);
    every_weight_has_a_rule(cx, lines, program, params);
    decay_reaches(cx, lines, &program.train, params);
}

/// E0815 for the first part of a set that no weight is in.
fn unmatched(cx: &mut Checker<'_>, stated: &StatedSet, params: &[Param]) {
    let empty = |(term, _): &&(Term, Span)| !params.iter().any(|p| term.holds(p));
    let Some((term, at)) = stated.parts.iter().find(empty) else {
        let leaves = params.iter().any(|p| stated.set.contains(p));
        if let (Some((_, at)), false) = (stated.parts.first(), leaves) {
            let wrong = format!("`{}` leaves no weight", clipped(&stated.set.text));
            cx.report(Diagnostic::new(Code::E0815, *at, wrong).help("remove `except`"));
        }
        return;
    };
    let text = cx.map.text(*at).to_owned();
    let wrong = format!("no weight is in `{}`", clipped(&text));
    let wrong = Diagnostic::new(Code::E0815, *at, wrong)
        .primary(format!("none of {} weights", params.len()));
    let wrong = match term {
        Term::Glob(glob) => near_paths(wrong, glob, *at, params),
        Term::Binding(steps) if let Some(inside) = inside(steps, params) => wrong.help(inside),
        Term::Layer(_) | Term::Binding(_) => near_names(wrong, &text, *at, params),
        Term::All | Term::Matrices | Term::Embeddings | Term::Norms | Term::Biases | Term::Head => {
            wrong.help(format!("weights are called {}", some_paths(params)))
        }
    };
    cx.report(wrong.note("`llmc plan --params` lists all weights"));
}

/// What there is where a path goes astray after its first parts; none where it does so at once.
fn inside(steps: &[Step], params: &[Param]) -> Option<String> {
    let known = |n: &usize| {
        let outer = Term::Binding(steps[..*n].to_vec());
        params.iter().any(|p| outer.holds(p))
    };
    let n = (1..steps.len()).rev().find(known)?;
    let outer = Term::Binding(steps[..n].to_vec());
    let held = params.iter().filter(|p| outer.holds(p));
    let names: BTreeSet<&str> = held.filter_map(|p| p.path.split('.').nth(n)).collect();
    let copies = names.iter().filter_map(|name| name.parse::<u64>().ok()).max();
    Some(match copies {
        Some(last) => format!("choose among the copies `[0..{}]`", last + 1),
        None => format!("it may be {}", alternatives(names.into_iter().take(MAX_NAMES))),
    })
}

fn near_paths(wrong: Diagnostic, glob: &str, at: Span, params: &[Param]) -> Diagnostic {
    match nearest(glob, params.iter().map(|p| p.path.as_str())) {
        Some(near) => wrong.fix(format!("did you mean `{near:?}`?"), at, format!("{near:?}")),
        None => wrong.help(format!("weights are called {}", some_paths(params))),
    }
}

/// Classes, layers and bindings that a misspelt name may be.
fn near_names(wrong: Diagnostic, text: &str, at: Span, params: &[Param]) -> Diagnostic {
    // A binding inside a layer is not reached from the top.
    let inner = params.iter().find(|p| p.path.split('.').any(|part| part == text));
    if inner.is_some() {
        let glob = format!("\"*.{text}.*\"");
        return wrong.fix(format!("did you mean `{glob}`?"), at, glob);
    }
    let mut names: BTreeSet<String> = CLASSES.iter().map(|(name, _)| (*name).to_owned()).collect();
    for param in params {
        names.insert(param.layer.clone());
        names.extend(param.around.iter().cloned());
        names.extend(param.path.split('.').next().map(str::to_owned));
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    match nearest(text, names.iter().copied()) {
        Some(near) => did_you_mean(wrong, text, at, &[near]),
        None => wrong.help(format!("weights are called {}", some_paths(params))),
    }
}

/// The first and the last few paths.
fn some_paths(params: &[Param]) -> String {
    let ticked = |p: &Param| format!("`{}`", p.path);
    match params {
        [] => "nothing: the model has none".to_owned(),
        [one] => ticked(one),
        [first, .., last] if params.len() > 3 => format!("{} .. {}", ticked(first), ticked(last)),
        few => few.iter().map(ticked).collect::<Vec<_>>().join(", "),
    }
}

/// A run has to have something to train.
fn trainable(cx: &mut Checker<'_>, lines: &Lines<'_>, train: &Train, params: &[Param]) {
    let Some(line) = lines.get("freeze") else { return };
    if params.iter().all(|p| train.is_frozen(p)) {
        let wrong = format!("`freeze` leaves none of {} weights to train", params.len());
        let span = whole_lines(cx.map, line.span);
        cx.report(Diagnostic::new(Code::E0302, line.span, wrong).fix("remove the line", span, ""));
    }
}

/// E0815 for a rule without a weight, E0816 for a weight without a rule.
fn every_weight_has_a_rule(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    program: &Program,
    params: &[Param],
) {
    let groups = &program.train.groups;
    let Some(line) = lines.get("optimizer") else { return };
    let group_of = |p: &Param| groups.iter().position(|g| g.on.contains(p));
    for (index, (group, item)) in groups.iter().zip(&line.items).enumerate() {
        if !params.iter().any(|p| group_of(p) == Some(index)) {
            let at = item.option("on").map_or(group.rule.span, |on| on.span);
            let wrong = format!("no weight is left for `{}`", group.rule.name);
            let before = if index == 1 { "the rule before it takes" } else { "rules before take" };
            cx.report(
                Diagnostic::new(Code::E0815, at, wrong)
                    .primary(format!("{before} all {} weights", params.len()))
                    .help(format!("remove `{}`", cx.map.text(group.rule.span.to(at)))),
            );
        }
    }
    let without: Vec<&Param> =
        params.iter().filter(|p| group_of(p).is_none() && !program.train.is_frozen(p)).collect();
    let Some(first) = without.first() else { return };
    let (path, n_more) = (&first.path, without.len() - 1);
    let wrong = match n_more {
        0 => format!("no rule updates `{path}`"),
        1 => format!("no rule updates `{path}` and 1 more weight"),
        n => format!("no rule updates `{path}` and {n} more weights"),
    };
    let at = Span { start: line.span.end, ..line.span };
    cx.report(
        Diagnostic::new(Code::E0816, line.span, wrong)
            .primary(format!(
                "reaches {} of {} weights",
                params.len() - without.len(),
                params.len()
            ))
            .fix("add `, adamw on rest`", at, ", adamw on rest"),
    );
}

/// A stated decay has to reach a weight whose rule has one.
fn decay_reaches(cx: &mut Checker<'_>, lines: &Lines<'_>, train: &Train, params: &[Param]) {
    let Some(line) = lines.get("weight_decay").filter(|l| l.option("on").is_some()) else { return };
    let takes = |g: &Group| g.rule.arg("weight_decay").is_some();
    let reached =
        |p: &Param| train.weight_decay_on.contains(p) && train.group_of(p).is_some_and(takes);
    let is_empty = train.weight_decay_on.terms.is_empty() || train.weight_decay == 0.0;
    if is_empty || params.iter().any(reached) {
        return;
    }
    let on = &train.weight_decay_on.text;
    let rules: Vec<_> = train.groups.iter().filter(|g| !takes(g)).map(|g| &*g.rule.name).collect();
    let wrong = format!("weight decay on `{on}` reaches no weight");
    cx.report(
        Diagnostic::new(Code::E0305, line.span, wrong)
            .primary(format!("updated by `{}`, which has no `weight_decay`", rules.join("`, `")))
            .help("remove the line"),
    );
}

/// The set of an option or a value, else another.
pub(super) fn set_or(given: Option<&Given>, default: ParamSet) -> ParamSet {
    given.and_then(Given::set).map_or(default, |stated| stated.set.clone())
}

/// The set of a directive.
pub(super) fn of_line(line: Option<&Line<'_>>) -> Option<ParamSet> {
    let stated = line?.value()?.set()?;
    (!stated.set.terms.is_empty()).then(|| stated.set.clone())
}
