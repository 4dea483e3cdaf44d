//! The text of each stage.

use crate::cli::Stage;
use crate::compile::Compiled;

/// The text of a stage that comes after the program.
pub fn emit(compiled: &Compiled, stage: Stage) -> String {
    match stage {
        Stage::Ast | Stage::Program => unreachable!("printed before compilation"),
        Stage::Graph => ir::text::print_module(&compiled.scheduled.module),
        Stage::Kernels => ir::text::print_schedule(&compiled.scheduled.schedule),
        Stage::Clif => compiled.plan.code.iter().map(|c| format!("{}\n", c.text)).collect(),
        Stage::Plan => compiled.plan.print(),
    }
}
