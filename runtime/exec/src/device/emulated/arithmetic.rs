//! Arithmetic, by the type of its numbers. PTX ISA 9.7.1, 9.7.3, 9.7.5, 9.7.7.

use ptx_builder::{Class, Cmp, Logic, Num};

use super::decode::Inst;
use super::float::{self, f32_of, rounded, single};
use super::warp::{LANES, Warp};

/// Of all that divides by 0, as the hardware's routine leaves it.
const BY_ZERO: u64 = u64::MAX;

/// With its sign in 64 bits.
#[inline]
pub(super) fn signed(a: u32) -> u64 {
    i64::from(a.cast_signed()).cast_unsigned()
}

impl Warp {
    pub(super) fn add(&mut self, inst: &Inst, mask: u32, num: Num) {
        match num {
            Num::S32 | Num::U32 => self.narrow2(inst, mask, u32::wrapping_add),
            Num::S64 | Num::U64 => self.wide2(inst, mask, u64::wrapping_add),
            Num::F32 => self.f32_2(inst, mask, |a, b| a + b),
            Num::F64 => self.f64_2(inst, mask, |a, b| a + b),
        }
    }

    pub(super) fn sub(&mut self, inst: &Inst, mask: u32, num: Num) {
        match num {
            Num::S32 | Num::U32 => self.narrow2(inst, mask, u32::wrapping_sub),
            Num::S64 | Num::U64 => self.wide2(inst, mask, u64::wrapping_sub),
            Num::F32 => self.f32_2(inst, mask, |a, b| a - b),
            Num::F64 => self.f64_2(inst, mask, |a, b| a - b),
        }
    }

    pub(super) fn mul(&mut self, inst: &Inst, mask: u32, num: Num) {
        match num {
            Num::S32 | Num::U32 => self.narrow2(inst, mask, u32::wrapping_mul),
            Num::S64 | Num::U64 => self.wide2(inst, mask, u64::wrapping_mul),
            Num::F32 => self.f32_2(inst, mask, |a, b| a * b),
            Num::F64 => self.f64_2(inst, mask, |a, b| a * b),
        }
    }

    /// `a * b + c`, of floats with one rounding.
    pub(super) fn mad(&mut self, inst: &Inst, mask: u32, num: Num) {
        match num {
            Num::S32 | Num::U32 => {
                self.narrow3(inst, mask, |a, b, c| a.wrapping_mul(b).wrapping_add(c));
            }
            Num::S64 | Num::U64 => {
                self.wide3(inst, mask, |a, b, c| a.wrapping_mul(b).wrapping_add(c));
            }
            Num::F32 => {
                let [a, b, c] = [1, 2, 3].map(|at| self.narrow(inst, at));
                let all = float::fma(a, b, c);
                self.set_narrow(inst.regs[0], mask, &all);
            }
            Num::F64 => self.wide3(inst, mask, |a, b, c| {
                f64::from_bits(a).mul_add(f64::from_bits(b), f64::from_bits(c)).to_bits()
            }),
        }
    }

    pub(super) fn div(&mut self, inst: &Inst, mask: u32, num: Num) {
        match num {
            Num::S32 => self.narrow2(inst, mask, |a, b| match b {
                0 => BY_ZERO as u32,
                b => a.cast_signed().wrapping_div(b.cast_signed()).cast_unsigned(),
            }),
            Num::U32 => self.narrow2(inst, mask, |a, b| a.checked_div(b).unwrap_or(BY_ZERO as u32)),
            Num::S64 => self.wide2(inst, mask, |a, b| match b {
                0 => BY_ZERO,
                b => a.cast_signed().wrapping_div(b.cast_signed()).cast_unsigned(),
            }),
            Num::U64 => self.wide2(inst, mask, |a, b| a.checked_div(b).unwrap_or(BY_ZERO)),
            Num::F32 => self.f32_2(inst, mask, |a, b| a / b),
            Num::F64 => self.f64_2(inst, mask, |a, b| a / b),
        }
    }

