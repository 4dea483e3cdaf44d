//! Entries as they run: registers as places in files, labels as indices.
//!
//! A warp has three files: 32-bit registers (16 bits lie in them too), 64-bit registers, and truth
//! values as masks of lanes. Immediates and the hardware's registers are places behind the entry's
//! own registers, which nothing writes.

use std::collections::BTreeMap;

use ptx_builder::{
    AnyReg, Base, Class, Entry, Guard, Instr, Op, Operand, ParseError, Slot, Space, Special, Stmt,
};

/// Registers of one file that an entry may have.
const MAX_REGS: usize = u16::MAX as usize;

/// An entry that can run.
#[derive(Debug)]
pub(super) struct Kernel {
    pub(super) entry: Entry,
    pub(super) code: Vec<Inst>,
    pub(super) files: Files,
}

/// The sizes of the files, and what is in the places that are set beforehand.
#[derive(Debug, Default)]
pub(super) struct Files {
    /// Registers of the entry, of 32 and 64 bits, and truth values.
    pub(super) narrow: usize,
    pub(super) wide: usize,
    pub(super) preds: usize,
    /// What follows them in the files of 32 and 64 bits.
    pub(super) narrow_consts: Vec<Const>,
    pub(super) wide_consts: Vec<u64>,
}

/// A place of the file of 32 bits that no instruction writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Const {
    Bits(u32),
    Special(Special),
}

/// An instruction with its operands resolved.
#[derive(Debug, Clone)]
pub(super) struct Inst {
    pub(super) op: Op,
    /// The place of a truth value and what it has to be.
    pub(super) guard: Option<(u16, bool)>,
    /// Places in files, in the order of the operands; those of addresses are not among them.
    pub(super) regs: [u16; 14],
    pub(super) addresses: [Address; 2],
    /// A target, a parameter, or a number.
    pub(super) number: u32,
    /// Which line of the body it is.
    pub(super) stmt: u32,
}

/// A place in memory: a register and what is added to it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Address {
    pub(super) base: u16,
    pub(super) is_wide: bool,
    pub(super) offset: i32,
}

impl Kernel {
    pub(super) fn decode(entry: Entry) -> Result<Kernel, ParseError> {
        let count = |classes: &[Class]| -> usize {
            let regs =
                Class::ALL.iter().zip(entry.regs).filter(|(class, _)| classes.contains(class));
            regs.map(|(_, n)| n as usize).sum()
        };
        let files = Files {
            narrow: count(&[Class::B16, Class::B32, Class::F32]),
            wide: count(&[Class::B64, Class::F64]),
            preds: count(&[Class::Pred]),
            ..Files::default()
        };
        let mut decoder = Decoder { entry: &entry, files, labels: labels(&entry.body) };
        let mut code = vec![];
        for (at, stmt) in entry.body.iter().enumerate() {
            if let Stmt::Instr(instr) = stmt {
                code.push(decoder.inst(instr, at));
            }
        }
        let files = decoder.files;
        let n_narrow = files.narrow + files.narrow_consts.len();
        let n_wide = files.wide + files.wide_consts.len();
        if n_narrow.max(n_wide).max(files.preds) > MAX_REGS {
            let message = format!("`{}` has more than {MAX_REGS} registers", entry.name);
            return Err(ParseError { line: 0, message });
        }
        Ok(Kernel { entry, code, files })
    }

    /// The text of a line of the body.
    pub(super) fn text(&self, stmt: u32) -> String {
        let text = self.entry.to_string();
        let body = text.lines().skip_while(|line| *line != "{").skip(1);
        let mut stmts = body.skip_while(|line| line.trim_start().starts_with(".reg"));
        let line = stmts.nth(stmt as usize).unwrap_or_default();
        line.trim().trim_end_matches(';').to_owned()
    }
}

/// The index of the instruction that follows each label.
fn labels(body: &[Stmt]) -> BTreeMap<u32, u32> {
    let mut labels = BTreeMap::new();
    let mut next = 0;
    for stmt in body {
        match stmt {
            Stmt::Label(label) => {
                labels.insert(*label, next);
            }
            Stmt::Instr(_) => next += 1,
        }
    }
    labels
}

struct Decoder<'e> {
    entry: &'e Entry,
    files: Files,
    labels: BTreeMap<u32, u32>,
}

