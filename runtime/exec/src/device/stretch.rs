//! Functions of plans for GPUs as stretches of launches that no host interrupts.
//!
//! In: the steps of a plan. Out: for each function its parts, and the launches of each stretch with
//! all arguments: nothing of a launch depends on the call, and in a loop over chunks of rows an
//! argument depends on the iteration alone. So a device may keep a stretch as one piece of work.

use plan::{BufferId, Function, Launch, LaunchArg, Plan, Step};

/// Most launches of a stretch: a longer one is cut, and a loop of more is none.
const MOST_LAUNCHES: usize = 4096;

/// A launch whose every argument is known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bound {
    /// Its places are those of its iteration.
    pub(crate) launch: Launch,
    /// What [`LaunchArg::Iteration`] is.
    pub(crate) iteration: u32,
    /// The place of the spec it came from.
    pub(crate) origin: String,
}

impl Bound {
    /// A launch in an iteration of the loop around it, in which buffers are further on.
    pub(crate) fn new(
        launch: &Launch,
        origin: &str,
        iteration: u64,
        shift: impl Fn(BufferId) -> u64,
    ) -> Bound {
        let mut launch = launch.clone();
        for arg in &mut launch.args {
            match arg {
                LaunchArg::Memory(arg) => arg.offset += shift(arg.buffer),
                LaunchArg::Iteration => {}
            }
        }
        let iteration = u32::try_from(iteration).expect("tiles are few");
        Bound { launch, iteration, origin: origin.to_owned() }
    }
}

/// A part of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The stretch of this number.
    Stretch(usize),
    /// The function's step of this number.
    Step(usize),
}

/// The functions of a plan in parts.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Parts {
    /// For each function.
    pub(crate) functions: Vec<Vec<Part>>,
    /// What the stretches of all functions launch.
    pub(crate) stretches: Vec<Vec<Bound>>,
}

impl Parts {
    /// Of a verified plan.
    pub(crate) fn of(plan: &Plan) -> Parts {
        let mut parts = Parts::default();
        plan.functions.iter().for_each(|function| parts.add(function, MOST_LAUNCHES));
        parts
    }

    fn add(&mut self, function: &Function, most: usize) {
        let mut found = vec![];
        let mut stretch: Vec<Bound> = vec![];
        for (at, step) in function.steps.iter().enumerate() {
            match bound(step, most) {
                Some(launches) => {
                    if stretch.len() + launches.len() > most {
                        self.end(&mut stretch, &mut found);
                    }
                    stretch.extend(launches);
                }
                None => {
                    self.end(&mut stretch, &mut found);
                    found.push(Part::Step(at));
                }
            }
        }
        self.end(&mut stretch, &mut found);
        self.functions.push(found);
    }

    /// Ends a stretch; one of nothing is none.
    fn end(&mut self, stretch: &mut Vec<Bound>, found: &mut Vec<Part>) {
        if !stretch.is_empty() {
            found.push(Part::Stretch(self.stretches.len()));
            self.stretches.push(std::mem::take(stretch));
        }
    }
}

/// What a step launches, if that is all it does and not more than so many.
fn bound(step: &Step, most: usize) -> Option<Vec<Bound>> {
    match step {
        // A grid has a block; work that is empty has none.
        Step::Launch { launch, .. } if launch.blocks == 0 => Some(vec![]),
        Step::Launch { launch, origin } => Some(vec![Bound::new(launch, origin, 0, |_| 0)]),
        Step::Tiles { count, body, advance } => {
            let is_short = count.checked_mul(body.len() as u64)? <= most as u64;
            let body: Vec<_> = body.iter().map(launch).collect::<Option<_>>()?;
            is_short.then(|| unrolled(*count, &body, advance))
        }
        Step::Loop { .. } | Step::Call(_) | Step::Yield(_) => None,
        Step::Kernel { .. } | Step::Product { .. } | Step::Attention { .. } | Step::Sort { .. } => {
            None
        }
    }
}

fn launch(step: &Step) -> Option<(&Launch, &str)> {
    let Step::Launch { launch, origin } = step else { return None };
    Some((launch, origin))
}

