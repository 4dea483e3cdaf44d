//! Products with all that they have: strides, batches, types, epilogues.

use codegen::ptx::Launch;
use codegen::ptx::product::{Types, product};
use ir::body::Body;
use ir::eval::kernel::Memory;
use ir::eval::schedule::memory;
use ir::kernel::{Kernel, Operand, Reduction, Scalar, Skeleton};
use ir::narrow;
use ir::schedule::{
    Adds, Arg, BatchAxis, Buffer, BufferId, Epilogue, EpilogueArg, Product, Schedule, Task,
};
use ir::types::Dtype;

use crate::machine::Run;
use crate::random::Random;

/// A product, and the schedule with what it names.
pub(crate) struct Case {
    pub(crate) schedule: Schedule,
    pub(crate) product: Product,
    pub(crate) types: Types,
    pub(crate) k_slice: u64,
}

/// What there is behind a product.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Behind {
    Nothing,
    /// A map over blocks of so many columns.
    Map(u64),
    /// Row reductions of blocks of so many columns.
    Reduction(u64),
}

/// What a case is made of.
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) size: [u64; 3],
    pub(crate) batch: Vec<u64>,
    /// Elements between the rows (or columns) of each operand and of the result.
    pub(crate) gap: u64,
    /// Whether each operand and the result is stored column by column.
    pub(crate) is_transposed: [bool; 3],
    pub(crate) types: Types,
    pub(crate) adds: Adds,
    pub(crate) behind: Behind,
    /// Whether the result itself goes to memory, too.
    pub(crate) is_stored: bool,
    pub(crate) k_slice: u64,
}

impl About {
    pub(crate) fn plain(size: [u64; 3], dtype: Dtype) -> Self {
        Self {
            size,
            batch: vec![],
            gap: 0,
            is_transposed: [false; 3],
            types: Types { operands: dtype, result: dtype },
            adds: Adds::Never,
            behind: Behind::Nothing,
            is_stored: true,
            k_slice: 512,
        }
    }
}

impl Case {
    pub(crate) fn new(about: &About) -> Self {
        let [m, n, k] = about.size;
        let mut schedule = Schedule::default();
        let batch: u64 = about.batch.iter().product();
        let shapes = [[m, k], [k, n], [m, n]];
        let strides: Vec<[i64; 2]> =
            shapes.iter().zip(about.is_transposed).map(|(&s, t)| matrix(s, about.gap, t)).collect();
        let extents = shapes.map(|shape| extent(shape, about.gap));
        let mut operand = |size| buffer(&mut schedule, about.types.operands, batch * size);
        let (a, b) = (operand(extents[0]), operand(extents[1]));
        let result = about.types.result;
        let c = about.is_stored.then(|| buffer(&mut schedule, result, batch * extents[2]));
        let mut outer = 1;
        let axes = about.batch.iter().rev().map(|&size| {
            let strides = extents.map(|matrix| (matrix * outer).cast_signed());
            outer *= size;
            BatchAxis { size, strides }
        });
        let mut axes: Vec<BatchAxis> = axes.collect();
        axes.reverse();
        let mut product = Product {
            a,
            b,
            c,
            batch: axes,
            m,
            n,
            k,
            a_strides: strides[0],
            b_strides: strides[1],
            c_strides: strides[2],
            adds: about.adds,
            epilogue: None,
        };
        product.epilogue = match about.behind {
            Behind::Nothing => None,
            Behind::Map(cols) => Some(epilogue(&mut schedule, about, cols, map)),
            Behind::Reduction(cols) => Some(epilogue(&mut schedule, about, cols, reduction)),
        };
        Self { schedule, product, types: about.types, k_slice: about.k_slice }
    }

    pub(crate) fn launch(&self) -> Launch {
        product(&self.product, self.types, &self.schedule.kernels, self.k_slice, "product")
    }
}

impl Case {
    /// As it runs in an iteration of tiles.
    pub(crate) fn run(&self, iteration: u32) -> Run<'_> {
        let task = Task::Product { product: self.product.clone(), origin: String::new() };
        Run {
            schedule: &self.schedule,
            task: task.in_iteration(&[], iteration.into()),
            k_slice: self.k_slice,
            launch: self.launch(),
            args: self.product.args(),
            number: (self.product.adds == Adds::AfterFirst).then_some(iteration),
        }
    }
}

/// Strides of a matrix.
fn matrix([rows, cols]: [u64; 2], gap: u64, is_transposed: bool) -> [i64; 2] {
    let line = if is_transposed { rows } else { cols } + gap;
    if is_transposed { [1, line.cast_signed()] } else { [line.cast_signed(), 1] }
}

/// Elements of a matrix, and of what lies between its lines.
fn extent([rows, cols]: [u64; 2], gap: u64) -> u64 {
    (rows + gap) * (cols + gap)
}

