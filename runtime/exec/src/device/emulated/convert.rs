//! Conversions between types, and registers of other sizes. PTX ISA 9.7.8.

use ptx_builder::{Class, Cvt};

use super::arithmetic::signed;
use super::decode::Inst;
use super::float::{self, f32_of, rounded, single};
use super::warp::Warp;

impl Warp {
    pub(super) fn cvt(&mut self, inst: &Inst, mask: u32, cvt: Cvt) {
        match cvt {
            Cvt::F32FromS32 => self.narrow1(inst, mask, |a| (a.cast_signed() as f32).to_bits()),
            Cvt::F64FromS32 => self.widen(inst, mask, |a| f64::from(a.cast_signed()).to_bits()),
            Cvt::S32FromF32 => self.narrow1(inst, mask, |a| (f32_of(a) as i32).cast_unsigned()),
            Cvt::S32FromF64 => self.shorten(inst, mask, |a| float::s32_of_f64(f64::from_bits(a))),
            Cvt::F32FromF64 => self.shorten(inst, mask, |a| rounded(f64::from_bits(a))),
            Cvt::F64FromF32 => self.widen(inst, mask, |a| f64::from(f32_of(a)).to_bits()),
            Cvt::F16FromF32 => self.narrow1(inst, mask, float::to_f16),
            Cvt::F32FromF16 => self.narrow1(inst, mask, float::from_f16),
            Cvt::Bf16FromF32 => self.narrow1(inst, mask, float::to_bf16),
            Cvt::F16x2FromF32 => {
                self.narrow2(inst, mask, |a, b| float::to_f16(a) << 16 | float::to_f16(b));
            }
            Cvt::Bf16x2FromF32 => {
                self.narrow2(inst, mask, |a, b| float::to_bf16(a) << 16 | float::to_bf16(b));
            }
            Cvt::FloorF32 => self.narrow1(inst, mask, |a| single(f32_of(a).floor())),
            Cvt::FloorF64 => self.f64_1(inst, mask, f64::floor),
            Cvt::NearestF32 => self.narrow1(inst, mask, |a| single(f32_of(a).round_ties_even())),
            Cvt::NearestF64 => self.f64_1(inst, mask, f64::round_ties_even),
            Cvt::U64FromU32 => self.widen(inst, mask, u64::from),
            Cvt::S64FromS32 => self.widen(inst, mask, signed),
            Cvt::U32FromU64 => self.shorten(inst, mask, |a| a as u32),
            Cvt::U32FromU16 | Cvt::U16FromU32 => self.narrow1(inst, mask, |a| a & 0xffff),
        }
    }

    /// The two halves of a register.
    pub(super) fn unpack(&mut self, inst: &Inst, mask: u32, class: Class) {
        let [low, high] = if class.bits() == 64 {
            let whole = self.wide(inst, 2);
            [whole.map(|a| a as u32), whole.map(|a| (a >> 32) as u32)]
        } else {
            let whole = self.narrow(inst, 2);
            [whole.map(|a| a & 0xffff), whole.map(|a| a >> 16)]
        };
        self.set_narrow(inst.regs[0], mask, &low);
        self.set_narrow(inst.regs[1], mask, &high);
    }
}
