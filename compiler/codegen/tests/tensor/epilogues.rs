//! Kernels behind products: the bits of the interpreter on the same sums.

use ir::body::Body;
use ir::eval::kernel::{Memory, eval_kernel};
use ir::eval::tensor::Data;
use ir::kernel::{Kernel, Operand, Reduction, Scalar, Skeleton};
use ir::narrow;
use ir::schedule::{Arg, BatchAxis, BufferId, Epilogue, EpilogueArg};
use ir::types::Dtype;
use ptx_builder::Target;

use crate::machine::{self, Buffer};
use crate::reference;
use crate::shapes::{Case, Random, plain};

/// Batches, rows, columns and those of a block.
pub(crate) type Space = [u64; 4];

fn operand(dtype: Dtype, is_output: bool, outer: [u64; 3], col: i64) -> Operand {
    Operand { dtype, is_output, outer: outer.map(u64::cast_signed).to_vec(), row: 0, col }
}

/// Twice the sum and a number of the column, as bf16; with `reduces`, the largest of each row of a
/// block and the sum of what exceeds it.
fn kernel([batch, m, n, cols]: Space, sums: [u64; 3], reduces: bool) -> Kernel {
    let strips = n / cols;
    let mut operands = vec![
        operand(Dtype::F32, false, sums, 1),
        operand(Dtype::F32, false, [0, cols, 0], 1),
        operand(Dtype::Bf16, true, [m * n, cols, n], 1),
    ];
    let mut body = Body::new();
    let (x, bias) = (body.load(0, Dtype::F32), body.load(1, Dtype::F32));
    let two = body.constant(Dtype::F32, 2.0);
    let mut y = body.apply(Scalar::Fma, &[x, two, bias]);
    if reduces {
        let most = body.reduce(Reduction::Max, x);
        let below = body.apply(Scalar::Sub, &[x, most]);
        let part = body.apply(Scalar::Exp, &[below]);
        let whole = body.reduce(Reduction::Sum, part);
        y = body.apply(Scalar::Mul, &[part, whole]);
        for (at, value) in [(3, most), (4, whole)] {
            operands.push(operand(Dtype::F32, true, [strips * m, m, 1], 0));
            body.store(at, value);
        }
    }
    let y = body.apply(Scalar::Cast(Dtype::Bf16), &[y]);
    body.store(2, y);
    Kernel {
        name: "behind".to_owned(),
        skeleton: Skeleton::Rows,
        outer: vec![batch, strips, m],
        cols,
        operands,
        body: body.finish(),
    }
}

pub(crate) fn case(space: Space, k: u64, reduces: bool) -> Case {
    let [batch, m, n, cols] = space;
    let mut case = plain(m, n, k);
    let strides = [m * k, k * n, m * n].map(u64::cast_signed);
    case.product.batch = vec![BatchAxis { size: batch, strides }];
    case.kernels = vec![kernel(space, [0, 0, cols], reduces)];
    let memory = |at| EpilogueArg::Memory(Arg { buffer: BufferId(at), offset: 0 });
    let n_memory = case.kernels[0].operands.len() as u32 - 1;
    let args = std::iter::once(EpilogueArg::Sums).chain((3..3 + n_memory).map(memory)).collect();
    case.product.epilogue = Some(Epilogue { kernel: 0, args, cols });
    case.name = format!("{space:?} {k}");
    case
}

/// The buffers of all arguments; those of the kernel are numbers of the columns, and nothing.
pub(crate) fn buffers(case: &Case, space: Space, reduces: bool, r: &mut Random) -> Vec<Buffer> {
    let [batch, m, n, cols] = space;
    let mut bias = Buffer::new(n * 4, 0);
    (0..n).for_each(|at| bias.set(at * 4, &r.number().to_le_bytes()));
    let mut all = reference::buffers(case, r);
    all.extend([bias, Buffer::new(batch * m * n * 2, 0)]);
    if reduces {
        all.extend([0, 1].map(|_| Buffer::new(batch * m * n / cols * 4, 0)));
    }
    all
}

fn singles(bytes: &[u8]) -> Data {
    let single = |b: &[u8]| f32::from_le_bytes(b.try_into().expect("four bytes"));
    Data::F32(bytes.chunks(4).map(single).collect())
}

