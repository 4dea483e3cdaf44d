//! `--set train.lr=3e-4`: one directive, or one option, from the command line.
//!
//! The text is a virtual file of its own, so that messages point into it.

use std::ops::Range;
use std::sync::Arc;

use diag::{Code, Diagnostic, FileId, SourceMap, Span};
use syntax::ast::{Ident, Node, Spec};

use super::Checker;
use super::file::{BlockNode, Blocks};
use super::foreign::{Written, unknown};
use super::input::node_of;
use super::words::{did_you_mean, not_built};
use crate::schema::{BLOCKS, Home, Status};

/// The name that messages give the texts of `--set`.
const FILE: &str = "<command line: --set>";

/// One `--set`.
#[derive(Debug, Clone)]
pub struct Override {
    /// `["train", "checkpoint", "every"]`.
    pub path: Vec<Ident>,
    /// The value, parsed as a line that starts with the last word of the path.
    pub spec: Arc<Spec>,
    /// All of the text.
    pub span: Span,
}

impl Override {
    /// Parses `path=value` and adds it to the map; there is none where it is no such text.
    pub fn parse(map: &mut SourceMap, text: &str) -> (Option<Override>, Vec<Diagnostic>) {
        let line = text.replace(['\n', '\r'], " ");
        let id = map.add(FILE, line.clone());
        let span = Span::new(id, 0, position(line.len()));
        let Some(path) = line.split_once('=').and_then(|(path, _)| path_of(path, id)) else {
            let wrong = Diagnostic::new(Code::E0102, span, "`--set` takes `block.directive=value`");
            return (None, vec![wrong.help("for example `--set train.lr=3e-4`")]);
        };
        let word = path.last().expect("a path has a word").span.range();
        let equals = line.find('=').expect("the path ends there");
        let (spec, mut diagnostics) = masked_line(map, id, word, equals + 1);
        let set = Override { path, spec, span };
        if diagnostics.is_empty() && set.node().is_none() {
            let wrong = "`--set` sets a directive, not a statement";
            diagnostics.push(Diagnostic::new(Code::E0102, span, wrong));
        }
        let whole = diagnostics.is_empty() && set.node().is_some();
        (whole.then_some(set), diagnostics)
    }

    /// The parsed line.
    pub(super) fn node(&self) -> Option<&Node> {
        node_of(&self.spec)
    }

    /// What it sets in this block: a directive, and maybe an option of it; `names` are those of
    /// all blocks of the file, which go before directives of the same word.
    pub(super) fn within(
        &self,
        home: Home,
        block: &BlockNode,
        names: &[String],
    ) -> Option<&[Ident]> {
        let first = self.path[0].text.as_str();
        let is_name = block.name.as_ref().is_some_and(|(name, _)| name == first);
        if self.path.len() > 1 && (first == home.word() || is_name) {
            return Some(&self.path[1..]);
        }
        (!self.names_block(names) && home.find(first).is_some()).then_some(&self.path)
    }

    /// Whether the path names no block: `data.split`, and `split` alone.
    pub(super) fn is_for_all_data(&self) -> bool {
        self.path.len() == 1 || self.path[0].text == Home::Data.word()
    }

    /// Whether the path starts with a block.
    fn names_block(&self, names: &[String]) -> bool {
        let first = &self.path[0].text;
        let is_word = [Home::Train, Home::Data].iter().any(|home| home.word() == first);
        self.path.len() > 1 && (is_word || names.contains(first))
    }
}

/// Parses a text as if all before its end were blank but for one word, at the same places.
pub(super) fn masked_line(
    map: &SourceMap,
    id: FileId,
    word: Range<usize>,
    skipped: usize,
) -> (Arc<Spec>, Vec<Diagnostic>) {
    let line = &map.file(id).text;
    let mut masked = " ".repeat(word.start);
    masked.push_str(&line[word.clone()]);
    masked.push_str(&" ".repeat(skipped - word.end));
    masked.push_str(&line[skipped..]);
    let mut shadow = SourceMap::new();
    for (_, file) in map.iter() {
        let is_last = shadow.iter().count() as u32 == id.0;
        shadow.add(file.name.clone(), if is_last { masked.as_str() } else { "" });
    }
    syntax::parse(&shadow, id)
}

fn position(byte: usize) -> u32 {
    u32::try_from(byte).expect("the command line is below 4 GiB")
}

/// `a.b.c` as words with their places.
fn path_of(text: &str, file: FileId) -> Option<Vec<Ident>> {
    let mut start = 0;
    let mut path = vec![];
    for part in text.split('.') {
        let name = part.trim();
        let at = start + (part.len() - part.trim_start().len());
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return None;
        }
        let span = Span::new(file, position(at), position(at + name.len()));
        path.push(Ident { text: name.to_owned(), span });
        start += part.len() + 1;
    }
    Some(path)
}

