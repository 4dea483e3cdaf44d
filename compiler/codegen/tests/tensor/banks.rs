//! Where lanes reach into shared memory: eight at a time, each in banks of its own.

use std::collections::BTreeSet;

use ptx_builder::{
    AnyReg, Base, Class, Entry, Instr, Num, Op, Operand, Space, Special, Stmt, Target, Width,
};

use crate::reference;
use crate::shapes::{self, Case, Random};
use crate::{launch, machine};

/// A new register.
fn register(entry: &mut Entry, class: Class) -> AnyReg {
    let at = Class::ALL.iter().position(|c| *c == class).expect("all classes are listed");
    entry.regs[at] += 1;
    AnyReg { class, index: entry.regs[at] - 1 }
}

/// The entry up to a place, where each thread writes a register to the result and is done.
fn ended(entry: &Entry, at: usize, shown: AnyReg) -> Entry {
    let mut entry = entry.clone();
    entry.body.truncate(at);
    let thread = register(&mut entry, Class::B32);
    let [result, place] = [(); 2].map(|()| register(&mut entry, Class::B64));
    let memory = |base| Operand::Address { base, offset: 0 };
    let code = [
        (Op::Mov(Class::B32), vec![Operand::Reg(thread), Operand::Special(Special::TidX)]),
        (
            Op::Ld(Space::Param, Class::B64, Width::One),
            vec![Operand::Reg(result), memory(Base::Param(2))],
        ),
        (
            Op::MadWide(Num::S32),
            vec![Operand::Reg(place), Operand::Reg(thread), Operand::Int(4), Operand::Reg(result)],
        ),
        (
            Op::St(Space::Global, Class::B32, Width::One),
            vec![memory(Base::Reg(place)), Operand::Reg(shown)],
        ),
        (Op::Ret, vec![]),
    ];
    let stmt = |(op, operands)| Stmt::Instr(Instr { guard: None, op, operands });
    entry.body.extend(code.map(stmt));
    // Branches to places behind the end go to the end.
    let named: BTreeSet<u32> = entry.body.iter().filter_map(branch).collect();
    let end = entry.body.len() - 1;
    for label in named.into_iter().map(Stmt::Label) {
        if !entry.body.contains(&label) {
            entry.body.insert(end, label);
        }
    }
    entry
}

fn branch(stmt: &Stmt) -> Option<u32> {
    let Stmt::Instr(Instr { operands, .. }) = stmt else { return None };
    let [Operand::Label(label)] = operands[..] else { return None };
    Some(label)
}

/// The registers of the shared addresses of copies or of matrices, and where they are used.
fn addresses(entry: &Entry) -> Vec<(usize, AnyReg)> {
    let mut found: Vec<(usize, AnyReg)> = vec![];
    for (at, stmt) in entry.body.iter().enumerate() {
        let Stmt::Instr(instr) = stmt else { continue };
        let is_matrices = matches!(instr.op, Op::LdMatrix(..));
        if !is_matrices && instr.op != Op::CpAsync(16) {
            continue;
        }
        let place = usize::from(is_matrices);
        let Operand::Address { base: Base::Reg(reg), .. } = &instr.operands[place] else {
            panic!("an address in a register")
        };
        if found.iter().all(|(_, other)| other != reg) {
            found.push((at, *reg));
        }
    }
    found
}

/// What each thread of the first block writes, of those that get there.
fn shown(case: &Case, launch: &codegen::ptx::Launch, target: Target) -> Vec<u32> {
    let mut buffers = reference::buffers(case, &mut Random(9));
    let launch = codegen::ptx::Launch { blocks: 1, ..launch.clone() };
    machine::run(&launch, target, &mut buffers, None).unwrap_or_else(|e| panic!("{e}"));
    let threads = launch.entry.threads as usize;
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    // What is not written keeps its pattern.
    let all = buffers[2].bytes.chunks(4).take(threads).map(number);
    all.filter(|&place| place != 0xa5a5_a5a5).collect()
}

#[test]
fn neighbouring_lanes_reach_different_banks() {
    let target = Target::Sm90;
    for tiled in &shapes::TILED {
        let [m, n] = tiled.size.map(|n| n.next_multiple_of(8));
        for case in shapes::layouts(&shapes::plain(m, n, 136)) {
            let launch = launch(&shapes::often(&case), target);
            let found = addresses(&launch.entry);
            assert!(found.len() >= 4, "{}", case.name);
            for (at, reg) in found {
                let entry = ended(&launch.entry, at, reg);
                let launch = codegen::ptx::Launch { entry, ..launch.clone() };
                for lanes in shown(&case, &launch, target).chunks(8) {
                    // A chunk of 16 bytes is in one of eight groups of banks.
                    let groups = lanes.iter().fold(0u8, |all, place| all | 1 << (place / 16 % 8));
                    assert_eq!(groups, 0xff, "{}: {lanes:?}", case.name);
                }
            }
        }
    }
}
