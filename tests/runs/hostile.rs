//! Inputs that mean harm, or could not mean more: an exit code, a message, little memory.

use std::fs;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::folder::{Ended, Folder, end, gpt};

/// What a command that only refuses may take.
const LITTLE: u64 = 256 << 20;

/// Runs `llmc` with these words, and says how much memory it had at most.
fn measured(folder: &Folder, words: &[&str]) -> (Ended, u64) {
    let mut command = folder.command(words);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let ended = std::thread::spawn(move || end(child));
    let mut most = 0;
    while !ended.is_finished() {
        // The line is gone when the process is; it lives long enough to be seen before.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        most = most.max(kib.unwrap_or_default() * 1024);
        std::thread::park_timeout(Duration::from_millis(1));
    }
    (ended.join().unwrap(), most)
}

/// More of them than a process may have open.
#[test]
fn data_may_be_many_files() {
    let folder = Folder::new("hostile-many");
    folder.shell("for i in $(seq 300); do echo \"file $i\" > part-$i.txt; done").exits(0);
    for tokenizer in ["bytes", "words(50)"] {
        let all = format!("text(\"part-*.txt\", tokenizer: {tokenizer})");
        folder.write("a.lt", gpt("steps 2").replace("text(\"text.txt\", tokenizer: bytes)", &all));
        let line = "ulimit -n 64; LLMC_CACHE=cache llmc train a.lt";
        folder.shell(line).exits(0).prints("done: step 2");
    }
}

#[test]
fn ten_thousand_errors_are_a_hundred_and_a_count() {
    let folder = Folder::new("hostile-errors");
    for line in ["x = )\n", "data\n", "acumulate 2\n"] {
        folder.write("a.lt", line.repeat(10_000));
        let (ended, most) = measured(&folder, &["check", "a.lt"]);
        let ended = ended.exits(2);
        let n = ended.err.matches("error[").count() + ended.err.matches("warning[").count();
        assert_eq!(n, 100, "{line}");
        ended.says("more diagnostics");
        assert!(ended.err.len() < 100 * 4096 && most < LITTLE, "{line}");
    }
}

/// What is said of a line takes no longer for all that stands around it.
#[test]
fn a_megabyte_of_one_line_is_checked_in_seconds() {
    let folder = Folder::new("hostile-megabyte");
    folder.write("a.txt", "some text");
    let around = "model gpt(layers: 1, width: 4, heads: 2)\ndata text(\"a.txt\")\n";
    let block = format!("{around}train {{\n");
    let layer = format!("{around}layer own(d: dim)(x: [b, d]) -> [b, d] {{\n");
    for (before, line, after, messages) in [
        ("", "x = )", "", &["unexpected `)`"][..]),
        ("", "a: 1,;", "", &["unexpected `,`"]),
        ("", "train = {}", "", &["unexpected `{`"]),
        ("", "{a} layer", "", &["unexpected `{`", "unexpected `layer`"]),
        ("", "train 4, dev 1", "", &["`train` does not take `4`"]),
        ("", "use \"x#.lt\"", "", &["there is no file"]),
        ("", "model m# = gpt(layers: 1, width: 4, heads: 2)", "", &["more than 256 blocks"]),
        ("", "train { batch 2; context 4; steps 10 }", "", &["more than 256 blocks"]),
        ("", "fn f#(x: real) -> real { x }", "", &["more than 1024 declarations"]),
        ("", "word# 3", "", &["unknown block `word0`"]),
        (&block, "word# 3", "}\n", &["`word0`"]),
        (&layer, "x# = y#(x)", "x\n}\n", &["`y0` is not defined"]),
        (&layer, "x = linear(d, d)(x)", "x\n}\n", &["no name of their own"]),
    ] {
        let n = 1_000_000 / (line.len() + 14);
        let lines = (0..n).map(|i| line.replace('#', &i.to_string()) + "\n");
        folder.write("a.lt", [before, &lines.collect::<String>(), after].concat());
        let started = Instant::now();
        let (ended, most) = measured(&folder, &["check", "a.lt"]);
        let took = started.elapsed();
        let ended = ended.exits(2);
        messages.iter().for_each(|message| ended.says(message));
        assert!(took < Duration::from_secs(20) && most < 4 * LITTLE, "{line}: {took:?}, {most}");
    }
}

