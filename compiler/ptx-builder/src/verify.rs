//! Whether a module is well formed: names, registers, operands.

use std::collections::BTreeSet;

use crate::module::{Entry, Instr, Module, Stmt};
use crate::op::{Op, Slot, Space};
use crate::reg::{AnyReg, Base, Class, Operand};

/// What is wrong with a module, one sentence each; none for a sound one.
pub fn verify(module: &Module) -> Vec<String> {
    let mut wrong = vec![];
    let mut names = BTreeSet::new();
    for entry in &module.entries {
        if !names.insert(&entry.name) {
            wrong.push(format!("two entries are called `{}`", entry.name));
        }
        let faults = Check { entry, labels: labels(entry) }.run();
        wrong.extend(faults.into_iter().map(|fault| format!("`{}`: {fault}", entry.name)));
    }
    wrong
}

fn labels(entry: &Entry) -> Vec<u32> {
    let placed = entry.body.iter().filter_map(|stmt| match stmt {
        Stmt::Label(label) => Some(*label),
        Stmt::Instr(_) => None,
    });
    placed.collect()
}

struct Check<'e> {
    entry: &'e Entry,
    labels: Vec<u32>,
}

impl Check<'_> {
    fn run(&self) -> Vec<String> {
        let mut wrong = vec![];
        let distinct: BTreeSet<&u32> = self.labels.iter().collect();
        if distinct.len() < self.labels.len() {
            wrong.push("a label is placed twice".to_owned());
        }
        if !self.entry.params.iter().all(|c| matches!(c, Class::B32 | Class::B64)) {
            wrong.push("a parameter has neither 32 nor 64 bits".to_owned());
        }
        if !(1..=1024).contains(&self.entry.threads) {
            wrong.push(format!("a block of {} threads", self.entry.threads));
        }
        for stmt in &self.entry.body {
            let Stmt::Instr(instr) = stmt else { continue };
            if let Some(fault) = self.instr(instr) {
                wrong.push(format!("{}: {fault}", instr.op.text()));
            }
        }
        match self.entry.body.last() {
            Some(Stmt::Instr(Instr { guard: None, op: Op::Ret | Op::Bra, .. })) => {}
            _ => wrong.push("it does not end with a return".to_owned()),
        }
        wrong
    }

    fn instr(&self, instr: &Instr) -> Option<String> {
        if let Some(guard) = instr.guard
            && !(guard.reg.class == Class::Pred && self.is_declared(guard.reg))
        {
            return Some("the guard is no truth value".to_owned());
        }
        let slots = instr.op.slots();
        if slots.len() != instr.operands.len() {
            return Some(format!("{} operands instead of {}", instr.operands.len(), slots.len()));
        }
        let wrong = slots.iter().zip(&instr.operands).position(|(slot, o)| !self.fits(*slot, o));
        if let Some(at) = wrong {
            return Some(format!(
                "operand {at} is {:?}, wanted {:?}",
                instr.operands[at], slots[at]
            ));
        }
        match (instr.op, instr.operands.as_slice()) {
            (Op::CpAsync(bytes), [_, _, Operand::Int(n), _]) if *n != i64::from(bytes) => {
                Some(format!("{n} bytes instead of {bytes}"))
            }
            _ => None,
        }
    }

    fn is_declared(&self, reg: AnyReg) -> bool {
        let at = Class::ALL.iter().position(|class| *class == reg.class);
        at.is_some_and(|at| reg.index < self.entry.regs[at])
    }

    fn fits(&self, slot: Slot, operand: &Operand) -> bool {
        let is_class = |reg: &AnyReg, class| reg.class == class && self.is_declared(*reg);
        let is_size = |reg: &AnyReg, bits| reg.class.bits() == bits && self.is_declared(*reg);
        let are =
            |regs: &[AnyReg], n, bits| regs.len() == n && regs.iter().all(|reg| is_size(reg, bits));
        match (slot, operand) {
            (Slot::Def(class) | Slot::Use(class), Operand::Reg(reg)) => is_class(reg, class),
            (Slot::DefBits(bits) | Slot::UseBits(bits), Operand::Reg(reg)) => is_size(reg, bits),
            (Slot::Defs(n, bits) | Slot::Uses(n, bits), Operand::Vector(regs)) => {
                are(regs, n, bits)
            }
            (Slot::Use(class) | Slot::Source(class), _) if is_immediate(operand, class) => true,
            (Slot::UseBits(bits), Operand::Int(_)) => bits > 1,
            (Slot::Source(class), Operand::Reg(reg))
                if class.is_float() || class == Class::Pred =>
            {
                is_class(reg, class)
            }
            (Slot::Source(class), Operand::Reg(reg)) => is_size(reg, class.bits()),
            (Slot::Source(class), Operand::Special(_)) => class == Class::B32,
            (Slot::Source(class), Operand::Shared) => {
                self.entry.has_shared && matches!(class, Class::B32 | Class::B64)
            }
            (Slot::Address(space), Operand::Address { base, offset: _ }) => {
                self.reaches(space, base)
            }
            (Slot::Number, Operand::Int(number)) => *number >= 0,
            (Slot::Label, Operand::Label(label)) => self.labels.contains(label),
            (_, _) => false,
        }
    }

    fn reaches(&self, space: Space, base: &Base) -> bool {
        match base {
            Base::Reg(reg) => {
                let fits = match space {
                    Space::Global => reg.class == Class::B64,
                    Space::Shared => matches!(reg.class, Class::B32 | Class::B64),
                    Space::Param => false,
                };
                fits && self.is_declared(*reg)
            }
            Base::Param(at) => space == Space::Param && (*at as usize) < self.entry.params.len(),
            Base::Shared => space == Space::Shared && self.entry.has_shared,
        }
    }
}

/// Whether it is a number of a class.
fn is_immediate(operand: &Operand, class: Class) -> bool {
    match operand {
        Operand::Int(number) => match class {
            Class::B16 => i16::try_from(*number).is_ok() || u16::try_from(*number).is_ok(),
            Class::B32 => i32::try_from(*number).is_ok() || u32::try_from(*number).is_ok(),
            Class::B64 => true,
            Class::Pred | Class::F32 | Class::F64 => false,
        },
        Operand::F32(_) => class == Class::F32,
        Operand::F64(_) => class == Class::F64,
        Operand::Reg(_)
        | Operand::Vector(_)
        | Operand::Special(_)
        | Operand::Shared
        | Operand::Address { .. }
        | Operand::Label(_) => false,
    }
}
