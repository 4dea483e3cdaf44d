//! Static values: what is known when the program is checked.

use std::collections::BTreeMap;

use crate::Call;

/// The value of a configuration argument.
#[derive(Debug, Clone, PartialEq)]
pub enum StaticArg {
    /// A whole number, a size.
    Int(i64),
    /// A real number, a probability.
    Real(f64),
    /// A truth value.
    Bool(bool),
    /// A string.
    Str(String),
    /// `none`.
    None,
    /// A layer with its configuration, passed as `module`.
    Module(Box<Call>),
    /// A value that exists but is not known yet, as `data.vocab` before the data was read.
    ///
    /// It passes every check of kind and range, and must be gone before a call is traced.
    Unknown,
}

/// Names that an expression at file level may use.
#[derive(Debug, Clone, Default)]
pub struct StaticEnv {
    names: BTreeMap<String, StaticArg>,
}

impl StaticEnv {
    /// No names.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a name, dotted as `data.vocab` where it is a member; the last one of a name counts.
    pub fn set(&mut self, name: impl Into<String>, value: StaticArg) {
        self.names.insert(name.into(), value);
    }

    /// Adds a name that exists but whose value is not known yet.
    pub fn set_unknown(&mut self, name: impl Into<String>) {
        self.set(name, StaticArg::Unknown);
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<&StaticArg> {
        self.names.get(name)
    }

    /// All names with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &StaticArg)> {
        self.names.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// All names, for suggestions.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.keys().map(String::as_str)
    }
}
