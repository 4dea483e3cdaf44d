//! Products against their definition, bit for bit.

use plan::{Adds, Arg, BatchAxis, BufferId, Dtype, Epilogue, Product};

use super::element::{converts_f16, narrow_bf16, narrow_f16, narrowing, widen_f16};
use super::{Behind, Machine, Operand, Operands, run, run_with, tile};
use crate::device::cpu::{Pointer, Pool};

fn noise(n: usize, seed: u32) -> Vec<f32> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 - 0.5
    };
    (0..n).map(|_| next()).collect()
}

/// Whether operands are stored transposed: left, right, result.
type Transposed = [bool; 3];

fn product(batch: u64, m: u64, n: u64, k: u64, t: Transposed) -> Product {
    let arg = Arg { buffer: BufferId(0), offset: 0 };
    let strides =
        |t: bool, rows: u64, cols: u64| if t { [1, rows as i64] } else { [cols as i64, 1] };
    let sizes = [m * k, k * n, m * n].map(|x| x as i64);
    Product {
        a: arg,
        b: arg,
        c: Some(arg),
        batch: vec![BatchAxis { size: batch, strides: sizes }],
        m,
        n,
        k,
        a_strides: strides(t[0], m, k),
        b_strides: strides(t[1], k, n),
        c_strides: strides(t[2], m, n),
        k_slice: 512,
        adds: Adds::Never,
        epilogue: None,
    }
}

fn reference(p: &Product, a: &[f32], b: &[f32], c: &mut [f32]) {
    for z in 0..p.batch[0].size as i64 {
        for i in 0..p.m as i64 {
            for j in 0..p.n as i64 {
                let at = |s: [i64; 2], x: i64, y: i64, axis: usize| {
                    (z * p.batch[0].strides[axis] + x * s[0] + y * s[1]) as usize
                };
                let mut total = 0f32;
                for from in (0..p.k.max(1)).step_by(512) {
                    let mut sum = 0f32;
                    for k in from as i64..p.k.min(from + 512) as i64 {
                        let (x, y) = (at(p.a_strides, i, k, 0), at(p.b_strides, k, j, 1));
                        sum = a[x].mul_add(b[y], sum);
                    }
                    total = if from == 0 { sum } else { total + sum };
                }
                c[at(p.c_strides, i, j, 2)] = total;
            }
        }
    }
}

/// Types of the operands and of the result.
const TYPES: [[Dtype; 2]; 7] = [
    [Dtype::F32, Dtype::F32],
    [Dtype::F16, Dtype::F32],
    [Dtype::Bf16, Dtype::F32],
    [Dtype::F32, Dtype::F16],
    [Dtype::F16, Dtype::F16],
    [Dtype::Bf16, Dtype::Bf16],
    [Dtype::F32, Dtype::Bf16],
];

/// Elements as memory holds them.
fn bytes(dtype: Dtype, numbers: &[f32]) -> Vec<u8> {
    match narrowing(dtype) {
        None => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Some(narrow) => numbers.iter().flat_map(|&x| narrow(x).to_le_bytes()).collect(),
    }
}

/// Numbers that the type has.
fn numbers(dtype: Dtype, n: usize, seed: u32) -> Vec<f32> {
    let held = |x: f32| match dtype {
        Dtype::F16 => widen_f16(narrow_f16(x)),
        Dtype::Bf16 => f32::from_bits(u32::from(narrow_bf16(x)) << 16),
        Dtype::F32 | Dtype::F64 | Dtype::I32 => x,
    };
    noise(n, seed).into_iter().map(held).collect()
}

fn check(p: &Product, pools: &mut [Pool]) {
    check_within(p, [p.m * p.k, p.k * p.n, p.m * p.n].map(|x| x * p.batch[0].size), pools);
}

fn check_within(p: &Product, sizes: [u64; 3], pools: &mut [Pool]) {
    // fp32 with all pools and all kernels; one of each, by turns, for one of the other types.
    let seed = (p.m + 2 * p.n + 3 * p.k) as usize;
    let other = 1 + seed % (TYPES.len() - 1);
    for [dtype, result] in [TYPES[0], TYPES[other]] {
        let is_f32 = [dtype, result] == TYPES[0];
        let n = if is_f32 { pools.len().max(tile::kernels().count()) } else { 1 };
        let [a, b] = [0, 1].map(|i| numbers(dtype, sizes[i] as usize, 1 + i as u32));
        let mut expected = vec![f32::NAN; sizes[2] as usize];
        reference(p, &a, &b, &mut expected);
        let (mut a, mut b) = (bytes(dtype, &a), bytes(dtype, &b));
        let expected = bytes(result, &expected);
        for i in seed..seed + n {
            let mut c = bytes(result, &vec![f32::NAN; sizes[2] as usize]);
            let [x, y, z] = [(&mut a, dtype), (&mut b, dtype), (&mut c, result)]
                .map(|(bytes, dtype)| Operand { base: bytes.as_mut_ptr(), dtype });
            let operands = Operands { a: x, b: y, c: Some(z), behind: None };
            let kernels: Vec<_> = tile::kernels().collect();
            let kernel = kernels[i % kernels.len()];
            let machine = Machine { kernel, converts_f16: p.n.is_multiple_of(2) && converts_f16() };
            let at = i % pools.len();
            // SAFETY: the vectors have the sizes of the product.
            unsafe { run_with(machine, p, false, operands, &mut pools[at]) }
            assert!(c == expected, "{dtype:?} {result:?} {p:?}");
        }
    }
}

