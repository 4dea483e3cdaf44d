//! Changes of an entry, for bugs that are planted in it.

use ptx_builder::{Class, Entry, Instr, Logic, Op, Operand, Stmt};

/// All instructions, in order.
pub(crate) fn each_instr(entry: &mut Entry) -> impl Iterator<Item = &mut Instr> {
    entry.body.iter_mut().filter_map(|stmt| match stmt {
        Stmt::Instr(instr) => Some(instr),
        Stmt::Label(_) => None,
    })
}

/// The instructions of an operation, in order.
pub(crate) fn all(entry: &mut Entry, is_meant: impl Fn(&Instr) -> bool) -> Vec<&mut Instr> {
    let found: Vec<&mut Instr> = each_instr(entry).filter(|instr| is_meant(instr)).collect();
    assert!(!found.is_empty(), "the entry has no such instruction");
    found
}

/// Takes the `nth` of some instructions away.
pub(crate) fn remove(entry: &mut Entry, is_meant: impl Fn(&Instr) -> bool, nth: usize) {
    let is_it = |stmt: &Stmt| matches!(stmt, Stmt::Instr(instr) if is_meant(instr));
    let places: Vec<usize> = (0..entry.body.len()).filter(|&at| is_it(&entry.body[at])).collect();
    entry.body.remove(places[nth]);
}

/// Those of an operation.
pub(crate) fn is(op: Op) -> impl Fn(&Instr) -> bool {
    move |instr| instr.op == op
}

/// Copies behind the back of the threads.
pub(crate) fn is_copy(instr: &Instr) -> bool {
    matches!(instr.op, Op::CpAsync(_))
}

/// Loads of fragments.
pub(crate) fn is_matrices(instr: &Instr) -> bool {
    matches!(instr.op, Op::LdMatrix(..))
}

/// Exclusive ors that permute the chunks of a line.
pub(crate) fn is_permutation(instr: &Instr) -> bool {
    instr.op == Op::Logic(Logic::Xor, Class::B32) && matches!(instr.operands[2], Operand::Reg(_))
}

/// Two registers of a vector, one for the other.
pub(crate) fn swap(vector: &mut Operand, i: usize, j: usize) {
    let Operand::Vector(regs) = vector else { panic!("registers in braces") };
    regs.swap(i, j);
}

/// Adds to a number.
pub(crate) fn add(operand: &mut Operand, by: i64) {
    let Operand::Int(number) = operand else { panic!("a number") };
    *number += by;
}

/// Adds to the offset of an address.
pub(crate) fn shift(operand: &mut Operand, by: i32) {
    let Operand::Address { offset, .. } = operand else { panic!("an address") };
    *offset += by;
}
