//! Specs as text in, diagnostics and settings out.

mod data_lines;
mod habits;
mod halves;
mod policies;
mod precedence;
mod rules;
mod said;
mod schedules;
mod uses;
mod values;

use diag::SourceMap;

use super::{Input, Override, check};
use crate::program::{Checkpoint, Clip, Eval, Facts, ParamSet, Program};
use crate::schema::{Home, Status};

/// A library of the least that a spec needs.
const STD: &str = r#"
layer gpt(layers: int, width: dim, heads: int, vocab: int = data.vocab)(ids: tok(vocab)[b, t]) -> [b, t, vocab] {
  param emb: [vocab, width] = normal(0.02)
  param head: [width, vocab] = normal(0.02)
  emb[ids] @ head
}
fn cross_entropy(logits: [..s, v], target: tok(v)[..s]) -> fp32[..s] {
  logsumexp(fp32(logits), over: v) - pick(fp32(logits), target, over: v)
}
rule adamw(beta1: prob = 0.9, beta2: prob = 0.999, eps: real = 1e-8, weight_decay: real = 0)(w: [..s], g: [..s], lr: real, t: int) -> [..s] {
  w - lr * (g + weight_decay * w)
}
rule sgd(momentum: prob = 0)(w: [..s], g: [..s], lr: real, t: int) -> [..s] { w - lr * g }
fn mlm(logits: [..s, v], target: tok(v)[..s]) -> fp32[..s] { cross_entropy(logits, target) }
layer labels(width: dim, classes: int = data.classes, vocab: int = data.vocab, pad: int = data.pad)(ids: tok(vocab)[b, t]) -> [b, classes] {
  param emb: [vocab, width] = normal(0.02)
  param head: [width, classes] = normal(0.02)
  text = fp32(ids != pad)
  einsum(fp32(emb[ids]), text, [b, t, width], [b, t] -> [b, width]) @ head
}
fn cosine(step: int, total: int, to: prob = 10%) -> real { to + (1 - to) * step / total }
"#;

/// The lines around a `train` block.
fn around(lines: &str) -> String {
    format!(
        "model gpt(layers: 2, width: 4, heads: 2)\ndata text(\"a.txt\")\ntrain {{\n{lines}\n}}\n"
    )
}

fn run(text: &str, sets: &[&str], facts: Option<&Facts>) -> (Option<Program>, String) {
    let mut map = SourceMap::new();
    let file = map.add("spec.lt", text);
    let std_file = map.add("std/test.lt", STD);
    let mut out = String::new();
    let mut overrides = vec![];
    for set in sets {
        let (parsed, diagnostics) = Override::parse(&mut map, set);
        overrides.extend(parsed);
        out.push_str(&list(&map, &diagnostics));
    }
    let (spec, syntax) = syntax::parse(&map, file);
    let (std, _) = syntax::parse(&map, std_file);
    let std = [&std];
    let input = Input::new("spec", &spec, &std, &map).with_overrides(&overrides);
    let (program, found) = check(&input, facts);
    out.push_str(&list(&map, &syntax));
    out.push_str(&list(&map, &found));
    (program, out)
}

/// One line a diagnostic: place, code, message; then its help.
fn list(map: &SourceMap, diagnostics: &[diag::Diagnostic]) -> String {
    let mut out = String::new();
    for d in diagnostics {
        let (line, column) = map.line_col(d.span().file, d.span().start);
        out.push_str(&format!("{line}:{column} {} {}\n", d.code.name(), d.message));
        for help in &d.help {
            out.push_str(&format!("  {help}\n"));
        }
    }
    out
}

/// Codes and messages of a `train` block that is fine but for these lines.
fn train(lines: &str) -> String {
    run(&around(&format!("steps 1k\nbatch 32\n{lines}")), &[], None).1
}

#[track_caller]
fn says(lines: &str, expect: &str) {
    assert_eq!(train(lines).trim_end(), expect.trim_matches('\n'), "{lines}");
}

