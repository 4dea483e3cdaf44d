//! The contract between compiler and runtime: buffers, code, lists of steps.
//!
//! A plan is data. It prints as text that parses back equal, has a content hash and carries its
//! format version. It knows no tensor op, no span and no `.lt`; names and origins are text.

mod attention;
mod data;
mod run;
mod text;

pub use attention::{Attention, Band, Pass, Scratch, Strided, TileArg, TileKernel};
pub use data::{
    Clean, Column, Columns, Data, Fields, Filter, Format, Limit, LossOn, Normalize, Pack, Shuffle,
    Source, Split, Task, Tokenizer,
};
pub use run::{Checkpoint, EarlyStop, Eval, OnNan, RECENT, Run, Sample, Start};
pub use text::ParseError;

/// Format of plans; a runtime refuses others.
pub const FORMAT: u32 = 3;

/// A buffer of a [`Plan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

/// A function of a [`Plan`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FunctionId(pub u32);

/// The stored type of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dtype {
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// 32-bit integer.
    I32,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Dtype; 5] = [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::Bf16, Dtype::I32];

    /// Bytes of one element.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F64 => 8,
            Self::F32 | Self::I32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }
}

/// What a buffer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A weight; saved in `model.safetensors`.
    Param,
    /// A copy of a weight in another type; `refresh` makes it, and it is not saved.
    Cast,
    /// Accumulated gradients.
    Grad,
    /// State of the update rule; saved in `optimizer.safetensors`.
    OptState,
    /// A scalar that counts or controls; saved in `optimizer.safetensors`.
    Counter,
    /// A scalar the host reads after a step.
    Metric,
    /// Written by the host before a call.
    Input,
    /// Read by the host after a call.
    Output,
    /// Keys or values of a text that is being written; not saved.
    Cache,
    /// Holds others, which lie within it; what it is for they say.
    Flat,
    /// Lives within one function.
    Temp,
}

/// A piece of the arena.
#[derive(Debug, Clone, PartialEq)]
pub struct Buffer {
    /// A parameter's path, a counter's name, or `micro.v12`.
    pub name: String,
    /// Its elements.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: Vec<u64>,
    /// What it is for.
    pub role: Role,
    /// First byte in the arena; a multiple of [`ALIGN`].
    pub offset: u64,
    /// Its size in bytes.
    pub bytes: u64,
    /// The [`Role::Flat`] buffer whose memory it shares. Steps name that one.
    pub within: Option<BufferId>,
}

/// Alignment of every buffer, in bytes: a cache line, and a vector of AVX-512.
pub const ALIGN: u64 = 64;

/// A place in a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Arg {
    /// Which buffer.
    pub buffer: BufferId,
    /// Bytes from its start.
    pub offset: u64,
}

/// One compiled function body, as text of its back end's language.
///
/// PTX: a module with one entry of that name; [`Launch`] says how it is run.
/// CLIF: `fn(args: *const *mut u8, begin: u64, end: u64)` over a range of the extent, which begins
/// and ends at a multiple of the step's grain or at the end of the extent.
#[derive(Debug, Clone, PartialEq)]
pub struct Code {
    /// Unique, from the content: `k3_sub_exp_sum`.
    pub name: String,
    /// The text.
    pub text: String,
}

/// One axis of a product that is neither contracted nor a row or column of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BatchAxis {
    /// Its size.
    pub size: u64,
    /// Strides in elements of the left operand, the right operand and the result.
    pub strides: [i64; 3],
}

/// When a product adds to what its result holds instead of starting anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Adds {
    /// What the result holds is overwritten.
    #[default]
    Never,
    /// In each iteration of [`Step::Tiles`] but the first one.
    AfterFirst,
    /// Always.
    Always,
}

