//! A whole spec: its blocks and declarations.

use std::panic::Location;

use crate::block::Block;
use crate::declaration::Declaration;
use crate::emit::Built;
use crate::marked::Marked;
use crate::value::{Value, string};

/// A spec under construction; see the [crate].
#[derive(Debug, Clone, Default)]
pub struct Spec {
    body: Block,
}

impl Spec {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the model: `model gpt(layers: 4)`.
    #[must_use]
    #[track_caller]
    pub fn model(self, head: impl Into<Value>) -> Self {
        self.line("model", &head.into(), None)
    }

    /// Adds a model under a name: `model small = gpt(layers: 4)`.
    #[must_use]
    #[track_caller]
    pub fn model_named(self, name: &str, head: impl Into<Value>) -> Self {
        self.line("model", &named(name, &head.into()), None)
    }

    /// Adds the data: `data text("data/*.txt")`.
    #[must_use]
    #[track_caller]
    pub fn data(self, head: impl Into<Value>) -> Self {
        self.line("data", &head.into(), None)
    }

    /// Adds the data with a block of directives.
    #[must_use]
    #[track_caller]
    pub fn data_with(self, head: impl Into<Value>, fill: impl FnOnce(Block) -> Block) -> Self {
        self.line("data", &head.into(), Some(fill(Block::default())))
    }

    /// Adds data under a name: `data plays = text("plays.txt")`.
    #[must_use]
    #[track_caller]
    pub fn data_named(self, name: &str, head: impl Into<Value>) -> Self {
        self.line("data", &named(name, &head.into()), None)
    }

    /// Adds the training job.
    #[must_use]
    #[track_caller]
    pub fn train(self, fill: impl FnOnce(Block) -> Block) -> Self {
        self.line("train", &Value::default(), Some(fill(Block::default())))
    }

    /// Adds a training job under a name, or with a link: `train big like small`.
    #[must_use]
    #[track_caller]
    pub fn train_named(self, name: &str, fill: impl FnOnce(Block) -> Block) -> Self {
        self.line("train", &Value::from(name), Some(fill(Block::default())))
    }

    /// Adds a `layer`, `fn` or `rule`.
    #[must_use]
    pub fn declare(mut self, declaration: Declaration) -> Self {
        self.body = declaration.add_to(self.body);
        self
    }

    /// Adds a line of any word: `.set("arg", "peak: real = 3e-4")`.
    #[must_use]
    #[track_caller]
    pub fn set(self, word: &str, value: impl Into<Value>) -> Self {
        self.line(word, &value.into(), None)
    }

    /// Adds a block of any word: `sweep`, `generate`, `export`.
    #[must_use]
    #[track_caller]
    pub fn block(
        self,
        word: &str,
        value: impl Into<Value>,
        fill: impl FnOnce(Block) -> Block,
    ) -> Self {
        self.line(word, &value.into(), Some(fill(Block::default())))
    }

    /// Adds `use "path" as name`.
    #[must_use]
    #[track_caller]
    pub fn import(self, path: &str, name: &str) -> Self {
        self.line("use", &Value::from((string(path), "as", name)), None)
    }

    /// Adds text of the language as it is, of any number of lines.
    #[must_use]
    #[track_caller]
    pub fn text_of(mut self, text: &str) -> Self {
        self.body = self.body.text(text);
        self
    }

    /// Documents the next line: its `##` comment.
    #[must_use]
    pub fn doc(mut self, text: &str) -> Self {
        self.body = self.body.doc(text);
        self
    }

    /// The text of the spec, as a `.lt` file would have it.
    pub fn text(&self) -> String {
        self.build().text
    }

    /// The text with the places that its parts come from.
    pub fn build(&self) -> Built {
        Built::of(&self.body.lines)
    }

    #[track_caller]
    fn line(mut self, word: &str, value: &Value, block: Option<Block>) -> Self {
        self.body = self.body.node(word, value, block, Location::caller());
        self
    }
}

fn named(name: &str, head: &Value) -> Value {
    let mut out = Marked::plain(format!("{name} = "));
    out.append(&head.0);
    Value(out)
}
