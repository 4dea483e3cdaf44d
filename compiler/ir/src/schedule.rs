//! A schedule: every function as a list of tasks over buffers.

pub mod attention;

use crate::graph::Role;
use crate::kernel::Kernel;
use crate::types::Dtype;

use attention::Attention;

/// A machine as the scheduler sees it: data, no code.
#[derive(Debug, Clone, PartialEq)]
pub struct Target {
    /// `cpu`.
    pub name: String,
    /// Rows a block of a column reduction.
    pub column_block: u64,
    /// Nodes of a kernel at most, so that it stays small enough to compile fast.
    pub kernel_nodes: usize,
    /// K elements a slice of an fp32 product.
    pub product_k_slice: u64,
    /// Columns of a block that an epilogue takes: all of them or a multiple of the first number,
    /// and no more than the second.
    pub epilogue_cols: [u64; 2],
    /// Rows and keys of a tile of scores.
    pub score_tile: [u64; 2],
    /// Where rows of temporaries are to start.
    pub pitch: Pitch,
    /// When large temporaries are computed in chunks of rows.
    pub tiling: Tiling,
}

/// Where the rows (of the last axis) of temporaries start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pitch {
    /// At multiples of so many bytes, if need be behind some that nothing uses.
    pub bytes: u64,
    /// Bytes up to which rows lie as close as they are.
    pub above: u64,
}

impl Default for Pitch {
    fn default() -> Self {
        Self { bytes: 1, above: 0 }
    }
}

/// Sizes that decide about [`Task::Tiles`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tiling {
    /// Rows of a chunk; a multiple of the slices of a product keeps every bit.
    pub rows: u64,
    /// Bytes of a chunk of one temporary, at most; fewer rows where they are that long.
    pub bytes: u64,
    /// Bytes up to which a temporary stays whole.
    pub above: u64,
}

impl Default for Tiling {
    fn default() -> Self {
        Self { rows: 512, bytes: 32 << 20, above: 4 << 20 }
    }
}

/// A buffer of a [`Schedule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

/// Memory that tasks read and write.
#[derive(Debug, Clone, PartialEq)]
pub struct Buffer {
    /// The state's name, or the function and value it holds: `micro.v12`.
    pub name: String,
    /// Its elements.
    pub dtype: Dtype,
    /// Its shape, for people and for checkpoints; rows of temporaries may be longer than their
    /// values.
    pub shape: Vec<u64>,
    /// What it is for; `None` for a temporary of one function.
    pub role: Option<Role>,
    /// The place in another buffer where it lies. Tasks name that place, never a piece.
    pub within: Option<Arg>,
}

impl Buffer {
    /// Its size.
    pub fn bytes(&self) -> u64 {
        self.shape.iter().product::<u64>() * self.dtype.bytes()
    }
}

/// A buffer and a constant offset into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Arg {
    /// Which buffer.
    pub buffer: BufferId,
    /// In elements of the buffer.
    pub offset: u64,
}

/// One axis of a product that is neither contracted nor a row or column of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchAxis {
    /// Its size.
    pub size: u64,
    /// Strides of the left operand, the right operand and the result.
    pub strides: [i64; 3],
}

/// When a product adds to what its result holds instead of starting anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Adds {
    /// What the result holds is overwritten.
    #[default]
    Never,
    /// In each iteration of [`Task::Tiles`] but the first one.
    AfterFirst,
    /// Always.
    Always,
}

/// `c[m,n] = sum over k of a[m,k] * b[k,n]`, fp32, for each index of the batch axes.
///
/// Order of the sum: K slices ascending, each a chain of fma. The operands have one type, f32 or a
/// narrow one; the result is f32, or narrow and rounded once at the end. A product that adds goes
/// on from the f32 that the result holds, as from the sum of the slices before. An epilogue may
/// follow one that never adds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Product {
    /// The left operand.
    pub a: Arg,
    /// The right operand.
    pub b: Arg,
    /// The result; `None` where only the epilogue reads it, so that memory never holds it.
    pub c: Option<Arg>,
    /// Axes in front, slowest first.
    pub batch: Vec<BatchAxis>,
    /// Rows of the result.
    pub m: u64,
    /// Columns of the result.
    pub n: u64,
    /// Contracted.
    pub k: u64,
    /// Row and column stride of the left operand.
    pub a_strides: [i64; 2],
    /// Row (k) and column (n) stride of the right operand.
    pub b_strides: [i64; 2],
    /// Row and column stride of the result.
    pub c_strides: [i64; 2],
    /// Whether it goes on from what the result holds.
    pub adds: Adds,
    /// What runs on each block of the result while it is in cache.
    pub epilogue: Option<Epilogue>,
}

impl Product {
    /// Multiplications and additions.
    pub fn flops(&self) -> u64 {
        2 * self.m * self.n * self.k * self.batch.iter().map(|axis| axis.size).product::<u64>()
    }

    /// Every place that it reads or writes.
    pub fn args(&self) -> Vec<Arg> {
        let epilogue = self.epilogue.iter().flat_map(|e| &e.args);
        let behind = epilogue.filter_map(|arg| match arg {
            EpilogueArg::Memory(arg) => Some(*arg),
            EpilogueArg::Sums => None,
        });
        [self.a, self.b].into_iter().chain(self.c).chain(behind).collect()
    }

    /// The same, to be changed.
    pub fn args_mut(&mut self) -> impl Iterator<Item = &mut Arg> {
        let epilogue = self.epilogue.iter_mut().flat_map(|e| &mut e.args);
        let behind = epilogue.filter_map(|arg| match arg {
            EpilogueArg::Memory(arg) => Some(arg),
            EpilogueArg::Sums => None,
        });
        [&mut self.a, &mut self.b].into_iter().chain(&mut self.c).chain(behind)
    }
}

