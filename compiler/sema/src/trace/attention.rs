//! Finds attention in a trace: values weighted by a softmax of scores.
//!
//! In: a trace. Out: for each softmax between two products what they compute as one op, or why it
//! is none. The plain chain `scale -> mask -> softmax -> cast -> dropout` stays in the trace: who
//! lowers the second product as one op leaves the rest without a reader.

mod mask;

use super::{Binary, Elem, Id, Instr, Prim, Trace, Unary};
use mask::{Condition, Linear};

/// An attention.
#[derive(Debug, Clone, PartialEq)]
pub struct Attention {
    /// The softmax.
    pub weights: Id,
    /// The product that gives its result, `[b, h, t, e]`.
    pub out: Id,
    /// Queries `[b, h, t, k]`; without heads `[b, t, k]`, and so are the others.
    pub queries: Id,
    /// Keys `[b, g, s, k]`, or as the right operand of the product, `[b, g, k, s]`.
    pub keys: Id,
    /// Whether a key is a column of `keys`.
    pub keys_are_columns: bool,
    /// Values `[b, g, s, e]`.
    pub values: Id,
    /// A score is a product times this.
    pub scale: f64,
    /// Whether a row attends to no key behind its own place.
    pub is_causal: bool,
    /// A row attends to this many keys, the last of them at its own place.
    pub window: Option<u64>,
    /// Segments of rows `[b, 1, t, 1]` and keys `[b, 1, 1, s]`, axes in front missing or 1.
    pub segments: Option<[Id; 2]>,
    /// The dropout of the weights.
    pub dropout: Option<Id>,
}

/// A softmax over scores that are stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The softmax.
    pub weights: Id,
    /// Why, as the end of a sentence.
    pub reason: String,
}

/// Elements of a query or value at most, for its scores not to be stored.
const MAX_WIDTH: u64 = 512;
/// A score of at most this stands for a key that is masked.
const MASKED: f64 = -1e29;

impl Trace {
    /// Every attention, in order, or why its scores are stored.
    pub fn attentions(&self) -> Vec<Result<Attention, Stored>> {
        let facts = Facts::of(self);
        let is_softmax = |id: &Id| matches!(self[*id].prim, Prim::Softmax { .. });
        let softmaxes = (0..self.instrs.len()).map(|at| Id(at as u32)).filter(is_softmax);
        let is_between = |weights: &Id| {
            facts.from_product[self[*weights].args[0].0 as usize]
                && facts.to_product[weights.0 as usize]
        };
        let find = |weights| facts.attention(weights).map_err(|reason| Stored { weights, reason });
        softmaxes.filter(is_between).map(find).collect()
    }

    /// The value `[b, g, s, k]` that is repeated to `[b, h, s, k]`, each group for its heads.
    fn unrepeated(&self, id: Id) -> Option<Id> {
        let merged = &self[id];
        let wide = &self[*self.view(merged, &Prim::Reshape)?];
        let thin = self.view(wide, &Prim::Broadcast)?;
        let [b, g, n, s, k] = wide.ty.shape[..] else { return None };
        let fits = merged.ty.shape == [b, g * n, s, k] && self[*thin].ty.shape == [b, g, 1, s, k];
        let x = self.view(&self[*thin], &Prim::Reshape)?;
        (fits && self[*x].ty.shape == [b, g, s, k]).then_some(*x)
    }

    fn view<'a>(&self, instr: &'a Instr, prim: &Prim) -> Option<&'a Id> {
        (instr.prim == *prim).then(|| &instr.args[0])
    }
}

impl std::ops::Index<Id> for Trace {
    type Output = Instr;

    fn index(&self, id: Id) -> &Instr {
        &self.instrs[id.0 as usize]
    }
}

/// A trace and what is known of each of its values.
struct Facts<'a> {
    trace: &'a Trace,
    readers: Vec<Vec<Id>>,
    is_output: Vec<bool>,
    /// The number that all elements are.
    constants: Vec<Option<f64>>,
    places: Vec<Option<Linear>>,
    /// Whether it is computed, element by element, from a product with axes in front.
    from_product: Vec<bool>,
    /// Whether a product reads what becomes of it, element by element.
    to_product: Vec<bool>,
}

/// The scores of an attention, from the product on.
struct Scores {
    product: Id,
    scale: f64,
    conditions: Vec<Id>,
}

