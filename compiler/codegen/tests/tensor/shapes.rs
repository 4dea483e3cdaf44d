//! Products of many shapes.

use codegen::ptx::product::Types;
use ir::kernel::Kernel;
use ir::schedule::{Adds, Arg, BatchAxis, BufferId, Product};
use ir::types::Dtype;

/// A small generator: splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.bits() % n
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }

    /// Between -2 and 2.
    pub(crate) fn number(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 22) as f32 - 2.0
    }
}

/// A product, and what it is made with.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) product: Product,
    pub(crate) types: Types,
    /// As the entry takes them.
    pub(crate) aligned: [u64; 3],
    pub(crate) kernels: Vec<Kernel>,
    /// The number of the iteration, for one that adds after the first.
    pub(crate) iteration: u32,
}

/// Row-major operands and result of one type, f32 sums.
pub(crate) fn plain(m: u64, n: u64, k: u64) -> Case {
    let arg = |buffer| Arg { buffer: BufferId(buffer), offset: 0 };
    let row = |n: u64| [n.cast_signed(), 1];
    let product = Product {
        a: arg(0),
        b: arg(1),
        c: Some(arg(2)),
        batch: vec![],
        m,
        n,
        k,
        a_strides: row(k),
        b_strides: row(n),
        c_strides: row(n),
        adds: Adds::Never,
        epilogue: None,
    };
    let types = Types { operands: Dtype::Bf16, result: Dtype::F32 };
    let name = format!("{m} by {n} by {k}");
    Case { name, product, types, aligned: [16; 3], kernels: vec![], iteration: 0 }
}

/// The same product with operands that lie the other way.
pub(crate) fn turned(mut case: Case, is_left: bool, is_right: bool) -> Case {
    let p = &mut case.product;
    if is_left {
        p.a_strides = [1, p.m.cast_signed()];
        case.name += ", left turned";
    }
    if is_right {
        p.b_strides = [1, p.k.cast_signed()];
        case.name += ", right turned";
    }
    case
}

/// A tile, and a product that is computed with it.
pub(crate) struct Tiled {
    pub(crate) rows: u64,
    pub(crate) cols: u64,
    pub(crate) threads: u32,
    /// Rows and columns of the product.
    pub(crate) size: [u64; 2],
}

const fn tiled(rows: u64, cols: u64, threads: u32, size: [u64; 2]) -> Tiled {
    Tiled { rows, cols, threads, size }
}

/// Each tile. No end of a product is that of a tile.
pub(crate) const TILED: [Tiled; 9] = [
    tiled(128, 256, 256, [120, 500]),
    tiled(256, 128, 256, [500, 120]),
    tiled(128, 128, 256, [120, 120]),
    tiled(128, 64, 256, [250, 60]),
    tiled(64, 128, 256, [60, 250]),
    tiled(64, 64, 128, [60, 60]),
    tiled(32, 128, 128, [28, 250]),
    tiled(32, 64, 128, [30, 60]),
    tiled(16, 64, 128, [14, 60]),
];

/// How often a product is done by [`often`].
pub(crate) const OFTEN: u64 = 6000;

/// The same product again and again, in the same place: enough work to fill a device, so that the
/// tile is the one that fits the product best.
pub(crate) fn often(case: &Case) -> Case {
    let mut case = case.clone();
    case.product.batch = vec![BatchAxis { size: OFTEN, strides: [0; 3] }];
    case
}

/// All layouts of the operands.
pub(crate) fn layouts(case: &Case) -> [Case; 4] {
    let all = [(false, false), (true, false), (false, true), (true, true)];
    all.map(|(left, right)| turned(case.clone(), left, right))
}

const SIDES: [u64; 16] = [1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 130, 7];
const DEPTHS: [u64; 16] = [0, 1, 2, 8, 15, 16, 17, 31, 32, 33, 48, 64, 65, 96, 97, 100];

/// Strides of a matrix: row-major, the other way, with gaps; and how many elements it spans.
fn strides(r: &mut Random, rows: u64, cols: u64) -> ([i64; 2], u64) {
    let gap = r.pick(&[0, 0, 0, 1, 2, 4, 8]);
    let pad = |n: u64| if gap > 0 { n.next_multiple_of(8) + gap } else { n };
    let (rows, cols) = (rows.max(1), cols.max(1));
    match r.below(8) {
        0..=3 => ([pad(cols).cast_signed(), 1], rows * pad(cols)),
        4..=6 => ([1, pad(rows).cast_signed()], cols * pad(rows)),
        _ => ([2 * pad(cols).cast_signed(), 2], rows * pad(cols) * 2),
    }
}

/// Any product of a few tiles.
pub(crate) fn random(r: &mut Random) -> Case {
    let (m, n, k) = (r.pick(&SIDES), r.pick(&SIDES), r.pick(&DEPTHS));
    let (a_strides, a_span) = strides(r, m, k);
    let (b_strides, b_span) = strides(r, k, n);
    let (c_strides, c_span) = strides(r, m, n);
    let mut batch = vec![];
    let mut spans = [a_span, b_span, c_span];
    let n_axes = if m * n > 5000 { 0 } else { r.below(3) };
    for _ in 0..n_axes {
        let size = 1 + r.below(3);
        let step = |span: u64| span.next_multiple_of(if span.is_multiple_of(3) { 8 } else { 1 });
        let mut steps = spans.map(step);
        // The same operand for all indices.
        let shared = r.below(4) as usize;
        if shared < 2 {
            steps[shared] = 0;
        }
        batch.insert(0, BatchAxis { size, strides: steps.map(u64::cast_signed) });
        for (span, step) in spans.iter_mut().zip(steps) {
            *span += step * (size - 1);
        }
    }
    let offsets: [u64; 3] = std::array::from_fn(|_| r.pick(&[0, 0, 8, 16, 4, 2, 1]));
    let arg = |at: usize| Arg { buffer: BufferId(at as u32), offset: offsets[at] };
    let narrow = r.pick(&[Dtype::F16, Dtype::Bf16]);
    let result = r.pick(&[Dtype::F32, narrow]);
    let aligned = |at: usize, dtype: Dtype| {
        let bytes = offsets[at] * dtype.bytes();
        1 << (bytes | 16).trailing_zeros()
    };
    let aligned = [aligned(0, narrow), aligned(1, narrow), aligned(2, result)];
    let adds = r.pick(&[Adds::Never, Adds::Never, Adds::Always, Adds::AfterFirst]);
    let product = Product {
        a: arg(0),
        b: arg(1),
        c: Some(arg(2)),
        batch,
        m,
        n,
        k,
        a_strides,
        b_strides,
        c_strides,
        adds,
        epilogue: None,
    };
    let iteration = r.below(3) as u32;
    let types = Types { operands: narrow, result };
    let name = format!("{product:?} {types:?} {aligned:?} iteration {iteration}");
    Case { name, product, types, aligned, kernels: vec![], iteration }
}
