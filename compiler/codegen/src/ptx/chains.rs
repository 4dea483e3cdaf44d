//! Products of a tile by one block: sequential chains of fma, some to each thread.
//!
//! The threads stand as 16 lines of 16 lanes, lines along the rows of the tile and lanes along its
//! columns. A side of the product comes from global memory through shared memory, 16 steps at a
//! time, or lies in shared memory already. While one stage is summed, the next one is on its way.
//! No step is padded: an fma with 0 turns a sum of -0 into +0.

use ptx_builder::{B32, Builder, Cmp, F32, Logic, Reg, Special, Val};

use super::count_loop;
use super::stage::{Global, Matrix, Stage};

/// Threads of a block.
pub(super) const THREADS: u32 = SIDE * SIDE;
/// Lines, and lanes of a line.
pub(super) const SIDE: u32 = 16;
/// Steps of a stage.
pub(super) const STEPS: u32 = 16;

/// Where a thread stands.
#[derive(Clone, Copy)]
pub(super) struct Thread {
    pub(super) line: Reg<B32>,
    pub(super) lane: Reg<B32>,
}

impl Thread {
    pub(super) fn new(b: &mut Builder) -> Self {
        let thread = b.special(Special::TidX);
        let line = b.shr(thread, SIDE.ilog2());
        Self { line, lane: b.logic(Logic::And, thread, SIDE - 1) }
    }
}

/// The rows or columns of a tile, so many for each line or lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) each: u32,
}

impl Axis {
    /// At least so many.
    pub(super) fn of(size: u64) -> Self {
        let each = size.div_ceil(SIDE.into()).max(1);
        Self { each: u32::try_from(each).expect("tiles are small") }
    }

    /// Rows or columns of the tile.
    pub(super) fn size(self) -> u32 {
        SIDE * self.each
    }

    /// Neighbours that one thread has.
    fn run(self) -> u32 {
        if self.each.is_multiple_of(4) { 4 } else { 1 }
    }

    /// Which one the first thread has as its `i`th.
    fn place(self, i: u32) -> u32 {
        i / self.run() * self.run() * SIDE + i % self.run()
    }

    /// The rows or columns of the thread at a line or lane.
    pub(super) fn indices(self, b: &mut Builder, at: Reg<B32>) -> Vec<Reg<B32>> {
        let first = b.imul(at, self.run());
        (0..self.each).map(|i| b.iadd(first, self.place(i))).collect()
    }
}

/// Where one side of a product is.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Global(Global),
    Shared(Matrix),
}

/// A tile whose sums the threads of a block share.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) thread: Thread,
    pub(super) axes: [Axis; 2],
    pub(super) sides: [Side; 2],
    /// Bytes before the memory of stages.
    pub(super) stages_at: u32,
    /// Whether each stage is known to have all its steps.
    pub(super) is_whole: bool,
}

/// The sums of a thread, row by row.
pub(super) type Sums = Vec<Reg<F32>>;

/// Bytes of the stages of a tile.
pub(super) fn stage_bytes(axes: [Axis; 2]) -> u32 {
    axes.into_iter().map(Stage::bytes).sum()
}

/// Registers of a thread, all of one value.
pub(super) fn filled(b: &mut Builder, axes: [Axis; 2], value: f32) -> Sums {
    (0..axes[0].each * axes[1].each).map(|_| b.mov(value)).collect()
}

impl Tile {
    /// Sets the sums to the chains over the steps from one to before another, which all threads
    /// know alike. What they wrote to shared memory before is there at the first step.
    pub(super) fn chains(
        &self,
        b: &mut Builder,
        from: impl Into<Val<B32>>,
        to: impl Into<Val<B32>>,
        sums: &Sums,
    ) {
        let to = to.into();
        for &sum in sums {
            b.mov_to(sum, 0.0);
        }
        let stages = self.stages(b);
        let starts = self.operands(b, &stages);
        let at = b.mov(from);
        stages.iter().flatten().for_each(|stage| stage.fetch(b, at, to));
        let (head, end) = (b.label(), b.label());
        b.place(head);
        let is_over = b.icmp(Cmp::Ge, at, to);
        b.bra_if(is_over, true, end);
        // No thread reads the stage before.
        b.barrier();
        stages.iter().flatten().for_each(|stage| stage.put(b));
        b.barrier();
        let next = b.iadd(at, STEPS);
        stages.iter().flatten().for_each(|stage| stage.fetch(b, next, to));
        // A stage starts anew; a matrix in shared memory has all steps.
        let operands = std::array::from_fn(|which| match self.sides[which] {
            Side::Global(_) => starts[which],
            Side::Shared(_) => starts[which].moved(b, at),
        });
        if self.is_whole {
            self.all_steps(b, &operands, sums);
        } else {
            let rest = b.isub(to, at);
            self.steps(b, &operands, rest, sums);
        }
        b.mov_to(at, next);
        b.bra(head);
        b.place(end);
    }

