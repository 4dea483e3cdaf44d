//! Names of code, unique by content.

use plan::Code;

/// The longest part of a name that is for people.
const HUMAN_CHARS: usize = 40;

/// Gives a text, made with the name `kernel`, a name of its own among `others`.
pub(crate) fn unique(text: &str, about: &str, others: &[Code]) -> String {
    let hash = fnv1a(text.as_bytes());
    let stem = format!("k_{:08x}_{}", (hash >> 32) ^ (hash & 0xffff_ffff), human(about));
    let is_taken = |name: &str| others.iter().any(|code| code.name == name);
    let mut name = stem.clone();
    let mut next = 2;
    while is_taken(&name) {
        name = format!("{stem}_{next}");
        next += 1;
    }
    name
}

fn human(name: &str) -> String {
    let clean = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    name.chars().map(clean).take(HUMAN_CHARS).collect()
}

/// 64-bit FNV-1a: short, and the same in every build.
fn fnv1a(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}