impl<'a> Facts<'a> {
    fn of(trace: &'a Trace) -> Self {
        let n = trace.instrs.len();
        let (mut readers, mut is_output) = (vec![vec![]; n], vec![false; n]);
        let kept = trace.outputs.iter().copied().chain(trace.states.iter().map(|s| s.next));
        kept.for_each(|id| is_output[id.0 as usize] = true);
        let (mut constants, mut places, mut from_product) = (vec![], vec![], vec![]);
        for (at, instr) in trace.instrs.iter().enumerate() {
            for arg in &instr.args {
                readers[arg.0 as usize].push(Id(at as u32));
            }
            constants.push(constant(instr, &constants));
            places.push(mask::place(instr, &places));
            let is_product = instr.prim == Prim::Dot && instr.ty.shape.len() > 2;
            let follows = || instr.args.iter().any(|arg| from_product[arg.0 as usize]);
            from_product.push(is_product || (is_by_element(&instr.prim) && follows()));
        }
        let mut to_product = vec![false; n];
        for (at, instr) in trace.instrs.iter().enumerate().rev() {
            if instr.prim == Prim::Dot || (is_by_element(&instr.prim) && to_product[at]) {
                instr.args.iter().for_each(|arg| to_product[arg.0 as usize] = true);
            }
        }
        Self { trace, readers, is_output, constants, places, from_product, to_product }
    }

    fn attention(&self, weights: Id) -> Result<Attention, String> {
        let trace = self.trace;
        let shape = &trace[weights].ty.shape;
        if !(3..=4).contains(&shape.len()) {
            return Err(format!("scores have {} axes, not `[b, h, t, s]`", shape.len()));
        }
        if trace[weights].prim != (Prim::Softmax { axis: shape.len() - 1 }) {
            return Err("the softmax is not over the last axis of the scores".to_owned());
        }
        let scores = self.scores(weights)?;
        let (out, dropout) = self.result(weights)?;
        let condition = Condition::of(trace, &self.places, shape, &scores.conditions)?;
        let [queries, right] = operands(&trace[scores.product]);
        let [_, values] = operands(&trace[out]);
        let (keys, keys_are_columns) = self.keys(right);
        let (keys, values) = match (trace.unrepeated(keys), trace.unrepeated(values)) {
            (Some(k), Some(v)) if trace[k].ty.shape[1] == trace[v].ty.shape[1] => (k, v),
            (_, _) => (keys, values),
        };
        let width = |id: Id| trace[id].ty.shape.last().copied().unwrap_or(0);
        let widest = width(queries).max(width(values));
        if widest > MAX_WIDTH || width(queries).min(width(values)) == 0 {
            return Err(format!("heads have {widest} elements, over {MAX_WIDTH}"));
        }
        let Condition { is_causal, window, segments } = condition;
        Ok(Attention {
            weights,
            out,
            queries,
            keys,
            keys_are_columns,
            values,
            scale: scores.scale,
            is_causal,
            window,
            segments,
            dropout,
        })
    }

    /// From the softmax up to the product.
    fn scores(&self, weights: Id) -> Result<Scores, String> {
        let trace = self.trace;
        let mut scores = Scores { product: trace[weights].args[0], scale: 1.0, conditions: vec![] };
        loop {
            let at = scores.product;
            if self.readers[at.0 as usize].len() > 1 || self.is_output[at.0 as usize] {
                return Err("the scores are read elsewhere too".to_owned());
            }
            let instr = &trace[at];
            let operand = |i: usize| self.constants[instr.args[i].0 as usize];
            let (next, factor) = match &instr.prim {
                Prim::Dot => return Ok(scores),
                Prim::Cast => (0, 1.0),
                Prim::Binary(Binary::Mul) => match (operand(0), operand(1)) {
                    (Some(factor), None) => (1, factor),
                    (None, Some(factor)) => (0, factor),
                    (_, _) => return Err("the scores are multiplied by a tensor".to_owned()),
                },
                Prim::Binary(Binary::Div) => match operand(1) {
                    Some(divisor) => (0, 1.0 / divisor),
                    None => return Err("the scores are divided by a tensor".to_owned()),
                },
                Prim::Select if operand(2).is_some_and(|x| x <= MASKED) => {
                    scores.conditions.push(instr.args[0]);
                    (1, 1.0)
                }
                Prim::Binary(Binary::Add | Binary::Sub) => {
                    return Err("something is added to the scores".to_owned());
                }
                Prim::Input(_)
                | Prim::Param(_)
                | Prim::State(_)
                | Prim::Const(_)
                | Prim::Unary(_)
                | Prim::Binary(_)
                | Prim::PowInt(_)
                | Prim::Select
                | Prim::Broadcast
                | Prim::Reshape
                | Prim::Permute(_)
                | Prim::Slice { .. }
                | Prim::Concat { .. }
                | Prim::Reduce { .. }
                | Prim::Softmax { .. }
                | Prim::Gather
                | Prim::Pick
                | Prim::Iota { .. }
                | Prim::Dropout(_) => {
                    return Err("the scores are more than scaled and masked".to_owned());
                }
            };
            // What is masked must stay the lowest.
            if factor.is_nan() || factor <= 0.0 {
                return Err("the scale of the scores is not above 0".to_owned());
            }
            scores.scale *= factor;
            scores.product = instr.args[next];
        }
    }

