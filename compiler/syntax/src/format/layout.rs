//! Which pieces share a line, and how far lines are indented.

use super::pieces::Piece;
use super::spacing::gap;
use super::{INDENT, Line, WIDTH};
use crate::lexer::BLOCK_WORDS;
use crate::token::Token;

/// Lines as they were written, long ones broken.
pub(super) fn lay_out(pieces: &[Piece<'_>]) -> Vec<Line> {
    let mut breaks: Vec<bool> =
        pieces.iter().enumerate().map(|(at, piece)| at == 0 || piece.newlines > 0).collect();
    loop {
        let lines = lines(pieces, &breaks);
        let mut is_done = true;
        for line in &lines {
            if line.width(pieces) > WIDTH {
                for at in places_to_break(pieces, line) {
                    is_done &= breaks[at];
                    breaks[at] = true;
                }
            }
        }
        if is_done {
            return lines;
        }
    }
}

/// An open bracket.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// Of the line that it is on.
    level: usize,
    block: usize,
    is_body: bool,
    is_brace: bool,
}

/// What is known between two lines.
struct State {
    open: Vec<Open>,
    n_blocks: usize,
    /// Whether the statement goes on behind a comma.
    after_comma: bool,
    /// Whether the statement began with the word of a declaration.
    declares: bool,
    /// Whether the last line ended with an open bracket.
    ends_open: bool,
}

fn lines(pieces: &[Piece<'_>], breaks: &[bool]) -> Vec<Line> {
    let mut state =
        State { open: vec![], n_blocks: 0, after_comma: false, declares: false, ends_open: true };
    let mut lines: Vec<Line> = vec![];
    let mut at = 0;
    while at < pieces.len() {
        let end = (at + 1..pieces.len()).find(|&i| breaks[i]).unwrap_or(pieces.len());
        let line = state.line(pieces, at, end);
        lines.push(line);
        at = end;
    }
    lines
}

impl State {
    fn line(&mut self, pieces: &[Piece<'_>], at: usize, end: usize) -> Line {
        let first = &pieces[at];
        for _ in 0..first.closed {
            self.open.pop();
        }
        // A comment stands as what it is in front of.
        let code = pieces[at..].iter().find(|piece| !piece.is_comment);
        let code = code.and_then(|piece| piece.token);
        let is_inside = self.open.last().is_some_and(|open| !open.is_brace);
        let goes_on =
            matches!(code, Some(Token::Pipe | Token::Arrow)) || (self.after_comma && !is_inside);
        let closes = is_closer(first.token);
        let base = self.open.last().map_or(0, |open| open.level + usize::from(!closes));
        // A word that closes brackets by standing in the first column stays there.
        let is_first_column =
            first.closed > 0 && first.is_first && BLOCK_WORDS.contains(&first.text);
        let level = if is_first_column { 0 } else { base + usize::from(goes_on && !closes) };
        let (block, is_body) = self.open.last().map_or((0, false), |o| (o.block, o.is_body));
        let is_else = code == Some(Token::Else);
        let goes_on = goes_on || closes || is_inside || is_else;
        if !goes_on && !first.is_comment {
            self.declares = matches!(first.token, Some(Token::Layer | Token::Fn | Token::Rule));
        }
        let mut line_pieces = vec![(0, at)];
        self.step(pieces, at, level);
        for i in at + 1..end {
            line_pieces.push((gap(&pieces[i - 1], &pieces[i]), i));
            for _ in 0..pieces[i].closed {
                self.open.pop();
            }
            self.step(pieces, i, level);
        }
        // An empty line keeps a comment that documents from what follows.
        let mut comments = pieces[..at].iter().rev().take_while(|piece| piece.is_comment);
        let is_doc = comments.any(|piece| piece.text.starts_with("##"));
        let is_after_blank = first.newlines > 1 && !self.ends_open && (!closes || is_doc);
        let last = pieces[at..end].iter().rev().find(|piece| !piece.is_comment);
        self.ends_open = last.is_some_and(|piece| is_opener(piece.token));
        Line { pieces: line_pieces, level, is_after_blank, goes_on, block, is_body }
    }

    /// Brackets that a piece opens or closes.
    fn step(&mut self, pieces: &[Piece<'_>], at: usize, level: usize) {
        let Some(token) = pieces[at].token else { return };
        if is_opener(Some(token)) {
            let around = self.open.last().copied();
            let is_brace = token == Token::LBrace;
            let (block, is_body) = if is_brace {
                self.n_blocks += 1;
                (self.n_blocks, self.declares || around.is_some_and(|open| open.is_body))
            } else {
                around.map_or((0, false), |open| (open.block, open.is_body))
            };
            self.open.push(Open { level, block, is_body, is_brace });
        } else if is_closer(Some(token)) {
            self.open.pop();
        }
        self.after_comma = token == Token::Comma;
    }
}

fn is_opener(token: Option<Token>) -> bool {
    matches!(
        token,
        Some(
            Token::LBrace
                | Token::LParen
                | Token::CallParen
                | Token::LBracket
                | Token::IndexBracket
        )
    )
}

fn is_closer(token: Option<Token>) -> bool {
    matches!(token, Some(Token::RBrace | Token::RParen | Token::RBracket))
}

/// The pieces before which a long line is broken: at its pipes, or all along its longest list.
fn places_to_break(pieces: &[Piece<'_>], line: &Line) -> Vec<usize> {
    let mut depth = 0usize;
    let mut pipes = vec![];
    let mut lists: Vec<List> = vec![];
    let mut column = line.level * INDENT;
    for (i, &(gap, at)) in line.pieces.iter().enumerate() {
        column += gap + pieces[at].width();
        let token = pieces[at].token;
        let next = line.pieces.get(i + 1).map(|(_, at)| *at);
        let list = lists.last_mut().filter(|list| list.end.is_none());
        if is_closer(token) {
            depth = depth.saturating_sub(1);
            if depth == 0
                && let Some(list) = list
            {
                list.end = Some((at, column));
            }
        } else if is_opener(token) {
            let is_block = token == Some(Token::LBrace);
            if depth > 0
                && let Some(list) = list
            {
                list.is_plain &= !is_block;
            } else if !is_block {
                let places = next.into_iter().collect();
                lists.push(List { start: column, places, end: None, is_plain: true });
            }
            depth += 1;
        } else if depth == 0 && i > 0 && token == Some(Token::Pipe) {
            pipes.push(at);
        } else if depth == 1
            && token == Some(Token::Comma)
            && let Some(list) = list
        {
            list.places.extend(next);
        }
    }
    if !pipes.is_empty() {
        return pipes;
    }
    let longest = lists.into_iter().filter(List::can_be_broken).max_by_key(List::width);
    longest.map_or(vec![], List::into_places)
}

/// A list in brackets on a line.
struct List {
    /// The column behind its opener.
    start: usize,
    /// The pieces that would begin a line.
    places: Vec<usize>,
    /// Its closer and the column behind it.
    end: Option<(usize, usize)>,
    /// Whether there is no block in it.
    is_plain: bool,
}

impl List {
    fn width(&self) -> usize {
        self.end.map_or(0, |(_, column)| column - self.start)
    }

    fn can_be_broken(&self) -> bool {
        self.is_plain && self.end.is_some_and(|(end, _)| self.places.first() != Some(&end))
    }

    fn into_places(mut self) -> Vec<usize> {
        self.places.extend(self.end.map(|(at, _)| at));
        self.places
    }
}