#[test]
fn counts_are_checked_for_kind_and_range() {
    says(
        "accumulate 0",
        "6:12 E0302 `accumulate` must be within 1..65536, found 0\n  remove the line, and it is derived",
    );
    says(
        "accumulate -1",
        "6:12 E0302 `accumulate` must be within 1..65536, found -1\n  remove the line, and it is derived",
    );
    says(
        "accumulate 1e9",
        "6:12 E0302 `accumulate` must be within 1..65536, found 1e9\n  remove the line, and it is derived",
    );
    says("accumulate 8.5", "6:12 E0301 `accumulate` takes a whole number, found `8.5`");
    says(
        "accumulate eight",
        "6:12 E0301 `accumulate` takes a whole number, found the name `eight`",
    );
    says("micro_batch 4GiB", "6:13 E0303 `micro_batch` takes a plain count, found `4GiB`");
    says("seed", "6:1 E0301 `seed` needs a value");
}

#[test]
fn reals_are_checked_for_kind_and_range() {
    says("clip nan", "6:6 E0301 `clip` takes a number, found the name `nan`");
    says("clip 0", "6:6 E0302 `clip` must be above 0, found 0\n  `clip none` turns it off");
    says("clip -1", "6:6 E0302 `clip` must be above 0, found -1\n  `clip none` turns it off");
    says(
        "clip \"1\"",
        "6:6 E0301 `clip` takes a number, found the string `\"1\"`\n  write `1`, without quotes",
    );
    says("lr 30min", "6:4 E0303 `lr` takes a plain number, found `30min`");
    says(
        "lr 0",
        "6:4 E0302 `lr` must be above 0, found 0\n  remove the line, and it is the rule's usual value",
    );
    says("stop after 2GiB", "6:12 E0303 `stop` takes a time such as `30min`, found `2GiB`");
    says(
        "sample \"a\" temperature -1",
        "6:24 E0302 `sample temperature` must be 0 or more, found -1",
    );
    says(
        "sample \"a\" top_p 1.5",
        "6:18 E0302 `sample top_p` must be within 0..1, found 1.5\n  did you mean `1.5%`?",
    );
    says(
        "warmup 200%",
        "6:8 E0302 `warmup` must be within 0%..100%, found 200%\n  remove the line, and it is 1%",
    );
}

#[test]
fn number_too_large_is_reported_once() {
    assert_eq!(train("lr 1e400").matches("E0").count(), 1);
}

#[test]
fn unknown_words_name_what_was_meant() {
    says(
        "acumulate 8",
        "6:1 E0203 unknown directive `acumulate` in `train`\n  did you mean `accumulate`?",
    );
    says(
        "learning_rate 1e-3",
        "6:1 E0203 unknown directive `learning_rate` in `train`\n  `learning_rate` is called `lr` here: `lr 1e-3`",
    );
    says(
        "weight-decay 0.1",
        "6:1 E0203 unknown directive `weight-decay` in `train`\n  did you mean `weight_decay`?",
    );
    says("epochs 3", "6:1 E0203 unknown directive `epochs` in `train`\n  write `steps 3 epochs`");
    says("split 1", "6:1 E0206 `split` belongs to a `data` block\n  move it to `data`");
    says(
        "checkpoint \"a\" evry 10",
        "6:16 E0208 `checkpoint` has no option `evry`\n  did you mean `every`?",
    );
    says(
        "recompute all blocks",
        "6:15 E0208 `recompute` has no option `blocks`\n  it stands after a value: `recompute every .. blocks`",
    );
    says(
        "precision fp31",
        "6:11 E0301 `precision` does not take the name `fp31`\n  did you mean `fp32`?",
    );
}

