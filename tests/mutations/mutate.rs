//! A broken spec from whole ones, the same for the same seed.

/// Literals and fragments that have broken compilers before.
const NASTY: &[&str] = &[
    "0",
    "-1",
    "1e400",
    "1e-400",
    "nan",
    "9223372036854775807",
    "18446744073709551616",
    "4294967296",
    "0.5",
    ".",
    "..",
    "1..0",
    "\"",
    "\"{\"",
    "\"{a}\"",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "|>",
    "->",
    "=",
    ":",
    ",",
    ";",
    "if",
    "else",
    "for i in 0..1000000000 {",
    "layer",
    "fn",
    "rule",
    "param",
    "state",
    "repeat(1000, ",
    "none",
    "true",
    "data.vocab",
    "context",
    "^",
    "/ 0",
    "% 0",
    "not",
    "divides",
    "2Ki",
    "10%",
    "3 epochs",
    "1k tokens",
    "é",
    "\u{202e}",
    "\0",
    "\r",
    "#",
    "##",
    "[..]",
    "[.., ..]",
    "tok(0)",
    "fp16",
    "fp16 master bf16",
    "loss_scale dynamic from 8",
    "on rest",
    "except",
    "freeze \"*.{up,down}.*\"",
    "blocks[0..6].attn",
    "plateau(patience: 1 * epoch)",
    "cosine(min_lr: 1e-5)",
    "-",
];

/// Splitmix64: a number from a counter.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, or 0 below nothing.
    fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { (self.next() % n as u64) as usize }
    }

    fn pick<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// One to four changes to one of the seeds.
pub(crate) fn mutate(seeds: &[String], seed: u64) -> String {
    let mut random = Random(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let mut text = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let other = &seeds[random.below(seeds.len())];
        text = match random.below(5) {
            0 | 1 => change_token(&mut random, &text, other),
            2 => change_line(&mut random, &text, other),
            3 => change_bytes(&mut random, &text),
            _ => splice(&mut random, &text, other),
        };
    }
    text
}

/// Deletes, doubles, swaps, inserts or replaces a token.
fn change_token(random: &mut Random, text: &str, other: &str) -> String {
    let mut tokens = tokens(text);
    let donors = self::tokens(other);
    let at = random.below(tokens.len());
    if tokens.is_empty() {
        return random.pick(NASTY).to_owned();
    }
    match random.below(7) {
        0 => drop(tokens.remove(at)),
        1 => tokens.insert(at, tokens[at]),
        2 => {
            let with = random.below(tokens.len());
            tokens.swap(at, with);
        }
        3 if !donors.is_empty() => tokens.insert(at, random.pick(&donors)),
        4 if !donors.is_empty() => tokens[at] = random.pick(&donors),
        5 => tokens.insert(at, random.pick(NASTY)),
        _ => tokens[at] = random.pick(NASTY),
    }
    tokens.concat()
}

/// Runs of letters and digits, runs of spaces, and every other character by itself.
fn tokens(text: &str) -> Vec<&str> {
    let kind = |c: char| match c {
        ' ' => 1,
        c if c.is_alphanumeric() || c == '_' => 2,
        _ => 0,
    };
    let mut found = vec![];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let same = |c: char| kind(c) == kind(first) && kind(c) != 0;
        let end = rest.find(|c| !same(c)).unwrap_or(rest.len()).max(first.len_utf8());
        let (token, left) = rest.split_at(end);
        found.push(token);
        rest = left;
    }
    found
}

/// Deletes, doubles, swaps or borrows a line.
fn change_line(random: &mut Random, text: &str, other: &str) -> String {
    let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
    let donors: Vec<&str> = other.split_inclusive('\n').collect();
    let at = random.below(lines.len());
    if lines.is_empty() {
        return other.to_owned();
    }
    match random.below(4) {
        0 => drop(lines.remove(at)),
        1 => lines.insert(at, lines[at]),
        2 if !donors.is_empty() => lines.insert(at, random.pick(&donors)),
        _ => {
            let with = random.below(lines.len());
            lines.swap(at, with);
        }
    }
    lines.concat()
}

/// Cuts the text short, drops or inserts bytes, or repeats a piece many times.
fn change_bytes(random: &mut Random, text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = random.below(bytes.len() + 1);
    match random.below(5) {
        0 => bytes.truncate(at),
        1 => drop(bytes.drain(at..(at + random.below(20)).min(text.len()))),
        2 => {
            let noise: Vec<u8> = (0..random.below(12)).map(|_| random.next() as u8).collect();
            bytes.splice(at..at, noise);
        }
        3 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
        _ => {
            let piece = random.pick(NASTY).repeat(1 + random.below(100));
            bytes.splice(at..at, piece.into_bytes());
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The head of one text and the tail of another.
fn splice(random: &mut Random, text: &str, other: &str) -> String {
    let (head, tail) = (random.below(text.len() + 1), random.below(other.len() + 1));
    let bytes = [&text.as_bytes()[..head], &other.as_bytes()[tail..]].concat();
    String::from_utf8_lossy(&bytes).into_owned()
}
