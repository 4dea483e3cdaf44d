//! The `data` block: where the text is, how it becomes ids, how it is split.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{Arg, ExprId, ExprKind};

use super::args::{Given, Reader, Value};
use super::file::{BlockNode, Blocks};
use super::lines::{self, Line, Lines};
use super::words::{alternatives, describe, did_you_mean, not_built, word};
use super::{Checker, Override};
use crate::program::{DataSource, Tokenizer};
use crate::schema::{Home, Kind};
use crate::value::StaticArg;

/// Sources that a later version reads.
const LATER: [&str; 4] = ["jsonl", "table", "pairs", "tokens"];

/// Bytes have this many ids.
const BYTES: u64 = 256;

/// A data block and what its lines say.
#[derive(Debug)]
pub(super) struct Resolved<'a> {
    pub(super) source: DataSource,
    pub(super) lines: Lines<'a>,
    /// Distinct ids, once known.
    pub(super) vocab: Option<u64>,
    /// The word that opens the block.
    pub(super) word: Span,
    /// Its source as written.
    pub(super) text: String,
    /// Whether the source names the tokenizer.
    pub(super) tokenizer_in_head: bool,
}

/// The data block of the job: the one it names, else the only one.
pub(super) fn choose<'b>(
    cx: &mut Checker<'_>,
    blocks: &'b Blocks,
    lines: Option<&Lines<'_>>,
) -> Option<&'b BlockNode> {
    let stated = lines.and_then(|l| l.get("data")).and_then(|l| l.value());
    if let Some(given) = stated
        && let Value::Name(name) = &given.value
    {
        let named = |b: &&BlockNode| b.name.as_ref().is_some_and(|(n, _)| n == name);
        let found = blocks.datas.iter().find(named);
        if found.is_none() && !blocks.incomplete {
            let names: Vec<_> = blocks
                .datas
                .iter()
                .filter_map(|b| b.name.as_ref())
                .map(|(n, _)| n.as_str())
                .collect();
            let wrong =
                Diagnostic::new(Code::E0202, given.span, format!("there is no data `{name}`"));
            cx.report(did_you_mean(wrong, name, given.span, &names));
        }
        return found;
    }
    let job = blocks.trains.first()?;
    if lines.is_some_and(|l| l.is_broken("data")) {
        return None;
    }
    match blocks.datas.as_slice() {
        [] if blocks.incomplete => None,
        [] => {
            cx.report(
                Diagnostic::new(Code::E0209, job.word, "the spec has no `data`")
                    .primary("this needs text to train on")
                    .help("add `data text(\"input.txt\")`"),
            );
            None
        }
        [only] => Some(only),
        [first, second, ..] => {
            cx.report(
                Diagnostic::new(Code::E0211, job.word, "`train` must name its data")
                    .primary(format!("{} data blocks to choose from", blocks.datas.len()))
                    .label(first.word, "one")
                    .label(second.word, "another")
                    .help(format!("add `data {}`", name_of(first).unwrap_or("name"))),
            );
            None
        }
    }
}

fn name_of(block: &BlockNode) -> Option<&str> {
    block.name.as_ref().map(|(name, _)| name.as_str())
}

/// Reads a data block; none where it is no source that this version reads.
pub(super) fn resolve<'a>(
    cx: &mut Checker<'a>,
    block: &BlockNode,
    overrides: &'a [Override],
) -> Option<Resolved<'a>> {
    let lines = lines::read(cx, block, Home::Data, overrides);
    let (paths, in_head) = head(cx, block)?;
    let tokenizer = tokenizer(cx, &lines, in_head);
    let splits = splits(cx, &lines);
    let shuffle = lines.get("shuffle").is_none_or(|l| l.lead() != Some("none"));
    let name = name_of(block).map(str::to_owned);
    let vocab = match tokenizer {
        Tokenizer::Bytes => Some(BYTES),
        Tokenizer::Chars => cx.facts.and_then(|f| f.vocab),
    };
    let source = DataSource { name, paths, tokenizer, splits, shuffle, span: block.span };
    let text = block.head.map_or("", |expr| cx.map.text(cx.spec[expr].span)).to_owned();
    let tokenizer_in_head = in_head.is_some();
    Some(Resolved { source, lines, vocab, word: block.word, text, tokenizer_in_head })
}

