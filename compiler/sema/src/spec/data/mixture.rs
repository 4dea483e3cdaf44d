//! `data both { mix web 70%, books 30% }`: a block made of others.

use diag::{Code, Diagnostic, Span};

use super::super::args::Value;
use super::super::file::{BlockNode, Blocks};
use super::super::lines::{self, Lines};
use super::super::words::did_you_mean;
use super::super::{Checker, Override};
use super::{Resolved, finish, named, names};
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
    let (at, text) = (line.span, cx.map.text(line.span).to_owned());
    let mut parts: Vec<(&Resolved<'_>, f64, Span)> = vec![];
    let mut sum = 0.0;
    for item in &line.items {
        let given = item.value.as_ref()?;
        let Value::Mix(name, share) = &given.value else { return None };
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
                .primary("the shares must add up to 100%"),
        );
    }
    alone(cx, &parts);
    let tokenizer = tokenizer(cx, &lines, &parts);
    let mut sources: Vec<Source> = vec![];
    for (part, share, _) in &parts {
        sources.extend(part.source.sources.iter().map(|s| Source { share: *share, ..s.clone() }));
    }
    finish(cx, block, lines, sources, tokenizer, text)
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

/// What a part says beside its tokenizer would have no effect in the mixture.
fn alone(cx: &mut Checker<'_>, parts: &[(&Resolved<'_>, f64, Span)]) {
    for (part, _, at) in parts {
        for line in part.lines.lines.iter().filter(|l| !ALONE.contains(&l.directive.name)) {
            let name = line.directive.name;
            let wrong = format!("`{name}` of a part has no effect in a mixture");
            cx.report(
                Diagnostic::new(Code::E0206, line.span, wrong)
                    .label(*at, "mixed here")
                    .help("move the line to the mixture, where it holds for all parts"),
            );
        }
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
