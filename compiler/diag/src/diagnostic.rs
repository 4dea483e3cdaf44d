//! A diagnostic: what is wrong, where each side of it came from, and the way out.

use std::collections::BTreeSet;

use crate::{Code, Level, Span};

/// One error or warning, collected and rendered later.
#[derive(Debug, Clone)]
pub struct Diagnostic {
    /// Its code.
    pub code: Code,
    /// That of its code, but for a lint that the command line makes an error.
    pub level: Level,
    /// The sentence that stands alone: lower case, no final stop, code in back ticks.
    pub message: String,
    /// Places, the primary one first; each says what it contributes.
    pub labels: Vec<Label>,
    /// Rules behind the message.
    pub notes: Vec<String>,
    /// What to do about it.
    pub help: Vec<String>,
    /// Edits that do it, when certain.
    pub fixes: Vec<Fix>,
}

/// A place and what it contributes.
#[derive(Debug, Clone)]
pub struct Label {
    /// Where.
    pub span: Span,
    /// What this place says; may be empty.
    pub message: String,
    /// The place of the fault, or one that explains it.
    pub style: LabelStyle,
}

/// Whether a label marks the fault or something that explains it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelStyle {
    /// The place of the fault.
    Primary,
    /// A place that explains it.
    Secondary,
}

/// A set of edits under one title, as an editor would offer it.
#[derive(Debug, Clone)]
pub struct Fix {
    /// What the edits do, as an imperative.
    pub title: String,
    /// Replacements, none overlapping.
    pub edits: Vec<Edit>,
    /// Whether what is allowed, and may be meant, would say something else.
    pub alters: bool,
}

/// Replace the text under `span`.
#[derive(Debug, Clone)]
pub struct Edit {
    /// What is replaced; empty to insert.
    pub span: Span,
    /// The new text.
    pub text: String,
}

impl Diagnostic {
    /// A diagnostic with its primary place.
    pub fn new(code: Code, span: Span, message: impl Into<String>) -> Self {
        let label = Label { span, message: String::new(), style: LabelStyle::Primary };
        Self {
            code,
            level: code.level(),
            message: message.into(),
            labels: vec![label],
            notes: vec![],
            help: vec![],
            fixes: vec![],
        }
    }

    /// Says what the primary place contributes.
    #[must_use]
    pub fn primary(mut self, message: impl Into<String>) -> Self {
        self.labels[0].message = message.into();
        self
    }

    /// Adds a secondary place.
    #[must_use]
    pub fn label(mut self, span: Span, message: impl Into<String>) -> Self {
        let style = LabelStyle::Secondary;
        self.labels.push(Label { span, message: message.into(), style });
        self
    }

    /// Adds a note: the rule behind the message.
    #[must_use]
    pub fn note(mut self, text: impl Into<String>) -> Self {
        self.notes.push(text.into());
        self
    }

    /// Adds help: what to do.
    #[must_use]
    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    /// Adds help that carries its edit.
    #[must_use]
    pub fn fix(self, title: impl Into<String>, span: Span, text: impl Into<String>) -> Self {
        self.fix_all(title, vec![Edit { span, text: text.into() }])
    }

    /// Adds help that carries several edits, none overlapping, which are made together.
    #[must_use]
    pub fn fix_all(mut self, title: impl Into<String>, edits: Vec<Edit>) -> Self {
        let title = title.into();
        self.help.push(title.clone());
        self.fixes.push(Fix { title, edits, alters: false });
        self
    }

    /// Adds help that carries its edit, of what is allowed as it stands: the edit would say
    /// something else.
    #[must_use]
    pub fn offer(self, title: impl Into<String>, span: Span, text: impl Into<String>) -> Self {
        let mut with = self.fix(title, span, text);
        with.fixes.iter_mut().for_each(|fix| fix.alters = true);
        with
    }

    /// The primary place.
    pub fn span(&self) -> Span {
        self.labels[0].span
    }
}

/// Leaves out what says the same of the same place as one before it.
pub fn without_repeats(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let mut said = BTreeSet::new();
    diagnostics.retain(|d| said.insert((d.code, d.span(), d.message.clone())));
    diagnostics
}
