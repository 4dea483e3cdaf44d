//! What the kernels between the products of a tile compute, read off them.
//!
//! In: the kernels of a tile. Out: the numbers and masks of a softmax, or nothing where a kernel is
//! another one. The masks stay bodies: whatever they depend on is emitted as it is.

use ir::kernel::{Inst, Kernel, Reduction, Reg, Scalar};
use ir::schedule::attention::{Scratch, TileArg, TileKernel};
use ir::types::Dtype;

/// Scores to weights: `exp(scale * score - shift)` where a key is seen, else 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Weights {
    pub(super) scale: f32,
    /// Whether the row sees the key.
    pub(super) seen: Reg,
    pub(super) drop: Option<Drop>,
}

/// What is left of a weight: 0, or the weight times a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Drop {
    pub(super) kept: Reg,
    pub(super) scale: f32,
}

/// Where the result goes and the logarithms of the sums, by their operands of the kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Results {
    pub(super) out: Option<usize>,
    pub(super) lse: Option<usize>,
}

/// Of the backward pass: the weights, and the operands of the logarithms of the sums and of delta.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Gradients {
    pub(super) weights: Weights,
    pub(super) lse: usize,
    pub(super) delta: usize,
}

/// A kernel of a tile and where its operands are.
#[derive(Clone, Copy)]
pub(super) struct Tile<'e> {
    pub(super) kernel: &'e Kernel,
    pub(super) args: &'e [TileArg],
}

impl<'e> Tile<'e> {
    pub(super) fn new(tile: &'e TileKernel, kernels: &'e [Kernel]) -> Self {
        Self { kernel: &kernels[tile.kernel], args: &tile.args }
    }

    /// The kernel `score`: weights, and their maximum and sum so far, with the factor between.
    pub(super) fn score(self) -> Option<Weights> {
        let (top, sum) = (self.stored(Scratch::Top)?, self.stored(Scratch::Sum)?);
        let [old_top, row_top] = self.two(top, Scalar::Max)?;
        let (Reduction::Max, score) = self.reduced(row_top)? else { return None };
        let [seen, scaled, hidden] = self.three(score, Scalar::Select)?;
        let scale = self.scaled(scaled)?;
        let [is_empty, zero, shift] = self.three(self.shift(sum)?, Scalar::Select)?;
        let [empty_top, least] = self.two(is_empty, Scalar::Eq)?;
        let [rest, row_sum] = self.two(sum, Scalar::Add)?;
        let [old_sum, factor] = self.two(rest, Scalar::Mul)?;
        let (Reduction::Sum, weight) = self.reduced(row_sum)? else { return None };
        let [from_top, top_shift] = self.exp_below(factor)?;
        let [from_score, score_shift] = self.exp_below(weight)?;
        let drop = self.dropped(self.stored(Scratch::Scores)?, weight)?;
        let is_softmax = self.is_scratch(old_top, Scratch::Top)
            && self.is_scratch(old_sum, Scratch::Sum)
            && self.number(hidden) == Some(f32::NEG_INFINITY)
            && least == hidden
            && self.number(zero) == Some(0.0)
            && (empty_top, shift) == (top, top)
            && (from_top, from_score) == (old_top, score)
            && top_shift == score_shift
            && self.stored(Scratch::Factor)? == factor;
        is_softmax.then_some(Weights { scale, seen, drop })
    }

    /// The kernel `finish`: the result of each row and the logarithm of its sum.
    pub(super) fn finish(self) -> Option<Results> {
        let mut results = Results { out: None, lse: None };
        for inst in &self.kernel.body {
            let Inst::Store { operand, value } = inst else { continue };
            if self.is_log_of_sum(*value) {
                results.lse = Some(*operand);
            } else if self.is_mean(*value, self.kernel.operands[*operand].dtype) {
                results.out = Some(*operand);
            } else {
                return None;
            }
        }
        Some(results)
    }

    /// The kernel `weights` of the backward pass.
    pub(super) fn gradients(self) -> Option<Gradients> {
        let (kept, grad) = (self.stored(Scratch::Scores)?, self.stored(Scratch::Grads)?);
        let [seen, product, zero] = self.three(grad, Scalar::Select)?;
        let [product, scale] = self.two(product, Scalar::Mul)?;
        let [weight, rest] = self.two(product, Scalar::Mul)?;
        let [kept_grad, delta] = self.two(rest, Scalar::Sub)?;
        let [weight_seen, exp, weight_zero] = self.three(weight, Scalar::Select)?;
        let [scaled, lse] = self.exp_below(exp)?;
        let (weight_drop, grad_drop) = (self.dropped(kept, weight)?, self.drop_of(kept_grad)?);
        let is_gradient = (weight_seen, weight_zero) == (seen, zero)
            && self.number(zero) == Some(0.0)
            && self.number(scale) == self.scaled(scaled)
            && weight_drop == grad_drop.1
            && self.is_scratch(grad_drop.0, Scratch::Grads);
        let weights = Weights { scale: self.scaled(scaled)?, seen, drop: weight_drop };
        is_gradient.then_some(Gradients {
            weights,
            lse: self.of_memory(lse)?,
            delta: self.of_memory(delta)?,
        })
    }

