//! Text to tree: the lexer, the generated parser, and the errors of both.

use crate::ast::{ExprId, Spec};
use crate::grammar;
use crate::token::{Lexed, Token, lex};
use crate::tree::Builder;
use crate::unexpected;
use diag::{Diagnostic, FileId, SourceMap, Span};
use lalrpop_util::ParseError;

/// Parses a whole file.
pub fn parse(map: &SourceMap, file: FileId) -> (Spec, Vec<Diagnostic>) {
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
    let diags = collect(file, text, lexed, errors);
    (builder.spec, diags)
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
    let diags = collect(file, text, lexed, errors);
    (builder.spec, groups, diags)
}

/// The lexer's diagnostics and those of the parser that are not their consequences.
fn collect(
    file: FileId,
    text: &str,
    lexed: Lexed,
    errors: Vec<ParseError<u32, Token, ()>>,
) -> Vec<Diagnostic> {
    let Lexed { tokens, diags: mut all, patched, .. } = lexed;
    for error in errors {
        let d = unexpected::explain(file, text, &tokens, error);
        let at = d.span().start;
        if !patched.iter().any(|&(l, r)| explains(text, l, r, at)) {
            all.push(d);
        }
    }
    all.sort_by_key(|d| (d.span().start, d.code));
    all
}

/// Whether a patch of the tokens at `l..r` is the cause of an error at `at`: inside it, or later
/// on the line where it ends.
fn explains(text: &str, l: u32, r: u32, at: u32) -> bool {
    if at < l || r == u32::MAX || at <= r {
        return at >= l;
    }
    !text[r as usize..at as usize].contains('\n')
}

/// The empty place at the end of a text.
pub(crate) fn end_of(file: FileId, text: &str) -> Span {
    let end = text.trim_end().len() as u32;
    Span::new(file, end, end)
}
