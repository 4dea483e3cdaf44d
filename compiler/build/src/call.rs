//! Calls of declarations: `gpt(layers: 4)`.

use std::panic::Location;

use crate::marked::{Marked, Place};
use crate::value::Value;

/// A call of a `layer`, `fn`, `rule` or source of data.
#[derive(Debug, Clone)]
pub struct Call {
    name: String,
    place: Place,
    args: Vec<Marked>,
}

/// A call of the declaration `name`.
///
/// ```
/// use build::{Value, call, percent};
///
/// let model = call("gpt").with("layers", 4).with("drop", percent(10));
/// assert_eq!(Value::from(model).text(), "gpt(layers: 4, drop: 10%)");
/// ```
#[track_caller]
pub fn call(name: impl Into<String>) -> Call {
    Call { name: name.into(), place: Location::caller(), args: vec![] }
}

impl Call {
    /// Adds an argument by its name.
    #[must_use]
    #[track_caller]
    pub fn with(self, name: &str, value: impl Into<Value>) -> Self {
        self.push(Marked::plain(format!("{name}: ")), &value.into(), Location::caller())
    }

    /// Adds an argument by its place.
    #[must_use]
    #[track_caller]
    pub fn arg(self, value: impl Into<Value>) -> Self {
        self.push(Marked::default(), &value.into(), Location::caller())
    }

    fn push(mut self, mut arg: Marked, value: &Value, place: Place) -> Self {
        arg.append(&value.0);
        arg.mark(0, place);
        self.args.push(arg);
        self
    }
}

impl From<Call> for Value {
    fn from(call: Call) -> Self {
        let mut out = Marked::plain(call.name);
        out.push("(");
        for (i, arg) in call.args.iter().enumerate() {
            out.push(if i > 0 { ", " } else { "" });
            out.append(arg);
        }
        out.push(")");
        out.mark(0, call.place);
        Self(out)
    }
}
