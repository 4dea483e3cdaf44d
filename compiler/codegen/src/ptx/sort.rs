//! A stable counting sort by one block.
//!
//! Ids are counted, counts are summed up, and positions are written chunk by chunk of the ids in
//! their order: a thread's place in its chunk is the number of equal ids before it. While positions
//! are written, `starts[id + 1]` is where the next one of `id` goes; at the end that is the start of
//! the next id, as it should be.

use ptx_builder::{B32, B64, Builder, Class, Cmp, Logic, Pred, Reg, Special, Val};

use super::Launch;
use super::memory::small;

/// Threads of the block, and ids of a chunk.
const THREADS: u32 = 512;
/// Bytes of the chunk in shared memory.
const CHUNK_BYTES: u32 = 4 * THREADS;

/// Parameters: `n` ids, their order, `rows + 1` starts, all i32.
pub(super) fn sort(n: u64, rows: u64, name: &str) -> Launch {
    let mut b = Builder::new(name, &[Class::B64; 3], THREADS);
    let [ids, order, starts] = [0, 1, 2].map(|at| {
        let address = b.param(at);
        b.to_global(address)
    });
    let thread = b.special(Special::TidX);
    let mut sort = Sort { b, thread, ids, order, starts, n: small(n), rows: small(rows) };
    sort.clear();
    sort.b.barrier();
    sort.count();
    sort.b.barrier();
    sort.sum_up();
    sort.b.barrier();
    sort.place_all();
    // What was counted, and the chunk of ids.
    let shared_bytes = u64::from(CHUNK_BYTES);
    Launch { entry: sort.b.finish(), blocks: 1, shared_bytes }
}

struct Sort {
    b: Builder,
    thread: Reg<B32>,
    ids: Reg<B64>,
    order: Reg<B64>,
    starts: Reg<B64>,
    n: i32,
    rows: i32,
}

impl Sort {
    /// Each thread its share of `0..n`.
    fn share(&mut self, n: i32, body: impl FnOnce(&mut Self, Reg<B32>)) {
        let at = self.b.mov(self.thread);
        self.repeat(at, n, THREADS.cast_signed(), |sort| body(sort, at));
    }

    /// The body while `at` is below `n`, in steps.
    fn repeat(
        &mut self,
        at: Reg<B32>,
        n: impl Into<Val<B32>>,
        step: i32,
        body: impl FnOnce(&mut Self),
    ) {
        let (head, end) = (self.b.label(), self.b.label());
        let n = n.into();
        self.b.place(head);
        let is_over = self.b.icmp(Cmp::Ge, at, n);
        self.b.bra_if(is_over, true, end);
        body(self);
        self.b.iadd_to(at, at, step);
        self.b.bra(head);
        self.b.place(end);
    }

    fn at(&mut self, base: Reg<B64>, index: Reg<B32>) -> Reg<B64> {
        self.b.mad_wide(index, 4, base)
    }

    /// Whether an id is one of the rows.
    fn is_row(&mut self, id: Reg<B32>) -> Reg<Pred> {
        // A negative id is a large one without sign.
        self.b.ucmp(Cmp::Lt, id, self.rows)
    }

    fn clear(&mut self) {
        self.share(self.rows + 1, |sort, at| {
            let place = sort.at(sort.starts, at);
            sort.b.store::<B32>(place, 0, 0);
        });
    }

    /// How often each id is there, one place further on.
    fn count(&mut self) {
        self.share(self.n, |sort, at| {
            let place = sort.at(sort.ids, at);
            let id = sort.b.load::<B32>(place, 0);
            let is_row = sort.is_row(id);
            let skip = sort.b.label();
            sort.b.bra_if(is_row, false, skip);
            let place = sort.at(sort.starts, id);
            sort.b.atom_add(place, 4, 1);
            sort.b.place(skip);
        });
    }

