//! The source of a data block: `jsonl("chat.jsonl", messages: "turns")`.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{Arg, ExprId, ExprKind};

use super::super::Checker;
use super::super::file::BlockNode;
use super::super::lines::Line;
use super::super::words::{clipped, describe, did_you_mean, dotted, not_built, word};
use super::tokenizer;
use crate::program::{Column, Columns, Fields, Format, Source, Tokenizer};
use crate::schema::{self, SOURCES, SourceArg, Status, Takes};
use crate::value::StaticArg;

/// A source, and the tokenizer that it names.
pub(super) struct Head {
    pub(super) source: Source,
    pub(super) tokenizer: Option<(Tokenizer, Span)>,
}

/// An argument of a source as it was given.
enum Given {
    Field(String),
    Column(Column),
    Truth(bool),
    Count(u64),
}

/// What stands between the brackets.
#[derive(Default)]
struct Args {
    paths: Vec<(String, Span)>,
    tokenizer: Option<(Tokenizer, Span)>,
    named: Vec<(&'static str, Given, Span)>,
}

/// Reads the source; none where something is wrong, which is then reported.
///
/// Ids need to know their tokenizer, which a line of the block may name.
pub(super) fn head(
    cx: &mut Checker<'_>,
    block: &BlockNode,
    line: Option<&Line<'_>>,
) -> Option<Head> {
    let spec = cx.spec;
    let expr = block.head?;
    let at = spec[expr].span;
    let ExprKind::Call { callee, args } = &spec[expr].kind else {
        let wrong = no_source(cx, expr);
        cx.report(wrong);
        return None;
    };
    let row = row(cx, *callee)?;
    let mut found = Args::default();
    let mut whole = true;
    for arg in args {
        whole &= read_arg(cx, row, arg, &mut found).is_some();
    }
    if found.paths.is_empty() && whole {
        cx.report(
            Diagnostic::new(Code::E0305, at, format!("`{}` needs a file", row.name))
                .help(format!("write `{}`", row.example)),
        );
        whole = false;
    }
    let in_head = found.tokenizer.clone();
    if in_head.is_none()
        && let Some((line, expr)) = line.and_then(|l| Some((l, l.value()?.call()?)))
    {
        // What is wrong with it is said where the line is read.
        let n_said = cx.diagnostics.len();
        found.tokenizer = tokenizer::of_line(cx, line, expr).map(|t| (t, line.span));
        cx.diagnostics.truncate(n_said);
    }
    let of_line = found.tokenizer.clone();
    let format = whole.then(|| format(cx, row, &mut found, at)).flatten()?;
    if found.tokenizer == of_line {
        found.tokenizer = in_head;
    }
    let name = block.name.as_ref().map(|(name, _)| name.clone());
    let source = Source { name, paths: found.paths, format, share: 1.0, span: at };
    Some(Head { source, tokenizer: found.tokenizer })
}

/// How files that a source reads are called.
const ENDINGS: &[&str] =
    &[".txt", ".md", ".gz", ".zst", ".jsonl", ".csv", ".tsv", ".parquet", ".bin"];

/// A block of data whose source is no call; of a file, what reads it.
fn no_source(cx: &Checker<'_>, expr: ExprId) -> Diagnostic {
    let at = cx.spec[expr].span;
    let found = describe(cx.spec, cx.map, expr);
    let wrong = Diagnostic::new(Code::E0301, at, format!("`data` takes a source, found {found}"));
    let ExprKind::Str(path) = &cx.spec[expr].kind else {
        return wrong.help("write `data text(\"input.txt\")`");
    };
    let path = path.plain().unwrap_or_default();
    let is = |ends: &[&str]| ends.iter().any(|end| path.ends_with(end));
    let quoted = cx.map.text(at);
    if is(&[".txt", ".md", ".txt.gz", ".txt.zst"]) {
        let call = format!("text({quoted})");
        return wrong.fix(format!("write `data {}`", clipped(&call)), at, call);
    }
    let call = if is(&[".jsonl", ".jsonl.gz", ".jsonl.zst"]) {
        format!("jsonl({quoted}, text: \"..\")")
    } else if is(&[".csv", ".tsv", ".parquet"]) {
        format!("table({quoted}, text: \"..\")")
    } else if is(&[".bin"]) {
        format!("tokens({quoted})")
    } else {
        format!("text({quoted})")
    };
    wrong.help(format!("write `data {call}`"))
}

fn row(cx: &mut Checker<'_>, callee: ExprId) -> Option<&'static schema::Source> {
    let at = cx.spec[callee].span;
    let name = word(cx.spec, callee).unwrap_or_default();
    let found = SOURCES.iter().find(|s| s.name == name);
    match found {
        Some(row) if row.status == Status::NotYet => {
            let built = SOURCES.iter().filter(|s| s.status == Status::Built);
            let built: Vec<String> = built.map(|s| format!("`{}(..)`", s.name)).collect();
            let help = format!("this version reads {}", built.join(", "));
            cx.report(not_built(name, at).help(help));
            None
        }
        Some(row) => Some(row),
        None => {
            let wrong = Diagnostic::new(Code::E0202, at, format!("`{name}` is no source of data"));
            let known: Vec<&str> = SOURCES.iter().map(|s| s.name).collect();
            let wrong = match foreign(name) {
                Some(help) => wrong.help(help),
                None => did_you_mean(wrong, name, at, &known),
            };
            cx.report(wrong);
            None
        }
    }
}

/// What formats that have no source of their own are read by.
fn foreign(name: &str) -> Option<&'static str> {
    Some(match name {
        "csv" | "tsv" | "parquet" => "tables are read by `table(\"file\", text: \"column\")`",
        "json" => "a JSON object a line is read by `jsonl(\"file.jsonl\", text: \"field\")`",
        "txt" | "file" | "gz" | "zst" => "text, compressed or not, is read by `text(\"file\")`",
        "bin" | "npy" => "ids are read by `tokens(\"file.bin\")`",
        _ => return None,
    })
}

fn read_arg(
    cx: &mut Checker<'_>,
    row: &'static schema::Source,
    arg: &Arg,
    found: &mut Args,
) -> Option<()> {
    let spec = cx.spec;
    let at = spec[arg.value].span;
    let Some(name) = &arg.name else {
        found.paths.push((path(cx, row.name, arg.value)?, at));
        return Some(());
    };
    let Some(known) = row.args.iter().find(|a| a.name == name.text) else {
        let wrong = format!("`{}` has no argument `{}`", row.name, name.text);
        let wrong = Diagnostic::new(Code::E0305, name.span, wrong);
        let names: Vec<_> = row.args.iter().map(|a| a.name).collect();
        cx.report(did_you_mean(wrong, &name.text, name.span, &names));
        return None;
    };
    if let Some((_, _, first)) = found.named.iter().find(|(n, _, _)| *n == known.name) {
        let wrong = format!("`{}` is given twice", known.name);
        cx.report(Diagnostic::new(Code::E0205, name.span, wrong).label(*first, "given here first"));
        return None;
    }
    if known.takes == Takes::Tokenizer {
        found.tokenizer = Some((tokenizer::of_expr(cx, spec, arg.value)?, name.span.to(at)));
        return Some(());
    }
    let given = named(cx, row.name, known, arg.value)?;
    found.named.push((known.name, given, name.span.to(at)));
    Some(())
}

fn named(cx: &mut Checker<'_>, source: &str, arg: &SourceArg, expr: ExprId) -> Option<Given> {
    let spec = cx.spec;
    let at = spec[expr].span;
    if let (Takes::Field | Takes::Column, ExprKind::Str(text)) = (arg.takes, &spec[expr].kind) {
        let text = super::super::settings::interpolate(cx, text, None)?;
        return Some(match arg.takes {
            Takes::Column => Given::Column(Column::Name(text)),
            Takes::Field | Takes::Truth | Takes::Count | Takes::Tokenizer => Given::Field(text),
        });
    }
    if let (Takes::Column | Takes::Count, ExprKind::Number(n)) = (arg.takes, &spec[expr].kind)
        && let Some(n) = n.int.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0)
    {
        return Some(match arg.takes {
            Takes::Column => Given::Column(Column::Number(n)),
            Takes::Count | Takes::Field | Takes::Truth | Takes::Tokenizer => {
                Given::Count(u64::from(n))
            }
        });
    }
    if let (Takes::Truth, ExprKind::Bool(truth)) = (arg.takes, &spec[expr].kind) {
        return Some(Given::Truth(*truth));
    }
    let wants = match arg.takes {
        Takes::Field => "the name of a field in quotes",
        Takes::Column => "the name of a column in quotes, or its number from 1",
        Takes::Count => "a whole number above 0",
        Takes::Truth => "`true` or `false`",
        Takes::Tokenizer => "a tokenizer",
    };
    let found = describe(spec, cx.map, expr);
    let wrong = format!("`{}` of `{source}` takes {wants}, found {found}", arg.name);
    let wrong = Diagnostic::new(Code::E0301, at, wrong);
    let is_word = matches!(arg.takes, Takes::Field | Takes::Column) && word(spec, expr).is_some();
    let quoted = format!("\"{}\"", cx.map.text(at));
    cx.report(if is_word { wrong.fix(format!("write `{quoted}`"), at, quoted) } else { wrong });
    None
}