/// `c[m,n] = sum over k of a[m,k] * b[k,n]` in fp32 for each index of the batch axes.
///
/// The sum runs over K slices of `k_slice`, ascending; within a slice it is a sequential FMA. The
/// buffers say the types: both operands f32, or both one of 16 bits; the result f32, or of 16 bits
/// and rounded once after the last slice. A product that adds has an f32 result and goes on from
/// it, as from the sum of the slices before. An epilogue may follow one that never adds.
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
    /// Contracted size.
    pub k: u64,
    /// Row and column stride of the left operand, in elements.
    pub a_strides: [i64; 2],
    /// Row (k) and column (n) stride of the right operand.
    pub b_strides: [i64; 2],
    /// Row and column stride of the result.
    pub c_strides: [i64; 2],
    /// K elements a slice.
    pub k_slice: u64,
    /// Whether it goes on from what the result holds.
    pub adds: Adds,
    /// What runs on each block of the result while it is in cache.
    pub epilogue: Option<Epilogue>,
}

impl Product {
    /// Every place that it reads or writes.
    pub fn args(&self) -> impl Iterator<Item = Arg> + '_ {
        let epilogue = self.epilogue.iter().flat_map(|e| &e.args);
        let behind = epilogue.filter_map(|arg| match arg {
            EpilogueArg::Memory(arg) => Some(*arg),
            EpilogueArg::Sums => None,
        });
        [self.a, self.b].into_iter().chain(self.c).chain(behind)
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

/// Code over the finished sums of a product, block by block.
///
/// Its extent runs over the batch axes, then the blocks of `cols` columns, then the rows, so that
/// the rows of a block are neighbouring units. Any range of them may be run at once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Epilogue {
    /// Index into [`Plan::code`].
    pub code: u32,
    /// One for each operand.
    pub args: Vec<EpilogueArg>,
    /// Columns of a block; they divide the product's.
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

impl Product {
    /// Multiplications and additions.
    pub fn flops(&self) -> u64 {
        2 * self.m * self.n * self.k * self.batch.iter().map(|axis| axis.size).product::<u64>()
    }
}

/// Work of a device that runs grids of blocks of threads.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Launch {
    /// Index into [`Plan::code`].
    pub code: u32,
    /// One for each parameter of the entry.
    pub args: Vec<LaunchArg>,
    /// Blocks of the grid; none for work that is empty.
    pub blocks: u64,
    /// Threads of a block.
    pub threads: u32,
    /// Bytes of memory that the threads of a block share.
    pub shared_bytes: u64,
    /// Multiplications and additions of its products.
    pub flops: u64,
}

/// A parameter of a [`Launch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LaunchArg {
    /// The address of a place in memory.
    Memory(Arg),
    /// The iteration of the [`Step::Tiles`] around it, from 0; 0 outside of one.
    Iteration,
}

impl Launch {
    /// The places that it names.
    pub fn places(&self) -> impl Iterator<Item = Arg> {
        self.args.iter().filter_map(|arg| match arg {
            LaunchArg::Memory(arg) => Some(*arg),
            LaunchArg::Iteration => None,
        })
    }
}

/// What the host does when a function yields to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Yield {
    /// Write the next micro-batch to the inputs.
    Batch,
    /// Read the metrics of the step.
    Metrics,
}

