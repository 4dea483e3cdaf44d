//! Golden files: what JAX computes in float64, and where both sides start.
//!
//! `tests/golden/make.py` makes the files, which hold results only. Weights, tokens and gradients
//! come from its integer generator, which stands here a second time.

mod model;
mod narrow;
mod rules;

use std::collections::BTreeMap;
use std::{fs, path::Path};

use exec::checkpoint::safetensors::{Entry, read_header};

/// The largest distance of a tensor in fp32 from its golden one, as a share of the length.
const FP32_RELATIVE: f64 = 1e-5;

/// A tensor shorter than this share of all tensors together is compared as if it were so long:
/// rounding in the large ones is felt in it.
const SHORTEST: f64 = 1e-3;

/// The tensors of a golden file.
struct Golden {
    file: &'static str,
    tensors: BTreeMap<String, Vec<f64>>,
}

impl Golden {
    fn read(file: &'static str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(file);
        let bytes = fs::read(path).unwrap();
        let entries = read_header(&mut &bytes[..], bytes.len() as u64).unwrap();
        let tensors = entries.into_iter().map(|e| (e.name.clone(), elements(&e, &bytes))).collect();
        Self { file, tensors }
    }

    /// A tensor by its name.
    fn get(&self, name: &str) -> &[f64] {
        self.tensors.get(name).unwrap_or_else(|| panic!("no {name} in {}", self.file))
    }

    /// All tensors whose names start so, with the rest of their names.
    fn under(&self, prefix: &str) -> BTreeMap<&str, &[f64]> {
        let tensors = self.tensors.iter();
        tensors.filter_map(|(name, x)| Some((name.strip_prefix(prefix)?, &x[..]))).collect()
    }
}

fn elements(entry: &Entry, file: &[u8]) -> Vec<f64> {
    let bytes = &file[entry.start as usize..][..entry.bytes as usize];
    match entry.dtype.as_str() {
        "F64" => bytes.as_chunks().0.iter().map(|&x| f64::from_le_bytes(x)).collect(),
        "F32" => bytes.as_chunks().0.iter().map(|&x| f64::from(f32::from_le_bytes(x))).collect(),
        other => panic!("{} is {other}", entry.name),
    }
}

/// Integers of 16 bits: Knuth's 64-bit congruential generator, upper bits, started from the FNV-1a
/// hash of a name.
fn draws(name: &str) -> impl Iterator<Item = u16> + use<> {
    let hash = |x: u64, byte| (x ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let mut x = name.bytes().fold(0xcbf2_9ce4_8422_2325, hash);
    std::iter::repeat_with(move || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (x >> 48) as u16
    })
}

/// Numbers in [-1, 1) · 2^exponent.
fn numbers(name: &str, exponent: i32) -> impl Iterator<Item = f32> + use<> {
    draws(name).map(move |r| (f32::from(r) - 32768.0) * 2f32.powi(exponent - 15))
}

/// The l2 norm.
fn length(x: impl IntoIterator<Item = f64>) -> f64 {
    x.into_iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The relative distance of each tensor from its golden one.
fn distances<'a>(
    wanted: &BTreeMap<&'a str, &[f64]>,
    mut got: impl FnMut(&str) -> Vec<f32>,
) -> BTreeMap<&'a str, f64> {
    let all = length(wanted.values().flat_map(|x| x.iter().copied()));
    let distance = |(&name, &wanted): (&&'a str, &&[f64])| {
        let got = got(name);
        assert_eq!(got.len(), wanted.len(), "elements of {name}");
        let gap = length(got.iter().zip(wanted).map(|(&a, b)| f64::from(a) - b));
        (name, gap / length(wanted.iter().copied()).max(SHORTEST * all))
    };
    wanted.iter().map(distance).collect()
}

/// Fails the test unless every tensor is as close as this.
#[track_caller]
fn are_close(distances: &BTreeMap<&str, f64>, limit: f64, what: &str) {
    assert!(!distances.is_empty(), "{what}: something is compared");
    for (name, &distance) in distances {
        // Not `distance > limit`, which a NaN would pass.
        assert!(distance <= limit, "{what}: {name} is {distance:.2e} away, at most {limit:.0e}");
    }
}
