//! A spec as a test case: what its header says of the data and of the command line.
//!
//! `# facts: vocab 5, train 100, val 2` states what a scan of the data would have found;
//! without it the data is a play of 1,115,394 bytes with 65 characters, split as the spec says.
//! `# set: train.lr=1` is one `--set`, `# arg: peak=1` one value for an argument, and `# job: a` the
//! job. A case may use the files of `tests/spec/uses`.

use std::collections::BTreeMap;
use std::path::Path;

use diag::{Diagnostic, SourceMap};
use llmc::Front;
use llmc::compile::{BackEnd, compile_within};
use llmc::front::uses::Files;
use llmc::front::{Checked, Request};
use passes::fit::Room;
use sema::Facts;

use crate::facts::made_up;

/// A process on two cores of a machine with memory for everything.
const ROOM: Room = Room { default_bytes: None, beside_bytes: 26 << 20 };

/// Reads `text` as the file `path`, with what its header states.
pub(crate) fn read(path: &str, text: &str) -> (Front, Facts) {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (pair.to_owned(), None),
    };
    let front = Front::read(&Request {
        path: path.to_owned(),
        text: text.to_owned(),
        sets: header(text, "# set:").map(str::to_owned).collect(),
        options: header(text, "# arg:").map(pair).collect(),
        job: header(text, "# job:").next().map(str::to_owned),
        files: Files::Texts(used()),
        environment: Some(vec![("DATA".to_owned(), "data".to_owned())]),
    });
    let facts = header(text, "# facts:").next().map_or_else(|| made_up(&front), parse);
    (front, facts)
}

/// The files that cases may use: those of `tests/spec/uses`, and the whole specs.
fn used() -> BTreeMap<String, String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/spec");
    let mut texts = BTreeMap::new();
    for folder in ["design", "uses"] {
        let entries = std::fs::read_dir(here.join(folder)).expect("a folder of specs");
        for path in entries.map(|entry| entry.expect("an entry of the folder").path()) {
            if path.extension().is_some_and(|e| e == "lt") {
                let name = path.file_name().expect("a file has a name").to_string_lossy();
                texts.insert(name.into_owned(), std::fs::read_to_string(&path).expect("a spec"));
            }
        }
    }
    texts
}

/// Checks `text` as the file `path`, and returns what is said with where it points.
///
/// Whether a run fits its `memory` is known when it is compiled.
pub(crate) fn check(path: &str, text: &str) -> (SourceMap, Vec<Diagnostic>) {
    let (front, facts) = read(path, text);
    let Checked { program, mut diagnostics } = front.check(Some(&facts));
    if let Some(program) = program.filter(|p| p.train.memory.is_some()) {
        let compiled = compile_within(&program, &front.map, Some(&facts), ROOM, BackEnd::Cpu);
        diagnostics.extend(compiled.map_or_else(|found| found, |compiled| compiled.warnings));
    }
    (front.map, diagnostics)
}

/// What follows a word of the header on each of its lines.
pub(crate) fn header<'a>(text: &'a str, word: &'static str) -> impl Iterator<Item = &'a str> {
    let lines = text.lines().take_while(|line| line.starts_with('#'));
    lines.filter_map(move |line| line.strip_prefix(word)).map(str::trim)
}

/// `vocab 5, train 100, val 2`, as the header of a case has it.
fn parse(stated: &str) -> Facts {
    let mut facts = Facts { hash: Some("made up".to_owned()), ..Facts::default() };
    for part in stated.split(',') {
        let (name, number) = part.trim().split_once(' ').expect("a name and a number");
        let number = number.trim().parse().expect("a whole number");
        match name {
            "vocab" => facts.vocab = Some(number),
            "classes" => facts.classes = Some(number),
            "pad" => facts.pad = Some(number),
            split => facts.tokens.push((split.to_owned(), number)),
        }
    }
    facts
}
