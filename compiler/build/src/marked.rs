//! Text that knows where in the Rust source its parts were written.

use std::panic::Location;

/// Where a call stands.
pub(crate) type Place = &'static Location<'static>;

/// A range of a text and the call that it comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) place: Place,
    /// Whether it is a text of the caller's, lines and all, or what a call amounts to.
    pub(crate) is_text: bool,
}

/// A text and its marks; of two marks one holds the other, or they are apart.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marked {
    pub(crate) text: String,
    pub(crate) marks: Vec<Mark>,
}

impl Marked {
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), marks: vec![] }
    }

    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(crate) fn append(&mut self, other: &Marked) {
        let by = self.text.len();
        self.text.push_str(&other.text);
        let moved = |m: &Mark| Mark { start: m.start + by, end: m.end + by, ..*m };
        self.marks.extend(other.marks.iter().map(moved));
    }

    /// Says where the text from byte `start` on comes from.
    pub(crate) fn mark(&mut self, start: usize, place: Place) {
        self.marks.push(Mark { start, end: self.text.len(), place, is_text: false });
    }

    /// The same of a text that the caller wrote as it is.
    pub(crate) fn mark_text(&mut self, start: usize, place: Place) {
        self.marks.push(Mark { start, end: self.text.len(), place, is_text: true });
    }
}
