//! Registers by class, and what else stands in the place of an operand.

use std::fmt::Debug;
use std::marker::PhantomData;

/// A class of registers, as `.reg` declares them. PTX ISA 5.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// A truth value.
    Pred,
    /// 16 bits: an f16, a bf16, or none of them.
    B16,
    /// 32 bits: an integer, or two of 16 bits.
    B32,
    /// 64 bits: an integer or an address.
    B64,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl Class {
    /// All of them, in the order in which an entry declares them.
    pub const ALL: [Class; 6] =
        [Class::Pred, Class::B16, Class::B32, Class::B64, Class::F32, Class::F64];

    /// As `.reg` declares it: `b32`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pred => "pred",
            Self::B16 => "b16",
            Self::B32 => "b32",
            Self::B64 => "b64",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// What the names of its registers start with, behind the `%`.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Pred => "p",
            Self::B16 => "h",
            Self::B32 => "r",
            Self::B64 => "rd",
            Self::F32 => "f",
            Self::F64 => "fd",
        }
    }

    /// Bits of a register; 1 for a truth value.
    pub fn bits(self) -> u32 {
        match self {
            Self::Pred => 1,
            Self::B16 => 16,
            Self::B32 | Self::F32 => 32,
            Self::B64 | Self::F64 => 64,
        }
    }

    /// Whether it is floating point.
    pub fn is_float(self) -> bool {
        match self {
            Self::F32 | Self::F64 => true,
            Self::Pred | Self::B16 | Self::B32 | Self::B64 => false,
        }
    }
}

/// A class as a type.
pub trait Kind: Copy + Debug + Eq {
    /// The class.
    const CLASS: Class;
}

/// Single and double precision.
pub trait Float: Kind {}

/// Integers of 32 and 64 bits.
pub trait Int: Kind {}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub struct $name;

        impl Kind for $name {
            const CLASS: Class = Class::$name;
        }
    )*};
}

kinds! {
    /// [`Class::Pred`].
    Pred,
    /// [`Class::B16`].
    B16,
    /// [`Class::B32`].
    B32,
    /// [`Class::B64`].
    B64,
    /// [`Class::F32`].
    F32,
    /// [`Class::F64`].
    F64
}

impl Float for F32 {}
impl Float for F64 {}
impl Int for B32 {}
impl Int for B64 {}

/// A register of any class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AnyReg {
    /// Its class.
    pub class: Class,
    /// Its number among those of its class.
    pub index: u32,
}

/// A register of a known class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reg<K> {
    pub(crate) index: u32,
    pub(crate) kind: PhantomData<K>,
}

impl<K: Kind> Reg<K> {
    /// Without its class in the type.
    pub fn any(self) -> AnyReg {
        AnyReg { class: K::CLASS, index: self.index }
    }
}

/// A value that an instruction reads: a register or an immediate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Val<K> {
    pub(crate) operand: Immediate,
    kind: PhantomData<K>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Immediate {
    Reg(u32),
    Int(i64),
    Float(u64),
}

impl<K: Kind> Val<K> {
    pub(crate) fn operand(self) -> Operand {
        match self.operand {
            Immediate::Reg(index) => Operand::Reg(AnyReg { class: K::CLASS, index }),
            Immediate::Int(number) => Operand::Int(number),
            Immediate::Float(bits) if K::CLASS == Class::F64 => Operand::F64(bits),
            Immediate::Float(bits) => Operand::F32(bits as u32),
        }
    }

    fn new(operand: Immediate) -> Self {
        Self { operand, kind: PhantomData }
    }
}

impl<K: Kind> From<Reg<K>> for Val<K> {
    fn from(reg: Reg<K>) -> Self {
        Self::new(Immediate::Reg(reg.index))
    }
}

impl From<i32> for Val<B32> {
    fn from(number: i32) -> Self {
        Self::new(Immediate::Int(number.into()))
    }
}

impl From<u32> for Val<B32> {
    /// The same 32 bits.
    fn from(number: u32) -> Self {
        Self::new(Immediate::Int(number.cast_signed().into()))
    }
}

impl From<i64> for Val<B64> {
    fn from(number: i64) -> Self {
        Self::new(Immediate::Int(number))
    }
}

impl From<f32> for Val<F32> {
    fn from(number: f32) -> Self {
        Self::new(Immediate::Float(number.to_bits().into()))
    }
}

impl From<f64> for Val<F64> {
    fn from(number: f64) -> Self {
        Self::new(Immediate::Float(number.to_bits()))
    }
}

/// A register that the hardware sets. PTX ISA 10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Special {
    /// The thread in its block, 10.1.
    TidX,
    /// Threads of a block, 10.2.
    NtidX,
    /// The lane in its warp, 10.3.
    LaneId,
    /// The block in its grid, 10.6.
    CtaidX,
    /// The block in its grid along the second axis, 10.6.
    CtaidY,
    /// The block in its grid along the third axis, 10.6.
    CtaidZ,
    /// Blocks of the grid, 10.7.
    NctaidX,
}

impl Special {
    /// All of them.
    pub const ALL: [Special; 7] = [
        Special::TidX,
        Special::NtidX,
        Special::LaneId,
        Special::CtaidX,
        Special::CtaidY,
        Special::CtaidZ,
        Special::NctaidX,
    ];

    /// As printed, behind the `%`: `tid.x`.
    pub fn name(self) -> &'static str {
        match self {
            Self::TidX => "tid.x",
            Self::NtidX => "ntid.x",
            Self::LaneId => "laneid",
            Self::CtaidX => "ctaid.x",
            Self::CtaidY => "ctaid.y",
            Self::CtaidZ => "ctaid.z",
            Self::NctaidX => "nctaid.x",
        }
    }
}

/// What an address starts from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Base {
    /// A register: 64 bits, or 32 for shared memory.
    Reg(AnyReg),
    /// A parameter of the entry, by its number.
    Param(u32),
    /// The shared memory of the launch.
    Shared,
}

/// An operand as it stands in an instruction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Operand {
    /// A register.
    Reg(AnyReg),
    /// Registers in braces.
    Vector(Vec<AnyReg>),
    /// An integer.
    Int(i64),
    /// The bits of a single, `0f3F800000`.
    F32(u32),
    /// The bits of a double, `0d3FF0000000000000`.
    F64(u64),
    /// A register of the hardware.
    Special(Special),
    /// The address of the shared memory of the launch.
    Shared,
    /// A place in memory: `[%rd1+16]`.
    Address {
        /// Where it starts.
        base: Base,
        /// Bytes further on.
        offset: i32,
    },
    /// A place in the code.
    Label(u32),
}
