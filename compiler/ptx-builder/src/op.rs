//! The instructions: each legal operation with its modifiers is one value.
//!
//! [`Op::all`] lists them, so that text in is a lookup, and [`Op::slots`] says what operands each
//! takes, for the verifier and for whoever executes them. Arithmetic on floats rounds to nearest
//! even and keeps denormals: a bare `add.f32` might be fused with a product before it.

use crate::reg::Class;

/// A type of numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "named as PTX has them")]
pub enum Num {
    S32,
    U32,
    S64,
    U64,
    F32,
    F64,
}

impl Num {
    /// The class of its registers.
    pub fn class(self) -> Class {
        match self {
            Self::S32 | Self::U32 => Class::B32,
            Self::S64 | Self::U64 => Class::B64,
            Self::F32 => Class::F32,
            Self::F64 => Class::F64,
        }
    }

    /// As printed: `s32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::S32 => "s32",
            Self::U32 => "u32",
            Self::S64 => "s64",
            Self::U64 => "u64",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// `rn.f32` for floats, whose results are rounded.
    fn rounded(self) -> String {
        if self.class().is_float() { format!("rn.{}", self.name()) } else { self.name().to_owned() }
    }

    /// `rn.f32` for floats, `lo.s32` for the lower half of a product.
    fn low(self) -> String {
        if self.class().is_float() {
            format!("rn.{}", self.name())
        } else {
            format!("lo.{}", self.name())
        }
    }
}

/// A comparison; of floats it is false where one of them is NaN. PTX ISA 9.7.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "named as PTX has them")]
pub enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    /// Either is NaN; floats only.
    Nan,
}

impl Cmp {
    fn name(self) -> &'static str {
        match self {
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Lt => "lt",
            Self::Le => "le",
            Self::Gt => "gt",
            Self::Ge => "ge",
            Self::Nan => "nan",
        }
    }
}

/// An operation bit by bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "named as PTX has them")]
pub enum Logic {
    And,
    Or,
    Xor,
}

impl Logic {
    fn name(self) -> &'static str {
        match self {
            Self::And => "and",
            Self::Or => "or",
            Self::Xor => "xor",
        }
    }
}

/// A memory. PTX ISA 5.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Space {
    /// That of the device.
    Global,
    /// That of a block.
    Shared,
    /// Arguments of the entry.
    Param,
}

impl Space {
    fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Shared => "shared",
            Self::Param => "param",
        }
    }
}

/// How many registers one access to memory moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs, reason = "a number each")]
pub enum Width {
    One,
    Two,
    Four,
}

impl Width {
    /// The number.
    pub fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

/// A conversion. PTX ISA 9.7.8.21.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cvt {
    /// A signed integer to the nearest single.
    F32FromS32,
    /// A signed integer to a double, exactly.
    F64FromS32,
    /// Towards 0, saturating; NaN to 0.
    S32FromF32,
    /// Towards 0, saturating; NaN to the least number.
    S32FromF64,
    /// To the nearest single.
    F32FromF64,
    /// Exactly.
    F64FromF32,
    /// To the nearest half.
    F16FromF32,
    /// Exactly.
    F32FromF16,
    /// To the nearest bf16.
    Bf16FromF32,
    /// Two singles to the nearest halves, the first one in the upper 16 bits.
    F16x2FromF32,
    /// Two singles to the nearest bf16, the first one in the upper 16 bits.
    Bf16x2FromF32,
    /// Downwards to a whole number.
    FloorF32,
    /// Downwards to a whole number.
    FloorF64,
    /// To the nearest whole number, ties to even.
    NearestF32,
    /// To the nearest whole number, ties to even.
    NearestF64,
    /// With zeros.
    U64FromU32,
    /// With the sign.
    S64FromS32,
    /// The lower 32 bits.
    U32FromU64,
    /// With zeros.
    U32FromU16,
    /// The lower 16 bits.
    U16FromU32,
}