#[test]
fn equals_sequential_fma_for_any_threads() {
    let mut pools: Vec<Pool> = [1, 2, 3, 8].map(Pool::new).into();
    let sizes = [1, 2, 3, 5, 16, 17, 33, 64, 65, 129];
    for (x, &m) in sizes.iter().enumerate() {
        for (y, &n) in sizes.iter().enumerate() {
            let k = [0, 1, 2, 3, 7, 31, 64, 100][(x * 3 + y) % 8];
            let bits = x + 2 * y;
            let t = [bits & 1 != 0, bits & 2 != 0, bits & 4 != 0];
            check(&product(1 + (x % 3) as u64, m, n, k, t), &mut pools);
        }
    }
}

#[test]
fn an_empty_product_writes_nothing_or_zeros() {
    let mut pools = [Pool::new(2)];
    for (batch, m, n, k) in [(0, 3, 4, 5), (2, 0, 4, 5), (2, 3, 0, 5), (2, 3, 4, 0)] {
        check(&product(batch, m, n, k, [false; 3]), &mut pools);
    }
}

#[test]
fn strides_of_two_leave_the_gaps_alone() {
    let mut pools: Vec<Pool> = [1, 2, 3].map(Pool::new).into();
    for (m, n, k) in [(70, 50, 33), (5, 130, 600), (9, 3, 16)] {
        let mut p = product(1, m, n, k, [false, true, false]);
        p.a_strides = p.a_strides.map(|s| s * 2);
        p.b_strides = p.b_strides.map(|s| s * 2);
        p.c_strides = p.c_strides.map(|s| s * 2);
        p.batch[0].strides = [0; 3];
        check_within(&p, [2 * m * k, 2 * k * n, 2 * m * n], &mut pools);
    }
}

#[test]
fn equals_sequential_fma_where_panels_are_too_large_to_keep() {
    let mut pools: Vec<Pool> = [1, 2].map(Pool::new).into();
    for t in [[false; 3], [true, true, false]] {
        check(&product(1, 70, 96, 11_000, t), &mut pools);
    }
}

/// Results of many blocks, which jobs of rows, of columns and of both take.
#[test]
fn equals_sequential_fma_where_blocks_share_panels() {
    let mut pools: Vec<Pool> = [1, 2].map(Pool::new).into();
    for (m, n, k) in [(200, 900, 513), (900, 200, 40), (1100, 1600, 3), (64, 3000, 20)] {
        for t in [[false; 3], [true, true, true]] {
            check(&product(2, m, n, k, t), &mut pools);
        }
    }
}

#[test]
fn equals_sequential_fma_over_slices() {
    let mut pools: Vec<Pool> = [1, 3].map(Pool::new).into();
    for k in [511, 512, 513, 514, 700, 1024, 1026, 1536, 2049] {
        for (m, n) in [(3, 200), (70, 40), (130, 65), (1, 300), (40, 1)] {
            for t in [[false; 3], [true, false, false], [false, true, false]] {
                check(&product(1, m, n, k, t), &mut pools);
            }
        }
    }
}

