//! The value of a trace of scalars: what a schedule is at one step, for messages.

use super::{Binary, Instr, Prim, Trace, Unary};

impl Trace {
    /// The first output for these inputs; none where it is not made of scalars alone.
    pub(crate) fn eval_scalar(&self, inputs: &[f64]) -> Option<f64> {
        let mut values: Vec<f64> = Vec::with_capacity(self.instrs.len());
        for instr in &self.instrs {
            let args: Vec<f64> = instr.args.iter().map(|id| values[id.0 as usize]).collect();
            values.push(value(instr, &args, inputs)?);
        }
        values.get(self.outputs.first()?.0 as usize).copied()
    }
}

fn value(instr: &Instr, args: &[f64], inputs: &[f64]) -> Option<f64> {
    if !instr.ty.shape.is_empty() {
        return None;
    }
    Some(match &instr.prim {
        Prim::Input(index) => *inputs.get(*index)?,
        Prim::Const(x) => *x,
        Prim::Unary(f) => unary(*f, args[0])?,
        Prim::Binary(f) => binary(*f, args[0], args[1]),
        Prim::PowInt(n) => args[0].powi(i32::try_from(*n).ok()?),
        Prim::Select => {
            if args[0] != 0.0 {
                args[1]
            } else {
                args[2]
            }
        }
        Prim::Cast | Prim::Broadcast | Prim::Reshape => args[0],
        Prim::Param(_)
        | Prim::State(_)
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

fn unary(f: Unary, x: f64) -> Option<f64> {
    Some(match f {
        Unary::Neg => -x,
        Unary::Abs => x.abs(),
        Unary::Exp => x.exp(),
        Unary::Log => x.ln(),
        Unary::Tanh => x.tanh(),
        Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Unary::Sqrt => x.sqrt(),
        Unary::Rsqrt => 1.0 / x.sqrt(),
        Unary::Cos => x.cos(),
        Unary::Sin => x.sin(),
        Unary::Floor => x.floor(),
        Unary::Not => f64::from(x == 0.0),
        Unary::Erf => return None,
    })
}

fn binary(f: Binary, a: f64, b: f64) -> f64 {
    match f {
        Binary::Add => a + b,
        Binary::Sub => a - b,
        Binary::Mul => a * b,
        Binary::Div => a / b,
        Binary::Pow => a.powf(b),
        Binary::Min => a.min(b),
        Binary::Max => a.max(b),
        Binary::Lt => f64::from(a < b),
        Binary::Le => f64::from(a <= b),
        Binary::Gt => f64::from(a > b),
        Binary::Ge => f64::from(a >= b),
        Binary::Eq => f64::from(a == b),
        Binary::Ne => f64::from(a != b),
        Binary::And => f64::from(a != 0.0 && b != 0.0),
        Binary::Or => f64::from(a != 0.0 || b != 0.0),
    }
}