type Head = (Vec<(String, Span)>, Option<(Tokenizer, Span)>);

/// `text("a.txt", tokenizer: bytes)`.
fn head(cx: &mut Checker<'_>, block: &BlockNode) -> Option<Head> {
    let spec = cx.spec;
    let Some(expr) = block.head else {
        cx.report(
            Diagnostic::new(Code::E0209, block.word, "`data` needs a source")
                .help("write `data text(\"input.txt\")`"),
        );
        return None;
    };
    let at = spec[expr].span;
    let ExprKind::Call { callee, args } = &spec[expr].kind else {
        let found = describe(spec, cx.map, expr);
        cx.report(
            Diagnostic::new(Code::E0301, at, format!("`data` takes a source, found {found}"))
                .help("write `data text(\"input.txt\")`"),
        );
        return None;
    };
    let name = word(spec, *callee).unwrap_or_default().to_owned();
    if LATER.contains(&name.as_str()) {
        cx.report(not_built(&name, spec[*callee].span).help("this version reads `text(..)`"));
        return None;
    }
    if name != "text" {
        let at = spec[*callee].span;
        let wrong = Diagnostic::new(Code::E0202, at, format!("`{name}` is no source of data"));
        let known: Vec<&str> = ["text"].into_iter().chain(LATER).collect();
        cx.report(did_you_mean(wrong, &name, at, &known));
        return None;
    }
    let mut head: Head = (vec![], None);
    let mut whole = true;
    for arg in args {
        whole &= head_arg(cx, arg, &mut head).is_some();
    }
    if head.0.is_empty() && whole {
        cx.report(
            Diagnostic::new(Code::E0305, at, "`text` needs a file")
                .help("write `text(\"input.txt\")`"),
        );
        whole = false;
    }
    whole.then_some(head)
}

fn head_arg(cx: &mut Checker<'_>, arg: &Arg, head: &mut Head) -> Option<()> {
    let spec = cx.spec;
    let at = spec[arg.value].span;
    match &arg.name {
        None => head.0.push((path(cx, arg.value)?, at)),
        Some(name) if name.text == "tokenizer" => {
            head.1 = Some((tokenizer_of(read_tokenizer(cx, arg.value)?), name.span.to(at)));
        }
        Some(name) => {
            let wrong = format!("`text` has no argument `{}`", name.text);
            let wrong = Diagnostic::new(Code::E0305, name.span, wrong);
            cx.report(did_you_mean(wrong, &name.text, name.span, &["tokenizer"]));
            return None;
        }
    }
    Some(())
}

fn path(cx: &mut Checker<'_>, expr: ExprId) -> Option<String> {
    let ExprKind::Str(text) = &cx.spec[expr].kind else {
        let found = describe(cx.spec, cx.map, expr);
        let wrong = format!("`text` takes paths, found {found}");
        cx.report(
            Diagnostic::new(Code::E0301, cx.spec[expr].span, wrong).primary("expected a string"),
        );
        return None;
    };
    let text = super::settings::interpolate(cx, text, None)?;
    if text.is_empty() {
        cx.report(Diagnostic::new(Code::E0302, cx.spec[expr].span, "the path of a file is empty"));
        return None;
    }
    Some(text)
}

