//! Expands named scalar operations into primitive ones: their one definition.
//!
//! In: a kernel. Out: the same kernel with primitive operations only, which the interpreter and
//! every back end run, so that all of them give the same bits.
//! Range reductions and polynomials are our own and use lane-wise IEEE operations with explicit
//! fma, no table and no branch.
//!
//! # Note: accuracy
//! f32: exp, log and rsqrt within 2 ulp, but exp is 0 below -86.9; tanh within 6; erf within 4; cos
//! within 2 up to 2^30 and some number in `-1 ..= 1` beyond; pow is computed in f64. f64: exp, log
//! and cos within 4 ulp.

mod erf;
mod exp;
mod log;
mod math;
mod philox;
mod pow;
mod tanh;
mod trig;

use crate::body::Body;
use crate::expand::math::Math;
use crate::kernel::{Inst, Kernel, Reg, Scalar};
use crate::types::Dtype;

pub use philox::philox4x32;

/// The kernel with only primitive operations.
pub fn expand_kernel(kernel: &Kernel) -> Kernel {
    let dtypes: Vec<Dtype> = kernel.operands.iter().map(|o| o.dtype).collect();
    Kernel { body: expand_body(&kernel.body, &dtypes), ..kernel.clone() }
}

/// The body with only primitive operations; `operands` are the element types of the operands.
pub fn expand_body(insts: &[Inst], operands: &[Dtype]) -> Vec<Inst> {
    let mut body = Body::new();
    let mut map: Vec<Reg> = Vec::with_capacity(insts.len());
    for inst in insts {
        let reg = expand_inst(&mut body, inst, &map, operands);
        map.push(reg);
    }
    body.finish()
}

fn expand_inst(body: &mut Body, inst: &Inst, map: &[Reg], operands: &[Dtype]) -> Reg {
    if let Inst::Apply { op, args } = inst {
        let args: Vec<Reg> = args.iter().map(|a| map[a.0 as usize]).collect();
        return expand_scalar(body, *op, &args);
    }
    body.copy(inst, map, operands)
}

/// Appends the expansion of one operation, or the operation itself when it is primitive.
pub fn expand_scalar(body: &mut Body, op: Scalar, args: &[Reg]) -> Reg {
    if op.is_primitive() {
        return body.apply(op, args);
    }
    let dtype = body.dtype(args[0]);
    let mut m = Math { body, dtype };
    match (op, dtype) {
        (Scalar::Exp, Dtype::F32) => exp::f32(&mut m, args[0]),
        (Scalar::Exp, _) => exp::f64(&mut m, args[0]),
        (Scalar::Log, Dtype::F32) => log::f32(&mut m, args[0]),
        (Scalar::Log, _) => log::f64(&mut m, args[0]),
        (Scalar::Tanh, Dtype::F32) => tanh::f32(&mut m, args[0]),
        (Scalar::Tanh, _) => tanh::f64(&mut m, args[0]),
        (Scalar::Erf, Dtype::F32) => erf::f32(&mut m, args[0]),
        (Scalar::Erf, _) => erf::f64(&mut m, args[0]),
        (Scalar::Cos, Dtype::F32) => trig::cos_f32(&mut m, args[0]),
        (Scalar::Cos, _) => trig::cos_f64(&mut m, args[0]),
        (Scalar::Rsqrt, _) => {
            let root = m.one(Scalar::Sqrt, args[0]);
            let one = m.c(1.0);
            m.div(one, root)
        }
        (Scalar::Pow, Dtype::F32) => pow::f32(&mut m, args[0], args[1]),
        (Scalar::Pow, _) => pow::f64(&mut m, args[0], args[1]),
        (Scalar::Philox, _) => {
            let [seed, stream, step, hi, lo] = args else { unreachable!("philox takes five") };
            philox::word(m.body, [*seed, *stream], *step, [*hi, *lo])
        }
        (primitive, _) => unreachable!("{} is primitive", primitive.name()),
    }
}
