//! Shares as other tools write them: `split 80/20`, `mix a 7, b 3`.

use diag::{Code, Diagnostic, SourceMap};
use syntax::ast::{BinaryOp, ExprId, ExprKind, Spec, Unit};

use super::foreign::percent;
use super::words::{clipped, has_comment, word};
use crate::schema::Directive;

/// Which of the two lists of shares it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    /// `90% train, 10% val`.
    Split,
    /// `web 70%, books 30%`.
    Mix,
}

/// The splits, each with the words of other tools for it.
const SPLITS: [(&str, &[&str]); 3] = [
    ("train", &["train", "training"]),
    ("val", &["val", "valid", "validation", "dev", "eval", "evaluation"]),
    ("test", &["test", "testing"]),
];

/// One share and what it is of, as far as that is said.
#[derive(Debug, Clone, Copy)]
struct Part<'s> {
    name: Option<&'s str>,
    value: f64,
    unit: Unit,
    text: &'s str,
}

/// What is wrong with shares that are all there, only in another order or of another whole.
pub(super) fn reworded(
    map: &SourceMap,
    spec: &Spec,
    directive: &Directive,
    groups: &[&[ExprId]],
) -> Option<Diagnostic> {
    let list = match directive.name {
        "split" => List::Split,
        "mix" => List::Mix,
        _ => return None,
    };
    let (first, last) = (groups.first()?.first()?, groups.last()?.last()?);
    let span = spec[*first].span.to(spec[*last].span);
    let line = line(map, spec, list, groups)?;
    let wrong = match list {
        List::Split => "`split` takes shares of 100%, each with its name behind it",
        List::Mix => "`mix` takes names of data, each with its share of 100% behind it",
    };
    let wrong = Diagnostic::new(Code::E0301, span, wrong);
    let wrong = wrong.primary(format!("`{}`", clipped(map.text(span))));
    let help = format!("write `{} {line}`", directive.name);
    Some(if has_comment(map, span) { wrong.help(help) } else { wrong.fix(help, span, line) })
}

/// The same as it should be written; none where it is, or cannot be read in one way.
fn line(map: &SourceMap, spec: &Spec, list: List, groups: &[&[ExprId]]) -> Option<String> {
    let mut groups = groups.to_vec();
    let mut end = "";
    if let Some(group) = groups.last_mut()
        && let [rest @ .., last] = group
        && word(spec, *last) == Some("stratified")
    {
        (*group, end) = (rest, " stratified");
    }
    let mut parts = vec![];
    for group in &groups {
        parts.extend(parts_of(map, spec, list, group)?);
    }
    let whole = whole(&parts)?;
    let is_ours = groups.iter().all(|group| stands_as_ours(map, spec, list, group));
    if is_ours && whole == 1.0 {
        return None;
    }
    let names = names(list, &parts)?;
    let shares = shares(&parts, whole);
    let written = names.iter().zip(shares).map(|(name, share)| match list {
        List::Split => format!("{share} {name}"),
        List::Mix => format!("{name} {share}"),
    });
    Some(written.collect::<Vec<_>>().join(", ") + end)
}

/// Whether a group has the order of ours.
fn stands_as_ours(map: &SourceMap, spec: &Spec, list: List, group: &[ExprId]) -> bool {
    let is_split = |name: &str| SPLITS.iter().any(|(ours, _)| *ours == name);
    let [a, b] = *group else { return false };
    match list {
        List::Split => part(map, spec, a).is_some() && word(spec, b).is_some_and(is_split),
        List::Mix => word(spec, a).is_some() && part(map, spec, b).is_some(),
    }
}

