//! What is said of memory before a run, and what the run takes.

use exec::executor::{Executor, Options};
use llmc::machine::room;
use plan::Plan;

use crate::backend::{Rng, Silent};
use crate::folder::{Folder, dropout, gpt, own};
use crate::plans::compiled;

/// What a process may take beside what was predicted, in bytes and as a share.
const SLACK_BYTES: f64 = 50e6;
const SLACK_SHARE: f64 = 0.1;

/// Loads a plan, compares its memory with what was predicted, and makes a step.
fn takes_what_was_predicted(plan: Plan, name: &str) {
    let predicted = plan.arena_bytes;
    let mut executor = Executor::load(plan, &Options::threads(1)).unwrap();
    assert_eq!(executor.memory().allocated(), predicted, "{name}");
    let buffers = executor.plan().buffers.clone();
    let ends = buffers.iter().map(|b| b.offset + b.bytes.next_multiple_of(plan::ALIGN));
    assert_eq!(ends.max(), Some(predicted), "{name}: buffers end where the arena ends");
    for function in ["init", "micro", "update"] {
        let id = executor.plan().function(function).unwrap();
        executor.call(id, &mut Silent).unwrap();
    }
}

/// A small model with random sizes and lines.
fn random_spec(rng: &mut Rng) -> String {
    let mut pick = |choices: &[&str]| choices[rng.below(choices.len())].to_owned();
    let heads = pick(&["1", "2", "3"]);
    let width = pick(&["12", "24", "36"]);
    let layers = pick(&["1", "2", "3"]);
    let drop = pick(&["0", "10%"]);
    let lines = [
        format!("batch {}", pick(&["4", "12"])),
        format!("micro_batch {}", pick(&["1", "2", "4"])),
        format!("context {}", pick(&["7", "16", "33"])),
        format!("precision {}", pick(&["fp32", "bf16", "fp16", "bf16 master bf16"])),
        format!("recompute {}", pick(&["auto", "none", "all", "every 2 blocks", "only mlp"])),
        pick(&["", "ema 0.9"]),
        pick(&["", "clip 0.5", "clip none"]),
        pick(&["optimizer adamw", "optimizer sgd", "optimizer adamw on matrices, lion on rest"]),
    ];
    format!(
        "model gpt(layers: {layers}, width: {width}, heads: {heads}, drop: {drop})\n\
         data text(\"text.txt\")\ntrain {{\nsteps 9\nlr 1e-3\n{}\n}}\n",
        lines.join("\n")
    )
}

#[test]
fn two_hundred_programs_take_what_was_predicted() {
    let mut rng = Rng(7);
    for _ in 0..200 {
        let spec = random_spec(&mut rng);
        takes_what_was_predicted(compiled(&spec).plan, &spec);
    }
}

#[test]
fn other_programs_take_what_was_predicted() {
    for spec in [gpt("steps 9"), dropout("steps 9"), own("steps 9")] {
        takes_what_was_predicted(compiled(&spec).plan, &spec);
    }
}

