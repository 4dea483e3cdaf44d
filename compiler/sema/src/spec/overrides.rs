//! `--set train.lr=3e-4`: one directive, or one option, from the command line.
//!
//! The text is a virtual file of its own, so that messages point into it.

use diag::{Code, Diagnostic, FileId, SourceMap, Span};
use syntax::ast::{Ident, Node, Spec, StmtKind};

use super::Checker;
use super::file::{BlockNode, Blocks};
use super::lines;
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
    pub spec: Spec,
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
        // Same bytes at the same places, with all but the last word of the path blanked.
        let word = path.last().expect("a path has two words").span.range();
        let equals = line.find('=').expect("the path ends there");
        let mut masked = " ".repeat(word.start);
        masked.push_str(&line[word.clone()]);
        masked.push_str(&" ".repeat(equals + 1 - word.end));
        masked.push_str(&line[equals + 1..]);
        let mut shadow = SourceMap::new();
        for (_, file) in map.iter() {
            let is_last = shadow.iter().count() as u32 == id.0;
            shadow.add(file.name.clone(), if is_last { masked.as_str() } else { "" });
        }
        let (spec, diagnostics) = syntax::parse(&shadow, id);
        let set = Override { path, spec, span };
        let whole = diagnostics.is_empty() && set.node().is_some();
        (whole.then_some(set), diagnostics)
    }

    /// The parsed line.
    pub(super) fn node(&self) -> Option<&Node> {
        match &self.spec[*self.spec.body.first()?].kind {
            StmtKind::Node(node) => Some(node),
            StmtKind::Use { .. } | StmtKind::Decl(_) | StmtKind::For { .. } | StmtKind::Error => {
                None
            }
        }
    }

    /// Whether it sets something in this block.
    pub(super) fn targets(&self, home: Home, block: &BlockNode) -> bool {
        let first = self.path[0].text.as_str();
        first == home.word() || block.name.as_ref().is_some_and(|(name, _)| name == first)
    }
}

fn position(byte: usize) -> u32 {
    u32::try_from(byte).expect("the command line is below 4 GiB")
}

/// `a.b.c` as words with their places; none unless there are at least two.
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
    (path.len() >= 2).then_some(path)
}

/// Reports the paths that lead nowhere.
pub(super) fn check_paths(cx: &mut Checker<'_>, blocks: &Blocks, overrides: &[Override]) {
    for set in overrides {
        let all = blocks.trains.iter().map(|b| (Home::Train, b));
        let all = all.chain(blocks.datas.iter().map(|b| (Home::Data, b)));
        let home =
            all.clone().find(|(home, block)| set.targets(*home, block)).map(|(home, _)| home);
        let wrong = match home {
            Some(home) => wrong_member(set, home),
            None => {
                let words = all.flat_map(|(home, b)| {
                    [Some(home.word()), b.name.as_ref().map(|(n, _)| n.as_str())]
                });
                Some(no_block(set, &words.flatten().collect::<Vec<_>>()))
            }
        };
        cx.diagnostics.extend(wrong);
    }
}

fn no_block(set: &Override, words: &[&str]) -> Diagnostic {
    let first = &set.path[0];
    let block = BLOCKS.iter().find(|b| b.word == first.text);
    if block.is_some_and(|b| b.status == Status::NotYet || b.home.is_none()) {
        return not_built(&format!("--set {}..", first.text), first.span);
    }
    let wrong = format!("there is no block `{}` to set", first.text);
    did_you_mean(Diagnostic::new(Code::E0201, first.span, wrong), &first.text, first.span, words)
}

fn wrong_member(set: &Override, home: Home) -> Option<Diagnostic> {
    let name = &set.path[1];
    let Some(directive) = home.find(&name.text) else {
        return Some(lines::unknown(&name.text, name.span, home, true));
    };
    if let Some(deeper) = set.path.get(3) {
        let wrong = format!("`{}` is not an option of an option", deeper.text);
        return Some(Diagnostic::new(Code::E0208, deeper.span, wrong));
    }
    let option = set.path.get(2)?;
    if directive.status == Status::NotYet || directive.option_words().any(|o| o == option.text) {
        return None;
    }
    let wrong = format!("`{}` has no option `{}`", directive.name, option.text);
    let words: Vec<_> = directive.option_words().collect();
    let wrong = Diagnostic::new(Code::E0208, option.span, wrong);
    Some(did_you_mean(wrong, &option.text, option.span, &words))
}