#[test]
fn slices_added_to_what_is_there_have_the_bits_of_the_whole() {
    let (m, n, k) = (70, 40, 1300);
    let mut pool = Pool::new(3);
    for (dtype, t) in [(Dtype::F32, [true, false, false]), (Dtype::Bf16, [false, false, true])] {
        let whole = product(1, m, n, k, t);
        let [mut a, mut b] =
            [m * k, k * n].map(|n| bytes(dtype, &numbers(dtype, n as usize, n as u32)));
        let mut sums = [0, 1].map(|_| bytes(Dtype::F32, &vec![f32::NAN; (m * n) as usize]));
        let kernel = tile::kernels().last().unwrap();
        let machine = || Machine { kernel, converts_f16: converts_f16() };
        let mut run = |p: &Product, adds, [from_a, from_b]: [i64; 2], into: usize| {
            let width = dtype.bytes() as usize;
            let [a, b, c] = [
                (a[from_a as usize * width..].as_mut_ptr(), dtype),
                (b[from_b as usize * width..].as_mut_ptr(), dtype),
                (sums[into].as_mut_ptr(), Dtype::F32),
            ]
            .map(|(base, dtype)| Operand { base, dtype });
            let operands = Operands { a, b, c: Some(c), behind: None };
            // SAFETY: the vectors have the sizes of the product.
            unsafe { run_with(machine(), p, adds, operands, &mut pool) }
        };
        run(&whole, false, [0, 0], 0);
        for from in [0, 512, 1024] {
            let part = Product { k: 512.min(k - from), ..whole.clone() };
            let from = from as i64;
            run(&part, from > 0, [from * whole.a_strides[1], from * whole.b_strides[0]], 1);
        }
        assert!(sums[0] == sums[1], "{dtype:?}");
    }
}

/// What the epilogue of the tests knows: rows, columns, columns of a block, whether what it reads
/// is the whole result.
struct Shape {
    m: u64,
    n: u64,
    cols: u64,
    is_whole: bool,
}

/// `out = 3 * sum + column`; the operands are the sums, `out` and the shape.
extern "C" fn map(args: *const *mut u8, begin: u64, end: u64) {
    // SAFETY: the tests pass these operands.
    unsafe {
        let (sums, out) = ((*args).cast::<f32>(), (*args.add(1)).cast::<f32>());
        let shape = &*(*args.add(2)).cast::<Shape>();
        let blocks = shape.n / shape.cols;
        for unit in begin..end {
            let (row, block) = (unit % shape.m, unit / shape.m % blocks);
            let first = (unit / shape.m / blocks * shape.m + row) * shape.n + block * shape.cols;
            for col in 0..shape.cols {
                let at = first + col;
                let from = if shape.is_whole { at } else { row * shape.cols + col };
                let column = (block * shape.cols + col) as f32;
                *out.add(at as usize) = *sums.wrapping_add(from as usize) * 3.0 + column;
            }
        }
    }
}

#[test]
fn an_epilogue_sees_each_finished_sum_once() {
    let mut pools: Vec<Pool> = [1, 2, 3, 8].map(Pool::new).into();
    let sizes = [[1, 16, 3, 16], [33, 48, 1100, 16], [130, 192, 512, 64], [300, 512, 7, 512]];
    for [m, n, k, cols] in sizes {
        for keeps in [None, Some(Dtype::F32), Some(Dtype::Bf16)] {
            for (at, pool) in pools.iter_mut().enumerate() {
                let mut p = product(2, m, n, k, [false, at % 2 == 1, false]);
                p.epilogue = Some(Epilogue { code: 0, args: vec![], cols });
                let sizes = [m * k, k * n, m * n].map(|x| 2 * x as usize);
                let (mut a, mut b) = (noise(sizes[0], 5), noise(sizes[1], 6));
                let mut sums = vec![0.0; sizes[2]];
                reference(&p, &a, &b, &mut sums);
                let mut c = bytes(keeps.unwrap_or(Dtype::F32), &vec![f32::NAN; sizes[2]]);
                let mut out = vec![f32::NAN; sizes[2]];
                // What has 16 bits in memory would be read as such; the test reads sums only.
                let is_whole = keeps == Some(Dtype::F32);
                let mut shape = Shape { m, n, cols, is_whole };
                let read = if is_whole { c.as_mut_ptr() } else { std::ptr::null_mut() };
                let args = [read, out.as_mut_ptr().cast(), (&raw mut shape).cast()].map(Pointer);
                let operand = |base: *mut u8, dtype| Operand { base, dtype };
                let operands = Operands {
                    a: operand(a.as_mut_ptr().cast(), Dtype::F32),
                    b: operand(b.as_mut_ptr().cast(), Dtype::F32),
                    c: keeps.map(|dtype| operand(c.as_mut_ptr(), dtype)),
                    behind: Some(Behind { entry: map, args: &args }),
                };
                // SAFETY: the vectors have the sizes of the product.
                unsafe { run(&p, false, operands, pool) }
                let column = |at: usize| (at as u64 % n) as f32;
                let wanted = sums.iter().enumerate().map(|(at, x)| x * 3.0 + column(at));
                assert!(out.iter().copied().eq(wanted), "{p:?} {keeps:?} {at}");
                let kept = keeps.is_none_or(|dtype| c == bytes(dtype, &sums));
                assert!(kept, "{p:?} {keeps:?} {at}");
            }
        }
    }
}
