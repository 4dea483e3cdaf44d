//! Habits of other tools, and what `check --fix` makes of them.

use diag::SourceMap;

use super::{Input, STD, check};

/// The text after all edits that are certain, and how many messages remain.
fn mended(text: &str) -> (String, usize) {
    let mut text = text.to_owned();
    for _ in 0..5 {
        let mut map = SourceMap::new();
        let (file, std_file) = (map.add("spec.lt", text.as_str()), map.add("std/test.lt", STD));
        let (spec, mut found) = syntax::parse(&map, file);
        let (std, _) = syntax::parse(&map, std_file);
        let std = [&std];
        found.extend(check(&Input::new("spec", &spec, &std, &map), None).1);
        let (next, made) = diag::fix::apply(file, &text, &found);
        if made.is_empty() {
            return (text, found.len());
        }
        text = next;
    }
    panic!("never done: {text}")
}

const MODEL: &str = "model gpt(layers: 2, width: 4, heads: 2)\n";
const DATA: &str = "data text(\"a.txt\")\n";
const TRAIN: &str = "train {\n  batch 4\n  steps 100\n}\n";

#[track_caller]
fn becomes(written: &str, meant: &str) {
    let (text, n_said) = mended(written);
    assert_eq!((text.as_str(), n_said), (meant, 0), "{written}");
}

#[track_caller]
fn data_becomes(line: &str, meant: &str) {
    let spec = |line: &str| {
        format!(
            "{MODEL}data a = text(\"a.txt\")\ndata b = text(\"b.txt\")\ndata all {{\n  {line}\n}}\ntrain {{\n  data all\n  batch 4\n  steps 100\n}}\n"
        )
    };
    becomes(&spec(line), &spec(meant));
}

#[test]
fn blocks_of_yaml_and_of_python_get_their_braces() {
    let lines = "  batch 4\n\n  # Enough.\n  steps 100";
    let meant = format!("{MODEL}{DATA}train {{\n{lines}\n}}\n");
    becomes(&format!("{MODEL}{DATA}train:\n{lines}\n"), &meant);
    becomes(&format!("{MODEL}{DATA}train\n{lines}\n"), &meant);
    becomes(
        &format!("{MODEL}{DATA}train:\n{}\n", lines.replace("h 4", "h: 4,").replace("s 1", "s: 1")),
        &meant,
    );
    let split = "data text(\"a.txt\") {\n  split 80% train, 20% val\n}\n";
    becomes(
        &format!("{MODEL}data text(\"a.txt\")\n  split 80% train, 20% val\n{TRAIN}"),
        &format!("{MODEL}{split}{TRAIN}"),
    );
    // All of them, whatever their word is elsewhere.
    let lines = "  batch 4\n  eval every 50\n# Enough.\n  steps 100";
    let meant = format!("{MODEL}{DATA}train {{\n{lines}\n}}\n");
    becomes(&format!("{MODEL}{DATA}train:\n{lines}\n"), &meant);
    becomes(&format!("{MODEL}{DATA}train\n{lines}\n"), &meant);
    // A block that stands further in is a block.
    let inner = format!("{MODEL}{DATA}  {TRAIN}");
    becomes(&inner, &inner);
    // A name of the file level is none of the lines.
    becomes(
        &format!("train\n{lines}\n{MODEL}{DATA}"),
        &format!("train {{\n{lines}\n}}\n{MODEL}{DATA}"),
    );
}

#[test]
fn a_colon_behind_the_word_of_a_block_goes() {
    let meant = format!("{MODEL}{DATA}{TRAIN}");
    becomes(&meant.replace("model ", "model: ").replace("data ", "data: "), &meant);
    let named = format!("{}{DATA}{TRAIN}", MODEL.replace("model", "model net ="));
    becomes(&named.replace("net =", "net:"), &named);
}