impl Cvt {
    const ALL: [Cvt; 20] = [
        Cvt::F32FromS32,
        Cvt::F64FromS32,
        Cvt::S32FromF32,
        Cvt::S32FromF64,
        Cvt::F32FromF64,
        Cvt::F64FromF32,
        Cvt::F16FromF32,
        Cvt::F32FromF16,
        Cvt::Bf16FromF32,
        Cvt::F16x2FromF32,
        Cvt::Bf16x2FromF32,
        Cvt::FloorF32,
        Cvt::FloorF64,
        Cvt::NearestF32,
        Cvt::NearestF64,
        Cvt::U64FromU32,
        Cvt::S64FromS32,
        Cvt::U32FromU64,
        Cvt::U32FromU16,
        Cvt::U16FromU32,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::F32FromS32 => "rn.f32.s32",
            Self::F64FromS32 => "rn.f64.s32",
            Self::S32FromF32 => "rzi.s32.f32",
            Self::S32FromF64 => "rzi.s32.f64",
            Self::F32FromF64 => "rn.f32.f64",
            Self::F64FromF32 => "f64.f32",
            Self::F16FromF32 => "rn.f16.f32",
            Self::F32FromF16 => "f32.f16",
            Self::Bf16FromF32 => "rn.bf16.f32",
            Self::F16x2FromF32 => "rn.f16x2.f32",
            Self::Bf16x2FromF32 => "rn.bf16x2.f32",
            Self::FloorF32 => "rmi.f32.f32",
            Self::FloorF64 => "rmi.f64.f64",
            Self::NearestF32 => "rni.f32.f32",
            Self::NearestF64 => "rni.f64.f64",
            Self::U64FromU32 => "u64.u32",
            Self::S64FromS32 => "s64.s32",
            Self::U32FromU64 => "u32.u64",
            Self::U32FromU16 => "u32.u16",
            Self::U16FromU32 => "u16.u32",
        }
    }

    /// The class of the result, and that of each operand.
    fn classes(self) -> (Class, &'static [Class]) {
        match self {
            Self::F32FromS32 => (Class::F32, &[Class::B32]),
            Self::F64FromS32 => (Class::F64, &[Class::B32]),
            Self::S32FromF32 => (Class::B32, &[Class::F32]),
            Self::S32FromF64 => (Class::B32, &[Class::F64]),
            Self::F32FromF64 => (Class::F32, &[Class::F64]),
            Self::F64FromF32 => (Class::F64, &[Class::F32]),
            Self::F16FromF32 | Self::Bf16FromF32 => (Class::B16, &[Class::F32]),
            Self::F32FromF16 => (Class::F32, &[Class::B16]),
            Self::F16x2FromF32 | Self::Bf16x2FromF32 => (Class::B32, &[Class::F32, Class::F32]),
            Self::FloorF32 | Self::NearestF32 => (Class::F32, &[Class::F32]),
            Self::FloorF64 | Self::NearestF64 => (Class::F64, &[Class::F64]),
            Self::U64FromU32 | Self::S64FromS32 => (Class::B64, &[Class::B32]),
            Self::U32FromU64 => (Class::B32, &[Class::B64]),
            Self::U32FromU16 => (Class::B32, &[Class::B16]),
            Self::U16FromU32 => (Class::B16, &[Class::B32]),
        }
    }
}

/// Which lane another one reads from. PTX ISA 9.7.8.6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shuffle {
    /// So many lanes down.
    Down,
    /// So many lanes up.
    Up,
    /// That with these bits of its number flipped.
    Butterfly,
    /// That with this number.
    Index,
}

impl Shuffle {
    fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Up => "up",
            Self::Butterfly => "bfly",
            Self::Index => "idx",
        }
    }
}

