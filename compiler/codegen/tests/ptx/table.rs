//! Bugs planted in launches, in tables of who finds them.

use codegen::ptx::Launch;
use exec::device::emulated::Kind;
use ir::eval::kernel::Memory;
use ptx_builder::{Class, Cmp, Entry, Instr, Num, Op, Operand, Space, Width};

use crate::machine::{Run, Wrong};
use crate::plant::{add, all, is};

/// Who finds a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A detector of the emulated device.
    Report(Kind),
    /// The comparison with the interpreter.
    Bits,
}

/// A change of a launch.
pub(crate) type Plant = fn(&mut Launch);

/// Each bug is found as the table says, and nothing is where none is planted.
pub(crate) fn are_found(run: Run<'_>, held: &Memory, table: &[(&str, By, Plant)]) {
    let sound = run.launch.clone();
    let mut run = run;
    assert_eq!(run.outcome(held), Ok(()), "nothing is planted");
    for (name, by, plant) in table {
        run.launch = sound.clone();
        plant(&mut run.launch);
        assert_ne!(run.launch, sound, "{name}: nothing is planted");
        let found = run.outcome(held).map_err(|wrong| match wrong {
            Wrong::Report(report) => By::Report(report.kind),
            Wrong::Results(_) => By::Bits,
        });
        assert_eq!(found, Err(*by), "{name}");
    }
}

pub(crate) fn is_compare(cmp: Cmp, num: Num, number: i64) -> impl Fn(&Instr) -> bool {
    move |instr| instr.op == Op::Setp(cmp, num) && instr.operands[2] == Operand::Int(number)
}

/// Adds to the number that one comparison, or each, is with.
pub(crate) fn move_bound(entry: &mut Entry, is_meant: impl Fn(&Instr) -> bool, by: i64) {
    all(entry, is_meant).into_iter().for_each(|instr| add(&mut instr.operands[2], by));
}

pub(crate) fn swap_params(launch: &mut Launch, i: usize, j: usize) {
    let mut loads = all(&mut launch.entry, is(Op::Ld(Space::Param, Class::B64, Width::One)));
    let [x, y] = [i, j].map(|at| loads[at].operands[1].clone());
    (loads[i].operands[1], loads[j].operands[1]) = (y, x);
}

pub(crate) const RACE: By = By::Report(Kind::SharedRace);
pub(crate) const OUT_OF_BOUNDS: By = By::Report(Kind::OutOfBounds);