fn buffer(schedule: &mut Schedule, dtype: Dtype, len: u64) -> Arg {
    let name = format!("b{}", schedule.buffers.len());
    // Each place is a few elements behind the start of its buffer.
    let offset = schedule.buffers.len() as u64;
    schedule.buffers.push(Buffer {
        name,
        dtype,
        shape: vec![len + offset],
        role: None,
        within: None,
    });
    Arg { buffer: BufferId(offset as u32), offset }
}

/// The operands of an epilogue: the sums, a row, a matrix that is read, one that is written, and a
/// number for each row of each block.
fn epilogue(
    schedule: &mut Schedule,
    about: &About,
    cols: u64,
    body: fn(&mut Body, Dtype),
) -> Epilogue {
    let [m, n, _] = about.size;
    let batch: u64 = about.batch.iter().product();
    let dtype = about.types.operands;
    let mut matrices = vec![n, 1];
    let mut inner = m * n;
    for &size in about.batch.iter().rev() {
        matrices.push(inner);
        inner *= size;
    }
    let outer: Vec<u64> = about.batch.iter().copied().chain([n / cols, m]).collect();
    let whole = |block: u64, row: u64| {
        let mut strides: Vec<i64> =
            matrices[2..].iter().rev().map(|&stride| stride.cast_signed()).collect();
        strides.extend([block, row].map(u64::cast_signed));
        strides
    };
    let none = |block: u64, row: u64| {
        let mut strides = vec![0; about.batch.len()];
        strides.extend([block, row].map(u64::cast_signed));
        strides
    };
    // One number for each row of each block, which are `n / cols` for each row.
    let mut numbers: Vec<i64> = vec![];
    let mut count = n / cols * m;
    for &size in about.batch.iter().rev() {
        numbers.push(count.cast_signed());
        count *= size;
    }
    numbers.reverse();
    numbers.extend([1, (n / cols).cast_signed()]);
    let operand = |dtype, is_output, outer, col| Operand { dtype, is_output, outer, row: 0, col };
    let operands = vec![
        operand(Dtype::F32, false, none(0, cols), 1),
        operand(Dtype::F32, false, none(cols, 0), 1),
        operand(dtype, false, whole(cols, n), 1),
        operand(dtype, true, whole(cols, n), 1),
        operand(Dtype::F32, true, numbers, 0),
    ];
    let mut made = Body::new();
    body(&mut made, dtype);
    let name = "behind".to_owned();
    let body = made.finish();
    schedule.kernels.push(Kernel { name, skeleton: Skeleton::Rows, outer, cols, operands, body });
    let lens = [(Dtype::F32, n), (dtype, batch * m * n), (dtype, batch * m * n)];
    let mut args = vec![EpilogueArg::Sums];
    for (dtype, len) in lens.into_iter().chain([(Dtype::F32, batch * (n / cols) * m)]) {
        args.push(EpilogueArg::Memory(buffer(schedule, dtype, len)));
    }
    Epilogue { kernel: schedule.kernels.len() - 1, args, cols }
}

/// `sum + row + matrix`, and the number of the row.
fn map(b: &mut Body, dtype: Dtype) {
    let (sum, row, matrix) = (b.load(0, Dtype::F32), b.load(1, Dtype::F32), b.load(2, dtype));
    let matrix = b.apply(Scalar::Cast(Dtype::F32), &[matrix]);
    let both = b.apply(Scalar::Add, &[sum, row]);
    let all = b.apply(Scalar::Add, &[both, matrix]);
    let result = b.apply(Scalar::Cast(dtype), &[all]);
    b.store(3, result);
    let index = b.outer(0);
    let index = b.apply(Scalar::Cast(Dtype::F32), &[index]);
    b.store(4, index);
}

/// What is left of `sum * row` when its largest and the sum of the rest are taken away.
fn reduction(b: &mut Body, dtype: Dtype) {
    let (sum, row, matrix) = (b.load(0, Dtype::F32), b.load(1, Dtype::F32), b.load(2, dtype));
    let matrix = b.apply(Scalar::Cast(Dtype::F32), &[matrix]);
    let scaled = b.apply(Scalar::Mul, &[sum, row]);
    let top = b.reduce(Reduction::Max, scaled);
    let below = b.apply(Scalar::Sub, &[scaled, top]);
    let total = b.reduce(Reduction::Sum, below);
    let rest = b.apply(Scalar::Fma, &[below, matrix, total]);
    let result = b.apply(Scalar::Cast(dtype), &[rest]);
    b.store(3, result);
    b.store(4, total);
}

