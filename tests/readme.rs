//! What the documents say is so: commands run, specs check, files exist.
//!
//! The commands of the README run in order in a folder that holds a copy of `examples/`, with
//! this build as `llmc`. `cargo run --release --` means it too, and `--example` an example of this
//! build; `cargo test` is only recognised, or it would run itself. A command ends with 0, or with what `$ echo $?` below it shows. Shown
//! lines must come in order; a number stands for any number, and `...` for any lines.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the first run of the README must reach: nats a byte on the validation split.
const HELLO_VAL_LOSS: f64 = 2.1;

/// Folders whose files the documents name by their path from the root.
const FOLDERS: &[&str] = &["compiler/", "runtime/", "stdlib/", "examples/", "tests/", "docs/"];

/// What `cargo` is to the commands.
const CARGO: &str = r#"#!/bin/sh
case "$1" in
  run) case "$*" in
      *--example*) exec "$EXAMPLES/${*##*--example }" ;;
    esac
    while [ "$1" != -- ]; do shift; done; shift; exec llmc "$@" ;;
  test) exit 0 ;;
  *) echo "no command of the README: cargo $1" >&2; exit 64 ;;
esac
"#;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the examples as programs; they are built with the tests, unless one test is
/// named.
fn examples() -> PathBuf {
    let of_tests = Path::new(env!("CARGO_BIN_EXE_llmc")).parent().unwrap().join("examples");
    if !of_tests.join("embed").exists() {
        let build = ["build", "--quiet", "--example", "embed"];
        assert!(
            Command::new(env!("CARGO")).args(build).current_dir(root()).status().unwrap().success()
        );
    }
    of_tests
}

/// The README, the architecture and everything in `docs/`, by path.
fn documents() -> Vec<(PathBuf, String)> {
    let mut paths = vec![root().join("README.md"), root().join("ARCHITECTURE.md")];
    if let Ok(entries) = fs::read_dir(root().join("docs")) {
        paths.extend(entries.map(|entry| entry.unwrap().path()));
    }
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "md"));
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// A fenced block of Markdown.
#[derive(Debug, PartialEq)]
struct Block {
    language: String,
    line: usize,
    text: String,
}

fn blocks(markdown: &str) -> Vec<Block> {
    let mut found: Vec<Block> = vec![];
    let mut open = false;
    for (index, line) in markdown.lines().enumerate() {
        match (line.strip_prefix("```"), open) {
            (Some(language), false) => {
                let (language, text) = (language.to_owned(), String::new());
                found.push(Block { language, line: index + 1, text });
                open = true;
            }
            (Some(_), true) => open = false,
            (None, true) => {
                let block = found.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, false) => {}
        }
    }
    assert!(!open, "a block is not closed");
    found
}

/// A command, how it ends, and what of its output is shown.
#[derive(Debug, PartialEq)]
struct Step {
    command: String,
    exit: i32,
    shown: Vec<String>,
}

/// The commands of a `sh` or `console` block.
fn steps(block: &Block) -> Vec<Step> {
    let mut found: Vec<Step> = vec![];
    let mut is_exit = false;
    for line in block.text.lines() {
        let command = if block.language == "sh" { Some(line) } else { line.strip_prefix("$ ") };
        match command {
            Some("echo $?") => is_exit = true,
            Some(command) if !command.is_empty() => {
                found.push(Step { command: command.to_owned(), exit: 0, shown: vec![] });
            }
            Some(_) => {}
            None => {
                let step = found.last_mut().expect("output follows a command");
                if is_exit {
                    step.exit = line.trim().parse().expect("`echo $?` shows a number");
                    is_exit = false;
                } else {
                    step.shown.push(line.to_owned());
                }
            }
        }
    }
    found
}

/// A folder with the examples, in which `llmc` is this build; removed with its owner.
struct Sandbox(PathBuf);

