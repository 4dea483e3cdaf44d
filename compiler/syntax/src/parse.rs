//! Text to tree: the lexer, the generated parser, and the errors of both.

use std::sync::Arc;

use crate::ast::{ExprId, Spec};
use crate::grammar;
use crate::lexer::lex;
use crate::token::{Lexed, Token};
use crate::tree::Builder;
use crate::unexpected;
use diag::{Diagnostic, FileId, SourceMap, Span};
use lalrpop_util::ParseError;

/// Parses a whole file.
pub fn parse(map: &SourceMap, file: FileId) -> (Arc<Spec>, Vec<Diagnostic>) {
    let text = &map.file(file).text;
    let mut lexed = lex(file, text, 0);
    let mut builder = Builder::new(file, &mut lexed);
    let tokens = lexed.tokens.clone();
    let result = grammar::FileParser::new().parse(&mut builder, tokens);
    let mut errors: Vec<_> = builder.errors.drain(..).map(|e| e.error).collect();
    match result {
        Ok(body) => builder.spec.body = body,
        Err(error) => errors.push(error),
    }
    let diags = collect(file, text, lexed, errors, builder.over);
    (Arc::new(builder.spec), diags)
}

/// Parses the words after `path=` of a command-line setting: the text from byte `start` on.
///
/// Groups are separated by commas, as after a directive: `90% train, 10% val`.
pub fn parse_words(
    map: &SourceMap,
    file: FileId,
    start: u32,
) -> (Spec, Vec<Vec<ExprId>>, Vec<Diagnostic>) {
    let text = &map.file(file).text;
    let mut lexed = lex(file, text, start);
    // The end of the text, not of a statement.
    if matches!(lexed.tokens.last(), Some((_, Token::Newline, _))) {
        lexed.tokens.pop();
    }
    let mut builder = Builder::new(file, &mut lexed);
    let tokens = lexed.tokens.clone();
    let result = grammar::WordsParser::new().parse(&mut builder, tokens);
    let mut errors: Vec<_> = builder.errors.drain(..).map(|e| e.error).collect();
    let groups = result.unwrap_or_else(|error| {
        errors.push(error);
        vec![]
    });
    let diags = collect(file, text, lexed, errors, builder.over);
    (builder.spec, groups, diags)
}

/// The lexer's diagnostics and those of the parser that are not their consequences.
fn collect(
    file: FileId,
    text: &str,
    lexed: Lexed,
    errors: Vec<ParseError<u32, Token, ()>>,
    over: Vec<Diagnostic>,
) -> Vec<Diagnostic> {
    let Lexed { tokens, diags: mut all, patched, .. } = lexed;
    all.extend(over);
    let silent = silent_ranges(text, &patched);
    for error in errors {
        let at = place(&error);
        let before = silent.partition_point(|range| range.0 <= at);
        let is_silent = before > 0 && at <= silent[before - 1].1;
        if !is_silent {
            all.push(unexpected::explain(file, text, &tokens, error));
        }
    }
    all.sort_by_key(|d| (d.span().start, d.code));
    all
}

fn place(error: &ParseError<u32, Token, ()>) -> u32 {
    match error {
        ParseError::UnrecognizedToken { token, .. } | ParseError::ExtraToken { token } => token.0,
        ParseError::UnrecognizedEof { location, .. } | ParseError::InvalidToken { location } => {
            *location
        }
        ParseError::User { error: () } => 0,
    }
}

/// Where an error of the parser would only repeat what the lexer said: from just before a patch
/// of the tokens to the end of the line where it ends. Sorted, none overlapping.
fn silent_ranges(text: &str, patched: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = vec![];
    for &(l, r) in patched {
        let start = text[..l as usize].trim_end_matches([' ', '\t']).len() as u32;
        let rest = text.get(r as usize..).and_then(|rest| rest.find('\n'));
        ranges.push((start, rest.map_or(u32::MAX, |n| r + n as u32)));
    }
    ranges.sort_unstable();
    let mut merged: Vec<(u32, u32)> = vec![];
    for range in ranges {
        match merged.last_mut() {
            Some(last) if range.0 <= last.1 => last.1 = last.1.max(range.1),
            Some(_) | None => merged.push(range),
        }
    }
    merged
}

/// The empty place at the end of a text.
pub(crate) fn end_of(file: FileId, text: &str) -> Span {
    let end = text.trim_end().len() as u32;
    Span::new(file, end, end)
}
