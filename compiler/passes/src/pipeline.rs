//! The whole order of the passes, read from top to bottom.

use diag::Diagnostic;
use ir::graph::{Graph, Module};
use ir::schedule::{Schedule, Target};

use crate::cse::cse;
use crate::dce::dce;
use crate::memory::{self, Memory};
use crate::round_once::round_once;
use crate::simplify::simplify;
use crate::split_reductions::split_reductions;
use crate::train::{self, Training};
use crate::weight_copies::weight_copies;

/// What a step of the pipeline made, for `--emit`, timing and tests.
#[derive(Debug)]
pub enum Stage<'a> {
    /// A module of graphs.
    Graph(&'a Module),
    /// Scheduled kernels.
    Schedule(&'a Schedule),
    /// An arena.
    Memory(&'a Memory),
}

/// The result of all passes.
#[derive(Debug)]
pub struct Scheduled {
    /// The graphs that were scheduled.
    pub module: Module,
    /// Their tasks.
    pub schedule: Schedule,
    /// Their memory.
    pub memory: Memory,
}

/// The CPU as the scheduler sees it.
pub fn cpu() -> Target {
    Target {
        name: "cpu".to_owned(),
        column_block: 64,
        product_k_slice: 512,
        epilogue_cols: [64, 512],
        score_tile: [64, 64],
    }
}

/// A pass from graph to graph.
pub type GraphPass = fn(&Graph) -> Graph;

/// The passes over each function's graph, in order.
pub const GRAPH_PASSES: [(&str, GraphPass); 8] = [
    ("dce", dce),
    // Before constants are folded and equal nodes merged: it counts who reads a rounding.
    ("round_once", round_once),
    ("simplify", simplify),
    ("cse", cse),
    ("split_reductions", split_reductions),
    // Splitting leaves reshapes of reshapes and may make reductions equal.
    ("simplify", simplify),
    ("cse", cse),
    ("dce", dce),
];

/// Runs every pass; `observe` is called after each with its name and what it made.
pub fn run(
    training: &Training<'_>,
    target: &Target,
    observe: &mut dyn FnMut(&str, Stage<'_>),
) -> Result<Scheduled, Vec<Diagnostic>> {
    let mut module = train::module(training)?;
    check("train", &module, observe);
    graph_passes(&mut module, observe);
    weight_copies(&mut module);
    check("weight_copies", &module, observe);
    Ok(place(module, target, observe))
}

/// The passes from graphs to memory.
pub fn schedule(
    mut module: Module,
    target: &Target,
    observe: &mut dyn FnMut(&str, Stage<'_>),
) -> Scheduled {
    graph_passes(&mut module, observe);
    place(module, target, observe)
}

fn graph_passes(module: &mut Module, observe: &mut dyn FnMut(&str, Stage<'_>)) {
    for (name, pass) in GRAPH_PASSES {
        for graph in &mut module.functions {
            *graph = pass(graph);
        }
        check(name, module, observe);
    }
}

fn place(module: Module, target: &Target, observe: &mut dyn FnMut(&str, Stage<'_>)) -> Scheduled {
    let schedule = crate::schedule::schedule(&module, target);
    observe("schedule", Stage::Schedule(&schedule));
    let memory = memory::memory(&schedule);
    observe("memory", Stage::Memory(&memory));
    Scheduled { module, schedule, memory }
}

fn check(name: &str, module: &Module, observe: &mut dyn FnMut(&str, Stage<'_>)) {
    if let Err(errors) = ir::verify::verify(module) {
        panic!("{name} leaves a sound module: {errors:?}");
    }
    observe(name, Stage::Graph(module));
}
