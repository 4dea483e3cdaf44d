//! Where the first weights of a job come from.

use diag::Span;

/// What `train x from y` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The job or the folder.
    pub of: OriginOf,
    /// Where it is named.
    pub span: Span,
}

/// A run, by how the spec calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OriginOf {
    /// Another job of the spec, by its name.
    Job(String),
    /// The folder of a run, or one of its checkpoints.
    Folder(String),
}

impl OriginOf {
    /// As written.
    pub fn text(&self) -> String {
        match self {
            OriginOf::Job(name) => name.clone(),
            OriginOf::Folder(path) => format!("{path:?}"),
        }
    }
}

/// The checkpoint that a job starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weights {
    /// Its folder.
    pub checkpoint: String,
    /// The hash of its manifest.
    pub sha256: String,
    /// Its weights with their shapes.
    pub tensors: Vec<(String, Vec<u64>)>,
}
