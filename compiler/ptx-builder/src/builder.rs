//! Makes the body of an entry; operands of other types do not compile.

mod approx;
mod matrix;

use std::marker::PhantomData;

use crate::module::{Entry, Guard, Instr, Stmt};
use crate::op::{Cmp, Cvt, Logic, Num, Op, Shuffle, Space, Width};
use crate::reg::{
    B16, B32, B64, Base, Class, F32, F64, Float, Int, Kind, Operand, Pred, Reg, Special, Val,
};

pub use matrix::{CopyBytes, Lay, Narrow};

/// A place in the code, placed once and named by branches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label(u32);

/// The body of an entry under construction.
#[derive(Debug)]
pub struct Builder {
    entry: Entry,
    labels: u32,
    guard: Option<Guard>,
}

/// Shared memory: a register of 32 bits, or the start of the launch's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedBase {
    /// From the start.
    Start,
    /// From an address.
    At(Reg<B32>),
}

impl From<Reg<B32>> for SharedBase {
    fn from(reg: Reg<B32>) -> Self {
        Self::At(reg)
    }
}

/// The type that an integer instruction has for a class: signed.
fn signed<K: Int>() -> Num {
    if K::CLASS == Class::B64 { Num::S64 } else { Num::S32 }
}

fn unsigned<K: Int>() -> Num {
    if K::CLASS == Class::B64 { Num::U64 } else { Num::U32 }
}

fn float<K: Float>() -> Num {
    if K::CLASS == Class::F64 { Num::F64 } else { Num::F32 }
}

impl Builder {
    /// An entry of blocks of so many threads, and its parameters.
    pub fn new(name: &str, params: &[Class], threads: u32) -> Self {
        let entry = Entry {
            name: name.to_owned(),
            params: params.to_vec(),
            threads,
            resident: None,
            has_shared: false,
            regs: [0; 6],
            body: vec![],
        };
        Self { entry, labels: 0, guard: None }
    }

    /// A multiprocessor holds so many blocks; fewer registers are left for more.
    pub fn set_resident(&mut self, blocks: u32) {
        self.entry.resident = Some(blocks);
    }

    /// Ends the entry with a return.
    pub fn finish(mut self) -> Entry {
        self.guard = None;
        self.push(Op::Ret, vec![]);
        self.entry
    }

    fn push(&mut self, op: Op, operands: Vec<Operand>) {
        let guard = self.guard;
        self.entry.has_shared |= operands.iter().any(|operand| {
            matches!(operand, Operand::Shared | Operand::Address { base: Base::Shared, .. })
        });
        self.entry.body.push(Stmt::Instr(Instr { guard, op, operands }));
    }

    /// A new register.
    pub fn reg<K: Kind>(&mut self) -> Reg<K> {
        let at = Class::ALL.iter().position(|class| *class == K::CLASS);
        let count = &mut self.entry.regs[at.expect("all classes are listed")];
        *count += 1;
        Reg { index: *count - 1, kind: PhantomData }
    }

    fn def<K: Kind>(&mut self, op: Op, operands: Vec<Operand>) -> Reg<K> {
        let d = self.reg::<K>();
        self.into(d, op, operands);
        d
    }

    fn into<K: Kind>(&mut self, d: Reg<K>, op: Op, operands: Vec<Operand>) {
        let all = std::iter::once(Operand::Reg(d.any())).chain(operands).collect();
        self.push(op, all);
    }

    /// What `make` adds is done only where `p` is `wanted`.
    pub fn guarded<T>(
        &mut self,
        p: Reg<Pred>,
        wanted: bool,
        make: impl FnOnce(&mut Self) -> T,
    ) -> T {
        let outer = self.guard.replace(Guard { reg: p.any(), wanted });
        assert!(outer.is_none(), "an instruction has one guard");
        let made = make(self);
        self.guard = None;
        made
    }

    // Control.

    /// A new label.
    pub fn label(&mut self) -> Label {
        self.labels += 1;
        Label(self.labels - 1)
    }

