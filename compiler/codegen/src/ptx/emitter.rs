//! What the emission of one kernel shares: registers of values, loops, constants.

use ir::body::constant_bits;
use ir::kernel::{Inst, Kernel, Reduction, Reg};
use ir::types::Dtype;
use ptx_builder::{self as ptx, B32, Builder, Cmp, F32, F64, Pred};

use super::count_loop;
use super::memory::Place;
use crate::flow::Flow;

/// The value of an instruction; a narrow float is the single that it equals.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Bool(ptx::Reg<Pred>),
    Int(ptx::Reg<B32>),
    F32(ptx::Reg<F32>),
    F64(ptx::Reg<F64>),
}

/// The values of the instructions that were evaluated.
pub(super) type Env = Vec<Option<Value>>;

/// A kernel under emission.
pub(super) struct Emitter<'k> {
    pub(super) b: &'k mut Builder,
    pub(super) kernel: &'k Kernel,
    pub(super) flow: &'k Flow,
    /// The columns that a row is made of; all if there is none.
    pub(super) span: Option<Span>,
}

/// Columns side by side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) first: ptx::Reg<B32>,
    pub(super) n: i32,
}

impl<'k> Emitter<'k> {
    pub(super) fn new(b: &'k mut Builder, kernel: &'k Kernel, flow: &'k Flow) -> Self {
        Self { b, kernel, flow, span: None }
    }

    /// No value yet.
    pub(super) fn env(&self) -> Env {
        vec![None; self.kernel.body.len()]
    }

    pub(super) fn dtype(&self, reg: Reg) -> Dtype {
        self.flow.types[reg.0 as usize]
    }

    pub(super) fn get(&self, env: &Env, reg: Reg) -> Value {
        env[reg.0 as usize].expect("operands are evaluated before their users")
    }

    /// Evaluates instructions in order.
    pub(super) fn eval_all(&mut self, insts: &[usize], env: &mut Env, place: &Place) {
        for &at in insts {
            env[at] = self.eval(at, env, place);
        }
    }

    fn eval(&mut self, at: usize, env: &Env, place: &Place) -> Option<Value> {
        let kernel = self.kernel;
        match &kernel.body[at] {
            Inst::Const { dtype, bits } => Some(self.constant(*dtype, *bits)),
            Inst::Load { operand } => Some(self.load(*operand, place)),
            Inst::LoadAt { operand, index, stride, bound } => {
                let Value::Int(index) = self.get(env, *index) else {
                    unreachable!("an index is an integer")
                };
                Some(self.load_at(*operand, place, index, *stride, *bound))
            }
            Inst::Outer { axis } => Some(Value::Int(place.outer[*axis])),
            Inst::Row => Some(Value::Int(place.row.expect("a row is read where there is one"))),
            Inst::Col => Some(Value::Int(place.col.expect("a column is read where there is one"))),
            Inst::Apply { op, args } => {
                let values: Vec<Value> = args.iter().map(|&reg| self.get(env, reg)).collect();
                Some(self.apply(*op, &values))
            }
            Inst::Store { operand, value } => {
                let value = self.get(env, *value);
                self.store(*operand, place, value);
                None
            }
            Inst::Reduce { .. } => unreachable!("a reduction belongs to a loop"),
        }
    }

    /// A constant by its bits in a type.
    pub(super) fn constant(&mut self, dtype: Dtype, bits: u64) -> Value {
        match dtype {
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 => {
                Value::F32(self.b.mov(f32::from_bits(bits as u32)))
            }
            Dtype::F64 => Value::F64(self.b.mov(f64::from_bits(bits))),
            Dtype::I32 => Value::Int(self.b.mov(bits as u32)),
            Dtype::Bool => {
                let one = self.b.mov(bits as u32);
                Value::Bool(self.b.icmp(Cmp::Ne, one, 0))
            }
        }
    }

    /// A register that starts as what a reduction starts from.
    pub(super) fn identity(&mut self, kind: Reduction, dtype: Dtype) -> Value {
        let start = match kind {
            Reduction::Sum => 0.0,
            Reduction::Max => f64::NEG_INFINITY,
            Reduction::Min => f64::INFINITY,
        };
        self.constant(dtype, constant_bits(dtype, start))
    }

    /// `sum = sum combined with value`.
    pub(super) fn combine_to(&mut self, kind: Reduction, sum: Value, value: Value) {
        let next = self.combine(kind, sum, value);
        match (sum, next) {
            (Value::F32(d), Value::F32(a)) => self.b.mov_to(d, a),
            (Value::F64(d), Value::F64(a)) => self.b.mov_to(d, a),
            (Value::Int(d), Value::Int(a)) => self.b.mov_to(d, a),
            (_, _) => unreachable!("sums are numbers of one type"),
        }
    }

    /// For each number from `from` below `to` in steps.
    pub(super) fn count_loop(
        &mut self,
        from: ptx::Reg<B32>,
        to: impl Into<ptx::Val<B32>>,
        step: i32,
        body: impl FnOnce(&mut Emitter<'_>, ptx::Reg<B32>),
    ) {
        let (kernel, flow, span) = (self.kernel, self.flow, self.span);
        count_loop(self.b, from, to, step, |b, at| {
            body(&mut Emitter { b, kernel, flow, span }, at);
        });
    }
}
