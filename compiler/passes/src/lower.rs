//! Lowers a trace to IR, one instruction at a time.
//!
//! In: a [`Trace`] and the values of its inputs, parameters and states. Out: the values of its
//! outputs, in the same graph. Shapes are explicit on both sides; what the language has and the IR
//! has not (mean, softmax, pick, dropout …) is written out here, once.
//!
//! A real number is stored as the run's compute type. When that has 16 bits, arithmetic widens its
//! operands to f32 and rounds its result; products read 16 bits and sum in f32. Weights and
//! constants come as they are and are rounded here: [`crate::round_once`] takes out what nobody
//! has to round.

mod attention;

use std::collections::BTreeMap;

use ir::builder::Builder;
use ir::graph::{Origin, Value};
use ir::ops::sigmoid::Sigmoid;
use ir::types::Dtype;
use sema::trace::attention::Attention;
use sema::trace::{Binary, Elem, Id, Instr, Prim, Reduce, Trace, Unary};

use crate::origins::Origins;

/// What a trace is applied to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operands<'a> {
    /// One for each input.
    pub inputs: &'a [Value],
    /// One for each parameter.
    pub params: &'a [Value],
    /// One for each state.
    pub states: &'a [Value],
    /// Dropout's source of random numbers; `None` outside training, where it is the identity.
    pub dropout: Option<Draw>,
    /// What real numbers are stored as.
    pub real: Dtype,
}

/// What random numbers are drawn by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw {
    /// i32 scalar.
    pub seed: Value,
    /// i32 scalar: consumed batches.
    pub step: Value,
    /// i32 scalar: the global row of the first sequence.
    pub row: Value,
}

/// Values of a trace's results.
#[derive(Debug, Clone)]
pub(crate) struct Results {
    /// One for each output.
    pub outputs: Vec<Value>,
    /// One for each state: its value after the update.
    pub states: Vec<Value>,
    /// Values that no gradient flows through: what flows would cancel.
    pub stops: Vec<Value>,
    /// For values of arithmetic in f32, the 16 bits that stand for them between instructions.
    pub narrow: BTreeMap<Value, Value>,
}

/// Appends what `trace` computes to the graph under construction.
pub(crate) fn lower(
    b: &mut Builder,
    trace: &Trace,
    operands: &Operands<'_>,
    origins: &mut Origins,
) -> Results {
    let mut lowering = Lowering {
        b,
        operands,
        values: Vec::with_capacity(trace.instrs.len()),
        drops: 0,
        streams: BTreeMap::new(),
        stops: vec![],
        narrow: BTreeMap::new(),
    };
    let found = trace.attentions().into_iter().flatten();
    let attentions: BTreeMap<Id, Attention> = found.map(|found| (found.out, found)).collect();
    for (at, instr) in (0..).map(Id).zip(&trace.instrs) {
        lowering.b.origin = origins.intern(instr.span, &instr.scope);
        // What leads from the scores to this product is lowered too, and nobody reads it.
        let value = match attentions.get(&at) {
            Some(found) => lowering.attention(trace, found),
            None => lowering.instr(instr),
        };
        assert_eq!(lowering.b.ty(value).shape, instr.ty.shape, "the shape of {:?}", instr.prim);
        lowering.values.push(value);
    }
    lowering.b.origin = Origin::default();
    let value = |id: &Id| lowering.values[id.0 as usize];
    Results {
        outputs: trace.outputs.iter().map(value).collect(),
        states: trace.states.iter().map(|s| value(&s.next)).collect(),
        stops: lowering.stops,
        narrow: lowering.narrow,
    }
}

/// The stored type of elements, when real numbers are stored as `real`.
fn dtype(elem: Elem, real: Dtype) -> Dtype {
    match elem {
        Elem::Real => real,
        Elem::Fp32 => Dtype::F32,
        Elem::Scalar => Dtype::F64,
        Elem::Int | Elem::Ids(_) => Dtype::I32,
        Elem::Bool => Dtype::Bool,
    }
}

struct Lowering<'a, 'b> {
    b: &'a mut Builder,
    operands: &'a Operands<'b>,
    values: Vec<Value>,
    drops: u32,
    /// The random streams of dropouts.
    streams: BTreeMap<Id, u32>,
    stops: Vec<Value>,
    narrow: BTreeMap<Value, Value>,
}

