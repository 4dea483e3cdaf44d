//! An operand of a product on its way from global to shared memory.
//!
//! A stage holds lines of neighbouring elements, in chunks of 16 bytes. The chunks of a line are
//! permuted by an exclusive or with bits of the line's number, so that the same chunk of eight
//! lines, what `ldmatrix` reads at once, lies in all banks of the memory.

use ptx_builder::{B16, B32, B64, Builder, Cmp, CopyBytes, Logic, Pred, Reg};

use super::shifted;
use crate::ptx::memory::{advance_bytes, small};

/// Elements of a chunk.
pub(in crate::ptx) const CHUNK: u32 = 8;
/// Bytes of a chunk.
pub(in crate::ptx) const CHUNK_BYTES: u32 = 16;

/// The axis along which the elements of a line lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ptx) enum Along {
    K,
    /// Rows of the left operand, columns of the right one.
    Outer,
}

/// How a chunk is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ptx) enum How {
    /// In pieces of so many bytes, behind the back of the threads.
    Async(CopyBytes),
    /// Element by element through registers.
    Elements,
}

/// An operand as blocks read it: what is known of it.
#[derive(Debug, Clone, Copy)]
pub(in crate::ptx) struct Source {
    pub(in crate::ptx) along: Along,
    pub(in crate::ptx) how: How,
    /// Outer indices of a tile.
    pub(in crate::ptx) tile: u32,
    /// Outer indices in all.
    pub(in crate::ptx) size: u64,
    /// Whether tiles reach beyond the outer indices.
    pub(in crate::ptx) is_ragged: bool,
    pub(in crate::ptx) k: u64,
    /// K of a stage.
    pub(in crate::ptx) depth: u32,
    /// Stride of the outer axis and of k, in bytes.
    pub(in crate::ptx) strides: [i64; 2],
}

impl Source {
    /// The layout that the strides (outer and k, in elements) of an operand ask for; stages have
    /// `depth` of k.
    ///
    /// `aligned` is a number of bytes that divides all addresses at which rows may start.
    pub(in crate::ptx) fn new(
        (tile, depth): (u32, u32),
        (size, k): (u64, u64),
        strides: [i64; 2],
        aligned: u64,
    ) -> Self {
        // An axis of one element has neighbours in any case.
        let is_along = |at: usize, n: u64| strides[at] == 1 || n <= 1;
        let along = if is_along(1, k) || !is_along(0, size) { Along::K } else { Along::Outer };
        Self::along(along, (tile, depth), (size, k), strides, aligned)
    }

    /// The same with lines along a given axis.
    pub(in crate::ptx) fn along(
        along: Along,
        (tile, depth): (u32, u32),
        (size, k): (u64, u64),
        strides: [i64; 2],
        aligned: u64,
    ) -> Self {
        let (along_stride, across, n_lines) = match along {
            Along::K => (strides[1], strides[0], size),
            Along::Outer => (strides[0], strides[1], k),
        };
        let n_along = if along == Along::K { k } else { size };
        let line = if n_lines <= 1 { 0 } else { across.unsigned_abs() * 2 };
        let fits = |bytes: u64| aligned.is_multiple_of(bytes) && line.is_multiple_of(bytes);
        let how = if along_stride != 1 && n_along > 1 {
            How::Elements
        } else if fits(16) {
            How::Async(CopyBytes::Sixteen)
        } else if fits(8) {
            How::Async(CopyBytes::Eight)
        } else if fits(4) {
            How::Async(CopyBytes::Four)
        } else {
            How::Elements
        };
        let is_ragged = !size.is_multiple_of(tile.into());
        let strides = strides.map(|s| s * 2);
        Self { along, how, tile, size, is_ragged, k, depth, strides }
    }

    /// Chunks of a line.
    pub(in crate::ptx) fn chunks(self) -> u32 {
        match self.along {
            Along::K => self.depth / CHUNK,
            Along::Outer => self.tile / CHUNK,
        }
    }

    fn lines(self) -> u32 {
        match self.along {
            Along::K => self.tile,
            Along::Outer => self.depth,
        }
    }

    /// Strides of the lines and along them, in bytes.
    fn line_strides(self) -> [i64; 2] {
        let [outer, k] = self.strides;
        match self.along {
            Along::K => [outer, k],
            Along::Outer => [k, outer],
        }
    }

