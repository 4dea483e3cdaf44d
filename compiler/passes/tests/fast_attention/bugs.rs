//! Bugs planted in both passes: each is reported or gives other numbers.

use codegen::ptx::Launch;
use exec::device::emulated::Kind;
use ir::ops::attend::{Attend, Sizes};
use ir::types::Dtype;
use ptx_builder::{Class, Cmp, Cvt, Entry, Instr, Num, Op, Operand, Shuffle, Stmt, Target};

use crate::plant::{add, all, is, is_copy, is_matrices, is_permutation, remove, shift, swap};
use crate::problem::{self, Problem, Stage};
use crate::{Wrong, check, shapes};

/// Two heads that share keys; tiles that the band cuts and tiles that it does not; a short last
/// tile.
fn problem() -> Problem {
    let attend = Attend { is_causal: true, window: Some(100), ..Attend::all(0.3) };
    let sizes = shapes::sizes([150, 150], [32, 64]);
    shapes::plain(attend, Sizes { heads: 2, ..sizes }, Dtype::F16)
}

/// A pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum In {
    Forward,
    Backward,
    Both,
}

/// How a bug shows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shows {
    /// The emulated device reports it.
    As(Kind),
    /// A result is wrong, or something else was written.
    InResults,
}

use In::{Backward, Both, Forward};
use Shows::{As, InResults};