impl Lowering<'_, '_> {
    fn instr(&mut self, instr: &Instr) -> Value {
        let args: Vec<Value> = instr.args.iter().map(|id| self.values[id.0 as usize]).collect();
        let to = dtype(instr.ty.elem, self.operands.real);
        if is_arithmetic(&instr.prim) {
            let wide: Vec<Value> = args.iter().map(|&x| self.widen(x)).collect();
            let result = self.prim(instr, &wide, to);
            self.round(result, to)
        } else {
            self.prim(instr, &args, to)
        }
    }

    /// A value in a type that arithmetic is done in; every reader widens for itself.
    fn widen(&mut self, x: Value) -> Value {
        let wide = self.b.cast(x, self.b.dtype(x).held());
        if wide != x {
            self.narrow.insert(wide, x);
        }
        wide
    }

    /// A result of arithmetic in the type it is stored in.
    fn round(&mut self, wide: Value, to: Dtype) -> Value {
        let x = self.b.cast(wide, to);
        if wide != x {
            self.narrow.entry(wide).or_insert(x);
        }
        x
    }

    /// What an instruction computes, before it is rounded to the type `to` it is stored in.
    fn prim(&mut self, instr: &Instr, args: &[Value], to: Dtype) -> Value {
        let shape = &instr.ty.shape;
        match &instr.prim {
            Prim::Input(i) => self.b.cast(self.operands.inputs[*i], to),
            Prim::Param(i) => self.b.cast(self.operands.params[*i], to),
            Prim::State(i) => self.b.cast(self.operands.states[*i], to),
            Prim::Const(value) => {
                let exact = self.b.full(*value, to.held(), shape);
                self.b.cast(exact, to)
            }
            Prim::Unary(op) => self.unary(*op, args[0]),
            Prim::Binary(op) => self.binary(*op, args[0], args[1]),
            Prim::PowInt(n) => self.power(args[0], *n),
            Prim::Select => self.b.select(args[0], args[1], args[2]),
            Prim::Cast => self.b.cast(args[0], to),
            Prim::Broadcast => self.b.broadcast(args[0], shape),
            Prim::Reshape => self.b.reshape(args[0], shape),
            Prim::Permute(perm) => self.b.permute(args[0], perm),
            Prim::Slice { axis, start, len } => self.b.slice(args[0], *axis, *start, *len),
            Prim::Concat { axis } => self.b.concat(*axis, args),
            Prim::Reduce { kind, axes } => self.reduce(*kind, axes, args[0]),
            Prim::Softmax { axis } => self.softmax(args[0], *axis),
            Prim::Dot => {
                let product = self.b.dot(args[0], args[1]);
                self.b.cast(product, to)
            }
            Prim::Gather => self.b.gather(args[0], args[1]),
            Prim::Pick => self.pick(args[0], args[1], shape),
            Prim::Iota { axis } => self.b.iota(*axis, shape),
            Prim::Dropout(p) => self.dropout(args[0], *p, &instr.scope),
        }
    }

    /// The instruction that is being lowered.
    fn next(&self) -> Id {
        Id(u32::try_from(self.values.len()).expect("traces are short"))
    }

    fn unary(&mut self, op: Unary, x: Value) -> Value {
        let b = &mut *self.b;
        match op {
            Unary::Neg => b.neg(x),
            Unary::Abs => b.abs(x),
            Unary::Exp => b.exp(x),
            Unary::Log => b.log(x),
            Unary::Tanh => b.tanh(x),
            Unary::Erf => b.erf(x),
            Unary::Sigmoid => b.push(Sigmoid, &[x]),
            Unary::Sqrt => b.sqrt(x),
            Unary::Rsqrt => b.rsqrt(x),
            Unary::Cos => b.cos(x),
            Unary::Sin => {
                let quarter = b.full_like(std::f64::consts::FRAC_PI_2, x);
                let shifted = b.sub(x, quarter);
                b.cos(shifted)
            }
            Unary::Floor => b.floor(x),
            Unary::Not => b.not(x),
        }
    }

    fn binary(&mut self, op: Binary, x: Value, y: Value) -> Value {
        let b = &mut *self.b;
        match op {
            Binary::Add => b.add(x, y),
            Binary::Sub => b.sub(x, y),
            Binary::Mul => b.mul(x, y),
            Binary::Div => b.div(x, y),
            Binary::Pow => b.pow(x, y),
            Binary::Min => b.min(x, y),
            Binary::Max => b.max(x, y),
            Binary::Lt => b.lt(x, y),
            Binary::Le => b.le(x, y),
            Binary::Gt => b.lt(y, x),
            Binary::Ge => b.le(y, x),
            Binary::Eq => b.eq(x, y),
            Binary::Ne => {
                let equal = b.eq(x, y);
                b.not(equal)
            }
            Binary::And => b.and(x, y),
            Binary::Or => b.or(x, y),
        }
    }

