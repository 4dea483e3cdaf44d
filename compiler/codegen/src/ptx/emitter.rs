//! What the emission of one kernel shares: registers of values, loops, constants.

use ir::body::constant_bits;
use ir::kernel::{Inst, Kernel, Reduction, Reg, Scalar};
use ir::types::Dtype;
use ptx_builder::{self as ptx, B32, Builder, Cmp, F32, F64, Pred};

use super::count_loop;
use super::memory::Place;
use super::wide::{Access, Wide};
use crate::flow::{Flow, Quad};

/// The value of an instruction; a narrow float is the single that it equals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    Bool(ptx::Reg<Pred>),
    Int(ptx::Reg<B32>),
    F32(ptx::Reg<F32>),
    F64(ptx::Reg<F64>),
}

/// The values of the instructions that were evaluated: one for each column of a group, or one that
/// serves all of them.
pub(super) type Env = Vec<Option<Vec<Value>>>;

/// A kernel under emission.
pub(super) struct Emitter<'k> {
    pub(super) b: &'k mut Builder,
    pub(super) kernel: &'k Kernel,
    pub(super) flow: &'k Flow,
    /// The columns that a row is made of; all if there is none.
    pub(super) span: Option<Span>,
    /// The columns that are evaluated together; one at a time if there are none.
    pub(super) wide: Option<&'k Wide>,
}

/// Columns side by side.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    pub(super) first: ptx::Reg<B32>,
    pub(super) n: i32,
}

impl<'k> Emitter<'k> {
    pub(super) fn new(b: &'k mut Builder, kernel: &'k Kernel, flow: &'k Flow) -> Self {
        Self { b, kernel, flow, span: None, wide: None }
    }

    /// No value yet.
    pub(super) fn env(&self) -> Env {
        vec![None; self.kernel.body.len()]
    }

    pub(super) fn dtype(&self, reg: Reg) -> Dtype {
        self.flow.types[reg.0 as usize]
    }

    /// Columns that are evaluated together.
    pub(super) fn width(&self) -> usize {
        self.wide.map_or(1, |wide| wide.width as usize)
    }

    pub(super) fn access(&self, operand: usize) -> Access {
        self.wide.map_or(Access::Same, |wide| wide.accesses[operand])
    }

    pub(super) fn get<'e>(&self, env: &'e Env, reg: Reg) -> &'e [Value] {
        env[reg.0 as usize].as_deref().expect("operands are evaluated before their users")
    }

    /// The value of the column, or of one of them.
    pub(super) fn lane(&self, env: &Env, reg: Reg, lane: usize) -> Value {
        let values = self.get(env, reg);
        values[lane.min(values.len() - 1)]
    }

    /// Evaluates instructions in order.
    pub(super) fn eval_all(&mut self, insts: &[usize], env: &mut Env, place: &Place) {
        for &at in insts {
            env[at] = self.eval(at, env, place);
        }
    }

    fn eval(&mut self, at: usize, env: &Env, place: &Place) -> Option<Vec<Value>> {
        let kernel = self.kernel;
        match &kernel.body[at] {
            Inst::Const { dtype, bits } => Some(vec![self.constant(*dtype, *bits)]),
            Inst::Load { operand } => Some(self.load(*operand, place.pointers[*operand])),
            Inst::LoadAt { operand, index, stride, bound } => {
                let index = self.get(env, *index);
                let pointer = place.pointers[*operand];
                Some(self.load_at(*operand, pointer, index, (*stride, *bound)))
            }
            Inst::Outer { axis } => Some(vec![Value::Int(place.outer[*axis])]),
            Inst::Row => {
                Some(vec![Value::Int(place.row.expect("a row is read where there is one"))])
            }
            Inst::Col => {
                Some(self.columns(place.col.expect("a column is read where there is one")))
            }
            Inst::Apply { op, args } => {
                if let Some(values) = self.quads(*op, args, env) {
                    return Some(values);
                }
                // Stores round by themselves.
                let op = if self.flow.is_stored_only[at] { Scalar::Cast(Dtype::F32) } else { *op };
                Some(self.apply_each(op, args, env))
            }
            Inst::Store { operand, value } => {
                let values = self.get(env, *value);
                self.store(*operand, place, values);
                None
            }
            Inst::Reduce { .. } => unreachable!("a reduction belongs to a loop"),
        }
    }

    fn columns(&mut self, first: ptx::Reg<B32>) -> Vec<Value> {
        let rest: Vec<i32> = (1..self.width() as i32).collect();
        let rest = rest.into_iter().map(|lane| Value::Int(self.b.iadd(first, lane)));
        std::iter::once(Value::Int(first)).chain(rest).collect()
    }

    /// An operation at each column; those of equal operands share it.
    fn apply_each(&mut self, op: Scalar, args: &[Reg], env: &Env) -> Vec<Value> {
        let n = args.iter().map(|&arg| self.get(env, arg).len()).max().unwrap_or(1);
        let mut done: Vec<(Vec<Value>, Value)> = vec![];
        for lane in 0..n {
            let own: Vec<Value> = args.iter().map(|&arg| self.lane(env, arg, lane)).collect();
            let known = done.iter().find(|(of, _)| *of == own).map(|(_, value)| *value);
            let value = known.unwrap_or_else(|| self.apply(op, &own));
            done.push((own, value));
        }
        done.into_iter().map(|(_, value)| value).collect()
    }

    /// Quotient and remainder by four of a value that counts up from a multiple of four: four
    /// columns share what follows from the quotient, a block of random numbers.
    fn quads(&mut self, op: Scalar, args: &[Reg], env: &Env) -> Option<Vec<Value>> {
        let is_quad = self.wide.is_some_and(|w| w.width.is_multiple_of(4) && w.starts_whole());
        let &[x, by] = args else { return None };
        if !is_quad || self.flow.quads[x.0 as usize] != Quad::Counts {
            return None;
        }
        let Inst::Const { bits, .. } = self.kernel.body[by.0 as usize] else { return None };
        let firsts: Vec<Value> = self.get(env, x).iter().step_by(4).copied().collect();
        let by = self.lane(env, by, 0);
        if op == Scalar::ShrLogical && bits == 2 {
            let each = firsts.into_iter().flat_map(|first| [self.apply(op, &[first, by]); 4]);
            return Some(each.collect());
        }
        if op == Scalar::And && bits == 3 {
            let rests = [0, 1, 2, 3].map(|rest| Value::Int(self.b.mov(rest)));
            return Some(firsts.into_iter().flat_map(|_| rests).collect());
        }
        None
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

    /// For each number from `from` below `to` in steps; gives the first one behind them.
    pub(super) fn count_loop(
        &mut self,
        from: ptx::Reg<B32>,
        to: impl Into<ptx::Val<B32>>,
        step: i32,
        body: impl FnOnce(&mut Emitter<'_>, ptx::Reg<B32>),
    ) -> ptx::Reg<B32> {
        let (kernel, flow, span, wide) = (self.kernel, self.flow, self.span, self.wide);
        count_loop(self.b, from, to, step, |b, at| {
            body(&mut Emitter { b, kernel, flow, span, wide }, at);
        })
    }
}
