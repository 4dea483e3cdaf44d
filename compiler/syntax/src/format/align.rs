//! Columns: arguments of directives, `=` of bindings, comments behind lines.

use super::Line;
use super::pieces::Piece;
use crate::token::Token;

/// Columns of several names whose `=` still stands below that of one.
const MOST_OF_NAMES: usize = 8;

/// Moves what belongs in columns.
pub(super) fn align(pieces: &[Piece<'_>], mut lines: Vec<Line>) -> Vec<Line> {
    arguments(pieces, &mut lines);
    bindings(pieces, &mut lines);
    comments(pieces, &mut lines);
    lines
}

/// The first arguments of the directives of a block, or of neighbouring lines of the file.
fn arguments(pieces: &[Piece<'_>], lines: &mut [Line]) {
    let is_directive = |line: &Line| {
        let [(_, word), (1, value), ..] = line.pieces[..] else { return false };
        let is_word = matches!(pieces[word].token, Some(Token::Name(_)));
        let value = &pieces[value];
        let is_value = value.token.is_some_and(|t| !matches!(t, Token::LBrace | Token::Assign));
        !line.goes_on && !line.is_body && is_word && is_value && !value.is_comment
    };
    let mut runs: Vec<Vec<usize>> = vec![];
    for at in 0..lines.len() {
        let line = &lines[at];
        if !is_directive(line) {
            continue;
        }
        let joins = |run: &Vec<usize>| {
            let before = run[run.len() - 1];
            let is_next = before + 1 == at && !line.is_after_blank;
            lines[before].block == line.block && (line.block > 0 || is_next)
        };
        match runs.iter_mut().rev().find(|run| joins(run)) {
            Some(run) => run.push(at),
            None => runs.push(vec![at]),
        }
    }
    for run in runs {
        set_columns(pieces, lines, &run, 1);
        if lines[run[0]].block == 0 {
            names(pieces, lines, &run);
        }
    }
}

/// The `=` behind the names of neighbouring lines of the file: `model a = ..`, `data  b = ..`.
fn names(pieces: &[Piece<'_>], lines: &mut [Line], run: &[usize]) {
    let is_named = |&at: &usize| {
        let equals = lines[at].pieces.get(2).map(|(_, equals)| pieces[*equals].token);
        equals == Some(Some(Token::Assign))
    };
    let named: Vec<Vec<usize>> =
        run.split(|at| !is_named(at)).filter(|part| !part.is_empty()).map(<[_]>::to_vec).collect();
    for part in named {
        set_columns(pieces, lines, &part, 2);
    }
}

/// Puts a piece of some lines into one column, right of the widest that stands in front of it.
fn set_columns(pieces: &[Piece<'_>], lines: &mut [Line], run: &[usize], piece: usize) {
    let width = |at: usize, lines: &[Line]| pieces[lines[at].pieces[piece - 1].1].width();
    let most = run.iter().map(|&at| width(at, lines)).max().unwrap_or(0);
    for &at in run {
        lines[at].pieces[piece].0 = 1 + most - width(at, lines);
    }
}

/// The `=` of neighbouring bindings in the body of a declaration.
///
/// Several names that take many columns stand apart: they would push all others to the right.
fn bindings(pieces: &[Piece<'_>], lines: &mut [Line]) {
    let place = |line: &Line| {
        let is_name = |at: usize| matches!(pieces[at].token, Some(Token::Name(_) | Token::Comma));
        let names = line.pieces.iter().take_while(|(_, at)| is_name(*at)).count();
        let next = line.pieces.get(names)?;
        let is_binding = names > 0 && pieces[next.1].token == Some(Token::Assign);
        let width = columns(pieces, &line.pieces[..names]);
        let is_apart = names > 1 && width > MOST_OF_NAMES;
        (is_binding && !is_apart && !line.goes_on && line.is_body).then_some((names, width))
    };
    let mut at = 0;
    while at < lines.len() {
        let block = lines[at].block;
        let mut run = vec![];
        while let Some(line) = lines.get(at)
            && line.block == block
            && (run.is_empty() || !line.is_after_blank)
            && let Some(place) = place(line)
        {
            run.push((at, place));
            at += 1;
        }
        let most = run.iter().map(|(_, (_, width))| *width).max().unwrap_or(0);
        for &(line, (place, width)) in &run {
            lines[line].pieces[place].0 = 1 + most - width;
        }
        at += usize::from(run.is_empty());
    }
}

/// What some pieces of a line take, with the spaces before each.
fn columns(pieces: &[Piece<'_>], part: &[(usize, usize)]) -> usize {
    part.iter().map(|(gap, at)| gap + pieces[*at].width()).sum()
}

/// Comments behind the code of neighbouring lines.
fn comments(pieces: &[Piece<'_>], lines: &mut [Line]) {
    let has_comment = |line: &Line| {
        line.pieces.len() > 1
            && line.pieces.last().is_some_and(|&(gap, at)| gap > 0 && pieces[at].is_comment)
    };
    let mut at = 0;
    while at < lines.len() {
        let start = at;
        while lines
            .get(at)
            .is_some_and(|line| has_comment(line) && (at == start || !line.is_after_blank))
        {
            at += 1;
        }
        let widths: Vec<usize> = lines[start..at].iter().map(|l| l.width(pieces)).collect();
        let most = widths.iter().max().copied().unwrap_or(0);
        for (line, width) in lines[start..at].iter_mut().zip(widths) {
            if let Some(comment) = line.pieces.last_mut() {
                comment.0 = 2 + most - width;
            }
        }
        at += usize::from(start == at);
    }
}
