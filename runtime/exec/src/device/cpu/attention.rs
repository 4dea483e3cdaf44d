//! Attention: scores a tile at a time, between products and compiled kernels.
//!
//! The order of additions is that of [`plan::Attention`]; how units are cut and which thread takes
//! one has no part in it. What a thread needs is allocated once and kept.

mod band;
mod matrix;
mod scratch;

use std::cell::RefCell;

use plan::{Attention, Pass, Scratch, Strided};

use super::jit::Entry;
use super::memory::Memory;
use super::pool::Pool;
use super::product::tile::Onto;
use super::product::{Machine, Matrix};
use band::key_tiles;
use matrix::{Rows, Tensor, multiply};
use scratch::{Compiled, Room, Tile};

pub(super) use scratch::Place;

/// Units wanted for each thread, so that a slow one does not hold up the rest.
const UNITS: u64 = 4;

thread_local! {
    static ROOM: RefCell<Room> = const { RefCell::new(Room::new()) };
}

/// Runs a step of a verified plan on a machine. `entry` finds compiled code, `places` is memory
/// that is kept from step to step.
pub(super) fn run(
    a: &Attention,
    machine: Machine,
    entry: impl Fn(u32) -> Entry,
    memory: &mut Memory,
    pool: &mut Pool,
    places: &mut Vec<Place>,
) {
    places.clear();
    places.extend(a.pass.kernels().flat_map(|k| &k.args).map(|arg| Place::new(arg, memory)));
    // SAFETY: the verifier knows that the offset, if any, is an i32 inside its buffer.
    let offset = a.band.offset.map_or(0, |arg| unsafe { *memory.pointer(arg).cast::<i32>() });
    let mut tensor = |x: Strided| Tensor {
        base: memory.pointer(x.arg),
        dtype: memory.dtype(x.arg.buffer),
        strides: x.strides.map(|stride| stride as isize),
    };
    let (q, k, v) = (tensor(a.q), tensor(a.k), tensor(a.v));
    let step = Step { a, machine, offset, q, k, v };
    match &a.pass {
        Pass::Forward { score, finish } => {
            let (of_score, of_finish) = places.split_at(score.args.len());
            let score = Compiled { entry: entry(score.code), places: of_score };
            let finish = Compiled { entry: entry(finish.code), places: of_finish };
            Forward { step, score, finish }.run(pool);
        }
        Pass::Backward { dout, dq, dk, dv, weights } => {
            let [dout, dq, dk, dv] = [dout, dq, dk, dv].map(|x| tensor(*x));
            let weights = Compiled { entry: entry(weights.code), places };
            Backward { step, dout, dq, dk, dv, weights }.run(pool);
        }
    }
}

/// Makes room on each thread for all that these steps keep aside.
pub(super) fn reserve(steps: &[&Attention], pool: &mut Pool) {
    let vector = Machine::new().kernel.vector;
    pool.on_each_thread(&|| {
        ROOM.with_borrow_mut(|room| steps.iter().for_each(|a| room.reserve(a, vector)));
    });
}

/// What both passes know.
#[derive(Clone, Copy)]
struct Step<'p> {
    a: &'p Attention,
    machine: Machine,
    offset: i32,
    q: Tensor,
    k: Tensor,
    v: Tensor,
}

impl Step<'_> {
    fn row_tiles(&self) -> u64 {
        self.a.rows.div_ceil(self.a.row_tile)
    }

    /// Rows of the tile that starts at one.
    fn height(&self, row: u64) -> u64 {
        self.a.row_tile.min(self.a.rows - row)
    }

    /// Keys of the tile that starts at one.
    fn n_keys(&self, key: u64) -> u64 {
        self.a.key_tile.min(self.a.keys - key)
    }

    /// Columns of a tile of keys, in whole vectors.
    fn whole_tile(&self) -> usize {
        (self.a.key_tile as usize).next_multiple_of(self.machine.kernel.vector)
    }

    /// `left` by the transpose of a tile's keys or values, 0 beyond the last key.
    ///
    /// # Safety
    /// The operands have `height` rows, and `columns` whole vectors of the tile's keys.
    unsafe fn scores(
        &self,
        [height, n_keys, width]: [u64; 3],
        left: Rows,
        columns: *const f32,
        to: *mut f32,
    ) {
        let columns = Rows { base: columns, row: self.whole_tile() as isize, next: 1 };
        let tile = self.a.key_tile;
        let size = [height, n_keys, width].map(|x| x as usize);
        // SAFETY: the caller's promise, and scratch has whole tiles.
        unsafe {
            let result = Matrix { base: to, row: tile as isize, col: 1 };
            multiply(self.machine.kernel, size, left, columns, result, Onto::Nothing);
            for row in 0..height {
                let rest = to.add((row * tile + n_keys) as usize);
                rest.write_bytes(0, (tile - n_keys) as usize);
            }
        }
    }
}