    fn inst(self, reg: Reg) -> &'e Inst {
        &self.kernel.body[reg.0 as usize]
    }

    fn args_of(self, reg: Reg, wanted: Scalar) -> Option<&'e [Reg]> {
        match self.inst(reg) {
            Inst::Apply { op, args } if *op == wanted => Some(args),
            Inst::Apply { .. }
            | Inst::Const { .. }
            | Inst::Load { .. }
            | Inst::LoadAt { .. }
            | Inst::Outer { .. }
            | Inst::Row
            | Inst::Col
            | Inst::Reduce { .. }
            | Inst::Store { .. } => None,
        }
    }

    fn two(self, reg: Reg, op: Scalar) -> Option<[Reg; 2]> {
        self.args_of(reg, op)?.try_into().ok()
    }

    fn three(self, reg: Reg, op: Scalar) -> Option<[Reg; 3]> {
        self.args_of(reg, op)?.try_into().ok()
    }

    fn reduced(self, reg: Reg) -> Option<(Reduction, Reg)> {
        let Inst::Reduce { kind, value } = self.inst(reg) else { return None };
        Some((*kind, *value))
    }

    /// The single that a register always is.
    fn number(self, reg: Reg) -> Option<f32> {
        let Inst::Const { dtype: Dtype::F32, bits } = self.inst(reg) else { return None };
        Some(f32::from_bits(*bits as u32))
    }

    /// The operand that a register is loaded from.
    fn loaded(self, reg: Reg) -> Option<usize> {
        let Inst::Load { operand } = self.inst(reg) else { return None };
        Some(*operand)
    }

    fn is_scratch(self, reg: Reg, scratch: Scratch) -> bool {
        self.loaded(reg).is_some_and(|at| self.args[at] == TileArg::Scratch(scratch))
    }

    /// The operand of a number of each row in global memory.
    fn of_memory(self, reg: Reg) -> Option<usize> {
        let at = self.loaded(reg)?;
        let is_global = matches!(self.args[at], TileArg::Global { .. });
        (is_global && self.kernel.operands[at].col == 0).then_some(at)
    }

    fn stored(self, scratch: Scratch) -> Option<Reg> {
        self.kernel.body.iter().find_map(|inst| match inst {
            Inst::Store { operand, value } if self.args[*operand] == TileArg::Scratch(scratch) => {
                Some(*value)
            }
            Inst::Store { .. }
            | Inst::Const { .. }
            | Inst::Load { .. }
            | Inst::LoadAt { .. }
            | Inst::Outer { .. }
            | Inst::Row
            | Inst::Col
            | Inst::Apply { .. }
            | Inst::Reduce { .. } => None,
        })
    }

    /// The number that scores are multiplied by.
    fn scaled(self, reg: Reg) -> Option<f32> {
        let [score, scale] = self.two(reg, Scalar::Mul)?;
        if self.is_scratch(score, Scratch::Scores) { self.number(scale) } else { None }
    }

    /// The operands of `exp(x - y)`.
    fn exp_below(self, reg: Reg) -> Option<[Reg; 2]> {
        let [below] = self.args_of(reg, Scalar::Exp)? else { return None };
        self.two(*below, Scalar::Sub)
    }

    /// What is subtracted from the scores whose weights a sum adds.
    fn shift(self, sum: Reg) -> Option<Reg> {
        let [_, row_sum] = self.two(sum, Scalar::Add)?;
        let (_, weight) = self.reduced(row_sum)?;
        Some(self.exp_below(weight)?[1])
    }

    /// A number, and the drop behind it.
    fn drop_of(self, kept: Reg) -> Option<(Reg, Option<Drop>)> {
        let Some([is_kept, scaled, zero]) = self.three(kept, Scalar::Select) else {
            return Some((kept, None));
        };
        let [x, scale] = self.two(scaled, Scalar::Mul)?;
        let drop = Drop { kept: is_kept, scale: self.number(scale)? };
        (self.number(zero) == Some(0.0)).then_some((x, Some(drop)))
    }

    /// The drop between a weight and what is stored.
    fn dropped(self, kept: Reg, weight: Reg) -> Option<Option<Drop>> {
        if kept == weight {
            return Some(None);
        }
        let (x, drop) = self.drop_of(kept)?;
        (x == weight).then_some(drop)
    }

    fn is_log_of_sum(self, reg: Reg) -> bool {
        let Some([top, log]) = self.two(reg, Scalar::Add) else { return false };
        let sum = self.args_of(log, Scalar::Log);
        self.is_scratch(top, Scratch::Top)
            && sum.is_some_and(|sum| self.is_scratch(sum[0], Scratch::Sum))
    }

    /// `sum == 0 ? 0 : acc / sum`, rounded to a type.
    fn is_mean(self, reg: Reg, dtype: Dtype) -> bool {
        let reg = self.args_of(reg, Scalar::Cast(dtype)).map_or(reg, |args| args[0]);
        let Some([is_empty, zero, mean]) = self.three(reg, Scalar::Select) else { return false };
        let empty = self.two(is_empty, Scalar::Eq);
        let is_empty = empty.is_some_and(|[x, y]| self.is_scratch(x, Scratch::Sum) && y == zero);
        let mean = self.two(mean, Scalar::Div);
        let is_mean = mean.is_some_and(|[acc, sum]| {
            self.is_scratch(acc, Scratch::Acc) && self.is_scratch(sum, Scratch::Sum)
        });
        is_empty && self.number(zero) == Some(0.0) && is_mean
    }
}
