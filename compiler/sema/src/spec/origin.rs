//! `train x from y`: where the first weights of a job come from.

use diag::{Code, Diagnostic, Span};
use syntax::ast::ExprKind;

use super::file::{BlockNode, Blocks};
use super::settings::interpolate;
use super::words::{describe, did_you_mean, dotted};
use super::{Checker, jobs};
use crate::Input;
use crate::library::Library;
use crate::program::{Origin, OriginOf, Program};
use crate::trace::Param;

const HELP: &str = "write `from pretrain`, or `from \"runs/pretrain\"`";

/// Where the job to run starts, so that the driver can look before the full check.
pub fn origin(input: &Input<'_>) -> Option<Origin> {
    let mut cx = Checker::new(input, None, Library::default());
    let blocks = cx.blocks.clone();
    let job = jobs::choose(&mut cx, &blocks[0])?;
    let found = resolve(&mut cx, job);
    found.filter(|_| !cx.has_errors())
}

/// What a job starts from; none where it says nothing, or something wrong, which is reported.
pub(super) fn resolve(cx: &mut Checker<'_>, job: &BlockNode) -> Option<Origin> {
    let (spec, expr) = (cx.units[job.unit].spec, job.from?);
    let span = spec[expr].span;
    if let ExprKind::Str(text) = &spec[expr].kind {
        let path = interpolate(cx, text, None)?;
        if path.is_empty() {
            let wrong = Diagnostic::new(Code::E0801, span, "the path of a run is empty");
            cx.report(wrong.help(HELP));
            return None;
        }
        return Some(Origin { of: OriginOf::Folder(path), span });
    }
    let Some(name) = dotted(spec, expr) else {
        let found = describe(spec, cx.map, expr);
        let wrong = format!("`train` starts from a job or a run, found {found}");
        cx.report(Diagnostic::new(Code::E0801, span, wrong).help(HELP));
        return None;
    };
    let blocks = cx.blocks.clone();
    if named(&blocks[job.unit], &name).is_none() {
        // It may be a block that could not be read, or one that is not built.
        if !blocks[job.unit].incomplete {
            let wrong = no_job(&blocks[job.unit], &name, span);
            cx.report(wrong);
        }
        return None;
    }
    if let Some(circle) = circle(cx, &blocks[job.unit], job) {
        cx.report(circle);
        return None;
    }
    Some(Origin { of: OriginOf::Job(name), span })
}

fn named<'b>(blocks: &'b Blocks, name: &str) -> Option<&'b BlockNode> {
    blocks.trains.iter().find(|b| b.name.as_ref().is_some_and(|(n, _)| n == name))
}

fn no_job(blocks: &Blocks, name: &str, span: Span) -> Diagnostic {
    let is_named = |b: &&BlockNode| b.name.as_ref().is_some_and(|(n, _)| n == name);
    let others = [("a model", &blocks.models), ("data", &blocks.datas)];
    let other = others.iter().find_map(|(what, all)| Some((*what, all.iter().find(is_named)?)));
    if let Some((what, block)) = other {
        return Diagnostic::new(Code::E0801, span, format!("`train` cannot start from `{name}`"))
            .primary(format!("this is {what}"))
            .label(block.word, "declared here")
            .help("name a training job, or the folder of a run");
    }
    let names: Vec<&str> =
        blocks.trains.iter().filter_map(|b| b.name.as_ref()).map(|(n, _)| n.as_str()).collect();
    let wrong =
        Diagnostic::new(Code::E0801, span, format!("there is no job `{name}` to start from"));
    let wrong = did_you_mean(wrong, name, span, &names);
    if wrong.help.is_empty() && wrong.fixes.is_empty() { wrong.help(HELP) } else { wrong }
}

/// The way from a job back to itself.
fn circle(cx: &Checker<'_>, blocks: &Blocks, job: &BlockNode) -> Option<Diagnostic> {
    let spec = cx.units[job.unit].spec;
    let next = |b: &BlockNode| named(blocks, &dotted(spec, b.from?)?);
    let mut chain = vec![job];
    while let Some(from) = next(chain[chain.len() - 1]) {
        if from.word == job.word {
            // The same words for every job of the circle, so that they are said once.
            let first = (0..chain.len()).min_by_key(|&i| chain[i].word.start).unwrap_or(0);
            chain.rotate_left(first);
            let names: Vec<_> = chain.iter().map(|b| format!("`{}`", b.called())).collect();
            let next = |i: usize| &names[(i + 1) % names.len()];
            let rest = (1..names.len()).map(|i| format!(", {} from {}", names[i], next(i)));
            let rest: String = rest.collect();
            let wrong = format!("{} starts from {}{rest}", names[0], next(0));
            let mut wrong = Diagnostic::new(Code::E0802, chain[0].word, wrong)
                .primary("it would have to be trained before itself");
            for (i, other) in chain.iter().enumerate().skip(1) {
                wrong = wrong.label(other.word, format!("starts from {}", next(i)));
            }
            return Some(wrong.help("remove one `from`: one job has to start with new weights"));
        }
        if chain.iter().any(|b| b.word == from.word) {
            // A circle that this job only leads to is said of the jobs in it.
            return None;
        }
        chain.push(from);
    }
    None
}

/// Says when no weight of the model is in the checkpoint that it starts from.
pub(super) fn check_weights(cx: &mut Checker<'_>, program: &Program, params: &[Param]) {
    let weights = cx.facts.and_then(|f| f.weights.as_ref());
    let (Some(origin), Some(weights)) = (&program.train.from, weights) else { return };
    let there = |p: &Param| weights.tensors.iter().find(|(name, _)| *name == p.path);
    if params.iter().any(|p| there(p).is_some_and(|(_, shape)| *shape == p.shape)) {
        return;
    }
    let n = params.len();
    let wrong = format!("none of the {n} weights of the model is in `{}`", weights.checkpoint);
    let mut wrong =
        Diagnostic::new(Code::E0803, origin.span, wrong).primary("the run to start from");
    wrong = match params.iter().find_map(|p| Some((p, &there(p)?.1))) {
        Some((p, shape)) => {
            wrong.note(format!("`{}` is {:?} here and {shape:?} there", p.path, p.shape))
        }
        None => {
            let first = |names: Vec<&str>| names.into_iter().take(3).collect::<Vec<_>>().join(", ");
            let here = first(params.iter().map(|p| p.path.as_str()).collect());
            let there = first(weights.tensors.iter().map(|(name, _)| name.as_str()).collect());
            wrong.note(format!("here they are called {here}; there {there}"))
        }
    };
    cx.report(wrong.help("use the sizes and the names of that run's model"));
}