#[test]
fn commas_at_the_ends_of_lines_go() {
    let meant = format!(
        "{MODEL}data text(\"a.txt\") {{\n  split 80% train, 20% val\n  shuffle none\n}}\n{TRAIN}"
    );
    let commas =
        meant.replace("val\n", "val,\n").replace("h 4\n", "h 4,\n").replace("100\n", "100,\n");
    becomes(&commas, &meant);
    let json = commas.replace("batch ", "batch: ").replace("steps ", "steps = ");
    becomes(&json, &meant);
    // A list may go on behind its comma.
    let list = meant.replace("train, ", "train,\n    ");
    becomes(&list, &list);
    let list = meant.replace("  steps", "  metric perplexity,\n    loss\n  steps");
    becomes(&list, &list);
    // Which commas are those of a list is not certain.
    let rules = "  lr: 1e-3,\n  optimizer adamw() on matrices,\n    sgd() on rest\n  steps";
    let rules = meant.replace("  steps", rules);
    assert_eq!(mended(&rules).0, rules);
    becomes(
        &meant.replace("h 4\n", "h 4, ").replace("  steps", "steps"),
        &meant.replace("h 4\n", "h 4; ").replace("  steps", "steps"),
    );
}

#[test]
fn shares_get_their_order_and_their_whole() {
    for split in [
        "80/20",
        "80 20",
        "80, 20",
        "8 train, 2 val",
        "train 80%, val 20%",
        "80% train 20% val",
        "train 4, dev 1",
        "80%/20%",
    ] {
        let spec =
            |split: &str| format!("{MODEL}data text(\"a.txt\") {{\n  split {split}\n}}\n{TRAIN}");
        becomes(&spec(split), &spec("80% train, 20% val"));
    }
    let three =
        |split: &str| format!("{MODEL}data text(\"a.txt\") {{\n  split {split}\n}}\n{TRAIN}");
    becomes(&three("80/10/10"), &three("80% train, 10% val, 10% test"));
    becomes(&three(": 80/10/10"), &three("80% train, 10% val, 10% test"));
    becomes(&three("0.5 train, 0.5 val"), &three("0.5 train, 0.5 val"));
    becomes(&three("0.8, 0.2"), &three("0.8 train, 0.2 val"));
    becomes(&three("0.8 training, 0.2 validation"), &three("0.8 train, 0.2 val"));
    // Which of the numbers is a slip is not certain.
    for slip in
        ["0.9 train, 0.2 val", "90 train, 5 val, 10 test", "9/10", "80 train, 10 val, 10 dev"]
    {
        let (text, n_said) = mended(&three(slip));
        assert!(n_said > 0 && !text.contains("81."), "{text}");
    }
    data_becomes("mix a 1, b 1\n  tokenizer bpe(1,000)", "mix a 50%, b 50%\n  tokenizer bpe(1000)");
    data_becomes("mix a 7, b 3", "mix a 70%, b 30%");
    data_becomes("mix 70% a, 30% b", "mix a 70%, b 30%");
    data_becomes("mix a 70% b 30%", "mix a 70%, b 30%");
    data_becomes("mix(a: 0.7, b: 0.3)", "mix a 0.7, b 0.3");
    data_becomes("mix a 1, b 2", "mix a 33.3333%, b 66.6667%");
}

#[test]
fn units_devices_and_files_are_said_as_ours() {
    let with =
        |line: &str| format!("{MODEL}{DATA}{}", TRAIN.replace("}", &format!("  {line}\n}}")));
    becomes(&with("budget 12 hours"), &with("budget 12h"));
    becomes(&with("checkpoint every 30 min"), &with("checkpoint every 30min"));
    becomes(&with("memory 8 GB"), &with("memory 8GB"));
    becomes(&with("memory 8 gib"), &with("memory 8GiB"));
    becomes(&with("device cuda:0"), &with("device cuda"));
    becomes(&with("device cpu:0"), &with("device cpu"));
    let meant = format!("{MODEL}{DATA}{TRAIN}");
    becomes(&meant.replace("steps 100", "step 100"), &meant);
    // Another rule is another training.
    assert_eq!(mended(&with("momentum 0.9")).0, with("momentum 0.9"));
    becomes(&with("lr(1e-3)"), &with("lr 1e-3"));
    let model = |layers: &str, width: &str| {
        format!("model gpt({layers}: 2, {width}: 4, heads: 2)\n{DATA}{TRAIN}")
    };
    becomes(&model("n_layer", "d_model"), &model("layers", "width"));
    let used = |line: &str| format!("{line}\n{MODEL}{DATA}{TRAIN}");
    assert_eq!(mended(&used("from base import model")).0, used("from base import model"));
    assert_eq!(mended(&used("include \"base.lt\"")).0, used("use \"base.lt\""));
}

