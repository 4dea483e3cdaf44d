//! The CUDA PTX instruction set as types: a builder, text out, text in.
//!
//! [`Builder`] makes the body of an entry and cannot make an ill-typed instruction; [`Module`]
//! prints as the text that a driver takes, and [`parse`] reads such text back equal. What is here
//! is what kernels of this project use, a closed set of instructions ([`Op::all`]); text with others
//! is refused. "PTX ISA" is NVIDIA's "Parallel Thread Execution ISA", version 8.0; numbers are its
//! sections.

mod builder;
mod module;
mod op;
mod parse;
mod print;
mod reg;
mod verify;

pub use builder::{Builder, CopyBytes, Label, Lay, Narrow};
pub use module::{Entry, Guard, Instr, Module, Stmt, Target, VERSION};
pub use op::{Cmp, Cvt, Logic, Num, Op, Shuffle, Slot, Space, Width};
pub use parse::{ParseError, parse};
pub use reg::{
    AnyReg, B16, B32, B64, Base, Class, F32, F64, Float, Int, Kind, Operand, Pred, Reg, Special,
    Val,
};
pub use verify::verify;