    /// Here is the label.
    pub fn place(&mut self, label: Label) {
        self.entry.body.push(Stmt::Label(label.0));
    }

    /// To a label.
    pub fn bra(&mut self, label: Label) {
        self.push(Op::Bra, vec![Operand::Label(label.0)]);
    }

    /// To a label where `p` is `wanted`.
    pub fn bra_if(&mut self, p: Reg<Pred>, wanted: bool, label: Label) {
        self.guarded(p, wanted, |b| b.bra(label));
    }

    /// Ends the thread where `p` is `wanted`.
    pub fn ret_if(&mut self, p: Reg<Pred>, wanted: bool) {
        self.guarded(p, wanted, |b| b.push(Op::Ret, vec![]));
    }

    /// All threads of the block get here before one goes on.
    pub fn barrier(&mut self) {
        self.push(Op::BarSync, vec![Operand::Int(0)]);
    }

    /// All lanes of the warp get here before one goes on, and see what the others wrote.
    pub fn warp_barrier(&mut self) {
        self.push(Op::BarWarpSync, vec![Operand::Int(-1)]);
    }

    // Moves.

    /// A copy in a new register.
    pub fn mov<K: Kind>(&mut self, a: impl Into<Val<K>>) -> Reg<K> {
        let a = a.into().operand();
        self.def(Op::Mov(K::CLASS), vec![a])
    }

    /// `d = a`.
    pub fn mov_to<K: Kind>(&mut self, d: Reg<K>, a: impl Into<Val<K>>) {
        let a = a.into().operand();
        self.into(d, Op::Mov(K::CLASS), vec![a]);
    }

    /// The value of a register of the hardware.
    pub fn special(&mut self, special: Special) -> Reg<B32> {
        self.def(Op::Mov(Class::B32), vec![Operand::Special(special)])
    }

    /// The address of the launch's shared memory.
    pub fn shared(&mut self) -> Reg<B32> {
        self.def(Op::Mov(Class::B32), vec![Operand::Shared])
    }

    /// The bits of a single.
    pub fn bits(&mut self, a: Reg<F32>) -> Reg<B32> {
        self.def(Op::Mov(Class::B32), vec![Operand::Reg(a.any())])
    }

    /// The single with these bits.
    pub fn from_bits(&mut self, a: Reg<B32>) -> Reg<F32> {
        let d = self.reg::<F32>();
        self.push(Op::Mov(Class::B32), vec![Operand::Reg(d.any()), Operand::Reg(a.any())]);
        d
    }

    /// Two halves as one register.
    pub fn pack(&mut self, low: Reg<B16>, high: Reg<B16>) -> Reg<B32> {
        self.def(Op::Pack(Class::B32), vec![Operand::Vector(vec![low.any(), high.any()])])
    }

    /// The two halves of a register.
    pub fn unpack(&mut self, a: Reg<B32>) -> [Reg<B16>; 2] {
        let halves = [self.reg::<B16>(), self.reg::<B16>()];
        let vector = Operand::Vector(halves.map(Reg::any).to_vec());
        self.push(Op::Unpack(Class::B32), vec![vector, Operand::Reg(a.any())]);
        halves
    }

    /// `p ? a : b`.
    pub fn select<K: Kind>(
        &mut self,
        p: Reg<Pred>,
        a: impl Into<Val<K>>,
        b: impl Into<Val<K>>,
    ) -> Reg<K> {
        let operands = vec![a.into().operand(), b.into().operand(), Operand::Reg(p.any())];
        self.def(Op::Selp(K::CLASS), operands)
    }

    // Integers.

    /// `a + b`.
    pub fn iadd<K: Int>(&mut self, a: Reg<K>, b: impl Into<Val<K>>) -> Reg<K> {
        self.two(Op::Add(signed::<K>()), a, b)
    }

