//! The standard library: `.lt` sources embedded in the binary, one line each.

/// A source of the standard library.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// As messages call it: `std/nn.lt`.
    pub name: &'static str,
    /// The text.
    pub text: &'static str,
}

/// All sources, in the order they are loaded.
pub const SOURCES: &[Source] = &[
    Source { name: "std/nn.lt", text: include_str!("../nn.lt") },
    Source { name: "std/recurrent.lt", text: include_str!("../recurrent.lt") },
    Source { name: "std/loss.lt", text: include_str!("../loss.lt") },
    Source { name: "std/optim.lt", text: include_str!("../optim.lt") },
    Source { name: "std/schedule.lt", text: include_str!("../schedule.lt") },
    Source { name: "std/models.lt", text: include_str!("../models.lt") },
];