/// Reports the paths that lead nowhere.
pub(super) fn check_paths(cx: &mut Checker<'_>, blocks: &Blocks, overrides: &[Override]) {
    let names = blocks.names();
    for set in overrides {
        let all = blocks.trains.iter().map(|b| (Home::Train, b));
        let all = all.chain(blocks.datas.iter().map(|b| (Home::Data, b)));
        let hits: Vec<_> = all
            .clone()
            .filter_map(|(home, block)| Some((home, set.within(home, block, &names)?)))
            .collect();
        let wrong = match hits.as_slice() {
            [(Home::Data, _), (Home::Data, _), ..] if !set.names_block(&names) => {
                Some(several_blocks(set, blocks))
            }
            [(home, rest), ..] => wrong_member(rest, *home),
            [] => {
                let words = all.flat_map(|(home, b)| {
                    [Some(home.word()), b.name.as_ref().map(|(n, _)| n.as_str())]
                });
                Some(nothing_to_set(cx, set, &words.flatten().collect::<Vec<_>>()))
            }
        };
        cx.diagnostics.extend(wrong);
    }
}

/// A directive alone, where more than one block may be meant.
fn several_blocks(set: &Override, blocks: &Blocks) -> Diagnostic {
    let first = &set.path[0];
    let wrong = format!("`{}` is a directive of {} blocks", first.text, blocks.datas.len());
    // What a part says has no effect in a mixture.
    let mixture = blocks.datas.iter().find(|b| b.head.is_none());
    let name = match mixture {
        Some(mixture) => mixture.name.as_ref(),
        None => blocks.datas.iter().find_map(|b| b.name.as_ref()),
    };
    let name = name.map_or("data", |(name, _)| name);
    Diagnostic::new(Code::E0211, first.span, wrong)
        .help(format!("name the block: `--set {name}.{}=..`", first.text))
}

fn nothing_to_set(cx: &Checker<'_>, set: &Override, words: &[&str]) -> Diagnostic {
    let first = &set.path[0];
    if set.path.len() == 1 {
        return no_directive(cx, first);
    }
    let block = BLOCKS.iter().find(|b| b.word == first.text);
    if block.is_some_and(|b| b.status == Status::NotYet || b.home.is_none()) {
        return not_built(&format!("--set {}..", first.text), first.span);
    }
    let wrong = format!("there is no block `{}` to set", first.text);
    did_you_mean(Diagnostic::new(Code::E0201, first.span, wrong), &first.text, first.span, words)
}

/// A word alone that is no directive, of blocks that are there.
fn no_directive(cx: &Checker<'_>, word: &Ident) -> Diagnostic {
    let name = word.text.as_str();
    if cx.env.get(name).is_some() {
        let wrong = format!("`{name}` is an argument of the spec, not a directive");
        let wrong = Diagnostic::new(Code::E0203, word.span, wrong);
        return wrong.help(format!("write `--{name} ..`"));
    }
    if let Some(home) = [Home::Train, Home::Data].into_iter().find(|h| h.find(name).is_some()) {
        let wrong = format!("there is no `{}` block for `{name}`", home.word());
        return Diagnostic::new(Code::E0201, word.span, wrong);
    }
    let (span, line) = (word.span, word.span);
    unknown(name, span, Home::Train, Written { value: None, span, line, accumulates: false })
}

/// What is wrong with the words after the block.
fn wrong_member(rest: &[Ident], home: Home) -> Option<Diagnostic> {
    let name = &rest[0];
    let Some(directive) = home.find(&name.text) else {
        let written = Written { value: None, span: name.span, line: name.span, accumulates: false };
        return Some(unknown(&name.text, name.span, home, written));
    };
    if let Some(deeper) = rest.get(2) {
        let wrong = format!("`{}` is not an option of an option", deeper.text);
        return Some(Diagnostic::new(Code::E0208, deeper.span, wrong));
    }
    let option = rest.get(1)?;
    if directive.status == Status::NotYet || directive.option_words().any(|o| o == option.text) {
        return None;
    }
    let wrong = format!("`{}` has no option `{}`", directive.name, option.text);
    if directive.name == "model" {
        let name = &option.text;
        return Some(Diagnostic::new(Code::E0208, option.span, wrong).help(format!(
            "an argument of the model that is set from outside is declared in the spec: \
             `arg {name}: int = ..` or `real`, `model gpt({name}: {name}, ..)`; then `--{name} ..` sets it"
        )));
    }
    let words: Vec<_> = directive.option_words().collect();
    let wrong = Diagnostic::new(Code::E0208, option.span, wrong);
    Some(did_you_mean(wrong, &option.text, option.span, &words))
}