/// Cases of each form of code.
pub(crate) fn named() -> Vec<(String, Case)> {
    let mut all = vec![];
    let mut add = |name: &str, about: About| all.push((name.to_owned(), Case::new(&about)));
    let large = About::plain([4096, 4096, 1024], Dtype::F32);
    add("large", large.clone());
    add("large, transposed", About { is_transposed: [true, true, true], ..large });
    add("small", About::plain([5, 7, 3], Dtype::F16));
    add("a row", About::plain([1, 50257, 768], Dtype::Bf16));
    for (behind, dtype) in [
        (Behind::Map(128), Dtype::Bf16),
        (Behind::Reduction(48), Dtype::F16),
        (Behind::Reduction(512), Dtype::F32),
        (Behind::Reduction(512), Dtype::Bf16),
    ] {
        let (Behind::Map(cols) | Behind::Reduction(cols)) = behind else { continue };
        let plain = About::plain([8192, 3 * cols, 768], dtype);
        add(&format!("{behind:?}, {dtype}"), About { behind, is_stored: false, ..plain });
    }
    for adds in [Adds::Always, Adds::AfterFirst] {
        let batch = vec![2, 3];
        add("adds", About { adds, batch, ..About::plain([1000, 1000, 1000], Dtype::F32) });
    }
    all
}

/// Some with so many blocks that tiles are large, and some with wide blocks of an epilogue.
pub(crate) fn large() -> Vec<About> {
    let many = |size: [u64; 3], dtype| About {
        batch: vec![4, 66],
        k_slice: 16,
        ..About::plain(size, dtype)
    };
    let (adds, is_transposed) = (Adds::Always, [true, true, false]);
    let wide = |size: [u64; 3], behind| About { behind, ..About::plain(size, Dtype::F32) };
    vec![
        many([128, 128, 16], Dtype::F32),
        About { adds, is_transposed, ..many([113, 127, 17], Dtype::F32) },
        About { behind: Behind::Map(32), ..many([120, 96, 2], Dtype::Bf16) },
        wide([20, 1024, 21], Behind::Reduction(512)),
        wide([33, 400, 5], Behind::Reduction(400)),
        wide([70, 330, 3], Behind::Map(110)),
    ]
}

/// A random one.
pub(crate) fn random(r: &mut Random) -> About {
    const SIZES: [u64; 14] = [1, 2, 3, 5, 8, 15, 16, 17, 31, 33, 63, 64, 65, 130];
    let mut size = [r.pick(&SIZES), r.pick(&SIZES), r.pick(&SIZES)];
    while size.iter().product::<u64>() > 80_000 {
        size[r.below(3)] = r.pick(&SIZES[..8]);
    }
    if r.below(20) == 0 {
        size[r.below(3)] = 0;
    }
    let operands = r.pick(&[Dtype::F32, Dtype::F32, Dtype::F16, Dtype::Bf16]);
    let result = r.pick(&[Dtype::F32, operands]);
    let batch = r.pick(&[vec![], vec![], vec![3], vec![2, 2], vec![1, 2, 3]]);
    let is_transposed = [r.below(2) == 0, r.below(2) == 0, r.below(2) == 0];
    let k_slice = r.pick(&[4, 5, 16, 32, 512]);
    let mut about = About {
        size,
        batch,
        gap: r.pick(&[0, 0, 3]),
        is_transposed,
        types: Types { operands, result },
        adds: r.pick(&[Adds::Never, Adds::Never, Adds::Always, Adds::AfterFirst]),
        behind: Behind::Nothing,
        is_stored: true,
        k_slice,
    };
    let n = size[1];
    let divisors: Vec<u64> = (1..=n).filter(|&cols| n.is_multiple_of(cols)).collect();
    if about.adds == Adds::Never && n > 0 && r.below(2) == 0 {
        let cols = r.pick(&divisors);
        about.behind = r.pick(&[Behind::Map(cols), Behind::Reduction(cols)]);
        about.is_stored = r.below(2) == 0;
    } else if about.adds != Adds::Never {
        about.types.result = Dtype::F32;
    }
    about
}

/// Memory full of numbers, some of them special.
pub(crate) fn noise(r: &mut Random, schedule: &Schedule) -> Memory {
    let mut held = memory(schedule);
    for (buffer, data) in schedule.buffers.iter().zip(&mut held.0) {
        for at in 0..data.len() {
            let number = (r.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
            let special = r.pick(&[0.0, -0.0, f32::INFINITY, f32::NAN, 1e38, 1e-40]);
            let number = if r.below(200) == 0 { special } else { number };
            let bits = match buffer.dtype {
                Dtype::F32 | Dtype::F16 | Dtype::Bf16 => {
                    narrow::round(buffer.dtype, number).to_bits()
                }
                Dtype::I32 | Dtype::Bool | Dtype::F64 => 0,
            };
            data.set_bits(at, bits.into());
        }
    }
    held
}
