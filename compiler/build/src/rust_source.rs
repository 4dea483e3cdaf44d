//! Finds in Rust source what a call or a text of the caller's became.

use std::ops::Range;

/// Lines that are searched for a text of the caller's, beside its own.
const SLACK: usize = 4;

/// The byte of a line and a column, both from 1; columns count characters.
pub(crate) fn byte_of(source: &str, line: u32, column: u32) -> Option<usize> {
    let mut start = 0;
    for _ in 1..line {
        start += source.get(start..)?.find('\n')? + 1;
    }
    let text = source.get(start..)?.lines().next().unwrap_or_default();
    let mut places = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    Some(start + places.nth(column as usize - 1)?)
}

/// The call that starts at `start`: to its closing parenthesis, or to the end of its name.
pub(crate) fn call_at(source: &str, start: usize) -> Range<usize> {
    let rest = &source[start..];
    let name = rest.len() - rest.trim_start_matches(|c: char| is_word(c) || c == ':').len();
    let mut depth = 0_usize;
    let mut at = name;
    while let Some(c) = rest[at..].chars().next() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return start..start + at + 1;
                }
            }
            '"' => at += string_bytes(&rest[at..]) - 1,
            _ if depth == 0 => break,
            _ => {}
        }
        at += c.len_utf8();
    }
    start..start + name.max(rest.chars().next().map_or(0, char::len_utf8))
}

/// Bytes of the string literal that `text` starts with.
fn string_bytes(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The only place of `piece` in a range of the source, as a whole word where it is one.
pub(crate) fn only(source: &str, within: Range<usize>, piece: &str) -> Option<Range<usize>> {
    if piece.is_empty() {
        return None;
    }
    let text = &source[within.clone()];
    let is_whole = |at: &usize| {
        let before = text[..*at].chars().next_back();
        let after = text[at + piece.len()..].chars().next();
        let joins = |inside: Option<char>, outside: Option<char>| {
            inside.is_some_and(is_word) && outside.is_some_and(is_word)
        };
        !joins(piece.chars().next(), before) && !joins(piece.chars().next_back(), after)
    };
    let mut found = text.match_indices(piece).map(|(at, _)| at).filter(is_whole);
    let at = found.next()?;
    let is_only = found.next().is_none();
    is_only.then(|| within.start + at..within.start + at + piece.len())
}

/// Where a line of a text of the caller's stands, from the call at `start` on.
pub(crate) fn line_from(source: &str, start: usize, line: &str, n_lines: usize) -> Option<usize> {
    let wanted = line.trim();
    let mut at = start;
    for text in source[start..].split_inclusive('\n').take(n_lines + SLACK) {
        // The line may share its own with the quotes around it.
        if let (false, Some(column)) = (wanted.is_empty(), text.find(wanted)) {
            return Some(at + column);
        }
        at += text.len();
    }
    None
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_with_its_own_parenthesis() {
        let source = r#"t.set("a)", f(1)).set("b", 2)"#;
        assert_eq!(&source[call_at(source, 2)], r#"set("a)", f(1))"#);
        assert_eq!(call_at("name", 0), 0..4);
    }

    #[test]
    fn columns_count_characters() {
        assert_eq!(byte_of("é\n  é.x", 2, 4), Some(7));
        assert_eq!(byte_of("é\n", 3, 1), None);
        assert_eq!(byte_of("ab", 1, 9), None);
    }

    #[test]
    fn a_piece_is_found_when_it_is_the_only_one() {
        let source = r#"set("lr", lr2, 8, 8)"#;
        assert_eq!(only(source, 0..source.len(), "lr"), Some(5..7));
        assert_eq!(only(source, 0..source.len(), "8"), None);
        assert_eq!(only(source, 0..source.len(), ""), None);
    }

    #[test]
    fn a_line_of_a_text_is_found_behind_its_call() {
        let source = "b.text(r\"\n    x = 1\n    y = 2\n\")";
        assert_eq!(line_from(source, 2, "  y = 2", 2), Some(24));
        assert_eq!(line_from(source, 2, "  z = 2", 2), None);
    }
}