/// The examples, with all of their data.
fn examples(name: &str) -> (Folder, [&'static str; 3]) {
    let folder = Folder::new(name);
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let names = ["hello", "shakespeare", "custom_optimizer"];
    for name in names {
        let spec = std::fs::read_to_string(format!("{data}/{name}.lt")).unwrap();
        // One micro-batch of a step takes the memory that all take.
        let spec = spec.replace("batch      32\n  accumulate 8", "batch 4");
        folder.write(&format!("{name}.lt"), spec);
    }
    std::fs::create_dir(folder.at("data")).unwrap();
    let text = std::fs::read(format!("{data}/data/shakespeare.txt")).unwrap();
    folder.write("data/shakespeare.txt", text);
    (folder, names)
}

/// A number after a word of a text.
fn number_after(text: &str, word: &str) -> f64 {
    let rest = &text[text.find(word).unwrap_or_else(|| panic!("{word} in {text}")) + word.len()..];
    let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
    rest[..end].parse().unwrap()
}

/// Bytes that a process took which made a few steps.
fn peak(folder: &Folder, spec: &str, more: &[&str]) -> Result<f64, String> {
    let words = [&["bench", spec, "--steps", "1", "--json"], more].concat();
    let ended = folder.llmc(&words);
    match ended.code {
        0 => Ok(number_after(&ended.out, "\"peak_rss_mb\": ") * f64::from(1 << 20)),
        4 => Err(ended.err),
        code => panic!("exit code {code}: {}", ended.err),
    }
}

/// The bytes of the arena, as `plan` says them.
fn arena(folder: &Folder, spec: &str) -> f64 {
    let ended = folder.llmc(&["plan", spec]).exits(0);
    let line = ended.out.lines().find(|line| line.contains("arena, where")).unwrap();
    line.trim_start().split(' ').next().unwrap().parse().unwrap()
}

#[test]
fn processes_take_what_was_predicted() {
    let (folder, names) = examples("memory-peaks");
    for name in names {
        let spec = format!("{name}.lt");
        let predicted = arena(&folder, &spec) + room().beside_bytes as f64;
        let peak = peak(&folder, &spec, &[]).unwrap();
        let slack = SLACK_BYTES + SLACK_SHARE * predicted;
        assert!((peak - predicted).abs() <= slack, "{name}: {peak} instead of {predicted}");
    }
}

#[test]
fn a_bound_is_kept_or_refused() {
    let (folder, _) = examples("memory-bounds");
    let deep = gpt("steps 9").replace("layers: 1, width: 16", "layers: 10, width: 96");
    let deep = deep.replace("batch 4", "batch 16").replace("context 16", "context 128");
    folder.write("deep.lt", deep);
    for spec in ["hello.lt", "shakespeare.lt", "deep.lt"] {
        let usual = arena(&folder, spec) + room().beside_bytes as f64;
        for percent in [25.0, 50.0, 75.0] {
            let kib = (usual * percent / 100.0 / 1024.0).floor();
            let (bound, memory) = (kib * 1024.0, format!("train.memory={kib}KiB"));
            match peak(&folder, spec, &["--set", &memory]) {
                Ok(peak) => assert!(peak <= bound, "{spec}: {peak} of {bound} at {percent} %"),
                Err(said) => {
                    let is_refused = said.contains("E0901") || said.contains("E0902");
                    assert!(is_refused, "{spec} at {percent} %: {said}");
                }
            }
        }
    }
}

/// 770 G weights: 3 TB of them alone.
const VAST: &str = "model gpt(layers: 15, width: 64Ki, heads: 64)\ndata text(\"text.txt\")\n\
                    train {\nbatch 4\ncontext 16\nsteps 9\nlr 1e-3\n}\n";

#[test]
fn three_terabytes_are_refused_in_little_memory() {
    let folder = Folder::new("memory-vast");
    folder.write("vast.lt", VAST);
    for command in ["check", "plan", "train"] {
        let line = format!("ulimit -v 262144; llmc {command} vast.lt --set train.memory=24GiB");
        let ended = folder.shell(&line).exits(4);
        ended.says("E0901");
        ended.says("its largest tensors are");
        ended.says("a model of ");
    }
    assert!(!folder.at("runs").exists(), "nothing was started");
}

#[test]
fn what_memory_asks_for_is_derived_and_kept() {
    let folder = Folder::new("memory-kept");
    let spec = gpt("steps 2").replace("batch 4", "batch 64").replace("width: 16", "width: 64");
    folder.write("a.lt", spec);
    let plan = |set: &str| folder.llmc(&["plan", "a.lt", "--set", set]).exits(0).out;
    let setting = |out: &str, name: &str| {
        let line = out.lines().find(|l| l.trim_start().starts_with(&format!("{name} "))).unwrap();
        line.split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let tight = format!("train.memory={}KiB", (room().beside_bytes >> 10) + (4 << 10));
    assert_eq!(setting(&plan("train.memory=1GiB"), "micro_batch")[1], "64");
    let chosen = setting(&plan(&tight), "micro_batch");
    assert_eq!(chosen[2], "derived");
    assert!(chosen[1].parse::<u64>().unwrap() < 64);
    folder.llmc(&["train", "a.lt", "--set", &tight]).exits(0);
    let again = folder.llmc(&["train", "a.lt"]).exits(0);
    again.prints("runs/a finished at step 2");
}
