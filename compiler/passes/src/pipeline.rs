//! The whole order of the passes, read from top to bottom.

use diag::Diagnostic;
use ir::graph::{Graph, Module};
use ir::schedule::{Pitch, Schedule, Target, Tiling};
use sema::Recompute;

use crate::cse::cse;
use crate::dce::dce;
use crate::decode::Blocked;
use crate::memory::{self, Memory};
use crate::recompute_blocks::recompute_blocks;
use crate::regions::{self, Regions};
use crate::round_once::round_once;
use crate::row_pitch::row_pitch;
use crate::schedule::Notes;
use crate::simplify::simplify;
use crate::split_reductions::split_reductions;
use crate::tiles::tile_rows;
use crate::train::{self, Parts, Training};
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
    /// The graphs that say what every number is.
    pub module: Module,
    /// `micro` as it was scheduled, where it computes parts again.
    pub recomputed: Option<Graph>,
    /// Their tasks.
    pub schedule: Schedule,
    /// What was fused, and what was not and why.
    pub fused: Notes,
    /// Their memory.
    pub memory: Memory,
    /// What is not an attention in tiles, what runs on chunks of rows, and why not what does not.
    pub notes: Vec<String>,
    /// Why there is no `decode`, where a model was asked for it.
    pub blocked: Option<Blocked>,
}

/// The CPU as the scheduler sees it.
pub fn cpu() -> Target {
    Target {
        name: "cpu".to_owned(),
        column_block: 64,
        kernel_nodes: 96,
        product_k_slice: 512,
        epilogue_cols: [64, 512],
        score_tile: [64, 64],
        pitch: Pitch::default(),
        tiling: Tiling::default(),
    }
}

/// A GPU as the scheduler sees it, by the name of its generation: `sm_90`.
///
/// In exact mode the order of every sum is that of the CPU, but where the CPU cuts the rows of a
/// very wide temporary shorter: chunks here are to fill a device, not to fit a cache.
pub fn gpu(name: &str) -> Target {
    let tiling = Tiling { rows: 2048, bytes: 512 << 20, above: 64 << 20 };
    // What one thread copies at once; short rows would grow by too large a part.
    let pitch = Pitch { bytes: 16, above: 256 };
    Target { name: name.to_owned(), pitch, tiling, ..cpu() }
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
    let graphs = Graphs::of(training, observe)?;
    let placed = graphs.place(&training.program.train.recompute, target, observe);
    Ok(graphs.scheduled(placed))
}

/// What does not depend on how memory is used: graphs after all passes that may change numbers.
#[derive(Debug)]
pub struct Graphs(Parts);

impl Graphs {
    /// Runs these passes.
    pub fn of(
        training: &Training<'_>,
        observe: &mut dyn FnMut(&str, Stage<'_>),
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut parts = train::parts(training)?;
        let module = &mut parts.module;
        check("train", module, observe);
        graph_passes(module, observe);
        weight_copies(module);
        check("weight_copies", module, observe);
        Ok(Self(parts))
    }

    /// The passes from there to memory, with parts computed again.
    pub fn place(
        &self,
        recompute: &Recompute,
        target: &Target,
        observe: &mut dyn FnMut(&str, Stage<'_>),
    ) -> Placed {
        let Parts { module, scopes, params, .. } = &self.0;
        let Some(regions) = Regions::of(recompute, scopes, params) else {
            return place(module, target, observe);
        };
        let mut module = module.clone();
        let micro = module.functions.iter_mut().find(|f| f.name == "micro");
        let micro = micro.expect("a training program has micro-batches");
        *micro = recompute_blocks(micro, &|origin| regions.region(origin));
        let recomputed = micro.clone();
        check("recompute_blocks", &module, observe);
        Placed { recomputed: Some(recomputed), ..place(&module, target, observe) }
    }

    /// With one of the ways to place them.
    pub fn scheduled(self, placed: Placed) -> Scheduled {
        let Placed { recomputed, schedule, fused, memory, notes: tiled } = placed;
        let Parts { module, blocked, mut notes, .. } = self.0;
        notes.extend(tiled);
        Scheduled { module, recomputed, schedule, fused, memory, notes, blocked }
    }

    /// The paths of all `repeat`s of the model and how many copies each has.
    pub(crate) fn blocks(&self) -> Vec<(String, u64)> {
        regions::blocks(&self.0.scopes)
    }

    /// The weights of the model.
    pub(crate) fn weights(&self) -> u64 {
        self.0.params.iter().map(|p| p.shape.iter().product::<u64>()).sum()
    }
}

/// A schedule and its memory.
#[derive(Debug)]
pub struct Placed {
    /// `micro` as it was scheduled, where it computes parts again.
    pub recomputed: Option<Graph>,
    /// The tasks.
    pub schedule: Schedule,
    /// What was fused, and what was not and why.
    pub fused: Notes,
    /// Their memory.
    pub memory: Memory,
    /// What runs on chunks of rows, and what does not and why.
    pub notes: Vec<String>,
}

/// The passes from graphs to memory.
pub fn schedule(
    mut module: Module,
    target: &Target,
    observe: &mut dyn FnMut(&str, Stage<'_>),
) -> Scheduled {
    graph_passes(&mut module, observe);
    let Placed { recomputed, schedule, fused, memory, notes } = place(&module, target, observe);
    Scheduled { module, recomputed, schedule, fused, memory, notes, blocked: None }
}

fn graph_passes(module: &mut Module, observe: &mut dyn FnMut(&str, Stage<'_>)) {
    for (name, pass) in GRAPH_PASSES {
        for graph in &mut module.functions {
            *graph = pass(graph);
        }
        check(name, module, observe);
    }
}

fn place(module: &Module, target: &Target, observe: &mut dyn FnMut(&str, Stage<'_>)) -> Placed {
    let (mut schedule, fused) = crate::schedule::schedule(module, target);
    observe("schedule", Stage::Schedule(&schedule));
    let notes = tile_rows(&mut schedule, target);
    observe("tiles", Stage::Schedule(&schedule));
    row_pitch(&mut schedule, target);
    observe("row_pitch", Stage::Schedule(&schedule));
    let memory = memory::memory(&schedule);
    observe("memory", Stage::Memory(&memory));
    Placed { recomputed: None, schedule, fused, memory, notes }
}

fn check(name: &str, module: &Module, observe: &mut dyn FnMut(&str, Stage<'_>)) {
    if let Err(errors) = ir::verify::verify(module) {
        panic!("{name} leaves a sound module: {errors:?}");
    }
    observe(name, Stage::Graph(module));
}
