//! Tokens side by side: what goes in above what comes out, at a screen's width.
//!
//! Columns line up for characters of double width, too.

use unicode_width::UnicodeWidthStr;

/// A token and its target.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    /// What the model gets.
    pub(super) above: String,
    /// What it is to say; none where rows have labels.
    pub(super) below: Option<String>,
    /// Whether a document starts here.
    pub(super) starts: bool,
}

impl Cell {
    fn width(&self) -> usize {
        self.above.width().max(self.below.as_ref().map_or(0, |text| text.width()))
    }
}

/// The text of a token: white space by signs, bytes that are no character in hexadecimal.
pub(super) fn shown(bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return bytes.iter().map(|b| format!("{b:02x}")).collect();
    };
    let sign = |c: char| match c {
        ' ' => '␣',
        '\n' => '⏎',
        '\t' => '⇥',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(sign).collect()
}

/// Lines of at most `width` columns: tokens, under them targets, and an empty line between.
pub(super) fn lines(cells: &[Cell], width: usize) -> Vec<String> {
    let mut out = vec![];
    let mut rest = cells;
    while !rest.is_empty() {
        let mut used = INDENT;
        let fits = |cell: &&Cell| {
            used += cell.width() + 1 + usize::from(cell.starts) * 2;
            used <= width
        };
        // One that is wider than the screen stands alone.
        let n = rest.iter().take_while(fits).count().max(1);
        let (now, later) = rest.split_at(n);
        out.push(line(now, |cell| &cell.above));
        if now.iter().any(|cell| cell.below.is_some()) {
            out.push(line(now, |cell| cell.below.as_deref().unwrap_or_default()));
            if !later.is_empty() {
                out.push(String::new());
            }
        }
        rest = later;
    }
    out
}

/// Spaces in front of a line.
const INDENT: usize = 2;

fn line<'c>(cells: &'c [Cell], text: impl Fn(&'c Cell) -> &'c str) -> String {
    let mut out = " ".repeat(INDENT);
    for cell in cells {
        if cell.starts {
            out.push_str("| ");
        }
        let text = text(cell);
        out.push_str(text);
        out.push_str(&" ".repeat(cell.width() - text.width() + 1));
    }
    out.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(above: &str, below: &str) -> Cell {
        Cell { above: above.to_owned(), below: Some(below.to_owned()), starts: false }
    }

    #[test]
    fn columns_line_up_under_characters_of_double_width() {
        let cells = [cell("子", "曰"), cell("a", "學而"), cell("習", "-")];
        assert_eq!(lines(&cells, 80), ["  子 a    習", "  曰 學而 -"]);
    }

    #[test]
    fn long_rows_are_cut_at_the_width() {
        let cells = [cell("ab", "b"), cell("c", "d"), cell("e", "f")];
        assert_eq!(lines(&cells, 8), ["  ab c", "  b  d", "", "  e", "  f"]);
        let label = |text: &str| Cell { below: None, ..cell(text, "") };
        assert_eq!(lines(&[label("ab"), label("c")], 5), ["  ab", "  c"]);
        assert_eq!(lines(&[label("abcdefgh")], 5), ["  abcdefgh"]);
    }

    #[test]
    fn documents_and_white_space_have_signs() {
        let second = Cell { starts: true, ..cell("c", "d") };
        assert_eq!(lines(&[cell("a", "b"), second], 80), ["  a | c", "  b | d"]);
        assert_eq!(shown(b" a\n\t"), "␣a⏎⇥");
        assert_eq!(shown(&[0xe5, 0xad]), "e5ad");
    }
}
