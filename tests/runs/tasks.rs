//! Labels, hidden tokens and answers: every format trains, and every promise holds for all tasks.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::folder::{Ended, Folder};

/// A spec of the examples.
fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name);
    path.to_str().unwrap().to_owned()
}

/// Rows of short texts with three labels, which their words tell.
fn table(rows: usize) -> String {
    let row = |i: usize| {
        let (label, word) = [("land", "fox"), ("sea", "eel"), ("air", "owl")][i % 3];
        format!("{label}\t{word} {}\n", "and so on ".repeat(i % 4))
    };
    (0..rows).map(row).collect()
}

fn labels(lines: &str) -> String {
    format!(
        "model classifier(layers: 1, width: 16, heads: 2, drop: 10%)\n\
         data table(\"rows.tsv\", text: 2, label: 1, header: false)\n\
         train {{\nbatch 8\ncontext 48\nlr 3e-3\n{lines}\n}}\n"
    )
}

fn hidden(lines: &str) -> String {
    format!(
        "model encoder(layers: 1, width: 16, heads: 2, drop: 10%)\n\
         data text(\"text.txt\", tokenizer: chars) {{ mask 15% }}\n\
         train {{\nbatch 8\ncontext 16\nlr 3e-3\n{lines}\n}}\n"
    )
}

fn answers(lines: &str) -> String {
    format!(
        "model gpt(layers: 1, width: 16, heads: 2, drop: 10%)\n\
         data jsonl(\"talk.jsonl\", prompt: \"q\", completion: \"a\") {{\n\
         loss_on completion\npack none\n}}\n\
         train {{\nbatch 8\ncontext 24\nlr 3e-3\n{lines}\n}}\n"
    )
}

type Spec = fn(&str) -> String;

const TASKS: [(&str, Spec); 3] = [("labels", labels), ("hidden", hidden), ("answers", answers)];

/// A folder with what these specs read.
fn folder(name: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("rows.tsv", table(120));
    let talk = |i: usize| format!("{{\"q\": \"what is {i}?\", \"a\": \"it is {}\"}}\n", i % 10);
    folder.write("talk.jsonl", (0..120).map(talk).collect::<String>());
    folder
}

fn losses(folder: &Folder, run: &str) -> Vec<f64> {
    let loss = |row: &String| {
        let row: Value = serde_json::from_str(row).unwrap();
        row["loss"].as_f64().unwrap()
    };
    folder.rows(run).iter().map(loss).collect()
}

#[test]
fn every_example_of_a_format_is_short_and_trains() {
    let sets = ["--set", "train.steps=24", "--set", "train.batch=8", "--set", "train.warmup=4"];
    for (name, falls) in [
        ("chat", 0.3),
        ("authors", 0.0),
        ("hidden", 0.1),
        ("classics_chars", 0.5),
        ("classics_bpe", 0.3),
        ("poems", 0.5),
        ("compressed", 0.5),
        ("tokens", 0.5),
        ("mixture", 0.5),
    ] {
        let folder = Folder::new(&format!("example-{name}"));
        let spec = example(&format!("{name}.lt"));
        assert!(fs::read_to_string(&spec).unwrap().lines().count() <= 12, "{name}");
        folder.llmc(&[&["train", &spec], &sets[..]].concat()).exits(0);
        let losses = losses(&folder, &format!("runs/{name}"));
        let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
        let (first, last) = (mean(&losses[..4]), mean(&losses[20..]));
        assert!(last < first - falls, "{name}: {first} to {last}");
    }
}

#[test]
fn labels_are_learned_and_their_accuracy_is_measured() {
    let folder = folder("labels-learned");
    folder.write("a.lt", labels("steps 60\neval every 20"));
    folder.llmc(&["train", "a.lt"]).exits(0).prints("accuracy 100.0%");
    let rows = folder.rows("runs/a");
    assert!(rows[59].contains("\"val_accuracy\":1.0"), "{}", rows[59]);
    let ended = folder.llmc(&["generate", "runs/a", "owl"]).exits(2);
    ended.says("it learned labels or hidden tokens");
}

/// As many classes, but others: an output of the head would mean another one.
#[test]
fn a_run_does_not_go_on_with_other_classes() {
    let folder = folder("labels-renamed");
    folder.write("a.lt", labels("steps 4"));
    folder.llmc(&["train", "a.lt"]).exits(0);
    let before = folder.hash("runs/a/step-4");
    folder.write("rows.tsv", table(120).replace("air\t", "sky\t"));
    let refused = folder.llmc(&["train", "a.lt", "--resume", "--set", "train.steps=8"]).exits(3);
    refused.says("its classes were air, land, sea, now they are land, sea, sky");
    assert_eq!(folder.hash("runs/a/step-4"), before);
    folder.llmc(&["train", "a.lt"]).exits(0).prints("new run in runs/a-2");
}