    /// From the softmax down to the product, and the dropout on the way.
    fn result(&self, weights: Id) -> Result<(Id, Option<Id>), String> {
        let (mut at, mut dropout) = (weights, None);
        loop {
            let [reader] = self.readers[at.0 as usize][..] else {
                return Err("the weights are read elsewhere too".to_owned());
            };
            let instr = &self.trace[reader];
            match &instr.prim {
                Prim::Dot if instr.args[0] == at && instr.args[1] != at => {
                    return Ok((reader, dropout));
                }
                Prim::Cast if is_real(instr.ty.elem) => {}
                Prim::Dropout(_) if dropout.is_none() => dropout = Some(reader),
                Prim::Input(_)
                | Prim::Param(_)
                | Prim::State(_)
                | Prim::Const(_)
                | Prim::Unary(_)
                | Prim::Binary(_)
                | Prim::PowInt(_)
                | Prim::Select
                | Prim::Cast
                | Prim::Broadcast
                | Prim::Reshape
                | Prim::Permute(_)
                | Prim::Slice { .. }
                | Prim::Concat { .. }
                | Prim::Reduce { .. }
                | Prim::Softmax { .. }
                | Prim::Dot
                | Prim::Gather
                | Prim::Pick
                | Prim::Iota { .. }
                | Prim::Dropout(_) => {
                    return Err("the weights are changed before they meet the values".to_owned());
                }
            }
            at = reader;
        }
    }

    /// The keys as rows where a permutation made columns of them.
    fn keys(&self, right: Id) -> (Id, bool) {
        let instr = &self.trace[right];
        let rank = instr.ty.shape.len();
        let mut swapped: Vec<usize> = (0..rank).collect();
        swapped.swap(rank - 2, rank - 1);
        if instr.prim == Prim::Permute(swapped) { (instr.args[0], false) } else { (right, true) }
    }
}

fn operands(product: &Instr) -> [Id; 2] {
    [product.args[0], product.args[1]]
}

fn is_real(elem: Elem) -> bool {
    match elem {
        Elem::Real | Elem::Fp32 => true,
        Elem::Scalar | Elem::Int | Elem::Bool | Elem::Ids(_) => false,
    }
}

/// Whether an element of the result is made of one element of each operand.
fn is_by_element(prim: &Prim) -> bool {
    match prim {
        Prim::Unary(_)
        | Prim::Binary(_)
        | Prim::PowInt(_)
        | Prim::Select
        | Prim::Cast
        | Prim::Reshape
        | Prim::Permute(_)
        | Prim::Dropout(_) => true,
        Prim::Input(_)
        | Prim::Param(_)
        | Prim::State(_)
        | Prim::Const(_)
        | Prim::Broadcast
        | Prim::Slice { .. }
        | Prim::Concat { .. }
        | Prim::Reduce { .. }
        | Prim::Softmax { .. }
        | Prim::Dot
        | Prim::Gather
        | Prim::Pick
        | Prim::Iota { .. } => false,
    }
}

/// The number that all elements of a result are, from those of the values before it.
fn constant(instr: &Instr, known: &[Option<f64>]) -> Option<f64> {
    let of = |at: usize| known[instr.args[at].0 as usize];
    Some(match &instr.prim {
        Prim::Const(x) => *x,
        Prim::Cast | Prim::Broadcast | Prim::Reshape => of(0)?,
        Prim::Unary(Unary::Neg) => -of(0)?,
        Prim::Unary(Unary::Sqrt) => of(0)?.sqrt(),
        Prim::Unary(Unary::Rsqrt) => 1.0 / of(0)?.sqrt(),
        Prim::Binary(Binary::Add) => of(0)? + of(1)?,
        Prim::Binary(Binary::Sub) => of(0)? - of(1)?,
        Prim::Binary(Binary::Mul) => of(0)? * of(1)?,
        Prim::Binary(Binary::Div) => of(0)? / of(1)?,
        Prim::Binary(Binary::Pow) => of(0)?.powf(of(1)?),
        Prim::PowInt(n) => of(0)?.powi(i32::try_from(*n).ok()?),
        Prim::Unary(_)
        | Prim::Binary(_)
        | Prim::Input(_)
        | Prim::Param(_)
        | Prim::State(_)
        | Prim::Select
        | Prim::Permute(_)
        | Prim::Slice { .. }
        | Prim::Concat { .. }
        | Prim::Reduce { .. }
        | Prim::Softmax { .. }
        | Prim::Dot
        | Prim::Gather
        | Prim::Pick
        | Prim::Iota { .. }
        | Prim::Dropout(_) => return None,
    })
}
