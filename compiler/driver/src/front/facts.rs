//! What the files hold, as the compiler gets to know it.

use std::path::PathBuf;

use sema::{Facts, Overlap};

/// How many lengths of documents the compiler gets to know.
const LENGTHS: u32 = 1000;

/// What compilation needs to know of what was found.
pub(super) fn of(found: &data::Facts) -> Facts {
    let quantile = |lengths: &data::Lengths| {
        (0..=LENGTHS).map(|i| lengths.quantile(f64::from(i) / f64::from(LENGTHS))).collect()
    };
    Facts {
        vocab: Some(found.vocab),
        classes: Some(found.classes.len() as u64).filter(|n| *n > 0),
        pad: found.pad.map(u64::from),
        tokens: found.tokens.clone(),
        documents: found.documents.clone(),
        lengths: found.lengths.as_ref().map(quantile).unwrap_or_default(),
        overlaps: overlaps(found),
        hash: Some(found.hash.clone()),
        ..Facts::default()
    }
}

/// Files that are named twice, and documents that training and validation share.
fn overlaps(found: &data::Facts) -> Vec<Overlap> {
    let between = || ["train", "val"].map(str::to_owned);
    let real = |file: &PathBuf| file.canonicalize().unwrap_or_else(|_| file.clone());
    let mut files: Vec<(PathBuf, &PathBuf)> = found.files.iter().map(|f| (real(f), f)).collect();
    files.sort();
    let twice = files.windows(2).find(|pair| pair[0].0 == pair[1].0).map(|pair| Overlap {
        between: between(),
        documents: 1,
        file: Some(pair[0].1.strip_prefix(".").unwrap_or(pair[0].1).display().to_string()),
    });
    let shared = (found.shared > 0).then(|| Overlap {
        between: between(),
        documents: found.shared,
        file: None,
    });
    // The documents of a file that is there twice need no second word.
    twice.or(shared).into_iter().collect()
}