fn unrolled(count: u64, body: &[(&Launch, &str)], advance: &[(BufferId, u64)]) -> Vec<Bound> {
    let launches = |iteration: u64| {
        let shift = move |id: BufferId| {
            let moved = advance.iter().find(|(buffer, _)| *buffer == id);
            moved.map_or(0, |(_, bytes)| bytes * iteration)
        };
        let full = body.iter().filter(|(launch, _)| launch.blocks > 0);
        full.map(move |(launch, origin)| Bound::new(launch, origin, iteration, shift))
    };
    (0..count).flat_map(launches).collect()
}

#[cfg(test)]
mod tests {
    use plan::{Arg, Count, FunctionId, Yield};

    use super::*;

    /// A launch of the code `code` on one place and the iteration.
    fn launch(code: u32, blocks: u64) -> Step {
        let place = LaunchArg::Memory(Arg { buffer: BufferId(code), offset: 8 });
        let args = vec![place, LaunchArg::Iteration];
        let launch = Launch { code, args, blocks, threads: 1, shared_bytes: 0, flops: 0 };
        Step::Launch { launch, origin: format!("a.lt:{code}") }
    }

    fn parts(steps: Vec<Step>, most: usize) -> Parts {
        let mut parts = Parts::default();
        parts.add(&Function { name: "f".to_owned(), steps }, most);
        parts
    }

    /// The codes of each stretch.
    fn codes(parts: &Parts) -> Vec<Vec<u32>> {
        let codes = |launches: &Vec<Bound>| launches.iter().map(|b| b.launch.code).collect();
        parts.stretches.iter().map(codes).collect()
    }

    #[test]
    fn turns_calls_and_loops_of_the_host_end_a_stretch() {
        let of_host = || Step::Loop { count: Count::Accumulate, body: vec![launch(9, 1)] };
        let steps = vec![
            launch(1, 1),
            launch(2, 1),
            Step::Yield(Yield::Batch),
            launch(3, 1),
            of_host(),
            Step::Call(FunctionId(0)),
            launch(4, 1),
        ];
        let parts = parts(steps, 100);
        assert_eq!(codes(&parts), [vec![1, 2], vec![3], vec![4]]);
        let wanted = [
            Part::Stretch(0),
            Part::Step(2),
            Part::Stretch(1),
            Part::Step(4),
            Part::Step(5),
            Part::Stretch(2),
        ];
        assert_eq!(parts.functions, [wanted]);
    }

    #[test]
    fn a_loop_over_rows_is_written_out_with_its_places() {
        let tiles = Step::Tiles {
            count: 3,
            body: vec![launch(1, 1), launch(2, 1)],
            advance: vec![(BufferId(2), 100)],
        };
        let parts = parts(vec![launch(5, 1), tiles, launch(6, 1)], 100);
        assert_eq!(codes(&parts), [[5, 1, 2, 1, 2, 1, 2, 6]]);
        let places = |bound: &Bound| {
            let place = bound.launch.places().next().expect("it has one");
            (bound.iteration, place.offset)
        };
        let all: Vec<_> = parts.stretches[0].iter().map(places).collect();
        let wanted = [(0, 8), (0, 8), (0, 8), (1, 8), (1, 108), (2, 8), (2, 208), (0, 8)];
        assert_eq!(all, wanted);
    }

    #[test]
    fn a_stretch_that_is_too_long_is_cut_and_a_loop_that_is_stays_one() {
        let tiles = |count| Step::Tiles { count, body: vec![launch(7, 1)], advance: vec![] };
        let of = parts(vec![launch(1, 1), tiles(3), launch(2, 1), launch(3, 1)], 4);
        assert_eq!(codes(&of), [vec![1, 7, 7, 7], vec![2, 3]]);
        let of = parts(vec![launch(1, 1), tiles(5), launch(2, 1)], 4);
        assert_eq!(of.functions, [[Part::Stretch(0), Part::Step(1), Part::Stretch(1)]]);
        assert_eq!(codes(&of), [[1], [2]]);
    }

    #[test]
    fn work_that_is_empty_is_not_launched() {
        let parts = parts(vec![launch(1, 0), launch(2, 1), Step::Call(FunctionId(0))], 4);
        assert_eq!(codes(&parts), [[2]]);
        assert!(self::parts(vec![launch(1, 0)], 4).functions[0].is_empty());
    }
}
