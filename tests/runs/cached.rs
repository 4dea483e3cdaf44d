//! The cache of plans: seen by nobody but the clock.

use std::fs;

use crate::folder::{Ended, Folder, gpt};

/// Trains with a cache in the folder.
fn train(folder: &Folder, out: &str) -> Ended {
    folder.shell(&format!("LLMC_CACHE=plans llmc train a.lt --out {out}"))
}

#[test]
fn a_plan_from_the_cache_trains_to_the_same_bits_and_says_the_same() {
    let folder = Folder::new("cached");
    // A rate this high is worth a warning.
    folder.write("a.lt", gpt("steps 3").replace("lr 3e-3", "lr 0.5"));
    let first = train(&folder, "first").exits(0);
    let plans = || -> Vec<_> {
        let entries = fs::read_dir(folder.at("plans")).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    };
    let [path] = &plans()[..] else { panic!("{:?}", plans()) };
    let whole = fs::read(path).unwrap();

    let second = train(&folder, "second").exits(0);
    assert!(first.err.contains("warning"), "{}", first.err);
    assert_eq!(first.err, second.err);
    assert_eq!(folder.hash("first/step-3"), folder.hash("second/step-3"));
    assert_eq!(plans().len(), 1);

    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    fs::write(path, damaged).unwrap();
    train(&folder, "third").exits(0);
    assert_eq!(folder.hash("first/step-3"), folder.hash("third/step-3"));
    assert_eq!(fs::read(path).unwrap(), whole, "it is written anew");
}