/// A kernel over the finished sums of a product, block by block.
///
/// The kernel is `Rows` over the batch axes, then the blocks of `cols` columns, then the rows, so
/// that the rows of a block are neighbouring units. No fusion drops a rounding or reorders a sum:
/// it has the bits of the same kernel run behind the product.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Epilogue {
    /// Index into [`Schedule::kernels`].
    pub kernel: usize,
    /// One for each operand of the kernel.
    pub args: Vec<EpilogueArg>,
    /// Columns of a block, those of the kernel; they divide the product's.
    pub cols: u64,
}

/// An operand of an [`Epilogue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EpilogueArg {
    /// A place in memory.
    Memory(Arg),
    /// The sums of the block, f32, rows of `cols` side by side; row 0 is that of the product.
    Sums,
}

/// How a device with a grid of blocks of threads runs a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Index into the code that a back end made of the schedule.
    pub code: usize,
    /// One for each parameter of the entry.
    pub args: Vec<LaunchArg>,
    /// Blocks of the grid; none for work that is empty.
    pub blocks: u64,
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of memory that the threads of a block share.
    pub shared_bytes: u64,
}

/// A parameter of a [`Launch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaunchArg {
    /// The address of a place in memory.
    Memory(Arg),
    /// The iteration of the [`Task::Tiles`] around it, from 0; 0 outside of one.
    Iteration,
}

/// One thing to run.
#[derive(Debug, Clone, PartialEq)]
pub enum Task {
    /// A kernel over all its extent.
    Kernel {
        /// Index into [`Schedule::kernels`].
        kernel: usize,
        /// One for each operand.
        args: Vec<Arg>,
        /// Where it came from in the spec; may be empty.
        origin: String,
    },
    /// A matrix product.
    Product {
        /// What and where.
        product: Product,
        /// Where it came from in the spec; may be empty.
        origin: String,
    },
    /// Attention, forward or backward.
    Attention {
        /// What and where.
        attention: Box<Attention>,
        /// Where it came from in the spec; may be empty.
        origin: String,
    },
    /// A stable counting sort of i32 ids below `rows`; others (such as -1) are left out.
    ///
    /// `order` gets the positions of ids sorted by id then position; `starts[v]..starts[v + 1]`
    /// are those of id `v`.
    Sort {
        /// The ids.
        ids: Arg,
        /// How many.
        n: u64,
        /// One more than the largest id.
        rows: u64,
        /// n i32.
        order: Arg,
        /// rows + 1 i32.
        starts: Arg,
    },
    /// Kernels and products, run again and again on the next rows of some buffers.
    Tiles {
        /// How often; at least once.
        count: u64,
        /// What runs: kernels and products.
        body: Vec<Task>,
        /// Buffers, ascending, and how many elements each argument in them moves on with every
        /// iteration. Arguments in other buffers stay.
        advance: Vec<(BufferId, u64)>,
    },
}

impl Task {
    /// Everything that it reads or writes; for tiles, in the first iteration.
    pub fn args(&self) -> Vec<Arg> {
        match self {
            Self::Kernel { args, .. } => args.clone(),
            Self::Product { product, .. } => product.args(),
            Self::Attention { attention, .. } => attention.args(),
            Self::Sort { ids, order, starts, .. } => vec![*ids, *order, *starts],
            Self::Tiles { body, .. } => body.iter().flat_map(Self::args).collect(),
        }
    }

    /// Every place that it names, to be changed.
    pub fn args_mut(&mut self) -> Vec<&mut Arg> {
        match self {
            Self::Kernel { args, .. } => args.iter_mut().collect(),
            Self::Product { product, .. } => product.args_mut().collect(),
            Self::Attention { attention, .. } => attention.args_mut(),
            Self::Sort { ids, order, starts, .. } => vec![ids, order, starts],
            Self::Tiles { body, .. } => body.iter_mut().flat_map(Self::args_mut).collect(),
        }
    }

    /// A task of the body of tiles as it runs in an iteration.
    pub fn in_iteration(&self, advance: &[(BufferId, u64)], iteration: u64) -> Self {
        let moved = |arg: Arg| {
            let found = advance.iter().find(|(buffer, _)| *buffer == arg.buffer);
            Arg { offset: arg.offset + found.map_or(0, |(_, by)| by * iteration), ..arg }
        };
        match self {
            Self::Kernel { kernel, args, origin } => {
                let args = args.iter().map(|&arg| moved(arg)).collect();
                Self::Kernel { kernel: *kernel, args, origin: origin.clone() }
            }
            Self::Product { product: p, origin } => {
                let adds = match p.adds {
                    Adds::AfterFirst if iteration > 0 => Adds::Always,
                    Adds::AfterFirst | Adds::Never => Adds::Never,
                    Adds::Always => Adds::Always,
                };
                let mut product = Product { adds, ..p.clone() };
                product.args_mut().for_each(|arg| *arg = moved(*arg));
                Self::Product { product, origin: origin.clone() }
            }
            Self::Attention { .. } | Self::Sort { .. } | Self::Tiles { .. } => {
                unreachable!("the body of tiles has kernels and products only")
            }
        }
    }
}

/// A function as tasks in order.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// As in the graph.
    pub name: String,
    /// In order; each sees what the earlier ones wrote.
    pub tasks: Vec<Task>,
}

/// All functions, kernels and buffers.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Schedule {
    /// State first, then temporaries.
    pub buffers: Vec<Buffer>,
    /// Each different kernel once.
    pub kernels: Vec<Kernel>,
    /// The functions.
    pub functions: Vec<Function>,
}
