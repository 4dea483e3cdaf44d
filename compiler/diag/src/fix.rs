//! Edits that diagnostics carry, made.

use crate::{Diagnostic, Edit, FileId, Fix, Level};

/// A text after the fixes that are certain: those that are a diagnostic's only one and touch
/// nothing but this file. Of two that touch the same place the first one is made.
///
/// A fix that alters what is allowed is only offered, unless that is denied.
///
/// Gives the text and the diagnostics whose fix was made, in the order of their places; the others
/// may be mended once the result is checked again.
pub fn apply<'d>(
    file: FileId,
    text: &str,
    found: &'d [Diagnostic],
) -> (String, Vec<&'d Diagnostic>) {
    let mut certain: Vec<(&Diagnostic, &Fix)> = found
        .iter()
        .filter_map(|d| match &d.fixes[..] {
            [fix] if is_within(file, fix) && (!fix.alters || d.level == Level::Error) => {
                Some((d, fix))
            }
            _ => None,
        })
        .collect();
    certain.sort_by_key(|(d, _)| d.span().start);
    let mut made: Vec<&Diagnostic> = vec![];
    let mut edits: Vec<&Edit> = vec![];
    for (d, fix) in certain {
        let is_free = |new: &Edit| edits.iter().all(|old| are_apart(old, new));
        if fix.edits.iter().all(is_free) {
            edits.extend(&fix.edits);
            made.push(d);
        }
    }
    edits.sort_by_key(|edit| (edit.span.start, edit.span.end));
    let mut out = String::new();
    let mut end = 0;
    for edit in edits {
        let range = edit.span.range();
        out += &text[end..range.start];
        out += &edit.text;
        end = range.end;
    }
    out += &text[end..];
    (out, made)
}

fn is_within(file: FileId, fix: &Fix) -> bool {
    fix.edits.iter().all(|edit| edit.span.file == file)
}

/// Whether two edits can both be made, in any order.
fn are_apart(a: &Edit, b: &Edit) -> bool {
    let (a, b) = (a.span, b.span);
    let is_before = |a: crate::Span, b: crate::Span| a.end <= b.start && a != b;
    is_before(a, b) || is_before(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Code, SourceMap, Span};

    fn found(start: u32, end: u32, text: &str) -> Diagnostic {
        let span = Span::new(FileId(0), start, end);
        Diagnostic::new(Code::E0203, span, "wrong").fix("mend it", span, text)
    }

    #[test]
    fn edits_that_are_apart_are_all_made() {
        let text = "one two three";
        let all = [found(8, 13, "3"), found(0, 3, "1"), found(3, 3, ",")];
        let (out, made) = apply(FileId(0), text, &all);
        assert_eq!((out.as_str(), made.len()), ("1, two 3", 3));
    }

    #[test]
    fn of_two_at_one_place_the_first_is_made() {
        let all = [found(0, 3, "1"), found(2, 5, "x"), found(7, 7, "a"), found(7, 7, "b")];
        let (out, made) = apply(FileId(0), "one two", &all);
        assert_eq!((out.as_str(), made.len()), ("1 twoa", 2));
    }

    #[test]
    fn a_warning_keeps_what_it_is_about_unless_it_is_denied() {
        let span = Span::new(FileId(0), 0, 3);
        let lint = Diagnostic::new(Code::W0512, span, "hardly meant").offer("mend it", span, "1");
        let denied = Diagnostic { level: Level::Error, ..lint.clone() };
        assert_eq!(apply(FileId(0), "one", &[lint]).0, "one");
        assert_eq!(apply(FileId(0), "one", &[denied]).0, "1");
    }

    #[test]
    fn a_choice_and_another_file_are_left_alone() {
        let mut map = SourceMap::new();
        map.add("a.lt", "one");
        let other = Span::new(map.add("b.lt", "two"), 0, 3);
        let choice = found(0, 3, "1").fix("or this", Span::new(FileId(0), 0, 3), "2");
        let elsewhere = Diagnostic::new(Code::E0203, other, "wrong").fix("mend it", other, "2");
        let all = [choice, elsewhere];
        let (out, made) = apply(FileId(0), "one", &all);
        assert_eq!((out.as_str(), made.len()), ("one", 0));
    }
}
