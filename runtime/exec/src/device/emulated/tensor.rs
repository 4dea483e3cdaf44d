//! Matrices of 16-bit elements: their rows from shared memory, and their product.

use super::decode::Inst;
use super::float::{f32_of, single};
use super::maps::map;
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
                let start = shared.find(names, addresses[names], ROW_BYTES)?;
                for col in 0..8 {
                    let (major, minor) = if is_transposed { (col, row) } else { (row, col) };
                    let (lane, at) = (major * 4 + minor / 2, start + col * 2);
                    shared.watch_read(lane, self.who(lane), at, 2)?;
                    let half = shared.at(at, 2);
                    let half = u32::from(u16::from_le_bytes([half[0], half[1]]));
                    all[lane] |= half << (16 * (minor % 2));
                }
            }
            self.set_narrow(inst.regs[matrix], mask, &all);
        }
        Ok(())
    }

    /// `d = a * b + c` of 16 by 16 and 16 by 8. An element is one sum, cut off to single precision,
    /// as that of tensor cores is: its bits are not those of a chain of fma. Which lane holds what:
    /// PTX ISA 9.7.14.5.8.
    pub(super) fn multiply_matrices(
        &mut self,
        inst: &Inst,
        mask: u32,
        widen: impl Fn(u32) -> u32,
    ) -> Outcome {
        self.all_take_part(mask)?;
        let operand = |at: usize| self.narrow(inst, at);
        let halves = |at| [0, 16].map(|by| map(operand(at), |bits| widen(bits >> by & 0xffff)));
        let (mut a, mut b, mut c) = ([[0.0; 16]; 16], [[0.0; 8]; 16], [[0.0; 8]; 16]);
        for part in 0..4 {
            let ([low, high], sums) = (halves(4 + part), operand(10 + part));
            for lane in 0..LANES {
                let (group, pair) = (lane / 4, lane % 4 * 2);
                let (row, k) = (group + part % 2 * 8, pair + part / 2 * 8);
                a[row][k] = f32_of(low[lane]);
                a[row][k + 1] = f32_of(high[lane]);
                c[group + part / 2 * 8][pair + part % 2] = f32_of(sums[lane]);
            }
        }
        for part in 0..2 {
            let [low, high] = halves(8 + part);
            for (lane, (low, high)) in low.into_iter().zip(high).enumerate() {
                let (group, k) = (lane / 4, lane % 4 * 2 + part * 8);
                b[k][group] = f32_of(low);
                b[k + 1][group] = f32_of(high);
            }
        }
        for (sums, a) in c.iter_mut().zip(&a) {
            let mut row = sums.map(f64::from);
            for (a, b) in a.iter().zip(&b) {
                let products = b.iter().map(|b| f64::from(*a) * f64::from(*b));
                row.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
            }
            *sums = row.map(cut);
        }
        for part in 0..4 {
            let row = |lane: usize| lane / 4 + part / 2 * 8;
            let all = std::array::from_fn(|lane| single(c[row(lane)][lane % 4 * 2 + part % 2]));
            self.set_narrow(inst.regs[part], mask, &all);
        }
        Ok(())
    }
}

/// The single nearest to `x` on the side of 0.
fn cut(x: f64) -> f32 {
    let nearest = x as f32;
    let is_beyond = f64::from(nearest).abs() > x.abs();
    // Magnitudes are in the order of their bits.
    if is_beyond && x.is_finite() { f32::from_bits(nearest.to_bits() - 1) } else { nearest }
}
