//! Rules and what they run with: groups, weight decay, the learning rate.

use diag::{Code, Diagnostic, Span};
use syntax::ast::DeclKind;

use super::Checker;
use super::args::{Given, Item};
use super::bind;
use super::lines::{Line, Lines};
use super::sets::set_or;
use crate::program::{Call, Group, ParamSet};
use crate::value::StaticArg;

/// The weight decay of rules that take one.
const DEFAULT_DECAY: f64 = 0.1;

/// The learning rates of a rule.
#[derive(Debug)]
pub(super) struct Usual {
    rule: &'static str,
    /// What holds when nothing is stated.
    lr: f64,
    /// The least and the greatest that are usual.
    pub(super) range: (f64, f64),
}

/// Rules of the standard library; the first stands for those of users.
const USUAL: &[Usual] = &[
    Usual { rule: "adamw", lr: 3e-4, range: (1e-5, 1e-3) },
    Usual { rule: "adam", lr: 3e-4, range: (1e-5, 1e-3) },
    Usual { rule: "lamb", lr: 3e-4, range: (1e-4, 1e-2) },
    Usual { rule: "adafactor", lr: 3e-4, range: (1e-5, 1e-2) },
    Usual { rule: "muon", lr: 3e-4, range: (1e-5, 1e-3) },
    Usual { rule: "lion", lr: 1e-4, range: (1e-6, 3e-4) },
    Usual { rule: "sgd", lr: 0.1, range: (1e-3, 1.0) },
    Usual { rule: "lars", lr: 0.1, range: (1e-2, 10.0) },
];

/// The row of a rule.
pub(super) fn usual(rule: &str) -> Option<&'static Usual> {
    USUAL.iter().find(|u| u.rule == rule)
}

/// Rules and their weights, in order; none where a rule is wrong.
pub(super) fn groups(cx: &mut Checker<'_>, lines: &Lines<'_>, at: Span) -> Option<Vec<Group>> {
    let default = |cx: &mut Checker<'_>| {
        bind::bind_default(cx, "adamw", &[("beta1", 0.9), ("beta2", 0.95)], at)
    };
    let Some(line) = lines.get("optimizer") else {
        if lines.is_broken("optimizer") {
            return None;
        }
        return default(cx).map(|rule| vec![Group { rule, on: ParamSet::all() }]);
    };
    let mut group = |item: &Item| {
        let rule = match item.value.as_ref().and_then(Given::call) {
            Some(call) => bind::bind(cx, line.spec, call, DeclKind::Rule),
            None => default(cx),
        };
        Some(Group { rule: rule?, on: set_or(item.option("on"), ParamSet::all()) })
    };
    // Every rule is bound, so that the fault of one does not hide that of another.
    let groups: Vec<Option<Group>> = line.items.iter().map(&mut group).collect();
    groups.into_iter().collect()
}

/// The directive, else a rule's own argument, else the default of rules that take one; it is
/// written into the rules that do not say it themselves.
pub(super) fn weight_decay(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    groups: Option<&mut [Group]>,
) -> (f64, ParamSet) {
    let line = lines.get("weight_decay");
    let stated = line.map(|l| l.value().and_then(Given::real).unwrap_or(0.0));
    // A set alone, from the command line, leaves the value to the default.
    let stated = stated.filter(|_| line.is_none_or(|l| l.value().is_some() || l.lead().is_some()));
    let on = set_or(line.and_then(|l| l.option("on")), ParamSet::matrices());
    let Some(groups) = groups else {
        return (stated.unwrap_or(DEFAULT_DECAY), on);
    };
    if let (Some(line), Some(value)) = (line, stated) {
        said_once(cx, line, value, groups);
    }
    let mut first = None;
    for rule in groups.iter_mut().map(|g| &mut g.rule) {
        let own = says_decay(rule);
        let Some(slot) = rule.args.iter_mut().find(|(name, _)| name == "weight_decay") else {
            continue;
        };
        if !own {
            slot.1 = StaticArg::Real(stated.unwrap_or(DEFAULT_DECAY));
        }
        first = first.or_else(|| rule.number("weight_decay"));
    }
    (first.unwrap_or(0.0), on)
}

/// Whether the user wrote the rule's own argument.
pub(super) fn says_decay(rule: &Call) -> bool {
    rule.written.iter().any(|w| w == "weight_decay")
}

/// The directive and a rule's argument say the same thing; and some rule has to take it.
fn said_once(cx: &mut Checker<'_>, line: &Line<'_>, value: f64, groups: &[Group]) {
    if let Some(group) = groups.iter().find(|g| says_decay(&g.rule)) {
        cx.report(
            Diagnostic::new(Code::E0205, line.span, "weight decay is set twice")
                .label(group.rule.span, "set here too")
                .help("remove one"),
        );
    }
    let takes = |g: &Group| g.rule.arg("weight_decay").is_some();
    if value > 0.0
        && !groups.iter().any(takes)
        && let [first, others @ ..] = groups
    {
        let also = others.iter().map(|g| format!(" nor has `{}`", g.rule.name)).collect::<String>();
        let wrong = format!("`{}` has no weight decay{also}", first.rule.name);
        cx.report(
            Diagnostic::new(Code::E0305, line.span, wrong)
                .label(first.rule.span, "the rule has no argument `weight_decay`")
                .help("remove the line, or use `adamw`"),
        );
    }
}

/// The peak learning rate: stated, maybe for another batch, else the least that is usual for a rule.
pub(super) fn lr(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    groups: Option<&[Group]>,
    batch: u64,
) -> f64 {
    let of_rule = |g: &Group| usual(&g.rule.name).map_or(USUAL[0].lr, |u| u.lr);
    let usual = groups.into_iter().flatten().map(of_rule).reduce(f64::min);
    let usual = usual.unwrap_or(USUAL[0].lr);
    let Some(line) = lines.get("lr") else { return usual };
    let stated = line.value().and_then(Given::real).unwrap_or(usual);
    stated * batch_factor(cx, line, batch)
}

/// The factor of `at batch 256 scale sqrt` for this batch.
fn batch_factor(cx: &mut Checker<'_>, line: &Line<'_>, batch: u64) -> f64 {
    let (at, scale) = (line.option("at"), line.option("scale"));
    match (at, scale) {
        (Some(at), Some(scale)) => {
            let ratio = batch as f64 / at.batch().unwrap_or(batch) as f64;
            if scale.word() == Some("linear") { ratio } else { ratio.sqrt() }
        }
        (Some(at), None) => {
            let wrong = "`lr .. at batch` needs `scale`";
            cx.report(
                Diagnostic::new(Code::E0209, at.span, wrong)
                    .primary(format!("the batch of this run is {batch}"))
                    .help("add `scale sqrt` or `scale linear`"),
            );
            1.0
        }
        (None, Some(scale)) => {
            let wrong = "`lr .. scale` needs the batch that the rate is for";
            cx.report(
                Diagnostic::new(Code::E0209, scale.span, wrong)
                    .help(format!("add `at batch {batch}`, or remove `scale`")),
            );
            1.0
        }
        (None, None) => 1.0,
    }
}
