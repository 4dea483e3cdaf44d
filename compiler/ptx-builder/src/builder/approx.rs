//! Functions of singles by one instruction, not correctly rounded: fast mode.

use super::Builder;
use crate::op::Op;
use crate::reg::{F32, Reg, Val};

impl Builder {
    /// 1 / a, within 1 ulp.
    pub fn rcp_approx(&mut self, a: impl Into<Val<F32>>) -> Reg<F32> {
        self.one(Op::RcpApprox, a)
    }

    /// 2^a, within 2 ulp.
    pub fn ex2_approx(&mut self, a: impl Into<Val<F32>>) -> Reg<F32> {
        self.one(Op::Ex2Approx, a)
    }

    /// The logarithm to base 2, within 2^-22.
    pub fn lg2_approx(&mut self, a: impl Into<Val<F32>>) -> Reg<F32> {
        self.one(Op::Lg2Approx, a)
    }
}