impl Decoder<'_> {
    fn inst(&mut self, instr: &Instr, stmt: usize) -> Inst {
        let mut inst = Inst {
            op: instr.op,
            guard: instr.guard.map(|Guard { reg, wanted }| (self.place(reg), wanted)),
            regs: [0; 14],
            addresses: [Address::default(); 2],
            number: 0,
            stmt: stmt as u32,
        };
        let (mut n_regs, mut n_addresses) = (0, 0);
        for (slot, operand) in instr.op.slots().into_iter().zip(&instr.operands) {
            match operand {
                Operand::Label(label) => inst.number = self.labels[label],
                Operand::Int(number) if slot == Slot::Number => {
                    inst.number = u32::try_from(*number).unwrap_or(u32::MAX);
                }
                Operand::Address { base: Base::Param(at), offset } => {
                    inst.number = *at;
                    inst.addresses[0].offset = *offset;
                }
                Operand::Address { base, offset } => {
                    inst.addresses[n_addresses] = self.address(base, *offset);
                    n_addresses += 1;
                }
                Operand::Vector(regs) => {
                    for reg in regs {
                        inst.regs[n_regs] = self.place(*reg);
                        n_regs += 1;
                    }
                }
                Operand::Reg(_)
                | Operand::Int(_)
                | Operand::F32(_)
                | Operand::F64(_)
                | Operand::Special(_)
                | Operand::Shared => {
                    inst.regs[n_regs] = self.value(slot, operand);
                    n_regs += 1;
                }
            }
        }
        inst
    }

    fn address(&mut self, base: &Base, offset: i32) -> Address {
        match base {
            Base::Reg(reg) => {
                Address { base: self.place(*reg), is_wide: reg.class.bits() == 64, offset }
            }
            Base::Shared | Base::Param(_) => {
                Address { base: self.narrow(Const::Bits(0)), is_wide: false, offset }
            }
        }
    }

    /// Where a register lies in its file.
    fn place(&self, reg: AnyReg) -> u16 {
        let before: &[Class] = match reg.class {
            Class::Pred | Class::B16 | Class::B64 => &[],
            Class::B32 => &[Class::B16],
            Class::F32 => &[Class::B16, Class::B32],
            Class::F64 => &[Class::B64],
        };
        let regs = Class::ALL.iter().zip(self.entry.regs);
        let first: u32 = regs.filter(|(class, _)| before.contains(class)).map(|(_, n)| n).sum();
        // What does not fit is refused when all is read.
        (first.saturating_add(reg.index)) as u16
    }

    fn value(&mut self, slot: Slot, operand: &Operand) -> u16 {
        match operand {
            Operand::Reg(reg) => self.place(*reg),
            Operand::Int(number) if is_wide(slot) => self.wide(number.cast_unsigned()),
            Operand::Int(number) if bits(slot) == 16 => {
                self.narrow(Const::Bits(*number as u32 & 0xffff))
            }
            Operand::Int(number) => self.narrow(Const::Bits(*number as u32)),
            Operand::F32(bits) => self.narrow(Const::Bits(*bits)),
            Operand::F64(bits) => self.wide(*bits),
            Operand::Special(special) => self.narrow(Const::Special(*special)),
            Operand::Shared if is_wide(slot) => self.wide(0),
            Operand::Shared => self.narrow(Const::Bits(0)),
            Operand::Vector(_) | Operand::Address { .. } | Operand::Label(_) => {
                unreachable!("these are no values")
            }
        }
    }

    fn narrow(&mut self, value: Const) -> u16 {
        let known = &mut self.files.narrow_consts;
        let at = known.iter().position(|v| *v == value).unwrap_or_else(|| {
            known.push(value);
            known.len() - 1
        });
        (self.files.narrow + at) as u16
    }

    fn wide(&mut self, value: u64) -> u16 {
        let known = &mut self.files.wide_consts;
        let at = known.iter().position(|v| *v == value).unwrap_or_else(|| {
            known.push(value);
            known.len() - 1
        });
        (self.files.wide + at) as u16
    }
}

fn is_wide(slot: Slot) -> bool {
    bits(slot) == 64
}

/// Bits of a value that stands in a slot.
fn bits(slot: Slot) -> u32 {
    match slot {
        Slot::Def(class) | Slot::Use(class) | Slot::Source(class) => class.bits(),
        Slot::DefBits(bits) | Slot::UseBits(bits) => bits,
        Slot::Defs(_, bits) | Slot::Uses(_, bits) => bits,
        Slot::Address(Space::Global) => 64,
        Slot::Address(Space::Shared | Space::Param) | Slot::Number | Slot::Label => 32,
    }
}