/// What it is, where it is, how it shows itself, and how it comes about.
type Bug = (&'static str, In, Shows, fn(&mut Entry));

const MMA: Op = Op::MmaF16;

const BUGS: [Bug; 36] = [
    ("no barrier before queries are read", Both, As(Kind::UseBeforeWait), |e| {
        remove(e, is(Op::BarSync), 0);
    }),
    ("no barrier in the loop", Both, As(Kind::SharedRace), |e| remove(e, is(Op::BarSync), 1)),
    ("no barrier in the second loop", Backward, As(Kind::SharedRace), |e| {
        remove(e, is(Op::BarSync), 3);
    }),
    ("no wait before queries are read", Both, As(Kind::UseBeforeWait), |e| {
        remove(e, is(Op::CpAsyncWait), 0);
    }),
    ("no wait in the loop", Both, As(Kind::UseBeforeWait), |e| {
        remove(e, is(Op::CpAsyncWait), 1);
    }),
    ("no wait in the second loop", Backward, As(Kind::UseBeforeWait), |e| {
        remove(e, is(Op::CpAsyncWait), 3);
    }),
    ("a wait for one stage less", Both, As(Kind::UseBeforeWait), |e| {
        add(&mut all(e, is(Op::CpAsyncWait))[1].operands[0], 1);
    }),
    ("a stage that is no group", Both, As(Kind::UseBeforeWait), |e| {
        remove(e, is(Op::CpAsyncCommit), 1);
    }),
    ("a stage overwritten while it is read", Both, As(Kind::UseBeforeWait), |e| {
        write_early(e, 0);
    }),
    ("a stage overwritten in the second loop", Backward, As(Kind::UseBeforeWait), |e| {
        write_early(e, 1);
    }),
    ("queries not permuted when copied", Both, InResults, |e| unpermuted(e, 0)),
    ("a fragment of queries not permuted", Both, InResults, |e| {
        let n = all(e, is_permutation).len();
        unpermuted(e, n - 1);
    }),
    ("a chunk in the place of another", Both, As(Kind::UseBeforeWait), |e| {
        shift(&mut all(e, is_copy)[0].operands[0], 16);
    }),
    ("edges taken as there", Both, As(Kind::OutOfBounds), |e| {
        all(e, |i| i.op == Op::CpAsync(16)).into_iter().for_each(|copy| {
            copy.operands[3] = Operand::Int(16);
        });
    }),
    ("an address off by an element", Both, As(Kind::Misaligned), |e| {
        shift(&mut all(e, is_copy)[0].operands[1], 2);
    }),
    ("left fragments in another order", Both, InResults, |e| {
        all(e, is(MMA)).into_iter().for_each(|mma| swap(&mut mma.operands[1], 1, 2));
    }),
    ("right fragments in another order", Both, InResults, |e| {
        all(e, is(MMA)).into_iter().for_each(|mma| swap(&mut mma.operands[2], 0, 1));
    }),
    ("sums in another order", Both, InResults, |e| {
        all(e, is(MMA)).into_iter().for_each(|mma| swap(&mut mma.operands[3], 1, 2));
    }),
    ("the first matrices the other way", Both, InResults, |e| turn(e, 0)),
    ("the last matrices the other way", Both, InResults, |e| {
        let n = all(e, is_matrices).len();
        turn(e, n - 1);
    }),
    ("weights in the place of their neighbours", Both, InResults, |e| {
        let pairs = all(e, is(Op::Cvt(Cvt::F16x2FromF32)));
        pairs.into_iter().for_each(|pair| pair.operands.swap(1, 2));
    }),
    ("the largest score of another row", Forward, InResults, |e| lane(e, 0, 4)),
    ("a sum of another row", Forward, InResults, |e| {
        let n = all(e, is(Op::Shfl(Shuffle::Butterfly))).len();
        lane(e, n - 1, 8);
    }),
    ("a sum of two lanes only", Forward, InResults, |e| {
        let n = all(e, is(Op::Shfl(Shuffle::Butterfly))).len();
        lane(e, n - 1, 0);
    }),
    ("sums that are not scaled to the new shift", Forward, InResults, |e| {
        let factor = &mut all(e, is(Op::Ex2Approx))[0];
        factor.op = Op::Mov(Class::F32);
        factor.operands[1] = Operand::F32(1.0f32.to_bits());
    }),
    ("a key not behind the row hidden", Both, InResults, |e| {
        let is_le = |i: &Instr| matches!(i.op, Op::Setp(Cmp::Le, Num::S32));
        let registers = |i: &Instr| is_le(i) && matches!(i.operands[2], Operand::Reg(_));
        all(e, registers).into_iter().for_each(|le| le.op = Op::Setp(Cmp::Lt, Num::S32));
    }),
    ("a window of one key more", Both, InResults, |e| number(e, 100, 101)),
    ("nothing hidden", Both, InResults, |e| {
        let selects = all(e, is(Op::Selp(Class::F32)));
        selects.into_iter().for_each(|select| select.operands[2] = select.operands[1].clone());
    }),
    ("the last tile that is seen forgotten", Both, InResults, |e| number(e, 63, 0)),
    ("a tile that is seen taken for one before the window", Both, InResults, |e| {
        number(e, -99, -35);
    }),
    ("each head with keys of its own", Both, As(Kind::OutOfBounds), |e| {
        let is_group = |i: &Instr| i.op == Op::Div(Num::U32) && i.operands[2] == Operand::Int(2);
        let last = all(e, is_group).pop().expect("a group is named");
        last.operands[2] = Operand::Int(1);
    }),
    ("rows behind the last one written", Both, As(Kind::OutOfBounds), |e| {
        let is_sum = |stmt: &Stmt| matches!(stmt, Stmt::Instr(instr) if instr.op == MMA);
        let last = e.body.iter().rposition(is_sum).expect("sums are added");
        for stmt in &mut e.body[last..] {
            if let Stmt::Instr(Instr { op: Op::Setp(Cmp::Lt, _), operands, .. }) = stmt {
                add(&mut operands[2], 2);
            }
        }
    }),
    ("delta forgotten", Backward, InResults, |e| {
        let rests = all(e, is(Op::Sub(Num::F32)));
        rests.into_iter().for_each(|rest| rest.operands[2] = Operand::F32(0));
    }),
    ("logarithms of sums not copied", Backward, InResults, |e| {
        let copy = &mut all(e, is(Op::CpAsync(4)))[0];
        copy.operands[3] = Operand::Int(0);
    }),
    ("the scale forgotten", Both, InResults, |e| {
        let is_scale = |i: &Instr| {
            matches!(i.op, Op::Fma(Num::F32) | Op::Mul(Num::F32))
                && matches!(i.operands[2], Operand::F32(_))
        };
        all(e, is_scale)
            .into_iter()
            .for_each(|scale| scale.operands[2] = Operand::F32(1.0f32.to_bits()));
    }),
    ("halves taken for bf16", Both, InResults, |e| {
        all(e, is(MMA)).into_iter().for_each(|mma| mma.op = Op::MmaBf16);
    }),
];

/// The stage that is written first is the one that is read first.
fn write_early(entry: &mut Entry, nth: usize) {
    // It starts behind as many bytes as the distance of the stages.
    let waits = |stmt: &Stmt| matches!(stmt, Stmt::Instr(i) if i.op == Op::CpAsyncWait);
    let places: Vec<usize> = (0..entry.body.len()).filter(|&at| waits(&entry.body[at])).collect();
    // Between the wait before the loop and that inside.
    let (from, to) = (places[2 * nth], places[2 * nth + 1]);
    let mut adds = entry.body[from..to].iter_mut().rev().filter_map(|stmt| match stmt {
        Stmt::Instr(instr) if instr.op == Op::Add(Num::S32) => Some(instr),
        Stmt::Instr(_) | Stmt::Label(_) => None,
    });
    let write = adds.find(|add| matches!(add.operands[2], Operand::Int(n) if n > 1000));
    write.expect("the stage that is written").operands[2] = Operand::Int(0);
}

fn unpermuted(entry: &mut Entry, nth: usize) {
    all(entry, is_permutation)[nth].operands[2] = Operand::Int(0);
}

fn turn(entry: &mut Entry, nth: usize) {
    let matrices = &mut all(entry, is_matrices)[nth];
    let Op::LdMatrix(n, is_transposed) = matrices.op else { unreachable!("matrices") };
    matrices.op = Op::LdMatrix(n, !is_transposed);
}

fn lane(entry: &mut Entry, nth: usize, bits: i64) {
    all(entry, is(Op::Shfl(Shuffle::Butterfly)))[nth].operands[2] = Operand::Int(bits);
}

/// A number in the place of another.
fn number(entry: &mut Entry, from: i64, to: i64) {
    let has = |instr: &Instr| instr.operands.contains(&Operand::Int(from));
    for instr in all(entry, has) {
        for operand in instr.operands.iter_mut().filter(|o| **o == Operand::Int(from)) {
            *operand = Operand::Int(to);
        }
    }
}

/// Plants a bug in a pass and says what came of it.
fn planted(stage: &Stage, plant: fn(&mut Entry)) -> Result<(), Wrong> {
    let sound = stage.launch();
    let mut entry = sound.entry.clone();
    plant(&mut entry);
    assert_ne!(entry, sound.entry, "nothing was planted");
    check(stage, &problem(), &Launch { entry, ..sound }, Target::Sm90)
}

#[test]
fn every_planted_bug_shows() {
    let stages = problem::stages(&problem());
    let mut wrong = vec![];
    for (name, place, shows, plant) in BUGS {
        for stage in &stages {
            let is_there = match place {
                Forward => stage.is_forward(),
                Backward => !stage.is_forward(),
                Both => true,
            };
            if !is_there {
                continue;
            }
            let found = planted(stage, plant);
            let is_shown = match (&found, shows) {
                (Err(Wrong::Report(report)), As(kind)) => report.kind == kind,
                (Err(Wrong::Results(_)), InResults) => true,
                (_, _) => false,
            };
            if !is_shown {
                wrong.push(format!("{name}, forward {}: {found:?}", stage.is_forward()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
