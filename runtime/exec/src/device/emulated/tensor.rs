//! Matrices of 16-bit elements: their rows from shared memory, and their product.

use super::decode::Inst;
use super::float::f32_of;
use super::report::Outcome;
use super::shared::Shared;
use super::warp::{LANES, Warp};

/// Bytes of a row of 8 elements.
const ROW_BYTES: usize = 16;

impl Warp {
    /// Loads `n` matrices of 8 by 8; a lane gets two neighbours of a row, or of a column where
    /// they are transposed. PTX ISA 9.7.14.5.15.
    pub(super) fn load_matrices(
        &mut self,
        inst: &Inst,
        mask: u32,
        shared: &mut Shared,
        n: u8,
        is_transposed: bool,
    ) -> Outcome {
        self.all_take_part(mask)?;
        let addresses = self.addresses(&inst.addresses[0]);
        for matrix in 0..usize::from(n) {
            let mut all = [0; LANES];
            for row in 0..8 {
                let names = matrix * 8 + row;
                let start = shared.row(names, addresses[names], ROW_BYTES)?;
                for col in 0..8 {
                    let (major, minor) = if is_transposed { (col, row) } else { (row, col) };
                    let lane = major * 4 + minor / 2;
                    let who = self.who(lane);
                    let half = shared.part(lane, who, start + col * 2, 2)?;
                    let half = u32::from(u16::from_le_bytes([half[0], half[1]]));
                    all[lane] |= half << (16 * (minor % 2));
                }
            }
            self.set_narrow(inst.regs[matrix], mask, &all);
        }
        Ok(())
    }

    /// `d = a * b + c` of 16 by 16 and 16 by 8: `k` ascending, a product and a sum in single
    /// precision each. Which lane holds what: PTX ISA 9.7.14.5.8.
    pub(super) fn multiply_matrices(
        &mut self,
        inst: &Inst,
        mask: u32,
        widen: impl Fn(u32) -> u32,
    ) -> Outcome {
        self.all_take_part(mask)?;
        let regs = inst.regs.map(|reg| reg as usize);
        let halves = |bits: u32| [bits & 0xffff, bits >> 16].map(|half| f32_of(widen(half)));
        // Both with `k` first, so that the inner loop runs over neighbours.
        let mut a = [[0.0; 16]; 16];
        let mut b = [[0.0; 8]; 16];
        let mut c = [[0.0; 8]; 16];
        for lane in 0..LANES {
            let (group, pair) = (lane / 4, lane % 4 * 2);
            for part in 0..4 {
                let elements = halves(self.narrow[regs[4 + part]][lane]);
                let (row, k) = (group + part % 2 * 8, pair + part / 2 * 8);
                a[k][row] = elements[0];
                a[k + 1][row] = elements[1];
                c[group + part / 2 * 8][pair + part % 2] =
                    f32_of(self.narrow[regs[10 + part]][lane]);
            }
            for part in 0..2 {
                let elements = halves(self.narrow[regs[8 + part]][lane]);
                b[pair + part * 8][group] = elements[0];
                b[pair + part * 8 + 1][group] = elements[1];
            }
        }
        for (a, b) in a.iter().zip(&b) {
            for (a, sums) in a.iter().zip(&mut c) {
                sums.iter_mut().zip(b).for_each(|(sum, b)| *sum += a * b);
            }
        }
        for part in 0..4 {
            let row = |lane: usize| lane / 4 + part / 2 * 8;
            let all = std::array::from_fn(|lane| {
                super::float::single(c[row(lane)][lane % 4 * 2 + part % 2])
            });
            self.set_narrow(inst.regs[part], mask, &all);
        }
        Ok(())
    }
}
