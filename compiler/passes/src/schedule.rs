//! Turns the functions of a module into tasks over buffers.
//!
//! In: a module whose reductions are split. Out: a [`Schedule`]: kernels with affine operands,
//! each different one once, and for every function its tasks in order. A stored value is written
//! straight into its state where all readers of the old value can run before.

mod blocks;
mod emit;
mod function;
mod kernels;
mod notes;
mod space;
mod stores;
mod tile_kernels;

use ir::graph::{Graph, Module, State};
use ir::ops::Op;
use ir::ops::barrier::Barrier;
use ir::ops::reshape::Reshape;
use ir::schedule::{Arg, Buffer, BufferId, Schedule, Target};

use crate::fuse::Waits;
use crate::rewrite::rewrite;

use function::Scheduler;
use kernels::Kernels;

pub use notes::Notes;

/// Schedules all functions for a target.
pub(crate) fn schedule(module: &Module, target: &Target) -> (Schedule, Notes) {
    let buffer = |s: &State| Buffer {
        name: s.name.clone(),
        dtype: s.ty.dtype,
        shape: s.ty.shape.clone(),
        role: Some(s.role),
        within: s.within.as_ref().map(|w| Arg { offset: w.offset, ..place(module, &w.state) }),
    };
    let mut buffers: Vec<Buffer> = module.states.iter().map(buffer).collect();
    let mut kernels = Kernels::default();
    let mut notes = Notes::default();
    let mut functions = vec![];
    for graph in &module.functions {
        let (graph, waits) = &unmarked(graph);
        let scheduler = Scheduler::new(module, graph, waits, target, &mut buffers, &mut kernels);
        functions.push(scheduler.run(&mut notes));
    }
    (Schedule { buffers, kernels: kernels.into_list(), functions }, notes)
}

/// The graph without marks of stages, which compute nothing, and with a view for each barrier.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other ops compute something")]
fn unmarked(graph: &Graph) -> (Graph, Waits) {
    let mut waits = Waits::new();
    let graph = rewrite(graph, |b, node, args| match &node.op {
        Op::Stage(_) => args[0],
        Op::Barrier(Barrier { shape }) => {
            let view = b.push(Reshape { shape: shape.clone() }, &args[..1]);
            waits.insert(view, args[1]);
            view
        }
        op => b.push(op.clone(), args),
    });
    (graph, waits)
}

/// Where a state is: a piece lies in its parent.
pub(crate) fn place(module: &Module, name: &str) -> Arg {
    let at = module.states.iter().position(|s| s.name == name);
    let at = at.expect("the verifier knows every state");
    match &module.states[at].within {
        Some(within) => Arg { offset: within.offset, ..place(module, &within.state) },
        None => Arg { buffer: BufferId(u32::try_from(at).expect("state counts fit")), offset: 0 },
    }
}