    fn stages(&self, b: &mut Builder) -> [Option<Stage>; 2] {
        let mut offset = self.stages_at;
        std::array::from_fn(|which| match self.sides[which] {
            Side::Global(from) => {
                let stage = Stage::new(b, self.thread, self.axes[which], from, offset);
                offset += Stage::bytes(self.axes[which]);
                Some(stage)
            }
            Side::Shared(_) => None,
        })
    }

    /// Both sides in shared memory, from the thread's first row and column.
    fn operands(&self, b: &mut Builder, stages: &[Option<Stage>; 2]) -> [Operand; 2] {
        std::array::from_fn(|which| {
            let axis = self.axes[which];
            let matrix = match (&stages[which], self.sides[which]) {
                (Some(stage), _) => stage.matrix(),
                (None, Side::Shared(matrix)) => matrix,
                (None, Side::Global(_)) => unreachable!("global memory is read in stages"),
            };
            let at = if which == 0 { self.thread.line } else { self.thread.lane };
            let base = b.mad(at, axis.run() * matrix.strides[0] * 4, matrix.base);
            Operand { axis, matrix: Matrix { base, ..matrix } }
        })
    }

    /// As many steps as are left, up to a stage.
    fn steps(&self, b: &mut Builder, operands: &[Operand; 2], rest: Reg<B32>, sums: &Sums) {
        let (part, done) = (b.label(), b.label());
        let is_part = b.icmp(Cmp::Lt, rest, STEPS);
        b.bra_if(is_part, true, part);
        self.all_steps(b, operands, sums);
        b.bra(done);
        b.place(part);
        count_loop(b, 0, rest, 1, |b, step| {
            let moved = operands.each_ref().map(|operand| operand.moved(b, step));
            fmas(b, &moved, 0, sums);
        });
        b.place(done);
    }

    fn all_steps(&self, b: &mut Builder, operands: &[Operand; 2], sums: &Sums) {
        for step in 0..STEPS {
            fmas(b, operands, step, sums);
        }
    }
}

/// A side in shared memory, from the first element of the thread.
#[derive(Clone, Copy)]
struct Operand {
    axis: Axis,
    matrix: Matrix,
}

impl Operand {
    /// The same, a number of steps further on.
    fn moved(self, b: &mut Builder, steps: Reg<B32>) -> Self {
        let base = b.mad(steps, self.matrix.strides[1] * 4, self.matrix.base);
        Self { axis: self.axis, matrix: Matrix { base, ..self.matrix } }
    }

    /// The elements of the thread at a step.
    fn elements(&self, b: &mut Builder, step: u32) -> Vec<Reg<F32>> {
        let Matrix { base, strides: [outer, along] } = self.matrix;
        let offset = |i| {
            let elements = self.axis.place(i) * outer + step * along;
            i32::try_from(elements * 4).expect("shared memory is small")
        };
        if self.axis.run() == 4 && outer == 1 && along.is_multiple_of(4) {
            let runs = (0..self.axis.each).step_by(4);
            return runs.flat_map(|i| b.load_shared4::<F32>(base, offset(i))).collect();
        }
        (0..self.axis.each).map(|i| b.load_shared(base, offset(i))).collect()
    }
}

/// One step of all chains of the thread.
fn fmas(b: &mut Builder, operands: &[Operand; 2], step: u32, sums: &Sums) {
    let [rows, cols] = operands.each_ref().map(|operand| operand.elements(b, step));
    for (i, &x) in rows.iter().enumerate() {
        for (j, &y) in cols.iter().enumerate() {
            let sum = sums[i * cols.len() + j];
            b.fma_to(sum, x, y, sum);
        }
    }
}