fn path(cx: &mut Checker<'_>, source: &str, expr: ExprId) -> Option<String> {
    let named = dotted(cx.spec, expr).and_then(|name| cx.env.get(&name).cloned());
    if let Some(StaticArg::Str(text)) = named {
        return Some(cx.placed(text, cx.spec.file));
    }
    let ExprKind::Str(text) = &cx.spec[expr].kind else {
        let found = describe(cx.spec, cx.map, expr);
        let (wrong, at) = (format!("`{source}` takes paths, found {found}"), cx.spec[expr].span);
        let wrong = Diagnostic::new(Code::E0301, at, wrong).primary("expected a string");
        let written = cx.map.text(at);
        let is_path = ENDINGS.iter().any(|ending| written.ends_with(ending))
            && written.chars().all(|c| c.is_alphanumeric() || "._-/*".contains(c));
        let quoted = format!("\"{written}\"");
        cx.report(match is_path {
            true => wrong.fix(format!("write `{}`", clipped(&quoted)), at, quoted),
            false => wrong.help(format!("a path stands in quotes: `{source}(\"..\")`")),
        });
        return None;
    };
    let text = super::super::settings::interpolate(cx, text, None)?;
    if text.is_empty() {
        cx.report(Diagnostic::new(Code::E0302, cx.spec[expr].span, "the path of a file is empty"));
        return None;
    }
    Some(cx.placed(text, cx.spec.file))
}

