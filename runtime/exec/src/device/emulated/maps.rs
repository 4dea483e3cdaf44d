//! One function on the registers of all lanes: loops that become vectors.
//!
//! All 32 lanes are evaluated, and only those of the mask are kept, so a function may not fail.

use super::decode::Inst;
use super::warp::{FULL, LANES, Warp};

/// Keeps the lanes of a mask.
#[inline]
fn keep<T: Copy>(to: &mut [T; LANES], mask: u32, values: &[T; LANES]) {
    if mask == FULL {
        *to = *values;
        return;
    }
    for (lane, (to, value)) in to.iter_mut().zip(values).enumerate() {
        if mask >> lane & 1 == 1 {
            *to = *value;
        }
    }
}

/// A function of one operand.
#[inline]
pub(super) fn map<A: Copy, T: Copy + Default>(a: &[A; LANES], f: impl Fn(A) -> T) -> [T; LANES] {
    let mut all = [T::default(); LANES];
    for lane in 0..LANES {
        all[lane] = f(a[lane]);
    }
    all
}

#[inline]
fn map2<A: Copy, B: Copy, T: Copy + Default>(
    a: &[A; LANES],
    b: &[B; LANES],
    f: impl Fn(A, B) -> T,
) -> [T; LANES] {
    let mut all = [T::default(); LANES];
    for lane in 0..LANES {
        all[lane] = f(a[lane], b[lane]);
    }
    all
}

#[inline]
fn map3<A: Copy, B: Copy, C: Copy, T: Copy + Default>(
    a: &[A; LANES],
    b: &[B; LANES],
    c: &[C; LANES],
    f: impl Fn(A, B, C) -> T,
) -> [T; LANES] {
    let mut all = [T::default(); LANES];
    for lane in 0..LANES {
        all[lane] = f(a[lane], b[lane], c[lane]);
    }
    all
}

/// The lanes for which it holds.
#[inline]
fn bits(all: &[bool; LANES]) -> u32 {
    (0..).zip(all).fold(0, |bits, (lane, &holds)| bits | u32::from(holds) << lane)
}

// `32` is `narrow`, `64` is `wide`; what a function is named for is what it takes.
impl Warp {
    #[inline]
    pub(super) fn set_narrow(&mut self, to: u16, mask: u32, values: &[u32; LANES]) {
        keep(&mut self.narrow[to as usize], mask, values);
    }

    #[inline]
    pub(super) fn set_wide(&mut self, to: u16, mask: u32, values: &[u64; LANES]) {
        keep(&mut self.wide[to as usize], mask, values);
    }

    #[inline]
    pub(super) fn set_pred(&mut self, inst: &Inst, mask: u32, bits: u32) {
        let to = &mut self.preds[inst.regs[0] as usize];
        *to = *to & !mask | bits & mask;
    }

    /// An operand.
    #[inline]
    pub(super) fn pred(&self, inst: &Inst, at: usize) -> u32 {
        self.preds[inst.regs[at] as usize]
    }

    /// An operand.
    #[inline]
    pub(super) fn narrow(&self, inst: &Inst, at: usize) -> &[u32; LANES] {
        &self.narrow[inst.regs[at] as usize]
    }

    /// An operand.
    #[inline]
    pub(super) fn wide(&self, inst: &Inst, at: usize) -> &[u64; LANES] {
        &self.wide[inst.regs[at] as usize]
    }

    pub(super) fn narrow1(&mut self, inst: &Inst, mask: u32, f: impl Fn(u32) -> u32) {
        let all = map(self.narrow(inst, 1), f);
        self.set_narrow(inst.regs[0], mask, &all);
    }

    pub(super) fn narrow2(&mut self, inst: &Inst, mask: u32, f: impl Fn(u32, u32) -> u32) {
        let all = map2(self.narrow(inst, 1), self.narrow(inst, 2), f);
        self.set_narrow(inst.regs[0], mask, &all);
    }

