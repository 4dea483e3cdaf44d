//! `data both { mix web 70%, books 30% }`: a block made of others.

use diag::{Code, Diagnostic, Span};

use super::super::args::Value;
use super::super::file::{BlockNode, Blocks};
use super::super::lines::{self, Line, Lines};
use super::super::words::did_you_mean;
use super::super::{Checker, Override};
use super::directives::to_whole;
use super::{Resolved, finish, named, names, with_sources};
use crate::program::{Source, Tokenizer};
use crate::schema::Home;

/// What a part may say for itself.
const ALONE: [&str; 2] = ["tokenizer", "allow"];

/// Reads a block without a source; none where its parts are not known.
pub(super) fn resolve<'a>(
    cx: &mut Checker<'a>,
    block: &BlockNode,
    blocks: &Blocks,
    known: &[Resolved<'_>],
    overrides: &'a [Override],
) -> Option<Resolved<'a>> {
    let lines = lines::read(cx, block, Home::Data, overrides);
    let Some(line) = lines.get("mix") else {
        if !lines.is_broken("mix") {
            cx.report(
                Diagnostic::new(Code::E0209, block.word, "`data` needs a source")
                    .help("write `data text(\"input.txt\")`, or `mix a 70%, b 30%` in its block"),
            );
        }
        return None;
    };
    let at = line.span;
    // The names are those of the file that the line stands in.
    let unit = cx.spec_of(line.spec.file).map_or(block.unit, |spec| cx.unit_of(spec.file));
    let theirs = (unit != block.unit).then(|| elsewhere(cx, unit, overrides));
    let (blocks, known) = theirs.as_ref().map_or((blocks, known), |(b, known)| (b, known));
    let mut parts: Vec<(&Resolved<'_>, f64, Span)> = vec![];
    let mut sum = 0.0;
    for item in &line.items {
        let given = item.value.as_ref()?;
        let Value::Mix(name, share) = &given.value else { return None };
        if *share <= 0.0 {
            let wrong = format!("`{name}` has no share of the mixture");
            let wrong = Diagnostic::new(Code::E0302, given.span, wrong).primary("above 0%");
            cx.report(wrong.help("leave it out, or give it a part"));
            return None;
        }
        if parts.iter().any(|(p, _, _)| p.source.name.as_deref() == Some(name)) {
            let wrong = format!("`{name}` is in the mixture twice");
            cx.report(Diagnostic::new(Code::E0703, given.span, wrong).help("add up its shares"));
            return None;
        }
        let part = part(cx, block, blocks, known, name, given.span)?;
        parts.push((part, *share, given.span));
        sum += share;
    }
    if (sum - 1.0).abs() > 1e-9 {
        let percent = (sum * 1e6).round() / 1e4;
        cx.report(
            Diagnostic::new(Code::E0703, at, format!("the parts add up to {percent}%"))
                .primary("the shares must add up to 100%")
                .help(to_whole(percent)),
        );
    }
    alone(cx, &parts);
    let tokenizer = tokenizer(cx, &lines, &parts);
    let mut sources: Vec<Source> = vec![];
    for (part, share, _) in &parts {
        sources.extend(part.source.sources.iter().map(|s| Source { share: *share, ..s.clone() }));
    }
    let places: Vec<Span> = parts.iter().map(|(_, _, at)| *at).collect();
    let text = places.iter().map(|at| cx.map.text(*at)).collect::<Vec<_>>().join(", ");
    finish(cx, block, lines, sources, tokenizer, format!("mix {text}"))
}

/// The blocks of another file; what is wrong with them is said where that is read.
fn elsewhere<'a>(
    cx: &mut Checker<'a>,
    unit: usize,
    overrides: &'a [Override],
) -> (Blocks, Vec<Resolved<'a>>) {
    let blocks = cx.blocks[unit].clone();
    let n_said = cx.diagnostics.len();
    let known = cx.within(unit, |cx| with_sources(cx, &blocks, overrides));
    cx.diagnostics.truncate(n_said);
    (blocks, known)
}

fn part<'r, 'a>(
    cx: &mut Checker<'_>,
    block: &BlockNode,
    blocks: &Blocks,
    known: &'r [Resolved<'a>],
    name: &str,
    at: Span,
) -> Option<&'r Resolved<'a>> {
    let Some(found) = named(blocks, name) else {
        let wrong = Diagnostic::new(Code::E0202, at, format!("there is no data `{name}`"));
        // Behind the name stands its share.
        let at = Span { end: at.start + name.len() as u32, ..at };
        cx.report(did_you_mean(wrong, name, at, &names(blocks)));
        return None;
    };
    if found.head.is_none() {
        let wrong = Diagnostic::new(Code::E0703, at, "a mixture is made of blocks with a source");
        let what = if found.word == block.word { "is the mixture itself" } else { "is a mixture" };
        cx.report(wrong.primary(format!("`{name}` {what}")));
        return None;
    }
    known.iter().find(|r| r.word == found.word)
}

/// Whether a line is one of the command line for all data, so for the mixture as well.
pub(super) fn is_for_all(cx: &Checker<'_>, line: &Line<'_>) -> bool {
    let mut sets = cx.input.overrides.iter().filter(|set| set.span == line.span);
    sets.any(Override::is_for_all_data)
}

/// What a part says beside its tokenizer would have no effect in the mixture.
fn alone(cx: &mut Checker<'_>, parts: &[(&Resolved<'_>, f64, Span)]) {
    let mut stray = vec![];
    for (part, _, at) in parts {
        let lines = part.lines.lines.iter().filter(|l| !ALONE.contains(&l.directive.name));
        stray.extend(lines.filter(|line| !is_for_all(cx, line)).map(|line| (line, at)));
    }
    for (line, at) in stray {
        let name = line.directive.name;
        let wrong = format!("`{name}` of a part has no effect in a mixture");
        cx.report(
            Diagnostic::new(Code::E0206, line.span, wrong)
                .label(*at, "mixed here")
                .help("move the line to the mixture, where it holds for all parts"),
        );
    }
}

/// The tokenizer that all parts name.
fn tokenizer(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    parts: &[(&Resolved<'_>, f64, Span)],
) -> Option<(Tokenizer, Span)> {
    if lines.get("tokenizer").is_some() {
        return None;
    }
    let (first, _, first_at) = parts.first()?;
    for (part, _, at) in &parts[1..] {
        if part.source.tokenizer != first.source.tokenizer {
            let [a, b] = [first, part].map(|p| p.source.tokenizer.text());
            cx.report(
                Diagnostic::new(Code::E0706, *at, "the parts of a mixture share one tokenizer")
                    .primary(format!("`{b}`"))
                    .label(*first_at, format!("`{a}`"))
                    .help(format!("write `tokenizer {a}` in the mixture")),
            );
            return None;
        }
    }
    Some((first.source.tokenizer.clone(), *first_at))
}
