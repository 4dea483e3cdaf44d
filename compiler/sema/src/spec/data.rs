//! The `data` block: where the text is, how it becomes ids, how it is split.

mod checks;
mod directives;
mod mixture;
mod sources;
mod tokenizer;

use diag::{Code, Diagnostic, Span};

use super::args::Value;
use super::file::{BlockNode, Blocks};
use super::lines::{self, Lines};
use super::settings;
use super::words::{did_you_mean, name_one, one_of};
use super::{Checker, Override};
use crate::program::{DataSource, Format, Pack, Source, Task, Tokenizer};
use crate::schema::Home;
use crate::value::StaticArg;

pub(super) use checks::{enough_data, lints};

/// Bytes have this many ids.
const BYTES: u64 = 256;

/// A data block and what its lines say.
#[derive(Debug)]
pub(super) struct Resolved<'a> {
    pub(super) source: DataSource,
    pub(super) lines: Lines<'a>,
    /// Distinct ids, once known.
    pub(super) vocab: Option<u64>,
    /// The same with those that pad it: what expressions call `data.vocab`.
    pub(super) padded_vocab: Option<u64>,
    /// Distinct labels, once known.
    pub(super) classes: Option<u64>,
    /// The word that opens the block.
    pub(super) word: Span,
    /// Its source as written.
    pub(super) text: String,
    /// The tokenizer that its source, or the parts of a mixture, name.
    pub(super) tokenizer_in_head: Option<(Tokenizer, Span)>,
}

/// The data block of the job: the one it names, else the only one, else the only mixture.
pub(super) fn choose<'b>(
    cx: &mut Checker<'_>,
    blocks: &'b Blocks,
    lines: Option<&Lines<'_>>,
) -> Option<&'b BlockNode> {
    let stated = lines.and_then(|l| l.get("data")).and_then(|l| l.value());
    if let Some(given) = stated
        && let Value::Name(name) = &given.value
    {
        let found = named(blocks, name.rsplit('.').next().unwrap_or(name));
        if found.is_none() && !blocks.incomplete {
            let wrong =
                Diagnostic::new(Code::E0202, given.span, format!("there is no data `{name}`"));
            cx.report(did_you_mean(wrong, name, given.span, &names(blocks)));
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
            let mut mixtures = blocks.datas.iter().filter(|b| b.head.is_none());
            if let (Some(mixture), None) = (mixtures.next(), mixtures.next()) {
                return Some(mixture);
            }
            cx.report(
                Diagnostic::new(Code::E0211, job.word, "`train` must name its data")
                    .primary(format!("{} data blocks to choose from", blocks.datas.len()))
                    .label(first.word, one_of("data", name_of(first)))
                    .label(second.word, one_of("data", name_of(second)))
                    .help(name_one("data", name_of(first), name_of(second))),
            );
            None
        }
    }
}

fn name_of(block: &BlockNode) -> Option<&str> {
    block.name.as_ref().map(|(name, _)| name.as_str())
}

fn named<'b>(blocks: &'b Blocks, name: &str) -> Option<&'b BlockNode> {
    blocks.datas.iter().find(|block| name_of(block) == Some(name))
}

fn names(blocks: &Blocks) -> Vec<&str> {
    blocks.datas.iter().filter_map(name_of).collect()
}

/// Reads every data block; mixtures last, since they are made of the others.
pub(super) fn resolve_all<'a>(
    cx: &mut Checker<'a>,
    blocks: &Blocks,
    overrides: &'a [Override],
) -> Vec<Resolved<'a>> {
    let mut all = with_sources(cx, blocks, overrides);
    for block in blocks.datas.iter().filter(|b| b.head.is_none()) {
        let mixture = mixture::resolve(cx, block, blocks, &all, overrides);
        all.extend(mixture);
    }
    all
}

/// Reads every block that has a source.
fn with_sources<'a>(
    cx: &mut Checker<'a>,
    blocks: &Blocks,
    overrides: &'a [Override],
) -> Vec<Resolved<'a>> {
    let blocks = blocks.datas.iter().filter(|b| b.head.is_some());
    blocks.filter_map(|block| resolve(cx, block, overrides)).collect()
}

/// Reads a block with a source; none where it is no source that this version reads.
fn resolve<'a>(
    cx: &mut Checker<'a>,
    block: &BlockNode,
    overrides: &'a [Override],
) -> Option<Resolved<'a>> {
    let lines = lines::read(cx, block, Home::Data, overrides);
    let head = cx.within(block.head_unit, |cx| sources::head(cx, block, lines.get("tokenizer")))?;
    let has_mixture = cx.blocks[block.unit].datas.iter().any(|b| b.head.is_none());
    let mix = lines.get("mix").filter(|line| !(has_mixture && mixture::is_for_all(cx, line)));
    if let Some(line) = mix {
        cx.report(
            Diagnostic::new(Code::E0208, line.span, "a block with a source has no `mix`")
                .label(block.word, "has files of its own")
                .help("put it in a `data` block without a source"),
        );
    }
    let spec = cx.units[block.head_unit].spec;
    let text = block.head.map(|expr| settings::expanded(cx, spec, spec[expr].span));
    let text = text.unwrap_or_default();
    finish(cx, block, lines, vec![head.source], head.tokenizer, text)
}