    /// Bytes of a tile in a stage.
    pub(in crate::ptx) fn bytes(self) -> u32 {
        self.tile * self.depth * 2
    }

    /// Where a chunk of a line lies in a stage.
    pub(in crate::ptx) fn place(
        self,
        b: &mut Builder,
        line: Reg<B32>,
        chunk: Reg<B32>,
    ) -> Reg<B32> {
        let chunks = self.chunks();
        // A row of banks holds eight chunks: of one line, or of some short ones.
        let short = (CHUNK / chunks).max(1);
        let number = if short > 1 { b.shr(line, short.ilog2()) } else { line };
        let key: Reg<B32> = b.logic(Logic::And, number, chunks.min(CHUNK) - 1);
        let chunk: Reg<B32> = b.logic(Logic::Xor, chunk, key);
        let inside: Reg<B32> = b.shl(chunk, CHUNK_BYTES.ilog2());
        b.mad(line, small((chunks * CHUNK_BYTES).into()), inside)
    }
}

/// What a thread knows of its chunks of an operand; they lie in one column of chunks.
pub(in crate::ptx) struct Copier {
    source: Source,
    /// Lines from one chunk of the thread to the next.
    stride: u32,
    n: u32,
    /// The place of the first chunk in memory, moving on with the stages.
    from: Reg<B64>,
    /// The place of the first chunk in stage 0.
    to: Reg<B32>,
    /// The k of the first element of the first chunk, where it has an edge.
    k: Option<Reg<B32>>,
    /// Bytes of each chunk that are inside along the outer axis, where it has an edge.
    inside: Vec<Option<Reg<B32>>>,
    /// Whether the thread has chunks, where some have none.
    is_busy: Option<Reg<Pred>>,
}

impl Copier {
    /// Starts at k 0; `base` is the operand in its batch, `first` the first outer index of the tile,
    /// `stages` the start of the operand in stage 0.
    pub(in crate::ptx) fn new(
        b: &mut Builder,
        source: Source,
        threads: u32,
        base: Reg<B64>,
        first: Reg<B32>,
        stages: Reg<B32>,
    ) -> Self {
        let thread = b.special(ptx_builder::Special::TidX);
        let chunks = source.chunks();
        let stride = threads / chunks;
        assert!(stride.is_multiple_of(CHUNK), "chunks of a thread are permuted alike");
        let n = source.lines().div_ceil(stride);
        let is_busy =
            (source.lines() < stride).then(|| b.ucmp(Cmp::Lt, thread, source.lines() * chunks));
        let line: Reg<B32> = b.shr(thread, chunks.ilog2());
        let chunk: Reg<B32> = b.logic(Logic::And, thread, chunks - 1);
        let place = source.place(b, line, chunk);
        let to = b.iadd(stages, place);
        let along: Reg<B32> = b.shl(chunk, CHUNK.ilog2());
        let [line_stride, along_stride] = source.line_strides();
        let from = advance_bytes(b, base, first, source.strides[0]);
        let from = advance_bytes(b, from, line, line_stride);
        let from = advance_bytes(b, from, along, along_stride);
        // It moves on, and the base may have come through unchanged.
        let from = b.mov(from);
        let (outer, k) = match source.along {
            Along::K => (line, along),
            Along::Outer => (along, line),
        };
        let outer = b.iadd(outer, first);
        let inside = (0..n).map(|i| inside(b, source, outer, i * stride)).collect();
        let has_edge = !source.k.is_multiple_of(source.depth.into());
        let k = has_edge.then(|| b.mov(k));
        Self { source, stride, n, from, to, k, inside, is_busy }
    }

    /// Copies the thread's chunks of the next tile to a stage; `stage` is its distance in bytes.
    pub(in crate::ptx) fn copy(&self, b: &mut Builder, stage: Reg<B32>) {
        self.put(b, stage);
        self.step(b);
    }