    /// `x^n` by squaring; the order of the multiplications follows the bits of `n` upwards.
    fn power(&mut self, x: Value, n: u32) -> Value {
        let b = &mut *self.b;
        let (mut result, mut square, mut rest) = (None, x, n);
        while rest > 0 {
            if rest & 1 == 1 {
                result = Some(result.map_or(square, |r| b.mul(r, square)));
            }
            rest >>= 1;
            if rest > 0 {
                square = b.mul(square, square);
            }
        }
        result.unwrap_or_else(|| b.full_like(1.0, x))
    }

    fn reduce(&mut self, kind: Reduce, axes: &[usize], x: Value) -> Value {
        match kind {
            Reduce::Sum => self.b.sum(x, axes),
            Reduce::Max => self.b.max_reduce(x, axes),
            Reduce::Mean => {
                let n: u64 = axes.iter().map(|&a| self.b.ty(x).shape[a]).product();
                let sum = self.b.sum(x, axes);
                let count = self.b.full_like(n as f64, sum);
                self.b.div(sum, count)
            }
            Reduce::LogSumExp => {
                let (e, top) = self.shifted_exp(x, axes);
                let sum = self.b.sum(e, axes);
                let log = self.b.log(sum);
                self.b.add(log, top)
            }
        }
    }

    fn softmax(&mut self, x: Value, axis: usize) -> Value {
        let (e, _) = self.shifted_exp(x, &[axis]);
        let sum = self.b.sum(e, &[axis]);
        let shape = self.b.shape(x);
        let sum = self.b.broadcast(sum, &shape);
        self.b.div(e, sum)
    }

    /// `exp(x - max)` and the maximum. The maximum carries no gradient: it cancels.
    fn shifted_exp(&mut self, x: Value, axes: &[usize]) -> (Value, Value) {
        let shape = self.b.shape(x);
        let top = self.b.max_reduce(x, axes);
        self.stops.push(top);
        let wide = self.b.broadcast(top, &shape);
        let below = self.b.sub(x, wide);
        (self.b.exp(below), top)
    }

    fn pick(&mut self, x: Value, ids: Value, shape: &[u64]) -> Value {
        let full = self.b.shape(x);
        let last = full.len() - 1;
        let mut column = shape.to_vec();
        column.push(1);
        let ids = self.b.reshape(ids, &column);
        let ids = self.b.broadcast(ids, &full);
        let index = self.b.iota(last, &full);
        let hit = self.b.eq(index, ids);
        let zero = self.b.zeros_like(x);
        let picked = self.b.select(hit, x, zero);
        let sum = self.b.sum(picked, &[last]);
        self.b.reshape(sum, shape)
    }

    fn dropout(&mut self, x: Value, p: f64, scope: &str) -> Value {
        let Some(draw) = self.operands.dropout else { return x };
        if p == 0.0 {
            return x;
        }
        let stream = stream(&format!("{scope}#{}", self.drops));
        self.drops += 1;
        self.streams.insert(self.next(), stream);
        let shape = self.b.shape(x);
        let u = self.b.random(stream, &shape, draw.seed, draw.step, draw.row);
        let threshold = self.b.full(p, Dtype::F32, &shape);
        let keep = self.b.le(threshold, u);
        let scale = self.b.full_like(1.0 / (1.0 - p), x);
        let scaled = self.b.mul(x, scale);
        let zero = self.b.zeros_like(x);
        self.b.select(keep, scaled, zero)
    }
}

/// Whether an instruction computes new numbers; the others move them, or round them themselves.
fn is_arithmetic(prim: &Prim) -> bool {
    match prim {
        Prim::Unary(_)
        | Prim::Binary(_)
        | Prim::PowInt(_)
        | Prim::Select
        | Prim::Reduce { .. }
        | Prim::Softmax { .. }
        | Prim::Pick
        | Prim::Dropout(_) => true,
        Prim::Input(_)
        | Prim::Param(_)
        | Prim::State(_)
        | Prim::Const(_)
        | Prim::Cast
        | Prim::Broadcast
        | Prim::Reshape
        | Prim::Permute(_)
        | Prim::Slice { .. }
        | Prim::Concat { .. }
        | Prim::Dot
        | Prim::Gather
        | Prim::Iota { .. } => false,
    }
}

/// The random stream of an op: FNV-1a of its path.
pub(crate) fn stream(path: &str) -> u32 {
    path.bytes().fold(0x811c_9dc5, |h, byte| (h ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}