/// How documents lie in the files, by the arguments that were named.
fn format(
    cx: &mut Checker<'_>,
    row: &'static schema::Source,
    args: &mut Args,
    at: Span,
) -> Option<Format> {
    let parts = |cx: &mut Checker<'_>| parts(cx, row.name, args, at);
    match row.name {
        "jsonl" => Some(Format::Jsonl(match parts(cx)? {
            Parts::Nothing => Fields::Text { text: "text".to_owned(), label: args.field("label") },
            Parts::Text => Fields::Text { text: args.field("text")?, label: args.field("label") },
            Parts::Pair => Fields::Pair {
                prompt: args.field("prompt")?,
                completion: args.field("completion")?,
            },
            Parts::Messages => Fields::Messages(args.field("messages")?),
        })),
        "table" => {
            let columns = match parts(cx)? {
                Parts::Pair => Columns::Pair {
                    prompt: args.column("prompt")?,
                    completion: args.column("completion")?,
                },
                Parts::Text => {
                    Columns::Text { text: args.column("text")?, label: args.column("label") }
                }
                Parts::Nothing | Parts::Messages => {
                    cx.report(
                        Diagnostic::new(Code::E0305, at, "`table` needs the column of its text")
                            .help("write `text: \"name\"`, or `text: 1` for the first column"),
                    );
                    return None;
                }
            };
            let header = args.named.iter().find_map(|(_, given, _)| match given {
                Given::Truth(truth) => Some(*truth),
                Given::Field(_) | Given::Column(_) | Given::Count(_) => None,
            });
            Some(Format::Table { columns, header })
        }
        "tokens" => ids(cx, args, at),
        _ => Some(Format::Text),
    }
}

