//! A damaged file from a whole one, the same for the same case.
//!
//! Most changes are where a file says what it holds: at its start and at its end.

use data::rng::mix;

/// Bytes at both ends that are changed more often than others.
const HEAD: usize = 64;

/// Numbers that sizes and places have been taken for.
const NUMBERS: &[u64] = &[
    0,
    1,
    2,
    0x7f,
    0xff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 24,
    1 << 40,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// Pieces of text that readers of text fall over.
const PIECES: &[&str] = &[
    "\"",
    "\\",
    "\\ud800",
    "\\u0000",
    "\u{feff}",
    "\0",
    "\r",
    "\n",
    "\r\n\r\n",
    "\t",
    ",",
    ";",
    "{",
    "}",
    "[",
    "]",
    "[[[[[[[[[[[[[[[[",
    "null",
    "true",
    "-1",
    "1e999",
    "0.5",
    "16777215",
    "16777216",
    "4294967296",
    "18446744073709551616",
    "{\"type\": \"ByteLevel\"}",
    "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(a|aa)+$\"}, \"behavior\": \"Removed\", \"invert\": false}",
    "{\"type\": \"Unigram\", \"vocab\": [], \"unk_id\": 0}",
    "<0x00>",
    "Ġ",
    "▁",
    "字",
    "e\u{301}",
    "\u{202e}",
];

/// Numbers, one behind the other.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(case: u64) -> Random {
        Random(mix(case))
    }

    /// A number below `n`, which is above 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = mix(self.0);
        (self.0 % n as u64) as usize
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// A place in a file, up to its end.
    fn place(&mut self, len: usize) -> usize {
        let near = self.below(HEAD.min(len) + 1);
        match self.below(4) {
            0 | 1 => near,
            2 => len - near,
            _ => self.below(len + 1),
        }
    }
}

/// One to four changes.
pub(crate) fn change(random: &mut Random, whole: &[u8]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.place(bytes.len());
        let until = (at + 1 + random.below(16)).min(bytes.len());
        match random.below(9) {
            0 | 1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 | 3 => {
                let number = random.pick(NUMBERS).to_le_bytes();
                let number = &number[..*random.pick(&[1, 2, 4, 8])];
                let end = (at + number.len()).min(bytes.len());
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            4 => bytes.truncate(at),
            5 => drop(bytes.drain(at..until)),
            6 => {
                let again = bytes[at..until].repeat(1 + random.below(20));
                bytes.splice(at..at, again);
            }
            _ => drop(bytes.splice(at..at, random.pick(PIECES).bytes())),
        }
    }
    bytes
}