/// An instruction without its operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Op {
    /// `d = a`, from a register, an immediate, the hardware, or shared memory's address; bits may go
    /// from one class to another of their size. 9.7.8.3.
    Mov(Class),
    /// `d = {low, high}`. 9.7.8.4; the class is that of `d`.
    Pack(Class),
    /// `{low, high} = a`. 9.7.8.4; the class is that of `a`.
    Unpack(Class),
    /// `d = a + b`. 9.7.1.1, 9.7.3.3.
    Add(Num),
    /// `d = a - b`. 9.7.1.2, 9.7.3.4.
    Sub(Num),
    /// `d = a * b`; of integers the lower half. 9.7.1.3, 9.7.3.5.
    Mul(Num),
    /// The upper half of the product of two u32. 9.7.1.3.
    MulHi,
    /// The product of two 32-bit integers in 64 bits. 9.7.1.3.
    MulWide(Num),
    /// `d = a * b + c` of integers, the lower half. 9.7.1.4.
    Mad(Num),
    /// `d = a * b + c` with the product and `c` in 64 bits. 9.7.1.4.
    MadWide(Num),
    /// `d = a * b + c` with one rounding. 9.7.3.6.
    Fma(Num),
    /// `d = a / b`; of integers towards 0. 9.7.1.7, 9.7.3.8.
    Div(Num),
    /// The rest of `a / b`. 9.7.1.8.
    Rem(Num),
    /// The smaller one; of singles, NaN wins and -0 is below +0; of doubles, a number wins over NaN.
    /// 9.7.1.10, 9.7.3.11.
    Min(Num),
    /// The larger one, as [`Op::Min`]. 9.7.1.11, 9.7.3.12.
    Max(Num),
    /// `d = -a`. 9.7.1.9, 9.7.3.10.
    Neg(Num),
    /// Without the sign. 9.7.3.9.
    Abs(Num),
    /// The square root. 9.7.3.15.
    Sqrt(Num),
    /// 1 / a, within 1 ulp; fast mode. 9.7.3.13.
    RcpApprox,
    /// 1 / the square root, within 2^-22.9; fast mode. 9.7.3.16.
    RsqrtApprox,
    /// 2^a, within 2 ulp; fast mode. 9.7.3.20.
    Ex2Approx,
    /// The logarithm to base 2, within 2^-22; fast mode. 9.7.3.19.
    Lg2Approx,
    /// Within 2^-11; fast mode. 9.7.3.21.
    TanhApprox,
    /// Bit by bit, of truth values too. 9.7.7.1 to 9.7.7.3.
    Logic(Logic, Class),
    /// Bit by bit. 9.7.7.4.
    Not(Class),
    /// `d = a << b`; 0 from the width on. 9.7.7.7.
    Shl(Class),
    /// `d = a >> b`, with the sign where the type has one. 9.7.7.8.
    Shr(Num),
    /// `p = a cmp b`. 9.7.5.2, 9.7.6.2.
    Setp(Cmp, Num),
    /// `d = p ? a : b`, operands `a, b, p`. 9.7.5.3.
    Selp(Class),
    /// To another type.
    Cvt(Cvt),
    /// From memory to registers. 9.7.8.8.
    Ld(Space, Class, Width),
    /// From registers to memory. 9.7.8.11.
    St(Space, Class, Width),
    /// An address of any memory as one of global memory. 9.7.8.20.
    CvtaGlobal,
    /// 4, 8 or 16 bytes from global to shared memory, behind the back of the thread; zeros beyond
    /// the bytes that are to be read. 9.7.8.24.
    CpAsync(u8),
    /// Ends a group of copies. 9.7.8.24.
    CpAsyncCommit,
    /// Waits until at most so many groups are under way. 9.7.8.24.
    CpAsyncWait,
    /// 1, 2 or 4 matrices of 8 by 8 elements of 16 bits, perhaps transposed; each lane names a row.
    /// 9.7.14.
    LdMatrix(u8, bool),
    /// 16 by 16 times 16 by 8 halves added to singles. 9.7.13.
    MmaF16,
    /// 16 by 16 times 16 by 8 bf16 added to singles. 9.7.13.
    MmaBf16,
    /// The value of another lane: `d, a, b, c, members`. 9.7.8.6.
    Shfl(Shuffle),
    /// A bit for each lane: whether it is a member and its truth value holds. 9.7.12.9.
    Ballot,
    /// The old value, to which one was added. 9.7.12.4.
    AtomAdd(Space),
    /// Waits for all threads of the block. 9.7.12.1.
    BarSync,
    /// Waits for the lanes of a warp. 9.7.12.2.
    BarWarpSync,
    /// To a label. 9.7.11.2.
    Bra,
    /// Ends the thread. 9.7.11.5.
    Ret,
}

/// The place of an operand and what may stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// A register that is written.
    Def(Class),
    /// A register that is written, of any class of that many bits.
    DefBits(u32),
    /// Registers that are written, any of that many bits each.
    Defs(usize, u32),
    /// A register or an immediate.
    Use(Class),
    /// A register of any class of that many bits, or an immediate of it.
    UseBits(u32),
    /// Registers that are read, any of that many bits each.
    Uses(usize, u32),
    /// What `mov` takes: any register of that many bits, an immediate, the hardware's registers.
    Source(Class),
    /// A place in a memory.
    Address(Space),
    /// A number that is known.
    Number,
    /// A place in the code.
    Label,
}