/// The parts of a group, in any order that can be read in one way.
fn parts_of<'s>(
    map: &'s SourceMap,
    spec: &'s Spec,
    list: List,
    group: &[ExprId],
) -> Option<Vec<Part<'s>>> {
    let mut parts = vec![];
    if let ([only], List::Split) = (group, list) {
        quotients(map, spec, *only, &mut parts)?;
        return Some(parts);
    }
    if group.iter().all(|&e| part(map, spec, e).is_some()) {
        return group.iter().map(|&e| part(map, spec, e)).collect();
    }
    let names_first = word(spec, *group.first()?).is_some();
    for pair in group.chunks(2) {
        let [a, b] = *pair else { return None };
        let (name, share) = if names_first { (a, b) } else { (b, a) };
        parts.push(Part { name: Some(word(spec, name)?), ..part(map, spec, share)? });
    }
    Some(parts)
}

/// A number that may be a share.
fn part<'s>(map: &'s SourceMap, spec: &Spec, expr: ExprId) -> Option<Part<'s>> {
    let ExprKind::Number(n) = &spec[expr].kind else { return None };
    let part = Part { name: None, value: n.value, unit: n.unit, text: map.text(spec[expr].span) };
    (matches!(n.unit, Unit::None | Unit::Percent) && n.value > 0.0).then_some(part)
}

/// The numbers of `80/10/10`.
fn quotients<'s>(
    map: &'s SourceMap,
    spec: &Spec,
    expr: ExprId,
    into: &mut Vec<Part<'s>>,
) -> Option<()> {
    if let ExprKind::Binary { op: BinaryOp::Div, left, right, .. } = spec[expr].kind {
        quotients(map, spec, left, into)?;
        into.push(part(map, spec, right)?);
    } else {
        into.push(part(map, spec, expr)?);
    }
    Some(())
}

/// What the parts are parts of: 1, or a sum that people make of whole numbers.
///
/// Any other sum is a slip, and which of the numbers is wrong is not known here.
fn whole(parts: &[Part<'_>]) -> Option<f64> {
    let sum: f64 = parts.iter().map(|p| p.value).sum();
    let all = |is: fn(&Part<'_>) -> bool| parts.iter().all(is);
    let are_plain = all(|p| p.unit == Unit::None);
    let are_counts = are_plain && all(|p| p.value >= 1.0 && p.value.fract() == 0.0);
    match parts.len() > 1 && (are_plain || all(|p| p.unit == Unit::Percent)) {
        true if are_counts && (sum <= 10.0 || sum == 100.0) => Some(sum),
        true if !are_counts && (sum - 1.0).abs() < 1e-9 => Some(1.0),
        true | false => None,
    }
}

/// The shares, as they are written where they are parts of 1.
fn shares(parts: &[Part<'_>], whole: f64) -> Vec<String> {
    if whole == 1.0 {
        return parts.iter().map(|part| part.text.to_owned()).collect();
    }
    let mut shares: Vec<f64> =
        parts.iter().map(|part| (part.value / whole * 1e6).round() / 1e6).collect();
    // Thirds and the like add up as well.
    let rest = 1.0 - shares.iter().sum::<f64>();
    shares.iter_mut().rev().take(1).for_each(|last| *last += rest);
    shares.into_iter().map(percent).collect()
}

/// The name of each part, in our words; none is there twice.
fn names(list: List, parts: &[Part<'_>]) -> Option<Vec<String>> {
    let ours = |name: &str| {
        let row = SPLITS.iter().find(|(_, all)| all.contains(&name));
        row.map(|(ours, _)| (*ours).to_owned())
    };
    if parts.iter().all(|part| part.name.is_none()) && list == List::Split {
        return SPLITS.get(..parts.len()).map(|s| s.iter().map(|(n, _)| (*n).to_owned()).collect());
    }
    let names = parts.iter().map(|part| match list {
        List::Split => ours(part.name?),
        List::Mix => part.name.map(str::to_owned),
    });
    let names: Vec<String> = names.collect::<Option<_>>()?;
    let is_twice = names.iter().enumerate().any(|(at, name)| names[..at].contains(name));
    (!is_twice).then_some(names)
}
