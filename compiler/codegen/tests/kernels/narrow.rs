//! Sweeps over 16-bit floats: every number and every tie, in four lanes and in one.

use ir::body::Body;
use ir::kernel::{Kernel, Operand, Scalar, Skeleton};
use ir::narrow;
use ir::types::Dtype;

use crate::random::Case;

/// The two shapes of a sweep: along the columns in four lanes, or one column a row in one.
fn spaces(n: u64) -> [(Vec<u64>, u64); 2] {
    [(vec![], n), (vec![n], 1)]
}

fn operand(dtype: Dtype, is_output: bool, outer: &[u64]) -> Operand {
    let is_row = !outer.is_empty();
    let outer = if is_row { vec![1] } else { vec![] };
    Operand { dtype, is_output, outer, row: 0, col: i64::from(!is_row) }
}

fn case(types: &[(Dtype, bool)], (outer, cols): (Vec<u64>, u64), x: &[u8], body: Body) -> Case {
    let n = x.len() as u64 / types[0].0.bytes();
    let operands = types.iter().map(|&(dtype, is_output)| operand(dtype, is_output, &outer));
    let kernel = Kernel {
        name: "narrow".to_owned(),
        skeleton: Skeleton::Rows,
        operands: operands.collect(),
        outer,
        cols,
        body: body.finish(),
    };
    let room = |&(dtype, _): &(Dtype, bool)| vec![0; (n * dtype.bytes()) as usize];
    let operands = [x.to_vec()].into_iter().chain(types[1..].iter().map(room)).collect();
    Case { kernel, operands }
}

/// Numbers of a type, what lies halfway between them, and what is next to either; of both signs.
fn edges(dtype: Dtype) -> Vec<u8> {
    let at = |bits: u16| narrow::unpack(dtype, bits);
    let middles = (0..0x7fff).take_while(|&bits| at(bits).is_finite()).flat_map(|bits| {
        let (low, high) = (at(bits), at(bits + 1));
        [low, if high.is_finite() { low / 2.0 + high / 2.0 } else { low }]
    });
    let near = middles.flat_map(|x| [x.next_down(), x, x.next_up()]);
    let special = [65519.99, 65520.0, 65536.0, 1e10, f32::MAX, f32::INFINITY, f32::NAN, 1e-45];
    near.chain(special)
        .flat_map(|x| if x.is_nan() { [x, x] } else { [x, -x] })
        .flat_map(f32::to_le_bytes)
        .collect()
}

/// Casts that stores alone read, and casts that go on.
pub(crate) fn roundings(to: Dtype) -> Vec<Case> {
    let x = edges(to);
    let mut cases = vec![];
    for space in spaces(x.len() as u64 / 4) {
        let mut body = Body::new();
        let wide = body.load(0, Dtype::F32);
        // A NaN in a register may have any sign.
        let wide = body.apply(Scalar::Neg, &[wide]);
        let rounded = body.apply(Scalar::Cast(to), &[wide]);
        body.store(1, rounded);
        let types = [(Dtype::F32, false), (to, true)];
        cases.push(case(&types, space.clone(), &x, body.clone()));
        let again = body.apply(Scalar::Cast(Dtype::F32), &[rounded]);
        body.store(2, again);
        let types = [(Dtype::F32, false), (to, true), (Dtype::F32, true)];
        cases.push(case(&types, space, &x, body));
    }
    cases
}

/// All 16 bits, read and written.
pub(crate) fn readings(from: Dtype) -> Vec<Case> {
    let one_nan = |bits: u16| {
        let x = narrow::unpack(from, bits);
        if x.is_nan() { narrow::pack(from, f32::NAN) } else { bits }
    };
    let x: Vec<u8> = (0..=u16::MAX).flat_map(|bits| one_nan(bits).to_le_bytes()).collect();
    let mut cases = vec![];
    for space in spaces(1 << 16) {
        let mut body = Body::new();
        let value = body.load(0, from);
        let wide = body.apply(Scalar::Cast(Dtype::F32), &[value]);
        body.store(1, wide);
        body.store(2, value);
        cases.push(case(&[(from, false), (Dtype::F32, true), (from, true)], space, &x, body));
    }
    cases
}
