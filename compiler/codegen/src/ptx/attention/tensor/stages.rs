//! Copies of the next stages while this one is used.

use ptx_builder::{B32, Builder, Cmp, Reg};

use crate::ptx::memory::small;

/// The stages of a loop in shared memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stages {
    pub(super) n: u32,
    pub(super) bytes: u32,
}

impl Stages {
    /// For each of `count` turns: `copy` begins to fill the stage at an address, `then` uses it.
    /// All turns are copied once, in order. What was begun to be copied before is there for
    /// `before`, whose result all turns use.
    pub(super) fn run<T>(
        self,
        b: &mut Builder,
        (start, count): (Reg<B32>, Reg<B32>),
        mut copy: impl FnMut(&mut Builder, Reg<B32>),
        before: impl FnOnce(&mut Builder) -> T,
        then: impl FnOnce(&mut Builder, Reg<B32>, &T),
    ) {
        let ahead = self.n - 1;
        for at in 0..ahead {
            let to = b.iadd(start, small((at * self.bytes).into()));
            where_more(b, count, at, |b| copy(b, to));
            b.copy_commit();
        }
        b.copy_wait(self.n - 2);
        b.barrier();
        let held = before(b);
        let read = b.mov(start);
        let write = b.iadd(start, small((ahead * self.bytes).into()));
        let rest = b.mov(count);
        let (head, end) = (b.label(), b.label());
        b.place(head);
        let is_over = b.icmp(Cmp::Le, rest, 0);
        b.bra_if(is_over, true, end);
        // Groups are counted by turns, empty ones too: this one is there when the others may be
        // under way. What the next copies overwrite was read before the barrier.
        b.copy_wait(self.n - 2);
        b.barrier();
        where_more(b, rest, ahead, |b| copy(b, write));
        b.copy_commit();
        then(b, read, &held);
        self.next(b, start, read);
        self.next(b, start, write);
        b.iadd_to(rest, rest, -1);
        b.bra(head);
        b.place(end);
    }

    fn next(self, b: &mut Builder, start: Reg<B32>, at: Reg<B32>) {
        let next = b.iadd(at, small(self.bytes.into()));
        let end = b.iadd(start, small((self.n * self.bytes).into()));
        let is_end = b.icmp(Cmp::Eq, next, end);
        let next = b.select(is_end, start, next);
        b.mov_to(at, next);
    }
}

/// Where there are more than so many.
fn where_more(b: &mut Builder, count: Reg<B32>, than: u32, then: impl FnOnce(&mut Builder)) {
    let end = b.label();
    let is_more = b.icmp(Cmp::Gt, count, small(than.into()));
    b.bra_if(is_more, false, end);
    then(b);
    b.place(end);
}