const INTS: [Num; 4] = [Num::S32, Num::U32, Num::S64, Num::U64];
const FLOATS: [Num; 2] = [Num::F32, Num::F64];
const PLAIN: [Num; 4] = [Num::S32, Num::S64, Num::F32, Num::F64];

impl Op {
    /// Every instruction.
    pub fn all() -> Vec<Op> {
        let mut all = vec![
            Op::MulHi,
            Op::RcpApprox,
            Op::RsqrtApprox,
            Op::Ex2Approx,
            Op::Lg2Approx,
            Op::TanhApprox,
            Op::CvtaGlobal,
            Op::CpAsyncCommit,
            Op::CpAsyncWait,
            Op::MmaF16,
            Op::MmaBf16,
            Op::Ballot,
            Op::BarSync,
            Op::BarWarpSync,
            Op::Bra,
            Op::Ret,
        ];
        all.extend(Class::ALL.map(Op::Mov));
        all.extend([Class::B32, Class::B64].map(Op::Pack));
        all.extend([Class::B32, Class::B64].map(Op::Unpack));
        for num in PLAIN {
            all.extend([Op::Add(num), Op::Sub(num), Op::Mul(num), Op::Neg(num)]);
        }
        for num in INTS {
            all.extend([Op::Div(num), Op::Rem(num), Op::Shr(num)]);
        }
        all.extend([Num::S32, Num::U32].map(Op::MulWide));
        all.extend([Num::S32, Num::U32].map(Op::MadWide));
        all.extend([Num::S32, Num::S64].map(Op::Mad));
        for num in FLOATS {
            all.extend([Op::Fma(num), Op::Div(num), Op::Abs(num), Op::Sqrt(num)]);
            all.push(Op::Setp(Cmp::Nan, num));
        }
        for num in INTS.into_iter().chain(FLOATS) {
            all.extend([Op::Min(num), Op::Max(num)]);
            let cmps = [Cmp::Eq, Cmp::Ne, Cmp::Lt, Cmp::Le, Cmp::Gt, Cmp::Ge];
            all.extend(cmps.map(|cmp| Op::Setp(cmp, num)));
        }
        for class in [Class::Pred, Class::B32, Class::B64] {
            all.extend([Logic::And, Logic::Or, Logic::Xor].map(|op| Op::Logic(op, class)));
            all.push(Op::Not(class));
        }
        all.extend([Class::B32, Class::B64].map(Op::Shl));
        let values = [Class::B16, Class::B32, Class::B64, Class::F32, Class::F64];
        all.extend(values.map(Op::Selp));
        all.extend(Cvt::ALL.map(Op::Cvt));
        for space in [Space::Global, Space::Shared] {
            for (class, width) in accesses(&values) {
                all.extend([Op::Ld(space, class, width), Op::St(space, class, width)]);
            }
            all.push(Op::AtomAdd(space));
        }
        all.extend([Class::B32, Class::B64].map(|c| Op::Ld(Space::Param, c, Width::One)));
        all.extend([4, 8, 16].map(Op::CpAsync));
        for n in [1, 2, 4] {
            all.extend([false, true].map(|is_transposed| Op::LdMatrix(n, is_transposed)));
        }
        let shuffles = [Shuffle::Down, Shuffle::Up, Shuffle::Butterfly, Shuffle::Index];
        all.extend(shuffles.map(Op::Shfl));
        all
    }

