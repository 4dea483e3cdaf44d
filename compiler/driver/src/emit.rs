//! The text of each stage.

use passes::pipeline::Scheduled;

use crate::cli::Stage;
use crate::compile::Compiled;

/// The text of a stage that comes after the program.
pub fn emit(compiled: &Compiled, stage: Stage) -> String {
    match stage {
        Stage::Ast | Stage::Program => unreachable!("printed before compilation"),
        Stage::Graph => ir::text::print_module(&scheduled(compiled)),
        Stage::Kernels => {
            let Scheduled { schedule, fused, notes, .. } = &compiled.scheduled;
            let notes: String = notes.iter().map(|note| format!("# {note}\n")).collect();
            notes + &ir::text::print_noted(schedule, |function, task| fused.about(function, task))
        }
        Stage::Clif | Stage::Ptx => {
            compiled.plan.code.iter().map(|c| format!("{}\n", c.text)).collect()
        }
        Stage::Plan => compiled.plan.print(),
    }
}

/// The graphs as they were scheduled.
fn scheduled(compiled: &Compiled) -> ir::graph::Module {
    let mut module = compiled.scheduled.module.clone();
    if let Some(recomputed) = &compiled.scheduled.recomputed {
        let place = module.functions.iter_mut().find(|f| f.name == recomputed.name);
        *place.expect("it stands for one of them") = recomputed.clone();
    }
    module
}