/// One step of a function.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a plan has a few hundred steps")]
pub enum Step {
    /// Runs a kernel over `0..extent`, split in pieces of a multiple of `grain`.
    Kernel {
        /// Index into [`Plan::code`].
        code: u32,
        /// One for each operand.
        args: Vec<Arg>,
        /// Units of work.
        extent: u64,
        /// Smallest piece worth handing to a thread.
        grain: u64,
        /// The place of the spec it came from.
        origin: String,
    },
    /// A matrix product.
    Product {
        /// What and where.
        product: Product,
        /// The place of the spec it came from.
        origin: String,
    },
    /// Attention, forward or backward.
    Attention {
        /// What and where.
        attention: Attention,
        /// The place of the spec it came from.
        origin: String,
    },
    /// Work of a device with a grid of blocks, in the place of any of the steps above and of sorts.
    Launch {
        /// What and where.
        launch: Launch,
        /// The place of the spec it came from.
        origin: String,
    },
    /// A stable counting sort of the i32 ids below `rows`; others are left out.
    ///
    /// `order` gets positions by id then position; `starts[v]..starts[v + 1]` are those of `v`.
    Sort {
        /// n i32.
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
    /// Runs the body a number of times that the executor holds in a run-time scalar.
    Loop {
        /// Which scalar.
        count: Count,
        /// What is repeated.
        body: Vec<Step>,
    },
    /// Kernels and products, run again and again on the next rows of some buffers.
    Tiles {
        /// How often; at least once.
        count: u64,
        /// What runs: kernels and products, or launches in their place.
        body: Vec<Step>,
        /// Buffers, ascending, and how many bytes each place in them moves on with every
        /// iteration. Places in other buffers stay.
        advance: Vec<(BufferId, u64)>,
    },
    /// Runs another function.
    Call(FunctionId),
    /// Gives the host a turn.
    Yield(Yield),
}

/// A run-time scalar that counts a loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Count {
    /// Micro-batches of an optimizer step, [`Run::accumulate`].
    Accumulate,
}

/// Steps under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// `init`, `micro`, `update`, `eval`, `prefill`, and `step` that calls them.
    pub name: String,
    /// In order.
    pub steps: Vec<Step>,
}

/// Everything the runtime needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The spec's name.
    pub name: String,
    /// The compiler that made it, `llmc 0.1.0`.
    pub compiler: String,
    /// The machine it is for: `cpu`, `sm_90`.
    pub target: String,
    /// What the arena holds; state first.
    pub buffers: Vec<Buffer>,
    /// Size of the arena.
    pub arena_bytes: u64,
    /// Each different kernel once.
    pub code: Vec<Code>,
    /// The functions.
    pub functions: Vec<Function>,
    /// What the training loop does.
    pub run: Run,
}

impl Step {
    /// The steps that it repeats; none for most.
    pub fn body(&self) -> &[Step] {
        match self {
            Self::Loop { body, .. } | Self::Tiles { body, .. } => body,
            Self::Kernel { .. } | Self::Product { .. } | Self::Attention { .. } => &[],
            Self::Launch { .. } | Self::Sort { .. } | Self::Call(_) | Self::Yield(_) => &[],
        }
    }

    /// Visits it and, behind it, the steps that it repeats.
    fn visit<'s>(&'s self, see: &mut dyn FnMut(&'s Step)) {
        see(self);
        self.body().iter().for_each(|step| step.visit(see));
    }
}

impl Plan {
    /// Visits the steps of every function, and those inside of others.
    pub fn each_step<'p>(&'p self, mut see: impl FnMut(&'p Step)) {
        let steps = self.functions.iter().flat_map(|f| &f.steps);
        steps.for_each(|step| step.visit(&mut see));
    }

    /// Whether its work is launches on a device with grids of blocks: every target but `cpu`.
    pub fn is_for_grids(&self) -> bool {
        self.target != "cpu"
    }

    /// The buffer called `name`.
    pub fn buffer(&self, name: &str) -> Option<BufferId> {
        let index = self.buffers.iter().position(|b| b.name == name)?;
        Some(BufferId(u32::try_from(index).expect("fewer than 2^32 buffers")))
    }

    /// The function called `name`.
    pub fn function(&self, name: &str) -> Option<FunctionId> {
        let index = self.functions.iter().position(|f| f.name == name)?;
        Some(FunctionId(u32::try_from(index).expect("fewer than 2^32 functions")))
    }
}

impl std::ops::Index<BufferId> for Plan {
    type Output = Buffer;
    fn index(&self, id: BufferId) -> &Buffer {
        &self.buffers[id.0 as usize]
    }
}

impl std::ops::Index<FunctionId> for Plan {
    type Output = Function;
    fn index(&self, id: FunctionId) -> &Function {
        &self.functions[id.0 as usize]
    }
}