/// Ids are those of a tokenizer, or so many that mean nothing here.
fn ids(cx: &mut Checker<'_>, args: &mut Args, at: Span) -> Option<Format> {
    let vocab = args.named.iter().find_map(|(_, given, span)| match given {
        Given::Count(n) => Some((*n, *span)),
        Given::Field(_) | Given::Column(_) | Given::Truth(_) => None,
    });
    match (vocab, &args.tokenizer) {
        (Some((_, vocab_at)), Some((_, at))) => {
            cx.report(
                Diagnostic::new(Code::E0305, vocab_at, "the tokenizer says how many ids there are")
                    .label(*at, "this tokenizer")
                    .help("keep one of them"),
            );
            return None;
        }
        (Some((n, span)), None) => args.tokenizer = Some((Tokenizer::Ids(n), span)),
        // Which of them can be is judged when it is known whose is used.
        (None, Some(_)) => {}
        (None, None) => {
            cx.report(
                Diagnostic::new(Code::E0305, at, "`tokens` needs to know how many ids there are")
                    .help("add `tokenizer: gpt2`, or `vocab: 50257` for ids without text"),
            );
            return None;
        }
    }
    Some(Format::Tokens)
}

/// Which arguments say what is read.
enum Parts {
    Nothing,
    Text,
    Pair,
    Messages,
}

/// `text`, or `prompt` and `completion`, or `messages`.
fn parts(cx: &mut Checker<'_>, source: &str, args: &Args, at: Span) -> Option<Parts> {
    let names = ["text", "prompt", "completion", "messages"];
    let stated = names.map(|name| args.named.iter().any(|(n, _, _)| *n == name));
    let found = match stated {
        [false, false, false, false] => Parts::Nothing,
        [true, false, false, false] => Parts::Text,
        [false, true, true, false] => Parts::Pair,
        [false, false, false, true] => Parts::Messages,
        [false, prompt, _, false] => {
            let missing = if prompt { "completion" } else { "prompt" };
            let wrong =
                Diagnostic::new(Code::E0305, at, format!("`{source}` needs `{missing}`, too"))
                    .primary("a prompt and its completion come together");
            cx.report(wrong.help(format!("add `{missing}: \"{missing}\"`")));
            return None;
        }
        [_, _, _, _] => {
            let wrong =
                format!("`{source}` reads a text, a prompt with its completion, or messages");
            let mut wrong = Diagnostic::new(Code::E0305, at, wrong);
            for (name, _, span) in args.named.iter().filter(|(n, _, _)| names.contains(n)) {
                wrong = wrong.label(*span, format!("`{name}`"));
            }
            cx.report(wrong.help("keep one of them"));
            return None;
        }
    };
    let label = args.named.iter().find(|(n, _, _)| *n == "label");
    if let (Parts::Pair | Parts::Messages, Some((_, _, span))) = (&found, label) {
        cx.report(
            Diagnostic::new(Code::E0706, *span, "a label is of a text, not of an answer")
                .help("name the text: `text: \"..\"`, or remove the label"),
        );
        return None;
    }
    Some(found)
}

impl Args {
    fn field(&self, name: &str) -> Option<String> {
        let found = self.named.iter().find(|(n, _, _)| *n == name);
        found.and_then(|(_, given, _)| match given {
            Given::Field(text) => Some(text.clone()),
            Given::Column(_) | Given::Truth(_) | Given::Count(_) => None,
        })
    }

    fn column(&self, name: &str) -> Option<Column> {
        let found = self.named.iter().find(|(n, _, _)| *n == name);
        found.and_then(|(_, given, _)| match given {
            Given::Column(column) => Some(column.clone()),
            Given::Field(_) | Given::Truth(_) | Given::Count(_) => None,
        })
    }
}
