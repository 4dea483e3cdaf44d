//! A folder for one test, removed with its owner.

use std::path::{Path, PathBuf};

/// The folder.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// A fresh empty folder; `name` must be the test's own.
    pub(crate) fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("llmc-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Scratch(path.canonicalize().unwrap())
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A corpus of bytes in a folder, in two files, nine tenths of it for training.
pub(crate) fn corpus_of(folder: &Path, text: &[u8]) -> data::Corpus {
    let half = text.len() / 2;
    std::fs::write(folder.join("1.txt"), &text[..half]).unwrap();
    std::fs::write(folder.join("2.txt"), &text[half..]).unwrap();
    let split = |name: &str, share| plan::Split { name: name.to_owned(), share };
    let data = plan::Data {
        splits: vec![split("train", 0.9), split("val", 0.1)],
        ..plan::Data::text(vec!["*.txt".to_owned()], plan::Tokenizer::Bytes)
    };
    data::scan(&data, folder, None).unwrap().1
}