#[test]
fn punctuation_and_order_of_a_line() {
    says("seed = 1", "6:5 E0204 directives take no `=`\n  write `seed 1`");
    says("seed: 1", "6:5 E0204 directives take no `:`\n  write `seed 1`");
    says("lr(3)", "6:1 E0204 `lr` is a directive, not a function\n  write `lr 3`");
    says("seed 1 lr 1e-3", "6:8 E0207 `lr` starts a new directive\n  put `lr` on its own line");
    says(
        "seed 1\nseed 2",
        "7:1 E0205 `seed` is set twice in `train`\n  remove one; the later does not win",
    );
    says("seed 1 2", "6:8 E0301 `seed` does not take `2` here");
    says("seed 1, 2", "6:9 E0301 `seed` takes one value, found a list");
    says("3", "6:1 E0210 this value is not used");
}

#[test]
fn the_rest_of_the_language_is_known_but_not_built() {
    says("lr 1e-3 layer_decay 0.9", "6:9 E0213 `lr .. layer_decay` is not built yet");
    says(
        "loss mlm + next_sentence",
        "6:6 E0213 `loss mlm + next_sentence` is not built yet\n  this version trains with `cross_entropy` or `mlm`",
    );
    for home in [Home::Train, Home::Data] {
        for directive in home.directives().iter().filter(|d| d.status == Status::NotYet) {
            if directive.example.is_empty() && !directive.is_open() {
                continue;
            }
            let bare = format!("{} 1", directive.name);
            let line = if directive.example.is_empty() { &bare } else { directive.example };
            let out = match home {
                Home::Train => train(line),
                Home::Data => data_lines::data(line),
            };
            let wanted =
                format!("E0213 `{}` is not built yet\n  remove the line\n", directive.name);
            assert!(out.ends_with(&wanted) && out.lines().count() == 2, "{line}: {out}");
        }
    }
    // What stands on their lines is checked all the same.
    says(
        "data_parallel 0",
        "6:15 E0302 `data_parallel` must be within 1..65536, found 0\n  remove the line, and it is devices at launch",
    );
    says(
        "budget 3",
        "6:8 E0303 `budget` takes a time such as `30min`, found `3`\n  write `3min` or `3h`",
    );
    says(
        "lr 1e-3 layer_decay 2",
        "6:21 E0302 `lr layer_decay` must be within 0..1, found 2\n  did you mean `2%`?",
    );
}

#[test]
fn examples_of_directives_are_right() {
    // These state what the block around them has, or name what the small library here has not.
    let left = [
        "model",
        "data",
        "steps",
        "batch",
        "optimizer",
        "dropout",
        "label_smoothing",
        "freeze",
        "metric",
    ];
    let built = |d: &&crate::schema::Directive| d.status == Status::Built;
    for directive in Home::Train.directives().iter().filter(built) {
        if left.contains(&directive.name) || directive.example.is_empty() {
            continue;
        }
        let lines = format!("context 4\n{}", directive.example);
        let lines = if directive.name == "context" { directive.example } else { &lines };
        let said = train(lines);
        let wrong: Vec<&str> = said.lines().filter(|l| l.contains(" E0")).collect();
        assert!(wrong.is_empty(), "{}: {said}", directive.name);
    }
}