    /// `d = a + b`.
    pub fn iadd_to<K: Int>(&mut self, d: Reg<K>, a: Reg<K>, b: impl Into<Val<K>>) {
        let operands = vec![Operand::Reg(a.any()), b.into().operand()];
        self.into(d, Op::Add(signed::<K>()), operands);
    }

    /// `a - b`.
    pub fn isub<K: Int>(&mut self, a: impl Into<Val<K>>, b: impl Into<Val<K>>) -> Reg<K> {
        self.two(Op::Sub(signed::<K>()), a, b)
    }

    /// The lower half of `a * b`.
    pub fn imul<K: Int>(&mut self, a: Reg<K>, b: impl Into<Val<K>>) -> Reg<K> {
        self.two(Op::Mul(signed::<K>()), a, b)
    }

    /// The upper half of the product of two u32.
    pub fn mul_hi(&mut self, a: impl Into<Val<B32>>, b: impl Into<Val<B32>>) -> Reg<B32> {
        self.two(Op::MulHi, a, b)
    }

    /// The lower half of `a * b + c`.
    pub fn mad<K: Int>(&mut self, a: Reg<K>, b: impl Into<Val<K>>, c: impl Into<Val<K>>) -> Reg<K> {
        let operands = vec![Operand::Reg(a.any()), b.into().operand(), c.into().operand()];
        self.def(Op::Mad(signed::<K>()), operands)
    }

    /// `a * b + c` with `a` and `b` taken as signed and the rest in 64 bits.
    pub fn mad_wide(&mut self, a: Reg<B32>, b: impl Into<Val<B32>>, c: Reg<B64>) -> Reg<B64> {
        let operands = vec![Operand::Reg(a.any()), b.into().operand(), Operand::Reg(c.any())];
        self.def(Op::MadWide(Num::S32), operands)
    }

    /// `a / b` of numbers without sign.
    pub fn udiv<K: Int>(&mut self, a: Reg<K>, b: impl Into<Val<K>>) -> Reg<K> {
        self.two(Op::Div(unsigned::<K>()), a, b)
    }

    /// The rest of `a / b` of numbers without sign.
    pub fn urem<K: Int>(&mut self, a: Reg<K>, b: impl Into<Val<K>>) -> Reg<K> {
        self.two(Op::Rem(unsigned::<K>()), a, b)
    }

    /// The smaller one, with sign.
    pub fn imin<K: Int>(&mut self, a: impl Into<Val<K>>, b: impl Into<Val<K>>) -> Reg<K> {
        self.two(Op::Min(signed::<K>()), a, b)
    }

    /// The larger one, with sign.
    pub fn imax<K: Int>(&mut self, a: impl Into<Val<K>>, b: impl Into<Val<K>>) -> Reg<K> {
        self.two(Op::Max(signed::<K>()), a, b)
    }

    /// `a << n`.
    pub fn shl<K: Int>(&mut self, a: impl Into<Val<K>>, n: impl Into<Val<B32>>) -> Reg<K> {
        let operands = vec![a.into().operand(), n.into().operand()];
        self.def(Op::Shl(K::CLASS), operands)
    }

    /// `a >> n`, with zeros.
    pub fn shr<K: Int>(&mut self, a: impl Into<Val<K>>, n: impl Into<Val<B32>>) -> Reg<K> {
        let operands = vec![a.into().operand(), n.into().operand()];
        self.def(Op::Shr(unsigned::<K>()), operands)
    }

    /// Bit by bit.
    pub fn logic<K: Int>(
        &mut self,
        op: Logic,
        a: impl Into<Val<K>>,
        b: impl Into<Val<K>>,
    ) -> Reg<K> {
        self.two(Op::Logic(op, K::CLASS), a, b)
    }

    /// All bits flipped.
    pub fn not<K: Int>(&mut self, a: impl Into<Val<K>>) -> Reg<K> {
        self.one(Op::Not(K::CLASS), a)
    }

