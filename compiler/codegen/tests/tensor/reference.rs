//! What a product has to be: a sum in double precision, and how far from it a result may be.

use exec::device::emulated::Report;
use ir::narrow;
use ir::schedule::{Adds, Product};
use ir::types::Dtype;
use ptx_builder::Target;

use crate::machine::Buffer;
use crate::shapes::{Case, Random};

/// Calls `each` with the place of every row and column of each matrix of the result: the bases of
/// the operands and of the result in elements, row and column.
fn each_result(p: &Product, mut each: impl FnMut([i64; 3], i64, i64)) {
    let n: u64 = p.batch.iter().map(|axis| axis.size).product();
    for batch in 0..n {
        let mut rest = batch;
        let mut bases = [p.a, p.b, p.c.unwrap_or(p.a)].map(|arg| arg.offset.cast_signed());
        for axis in p.batch.iter().rev() {
            let index = (rest % axis.size).cast_signed();
            rest /= axis.size;
            bases.iter_mut().zip(axis.strides).for_each(|(base, stride)| *base += index * stride);
        }
        for i in 0..p.m.cast_signed() {
            for j in 0..p.n.cast_signed() {
                each(bases, i, j);
            }
        }
    }
}

/// The elements of a dot product: of both operands for each k, and of the result.
fn places(p: &Product, [a, b, c]: [i64; 3], i: i64, j: i64) -> (Vec<[i64; 2]>, i64) {
    let k = (0..p.k.cast_signed()).map(|l| {
        [a + i * p.a_strides[0] + l * p.a_strides[1], b + l * p.b_strides[0] + j * p.b_strides[1]]
    });
    (k.collect(), c + i * p.c_strides[0] + j * p.c_strides[1])
}

fn read(dtype: Dtype, bytes: &[u8], at: i64) -> f64 {
    let at = at as usize * dtype.bytes() as usize;
    if dtype.is_narrow() {
        return narrow::unpack(dtype, u16::from_le_bytes([bytes[at], bytes[at + 1]])).into();
    }
    f32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")).into()
}

fn write(dtype: Dtype, x: f32) -> Vec<u8> {
    if dtype.is_narrow() {
        return narrow::pack(dtype, narrow::round(dtype, x)).to_le_bytes().to_vec();
    }
    x.to_le_bytes().to_vec()
}

/// Random operands, set where the product reads them; what the result holds, where it is read.
pub(crate) fn buffers(case: &Case, r: &mut Random) -> Vec<Buffer> {
    let p = &case.product;
    let types = [case.types.operands, case.types.operands, case.types.result];
    let mut read: [Vec<i64>; 3] = Default::default();
    each_result(p, |bases, i, j| {
        let (of_k, c) = places(p, bases, i, j);
        read[0].extend(of_k.iter().map(|place| place[0]));
        read[1].extend(of_k.iter().map(|place| place[1]));
        read[2].push(c);
    });
    let args = [Some(p.a), Some(p.b), p.c];
    let mut buffers = vec![];
    for ((mut places, dtype), (which, arg)) in
        read.into_iter().zip(types).zip((0..).zip(args).filter_map(|(i, arg)| Some((i, arg?))))
    {
        places.sort_unstable();
        places.dedup();
        let end = places.last().map_or(arg.offset, |last| last.cast_unsigned() + 1);
        let mut buffer = Buffer::new(end * dtype.bytes(), arg.offset * dtype.bytes());
        let is_held = match p.adds {
            Adds::Never => false,
            Adds::AfterFirst => case.iteration > 0,
            Adds::Always => true,
        };
        if which < 2 || is_held {
            for place in places {
                buffer.set(place.cast_unsigned() * dtype.bytes(), &write(dtype, r.number()));
            }
        }
        buffers.push(buffer);
    }
    buffers
}

/// One more than the numbers of a type near `x` are apart.
fn ulp(dtype: Dtype, x: f64) -> f64 {
    let exponent = x.abs().max(f64::MIN_POSITIVE).log2().floor();
    match dtype {
        Dtype::F16 => (exponent.max(-14.0) - 10.0).exp2(),
        Dtype::Bf16 => (exponent - 7.0).exp2(),
        Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::Bool => 0.0,
    }
}

/// The first result that is too far off, or the first byte that nobody should have written.
pub(crate) fn compare(case: &Case, before: &[Buffer], after: &[Buffer]) -> Result<(), String> {
    let p = &case.product;
    let (narrow, result) = (case.types.operands, case.types.result);
    let mut untouched = before[2].bytes.clone();
    let mut wrong = None;
    each_result(p, |bases, i, j| {
        let (of_k, c) = places(p, bases, i, j);
        let (mut sum, mut l1) = (0.0, 0.0);
        let width = result.bytes() as usize;
        if before[2].is_set[c as usize * width] {
            sum = read(result, &before[2].bytes, c);
            l1 = sum.abs();
        }
        for [a, b] in of_k {
            let product = read(narrow, &before[0].bytes, a) * read(narrow, &before[1].bytes, b);
            sum += product;
            l1 += product.abs();
        }
        let got = read(result, &after[2].bytes, c);
        let bound = (p.k as f64 / 16.0 + 2.0) * (-23f64).exp2() * l1 + ulp(result, sum);
        let is_off = got.is_nan() || (got - sum).abs() > bound;
        if is_off && wrong.is_none() {
            wrong = Some(format!("row {i} column {j}: {got} instead of {sum} within {bound:e}"));
        }
        let at = c as usize * width;
        untouched[at..at + width].copy_from_slice(&after[2].bytes[at..at + width]);
    });
    let stray = untouched.iter().zip(&after[2].bytes).position(|(x, y)| x != y);
    match (wrong, stray) {
        (Some(wrong), _) => Err(wrong),
        (None, Some(at)) => Err(format!("byte {at} was written")),
        (None, None) => Ok(()),
    }
}

/// What is wrong with an entry.
#[derive(Debug, PartialEq)]
pub(crate) enum Wrong {
    /// The device says so.
    Report(Report),
    /// What it wrote.
    Results(String),
}

/// Runs a case and compares.
pub(crate) fn check(
    case: &Case,
    launch: &codegen::ptx::Launch,
    target: Target,
    r: &mut Random,
) -> Result<(), Wrong> {
    let before = buffers(case, r);
    let mut after = before.clone();
    let iteration = (case.product.adds == Adds::AfterFirst).then_some(case.iteration);
    crate::machine::run(launch, target, &mut after, iteration).map_err(Wrong::Report)?;
    compare(case, &before, &after).map_err(Wrong::Results)
}