    pub(super) fn rem(&mut self, inst: &Inst, mask: u32, num: Num) {
        match num {
            Num::S32 => self.narrow2(inst, mask, |a, b| match b {
                0 => a,
                b => a.cast_signed().wrapping_rem(b.cast_signed()).cast_unsigned(),
            }),
            Num::U32 => self.narrow2(inst, mask, |a, b| a.checked_rem(b).unwrap_or(a)),
            Num::S64 => self.wide2(inst, mask, |a, b| match b {
                0 => a,
                b => a.cast_signed().wrapping_rem(b.cast_signed()).cast_unsigned(),
            }),
            Num::U64 => self.wide2(inst, mask, |a, b| a.checked_rem(b).unwrap_or(a)),
            Num::F32 | Num::F64 => unreachable!("floats have no such instruction"),
        }
    }

    pub(super) fn min(&mut self, inst: &Inst, mask: u32, num: Num) {
        match num {
            Num::S32 => self.narrow2(inst, mask, |a, b| if is_less(a, b) { a } else { b }),
            Num::U32 => self.narrow2(inst, mask, u32::min),
            Num::S64 => self.wide2(inst, mask, |a, b| if is_less64(a, b) { a } else { b }),
            Num::U64 => self.wide2(inst, mask, u64::min),
            Num::F32 => self.narrow2(inst, mask, float::min),
            Num::F64 => self.wide2(inst, mask, float::min_f64),
        }
    }

    pub(super) fn max(&mut self, inst: &Inst, mask: u32, num: Num) {
        match num {
            Num::S32 => self.narrow2(inst, mask, |a, b| if is_less(a, b) { b } else { a }),
            Num::U32 => self.narrow2(inst, mask, u32::max),
            Num::S64 => self.wide2(inst, mask, |a, b| if is_less64(a, b) { b } else { a }),
            Num::U64 => self.wide2(inst, mask, u64::max),
            Num::F32 => self.narrow2(inst, mask, float::max),
            Num::F64 => self.wide2(inst, mask, float::max_f64),
        }
    }

    pub(super) fn neg(&mut self, inst: &Inst, mask: u32, num: Num) {
        match num {
            Num::S32 | Num::U32 => self.narrow1(inst, mask, u32::wrapping_neg),
            Num::S64 | Num::U64 => self.wide1(inst, mask, u64::wrapping_neg),
            Num::F32 => self.narrow1(inst, mask, |a| single(-f32_of(a))),
            Num::F64 => self.f64_1(inst, mask, |a| -a),
        }
    }

    pub(super) fn abs(&mut self, inst: &Inst, mask: u32, num: Num) {
        match num {
            Num::F32 => self.narrow1(inst, mask, |a| single(f32_of(a).abs())),
            Num::F64 => self.f64_1(inst, mask, f64::abs),
            Num::S32 | Num::U32 | Num::S64 | Num::U64 => {
                unreachable!("integers have no such instruction")
            }
        }
    }

    /// A function of singles, evaluated in double precision.
    pub(super) fn approx(&mut self, inst: &Inst, mask: u32, f: impl Fn(f64) -> f64) {
        self.narrow1(inst, mask, |a| rounded(f(f32_of(a).into())));
    }

    pub(super) fn logic(&mut self, inst: &Inst, mask: u32, op: Logic, class: Class) {
        if class == Class::Pred {
            let (a, b) = (self.pred(inst, 1), self.pred(inst, 2));
            let bits = match op {
                Logic::And => a & b,
                Logic::Or => a | b,
                Logic::Xor => a ^ b,
            };
            return self.set_pred(inst, mask, bits);
        }
        match (op, class.bits() == 64) {
            (Logic::And, false) => self.narrow2(inst, mask, |a, b| a & b),
            (Logic::Or, false) => self.narrow2(inst, mask, |a, b| a | b),
            (Logic::Xor, false) => self.narrow2(inst, mask, |a, b| a ^ b),
            (Logic::And, true) => self.wide2(inst, mask, |a, b| a & b),
            (Logic::Or, true) => self.wide2(inst, mask, |a, b| a | b),
            (Logic::Xor, true) => self.wide2(inst, mask, |a, b| a ^ b),
        }
    }

