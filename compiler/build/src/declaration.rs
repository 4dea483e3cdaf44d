//! Declarations: `layer`, `fn` and `rule`.

use std::panic::Location;

use crate::block::Block;
use crate::marked::{Marked, Place};
use crate::value::Value;

/// A `layer`, `fn` or `rule` with its parameters and its body.
///
/// ```
/// use build::{Spec, layer};
///
/// let scaled = layer("scaled")
///     .config("d", "dim")
///     .takes("x", "[.., d]")
///     .gives("[.., d]")
///     .body(|b| b.param("scale", "[d]", "ones").text("x * scale"));
/// let text = Spec::new().declare(scaled).text();
/// assert!(text.starts_with("layer scaled(d: dim)(x: [.., d]) -> [.., d] {\n  param scale"));
/// ```
#[derive(Debug, Clone)]
pub struct Declaration {
    word: &'static str,
    name: String,
    place: Place,
    doc: Option<String>,
    config: Vec<Marked>,
    data: Vec<Marked>,
    result: Option<Marked>,
    body: Block,
}

/// A layer, which has weights.
#[track_caller]
pub fn layer(name: &str) -> Declaration {
    Declaration::new("layer", name, Location::caller())
}

/// A function, which has none: all its parameters are in one list.
#[track_caller]
pub fn function(name: &str) -> Declaration {
    Declaration::new("fn", name, Location::caller())
}

/// An update of weights.
#[track_caller]
pub fn rule(name: &str) -> Declaration {
    Declaration::new("rule", name, Location::caller())
}

impl Declaration {
    fn new(word: &'static str, name: &str, place: Place) -> Self {
        let (config, data) = (vec![], vec![]);
        let (name, body) = (name.to_owned(), Block::default());
        Self { word, name, place, doc: None, config, data, result: None, body }
    }

    /// Documents it: its `##` comment.
    #[must_use]
    pub fn doc(mut self, text: &str) -> Self {
        self.doc = Some(text.to_owned());
        self
    }

    /// Adds a parameter of the configuration, or of a function.
    #[must_use]
    #[track_caller]
    pub fn config(mut self, name: &str, ty: &str) -> Self {
        self.config.push(param(name, ty, None, Location::caller()));
        self
    }

    /// The same with a default.
    #[must_use]
    #[track_caller]
    pub fn config_or(mut self, name: &str, ty: &str, default: impl Into<Value>) -> Self {
        self.config.push(param(name, ty, Some(default.into()), Location::caller()));
        self
    }

    /// Adds a parameter of the data: what a layer computes with.
    #[must_use]
    #[track_caller]
    pub fn takes(mut self, name: &str, ty: &str) -> Self {
        self.data.push(param(name, ty, None, Location::caller()));
        self
    }

    /// States the type of the result.
    #[must_use]
    #[track_caller]
    pub fn gives(mut self, ty: &str) -> Self {
        let mut result = Marked::plain(ty);
        result.mark(0, Location::caller());
        self.result = Some(result);
        self
    }

    /// Writes the body.
    #[must_use]
    pub fn body(mut self, fill: impl FnOnce(Block) -> Block) -> Self {
        self.body = fill(self.body);
        self
    }

    /// The lines with this one more.
    pub(crate) fn add_to(self, lines: Block) -> Block {
        let mut head = Marked::plain(format!("{} {}", self.word, self.name));
        list(&mut head, &self.config);
        // A function has one list; layers and rules have two, even of nothing.
        if self.word != "fn" {
            list(&mut head, &self.data);
        }
        if let Some(result) = &self.result {
            head.push(" -> ");
            head.append(result);
        }
        let lines = match &self.doc {
            Some(doc) => lines.doc(doc),
            None => lines,
        };
        lines.add(head, Some(self.body), self.place)
    }
}

fn param(name: &str, ty: &str, default: Option<Value>, place: Place) -> Marked {
    let mut out = Marked::plain(format!("{name}: {ty}"));
    if let Some(default) = default {
        out.push(" = ");
        out.append(&default.0);
    }
    out.mark(0, place);
    out
}

fn list(out: &mut Marked, params: &[Marked]) {
    out.push("(");
    for (i, param) in params.iter().enumerate() {
        out.push(if i > 0 { ", " } else { "" });
        out.append(param);
    }
    out.push(")");
}
