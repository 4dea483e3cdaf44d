//! The function being built: loops, constants, and one instruction at a time.

use std::collections::BTreeMap;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{BlockArg, InstBuilder, StackSlot, StackSlotData, StackSlotKind};
use cranelift_codegen::ir::{Type, Value, types};
use cranelift_frontend::FunctionBuilder;
use ir::kernel::{Inst, Kernel, Reduction, Reg, Scalar};
use ir::types::Dtype;

use super::memory::Place;
use crate::flow::{Flow, Quad, is_shift};

/// Lanes that are evaluated together.
pub(super) const WIDTH: i64 = 4;

/// A register at the current place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Val {
    /// The same in all lanes; a bool is an i8 of 0 or 1.
    One(Value),
    /// Four lanes: one vector, for f64 two. A bool is a mask of i32.
    Four([Value; 2]),
}

/// The registers that are known at the current place.
pub(super) type Env = Vec<Option<Val>>;

/// A function being built.
pub(super) struct Emitter<'a> {
    pub(super) b: FunctionBuilder<'a>,
    pub(super) kernel: &'a Kernel,
    pub(super) flow: &'a Flow,
    /// The base of each operand.
    pub(super) bases: Vec<Value>,
    /// The range of the extent.
    pub(super) range: [Value; 2],
    /// Readable memory for gathers that must read nothing.
    scratch: Option<StackSlot>,
    /// The values of the body's constants.
    constants: BTreeMap<Value, (Dtype, u64)>,
    /// Single values in four lanes, as far as they are known at the current place.
    pub(super) spread: BTreeMap<Value, [Value; 2]>,
    /// Whole products of two single i32 whose upper half was asked for, known likewise.
    pub(super) products: BTreeMap<[Value; 2], Value>,
}

impl<'a> Emitter<'a> {
    /// Starts the function.
    pub(super) fn new(mut b: FunctionBuilder<'a>, kernel: &'a Kernel, flow: &'a Flow) -> Self {
        let entry = b.create_block();
        b.append_block_params_for_function_params(entry);
        b.switch_to_block(entry);
        let [args, begin, end] =
            b.block_params(entry).try_into().expect("the signature has three parameters");
        let bases = (0..kernel.operands.len())
            .map(|i| {
                let at = i32::try_from(i * 8).expect("a kernel has few operands");
                b.ins().load(types::I64, super::memory::flags(), args, at)
            })
            .collect();
        Self {
            b,
            kernel,
            flow,
            bases,
            range: [begin, end],
            scratch: None,
            constants: BTreeMap::new(),
            spread: BTreeMap::new(),
            products: BTreeMap::new(),
        }
    }

    /// The registers that are known everywhere: the constants.
    pub(super) fn constants(&mut self) -> Env {
        let kernel = self.kernel;
        let mut env = vec![None; kernel.body.len()];
        for (known, inst) in env.iter_mut().zip(&kernel.body) {
            if let Inst::Const { dtype, bits } = inst {
                let value = self.constant(*dtype, *bits);
                self.constants.insert(value, (*dtype, *bits));
                *known = Some(Val::One(value));
            }
        }
        env
    }

    /// The bits of a constant of the body.
    pub(super) fn constant_bits(&self, value: Value) -> Option<(Dtype, u64)> {
        self.constants.get(&value).copied()
    }

    /// Ends the function.
    pub(super) fn finish(mut self) {
        self.b.ins().return_(&[]);
        self.b.seal_all_blocks();
    }

    /// An i64 constant.
    pub(super) fn int(&mut self, value: i64) -> Value {
        self.b.ins().iconst(types::I64, value)
    }

    /// Runs `body` for `at` in `from..to` by `step`, with carried values; `to - from` is a multiple.
    pub(super) fn count_loop(
        &mut self,
        [from, to]: [Value; 2],
        step: i64,
        carried: &[Value],
        body: impl FnOnce(&mut Self, Value, &[Value]) -> Vec<Value>,
    ) -> Vec<Value> {
        let (head, exit) = (self.b.create_block(), self.b.create_block());
        let at = self.b.append_block_param(head, types::I64);
        let mut inside = vec![];
        let mut after = vec![];
        for &value in carried {
            let ty = self.b.func.dfg.value_type(value);
            inside.push(self.b.append_block_param(head, ty));
            after.push(self.b.append_block_param(exit, ty));
        }
        let enters = self.b.ins().icmp(IntCC::SignedLessThan, from, to);
        self.branch(enters, head, from, exit, carried);
        self.b.switch_to_block(head);
        // What the body computes is not known after it.
        let outside = (self.spread.clone(), self.products.clone());
        let carried = body(self, at, &inside);
        (self.spread, self.products) = outside;
        let next = self.b.ins().iadd_imm_s(at, step);
        let again = self.b.ins().icmp(IntCC::SignedLessThan, next, to);
        self.branch(again, head, next, exit, &carried);
        self.b.switch_to_block(exit);
        after
    }