    /// A comparison with sign.
    pub fn icmp<K: Int>(
        &mut self,
        cmp: Cmp,
        a: impl Into<Val<K>>,
        b: impl Into<Val<K>>,
    ) -> Reg<Pred> {
        let operands = vec![a.into().operand(), b.into().operand()];
        self.def(Op::Setp(cmp, signed::<K>()), operands)
    }

    /// A comparison without sign.
    pub fn ucmp<K: Int>(
        &mut self,
        cmp: Cmp,
        a: impl Into<Val<K>>,
        b: impl Into<Val<K>>,
    ) -> Reg<Pred> {
        let operands = vec![a.into().operand(), b.into().operand()];
        self.def(Op::Setp(cmp, unsigned::<K>()), operands)
    }

    // Truth values.

    /// Of two truth values.
    pub fn plogic(&mut self, op: Logic, a: Reg<Pred>, b: Reg<Pred>) -> Reg<Pred> {
        let operands = vec![Operand::Reg(a.any()), Operand::Reg(b.any())];
        self.def(Op::Logic(op, Class::Pred), operands)
    }

    /// The other truth value.
    pub fn pnot(&mut self, a: Reg<Pred>) -> Reg<Pred> {
        self.def(Op::Not(Class::Pred), vec![Operand::Reg(a.any())])
    }

    // Floats.

    /// `a + b`.
    pub fn fadd<K: Float>(&mut self, a: impl Into<Val<K>>, b: impl Into<Val<K>>) -> Reg<K> {
        self.two(Op::Add(float::<K>()), a, b)
    }

    /// `d = a + b`.
    pub fn fadd_to<K: Float>(&mut self, d: Reg<K>, a: impl Into<Val<K>>, b: impl Into<Val<K>>) {
        let operands = vec![a.into().operand(), b.into().operand()];
        self.into(d, Op::Add(float::<K>()), operands);
    }

    /// `a - b`.
    pub fn fsub<K: Float>(&mut self, a: impl Into<Val<K>>, b: impl Into<Val<K>>) -> Reg<K> {
        self.two(Op::Sub(float::<K>()), a, b)
    }

    /// `a * b`.
    pub fn fmul<K: Float>(&mut self, a: impl Into<Val<K>>, b: impl Into<Val<K>>) -> Reg<K> {
        self.two(Op::Mul(float::<K>()), a, b)
    }

    /// `a / b`.
    pub fn fdiv<K: Float>(&mut self, a: impl Into<Val<K>>, b: impl Into<Val<K>>) -> Reg<K> {
        self.two(Op::Div(float::<K>()), a, b)
    }

    /// As [`Op::Min`].
    pub fn fmin<K: Float>(&mut self, a: impl Into<Val<K>>, b: impl Into<Val<K>>) -> Reg<K> {
        self.two(Op::Min(float::<K>()), a, b)
    }

    /// As [`Op::Max`].
    pub fn fmax<K: Float>(&mut self, a: impl Into<Val<K>>, b: impl Into<Val<K>>) -> Reg<K> {
        self.two(Op::Max(float::<K>()), a, b)
    }

    /// `a * b + c` with one rounding.
    pub fn fma<K: Float>(
        &mut self,
        a: impl Into<Val<K>>,
        b: impl Into<Val<K>>,
        c: impl Into<Val<K>>,
    ) -> Reg<K> {
        let operands = vec![a.into().operand(), b.into().operand(), c.into().operand()];
        self.def(Op::Fma(float::<K>()), operands)
    }

    /// `d = a * b + c` with one rounding.
    pub fn fma_to<K: Float>(
        &mut self,
        d: Reg<K>,
        a: impl Into<Val<K>>,
        b: impl Into<Val<K>>,
        c: impl Into<Val<K>>,
    ) {
        let operands = vec![a.into().operand(), b.into().operand(), c.into().operand()];
        self.into(d, Op::Fma(float::<K>()), operands);
    }

    /// `-a`.
    pub fn fneg<K: Float>(&mut self, a: impl Into<Val<K>>) -> Reg<K> {
        self.one(Op::Neg(float::<K>()), a)
    }