#[test]
fn what_use_names_is_a_file_and_not_without_end() {
    let folder = Folder::new("hostile-use");
    folder.shell("mkfifo pipe.lt && ln -s /dev/zero zero.lt && ln -s . loop").exits(0);
    for (path, message) in [
        ("pipe.lt", "not a regular file"),
        ("zero.lt", "is outside of"),
        ("loop/loop/loop/a.lt", "symbolic links"),
        ("f0.lt", "more than 16 deep"),
    ] {
        folder.write("a.lt", format!("use \"{path}\" as it\n{}", gpt("steps 1")));
        for i in 0..1000 {
            folder.write(&format!("f{i}.lt"), format!("use \"f{}.lt\" as it\n", i + 1));
        }
        folder.llmc(&["check", "a.lt"]).exits(2).says(message);
    }
}

#[test]
fn data_outside_of_the_folder_and_devices_are_not_read() {
    let folder = Folder::new("hostile-data");
    folder.shell("ln -s /etc/passwd link.txt && mkfifo pipe.txt && mkdir folder").exits(0);
    for (path, message) in [
        ("../../../../../../../../../../etc/passwd", "outside the spec's folder"),
        ("link.txt", "outside the spec's folder"),
        ("/dev/zero", "not a regular file"),
        ("pipe.txt", "not a regular file"),
        ("folder", "not a regular file"),
    ] {
        folder.write("a.lt", gpt("steps 1").replace("text.txt", path));
        folder.llmc(&["train", "a.lt"]).exits(3).says(message);
    }
    assert!(!folder.at("runs").exists());
}

/// A spec of answers whose rows come as they are in the file.
fn answers(lines: &str) -> String {
    format!(
        "model gpt(layers: 1, width: 16, heads: 2)\n\
         data jsonl(\"talk.jsonl\", messages: \"m\") {{\n\
         loss_on completion\npack none\nshuffle none\nsplit 100% train\n}}\n\
         train {{\ncontext 16\nlr 3e-3\n{lines}\n}}\n"
    )
}

const ANSWERED: &str = "{\"m\": [\"what?\", \"that\"]}\n";
const ASKED: &str = "{\"m\": [\"and what is this?\"]}\n";

/// The losses of a run, and which steps were skipped.
fn log(folder: &Folder, run: &str) -> Vec<(Option<f64>, bool)> {
    let text = fs::read_to_string(folder.at(run).join("metrics.jsonl")).unwrap();
    let row = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        (row["loss"].as_f64(), row["skipped"].as_bool() == Some(true))
    };
    text.lines().map(row).collect()
}

#[test]
fn a_batch_without_a_target_is_skipped_and_a_micro_batch_counts_for_nothing() {
    let folder = Folder::new("hostile-targets");
    // One of two rows of each batch has a target.
    folder.write("talk.jsonl", [ANSWERED, ASKED].concat().repeat(8));
    folder.write("whole.lt", answers("batch 2\nsteps 4"));
    folder.write("parts.lt", answers("micro_batch 1\naccumulate 2\nsteps 4"));
    folder.llmc(&["train", "whole.lt"]).exits(0);
    folder.llmc(&["train", "parts.lt"]).exits(0);
    let (whole, parts) = (log(&folder, "runs/whole"), log(&folder, "runs/parts"));
    assert_eq!((whole.len(), parts.len()), (4, 4));
    for ((a, _), (b, _)) in whole.iter().zip(&parts) {
        let (a, b) = (a.unwrap(), b.unwrap());
        assert!(a.is_finite() && (a - b).abs() < 1e-5 * a, "{a} {b}");
    }
    // Every second batch has none.
    folder.write("talk.jsonl", [ANSWERED, ANSWERED, ASKED, ASKED].concat().repeat(8));
    folder.write("half.lt", answers("batch 2\nsteps 4"));
    folder.llmc(&["train", "half.lt"]).exits(0).prints("no target token");
    let rows = log(&folder, "runs/half");
    assert_eq!(rows.len(), 7, "four steps and three skips between them: {rows:?}");
    for (n, (loss, skipped)) in rows.iter().enumerate() {
        assert_eq!(*skipped, n % 2 == 1, "{rows:?}");
        assert!(n % 2 == 1 || loss.is_some_and(f64::is_finite), "{rows:?}");
    }
    // None at all is said when the data is read.
    folder.write("talk.jsonl", ASKED.repeat(8));
    folder.write("none.lt", answers("batch 2\nsteps 4"));
    folder.llmc(&["train", "none.lt"]).exits(3).says("no token of `train` is a target");
    assert!(!folder.at("runs/none").exists());
}
