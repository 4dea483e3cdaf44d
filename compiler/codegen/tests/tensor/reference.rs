//! What a product has to be: a sum in double precision, within a bound.

use exec::device::emulated::Report;
use ir::narrow;
use ir::schedule::{Adds, Product};
use ir::types::Dtype;
use ptx_builder::Target;

use crate::machine::Buffer;
use crate::shapes::{Case, Random};

/// The first element of a matrix, 0 and 1 for the operands and 2 for the result, in each batch.
fn starts(p: &Product, which: usize) -> Vec<i64> {
    let arg = [Some(p.a), Some(p.b), p.c][which];
    let mut starts = vec![arg.map_or(0, |arg| arg.offset.cast_signed())];
    for axis in &p.batch {
        let indices = 0..axis.size.cast_signed();
        let next = |start: &i64| indices.clone().map(|i| start + i * axis.strides[which]).collect();
        starts = starts.iter().flat_map(|start| -> Vec<i64> { next(start) }).collect();
    }
    starts
}

/// All elements of a matrix, ascending, each once.
fn places(p: &Product, which: usize) -> Vec<i64> {
    let (sizes, strides) = match which {
        0 => ([p.m, p.k], p.a_strides),
        1 => ([p.k, p.n], p.b_strides),
        _ => ([p.m, p.n], p.c_strides),
    };
    let [rows, cols] = sizes.map(u64::cast_signed);
    let mut places = vec![];
    for start in starts(p, which) {
        for i in 0..rows {
            places.extend((0..cols).map(|j| start + i * strides[0] + j * strides[1]));
        }
    }
    places.sort_unstable();
    places.dedup();
    places
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
    let is_held = match p.adds {
        Adds::Never => false,
        Adds::AfterFirst => case.iteration > 0,
        Adds::Always => true,
    };
    let args = [Some(p.a), Some(p.b), p.c];
    let mut buffers = vec![];
    for (which, arg) in args.into_iter().enumerate() {
        let (Some(arg), dtype) = (arg, types[which]) else { continue };
        let places = places(p, which);
        let end = places.last().map_or(arg.offset, |last| last.cast_unsigned() + 1);
        let mut buffer = Buffer::new(end * dtype.bytes(), arg.offset * dtype.bytes());
        if which < 2 || is_held {
            for place in places {
                buffer.set(place.cast_unsigned() * dtype.bytes(), &write(dtype, r.number()));
            }
        }
        buffers.push(buffer);
    }
    buffers
}

/// How far the numbers of a type are apart near `x`; none for f32, whose rounding the bound has.
fn ulp(dtype: Dtype, x: f64) -> f64 {
    let exponent = x.abs().max(f64::MIN_POSITIVE).log2().floor();
    match dtype {
        Dtype::F16 => (exponent.max(-14.0) - 10.0).exp2(),
        Dtype::Bf16 => (exponent - 7.0).exp2(),
        Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::Bool => 0.0,
    }
}

/// All elements of a buffer.
fn numbers(dtype: Dtype, buffer: &Buffer) -> Vec<f64> {
    let n = buffer.bytes.len() as i64 / dtype.bytes().cast_signed();
    (0..n).map(|at| read(dtype, &buffer.bytes, at)).collect()
}

/// The sum of a result and of its magnitudes, behind what is held.
fn sum(p: &Product, [a, b]: [&[f64]; 2], [i, j]: [i64; 2], held: f64) -> (f64, f64) {
    let mut sums = (held, held.abs());
    for l in 0..p.k.cast_signed() {
        let x = a[(i * p.a_strides[0] + l * p.a_strides[1]) as usize];
        let y = b[(l * p.b_strides[0] + j * p.b_strides[1]) as usize];
        sums = (sums.0 + x * y, sums.1 + (x * y).abs());
    }
    sums
}

/// The first result that is too far off, or the first byte that nobody should have written.
pub(crate) fn compare(case: &Case, before: &[Buffer], after: &[Buffer]) -> Result<(), String> {
    let (p, dtype) = (&case.product, case.types.result);
    let width = dtype.bytes() as usize;
    let [a, b] = [0, 1].map(|which| numbers(case.types.operands, &before[which]));
    let mut untouched = before[2].bytes.clone();
    let [a_starts, b_starts, c_starts] = [0, 1, 2].map(|which| starts(p, which));
    for ((a_start, b_start), c_start) in a_starts.iter().zip(&b_starts).zip(&c_starts) {
        // Without a k, no element is there.
        let [a, b] = [(&a, a_start), (&b, b_start)]
            .map(|(all, start)| all.get(*start as usize..).unwrap_or_default());
        for i in 0..p.m.cast_signed() {
            for j in 0..p.n.cast_signed() {
                let c = c_start + i * p.c_strides[0] + j * p.c_strides[1];
                let at = c as usize * width;
                let is_held = before[2].is_set[at];
                let held = if is_held { read(dtype, &before[2].bytes, c) } else { 0.0 };
                let (sum, l1) = sum(p, [a, b], [i, j], held);
                let got = read(dtype, &after[2].bytes, c);
                let bound = (p.k as f64 / 16.0 + 2.0) * (-23f64).exp2() * l1 + ulp(dtype, sum);
                if got.is_nan() || (got - sum).abs() > bound {
                    return Err(format!("[{i}, {j}]: {got} instead of {sum} within {bound:e}"));
                }
                untouched[at..at + width].copy_from_slice(&after[2].bytes[at..at + width]);
            }
        }
    }
    match untouched.iter().zip(&after[2].bytes).position(|(x, y)| x != y) {
        Some(at) => Err(format!("byte {at} was written")),
        None => Ok(()),
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
