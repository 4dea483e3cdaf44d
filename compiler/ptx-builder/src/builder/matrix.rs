//! Instructions of products on tensor cores: copies, fragments, products.

use super::{Builder, SharedBase, global, shared};
use crate::op::{Cvt, Op, Space, Width};
use crate::reg::{B32, B64, F32, Kind, Operand, Reg, Val};

/// A width of a copy behind the back of the thread, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "a number each")]
pub enum CopyBytes {
    Four,
    Eight,
    Sixteen,
}

impl CopyBytes {
    /// The number.
    pub fn count(self) -> u8 {
        match self {
            Self::Four => 4,
            Self::Eight => 8,
            Self::Sixteen => 16,
        }
    }
}

/// The numbers of a matrix product: the type of both operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Narrow {
    /// Halves.
    F16,
    /// The upper halves of singles.
    Bf16,
}

/// Whether `ldmatrix` gives the matrices as they lie or transposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "they say it")]
pub enum Lay {
    AsIs,
    Transposed,
}

impl Builder {
    /// Copies from global to shared memory, to be waited for; of the bytes only the first `present`
    /// are read, the others become 0.
    pub fn copy_async(
        &mut self,
        bytes: CopyBytes,
        to: (Reg<B32>, i32),
        from: (Reg<B64>, i32),
        present: impl Into<Val<B32>>,
    ) {
        let n = bytes.count();
        let to = shared(SharedBase::At(to.0), to.1);
        let operands =
            vec![to, global(from.0, from.1), Operand::Int(n.into()), present.into().operand()];
        self.push(Op::CpAsync(n), operands);
    }

    /// Ends a group of copies of this thread.
    pub fn copy_commit(&mut self) {
        self.push(Op::CpAsyncCommit, vec![]);
    }

    /// Waits until at most `pending` groups of this thread, the newest ones, are under way.
    pub fn copy_wait(&mut self, pending: u32) {
        self.push(Op::CpAsyncWait, vec![Operand::Int(pending.into())]);
    }

    /// Four matrices of 8 by 8 elements of 16 bits; lane `i` names row `i % 8` of matrix `i / 8`.
    ///
    /// Lane `i` gets the elements `2 * (i % 4)` and the next of row `i / 4` of each.
    pub fn matrices(&mut self, lay: Lay, row: Reg<B32>, offset: i32) -> [Reg<B32>; 4] {
        let regs = std::array::from_fn(|_| self.reg::<B32>());
        let vector = Operand::Vector(regs.map(Reg::any).to_vec());
        let op = Op::LdMatrix(4, lay == Lay::Transposed);
        self.push(op, vec![vector, shared(SharedBase::At(row), offset)]);
        regs
    }

    /// `sums += a * b`: 16 by 16 times 16 by 8.
    pub fn mma_to(
        &mut self,
        narrow: Narrow,
        sums: [Reg<F32>; 4],
        a: [Reg<B32>; 4],
        b: [Reg<B32>; 2],
    ) {
        let op = match narrow {
            Narrow::F16 => Op::MmaF16,
            Narrow::Bf16 => Op::MmaBf16,
        };
        let sums = Operand::Vector(sums.map(Reg::any).to_vec());
        let a = Operand::Vector(a.map(Reg::any).to_vec());
        let b = Operand::Vector(b.map(Reg::any).to_vec());
        self.push(op, vec![sums.clone(), a, b, sums]);
    }

    /// Two singles to the nearest numbers of 16 bits, in one register.
    pub fn narrow_pair(&mut self, narrow: Narrow, low: Reg<F32>, high: Reg<F32>) -> Reg<B32> {
        let cvt = match narrow {
            Narrow::F16 => Cvt::F16x2FromF32,
            Narrow::Bf16 => Cvt::Bf16x2FromF32,
        };
        self.def(Op::Cvt(cvt), vec![Operand::Reg(high.any()), Operand::Reg(low.any())])
    }

    /// Two neighbours from global memory; the place is aligned to both.
    pub fn load2<K: Kind>(&mut self, base: Reg<B64>, offset: i32) -> [Reg<K>; 2] {
        let regs = std::array::from_fn(|_| self.reg::<K>());
        let vector = Operand::Vector(regs.map(Reg::any).to_vec());
        self.push(Op::Ld(Space::Global, K::CLASS, Width::Two), vec![vector, global(base, offset)]);
        regs
    }

    /// Two neighbours to global memory; the place is aligned to both.
    pub fn store2<K: Kind>(&mut self, base: Reg<B64>, offset: i32, values: [Reg<K>; 2]) {
        let vector = Operand::Vector(values.map(Reg::any).to_vec());
        self.push(Op::St(Space::Global, K::CLASS, Width::Two), vec![global(base, offset), vector]);
    }

    /// Four neighbours to shared memory; the place is aligned to all of them.
    pub fn store_shared4<K: Kind>(
        &mut self,
        base: impl Into<SharedBase>,
        offset: i32,
        values: [Reg<K>; 4],
    ) {
        let vector = Operand::Vector(values.map(Reg::any).to_vec());
        let op = Op::St(Space::Shared, K::CLASS, Width::Four);
        self.push(op, vec![shared(base.into(), offset), vector]);
    }
}