    /// Counts to starts, each one place further on: every thread has neighbouring rows.
    fn sum_up(&mut self) {
        let each = self.rows.cast_unsigned().div_ceil(THREADS).cast_signed();
        let first = self.b.imul(self.thread, each);
        let behind = self.b.iadd(first, each);
        let end = self.b.imin(behind, self.rows);
        let (at, sum): (Reg<B32>, Reg<B32>) = (self.b.mov(first), self.b.mov(0));
        self.repeat(at, end, 1, |sort| {
            let place = sort.at(sort.starts, at);
            let count = sort.b.load::<B32>(place, 4);
            sort.b.iadd_to(sum, sum, count);
        });
        let base = self.b.shared();
        let own = self.b.mad(self.thread, 4, base);
        self.b.store_shared(own, 0, sum);
        self.b.barrier();
        let (other, start): (Reg<B32>, Reg<B32>) = (self.b.mov(0), self.b.mov(0));
        self.repeat(other, self.thread, 1, |sort| {
            let place = sort.b.mad(other, 4, base);
            let theirs = sort.b.load_shared(place, 0);
            sort.b.iadd_to(start, start, theirs);
        });
        self.b.mov_to(at, first);
        self.repeat(at, end, 1, |sort| {
            let place = sort.at(sort.starts, at);
            let count = sort.b.load::<B32>(place, 4);
            sort.b.store(place, 4, start);
            sort.b.iadd_to(start, start, count);
        });
    }

    /// The positions, chunk by chunk.
    fn place_all(&mut self) {
        let first = self.b.mov(0);
        self.repeat(first, self.n, THREADS.cast_signed(), |sort| {
            let position = sort.b.iadd(first, sort.thread);
            let id = sort.id_at(position);
            let base = sort.b.shared();
            let own = sort.b.mad(sort.thread, 4, base);
            sort.b.store_shared(own, 0, id);
            sort.b.barrier();
            let [before, behind] = sort.equal_ones(base, id);
            let is_row = sort.is_row(id);
            let next = sort.next_of(id, is_row);
            // All know where theirs go before the last ones move on what is next.
            sort.b.barrier();
            sort.put(position, next, before, is_row);
            let is_last = sort.b.icmp(Cmp::Eq, behind, 0);
            let moves = sort.b.plogic(Logic::And, is_row, is_last);
            sort.move_on(id, next, before, moves);
            sort.b.barrier();
        });
    }

    /// The id at a position, -1 behind the last one.
    fn id_at(&mut self, position: Reg<B32>) -> Reg<B32> {
        let id = self.b.mov(-1);
        let is_there = self.b.icmp(Cmp::Lt, position, self.n);
        let skip = self.b.label();
        self.b.bra_if(is_there, false, skip);
        let place = self.at(self.ids, position);
        self.b.load_to(id, place, 0);
        self.b.place(skip);
        id
    }

    /// How many threads before and behind this one have the same id.
    fn equal_ones(&mut self, base: Reg<B32>, id: Reg<B32>) -> [Reg<B32>; 2] {
        let (before, behind): (Reg<B32>, Reg<B32>) = (self.b.mov(0), self.b.mov(0));
        let other = self.b.mov(0);
        self.repeat(other, THREADS, 1, |sort| {
            let place = sort.b.mad(other, 4, base);
            let theirs = sort.b.load_shared::<B32>(place, 0);
            let is_equal = sort.b.icmp(Cmp::Eq, theirs, id);
            for (cmp, sum) in [(Cmp::Lt, before), (Cmp::Gt, behind)] {
                let is_there = sort.b.icmp(cmp, other, sort.thread);
                let counts = sort.b.plogic(Logic::And, is_equal, is_there);
                let one: Reg<B32> = sort.b.select(counts, 1, 0);
                sort.b.iadd_to(sum, sum, one);
            }
        });
        [before, behind]
    }

    /// Where the next position of an id goes.
    fn next_of(&mut self, id: Reg<B32>, is_row: Reg<Pred>) -> Reg<B32> {
        let next = self.b.mov(0);
        let skip = self.b.label();
        self.b.bra_if(is_row, false, skip);
        let place = self.at(self.starts, id);
        self.b.load_to(next, place, 4);
        self.b.place(skip);
        next
    }

    fn put(&mut self, position: Reg<B32>, next: Reg<B32>, before: Reg<B32>, is_row: Reg<Pred>) {
        let to = self.b.iadd(next, before);
        let place = self.at(self.order, to);
        self.b.guarded(is_row, true, |b| b.store(place, 0, position));
    }

    /// What is next of an id lies behind its last position of this chunk.
    fn move_on(&mut self, id: Reg<B32>, next: Reg<B32>, before: Reg<B32>, moves: Reg<Pred>) {
        let last = self.b.iadd(next, before);
        let end = self.b.iadd(last, 1);
        let place = self.at(self.starts, id);
        self.b.guarded(moves, true, |b| b.store(place, 4, end));
    }
}
