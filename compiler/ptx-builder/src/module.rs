//! A module: what a driver loads at once.

use crate::op::Op;
use crate::reg::{AnyReg, Class, Operand};

/// The version of the instruction set that modules are written in. PTX ISA 11.1.1.
///
/// Drivers from 525 on take it, and it has all that is used for targets up to sm_90.
pub const VERSION: [u32; 2] = [8, 0];

/// A generation of devices. PTX ISA 11.1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// A100.
    Sm80,
    /// GeForce 30, A40.
    Sm86,
    /// GeForce 40, L4, L40.
    Sm89,
    /// H100, H200.
    Sm90,
    /// GeForce 50.
    Sm120,
}

impl Target {
    /// All of them, older ones first.
    pub const ALL: [Target; 5] =
        [Target::Sm80, Target::Sm86, Target::Sm89, Target::Sm90, Target::Sm120];

    /// As printed: `sm_90`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sm80 => "sm_80",
            Self::Sm86 => "sm_86",
            Self::Sm89 => "sm_89",
            Self::Sm90 => "sm_90",
            Self::Sm120 => "sm_120",
        }
    }

    /// The target that is printed as `name`.
    pub fn parse(name: &str) -> Option<Target> {
        Self::ALL.into_iter().find(|target| target.name() == name)
    }

    /// The version of the instruction set that text for it needs.
    pub fn version(self) -> [u32; 2] {
        match self {
            Self::Sm80 | Self::Sm86 | Self::Sm89 | Self::Sm90 => VERSION,
            Self::Sm120 => [8, 7],
        }
    }

    /// Bytes of shared memory that a block may have. CUDA C++ Programming Guide, table of compute
    /// capabilities.
    pub fn shared_bytes(self) -> u64 {
        let kib = match self {
            Self::Sm80 => 163,
            Self::Sm86 | Self::Sm89 | Self::Sm120 => 99,
            Self::Sm90 => 227,
        };
        kib << 10
    }
}

/// Entries for one target.
#[derive(Debug, Clone, PartialEq)]
pub struct Module {
    /// The target.
    pub target: Target,
    /// Its kernels.
    pub entries: Vec<Entry>,
}

/// A kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// The class of each parameter: 32 bits, or 64 for addresses.
    pub params: Vec<Class>,
    /// Threads of a block. PTX ISA 11.4.3.
    pub threads: u32,
    /// Blocks that a multiprocessor is meant to hold, where that is known: the assembler then spends
    /// all registers that this leaves, instead of a guess. PTX ISA 11.4.4.
    pub resident: Option<u32>,
    /// Whether it uses the shared memory of the launch.
    pub has_shared: bool,
    /// How many registers of each class, in the order of [`Class::ALL`].
    pub regs: [u32; 6],
    /// What it does.
    pub body: Vec<Stmt>,
}

/// A line of a body.
#[derive(Debug, Clone, PartialEq)]
pub enum Stmt {
    /// A place that branches name.
    Label(u32),
    /// An instruction.
    Instr(Instr),
}

/// An instruction with its operands.
#[derive(Debug, Clone, PartialEq)]
pub struct Instr {
    /// Lanes without it do nothing.
    pub guard: Option<Guard>,
    /// Which one.
    pub op: Op,
    /// As [`Op::slots`] says.
    pub operands: Vec<Operand>,
}

/// A truth value that an instruction depends on. PTX ISA 9.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Guard {
    /// Where it is.
    pub reg: AnyReg,
    /// What it has to be.
    pub wanted: bool,
}