    pub(super) fn narrow3(&mut self, inst: &Inst, mask: u32, f: impl Fn(u32, u32, u32) -> u32) {
        let all = map3(self.narrow(inst, 1), self.narrow(inst, 2), self.narrow(inst, 3), f);
        self.set_narrow(inst.regs[0], mask, &all);
    }

    pub(super) fn wide1(&mut self, inst: &Inst, mask: u32, f: impl Fn(u64) -> u64) {
        let all = map(self.wide(inst, 1), f);
        self.set_wide(inst.regs[0], mask, &all);
    }

    pub(super) fn wide2(&mut self, inst: &Inst, mask: u32, f: impl Fn(u64, u64) -> u64) {
        let all = map2(self.wide(inst, 1), self.wide(inst, 2), f);
        self.set_wide(inst.regs[0], mask, &all);
    }

    pub(super) fn wide3(&mut self, inst: &Inst, mask: u32, f: impl Fn(u64, u64, u64) -> u64) {
        let all = map3(self.wide(inst, 1), self.wide(inst, 2), self.wide(inst, 3), f);
        self.set_wide(inst.regs[0], mask, &all);
    }

    pub(super) fn f64_1(&mut self, inst: &Inst, mask: u32, f: impl Fn(f64) -> f64) {
        self.wide1(inst, mask, |a| f(f64::from_bits(a)).to_bits());
    }

    pub(super) fn f64_2(&mut self, inst: &Inst, mask: u32, f: impl Fn(f64, f64) -> f64) {
        self.wide2(inst, mask, |a, b| f(f64::from_bits(a), f64::from_bits(b)).to_bits());
    }

    pub(super) fn f32_2(&mut self, inst: &Inst, mask: u32, f: impl Fn(f32, f32) -> f32) {
        let of = super::float::f32_of;
        self.narrow2(inst, mask, |a, b| super::float::single(f(of(a), of(b))));
    }

    /// To 64 bits.
    pub(super) fn widen(&mut self, inst: &Inst, mask: u32, f: impl Fn(u32) -> u64) {
        let all = map(self.narrow(inst, 1), f);
        self.set_wide(inst.regs[0], mask, &all);
    }

    /// Two to 64 bits.
    pub(super) fn widen2(&mut self, inst: &Inst, mask: u32, f: impl Fn(u32, u32) -> u64) {
        let all = map2(self.narrow(inst, 1), self.narrow(inst, 2), f);
        self.set_wide(inst.regs[0], mask, &all);
    }

    /// A product in 64 bits, and a sum.
    pub(super) fn mad_wide(&mut self, inst: &Inst, mask: u32, product: impl Fn(u32, u32) -> u64) {
        let (a, b, c) = (self.narrow(inst, 1), self.narrow(inst, 2), self.wide(inst, 3));
        let all = map3(a, b, c, |a, b, c| product(a, b).wrapping_add(c));
        self.set_wide(inst.regs[0], mask, &all);
    }

    /// To 32 bits.
    pub(super) fn shorten(&mut self, inst: &Inst, mask: u32, f: impl Fn(u64) -> u32) {
        let all = map(self.wide(inst, 1), f);
        self.set_narrow(inst.regs[0], mask, &all);
    }

    /// 64 bits by a number of 32.
    pub(super) fn shift(&mut self, inst: &Inst, mask: u32, f: impl Fn(u64, u32) -> u64) {
        let all = map2(self.wide(inst, 1), self.narrow(inst, 2), f);
        self.set_wide(inst.regs[0], mask, &all);
    }

    pub(super) fn test_narrow(&mut self, inst: &Inst, mask: u32, f: impl Fn(u32, u32) -> bool) {
        let holds = bits(&map2(self.narrow(inst, 1), self.narrow(inst, 2), f));
        self.set_pred(inst, mask, holds);
    }

    pub(super) fn test_wide(&mut self, inst: &Inst, mask: u32, f: impl Fn(u64, u64) -> bool) {
        let holds = bits(&map2(self.wide(inst, 1), self.wide(inst, 2), f));
        self.set_pred(inst, mask, holds);
    }
}