    /// With the sign where there is one; from the width on nothing else is left.
    pub(super) fn shr(&mut self, inst: &Inst, mask: u32, num: Num) {
        match num {
            Num::U32 => self.narrow2(inst, mask, |a, n| a.checked_shr(n).unwrap_or(0)),
            Num::U64 => self.shift(inst, mask, |a, n| a.checked_shr(n).unwrap_or(0)),
            Num::S32 => {
                self.narrow2(inst, mask, |a, n| (a.cast_signed() >> n.min(31)).cast_unsigned());
            }
            Num::S64 => {
                self.shift(inst, mask, |a, n| (a.cast_signed() >> n.min(63)).cast_unsigned());
            }
            Num::F32 | Num::F64 => unreachable!("floats have no such instruction"),
        }
    }

    pub(super) fn setp(&mut self, inst: &Inst, mask: u32, cmp: Cmp, num: Num) {
        match num {
            Num::S32 => self.compare(inst, mask, cmp, u32::cast_signed),
            Num::U32 => self.compare(inst, mask, cmp, |a| a),
            Num::F32 => self.compare(inst, mask, cmp, f32_of),
            Num::S64 => self.compare_wide(inst, mask, cmp, u64::cast_signed),
            Num::U64 => self.compare_wide(inst, mask, cmp, |a| a),
            Num::F64 => self.compare_wide(inst, mask, cmp, f64::from_bits),
        }
    }

    fn compare<T: PartialOrd>(&mut self, inst: &Inst, mask: u32, cmp: Cmp, of: impl Fn(u32) -> T) {
        match cmp {
            Cmp::Eq => self.test_narrow(inst, mask, |a, b| of(a) == of(b)),
            // False with NaN, unlike `!=`.
            Cmp::Ne => self.test_narrow(inst, mask, |a, b| of(a) < of(b) || of(a) > of(b)),
            Cmp::Lt => self.test_narrow(inst, mask, |a, b| of(a) < of(b)),
            Cmp::Le => self.test_narrow(inst, mask, |a, b| of(a) <= of(b)),
            Cmp::Gt => self.test_narrow(inst, mask, |a, b| of(a) > of(b)),
            Cmp::Ge => self.test_narrow(inst, mask, |a, b| of(a) >= of(b)),
            Cmp::Nan => self.test_narrow(inst, mask, |a, b| of(a).partial_cmp(&of(b)).is_none()),
        }
    }

    fn compare_wide<T: PartialOrd>(
        &mut self,
        inst: &Inst,
        mask: u32,
        cmp: Cmp,
        of: impl Fn(u64) -> T,
    ) {
        match cmp {
            Cmp::Eq => self.test_wide(inst, mask, |a, b| of(a) == of(b)),
            Cmp::Ne => self.test_wide(inst, mask, |a, b| of(a) < of(b) || of(a) > of(b)),
            Cmp::Lt => self.test_wide(inst, mask, |a, b| of(a) < of(b)),
            Cmp::Le => self.test_wide(inst, mask, |a, b| of(a) <= of(b)),
            Cmp::Gt => self.test_wide(inst, mask, |a, b| of(a) > of(b)),
            Cmp::Ge => self.test_wide(inst, mask, |a, b| of(a) >= of(b)),
            Cmp::Nan => self.test_wide(inst, mask, |a, b| of(a).partial_cmp(&of(b)).is_none()),
        }
    }

    pub(super) fn selp(&mut self, inst: &Inst, mask: u32, class: Class) {
        let first = self.pred(inst, 3);
        let takes = |lane: usize| first >> lane & 1 == 1;
        if class.bits() == 64 {
            let (a, b) = (self.wide(inst, 1), self.wide(inst, 2));
            let all: [u64; LANES] = std::array::from_fn(|l| if takes(l) { a[l] } else { b[l] });
            self.set_wide(inst.regs[0], mask, &all);
        } else {
            let (a, b) = (self.narrow(inst, 1), self.narrow(inst, 2));
            let all: [u32; LANES] = std::array::from_fn(|l| if takes(l) { a[l] } else { b[l] });
            self.set_narrow(inst.regs[0], mask, &all);
        }
    }
}

#[inline]
fn is_less(a: u32, b: u32) -> bool {
    a.cast_signed() < b.cast_signed()
}

#[inline]
fn is_less64(a: u64, b: u64) -> bool {
    a.cast_signed() < b.cast_signed()
}