    /// Without the sign.
    pub fn fabs<K: Float>(&mut self, a: impl Into<Val<K>>) -> Reg<K> {
        self.one(Op::Abs(float::<K>()), a)
    }

    /// The square root.
    pub fn fsqrt<K: Float>(&mut self, a: impl Into<Val<K>>) -> Reg<K> {
        self.one(Op::Sqrt(float::<K>()), a)
    }

    /// Downwards to a whole number.
    pub fn ffloor<K: Float>(&mut self, a: impl Into<Val<K>>) -> Reg<K> {
        let cvt = if K::CLASS == Class::F64 { Cvt::FloorF64 } else { Cvt::FloorF32 };
        self.one(Op::Cvt(cvt), a)
    }

    /// To the nearest whole number, ties to even.
    pub fn fnearest<K: Float>(&mut self, a: impl Into<Val<K>>) -> Reg<K> {
        let cvt = if K::CLASS == Class::F64 { Cvt::NearestF64 } else { Cvt::NearestF32 };
        self.one(Op::Cvt(cvt), a)
    }

    /// A comparison; false with NaN, but for [`Cmp::Nan`] and [`Cmp::Ne`] as PTX has them.
    pub fn fcmp<K: Float>(
        &mut self,
        cmp: Cmp,
        a: impl Into<Val<K>>,
        b: impl Into<Val<K>>,
    ) -> Reg<Pred> {
        let operands = vec![a.into().operand(), b.into().operand()];
        self.def(Op::Setp(cmp, float::<K>()), operands)
    }

    // Conversions.

    /// A signed integer to the nearest single.
    pub fn f32_from_s32(&mut self, a: Reg<B32>) -> Reg<F32> {
        self.cvt(Cvt::F32FromS32, a)
    }

    /// A signed integer to a double.
    pub fn f64_from_s32(&mut self, a: Reg<B32>) -> Reg<F64> {
        self.cvt(Cvt::F64FromS32, a)
    }

    /// Towards 0, saturating; NaN to 0.
    pub fn s32_from_f32(&mut self, a: Reg<F32>) -> Reg<B32> {
        self.cvt(Cvt::S32FromF32, a)
    }

    /// Towards 0, saturating; NaN to the least number.
    pub fn s32_from_f64(&mut self, a: Reg<F64>) -> Reg<B32> {
        self.cvt(Cvt::S32FromF64, a)
    }

    /// To the nearest single.
    pub fn f32_from_f64(&mut self, a: Reg<F64>) -> Reg<F32> {
        self.cvt(Cvt::F32FromF64, a)
    }

    /// Exactly.
    pub fn f64_from_f32(&mut self, a: Reg<F32>) -> Reg<F64> {
        self.cvt(Cvt::F64FromF32, a)
    }

    /// To the nearest half.
    pub fn f16_from_f32(&mut self, a: Reg<F32>) -> Reg<B16> {
        self.cvt(Cvt::F16FromF32, a)
    }

    /// Exactly.
    pub fn f32_from_f16(&mut self, a: Reg<B16>) -> Reg<F32> {
        self.cvt(Cvt::F32FromF16, a)
    }

    /// To the nearest bf16.
    pub fn bf16_from_f32(&mut self, a: Reg<F32>) -> Reg<B16> {
        self.cvt(Cvt::Bf16FromF32, a)
    }

    /// Exactly: the upper half of a single.
    pub fn f32_from_bf16(&mut self, a: Reg<B16>) -> Reg<F32> {
        let zero = self.mov_half(0);
        let bits = self.pack(zero, a);
        self.from_bits(bits)
    }

    /// 16 bits that are known.
    pub fn mov_half(&mut self, bits: u16) -> Reg<B16> {
        self.def(Op::Mov(Class::B16), vec![Operand::Int(bits.into())])
    }