/// What the lines of a block make of its sources.
fn finish<'a>(
    cx: &mut Checker<'a>,
    block: &BlockNode,
    lines: Lines<'a>,
    sources: Vec<Source>,
    in_head: Option<(Tokenizer, Span)>,
    text: String,
) -> Option<Resolved<'a>> {
    let tokenizer = tokenizer::resolve(cx, &lines, in_head.as_ref());
    // What a part says is judged with the part.
    let said = lines.get("tokenizer").map(|line| line.span);
    let said = said.or_else(|| in_head.as_ref().filter(|_| block.head.is_some()).map(|t| t.1));
    said.inspect(|at| tokenizer::of_ids(cx, &tokenizer, *at, &sources));
    let mut source = DataSource {
        name: name_of(block).map(str::to_owned),
        sources,
        tokenizer,
        tokenizer_span: said.or(in_head.as_ref().map(|(_, at)| *at)).unwrap_or(block.span),
        splits: directives::splits(cx, &lines),
        stratified: false,
        shuffle: directives::shuffle(&lines),
        pack: directives::pack(&lines),
        loss_on: directives::loss_on(&lines),
        task: Task::NextToken,
        clean: directives::clean(cx, &lines),
        span: block.span,
    };
    directives::task(cx, &lines, &mut source, block.word);
    directives::combinations(cx, &lines, &source, block.word);
    let known = cx.facts.and_then(|f| f.vocab);
    // Documents, rows and hidden tokens need ids of their own beside the bytes.
    let is_plain = source.task == Task::NextToken
        && source.sources.iter().all(|s| matches!(s.format, Format::Text | Format::Tokens));
    let vocab = match source.tokenizer {
        Tokenizer::Bytes if is_plain => Some(BYTES),
        Tokenizer::Bytes
        | Tokenizer::Chars
        | Tokenizer::Words(_)
        | Tokenizer::Bpe(_)
        | Tokenizer::Wordpiece(_)
        | Tokenizer::Gpt2
        | Tokenizer::File(_)
        | Tokenizer::Ids(_) => known,
    };
    let classes = match source.task {
        Task::Classes { stated } => stated.or(cx.facts.and_then(|f| f.classes)),
        Task::NextToken | Task::Masked { .. } => None,
    };
    let multiple = lines.get("pad_vocab").and_then(|line| line.value()?.count()).unwrap_or(1);
    Some(Resolved {
        source,
        vocab,
        padded_vocab: vocab.and_then(|ids| ids.checked_next_multiple_of(multiple)),
        classes,
        word: block.word,
        text,
        tokenizer_in_head: in_head,
        lines,
    })
}

/// Makes `data.vocab` and `NAME.vocab` known to expressions, and the other sizes of data.
pub(super) fn publish(cx: &mut Checker<'_>, blocks: &Blocks, chosen: Option<&Resolved<'_>>) {
    let of = |known: Option<u64>| match known.and_then(|v| i64::try_from(v).ok()) {
        Some(v) => StaticArg::Int(v),
        None => StaticArg::Unknown,
    };
    let pad = cx.facts.and_then(|f| f.pad);
    let sizes = |of_chosen: Option<&Resolved<'_>>| {
        [
            ("vocab", of_chosen.and_then(|c| c.padded_vocab)),
            ("classes", of_chosen.and_then(|c| c.classes)),
            ("pad", of_chosen.and(pad)),
        ]
    };
    for block in &blocks.datas {
        let Some(name) = name_of(block) else { continue };
        for (size, known) in sizes(chosen.filter(|c| c.word == block.word)) {
            cx.env.set(format!("{name}.{size}"), of(known));
        }
    }
    for (size, known) in sizes(chosen) {
        cx.env.set(format!("data.{size}"), of(known));
    }
}

impl Resolved<'_> {
    /// Tokens of a split, once known.
    pub(super) fn tokens(&self, cx: &Checker<'_>, split: &str) -> Option<u64> {
        of_split(&cx.facts?.tokens, split)
    }

    /// Documents of a split, once known.
    pub(super) fn documents(&self, cx: &Checker<'_>, split: &str) -> Option<u64> {
        of_split(&cx.facts?.documents, split)
    }

    /// Sequences of a split, once known.
    pub(super) fn sequences(&self, cx: &Checker<'_>, split: &str, context: u64) -> Option<u64> {
        match self.source.pack {
            Pack::Documents => {
                self.tokens(cx, split).map(|n| super::lengths::sequences(n, context))
            }
            Pack::Rows => self.documents(cx, split),
        }
    }

    /// Whether there is something to evaluate on.
    pub(super) fn has_val(&self) -> bool {
        self.source.splits.iter().any(|(name, share)| name == "val" && *share > 0.0)
    }
}

fn of_split(all: &[(String, u64)], split: &str) -> Option<u64> {
    all.iter().find(|(name, _)| name == split).map(|&(_, n)| n)
}