/// Scores or their gradients as an operand.
fn of_tile(a: &Attention, from: *mut f32) -> Rows {
    Rows { base: from, row: a.key_tile as isize, next: 1 }
}

/// From queries, keys and values to the result.
struct Forward<'p> {
    step: Step<'p>,
    score: Compiled<'p>,
    finish: Compiled<'p>,
}

impl Forward<'_> {
    /// A unit is a share of the row tiles of all heads of a group, which read the same keys.
    fn run(&self, pool: &mut Pool) {
        let a = self.step.a;
        let pairs = a.batch * a.groups;
        let tiles = a.heads / a.groups * self.step.row_tiles();
        let wanted = (pool.threads() as u64 * UNITS).div_ceil(pairs.max(1));
        let share = tiles.div_ceil(wanted).max(1);
        let shares = tiles.div_ceil(share);
        pool.run(pairs * shares, 1, &|units| {
            ROOM.with_borrow_mut(|room| {
                for unit in units {
                    let (pair, share_idx) = (unit / shares, unit % shares);
                    let first = share_idx * share;
                    let tiles = first..tiles.min(first + share);
                    // SAFETY: the plan was verified, and units write different rows.
                    unsafe { self.unit(room, [pair / a.groups, pair % a.groups], tiles) }
                }
            });
        });
    }

    /// # Safety
    /// The plan was verified, and no other thread computes these tiles.
    unsafe fn unit(&self, room: &mut Room, [batch, group]: [u64; 2], tiles: std::ops::Range<u64>) {
        let Step { a, machine, offset, q, k, v } = self.step;
        let of_head = self.step.row_tiles();
        let first_row = |tile: u64| tile % of_head * a.row_tile;
        let seen = |tile: u64| key_tiles(a, offset, first_row(tile));
        let needed = tiles.clone().map(seen).filter(|seen| !seen.is_empty());
        let needed = needed.reduce(|x, y| x.start.min(y.start)..x.end.max(y.end)).unwrap_or(0..0);
        let start = needed.start * a.key_tile;
        let n_keys = (needed.end * a.key_tile).min(a.keys) - start.min(a.keys);
        let (width, e) = (a.width as usize, a.value_width as usize);
        let (whole, tile) = (self.step.whole_tile(), room.tile(a));
        let (mut q_copy, mut v_copy) = (std::mem::take(&mut room.q), std::mem::take(&mut room.v));
        let mut columns = std::mem::take(&mut room.k_columns);
        let by_tile = width * whole;
        // SAFETY: all indices are inside the sizes, whose elements the verifier knows.
        unsafe {
            let n_tiles = (needed.end - needed.start) as usize;
            let k_columns = super::product::room(&mut columns, n_tiles * by_tile);
            for (i, j) in needed.clone().enumerate() {
                let key = j * a.key_tile;
                let size = [width, self.step.n_keys(key) as usize];
                let from = k.rows([batch, group, key]).transposed();
                from.pack(machine, size, whole, k_columns.add(i * by_tile));
            }
            let values = v.rows([batch, group, start]);
            let values = values.ready(machine, [n_keys as usize, e], &mut v_copy);
            for at in tiles {
                let (head, row) = (group * (a.heads / a.groups) + at / of_head, first_row(at));
                let height = self.step.height(row);
                let rows = q.rows([batch, head, row]);
                let rows = rows.ready(machine, [height as usize, width], &mut q_copy);
                self.start(tile, height);
                for j in seen(at) {
                    let idx = j - needed.start;
                    let values = Rows {
                        base: values.base.offset((idx * a.key_tile) as isize * values.row),
                        ..values
                    };
                    let columns = k_columns.add(idx as usize * by_tile);
                    let origin = [batch, head, row, j * a.key_tile];
                    self.tile(room, tile, origin, rows, columns, values);
                }
                room.run(&self.finish, tile, [batch, head, row, 0], height);
            }
        }
        (room.q, room.v, room.k_columns) = (q_copy, v_copy, columns);
    }

    /// # Safety
    /// `tile` has the sizes of the step.
    unsafe fn start(&self, tile: Tile, height: u64) {
        let acc = (height * self.step.a.value_width) as usize;
        // SAFETY: the caller's promise.
        unsafe {
            let top = tile.of(Scratch::Top);
            std::slice::from_raw_parts_mut(top, height as usize).fill(f32::NEG_INFINITY);
            tile.of(Scratch::Sum).write_bytes(0, height as usize);
            tile.of(Scratch::Acc).write_bytes(0, acc);
        }
    }

    /// Takes the keys of a tile into the sums of its rows.
    ///
    /// # Safety
    /// The rows, columns and values are those of the origin.
    unsafe fn tile(
        &self,
        room: &mut Room,
        tile: Tile,
        origin: [u64; 4],
        rows: Rows,
        columns: *const f32,
        values: Rows,
    ) {
        let Step { a, machine, .. } = self.step;
        let [_, _, row, key] = origin;
        let (height, n_keys) = (self.step.height(row), self.step.n_keys(key));
        let scores = tile.of(Scratch::Scores);
        // SAFETY: the caller's promise.
        unsafe {
            self.step.scores([height, n_keys, a.width], rows, columns, scores);
            room.run(&self.score, tile, origin, height);
            let acc = Matrix { base: tile.of(Scratch::Acc), row: a.value_width as isize, col: 1 };
            scale(acc, a.value_width as usize, tile.of(Scratch::Factor), height as usize);
            let size = [height, a.value_width, n_keys].map(|x| x as usize);
            multiply(machine.kernel, size, of_tile(a, scores), values, acc, Onto::Sum);
        }
    }
}

