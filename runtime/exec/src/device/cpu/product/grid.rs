//! How a result is cut into blocks, and in which order threads take them.
//!
//! To pack an element takes as long as some dozens of multiplications, so blocks that read the
//! same rows or columns are one job, and a thread keeps what it packed for the next. No cut changes
//! a bit, so the threads may decide it.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use plan::Product;

use super::Size;
use super::block::THIN;
use super::pack::Keep;
use super::tile::Kernel;

/// Jobs wanted for each thread, so that a slow one does not hold up the rest.
const JOBS: u64 = 4;
/// Rows of a block at most; with an epilogue, which wants them in the cache.
const MOST_ROWS: [u64; 2] = [1024, 256];
/// Elements of the right operand that a block reads of one slice at most: they stay in the cache of
/// the second level while rows of the left one pass.
const MOST_PACKED: u64 = 192 << 10;
/// Elements of an operand that a thread keeps packed at most.
const KEPT: u64 = 1 << 20;
/// Rows and columns of a block at least.
const LEAST: u64 = 32;
/// Multiplications that take as long as to pack an element.
const PACKING: u64 = 32;

/// Numbers the products, so that none takes the panels of another.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// What the blocks of a job share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Job {
    /// Their rows: it has all columns.
    Rows,
    /// Their columns: it has all rows.
    Columns,
    /// It is one block.
    Block,
}

/// How a result is cut.
///
/// A result whose rows lie side by side is computed as its transpose: tiles are written by rows.
pub(super) struct Grid<'p> {
    pub(super) p: &'p Product,
    pub(super) adds: bool,
    pub(super) is_transposed: bool,
    pub(super) m: u64,
    pub(super) n: u64,
    /// What a thread keeps of the left operand, and of the right one.
    pub(super) keeps: [Option<Keep>; 2],
    batch: u64,
    cut: Cut,
    /// The number of the first product of the batch.
    run: u64,
}

/// A block of the result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    /// Which product of the batch.
    pub(super) batch: u64,
    pub(super) row_block: u64,
    pub(super) col_block: u64,
    /// Its first row.
    pub(super) row: u64,
    /// Its first column.
    pub(super) col: u64,
    pub(super) size: Size,
}

impl<'p> Grid<'p> {
    pub(super) fn new(kernel: Kernel, p: &'p Product, adds: bool, threads: u64) -> Self {
        // An epilogue has rows of blocks.
        let [row, col] = p.c_strides.map(i64::abs);
        let is_transposed = row < col && p.epilogue.is_none();
        let (m, n) = if is_transposed { (p.n, p.m) } else { (p.m, p.n) };
        let batch: u64 = p.batch.iter().map(|axis| axis.size).product();
        let cutter = Cutter { kernel, p, m, n, batch, threads };
        let cuts = [Job::Rows, Job::Columns, Job::Block].map(|job| cutter.cut(job));
        let cut = cuts.into_iter().min_by_key(|cut| cutter.cost(*cut)).expect("there are three");
        let run = RUNS.fetch_add(batch.max(1), Ordering::Relaxed);
        Self { p, adds, is_transposed, m, n, keeps: cutter.keeps(cut), batch, cut, run }
    }

    /// Rows and columns of its largest block.
    pub(super) fn block(&self) -> [u64; 2] {
        [self.cut.rows, self.cut.cols]
    }

    pub(super) fn jobs(&self) -> u64 {
        self.batch * self.cut.of_one()
    }

    /// Whether it has so few rows that the right operand is read where it lies, if it can be.
    pub(super) fn is_thin(&self) -> bool {
        self.m <= THIN
    }

    /// The blocks of a job, in their order.
    pub(super) fn blocks(&self, job: u64) -> impl Iterator<Item = Place> {
        let Cut { job: kind, rows, row_blocks, cols, col_blocks } = self.cut;
        let (batch, at) = (job / self.cut.of_one(), job % self.cut.of_one());
        let one = |at: u64| at..at + 1;
        let (row_range, col_range): (Range<u64>, Range<u64>) = match kind {
            Job::Rows => (one(at), 0..col_blocks),
            Job::Columns => (0..row_blocks, one(at)),
            // Those of the same columns follow each other: they share what is packed.
            Job::Block => (one(at % row_blocks), one(at / row_blocks)),
        };
        let (m, n, k) = (self.m, self.n, self.p.k as usize);
        let place = move |row_block: u64, col_block: u64| {
            let (row, col) = (row_block * rows, col_block * cols);
            let size = Size { m: rows.min(m - row) as usize, n: cols.min(n - col) as usize, k };
            Place { batch, row_block, col_block, row, col, size }
        };
        row_range.flat_map(move |row| col_range.clone().map(move |col| place(row, col)))
    }

    /// Elements from the first of both operands and the result to those of this product of the
    /// batch.
    pub(super) fn offsets(&self, place: &Place) -> [i64; 3] {
        let mut index = place.batch;
        let mut offsets = [0; 3];
        for axis in self.p.batch.iter().rev() {
            let i = (index % axis.size) as i64;
            index /= axis.size;
            for (offset, stride) in offsets.iter_mut().zip(axis.strides) {
                *offset += i * stride;
            }
        }
        offsets
    }