    /// As printed, with its modifiers and types: `add.rn.f32`.
    pub fn text(self) -> String {
        match self {
            Self::Mov(c) => format!("mov.{}", c.name()),
            // Told apart from a plain move by their braces.
            Self::Pack(c) | Self::Unpack(c) => format!("mov.{}", c.name()),
            Self::Add(n) => format!("add.{}", n.rounded()),
            Self::Sub(n) => format!("sub.{}", n.rounded()),
            Self::Mul(n) => format!("mul.{}", n.low()),
            Self::MulHi => "mul.hi.u32".to_owned(),
            Self::MulWide(n) => format!("mul.wide.{}", n.name()),
            Self::Mad(n) => format!("mad.lo.{}", n.name()),
            Self::MadWide(n) => format!("mad.wide.{}", n.name()),
            Self::Fma(n) => format!("fma.rn.{}", n.name()),
            Self::Div(n) => format!("div.{}", n.rounded()),
            Self::Rem(n) => format!("rem.{}", n.name()),
            Self::Min(Num::F32) => "min.NaN.f32".to_owned(),
            Self::Max(Num::F32) => "max.NaN.f32".to_owned(),
            Self::Min(n) => format!("min.{}", n.name()),
            Self::Max(n) => format!("max.{}", n.name()),
            Self::Neg(n) => format!("neg.{}", n.name()),
            Self::Abs(n) => format!("abs.{}", n.name()),
            Self::Sqrt(n) => format!("sqrt.rn.{}", n.name()),
            Self::RcpApprox => "rcp.approx.f32".to_owned(),
            Self::RsqrtApprox => "rsqrt.approx.f32".to_owned(),
            Self::Ex2Approx => "ex2.approx.f32".to_owned(),
            Self::Lg2Approx => "lg2.approx.f32".to_owned(),
            Self::TanhApprox => "tanh.approx.f32".to_owned(),
            Self::Logic(op, c) => format!("{}.{}", op.name(), c.name()),
            Self::Not(c) => format!("not.{}", c.name()),
            Self::Shl(c) => format!("shl.{}", c.name()),
            Self::Shr(n) => format!("shr.{}", n.name()),
            Self::Setp(cmp, n) => format!("setp.{}.{}", cmp.name(), n.name()),
            Self::Selp(c) => format!("selp.{}", c.name()),
            Self::Cvt(cvt) => format!("cvt.{}", cvt.name()),
            Self::Ld(space, c, width) => {
                format!("ld.{}{}.{}", space.name(), vector(width), c.name())
            }
            Self::St(space, c, width) => {
                format!("st.{}{}.{}", space.name(), vector(width), c.name())
            }
            Self::CvtaGlobal => "cvta.to.global.u64".to_owned(),
            // Only 16 bytes may pass by the first cache.
            Self::CpAsync(16) => "cp.async.cg.shared.global".to_owned(),
            Self::CpAsync(_) => "cp.async.ca.shared.global".to_owned(),
            Self::CpAsyncCommit => "cp.async.commit_group".to_owned(),
            Self::CpAsyncWait => "cp.async.wait_group".to_owned(),
            Self::LdMatrix(n, false) => format!("ldmatrix.sync.aligned.m8n8.x{n}.shared.b16"),
            Self::LdMatrix(n, true) => format!("ldmatrix.sync.aligned.m8n8.x{n}.trans.shared.b16"),
            Self::MmaF16 => "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32".to_owned(),
            Self::MmaBf16 => "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32".to_owned(),
            Self::Shfl(shuffle) => format!("shfl.sync.{}.b32", shuffle.name()),
            Self::Ballot => "vote.sync.ballot.b32".to_owned(),
            Self::AtomAdd(space) => format!("atom.{}.add.u32", space.name()),
            Self::BarSync => "bar.sync".to_owned(),
            Self::BarWarpSync => "bar.warp.sync".to_owned(),
            Self::Bra => "bra".to_owned(),
            Self::Ret => "ret".to_owned(),
        }
    }

