//! Builds the scalar body of a kernel: instructions in order, with their types.
//!
//! An instruction that is already there is not pushed again, so fused ops share loads and
//! subexpressions. Nothing here knows memory.

use crate::kernel::{Inst, Reduction, Reg, Scalar};
use crate::narrow;
use crate::types::Dtype;

/// Instructions and the type of each.
#[derive(Debug, Clone, Default)]
pub struct Body {
    insts: Vec<Inst>,
    dtypes: Vec<Option<Dtype>>,
}

/// Where an element is: registers of its logical indices.
pub trait ElementIndex {
    /// The index along `axis` of the op's result, as an i32 register.
    fn axis(&mut self, body: &mut Body, axis: usize) -> Reg;
}

/// The bits of `value` in `dtype`: rounded to f32 and from there to a narrow type, truncated to
/// i32, `!= 0` for bool.
pub fn constant_bits(dtype: Dtype, value: f64) -> u64 {
    match dtype {
        Dtype::F32 => u64::from((value as f32).to_bits()),
        Dtype::F64 => value.to_bits(),
        Dtype::F16 | Dtype::Bf16 => u64::from(narrow::round(dtype, value as f32).to_bits()),
        Dtype::I32 => u64::from(value as i32 as u32),
        Dtype::Bool => u64::from(value != 0.0),
    }
}

impl Body {
    /// An empty body.
    pub fn new() -> Self {
        Self::default()
    }

    /// The instructions.
    pub fn finish(self) -> Vec<Inst> {
        self.insts
    }

    /// The instructions so far.
    pub fn insts(&self) -> &[Inst] {
        &self.insts
    }

    /// The type of a register; a store has none.
    pub fn dtype(&self, reg: Reg) -> Dtype {
        self.dtypes[reg.0 as usize].expect("a store is no operand")
    }

    /// Appends an instruction, or finds the equal one that is there.
    ///
    /// A load is not shared across a store: it may read what the store wrote.
    pub fn push(&mut self, inst: Inst, dtype: Option<Dtype>) -> Reg {
        if dtype.is_some()
            && let Some(at) = self.find(&inst)
        {
            return Reg(at as u32);
        }
        self.insts.push(inst);
        self.dtypes.push(dtype);
        Reg(self.insts.len() as u32 - 1)
    }

    fn find(&self, inst: &Inst) -> Option<usize> {
        let is_load = matches!(inst, Inst::Load { .. } | Inst::LoadAt { .. });
        let is_store = |i: &Inst| matches!(i, Inst::Store { .. });
        let from = if is_load { self.insts.iter().rposition(is_store).unwrap_or(0) } else { 0 };
        self.insts[from..].iter().position(|other| other == inst).map(|at| from + at)
    }

    /// Appends an instruction of another body; `map` says which register each of its own is here,
    /// `operands` the element types.
    pub fn copy(&mut self, inst: &Inst, map: &[Reg], operands: &[Dtype]) -> Reg {
        let at = |reg: Reg| map[reg.0 as usize];
        match inst {
            Inst::Const { dtype, bits } => self.bits(*dtype, *bits),
            Inst::Load { operand } => self.load(*operand, operands[*operand]),
            Inst::LoadAt { operand, index, stride, bound } => {
                self.load_at(*operand, operands[*operand], at(*index), *stride, *bound)
            }
            Inst::Outer { axis } => self.outer(*axis),
            Inst::Row => self.row(),
            Inst::Col => self.col(),
            Inst::Reduce { kind, value } => self.reduce(*kind, at(*value)),
            Inst::Store { operand, value } => {
                self.push(Inst::Store { operand: *operand, value: at(*value) }, None)
            }
            Inst::Apply { op, args } => {
                let args: Vec<Reg> = args.iter().map(|&a| at(a)).collect();
                self.apply(*op, &args)
            }
        }
    }

    /// Loads the element of an operand.
    pub fn load(&mut self, operand: usize, dtype: Dtype) -> Reg {
        self.push(Inst::Load { operand }, Some(dtype))
    }

    /// Loads at an index, 0 outside `0 .. bound`.
    pub fn load_at(
        &mut self,
        operand: usize,
        dtype: Dtype,
        index: Reg,
        stride: i64,
        bound: u64,
    ) -> Reg {
        self.push(Inst::LoadAt { operand, index, stride, bound }, Some(dtype))
    }

    /// Stores a register.
    pub fn store(&mut self, operand: usize, value: Reg) {
        self.push(Inst::Store { operand, value }, None);
    }

    /// The index of an outer axis.
    pub fn outer(&mut self, axis: usize) -> Reg {
        self.push(Inst::Outer { axis }, Some(Dtype::I32))
    }

    /// The current row.
    pub fn row(&mut self) -> Reg {
        self.push(Inst::Row, Some(Dtype::I32))
    }

    /// The current column.
    pub fn col(&mut self) -> Reg {
        self.push(Inst::Col, Some(Dtype::I32))
    }

    /// A reduction.
    pub fn reduce(&mut self, kind: Reduction, value: Reg) -> Reg {
        let dtype = self.dtype(value);
        self.push(Inst::Reduce { kind, value }, Some(dtype))
    }

    /// A constant by its bits.
    pub fn bits(&mut self, dtype: Dtype, bits: u64) -> Reg {
        self.push(Inst::Const { dtype, bits }, Some(dtype))
    }

    /// A constant by its value.
    pub fn constant(&mut self, dtype: Dtype, value: f64) -> Reg {
        self.bits(dtype, constant_bits(dtype, value))
    }

    /// An i32 constant.
    pub fn int(&mut self, value: i32) -> Reg {
        self.bits(Dtype::I32, u64::from(value as u32))
    }

    /// A scalar operation.
    pub fn apply(&mut self, op: Scalar, args: &[Reg]) -> Reg {
        let dtypes: Vec<Dtype> = args.iter().map(|&a| self.dtype(a)).collect();
        let dtype = op.result(&dtypes);
        assert!(dtype.is_some(), "{} does not take {dtypes:?}", op.name());
        self.push(Inst::Apply { op, args: args.to_vec() }, dtype)
    }
}
