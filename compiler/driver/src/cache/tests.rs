//! Hits, misses, and files that are not what they should be.

use std::cell::Cell;
use std::convert::Infallible;
use std::fs::{self, File};

use super::*;
use crate::Front;
use crate::compile::compile;

/// A cache in a folder of one test, and how often its plan was made.
struct Counted {
    cache: Kept,
    plan: Plan,
    n_made: Cell<u32>,
}

impl Counted {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("llmc-cache-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let cache = Kept { folder, most_bytes: MOST_BYTES, build: "1".to_owned() };
        Self { cache, plan: compiled("3e-4"), n_made: Cell::new(0) }
    }

    /// Asks for a plan; whether it had to be made.
    fn makes(&self, key: &str) -> bool {
        let before = self.n_made.get();
        let make = || {
            self.n_made.set(before + 1);
            Ok::<_, Infallible>(self.plan.clone())
        };
        assert_eq!(plan_of(&self.cache, key, make).unwrap(), self.plan);
        self.n_made.get() > before
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.cache.folder).unwrap();
        let mut names: Vec<_> =
            entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.cache.folder);
    }
}

const SPEC: &str = "model gpt(layers: 1, width: 8, heads: 1)\n\
                    data text(\"a.txt\", tokenizer: bytes)\n\
                    train {\nbatch 1\ncontext 4\nsteps 2\n}\n";

fn facts() -> Facts {
    let tokens = vec![("train".to_owned(), 90), ("val".to_owned(), 10)];
    Facts { vocab: Some(256), tokens, hash: Some("h".to_owned()), ..Facts::default() }
}

fn front(lr: &str) -> Front {
    Front::parse("a.lt", SPEC, &[format!("train.lr={lr}")])
}

fn compiled(lr: &str) -> Plan {
    let front = front(lr);
    let checked = front.check(Some(&facts()));
    let program = checked.program.unwrap_or_else(|| panic!("{:?}", checked.diagnostics));
    compile(&program, &front.map, Some(&facts())).unwrap().plan
}

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

#[test]
fn a_plan_is_made_once_and_read_back_equal() {
    let kept = Counted::new("once");
    assert_eq!(
        [kept.makes(A), kept.makes(A), kept.makes(B), kept.makes(A)],
        [true, false, true, false]
    );
    assert_eq!(kept.names(), [format!("{A}.plan"), format!("{B}.plan")]);
}

#[test]
fn a_file_that_is_damaged_or_of_another_key_is_written_anew() {
    let kept = Counted::new("damaged");
    kept.makes(A);
    let path = kept.cache.path(PLAN, A);
    let whole = fs::read(&path).unwrap();
    for at in [0, 20, 80, 150, whole.len() / 2, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(kept.makes(A), "byte {at}");
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
    for length in [0, 10, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        assert!(kept.makes(A), "{length} bytes");
    }
    fs::copy(&path, kept.cache.path(PLAN, B)).unwrap();
    assert!(kept.makes(B), "a copy under another name");
    assert!(!kept.makes(B));
}

#[test]
fn a_folder_that_cannot_be_made_only_costs_time() {
    let mut kept = Counted::new("refused");
    fs::write(&kept.cache.folder, "a file").unwrap();
    kept.cache.folder.push("below");
    assert!(kept.makes(A) && kept.makes(A));
    kept.cache.folder.pop();
    fs::remove_file(&kept.cache.folder).unwrap();
}

#[test]
fn the_longest_unused_go_first_and_strangers_stay() {
    let mut kept = Counted::new("prune");
    kept.makes(A);
    kept.makes(B);
    let bytes = fs::metadata(kept.cache.path(PLAN, A)).unwrap().len();
    fs::write(kept.cache.folder.join("thesis.txt"), vec![0; 3 * bytes as usize]).unwrap();
    let old = SystemTime::now() - std::time::Duration::from_secs(60);
    let age = |path: PathBuf| File::options().append(true).open(path)?.set_modified(old);
    age(kept.cache.path(PLAN, A)).and(age(kept.cache.path(PLAN, B))).unwrap();
    assert!(!kept.makes(A));
    kept.cache.most_bytes = 2 * bytes + bytes / 2;
    let c = "c".repeat(64);
    assert!(kept.makes(&c));
    assert_eq!(kept.names(), [format!("{A}.plan"), format!("{c}.plan"), "thesis.txt".to_owned()]);
}

#[test]
fn a_change_of_any_input_is_another_key() {
    let of = |front: &Front, facts: &Facts| {
        key("1", &front.map, Some(facts), Room::UNBOUNDED, BackEnd::Cpu, "")
    };
    let plain = of(&front("3e-4"), &facts());
    assert_eq!(plain, of(&front("3e-4"), &facts()));
    assert_ne!(plain, of(&front("4e-4"), &facts()));
    assert_ne!(plain, of(&Front::parse("b.lt", SPEC, &["train.lr=3e-4".to_owned()]), &facts()));
    assert_ne!(plain, of(&front("3e-4"), &Facts { hash: None, ..facts() }));
    let other = |build, room, back_end, kept| {
        key(build, &front("3e-4").map, Some(&facts()), room, back_end, kept)
    };
    let (any, cpu) = (Room::UNBOUNDED, BackEnd::Cpu);
    assert_ne!(plain, other("2", any, cpu, ""));
    assert_ne!(plain, other("1", Room { beside_bytes: 1, ..any }, cpu, ""));
    assert_ne!(plain, other("1", any, BackEnd::Gpu(ptx_builder::Target::Sm80), ""));
    assert_ne!(plain, other("1", any, cpu, "more"));
}

#[test]
fn the_environment_says_where() {
    let os = |text: &str| Some(OsString::from(text));
    let path = |text: &str| Some(PathBuf::from(text));
    assert_eq!(folder(os("off"), os("/c"), os("/h")), None);
    assert_eq!(folder(os("here"), os("/c"), os("/h")), path("here"));
    assert_eq!(folder(None, os("/c"), os("/h")), path("/c/llmc"));
    assert_eq!(folder(None, os("relative"), os("/h")), path("/h/.cache/llmc"));
    assert_eq!(folder(None, None, os("/h")), path("/h/.cache/llmc"));
    assert_eq!(folder(None, None, None), None);
}