/// What the interpreter writes behind sums in memory, as bytes.
fn expected(space: Space, reduces: bool, c: &Buffer, bias: &Buffer) -> Vec<Vec<u8>> {
    let [batch, m, n, cols] = space;
    let kernel = kernel(space, [m * n, cols, n], reduces);
    let zeros = |o: &Operand| {
        let n = if o.dtype == Dtype::Bf16 { batch * m * n } else { batch * m * n / cols };
        Data::zeros(o.dtype, n as usize)
    };
    let mut data = vec![singles(&c.bytes), singles(&bias.bytes)];
    data.extend(kernel.operands[2..].iter().map(zeros));
    let mut memory = Memory(data);
    let arg = |at| Arg { buffer: BufferId(at), offset: 0 };
    let args: Vec<Arg> = (0..kernel.operands.len() as u32).map(arg).collect();
    eval_kernel(&kernel, &mut memory, &args);
    let bytes = |(data, o): (&Data, &Operand)| {
        let single = |at: usize| f32::from_bits(data.bits(at) as u32);
        let all = (0..data.len()).map(single);
        if o.dtype == Dtype::Bf16 {
            return all.flat_map(|x| narrow::pack(Dtype::Bf16, x).to_le_bytes()).collect();
        }
        all.flat_map(f32::to_le_bytes).collect()
    };
    memory.0.iter().zip(&kernel.operands).skip(2).map(bytes).collect()
}

fn check(space: Space, k: u64, reduces: bool, target: Target, r: &mut Random) {
    let mut case = case(space, k, reduces);
    let mut buffers = buffers(&case, space, reduces, r);
    let before = buffers.clone();
    let launch = crate::launch(&case, target);
    machine::run(&launch, target, &mut buffers, None)
        .unwrap_or_else(|e| panic!("{e}\n{}", case.name));
    assert_eq!(reference::compare(&case, &before, &buffers), Ok(()), "{}", case.name);
    let expected = expected(space, reduces, &buffers[2], &buffers[3]);
    for (at, expected) in expected.iter().enumerate() {
        assert!(buffers[4 + at].bytes == *expected, "output {at} differs: {}", case.name);
    }
    // The same where the sums do not go to memory.
    case.product.c = None;
    let mut alone: Vec<Buffer> =
        before.iter().enumerate().filter(|(at, _)| *at != 2).map(|(_, b)| b.clone()).collect();
    let launch = crate::launch(&case, target);
    machine::run(&launch, target, &mut alone, None)
        .unwrap_or_else(|e| panic!("{e}\n{}", case.name));
    for (at, expected) in expected.iter().enumerate() {
        assert!(alone[3 + at].bytes == *expected, "output {at} alone differs: {}", case.name);
    }
}

const SPACES: [Space; 12] = [
    [1, 70, 128, 64],
    [2, 33, 256, 256],
    [1, 130, 384, 128],
    [1, 20, 48, 48],
    [1, 37, 320, 320],
    [1, 17, 512, 512],
    [3, 18, 96, 32],
    [1, 1, 1, 1],
    [1, 65, 192, 96],
    [1, 5, 67, 67],
    // Blocks start where no vector does.
    [1, 9, 40, 20],
    [2, 8, 8, 4],
];

#[test]
fn maps_behind_products_have_the_bits_of_the_interpreter() {
    let mut r = Random(3);
    for space in SPACES {
        let (k, target) = (r.pick(&[0, 16, 40, 97]), r.pick(&Target::ALL));
        check(space, k, false, target, &mut r);
    }
}

#[test]
fn rows_behind_products_have_the_bits_of_the_interpreter() {
    let mut r = Random(4);
    for space in SPACES {
        let (k, target) = (r.pick(&[0, 16, 40, 97]), r.pick(&Target::ALL));
        check(space, k, true, target, &mut r);
    }
}

/// Some for the assembler: in parts, and in one.
pub(crate) fn some() -> Vec<Case> {
    let both = |space| [false, true].map(|reduces| case(space, 64, reduces));
    [[1, 17, 512, 512], [1, 65, 192, 96], [1, 4096, 4096, 256]].into_iter().flat_map(both).collect()
}