impl Drop for Sandbox {
    fn drop(&mut self) {
        // What is left behind hurts nobody, and the test has its result.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Sandbox {
    fn new(name: &str) -> Self {
        // Two runs of the tests at once must not share a folder.
        let name = format!("{name}-{}", std::process::id());
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let examples = folder.join("examples");
        fs::create_dir_all(examples.join("data")).unwrap();
        fs::create_dir(folder.join("bin")).unwrap();
        for from in ["examples", "examples/data"] {
            for entry in fs::read_dir(root().join(from)).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_file() {
                    fs::copy(entry.path(), folder.join(from).join(entry.file_name())).unwrap();
                }
            }
        }
        symlink(env!("CARGO_BIN_EXE_llmc"), folder.join("bin/llmc")).unwrap();
        let cargo = folder.join("bin/cargo");
        fs::write(&cargo, CARGO).unwrap();
        fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    /// The exit status and all output of a command.
    fn run(&self, command: &str) -> (Option<i32>, String) {
        let path = format!("{}:{}", self.0.join("bin").display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        let shell = shell.args(["-c", command]).current_dir(&self.0).env("PATH", path);
        let shell = shell.env("LLMC_CACHE", "off").env("EXAMPLES", examples());
        let output = shell.output().unwrap();
        let (out, err) = (&output.stdout, &output.stderr);
        let text = String::from_utf8_lossy(out) + String::from_utf8_lossy(err);
        (output.status.code(), text.into_owned())
    }

    /// What a command does that its document does not say.
    fn fault(&self, step: &Step) -> Option<String> {
        let (exit, output) = self.run(&step.command);
        if exit != Some(step.exit) {
            let command = &step.command;
            return Some(format!("`{command}` ended with {exit:?}, not {}\n{output}", step.exit));
        }
        if step.command.contains("llmc generate") {
            // What a model writes differs between families of matrix products.
            return None;
        }
        let missing = first_missing(&step.shown, &output)?;
        Some(format!("`{}` does not say `{missing}` there\n{output}", step.command))
    }
}

/// The first shown line that the output lacks, or has only before the one shown above it.
fn first_missing<'a>(shown: &'a [String], output: &str) -> Option<&'a str> {
    let mut said = output.lines().map(shape);
    let mut in_sample = false;
    for line in shown {
        let wanted = shape(line);
        let is_free = wanted.is_empty() || wanted == "..." || (in_sample && wanted != "---");
        if !is_free && !said.any(|line| line == wanted) {
            return Some(line);
        }
        in_sample = wanted.starts_with("--- sample") || (in_sample && wanted != "---");
    }
    None
}

/// A line without what differs from machine to machine: numbers, spaces, what follows the speed.
fn shape(line: &str) -> String {
    let line = line.split("tok/s").next().unwrap_or_default();
    let mut out = String::new();
    for c in line.split_whitespace().collect::<Vec<_>>().join(" ").chars() {
        let c = if c.is_ascii_digit() { '#' } else { c };
        if c != '#' || !out.ends_with('#') {
            out.push(c);
        }
    }
    out
}

/// The blocks of a spec that is shown in part are completed with those of the first example.
fn completed(text: &str) -> String {
    let hello = fs::read_to_string(root().join("examples/hello.lt")).unwrap();
    let has = |word: &str| text.lines().any(|line| line.split([' ', '{']).next() == Some(word));
    let (head, train) = hello.split_once("\n\n").expect("a blank line before `train`");
    let mut out = text.to_owned();
    for line in head.lines().filter(|line| !has(line.split(' ').next().unwrap_or_default())) {
        out.push_str(&format!("\n{line}\n"));
    }
    if !has("train") {
        out.push_str(&format!("\n{train}"));
    }
    out
}

/// What a document names between backticks or as a link that is not in the repository.
fn missing_files(markdown: &str) -> Vec<String> {
    let quoted = markdown.split('`').skip(1).step_by(2);
    let linked = markdown.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let is_path = |name: &&str| {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:".contains(c));
        plain && FOLDERS.iter().any(|folder| name.starts_with(folder))
    };
    let is_link = |name: &&str| !name.contains("://");
    let named = quoted.filter(is_path).chain(linked.filter(is_link));
    named.filter(|name| !exists(name)).map(str::to_owned).collect()
}

/// Whether `path` or `path::function` is in the repository.
fn exists(name: &str) -> bool {
    let (path, function) = name.split_once("::").unwrap_or((name, ""));
    let path = root().join(path);
    match fs::read_to_string(&path) {
        Ok(text) => function.is_empty() || text.contains(&format!("fn {function}(")),
        Err(_) => path.is_dir() && function.is_empty(),
    }
}

