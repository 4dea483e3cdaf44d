//! The words that open a block, and which of them work.

use super::{Home, Status};

/// A word at the start of a line at file level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// The word.
    pub word: &'static str,
    /// Whose directives stand in it, for the blocks that are built.
    pub home: Option<Home>,
    /// Whether it works.
    pub status: Status,
    /// What it does, in a sentence.
    pub doc: &'static str,
}

const fn later(word: &'static str, doc: &'static str) -> Block {
    Block { word, home: None, status: Status::NotYet, doc }
}

/// Every block word.
pub const BLOCKS: &[Block] = &[
    Block {
        word: "model",
        home: None,
        status: Status::Built,
        doc: "A layer with its configuration, to be trained.",
    },
    Block {
        word: "data",
        home: Some(Home::Data),
        status: Status::Built,
        doc: "Where the text is and how it becomes sequences of ids.",
    },
    Block { word: "train", home: Some(Home::Train), status: Status::Built, doc: "A training job." },
    Block {
        word: "arg",
        home: None,
        status: Status::Built,
        doc: "A setting of the command line, with a type, a default and a range.",
    },
    Block { word: "use", home: None, status: Status::Built, doc: "Names from another spec." },
    later("distill", "Trains a small model on the outputs of a large one."),
    later("prune", "Removes weights and trains what is left."),
    later("quantize", "Stores weights in fewer bits."),
    later("sweep", "Runs a job with several settings and keeps the best."),
    later("eval", "Measures a model on data."),
    later("generate", "Writes text with a trained model."),
    later("export", "Writes a trained model for other programs."),
    later("merge", "Folds adapters into the weights they adapt."),
    Block {
        word: "allow",
        home: None,
        status: Status::Built,
        doc: "Silences lints in the whole spec: their codes, and the reason as a string.",
    },
];