/// Multiplies each row by its factor.
///
/// # Safety
/// There are as many rows of `width`, and as many factors.
unsafe fn scale(to: Matrix<*mut f32>, width: usize, factors: *const f32, rows: usize) {
    for row in 0..rows {
        // SAFETY: the caller's promise.
        unsafe {
            let factor = *factors.add(row);
            // The usual case once the largest score was met; it changes nothing.
            if factor != 1.0 {
                let from = to.base.offset(row as isize * to.row);
                std::slice::from_raw_parts_mut(from, width).iter_mut().for_each(|x| *x *= factor);
            }
        }
    }
}

/// From the gradient of the result to those of queries, keys and values.
struct Backward<'p> {
    step: Step<'p>,
    dout: Tensor,
    dq: Tensor,
    dk: Tensor,
    dv: Tensor,
    weights: Compiled<'p>,
}

/// A tile of keys and values as products read them.
#[derive(Clone, Copy)]
struct Keys {
    /// Its first key.
    first: u64,
    k: Rows,
    k_columns: *const f32,
    v_columns: *const f32,
}

impl Backward<'_> {
    /// A unit is a group: its heads add to the gradients of the same keys.
    fn run(&self, pool: &mut Pool) {
        let a = self.step.a;
        pool.run(a.batch * a.groups, 1, &|units| {
            ROOM.with_borrow_mut(|room| {
                for unit in units {
                    // SAFETY: the plan was verified, and units write different rows.
                    unsafe { self.unit(room, [unit / a.groups, unit % a.groups]) }
                }
            });
        });
    }

    /// # Safety
    /// The plan was verified, and no other thread computes this group.
    unsafe fn unit(&self, room: &mut Room, [batch, group]: [u64; 2]) {
        let Step { a, machine, k, v, .. } = self.step;
        let (width, e, whole) = (a.width as usize, a.value_width as usize, self.step.whole_tile());
        let of_group = a.heads / a.groups;
        let heads = group * of_group..(group + 1) * of_group;
        let tile = room.tile(a);
        let mut k_copy = std::mem::take(&mut room.k);
        let mut k_columns = std::mem::take(&mut room.k_columns);
        let mut v_columns = std::mem::take(&mut room.v_columns);
        // SAFETY: all indices are inside the sizes, whose elements the verifier knows.
        unsafe {
            for head in heads.clone() {
                zero(self.dq.rows([batch, head, 0]).result(), [a.rows, a.width]);
            }
            zero(self.dk.rows([batch, group, 0]).result(), [a.keys, a.width]);
            zero(self.dv.rows([batch, group, 0]).result(), [a.keys, a.value_width]);
            for key in (0..a.keys).step_by(a.key_tile as usize) {
                let n_keys = self.step.n_keys(key) as usize;
                let (k, v) = (k.rows([batch, group, key]), v.rows([batch, group, key]));
                let k_to = super::product::room(&mut k_columns, width * whole);
                let v_to = super::product::room(&mut v_columns, e * whole);
                k.transposed().pack(machine, [width, n_keys], whole, k_to);
                v.transposed().pack(machine, [e, n_keys], whole, v_to);
                let k = k.ready(machine, [n_keys, width], &mut k_copy);
                let keys = Keys { first: key, k, k_columns: k_to, v_columns: v_to };
                for head in heads.clone() {
                    self.head(room, tile, [batch, group, head], keys);
                }
            }
        }
        (room.k, room.k_columns, room.v_columns) = (k_copy, k_columns, v_columns);
    }

    /// The row tiles of a head that see a tile of keys.
    ///
    /// # Safety
    /// As for `unit`, and the keys are those of the group.
    unsafe fn head(&self, room: &mut Room, tile: Tile, [batch, group, head]: [u64; 3], keys: Keys) {
        let Step { a, machine, offset, q, .. } = self.step;
        let (mut q_copy, mut dout_copy) =
            (std::mem::take(&mut room.q), std::mem::take(&mut room.dout));
        for row in (0..a.rows).step_by(a.row_tile as usize) {
            if !key_tiles(a, offset, row).contains(&(keys.first / a.key_tile)) {
                continue;
            }
            let height = self.step.height(row) as usize;
            // SAFETY: as in `unit`.
            unsafe {
                let (q, dout) = (q.rows([batch, head, row]), self.dout.rows([batch, head, row]));
                let q = q.ready(machine, [height, a.width as usize], &mut q_copy);
                let size = [height, a.value_width as usize];
                let dout = dout.ready(machine, size, &mut dout_copy);
                self.tile(room, tile, [batch, group, head, row], keys, [q, dout]);
            }
        }
        (room.q, room.dout) = (q_copy, dout_copy);
    }

    /// # Safety
    /// The operands are those of the place.
    unsafe fn tile(
        &self,
        room: &mut Room,
        tile: Tile,
        [batch, group, head, row]: [u64; 4],
        keys: Keys,
        [q, dout]: [Rows; 2],
    ) {
        let Step { a, machine: Machine { kernel, .. }, .. } = self.step;
        let (height, n_keys) = (self.step.height(row), self.step.n_keys(keys.first));
        let [scores, grads] = [Scratch::Scores, Scratch::Grads].map(|x| tile.of(x));
        let size = |of: [u64; 3]| of.map(|x| x as usize);
        // SAFETY: the caller's promise.
        unsafe {
            self.step.scores([height, n_keys, a.width], q, keys.k_columns, scores);
            self.step.scores([height, n_keys, a.value_width], dout, keys.v_columns, grads);
            room.run(&self.weights, tile, [batch, head, row, keys.first], height);
            let (weights, grads) = (of_tile(a, scores), of_tile(a, grads));
            let dq = self.dq.rows([batch, head, row]).result();
            multiply(kernel, size([height, a.width, n_keys]), grads, keys.k, dq, Onto::Sum);
            let dk = self.dk.rows([batch, group, keys.first]).result();
            let by_rows = size([n_keys, a.width, height]);
            multiply(kernel, by_rows, grads.transposed(), q, dk, Onto::Sum);
            let dv = self.dv.rows([batch, group, keys.first]).result();
            let by_rows = size([n_keys, a.value_width, height]);
            multiply(kernel, by_rows, weights.transposed(), dout, dv, Onto::Sum);
        }
    }
}

/// # Safety
/// The matrix has the rows and columns.
unsafe fn zero(to: Matrix<*mut f32>, [rows, cols]: [u64; 2]) {
    for row in 0..rows as isize {
        for col in 0..cols as isize {
            // SAFETY: the caller's promise.
            unsafe { *to.base.offset(row * to.row + col * to.col) = 0.0 }
        }
    }
}

#[cfg(test)]
mod tests;