    /// What nobody else's panels are called: the product, and the block of an operand.
    pub(super) fn name(&self, place: &Place, block: u64) -> (u64, u64) {
        (self.run + place.batch, block)
    }

    /// The number of a block among those of the same result, by which an epilogue knows it.
    pub(super) fn columns_before(&self, place: &Place) -> u64 {
        place.batch * self.cut.col_blocks + place.col_block
    }
}

/// Blocks, and what is a job.
#[derive(Debug, Clone, Copy)]
struct Cut {
    job: Job,
    rows: u64,
    row_blocks: u64,
    cols: u64,
    col_blocks: u64,
}

impl Cut {
    /// The jobs of one product of the batch.
    fn of_one(self) -> u64 {
        match self.job {
            Job::Rows => self.row_blocks,
            Job::Columns => self.col_blocks,
            Job::Block => self.row_blocks * self.col_blocks,
        }
    }
}

/// What a cut is chosen by.
struct Cutter<'p> {
    kernel: Kernel,
    p: &'p Product,
    m: u64,
    n: u64,
    batch: u64,
    threads: u64,
}

impl Cutter<'_> {
    /// The largest blocks that make jobs for all threads.
    fn cut(&self, job: Job) -> Cut {
        let Self { p, m, n, .. } = *self;
        let block = p.epilogue.as_ref().map(|e| e.cols);
        let step = (self.kernel.tiles.len() * self.kernel.vector) as u64;
        // An epilogue takes whole blocks.
        let least = block.unwrap_or(LEAST.max(step));
        let widest = (MOST_PACKED / p.k.clamp(1, p.k_slice.max(1))).max(step);
        let even = n.div_ceil(n.div_ceil(widest).max(1)).next_multiple_of(step);
        let most = MOST_ROWS[usize::from(block.is_some())];
        let cut = |rows: u64, cols: u64| Cut {
            job,
            rows,
            row_blocks: m.div_ceil(rows),
            cols,
            col_blocks: n.div_ceil(cols),
        };
        let mut rows = most.min(m.next_multiple_of(LEAST)).max(LEAST);
        let mut cols = block.unwrap_or(even).max(1);
        while self.batch * cut(rows, cols).of_one() < self.threads * JOBS {
            let by_rows = rows > LEAST && job != Job::Columns;
            let by_cols = cols > least && job != Job::Rows;
            if by_rows && (rows > cols / 2 || !by_cols) {
                rows = (rows / 2).next_multiple_of(LEAST);
            } else if by_cols {
                cols = (cols / 2).next_multiple_of(step).max(least);
            } else {
                break;
            }
        }
        cut(rows, cols)
    }

    /// What a thread keeps of both operands: what its next block reads again.
    fn keeps(&self, cut: Cut) -> [Option<Keep>; 2] {
        let Cut { job, rows, row_blocks, cols, col_blocks } = cut;
        let of_rows = rows.next_multiple_of(self.kernel.rows as u64) * self.p.k;
        let of_cols = cols.next_multiple_of(self.kernel.vector as u64) * self.p.k;
        let [a, b] = match job {
            Job::Rows => [u64::from(col_blocks > 1), col_blocks],
            Job::Columns => [row_blocks, u64::from(row_blocks > 1)],
            Job::Block => [0, u64::from(row_blocks > 1)],
        };
        let keep = |places: u64, size: u64| {
            let fits = places > 0 && places.saturating_mul(size) <= KEPT;
            fits.then_some(Keep { places: places as usize, size: size as usize })
        };
        [keep(a, of_rows), keep(b, of_cols)]
    }

    /// About how long it takes, in multiplications.
    fn cost(&self, cut: Cut) -> u128 {
        let Self { p, m, n, batch, threads, .. } = *self;
        let jobs = cut.of_one();
        let [keeps_a, keeps_b] = self.keeps(cut).map(|keep| keep.is_some());
        // How often each is packed.
        let visits = |is_kept: bool, blocks: u64, is_shared: bool| match (is_kept, is_shared) {
            (true, true) => 1,
            (true, false) => threads.min(jobs).min(blocks),
            (false, _) => blocks,
        };
        let of_a = visits(keeps_a, cut.col_blocks, cut.job == Job::Rows);
        let of_b = visits(keeps_b, cut.row_blocks, cut.job == Job::Columns);
        let [m, n, k] = [m, n, p.k].map(u128::from);
        let packed = (m * u128::from(of_a) + n * u128::from(of_b)) * k;
        let work = m * n * k + packed * u128::from(PACKING);
        // Jobs beyond the last whole round leave threads idle.
        let all = (batch * jobs).max(1);
        let rounds = all.div_ceil(threads);
        work * u128::from(rounds * threads) / u128::from(all)
    }
}
