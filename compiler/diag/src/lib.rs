//! Spans, sources and diagnostics: what every stage of the compiler reports with.
//!
//! The only user of `codespan-reporting`. A diagnostic is data (code, message, labels, notes,
//! help, fixes); how it looks is decided by [`render`].

pub mod codes;
mod diagnostic;
pub mod fix;
pub mod lints;
pub mod render;
mod source;

pub use codes::{Code, Level};
pub use diagnostic::{Diagnostic, Edit, Fix, Label, LabelStyle, without_repeats};
pub use source::{FileId, SourceFile, SourceMap, Span};