fn read_tokenizer(cx: &mut Checker<'_>, expr: ExprId) -> Option<&'static str> {
    let directive = Home::Data.find("tokenizer").expect("a row of the schema");
    let spec = cx.spec;
    let kind = directive.forms.first().and_then(|f| f.value).unwrap_or(Kind::Any);
    let mut reader = Reader { cx, spec, home: Home::Data, directive, swallowed: vec![] };
    let (given, _) = reader.value(kind, expr, &[], "tokenizer")?;
    given.word()
}

fn tokenizer_of(word: &str) -> Tokenizer {
    if word == "chars" { Tokenizer::Chars } else { Tokenizer::Bytes }
}

fn tokenizer(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    in_head: Option<(Tokenizer, Span)>,
) -> Tokenizer {
    let line = lines.get("tokenizer");
    if let (Some(line), Some((_, at))) = (line, in_head)
        && line.origin == lines::Origin::Spec
    {
        cx.report(
            Diagnostic::new(Code::E0205, line.span, "`tokenizer` is set twice in `data`")
                .label(at, "set here first")
                .help("remove one"),
        );
    }
    match line.and_then(Line::value).and_then(Given::word) {
        Some(word) => tokenizer_of(word),
        None => in_head.map_or(Tokenizer::Bytes, |(t, _)| t),
    }
}

/// Shares in order; those of the default where the line is missing or wrong.
fn splits(cx: &mut Checker<'_>, lines: &Lines<'_>) -> Vec<(String, f64)> {
    let default = vec![("train".to_owned(), 0.9), ("val".to_owned(), 0.1)];
    let Some(line) = lines.get("split") else {
        return default;
    };
    let mut splits: Vec<(String, f64)> = vec![];
    for item in &line.items {
        let Some(given) = &item.value else { return default };
        let Some(share) = given.real() else { return default };
        let Some((name, at)) = item.flag else {
            let wrong =
                Diagnostic::new(Code::E0301, given.span, "a share needs the name of its split");
            let names = alternatives(["train", "val", "test"]);
            cx.report(wrong.help(format!("add {names}")));
            return default;
        };
        if splits.iter().any(|(n, _)| n == name) {
            let wrong = format!("the split `{name}` is given twice");
            cx.report(Diagnostic::new(Code::E0703, at, wrong));
            return default;
        }
        splits.push((name.to_owned(), share));
    }
    let sum: f64 = splits.iter().map(|(_, share)| share).sum();
    let no_train = splits.iter().all(|(name, share)| name != "train" || *share == 0.0);
    if (sum - 1.0).abs() > 1e-9 {
        let percent = (sum * 1e6).round() / 1e4;
        cx.report(
            Diagnostic::new(Code::E0703, line.span, format!("splits add up to {percent}%"))
                .primary("the shares must add up to 100%"),
        );
    } else if no_train {
        cx.report(
            Diagnostic::new(Code::E0703, line.span, "there is no `train` split")
                .primary("nothing is left to train on"),
        );
    }
    splits
}

/// Makes `data.vocab` and `NAME.vocab` known to expressions.
pub(super) fn publish(cx: &mut Checker<'_>, blocks: &Blocks, chosen: Option<&Resolved<'_>>) {
    let of = |vocab: Option<u64>| match vocab.and_then(|v| i64::try_from(v).ok()) {
        Some(v) => StaticArg::Int(v),
        None => StaticArg::Unknown,
    };
    for block in &blocks.datas {
        let Some(name) = name_of(block) else { continue };
        let known = chosen.filter(|c| c.word == block.word).and_then(|c| c.vocab);
        cx.env.set(format!("{name}.vocab"), of(known));
    }
    cx.env.set("data.vocab", of(chosen.and_then(|c| c.vocab)));
}

impl Resolved<'_> {
    /// Tokens of a split, once known.
    pub(super) fn tokens(&self, cx: &Checker<'_>, split: &str) -> Option<u64> {
        let tokens = &cx.facts?.tokens;
        tokens.iter().find(|(name, _)| name == split).map(|&(_, n)| n)
    }

    /// Whether there is something to evaluate on.
    pub(super) fn has_val(&self) -> bool {
        self.source.splits.iter().any(|(name, share)| name == "val" && *share > 0.0)
    }
}
