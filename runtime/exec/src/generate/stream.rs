//! Tokens to text as it can be shown: whole characters, no stop string.
//!
//! Bytes that may be the beginning of a stop string, or of a character, are held back until the
//! tokens after them decide. Bytes that are no UTF-8 become U+FFFD.

/// Whether text goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// More may come.
    Open,
    /// A stop string came; it and what follows it are dropped.
    Stopped,
}

/// The end of a text that is not shown yet.
#[derive(Debug)]
pub(super) struct Stream<'s> {
    stops: &'s [String],
    held: Vec<u8>,
}

impl<'s> Stream<'s> {
    /// Text that ends before the first of these strings, none of them empty.
    pub(super) fn new(stops: &'s [String]) -> Self {
        Self { stops, held: vec![] }
    }

    /// Takes the bytes of a token and adds what is certain now to `out`.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut String) -> Flow {
        self.held.extend_from_slice(bytes);
        let found = self.stops.iter().filter_map(|stop| find(&self.held, stop.as_bytes()));
        if let Some(at) = found.min() {
            self.held.truncate(at);
            self.end(out);
            return Flow::Stopped;
        }
        let starts = self.stops.iter().map(|stop| begun(&self.held, stop.as_bytes()));
        let certain = self.held.len() - starts.max().unwrap_or(0);
        let certain = certain - incomplete(&self.held[..certain]);
        show(&self.held[..certain], out);
        self.held.drain(..certain);
        Flow::Open
    }

    /// Adds what was held back: no more tokens come.
    pub(super) fn end(&mut self, out: &mut String) {
        show(&self.held, out);
        self.held.clear();
    }
}

/// Where `part` begins in `text`.
fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// How many bytes at the end of `text` begin `part`.
fn begun(text: &[u8], part: &[u8]) -> usize {
    let most = text.len().min(part.len() - 1);
    (1..=most).rev().find(|&n| text.ends_with(&part[..n])).unwrap_or(0)
}

/// How many bytes at the end begin a character that further bytes can complete.
fn incomplete(text: &[u8]) -> usize {
    let tail = &text[text.len().saturating_sub(3)..];
    match tail.utf8_chunks().last() {
        // A chunk that breaks off at the end, and not at a byte that cannot follow.
        Some(chunk)
            if std::str::from_utf8(chunk.invalid()).is_err_and(|e| e.error_len().is_none()) =>
        {
            chunk.invalid().len()
        }
        Some(_) | None => 0,
    }
}

fn show(bytes: &[u8], out: &mut String) {
    for chunk in bytes.utf8_chunks() {
        out.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown after each token, `|` between them, and `.` at a stop.
    fn shown(stops: &[&str], tokens: &[&[u8]]) -> String {
        let stops: Vec<String> = stops.iter().map(|&s| s.to_owned()).collect();
        let mut stream = Stream::new(&stops);
        let mut out = String::new();
        for token in tokens {
            let flow = stream.push(token, &mut out);
            if flow == Flow::Stopped {
                return out + ".";
            }
            out.push('|');
        }
        stream.end(&mut out);
        out
    }

    #[test]
    fn nothing_of_a_stop_string_is_shown() {
        assert_eq!(shown(&["\n\n"], &[b"a", b"\n", b"b", b"\n", b"\n", b"c"]), "a||\nb||.");
        assert_eq!(shown(&["END"], &[b"xE", b"N", b"D"]), "x||.");
        assert_eq!(shown(&["END"], &[b"say ENDING"]), "say .");
    }

    #[test]
    fn what_only_began_like_a_stop_string_is_shown() {
        assert_eq!(shown(&["END"], &[b"E", b"N", b"N", b"EN"]), "||ENN||EN");
        // The second `ab` begins it again.
        assert_eq!(shown(&["abac"], &[b"ab", b"ab", b"ac", b"x"]), "|ab|.");
    }

    #[test]
    fn the_stop_string_that_begins_first_ends_the_text() {
        assert_eq!(shown(&["bc", "abcd"], &[b"a", b"b", b"c"]), "||a.");
        assert_eq!(shown(&["d", "bc"], &[b"abcd"]), "a.");
    }

    #[test]
    fn characters_are_shown_whole() {
        let euro = "€".as_bytes();
        assert_eq!(shown(&[], &[&euro[..1], &euro[1..2], &euro[2..], b"!"]), "||€|!|");
        assert_eq!(shown(&[], &[&"😀".as_bytes()[..3], &"😀".as_bytes()[3..]]), "|😀|");
        // A stop string may begin inside of what is shown late.
        assert_eq!(shown(&["€"], &[b"a", &euro[..2], &euro[2..]]), "a||.");
        assert_eq!(shown(&["€uro"], &[&euro[..2], &euro[2..], b"x"]), "||€x|");
    }

    #[test]
    fn bytes_that_are_no_text_become_a_sign_and_hold_nothing_back() {
        assert_eq!(shown(&[], &[b"a\xff", b"b"]), "a\u{fffd}|b|");
        assert_eq!(shown(&[], &[b"\xe2\x82", b"b"]), "|\u{fffd}b|");
        assert_eq!(shown(&[], &[b"\xe2\x82"]), "|\u{fffd}");
    }
}