#[test]
fn the_commands_of_the_readme_do_what_it_shows() {
    let sandbox = Sandbox::new("readme");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let mut blocks = blocks(&readme);
    blocks.retain(|block| ["sh", "console"].contains(&block.language.as_str()));
    let steps: Vec<Step> = blocks.iter().flat_map(steps).collect();
    assert!(steps.iter().any(|s| s.command == "cargo test"), "the set-up names the tests");
    for step in &steps {
        if let Some(fault) = sandbox.fault(step) {
            panic!("README.md: {fault}");
        }
    }
    learned(&sandbox.0.join("runs/hello"));
}

/// The run of the set-up reached its loss and left a checkpoint of its last step.
fn learned(folder: &Path) {
    let metrics = fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let last = metrics.lines().last().expect("a line for each step");
    let number = |key: &str| {
        let (_, rest) = last.split_once(&format!("\"{key}\":")).expect("the key is there");
        rest.split([',', '}']).next().unwrap_or_default().parse::<f64>().unwrap()
    };
    let (loss, step) = (number("val_loss"), number("step"));
    assert!(loss < HELLO_VAL_LOSS, "validation loss {loss}");
    assert!(folder.join(format!("step-{step}/manifest.json")).exists(), "checkpoint of {step}");
}

#[test]
fn specs_in_documents_check() {
    let sandbox = Sandbox::new("documents");
    let mut n_specs = 0;
    for (path, text) in documents() {
        for block in blocks(&text).iter().filter(|block| block.language == "lt") {
            fs::write(sandbox.0.join("examples/block.lt"), completed(&block.text)).unwrap();
            let (exit, output) = sandbox.run("llmc check examples/block.lt");
            assert_eq!(exit, Some(0), "{}:{}\n{output}", path.display(), block.line);
            n_specs += 1;
        }
    }
    assert!(n_specs > 0, "the documents show a spec");
}

#[test]
fn the_readme_shows_the_first_example_as_it_is() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let hello = fs::read_to_string(root().join("examples/hello.lt")).unwrap();
    assert!(blocks(&readme).iter().any(|b| b.language == "lt" && b.text == hello));
}

#[test]
fn files_that_documents_name_exist() {
    for (path, text) in documents() {
        let missing = missing_files(&text);
        assert!(missing.is_empty(), "{} names {missing:?}", path.display());
    }
}

/// The crates of the table of dependencies that `lock` does not have.
fn absent_crates(readme: &str, lock: &str) -> Vec<String> {
    let rows = readme.lines().skip_while(|line| !line.starts_with("| crate |")).skip(2);
    let cells = rows.map_while(|row| row.strip_prefix('|')?.split('|').next());
    let names = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let is_absent = |name: &&str| !lock.contains(&format!("name = \"{name}\"\n"));
    names.filter(is_absent).map(str::to_owned).collect()
}

#[test]
fn the_readme_lists_dependencies_that_are_there() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let lock = fs::read_to_string(root().join("Cargo.lock")).unwrap();
    assert_eq!(absent_crates(&readme, &lock), Vec::<String>::new());
}

#[test]
fn what_does_not_hold_is_caught() {
    let sandbox = Sandbox::new("planted");
    let fault = |text: &str| {
        let block = Block { language: "console".to_owned(), line: 1, text: text.to_owned() };
        steps(&block).iter().find_map(|step| sandbox.fault(step))
    };
    assert_eq!(
        fault(
            "$ llmc check examples/hello.lt\nexamples/hello.lt: no errors, 7 warnings; 1.5 k parameters, 2.5 MiB of memory\n"
        ),
        None
    );
    assert!(fault("$ llmc check examples/hello.lt\nexamples/hello.lt: all is well\n").is_some());
    assert!(fault("$ llmc check examples/absent.lt\n").is_some());
    assert_eq!(fault("$ llmc check examples/absent.lt\n$ echo $?\n2\n"), None);
    assert!(fault("$ cargo install llmc\n").is_some());
    assert_eq!(missing_files("`tests/readme.rs` [a](LICENSE-MIT) `a/b`"), Vec::<String>::new());
    assert_eq!(missing_files("`tests/absent.rs` [a](absent.md)"), ["tests/absent.rs", "absent.md"]);
    assert_eq!(missing_files("`tests/readme.rs::absent`"), ["tests/readme.rs::absent"]);
    let table = "| crate | for |\n|---|---|\n| `a`, `b` | `c` |\n\n| `d` |\n";
    assert_eq!(absent_crates(table, "name = \"a\"\n"), ["b"]);
}