#[test]
fn batch_algebra() {
    let sizes = |lines: &str| {
        let (program, out) = run(&around(&format!("steps 1k\ncontext 64\n{lines}")), &[], None);
        match program {
            Some(p) => {
                format!("{} = {} * {}", p.train.batch, p.train.micro_batch, p.train.accumulate)
            }
            None => out,
        }
    };
    assert_eq!(sizes("batch 64"), "64 = 64 * 1");
    assert_eq!(sizes("batch 512"), "512 = 128 * 4");
    assert_eq!(sizes("batch 64\nmicro_batch 8"), "64 = 8 * 8");
    assert_eq!(sizes("batch 64\naccumulate 4"), "64 = 16 * 4");
    assert_eq!(sizes("micro_batch 8\naccumulate 3"), "24 = 8 * 3");
    assert_eq!(sizes("accumulate 8"), "32 = 4 * 8");
    assert_eq!(sizes("batch 1Ki tokens\nmicro_batch 4"), "16 = 4 * 4");
    assert_eq!(
        sizes("batch 64\nmicro_batch 6"),
        "7:1 E0501 batch does not divide into micro-batches\n  use `micro_batch 8` (accumulate 8) or `batch 60`\n"
    );
    assert_eq!(
        sizes("batch 1000 tokens"),
        "6:1 E0501 batch does not divide into sequences\n  use `batch 1Ki tokens`\n"
    );
    assert_eq!(
        sizes("batch 65 tokens\nmicro_batch 8\naccumulate 8"),
        "6:1 E0502 8 * 8 * 64 = 4096 tokens, but `batch` says 65\n  use `batch 4Ki tokens`\n"
    );
    assert_eq!(
        sizes("batch 8Ki tokens\nmicro_batch 8\naccumulate 8"),
        "6:1 E0502 8 * 8 * 64 = 4096 tokens, but `batch` says 8Ki\n  use `batch 4Ki tokens`\n"
    );
    assert_eq!(
        sizes("batch 16 tokens"),
        "6:1 E0501 batch does not divide into sequences\n  use `batch 64 tokens`\n"
    );
    assert_eq!(
        sizes("batch 8\nmicro_batch 16"),
        "7:1 E0501 batch does not divide into micro-batches\n  use `micro_batch 8` (accumulate 1) or `batch 16`\n"
    );
    assert_eq!(sizes("batch 4Ki tokens\nmicro_batch 8\naccumulate 8"), "64 = 8 * 8");
    assert_eq!(
        sizes("batch 24\nmicro_batch 8\naccumulate 8"),
        "6:1 E0502 8 * 8 = 64 sequences, but `batch` says 24\n  use `batch 64` or `accumulate 3`\n"
    );
}

#[test]
fn batch_alone_is_a_note() {
    let (program, out) = run(&around("steps 1k\naccumulate 8"), &[], None);
    assert_eq!(out, "3:1 W0505 batch defaults to 32\n  state it: `batch 32`\n");
    assert!(program.is_some());
}

#[test]
fn lints() {
    says("context 2k", "6:9 W0311 `2k` is 2000, not 2048\n  write `2Ki`");
    says("warmup 2000", "6:1 W0512 warmup never ends\n  `warmup 10%` scales with `steps`");
    says(
        "lr 0.1",
        "6:1 W0511 lr 0.1 is 100x above the usual range for adamw\n  lower it to 1e-3 or less",
    );
    says("lr 3e-3", "");
    says(
        "eval every 10k",
        "6:1 W0513 `eval every 10000` never runs in 1000 steps\n  `eval every 10%` scales with `steps`",
    );
    says(
        "schedule cosine(to: 6e-5)",
        "6:1 W0518 `to: 6e-5` ends at 1.8e-8\n  did you mean `min_lr: 6e-5`, which is `to: 20%`?",
    );
}