    /// The same without going on to the next k.
    pub(in crate::ptx) fn put(&self, b: &mut Builder, stage: Reg<B32>) {
        let end = self.is_busy.map(|is_busy| {
            let end = b.label();
            b.bra_if(is_busy, false, end);
            end
        });
        let to = b.iadd(self.to, stage);
        let [line_stride, along_stride] = self.source.line_strides();
        for i in 0..self.n {
            let present = self.present(b, i);
            let from = shifted(b, self.from, i64::from(i * self.stride) * line_stride);
            let distance = i * self.stride * self.source.chunks() * CHUNK_BYTES;
            let to = (to, small(distance.into()));
            match self.source.how {
                How::Async(bytes) => copy_async(b, bytes, to, from, present),
                How::Elements => copy_elements(b, to, from, along_stride, present),
            }
        }
        if let Some(end) = end {
            b.place(end);
        }
    }

    /// On to the next k.
    fn step(&self, b: &mut Builder) {
        b.iadd_to(self.from, self.from, self.source.strides[1] * i64::from(self.source.depth));
        if let Some(k) = self.k {
            b.iadd_to(k, k, small(self.source.depth.into()));
        }
    }

    /// The bytes of chunk `i` that are there; `None` for all.
    fn present(&self, b: &mut Builder, i: u32) -> Option<Reg<B32>> {
        let inside = self.inside[i as usize];
        let Some(k) = self.k else { return inside };
        match self.source.along {
            Along::K => {
                let rest = bytes_before(b, self.source.k, k);
                Some(match inside {
                    Some(inside) => b.imin(rest, inside),
                    None => rest,
                })
            }
            Along::Outer => {
                let line = b.iadd(k, small((i * self.stride).into()));
                let is_there = b.icmp(Cmp::Lt, line, small(self.source.k));
                Some(match inside {
                    Some(inside) => b.select(is_there, inside, 0),
                    None => b.select(is_there, small(CHUNK_BYTES.into()), 0),
                })
            }
        }
    }
}

/// Bytes of a chunk of the thread that are inside along the outer axis.
fn inside(b: &mut Builder, source: Source, outer: Reg<B32>, line: u32) -> Option<Reg<B32>> {
    if !source.is_ragged {
        return None;
    }
    Some(match source.along {
        Along::K => {
            let at = b.iadd(outer, small(line.into()));
            let is_there = b.icmp(Cmp::Lt, at, small(source.size));
            b.select(is_there, small(CHUNK_BYTES.into()), 0)
        }
        Along::Outer => bytes_before(b, source.size, outer),
    })
}

/// Bytes of a chunk that starts at an element of a line of `size`.
fn bytes_before(b: &mut Builder, size: u64, at: Reg<B32>) -> Reg<B32> {
    let rest: Reg<B32> = b.isub(small(size), at);
    let rest: Reg<B32> = b.imin(rest, small(CHUNK.into()));
    let rest: Reg<B32> = b.imax(rest, 0);
    b.shl(rest, 1)
}

fn copy_async(
    b: &mut Builder,
    bytes: CopyBytes,
    to: (Reg<B32>, i32),
    from: (Reg<B64>, i32),
    present: Option<Reg<B32>>,
) {
    let step = i32::from(bytes.count());
    for at in (0..small(CHUNK_BYTES.into())).step_by(bytes.count().into()) {
        let (to, from) = ((to.0, to.1 + at), (from.0, from.1 + at));
        match present {
            None => b.copy_async(bytes, to, from, step),
            Some(present) if bytes == CopyBytes::Sixteen => b.copy_async(bytes, to, from, present),
            Some(present) => {
                let rest = b.iadd(present, -at);
                let rest: Reg<B32> = b.imin(rest, step);
                let rest: Reg<B32> = b.imax(rest, 0);
                b.copy_async(bytes, to, from, rest);
            }
        }
    }
}

/// Elements that are not there become 0.
fn copy_elements(
    b: &mut Builder,
    to: (Reg<B32>, i32),
    from: (Reg<B64>, i32),
    stride: i64,
    present: Option<Reg<B32>>,
) {
    let halves: Vec<Reg<B16>> = (0..CHUNK)
        .map(|i| {
            let (base, offset) = shifted(b, from.0, i64::from(from.1) + i64::from(i) * stride);
            let Some(present) = present else { return b.load(base, offset) };
            let half = b.mov_half(0);
            let is_there = b.icmp(Cmp::Gt, present, small((2 * i).into()));
            b.guarded(is_there, true, |b| b.load_to(half, base, offset));
            half
        })
        .collect();
    let pairs = std::array::from_fn(|i| b.pack(halves[2 * i], halves[2 * i + 1]));
    b.store_shared4(to.0, to.1, pairs);
}
