//! The text of functions, and what is called from where.

use plan::{Arg, BufferId, Count, Function, FunctionId, Step, Yield};

use super::{at, text};
use crate::tiny;

fn kernel(extent: u64) -> Step {
    let args = vec![Arg { buffer: BufferId(3), offset: 0 }, Arg { buffer: BufferId(4), offset: 0 }];
    Step::Kernel { code: 0, args, extent, grain: 2, origin: String::new() }
}

#[test]
fn places_lead_to_their_steps() {
    let mut plan = tiny::plan();
    let inner = vec![kernel(1), Step::Yield(Yield::Batch)];
    let body = vec![Step::Loop { count: Count::Accumulate, body: inner }, kernel(9)];
    let steps = vec![Step::Call(FunctionId(0)), Step::Loop { count: Count::Accumulate, body }];
    plan.functions.push(Function { name: "f".to_owned(), steps });
    let texts = text::of(&plan, "system_v");
    let mut all = vec![];
    plan.each_step(|step| all.push(step));
    let found: Vec<&Step> = texts.places.iter().map(|place| at(&plan, place)).collect();
    assert_eq!(found, all);
}

#[test]
fn only_kernels_for_one_thread_are_called_at_once() {
    for (steps, n_args) in [
        (vec![kernel(2)], 2),
        (vec![kernel(3)], 0),
        (vec![Step::Tiles { count: 1, body: vec![kernel(2)], advance: vec![] }], 0),
        (vec![Step::Loop { count: Count::Accumulate, body: vec![kernel(2), kernel(1)] }], 4),
    ] {
        let mut plan = tiny::plan();
        plan.functions = vec![Function { name: "f".to_owned(), steps }];
        let texts = text::of(&plan, "system_v");
        assert_eq!(texts.args.len(), n_args, "{}", texts.code[0].text);
    }
}