#[test]
fn threads_do_not_change_any_task() {
    for (task, spec) in TASKS {
        let run = |threads: &str| {
            let folder = folder(&format!("{task}-{threads}"));
            folder.write("a.lt", spec("steps 8\neval every 4"));
            folder.llmc(&["train", "a.lt", "--threads", threads]).exits(0);
            (folder.hash("runs/a/step-8"), folder.rows("runs/a"))
        };
        let one = run("1");
        for threads in ["2", "5"] {
            assert!(run(threads) == one, "{task} with {threads} threads");
        }
    }
}

#[test]
fn any_task_goes_on_with_the_same_bits() {
    for (task, spec) in TASKS {
        let folder = folder(&format!("{task}-again"));
        folder.write("a.lt", spec("steps 12\ncheckpoint every 4\neval every 6\naccumulate 2"));
        folder.llmc(&["train", "a.lt"]).exits(0);
        let ended = (folder.hash("runs/a/step-12"), folder.rows("runs/a"));
        for later in ["outcome.json", "step-8", "step-12"] {
            let path = folder.at("runs/a").join(later);
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        }
        folder.llmc(&["train", "a.lt"]).exits(0).prints("going on from step 4");
        assert!((folder.hash("runs/a/step-12"), folder.rows("runs/a")) == ended, "{task}");
    }
}

#[test]
fn micro_batches_of_any_size_take_the_same_step() {
    for (task, spec) in TASKS {
        let folder = folder(&format!("{task}-micro"));
        let losses = |micro_batch: &str| {
            let (file, run) = (format!("m{micro_batch}.lt"), format!("runs/m{micro_batch}"));
            folder.write(&file, spec(&format!("steps 4\nmicro_batch {micro_batch}")));
            folder.llmc(&["train", &file]).exits(0);
            self::losses(&folder, &run)
        };
        let whole = losses("8");
        for micro_batch in ["1", "2"] {
            for (a, b) in losses(micro_batch).iter().zip(&whole) {
                assert!((a - b).abs() < 2e-5 * b, "{task}: {a} for {b}");
            }
        }
    }
}

#[test]
fn padding_changes_no_bit_of_a_label() {
    let folder = folder("padding");
    let loss = |context: &str| {
        let spec = labels("steps 1").replace("context 48", &format!("context {context}"));
        let file = format!("c{context}.lt");
        folder.write(&file, spec.replace(", drop: 10%", ""));
        folder.llmc(&["train", &file]).exits(0);
        losses(&folder, &format!("runs/c{context}"))[0]
    };
    assert_eq!(loss("48").to_bits(), loss("80").to_bits());
}

fn show(folder: &Folder, words: &[&str]) -> Ended {
    folder.llmc(&[&["data", "show", "a.lt"], words].concat())
}

#[test]
fn data_is_shown_as_the_model_gets_it() {
    let folder = folder("show");
    folder.write("a.lt", answers("steps 4"));
    let shown = show(&folder, &["--n", "1"]).exits(0);
    shown.prints("nine of ten up to");
    shown.prints("w h a t ␣ i s");
    // The question is no target, the answer is.
    let lines: Vec<&str> = shown.out.lines().collect();
    let at = lines.iter().position(|line| line.contains("w h a t")).unwrap();
    assert!(
        lines[at + 1].contains("- - - -") && lines[at + 1].contains(" t ␣ i s"),
        "{}",
        shown.out
    );
    let json = show(&folder, &["--n", "2", "--json", "--split", "val"]).exits(0).out;
    let objects: Vec<Value> = json.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(objects.len(), 3);
    assert_eq!(objects[0]["splits"][0]["documents"], 108);
    assert_eq!(objects[1]["ids"].as_array().unwrap().len(), 24);
    show(&folder, &["--split", "test"]).exits(2).says("the data has `train`, `val`");
    folder.write("a.lt", labels("steps 4"));
    let shown = show(&folder, &[]).exits(0);
    shown.prints("labels      3: air, land, sea");
    shown.prints("label `land`");
    shown.prints("of padding");
}

#[test]
fn a_dialogue_is_answered_turn_by_turn() {
    let folder = folder("dialogue");
    folder.write("a.lt", answers("steps 60"));
    folder.llmc(&["train", "a.lt"]).exits(0);
    let made = folder.shell("printf 'what is 7?\\nwhat is 8?\\n' | llmc chat runs/a --length 40");
    let made = made.exits(0);
    // An answer ends where the data ends it, long before its length; marks are not shown.
    assert_eq!(made.out.lines().count(), 2, "{}", made.out);
    assert!(made.out.lines().all(|line| line.chars().count() < 30), "{}", made.out);
    assert!(!made.out.contains("<|"), "{}", made.out);
}
