//! Philox4x32-10, a random generator by counter and key.
//!
//! Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3".

use crate::body::Body;
use crate::kernel::{Reg, Scalar};

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// The key grows by these (golden ratio, sqrt(3) - 1) after each round.
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];
const ROUNDS: u32 = 10;

/// The bits of one element: word `lo % 4` of the block that its four neighbours share.
pub(super) fn word(body: &mut Body, key: [Reg; 2], step: Reg, [hi, lo]: [Reg; 2]) -> Reg {
    let (zero, two, three) = (body.int(0), body.int(2), body.int(3));
    let block = body.apply(Scalar::ShrLogical, &[lo, two]);
    let words = philox4x32(body, [block, hi, step, zero], key);
    let at = body.apply(Scalar::And, &[lo, three]);
    let mut word = words[3];
    for (i, &earlier) in (0..3).zip(&words).rev() {
        let i = body.int(i);
        let is_it = body.apply(Scalar::Eq, &[at, i]);
        word = body.apply(Scalar::Select, &[is_it, earlier, word]);
    }
    word
}

/// The four words of one block; all registers are i32 taken as 32 bits.
pub fn philox4x32(body: &mut Body, counter: [Reg; 4], key: [Reg; 2]) -> [Reg; 4] {
    let (mut c, mut k) = (counter, key);
    for round in 0..ROUNDS {
        if round > 0 {
            k = [0, 1].map(|i| {
                let weyl = body.int(WEYL[i] as i32);
                body.apply(Scalar::Add, &[k[i], weyl])
            });
        }
        let [(high_0, low_0), (high_1, low_1)] = [0, 1].map(|i| {
            let multiplier = body.int(MULTIPLIERS[i] as i32);
            let pair = [multiplier, c[2 * i]];
            (body.apply(Scalar::MulHi, &pair), body.apply(Scalar::Mul, &pair))
        });
        let mut mix = |high: Reg, word: Reg, key: Reg| {
            let mixed = body.apply(Scalar::Xor, &[high, word]);
            body.apply(Scalar::Xor, &[mixed, key])
        };
        c = [mix(high_1, c[1], k[0]), low_1, mix(high_0, c[3], k[1]), low_0];
    }
    c
}