#[test]
fn options_in_blocks_of_their_own_come_into_the_line() {
    let with =
        |line: &str| format!("{MODEL}{DATA}{}", TRAIN.replace("}", &format!("  {line}\n}}")));
    let eval = with("eval every 10 batches 4");
    becomes(&with("eval { every 10; batches 4 }"), &eval);
    becomes(&with("eval {\n    every: 10\n    batches = 4\n  }"), &eval);
    becomes(&with("sample \"x\" { every 10 }"), &with("sample \"x\" every 10"));
    becomes(&with("sample: \"x\" { every 10 }"), &with("sample \"x\" every 10"));
    // What is not one of its options, or a comment, is not carried over.
    for kept in ["eval { often }", "eval {\n    every 10 # Enough.\n  }"] {
        assert_eq!(mended(&with(kept)).0, with(kept));
    }
    // Whether its lines are options is not certain; they are not told to be unknown.
    let section = with("eval:\n    every: 10\n    batches: 4");
    assert_eq!(mended(&section), (section, 1));
    let section = format!("{MODEL}{DATA}{TRAIN}training:\n  batch: 4\n  seed: 1\n");
    assert_eq!(mended(&section).0, section);
}

#[test]
fn a_block_begins_right_behind_its_words() {
    let meant = format!("{MODEL}{DATA}{TRAIN}");
    becomes(&meant.replace("train {", "train\n{"), &meant);
    becomes(&meant.replace("train {", "train\n\n  {"), &meant);
    let comment = meant.replace("train {", "train # Enough.\n{");
    assert_eq!(mended(&comment).0, comment);
    becomes(&meant.replace("train {", "train: {"), &meant);
    becomes(&meant.replace("train {", "train = {"), &meant);
    let named = meant.replace("train {", "train quick {");
    for sign in [":", " =", "\n", ":\n", " = \n"] {
        becomes(&named.replace("quick {", &format!("quick{sign} {{")), &named);
    }
    // Whose lines they are is not certain.
    let second = format!("{MODEL}{DATA}train {{ batch 4; steps 100 }}\n{{\n  seed 1\n}}\n");
    assert_eq!(mended(&second).0, second);
}

#[test]
fn a_directive_is_not_said_twice_by_an_edit() {
    let with = |lines: &str| format!("{MODEL}{DATA}{}", TRAIN.replace("}", &format!("{lines}}}")));
    for kept in ["  optimizer adamw()\n  momentum 0.9\n", "  clip 1.0\n  max_grad_norm 0.5\n"] {
        assert_eq!(mended(&with(kept)).0, with(kept));
    }
    let quoted = with("  \"seed\": 1\n  random_seed 2\n");
    assert!(mended(&quoted).0.contains("random_seed 2"), "{quoted}");
    let twice = with("  save_steps 50\n  output_dir \"out\"\n");
    assert_eq!(mended(&twice).0, twice.replace("save_steps 50", "checkpoint every 50"));
}

#[test]
fn words_of_python_and_needless_units_are_replaced() {
    let with =
        |line: &str| format!("{MODEL}{DATA}{}", TRAIN.replace("}", &format!("  {line}\n}}")));
    becomes(&with("clip None"), &with("clip none"));
    becomes(&with("max_grad_norm=None"), &with("clip none"));
    becomes(&with("context 32 tokens"), &with("context 32"));
    becomes(&with("micro_batch 2 sequences"), &with("micro_batch 2"));
    // Either may be meant.
    assert_eq!(mended(&with("warmup 10.000")), (with("warmup 10.000"), 1));
    assert_eq!(mended(&with("ema 2")), (with("ema 2"), 1));
    becomes(&with("ema 99.9"), &with("ema 99.9%"));
    let data = |source: &str| format!("{MODEL}data {source}\n{TRAIN}");
    becomes(&data("\"a.txt\""), &data("text(\"a.txt\")"));
    becomes(&data("text(texts/a.txt)"), &data("text(\"texts/a.txt\")"));
}