    /// With the sign.
    pub fn s64_from_s32(&mut self, a: Reg<B32>) -> Reg<B64> {
        self.cvt(Cvt::S64FromS32, a)
    }

    /// With zeros.
    pub fn u64_from_u32(&mut self, a: Reg<B32>) -> Reg<B64> {
        self.cvt(Cvt::U64FromU32, a)
    }

    /// The lower 32 bits.
    pub fn u32_from_u64(&mut self, a: Reg<B64>) -> Reg<B32> {
        self.cvt(Cvt::U32FromU64, a)
    }

    // Memory.

    /// A parameter of 64 bits.
    pub fn param(&mut self, at: u32) -> Reg<B64> {
        assert_eq!(self.entry.params[at as usize], Class::B64, "the class of a parameter");
        let address = Operand::Address { base: Base::Param(at), offset: 0 };
        self.def(Op::Ld(Space::Param, Class::B64, Width::One), vec![address])
    }

    /// A parameter of 32 bits.
    pub fn param32(&mut self, at: u32) -> Reg<B32> {
        assert_eq!(self.entry.params[at as usize], Class::B32, "the class of a parameter");
        let address = Operand::Address { base: Base::Param(at), offset: 0 };
        self.def(Op::Ld(Space::Param, Class::B32, Width::One), vec![address])
    }

    /// An address of any memory as one of global memory.
    pub fn to_global(&mut self, a: Reg<B64>) -> Reg<B64> {
        self.one(Op::CvtaGlobal, a)
    }

    /// From global memory.
    pub fn load<K: Kind>(&mut self, base: Reg<B64>, offset: i32) -> Reg<K> {
        self.def(Op::Ld(Space::Global, K::CLASS, Width::One), vec![global(base, offset)])
    }

    /// From global memory to a register that exists.
    pub fn load_to<K: Kind>(&mut self, d: Reg<K>, base: Reg<B64>, offset: i32) {
        self.into(d, Op::Ld(Space::Global, K::CLASS, Width::One), vec![global(base, offset)]);
    }

    /// Four neighbours from global memory; the place is aligned to all of them.
    pub fn load4<K: Kind>(&mut self, base: Reg<B64>, offset: i32) -> [Reg<K>; 4] {
        let regs = std::array::from_fn(|_| self.reg::<K>());
        let vector = Operand::Vector(regs.map(Reg::any).to_vec());
        self.push(Op::Ld(Space::Global, K::CLASS, Width::Four), vec![vector, global(base, offset)]);
        regs
    }

    /// To global memory.
    pub fn store<K: Kind>(&mut self, base: Reg<B64>, offset: i32, value: impl Into<Val<K>>) {
        let operands = vec![global(base, offset), value.into().operand()];
        self.push(Op::St(Space::Global, K::CLASS, Width::One), operands);
    }

    /// Four neighbours to global memory; the place is aligned to all of them.
    pub fn store4<K: Kind>(&mut self, base: Reg<B64>, offset: i32, values: [Reg<K>; 4]) {
        let vector = Operand::Vector(values.map(Reg::any).to_vec());
        let op = Op::St(Space::Global, K::CLASS, Width::Four);
        self.push(op, vec![global(base, offset), vector]);
    }

    /// From shared memory.
    pub fn load_shared<K: Kind>(&mut self, base: impl Into<SharedBase>, offset: i32) -> Reg<K> {
        let address = shared(base.into(), offset);
        self.def(Op::Ld(Space::Shared, K::CLASS, Width::One), vec![address])
    }

    /// Four neighbours from shared memory; the place is aligned to all of them.
    pub fn load_shared4<K: Kind>(
        &mut self,
        base: impl Into<SharedBase>,
        offset: i32,
    ) -> [Reg<K>; 4] {
        let regs = std::array::from_fn(|_| self.reg::<K>());
        let vector = Operand::Vector(regs.map(Reg::any).to_vec());
        let address = shared(base.into(), offset);
        self.push(Op::Ld(Space::Shared, K::CLASS, Width::Four), vec![vector, address]);
        regs
    }

