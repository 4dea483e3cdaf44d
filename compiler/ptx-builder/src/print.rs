//! A module as the text that a driver takes.

use std::fmt::{self, Display, Formatter};

use crate::module::{Entry, Guard, Instr, Module, Stmt};
use crate::reg::{AnyReg, Base, Class, Operand};

/// The name of the shared memory of a launch.
pub(crate) const SHARED: &str = "block_memory";

impl Display for Module {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [major, minor] = self.target.version();
        writeln!(f, ".version {major}.{minor}")?;
        writeln!(f, ".target {}", self.target.name())?;
        writeln!(f, ".address_size 64")?;
        if self.entries.iter().any(|entry| entry.has_shared) {
            // 128 bytes: a row of banks, and what every access wants.
            writeln!(f, ".extern .shared .align 128 .b8 {SHARED}[];")?;
        }
        self.entries.iter().try_for_each(|entry| write!(f, "\n{entry}"))
    }
}

impl Display for Entry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { name, params, threads, resident, has_shared: _, regs, body } = self;
        write!(f, ".visible .entry {name}(")?;
        for (at, class) in params.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            write!(f, "{comma}\n\t.param .{} {name}_{at}", class.name())?;
        }
        writeln!(f, "\n)\n.maxntid {threads}, 1, 1")?;
        if let Some(blocks) = resident {
            writeln!(f, ".minnctapersm {blocks}")?;
        }
        writeln!(f, "{{")?;
        for (class, n) in Class::ALL.into_iter().zip(regs).filter(|(_, n)| **n > 0) {
            writeln!(f, "\t.reg .{} %{}<{n}>;", class.name(), class.prefix())?;
        }
        for stmt in body {
            match stmt {
                Stmt::Label(label) => writeln!(f, "$L{label}:")?,
                Stmt::Instr(instr) => writeln!(f, "\t{};", Printed { instr, entry: name })?,
            }
        }
        writeln!(f, "}}")
    }
}

struct Printed<'a> {
    instr: &'a Instr,
    entry: &'a str,
}

impl Display for Printed<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Instr { guard, op, operands } = self.instr;
        if let Some(Guard { reg, wanted }) = guard {
            write!(f, "@{}{} ", if *wanted { "" } else { "!" }, Name(*reg))?;
        }
        f.write_str(&op.text())?;
        for (at, operand) in operands.iter().enumerate() {
            f.write_str(if at == 0 { " " } else { ", " })?;
            self.operand(f, operand)?;
        }
        Ok(())
    }
}

impl Printed<'_> {
    fn operand(&self, f: &mut Formatter<'_>, operand: &Operand) -> fmt::Result {
        match operand {
            Operand::Reg(reg) => write!(f, "{}", Name(*reg)),
            Operand::Vector(regs) => {
                let names: Vec<String> = regs.iter().map(|&reg| Name(reg).to_string()).collect();
                write!(f, "{{{}}}", names.join(", "))
            }
            Operand::Int(number) => write!(f, "{number}"),
            Operand::F32(bits) => write!(f, "0f{bits:08X}"),
            Operand::F64(bits) => write!(f, "0d{bits:016X}"),
            Operand::Special(special) => write!(f, "%{}", special.name()),
            Operand::Shared => f.write_str(SHARED),
            Operand::Label(label) => write!(f, "$L{label}"),
            Operand::Address { base, offset } => {
                let base = match base {
                    Base::Reg(reg) => Name(*reg).to_string(),
                    Base::Param(at) => format!("{}_{at}", self.entry),
                    Base::Shared => SHARED.to_owned(),
                };
                match offset {
                    0 => write!(f, "[{base}]"),
                    _ => write!(f, "[{base}+{offset}]"),
                }
            }
        }
    }
}

struct Name(AnyReg);

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "%{}{}", self.0.class.prefix(), self.0.index)
    }
}
