//! Which training job a check is for, and the blocks that the job reads.
//!
//! A job that is like one of another file has the model and the data of that file where its own
//! file has none.

use diag::{Code, Diagnostic};

use super::Checker;
use super::args::Value;
use super::bind::{self, Model};
use super::data;
use super::file::{BlockNode, Blocks};
use super::lines::Lines;
use super::words::{did_you_mean, dotted};
use crate::schema::Home;

/// Jobs beside the one to run that a check looks at, at most: no text makes it long.
const MAX_OTHERS: usize = 31;

/// The job to run: the one that is asked for, else the last one.
pub(super) fn choose<'b>(cx: &mut Checker<'_>, blocks: &'b Blocks) -> Option<&'b BlockNode> {
    let Some(asked) = cx.input.job else { return blocks.trains.last() };
    let is_named = |b: &&BlockNode| b.name.as_ref().is_some_and(|(n, _)| *n == asked.text);
    // `train` is the job without a name.
    let is_plain = |b: &&BlockNode| asked.text == Home::Train.word() && b.name.is_none();
    let mut found = blocks.trains.iter().filter(is_named);
    let found = found.next().or_else(|| blocks.trains.iter().find(is_plain));
    if found.is_none() && !blocks.incomplete {
        let names: Vec<&str> = blocks.trains.iter().map(BlockNode::called).collect();
        let wrong = format!("the spec has no job `{}`", asked.text);
        let wrong = Diagnostic::new(Code::E0202, asked.span, wrong);
        cx.report(match asked.text.split_once('=') {
            Some((path, value)) if !path.is_empty() => {
                let block = if path.contains('.') { "" } else { "train." };
                wrong.help(format!("a line is set with `--set {block}{path}={value}`"))
            }
            Some(_) | None => did_you_mean(wrong, &asked.text, asked.span, &names),
        });
    }
    found
}

/// What a run of the job is called: as the file, and as the job where the file has others.
pub(super) fn run_name(cx: &Checker<'_>, job: &BlockNode) -> String {
    run_called(cx, job.name.as_ref().map(|(name, _)| name.as_str()))
}

/// The same by the name of the job, where it has one.
pub(super) fn run_called(cx: &Checker<'_>, job: Option<&str>) -> String {
    match job {
        Some(name) if cx.blocks[0].trains.len() > 1 => format!("{}-{name}", cx.name),
        Some(_) | None => cx.name.to_owned(),
    }
}

/// All jobs but that one.
pub(super) fn others<'b>(
    blocks: &'b Blocks,
    job: Option<&'b BlockNode>,
) -> impl Iterator<Item = &'b BlockNode> {
    let is_other = move |b: &&BlockNode| job.is_some_and(|job| job.word != b.word);
    blocks.trains.iter().filter(is_other).take(MAX_OTHERS)
}

/// The data of the job.
pub(super) fn data(
    cx: &mut Checker<'_>,
    job: Option<&BlockNode>,
    lines: Option<&Lines<'_>>,
) -> Option<BlockNode> {
    let job = job?;
    let all = cx.blocks.clone();
    let stated = lines.and_then(|l| l.get("data"));
    let path = stated.and_then(|line| {
        let Value::Name(path) = &line.value()?.value else { return None };
        Some((line, path.clone()))
    });
    let unit = match path {
        Some((line, path)) => {
            let Some((unit, _)) = cx.target_in(line.spec, &path) else {
                let at = line.value()?.span;
                let wrong = Diagnostic::new(Code::E0202, at, format!("there is no data `{path}`"));
                let is_missing = cx.imported.iter().any(|name| path.split('.').any(|w| w == name));
                if !is_missing {
                    cx.report(wrong.help("the name before the dot is that of a `use` line"));
                }
                return None;
            };
            unit
        }
        None => nearest(cx, job, |blocks| !blocks.datas.is_empty()),
    };
    let blocks = Blocks { trains: vec![job.clone()], ..all[unit].clone() };
    data::choose(cx, &blocks, lines).cloned()
}

/// The model of the job.
pub(super) fn model(
    cx: &mut Checker<'_>,
    job: &BlockNode,
    models: &[Vec<Model>],
    lines: &Lines<'_>,
) -> Option<Model> {
    let all = cx.blocks.clone();
    let path = lines.get("model").and_then(|line| {
        let path = dotted(line.spec, line.value()?.call()?)?;
        Some(cx.target_in(line.spec, &path)?.0)
    });
    let unit = match path {
        Some(unit) => unit,
        None => nearest(cx, job, |blocks| !blocks.models.is_empty()),
    };
    bind::choose_model(cx, job, (&all[unit], &models[unit]), lines)
}

/// The file of the job if it has such a block, else that of what the job is like; else its own.
fn nearest(cx: &mut Checker<'_>, job: &BlockNode, has: impl Fn(&Blocks) -> bool) -> usize {
    let all = cx.blocks.clone();
    let n_said = cx.diagnostics.len();
    let (likes, _) = cx.likes(job, Home::Train);
    // It is said where the lines are read.
    cx.diagnostics.truncate(n_said);
    let mut files = [job.unit].into_iter().chain(likes.iter().map(|b| b.unit));
    files.find(|&unit| has(&all[unit])).unwrap_or(job.unit)
}

impl BlockNode {
    /// Its name, or its word.
    pub(super) fn called(&self) -> &str {
        self.name.as_ref().map_or(Home::Train.word(), |(name, _)| name)
    }
}