    /// To shared memory.
    pub fn store_shared<K: Kind>(
        &mut self,
        base: impl Into<SharedBase>,
        offset: i32,
        value: impl Into<Val<K>>,
    ) {
        let operands = vec![shared(base.into(), offset), value.into().operand()];
        self.push(Op::St(Space::Shared, K::CLASS, Width::One), operands);
    }

    /// Adds to a u32 of global memory at once; gives what was there.
    pub fn atom_add(
        &mut self,
        base: Reg<B64>,
        offset: i32,
        value: impl Into<Val<B32>>,
    ) -> Reg<B32> {
        let operands = vec![global(base, offset), value.into().operand()];
        self.def(Op::AtomAdd(Space::Global), operands)
    }

    /// Adds to a u32 of shared memory at once; gives what was there.
    pub fn atom_add_shared(
        &mut self,
        base: impl Into<SharedBase>,
        offset: i32,
        value: impl Into<Val<B32>>,
    ) -> Reg<B32> {
        let operands = vec![shared(base.into(), offset), value.into().operand()];
        self.def(Op::AtomAdd(Space::Shared), operands)
    }

    // Lanes.

    /// The value of another lane; all lanes take part.
    ///
    /// `bound` is the third operand of `shfl`: the last lane that is read from, and the mask of
    /// bits that stay as they are, shifted by 8.
    pub fn shuffle<K: Kind>(
        &mut self,
        shuffle: Shuffle,
        a: Reg<K>,
        lane: impl Into<Val<B32>>,
        bound: u32,
    ) -> Reg<K> {
        assert_eq!(K::CLASS.bits(), 32, "lanes give each other 32 bits");
        let d = self.reg::<K>();
        let operands = vec![
            Operand::Reg(d.any()),
            Operand::Reg(a.any()),
            lane.into().operand(),
            Operand::Int(bound.into()),
            Operand::Int(-1),
        ];
        self.push(Op::Shfl(shuffle), operands);
        d
    }

    /// The double of another lane, as two halves.
    pub fn shuffle_f64(
        &mut self,
        shuffle: Shuffle,
        a: Reg<F64>,
        lane: impl Into<Val<B32>>,
        bound: u32,
    ) -> Reg<F64> {
        let lane = lane.into();
        let halves = [self.reg::<B32>(), self.reg::<B32>()];
        let vector = Operand::Vector(halves.map(Reg::any).to_vec());
        self.push(Op::Unpack(Class::B64), vec![vector, Operand::Reg(a.any())]);
        let halves = halves.map(|half| self.shuffle(shuffle, half, lane, bound));
        let vector = Operand::Vector(halves.map(Reg::any).to_vec());
        self.def(Op::Pack(Class::B64), vec![vector])
    }

    fn one<K: Kind, A: Kind>(&mut self, op: Op, a: impl Into<Val<A>>) -> Reg<K> {
        let a = a.into().operand();
        self.def(op, vec![a])
    }

    fn two<K: Kind, A: Kind, B: Kind>(
        &mut self,
        op: Op,
        a: impl Into<Val<A>>,
        b: impl Into<Val<B>>,
    ) -> Reg<K> {
        let operands = vec![a.into().operand(), b.into().operand()];
        self.def(op, operands)
    }

    fn cvt<K: Kind, A: Kind>(&mut self, cvt: Cvt, a: Reg<A>) -> Reg<K> {
        self.def(Op::Cvt(cvt), vec![Operand::Reg(a.any())])
    }
}

fn global(base: Reg<B64>, offset: i32) -> Operand {
    Operand::Address { base: Base::Reg(base.any()), offset }
}

fn shared(base: SharedBase, offset: i32) -> Operand {
    let base = match base {
        SharedBase::Start => Base::Shared,
        SharedBase::At(reg) => Base::Reg(reg.any()),
    };
    Operand::Address { base, offset }
}