    /// Its operands, in order.
    pub fn slots(self) -> Vec<Slot> {
        let two = |c| vec![Slot::Def(c), Slot::Use(c), Slot::Use(c)];
        let one = |c| vec![Slot::Def(c), Slot::Use(c)];
        let three = |c| vec![Slot::Def(c), Slot::Use(c), Slot::Use(c), Slot::Use(c)];
        let (b32, b64) = (Class::B32, Class::B64);
        match self {
            Self::Mov(c) if c.is_float() || c == Class::Pred => vec![Slot::Def(c), Slot::Source(c)],
            Self::Mov(c) => vec![Slot::DefBits(c.bits()), Slot::Source(c)],
            Self::Pack(c) => vec![Slot::DefBits(c.bits()), Slot::Uses(2, c.bits() / 2)],
            Self::Unpack(c) => vec![Slot::Defs(2, c.bits() / 2), Slot::UseBits(c.bits())],
            Self::Add(n) | Self::Sub(n) | Self::Mul(n) | Self::Div(n) | Self::Rem(n) => {
                two(n.class())
            }
            Self::Min(n) | Self::Max(n) => two(n.class()),
            Self::MulHi => two(b32),
            Self::MulWide(_) => vec![Slot::Def(b64), Slot::Use(b32), Slot::Use(b32)],
            Self::MadWide(_) => {
                vec![Slot::Def(b64), Slot::Use(b32), Slot::Use(b32), Slot::Use(b64)]
            }
            Self::Mad(n) | Self::Fma(n) => three(n.class()),
            Self::Neg(n) | Self::Abs(n) | Self::Sqrt(n) => one(n.class()),
            Self::RcpApprox | Self::RsqrtApprox | Self::Ex2Approx => one(Class::F32),
            Self::Lg2Approx | Self::TanhApprox => one(Class::F32),
            Self::Logic(_, c) => two(c),
            Self::Not(c) => one(c),
            Self::Shl(c) => vec![Slot::Def(c), Slot::Use(c), Slot::Use(b32)],
            Self::Shr(n) => vec![Slot::Def(n.class()), Slot::Use(n.class()), Slot::Use(b32)],
            Self::Setp(_, n) => {
                vec![Slot::Def(Class::Pred), Slot::Use(n.class()), Slot::Use(n.class())]
            }
            Self::Selp(c) => {
                vec![Slot::Def(c), Slot::Use(c), Slot::Use(c), Slot::Use(Class::Pred)]
            }
            Self::Cvt(cvt) => {
                let (to, from) = cvt.classes();
                std::iter::once(Slot::Def(to)).chain(from.iter().map(|&c| Slot::Use(c))).collect()
            }
            Self::Ld(space, c, Width::One) => vec![loaded(c), Slot::Address(space)],
            Self::Ld(space, c, width) => {
                vec![Slot::Defs(width.count(), c.bits()), Slot::Address(space)]
            }
            Self::St(space, c, Width::One) => vec![Slot::Address(space), stored(c)],
            Self::St(space, c, width) => {
                vec![Slot::Address(space), Slot::Uses(width.count(), c.bits())]
            }
            Self::CvtaGlobal => one(b64),
            Self::CpAsync(_) => vec![
                Slot::Address(Space::Shared),
                Slot::Address(Space::Global),
                Slot::Number,
                Slot::Use(b32),
            ],
            Self::CpAsyncCommit | Self::Ret => vec![],
            Self::CpAsyncWait | Self::BarSync => vec![Slot::Number],
            Self::LdMatrix(n, _) => {
                vec![Slot::Defs(n.into(), 32), Slot::Address(Space::Shared)]
            }
            Self::MmaF16 | Self::MmaBf16 => {
                vec![Slot::Defs(4, 32), Slot::Uses(4, 32), Slot::Uses(2, 32), Slot::Uses(4, 32)]
            }
            Self::Shfl(_) => vec![
                Slot::DefBits(32),
                Slot::UseBits(32),
                Slot::Use(b32),
                Slot::Use(b32),
                Slot::Use(b32),
            ],
            Self::Ballot => vec![Slot::Def(b32), Slot::Use(Class::Pred), Slot::Use(b32)],
            Self::AtomAdd(space) => vec![Slot::Def(b32), Slot::Address(space), Slot::Use(b32)],
            Self::BarWarpSync => vec![Slot::Use(b32)],
            Self::Bra => vec![Slot::Label],
        }
    }
}

/// Classes and widths of one access: 16 bytes at most.
fn accesses(values: &[Class]) -> Vec<(Class, Width)> {
    let widths = [Width::One, Width::Two, Width::Four];
    let all = values.iter().flat_map(|&class| widths.map(|width| (class, width)));
    all.filter(|(class, width)| class.bits() as usize * width.count() <= 128).collect()
}

/// Bits may go to any register of their size, numbers only to their own.
fn loaded(class: Class) -> Slot {
    if class.is_float() { Slot::Def(class) } else { Slot::DefBits(class.bits()) }
}

fn stored(class: Class) -> Slot {
    if class.is_float() { Slot::Use(class) } else { Slot::UseBits(class.bits()) }
}

fn vector(width: Width) -> &'static str {
    match width {
        Width::One => "",
        Width::Two => ".v2",
        Width::Four => ".v4",
    }
}