    fn branch(
        &mut self,
        condition: Value,
        head: cranelift_codegen::ir::Block,
        at: Value,
        exit: cranelift_codegen::ir::Block,
        carried: &[Value],
    ) {
        let exit_args: Vec<BlockArg> = carried.iter().map(|&v| v.into()).collect();
        let head_args: Vec<BlockArg> =
            std::iter::once(at).chain(carried.iter().copied()).map(BlockArg::from).collect();
        self.b.ins().brif(condition, head, &head_args, exit, &exit_args);
    }

    /// A slot on the stack, aligned for vectors.
    pub(super) fn slot(&mut self, bytes: u32) -> StackSlot {
        self.b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 4))
    }

    /// The address of memory that may always be read, a vector's worth.
    pub(super) fn scratch(&mut self) -> Value {
        let slot = match self.scratch {
            Some(slot) => slot,
            None => self.slot(64),
        };
        self.scratch = Some(slot);
        self.b.ins().stack_addr(types::I64, slot, 0)
    }

    /// The value of a register that was evaluated.
    pub(super) fn get(&self, env: &Env, reg: Reg) -> Val {
        env[reg.0 as usize].expect("operands precede users and are evaluated at their place")
    }

    /// The type of a register.
    pub(super) fn dtype(&self, reg: Reg) -> Dtype {
        self.flow.types[reg.0 as usize]
    }

    /// Evaluates the instructions at a place, stores among them.
    pub(super) fn eval_all(&mut self, insts: &[usize], env: &mut Env, place: &Place) {
        for &at in insts {
            if env[at].is_none() {
                env[at] = self.eval(at, env, place);
            }
        }
    }

    /// Evaluates one instruction at a place; reductions are the skeleton's.
    fn eval(&mut self, at: usize, env: &Env, place: &Place) -> Option<Val> {
        let kernel = self.kernel;
        match &kernel.body[at] {
            Inst::Const { dtype, bits } => Some(Val::One(self.constant(*dtype, *bits))),
            Inst::Load { operand } => Some(self.load(*operand, place)),
            Inst::LoadAt { operand, index, stride, bound } => {
                let index = self.get(env, *index);
                Some(self.load_at(*operand, index, *stride, *bound, place))
            }
            Inst::Outer { axis } => Some(Val::One(place.outer[*axis])),
            Inst::Row => Some(Val::One(place.row.expect("a row is known where it is asked for"))),
            Inst::Col => Some(self.col(place)),
            Inst::Apply { op, args } => {
                let values: Vec<Val> = args.iter().map(|&a| self.get(env, a)).collect();
                let types: Vec<Dtype> = args.iter().map(|&a| self.dtype(a)).collect();
                // Stores round by themselves.
                let op = if self.flow.is_stored_only[at] { Scalar::Cast(Dtype::F32) } else { *op };
                if place.is_wide
                    && let Some(value) = self.quad(op, args, &values)
                {
                    return Some(value);
                }
                Some(match self.bounded(op, args) {
                    Some(bound) => self.clamp(op, types[0], values[1 - bound], values[bound]),
                    None => self.apply(op, &types, &values),
                })
            }
            Inst::Reduce { .. } => unreachable!("a reduction is evaluated by its skeleton"),
            Inst::Store { operand, value } => {
                let (value, dtype) = (self.get(env, *value), self.dtype(*value));
                self.store(*operand, dtype, value, place);
                None
            }
        }
    }

    /// Quotient and remainder by four of a value that counts up from a multiple of four: the four
    /// columns share what follows from the quotient, a block of random numbers.
    fn quad(&mut self, op: Scalar, args: &[Reg], values: &[Val]) -> Option<Val> {
        let (&[x, by], &[Val::Four(lanes), Val::One(right)]) = (args, values) else { return None };
        let (_, bits) = self.constant_bits(right)?;
        if self.flow.quads[x.0 as usize] != Quad::Counts {
            return None;
        }
        if op == Scalar::ShrLogical && bits == 2 {
            let first = self.b.ins().extractlane(lanes[0], 0u8);
            return Some(Val::One(self.scalar(
                op,
                &[self.dtype(x), self.dtype(by)],
                &[first, right],
            )));
        }
        if op == Scalar::And && bits == 3 {
            let bytes: Vec<u8> = (0i32..4).flat_map(i32::to_le_bytes).collect();
            return Some(Val::Four([self.vector_constant(types::I32X4, bytes); 2]));
        }
        None
    }

    /// Which operand of a float minimum or maximum is a constant, no NaN and no zero.
    fn bounded(&self, op: Scalar, args: &[Reg]) -> Option<usize> {
        if !matches!(op, Scalar::Min | Scalar::Max) {
            return None;
        }
        args.iter().position(|arg| match self.kernel.body[arg.0 as usize] {
            Inst::Const { dtype: Dtype::F32, bits } => {
                let value = f32::from_bits(bits as u32);
                !value.is_nan() && value != 0.0
            }
            Inst::Const { dtype: Dtype::F64, bits } => {
                let value = f64::from_bits(bits);
                !value.is_nan() && value != 0.0
            }
            Inst::Const { .. }
            | Inst::Load { .. }
            | Inst::LoadAt { .. }
            | Inst::Outer { .. }
            | Inst::Row
            | Inst::Col
            | Inst::Apply { .. }
            | Inst::Reduce { .. }
            | Inst::Store { .. } => false,
        })
    }

    /// A minimum or maximum with such a constant: a NaN fails the comparison and stays, and no two
    /// zeros meet, so a comparison does what takes several instructions otherwise.
    fn clamp(&mut self, op: Scalar, dtype: Dtype, x: Val, bound: Val) -> Val {
        let pair = if op == Scalar::Min { [bound, x] } else { [x, bound] };
        let is_beyond = self.apply(Scalar::Lt, &[dtype; 2], &pair);
        self.apply(Scalar::Select, &[Dtype::Bool, dtype, dtype], &[is_beyond, bound, x])
    }

    fn apply(&mut self, op: Scalar, types: &[Dtype], values: &[Val]) -> Val {
        let ones: Option<Vec<Value>> = values
            .iter()
            .map(|v| match v {
                Val::One(value) => Some(*value),
                Val::Four(_) => None,
            })
            .collect();
        if let Some(ones) = ones {
            return Val::One(self.scalar(op, types, &ones));
        }
        if let (true, [Val::Four(x), Val::One(amount)]) = (is_shift(op), values) {
            return Val::Four([self.shift(op, x[0], *amount); 2]);
        }
        let fours: Vec<[Value; 2]> =
            values.iter().zip(types).map(|(&v, &ty)| self.four(ty, v)).collect();
        Val::Four(self.lanes(op, types, &fours))
    }

    fn col(&mut self, place: &Place) -> Val {
        let at = place.col.expect("a column is known where it is asked for");
        let first = self.b.ins().ireduce(types::I32, at);
        if !place.is_wide {
            return Val::One(first);
        }
        let bytes: Vec<u8> =
            (0..4).flat_map(|lane| ((place.ahead + lane) as i32).to_le_bytes()).collect();
        let ahead = self.vector_constant(types::I32X4, bytes);
        let first = self.b.ins().splat(types::I32X4, first);
        Val::Four([self.b.ins().iadd(first, ahead); 2])
    }

    /// Combines two values of a reduction; `wide` are vectors.
    pub(super) fn combine(&mut self, kind: Reduction, dtype: Dtype, a: Value, b: Value) -> Value {
        let ins = self.b.ins();
        match (kind, dtype.is_float()) {
            (Reduction::Sum, true) => ins.fadd(a, b),
            (Reduction::Max, true) => ins.fmax(a, b),
            (Reduction::Min, true) => ins.fmin(a, b),
            (Reduction::Sum, false) => ins.iadd(a, b),
            (Reduction::Max, false) => ins.smax(a, b),
            (Reduction::Min, false) => ins.smin(a, b),
        }
    }

    /// What a reduction starts from.
    pub(super) fn identity(&mut self, kind: Reduction, dtype: Dtype) -> Value {
        let bits = match (kind, dtype) {
            (_, Dtype::F16 | Dtype::Bf16) => unreachable!("a reduction is of f32, f64 or i32"),
            (Reduction::Sum, Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::Bool) => 0,
            (Reduction::Max, Dtype::F32) => u64::from(f32::NEG_INFINITY.to_bits()),
            (Reduction::Min, Dtype::F32) => u64::from(f32::INFINITY.to_bits()),
            (Reduction::Max, Dtype::F64) => f64::NEG_INFINITY.to_bits(),
            (Reduction::Min, Dtype::F64) => f64::INFINITY.to_bits(),
            (Reduction::Max, Dtype::I32 | Dtype::Bool) => u64::from(i32::MIN as u32),
            (Reduction::Min, Dtype::I32 | Dtype::Bool) => u64::from(i32::MAX as u32),
        };
        self.constant(dtype, bits)
    }

    /// A constant as a scalar.
    pub(super) fn constant(&mut self, dtype: Dtype, bits: u64) -> Value {
        let ins = self.b.ins();
        match dtype {
            Dtype::F32 | Dtype::F16 | Dtype::Bf16 => ins.f32const(f32::from_bits(bits as u32)),
            Dtype::F64 => ins.f64const(f64::from_bits(bits)),
            Dtype::I32 => ins.iconst(types::I32, i64::from(bits as u32 as i32)),
            Dtype::Bool => ins.iconst(types::I8, i64::from(bits != 0)),
        }
    }

    /// A constant vector of the given bytes.
    pub(super) fn vector_constant(&mut self, ty: Type, bytes: Vec<u8>) -> Value {
        let handle = self.b.func.dfg.constants.insert(bytes.into());
        self.b.ins().vconst(ty, handle)
    }
}
