//! Operands: special values and random bits.

/// Random bits, the same ones each time (Marsaglia 2003).
pub(crate) fn random(n: usize) -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    std::iter::repeat_with(next).take(n).collect()
}

/// 32 bits: edges of the integers, shifts, and others.
pub(crate) fn words() -> Vec<u64> {
    let edges = [0, 1, 2, 7, 31, 32, 33, 255, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff];
    edges.into_iter().chain(random(28).into_iter().map(|x| x & 0xffff_ffff)).collect()
}

/// The bits of singles: zeros, denormals, the ends of the range, infinities, NaNs, ties, others.
pub(crate) fn singles() -> Vec<u64> {
    let special = [
        0,
        1,
        0x007f_ffff,
        0x0080_0000,
        0x3380_0000,
        0x3f80_0000,
        0x3f80_0001,
        0x3fc0_0000,
        0x4020_0000,
        0x4b00_0001,
        0x4eff_ffff,
        0x4f00_0000,
        0x7f7f_ffff,
        0x7f80_0000,
        0x7f80_0001,
        0x7fc0_1234,
    ];
    let signed = special.into_iter().flat_map(|x: u64| [x, x | 0x8000_0000]);
    signed.chain(random(24).into_iter().map(|x| x & 0xffff_ffff)).collect()
}

/// 64 bits: edges of the integers, shifts, the same of doubles as [`singles`] has, and others.
pub(crate) fn doubles() -> Vec<u64> {
    let special = [
        0,
        1,
        2,
        31,
        63,
        64,
        0x1_0000_0001,
        0x7fff_ffff_ffff_ffff,
        0x000f_ffff_ffff_ffff,
        0x0010_0000_0000_0000,
        0x3ff0_0000_0000_0000,
        0x3ff0_0000_1000_0000,
        0x3ff8_0000_0000_0000,
        0x41df_ffff_ffc0_0000,
        0x41e0_0000_0000_0000,
        0x47ef_ffff_f000_0000,
        0x7fef_ffff_ffff_ffff,
        0x7ff0_0000_0000_0000,
        0x7ff8_0000_0000_1234,
    ];
    let signed = special.into_iter().flat_map(|x: u64| [x, x | 1 << 63]);
    signed.chain(random(16)).collect()
}

/// Every pair, with a third one that goes through all of them too.
pub(crate) fn all_pairs(values: &[u64]) -> Vec<[u64; 3]> {
    let n = values.len();
    let pair = |at: usize| [values[at / n], values[at % n], values[at * 7 % n]];
    (0..n * n).map(pair).collect()
}
