//! Checkpoints: folders `step-N`, complete and verified, or not there.
//!
//! `model.safetensors` holds the weights, `optimizer.safetensors` the state of the rule and the
//! counters, `manifest.json` the hash of each tensor and of itself. Nothing in it depends on
//! time, host or path, so equal runs write equal bytes.

pub mod keep;
pub mod load;
pub mod manifest;
pub mod safetensors;
pub mod save;
pub mod start;

use plan::{Buffer, BufferId, Plan, Role};

/// The files with tensors, in the order in which they are written.
pub const FILES: [&str; 2] = ["model.safetensors", "optimizer.safetensors"];

/// The file of a buffer, when it is part of the state.
fn file_of(buffer: &Buffer) -> Option<&'static str> {
    match buffer.role {
        Role::Param => Some(FILES[0]),
        Role::OptState | Role::Counter => Some(FILES[1]),
        // Pieces of a flat buffer are saved by their own names.
        Role::Cast
        | Role::Grad
        | Role::Metric
        | Role::Input
        | Role::Output
        | Role::Cache
        | Role::Flat
        | Role::Temp => None,
    }
}

/// The buffers of one file, by name.
fn buffers_of<'p>(plan: &'p Plan, file: &str) -> Vec<(BufferId, &'p Buffer)> {
    let ids = (0u32..).map(BufferId);
    let all = ids.zip(&plan.buffers);
    let mut found: Vec<_> = all.filter(|(_, b)| file_of(b) == Some(file)).collect();
    found.sort_by(|a, b| a.1.name.cmp(&b.1.name));
    found
}

#[cfg(test)]
mod tests;