#[test]
fn directives_become_values() {
    let of = |lines: &str| {
        let (program, out) = run(&around(&format!("steps 1k\nbatch 32\n{lines}")), &[], None);
        program.unwrap_or_else(|| panic!("{lines}: {out}")).train
    };
    assert_eq!(of("clip 1.5").clip, Clip::L2(1.5));
    assert_eq!(of("clip 0.5 linf").clip, Clip::Linf(0.5));
    assert_eq!(of("clip value 2").clip, Clip::Value(2.0));
    assert_eq!(of("clip none").clip, Clip::None);
    assert_eq!(of("").warmup, 10);
    assert_eq!(of("warmup 5 * 4").warmup, 20);
    assert_eq!(of("warmup (20)").warmup, 20);
    assert_eq!(of("warmup 5% exp").warmup, 50);
    assert!(of("warmup 5% exp").warmup_exponential);
    assert_eq!((of("").lr, of("optimizer sgd").lr), (3e-4, 0.1));
    assert_eq!(of("").weight_decay, 0.1);
    assert_eq!(of("optimizer sgd").weight_decay, 0.0);
    assert_eq!(of("optimizer adamw(weight_decay: 0.2)").weight_decay, 0.2);
    assert_eq!(of("weight_decay 0.3 on all").weight_decay_on, ParamSet::all());
    assert_eq!(of("weight_decay none").weight_decay, 0.0);
    assert_eq!(of("eval every 100 batches 7").eval, Some(Eval { every: 100, batches: Some(7) }));
    // 50 batches are trained between two evaluations; 2 are below 5 % of them.
    assert_eq!(of("").eval, Some(Eval { every: 50, batches: Some(2) }));
    let stop = of("stop when val.loss < 1.5\nstop after 2h");
    assert_eq!((stop.stop_below_val_loss, stop.stop_after_s), (Some(1.5), Some(7200.0)));
    let saved =
        of("seed 7\ncheckpoint \"runs/{name}-{seed}\" every 500 keep 3 best val.loss").checkpoint;
    let path = Some("runs/spec-7".to_owned());
    let every_s = None;
    let wanted = Checkpoint { path, every: 500, every_s, keep: Some(3), best_val_loss: true };
    assert_eq!(saved, Some(wanted));
    let sample = &of("sample \"a\" every 10 length 5 temperature 0").samples[0];
    assert_eq!((sample.every, sample.length, sample.temperature), (Some(10), 5, 0.0));
    assert_eq!((sample.top_k, sample.top_p), (None, 1.0));
    let sample = &of("sample \"a\" top_k 40 top_p 90%").samples[0];
    assert_eq!((sample.top_k, sample.top_p), (Some(40), 0.9));
    assert_eq!(of("").samples[0].length, 200);
}

#[test]
fn blocks_of_a_file() {
    let codes = |text: &str| {
        let out = run(text, &[], None).1;
        out.lines().filter(|l| !l.starts_with(' ')).map(str::to_owned).collect::<Vec<_>>()
    };
    let model = "model gpt(layers: 2, width: 4, heads: 2)\n";
    let train = "train { steps 1k; batch 4 }\n";
    assert_eq!(codes(&format!("{model}{train}")), ["2:1 E0209 the spec has no `data`"]);
    assert_eq!(codes(&format!("data text(\"a\")\n{train}")), ["2:1 E0209 the spec has no `model`"]);
    assert_eq!(codes(model), ["1:1 E0209 the spec has no `train` block"]);
    assert_eq!(codes("trian { steps 1k }"), ["1:1 E0201 unknown block `trian`"]);
    assert_eq!(codes("lr 3"), ["1:1 E0206 `lr` belongs to a `train` block"]);
    assert_eq!(codes("sweep s of job { lr in [1] }"), ["1:1 E0213 `sweep` is not built yet"]);
    assert_eq!(
        codes(&format!("data a = text(\"a\")\ndata b = text(\"b\")\n{model}{train}")),
        ["4:1 E0211 `train` must name its data"]
    );
    assert_eq!(
        codes(&format!("{model}data text(\"a\")\ntrain {{ batch 4 }}")),
        ["3:1 E0209 `train` needs `steps`"]
    );
    assert_eq!(
        codes("data pairs(\"a\")\nuse \"b.lt\" as b"),
        ["1:6 E0213 `pairs` is not built yet", "2:5 E0212 there are no files to use here"]
    );
}

