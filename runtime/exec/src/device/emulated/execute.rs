//! Instructions that neither branch nor wait for other warps.

use ptx_builder::{Class, Num, Op, Space};

use super::arithmetic::signed;
use super::decode::Inst;
use super::float::{self, f32_of, single};
use super::global::Global;
use super::report::Outcome;
use super::shared::Shared;
use super::warp::Warp;

/// What the warps of a block reach.
#[derive(Debug)]
pub(super) struct Memories<'a> {
    pub(super) params: Vec<u64>,
    pub(super) classes: &'a [Class],
    pub(super) global: Global<'a>,
    pub(super) shared: Shared,
}

impl Warp {
    /// One match with an arm for each instruction; `mask` is not empty.
    pub(super) fn execute(
        &mut self,
        inst: &Inst,
        mask: u32,
        memories: &mut Memories<'_>,
    ) -> Outcome {
        match inst.op {
            Op::Mov(Class::Pred) => self.set_pred(inst, mask, self.pred(inst, 1)),
            Op::Mov(class) if class.bits() == 64 => self.wide1(inst, mask, |a| a),
            Op::Mov(_) => self.narrow1(inst, mask, |a| a),
            Op::Pack(Class::B64) => {
                self.widen2(inst, mask, |a, b| u64::from(a) | u64::from(b) << 32)
            }
            Op::Pack(_) => self.narrow2(inst, mask, |a, b| a & 0xffff | b << 16),
            Op::Unpack(class) => self.unpack(inst, mask, class),
            Op::Add(num) => self.add(inst, mask, num),
            Op::Sub(num) => self.sub(inst, mask, num),
            Op::Mul(num) => self.mul(inst, mask, num),
            Op::MulHi => {
                self.narrow2(inst, mask, |a, b| ((u64::from(a) * u64::from(b)) >> 32) as u32)
            }
            Op::MulWide(Num::U32) => self.widen2(inst, mask, |a, b| u64::from(a) * u64::from(b)),
            Op::MulWide(_) => self.widen2(inst, mask, |a, b| signed(a).wrapping_mul(signed(b))),
            Op::MadWide(Num::U32) => {
                self.mad_wide(inst, mask, |a, b| u64::from(a) * u64::from(b));
            }
            Op::MadWide(_) => self.mad_wide(inst, mask, |a, b| signed(a).wrapping_mul(signed(b))),
            Op::Mad(num) | Op::Fma(num) => self.mad(inst, mask, num),
            Op::Div(num) => self.div(inst, mask, num),
            Op::Rem(num) => self.rem(inst, mask, num),
            Op::Min(num) => self.min(inst, mask, num),
            Op::Max(num) => self.max(inst, mask, num),
            Op::Neg(num) => self.neg(inst, mask, num),
            Op::Abs(num) => self.abs(inst, mask, num),
            Op::Sqrt(Num::F64) => self.f64_1(inst, mask, f64::sqrt),
            Op::Sqrt(_) => self.narrow1(inst, mask, |a| single(f32_of(a).sqrt())),
            Op::RcpApprox => self.approx(inst, mask, |x| 1.0 / x),
            Op::RsqrtApprox => self.approx(inst, mask, |x| 1.0 / x.sqrt()),
            Op::Ex2Approx => self.approx(inst, mask, f64::exp2),
            Op::Lg2Approx => self.approx(inst, mask, f64::log2),
            Op::TanhApprox => self.approx(inst, mask, f64::tanh),
            Op::Logic(op, class) => self.logic(inst, mask, op, class),
            Op::Not(Class::Pred) => self.set_pred(inst, mask, !self.pred(inst, 1)),
            Op::Not(Class::B64) => self.wide1(inst, mask, |a| !a),
            Op::Not(_) => self.narrow1(inst, mask, |a| !a),
            Op::Shl(Class::B64) => self.shift(inst, mask, |a, n| a.checked_shl(n).unwrap_or(0)),
            Op::Shl(_) => self.narrow2(inst, mask, |a, n| a.checked_shl(n).unwrap_or(0)),
            Op::Shr(num) => self.shr(inst, mask, num),
            Op::Setp(cmp, num) => self.setp(inst, mask, cmp, num),
            Op::Selp(class) => self.selp(inst, mask, class),
            Op::Cvt(cvt) => self.cvt(inst, mask, cvt),
            Op::Ld(Space::Param, class, _) => return self.load_param(inst, mask, class, memories),
            Op::Ld(space, class, width) => {
                return self.load(inst, mask, memories, space, class, width.count());
            }
            Op::St(space, class, width) => {
                return self.store(inst, mask, memories, space, class, width.count());
            }
            Op::CvtaGlobal => self.wide1(inst, mask, |a| a),
            Op::CpAsync(bytes) => return self.copy_async(inst, mask, memories, bytes.into()),
            Op::CpAsyncCommit => self.copies.commit(mask),
            Op::CpAsyncWait => self.wait_for_copies(inst, mask, &mut memories.shared),
            Op::LdMatrix(n, is_transposed) => {
                return self.load_matrices(inst, mask, &mut memories.shared, n, is_transposed);
            }
            Op::MmaF16 => return self.multiply_matrices(inst, mask, float::from_f16),
            Op::MmaBf16 => return self.multiply_matrices(inst, mask, |half| half << 16),
            Op::Shfl(how) => return self.shuffle(inst, mask, how),
            Op::Ballot => return self.ballot(inst, mask),
            Op::AtomAdd(space) => return self.atom_add(inst, mask, memories, space),
            Op::BarWarpSync => return self.wait_for_lanes(inst, mask),
            Op::BarSync | Op::Bra | Op::Ret => unreachable!("what moves lanes is run by the block"),
        }
        Ok(())
    }
}
