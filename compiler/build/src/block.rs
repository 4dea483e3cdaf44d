//! The lines between the braces of a block, or of a whole file.

use std::panic::Location;

use crate::marked::{Marked, Place};
use crate::value::Value;

/// A line, or a text of lines.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// What stands before the block, or the text.
    pub(crate) head: Marked,
    pub(crate) block: Option<Vec<Line>>,
    /// Lines of the `##` comment above it.
    pub(crate) doc: Option<String>,
    pub(crate) place: Place,
    /// Whether the caller wrote it as text, of any number of lines.
    pub(crate) is_text: bool,
}

/// The lines of a block.
#[derive(Debug, Clone, Default)]
pub struct Block {
    pub(crate) lines: Vec<Line>,
    /// Of the next line.
    doc: Option<String>,
}

impl Block {
    /// Adds a directive and what follows its word: `.set("batch", 64)`.
    ///
    /// Words are checked with the spec, like those of a file.
    #[must_use]
    #[track_caller]
    pub fn set(self, word: &str, value: impl Into<Value>) -> Self {
        self.node(word, &value.into(), None, Location::caller())
    }

    /// Adds a line with a block of its own.
    #[must_use]
    #[track_caller]
    pub fn block(
        self,
        word: &str,
        value: impl Into<Value>,
        fill: impl FnOnce(Block) -> Block,
    ) -> Self {
        let place = Location::caller();
        self.node(word, &value.into(), Some(fill(Block::default())), place)
    }

    /// Adds `name = value`: a binding of a declaration.
    #[must_use]
    #[track_caller]
    pub fn bind(self, name: &str, value: impl Into<Value>) -> Self {
        let mut head = Marked::plain("= ");
        head.append(&value.into().0);
        self.node(name, &Value(head), None, Location::caller())
    }

    /// Adds `param name: type = init`: a weight.
    #[must_use]
    #[track_caller]
    pub fn param(self, name: &str, ty: &str, init: impl Into<Value>) -> Self {
        self.node("param", &typed(name, ty, &init.into()), None, Location::caller())
    }

    /// Adds `state name: type = init`: what a rule keeps from step to step.
    #[must_use]
    #[track_caller]
    pub fn state(self, name: &str, ty: &str, init: impl Into<Value>) -> Self {
        self.node("state", &typed(name, ty, &init.into()), None, Location::caller())
    }

    /// Adds lines `for name in over { .. }`.
    #[must_use]
    #[track_caller]
    pub fn for_each(self, name: &str, over: &str, fill: impl FnOnce(Block) -> Block) -> Self {
        let place = Location::caller();
        let over = Value::plain(format!("{name} in {over}"));
        self.node("for", &over, Some(fill(Block::default())), place)
    }

    /// Adds text of the language as it is: a result, a line that has no method, a whole body.
    #[must_use]
    #[track_caller]
    pub fn text(mut self, text: &str) -> Self {
        let doc = self.doc.take();
        let head = Marked::plain(text);
        self.lines.push(Line { head, block: None, doc, place: Location::caller(), is_text: true });
        self
    }

    /// Documents the next line: its `##` comment.
    #[must_use]
    pub fn doc(mut self, text: &str) -> Self {
        self.doc = Some(text.to_owned());
        self
    }

    pub(crate) fn node(
        self,
        word: &str,
        value: &Value,
        block: Option<Block>,
        place: Place,
    ) -> Self {
        let mut head = Marked::plain(word);
        if !value.0.text.is_empty() {
            head.push(" ");
            head.append(&value.0);
        }
        self.add(head, block, place)
    }

    pub(crate) fn add(mut self, head: Marked, block: Option<Block>, place: Place) -> Self {
        let (doc, block) = (self.doc.take(), block.map(|block| block.lines));
        self.lines.push(Line { head, block, doc, place, is_text: false });
        self
    }
}

fn typed(name: &str, ty: &str, init: &Value) -> Value {
    let mut out = Marked::plain(format!("{name}: {ty} = "));
    out.append(&init.0);
    Value(out)
}