#[test]
fn the_command_line_replaces_lines() {
    let set = |set: &str| {
        let (program, out) = run(&around("steps 1k\nbatch 32\nlr 1e-3"), &[set], None);
        let of = program.map(|p| {
            let set = |s: &&crate::Setting| s.origin == "command line";
            let found = p.train.settings.iter().find(set);
            found.map(|s| format!("{} {}", s.name, s.value)).unwrap_or_default()
        });
        format!("{}{out}", of.unwrap_or_default())
    };
    assert_eq!(set("train.lr=3e-4"), "lr 3e-4");
    assert_eq!(set("train.checkpoint.every=10"), "checkpoint every 10");
    assert_eq!(set("data.split=80% train, 20% val"), "data.split 80% train, 20% val");
    assert_eq!(set("train.batch = 64Ki tokens"), "batch 64Ki tokens");
    assert_eq!(
        set("train.accumulate=eight"),
        "1:18 E0301 `accumulate` takes a whole number, found the name `eight`\n"
    );
    assert_eq!(
        set("train.lrr=1"),
        "1:7 E0203 unknown directive `lrr` in `train`\n  did you mean `lr`?\n"
    );
    assert_eq!(
        set("trian.lr=1"),
        "1:1 E0201 there is no block `trian` to set\n  did you mean `train`?\n"
    );
    assert_eq!(
        set("train.checkpoint.evry=1"),
        "1:18 E0208 `checkpoint` has no option `evry`\n  did you mean `every`?\n"
    );
    assert_eq!(
        set("train"),
        "1:1 E0102 `--set` takes `block.directive=value`\n  for example `--set train.lr=3e-4`\n"
    );
}

#[test]
fn lengths_that_need_the_data_wait_for_it() {
    let text = "model gpt(layers: 2, width: 4, heads: 2)\ndata text(\"a\", tokenizer: chars)\ntrain { steps 2 epochs; batch 4; context 100 }\n";
    let (program, out) = run(text, &[], None);
    assert!(program.is_none() && out.is_empty(), "{out}");
    let tokens = vec![("train".to_owned(), 10_000), ("val".to_owned(), 1000)];
    let facts = Facts { vocab: Some(65), tokens, ..Facts::default() };
    let (program, out) = run(text, &[], Some(&facts));
    let program = program.unwrap_or_else(|| panic!("{out}"));
    assert_eq!((program.train.steps, program.vocab), (50, 65));
    let short = text.replace("context 100", "context 3000");
    let (_, out) = run(&short, &[], Some(&facts));
    assert!(
        out.starts_with("2:1 E0704 `train` has 3 sequences, fewer than one batch of 4\n"),
        "{out}"
    );
}

#[test]
fn a_first_spec_runs_with_the_standard_library() {
    let mut map = SourceMap::new();
    let sources = stdlib::SOURCES.iter().map(|s| map.add(s.name, s.text)).collect::<Vec<_>>();
    let std: Vec<_> = sources.into_iter().map(|file| syntax::parse(&map, file).0).collect();
    let file = map.add(
        "hello.lt",
        "model gpt(layers: 1, width: 4, heads: 2)\ndata text(\"a.txt\")\ntrain { batch 2; context 3; steps 5 }\n",
    );
    let (spec, _) = syntax::parse(&map, file);
    let (program, found) =
        check(&Input::new("hello", &spec, &std.iter().collect::<Vec<_>>(), &map), None);
    let program = program.unwrap_or_else(|| panic!("{}", list(&map, &found)));
    assert_eq!(program.model.arg("vocab"), Some(&crate::StaticArg::Int(256)));
    let text = program.print();
    assert!(text.starts_with("program hello\n\nsettings\n"), "{text}");
    assert!(text.contains("param tok_emb.weight: real[256, 4]"), "{text}");
    assert!(text.contains("schedule cosine(to: 0.1)"), "{text}");
}

#[test]
fn nesting_is_the_parsers_to_report() {
    let out = train(&format!("lr {}1{}", "(".repeat(70), ")".repeat(70)));
    assert_eq!(out.matches(" E0").count(), 1, "{out}");
}

#[test]
fn a_file_holds_so_many_blocks_and_declarations() {
    let spec = around("steps 1k\nbatch 32");
    let over = |line: &str, n: usize| {
        let lines: String = (0..n).map(|i| line.replace('#', &i.to_string()) + "\n").collect();
        run(&(lines + &spec), &[], None).1.contains("E0005")
    };
    // Three blocks are there.
    let limits = [("arg a#: int = 1", 253), ("data d# = text(\"a.txt\")", 253)];
    for (line, most) in limits.into_iter().chain([("fn f#(x: real) -> real { x }", 1024)]) {
        assert!(!over(line, most) && over(line, most + 1), "{line}");
    }
}
