//! Sets of weights, groups of rules, decay, rates, dropout and smoothing.

use diag::SourceMap;

use super::{list, run};
use crate::program::{Measure, Program};
use crate::spec::{Input, check};

/// A model with every class of weights, and the standard library.
const SPEC: &str = "
layer block(d: dim, drop: prob = 0)(x: [b, t, d]) -> [b, t, d] {
  norm = layernorm(d)
  up   = linear(d, d)
  x + dropout(up(norm(x)), drop)
}
layer tiny(d: dim, drop: prob = 0)(ids: tok(256)[b, t]) -> [b, t, 256] {
  emb    = embedding(256, d)
  pos    = positions(context, d)
  blocks = repeat(3, block(d, drop))
  out    = linear(d, 256)
  out(blocks(emb(ids) + pos(t)))
}
layer undropped(d: dim)(ids: tok(256)[b, t]) -> [b, t, 256] {
  emb = embedding(256, d)
  emb(ids) |> unembed(emb)
}
data text(\"a.txt\")
";

fn with(model: &str, lines: &str) -> (Option<Program>, String) {
    let mut map = SourceMap::new();
    let sources = stdlib::SOURCES.iter().map(|s| map.add(s.name, s.text)).collect::<Vec<_>>();
    let std: Vec<_> = sources.into_iter().map(|file| syntax::parse(&map, file).0).collect();
    let text = format!("{lines}\n}}{SPEC}model {model}\n");
    let file = map.add("s.lt", format!("train {{ steps 1k; batch 8; context 4\n{text}"));
    let (spec, found) = syntax::parse(&map, file);
    assert!(found.is_empty(), "{}", list(&map, &found));
    let (program, found) =
        check(&Input::new("s", &spec, &std.iter().collect::<Vec<_>>(), &map), None);
    (program, list(&map, &found))
}

#[track_caller]
fn of(lines: &str) -> Program {
    let (program, out) = with("tiny(d: 2, drop: 10%)", lines);
    program.unwrap_or_else(|| panic!("{lines}: {out}"))
}

#[track_caller]
fn says(lines: &str, expect: &str) {
    assert_eq!(with("tiny(d: 2)", lines).1.trim_end(), expect, "{lines}");
}

/// Paths of the weights that `weight_decay 1 on SET` is on.
fn held(set: &str) -> String {
    let program = of(&format!("weight_decay 0.1 on {set}"));
    let trace = program.trace_model(1, 4).expect("the model traces");
    let on = &program.train.weight_decay_on;
    let paths = trace.params.iter().filter(|p| on.contains(p)).map(|p| p.path.clone());
    paths.collect::<Vec<_>>().join(" ")
}

#[test]
fn sets_hold_what_they_name() {
    assert_eq!(held("embeddings"), "emb.weight pos.weight");
    assert_eq!(held("head"), "out.weight out.bias");
    assert_eq!(held("norms except biases"), held("\"blocks.*.norm.weight\""));
    assert_eq!(held("\"blocks.{0,2}.norm.?e*\""), "blocks.0.norm.weight blocks.2.norm.weight");
    assert_eq!(held("blocks[1].up"), "blocks.1.up.weight blocks.1.up.bias");
    assert_eq!(held("blocks[0..2] except norms biases"), "blocks.0.up.weight blocks.1.up.weight");
    assert_eq!(held("block except blocks[1..3] norms"), held("blocks[0].up"));
    assert_eq!(held("matrices except linear"), "emb.weight pos.weight");
    assert_eq!(held("linear except blocks"), held("head"));
    assert_eq!(held("none"), "");
    assert_eq!(held("all except matrices"), held("norms biases"));
}

#[test]
fn a_tied_head_is_an_embedding() {
    let lines = "weight_decay 0.1 on head";
    let (_, out) = with("undropped(d: 2)", lines);
    assert_eq!(out, "2:21 E0815 no weight is in `head`\n  weights are called `emb.weight`\n");
}

#[test]
fn sets_that_hold_nothing_name_what_is_near() {
    let of = |set: &str| format!("freeze {set}");
    says(&of("embedings"), "2:8 E0815 no weight is in `embedings`\n  did you mean `embeddings`?");
    says(
        &of("norms rmsnorm"),
        "2:14 E0815 no weight is in `rmsnorm`\n  weights are called `emb.weight` .. `out.bias`",
    );
    says(&of("up"), "2:8 E0815 no weight is in `up`\n  did you mean `\"*.up.*\"`?");
    says(
        &of("blocks[3..9]"),
        "2:8 E0815 no weight is in `blocks[3..9]`\n  choose among the copies `[0..3]`",
    );
    says(
        &of("blocks[1].uq"),
        "2:8 E0815 no weight is in `blocks[1].uq`\n  it may be `norm` or `up`",
    );
    says(
        &of("blocks.up"),
        "2:8 E0815 no weight is in `blocks.up`\n  choose among the copies `[0..3]`",
    );
    says(
        &of("\"blocks.0.up.wieght\""),
        "2:8 E0815 no weight is in `\"blocks.0.up.wieght\"`\n  did you mean `\"blocks.0.up.weight\"`?",
    );
    says(
        &of("embeddings except matrices"),
        "2:8 E0815 `embeddings except matrices` leaves no weight\n  remove `except`",
    );
    says(&of("all"), "2:1 E0302 `freeze` leaves none of 16 weights to train\n  remove the line");
    says(&of("3"), "2:8 E0301 `freeze` takes a set of weights such as `matrices`, found `3`");
    says(
        &of("rest"),
        "2:8 E0301 `freeze` takes a set of weights such as `matrices`, found the name `rest`",
    );
}

#[test]
fn every_weight_has_a_rule() {
    let two = of("optimizer sgd(momentum: 0.9) on matrices except embeddings, adamw on rest");
    let groups: Vec<_> = two.train.groups.iter().map(|g| (&*g.rule.name, &*g.on.text)).collect();
    assert_eq!(groups, [("sgd", "matrices except embeddings"), ("adamw", "rest")]);
    assert_eq!(two.train.lr, 3e-4, "the least that is usual");
    says(
        "optimizer sgd on head, adamw on rest\nlr 0.1",
        "3:1 W0511 lr 0.1 is 100x above the usual range for adamw\n  lower it to 1e-3 or less",
    );
    says(
        "optimizer adamw on matrices",
        "2:1 E0816 no rule updates `blocks.0.norm.weight` and 9 more weights\n  add `, adamw on rest`",
    );
    says("optimizer adamw on matrices\nfreeze norms biases", "");
    says(
        "optimizer sgd, adamw on rest",
        "2:25 E0815 no weight is left for `adamw`\n  remove `adamw on rest`",
    );
    says(
        "optimizer adamw, sgdd on rest\nlr 1e-3",
        "2:18 E0202 `sgdd` is not defined\n  did you mean `sgd`?",
    );
}

#[test]
fn decay_goes_to_the_rules_that_take_it() {
    let decays = |lines: &str| {
        let groups = of(lines).train.groups;
        groups.iter().map(|g| g.rule.number("weight_decay")).collect::<Vec<_>>()
    };
    assert_eq!(decays("optimizer sgd on head, adamw on rest"), [None, Some(0.1)]);
    assert_eq!(
        decays("optimizer adamw(weight_decay: 0.5) on head, adamw on rest"),
        [Some(0.5), Some(0.1)]
    );
    assert_eq!(decays("optimizer sgd on head, adamw on rest\nweight_decay 0.3"), [None, Some(0.3)]);
    says(
        "optimizer sgd on head, adamw on rest\nweight_decay 0.3 on head",
        "3:1 E0305 weight decay on `head` reaches no weight\n  remove the line",
    );
    says(
        "optimizer sgd on head, adam on rest\nweight_decay 0.3",
        "3:1 E0305 `sgd` has no weight decay nor has `adam`\n  remove the line, or use `adamw`",
    );
}

#[test]
fn a_rate_follows_the_batch_it_is_for() {
    assert_eq!(of("lr 1e-3 at batch 32 scale sqrt").train.lr, 5e-4);
    assert_eq!(of("lr 1e-3 at batch 32 scale linear").train.lr, 2.5e-4);
    let settings = of("lr 1e-3 at batch 32 scale sqrt").train.settings;
    let lr = settings.iter().find(|s| s.name == "lr").expect("a setting");
    let shown = (lr.value.as_str(), lr.origin.as_str());
    assert_eq!(shown, ("5.0000e-4 (1e-3 at batch 32 scale sqrt)", "derived"));
    says(
        "lr 1e-3 at batch 32",
        "2:12 E0209 `lr .. at batch` needs `scale`\n  add `scale sqrt` or `scale linear`",
    );
    says(
        "lr 1e-3 scale sqrt",
        "2:15 E0209 `lr .. scale` needs the batch that the rate is for\n  add `at batch 8`, or remove `scale`",
    );
    says(
        "lr 1e-3 at 32 scale sqrt",
        "2:12 E0301 `lr at` takes a batch such as `batch 256`, found `32`",
    );
}

#[test]
fn dropout_and_smoothing_are_arguments() {
    let drop = |lines: &str| of(lines).model.number("drop");
    assert_eq!(
        (drop(""), drop("dropout 0.3"), drop("dropout 0")),
        (Some(0.1), Some(0.3), Some(0.0))
    );
    let smoothed = |lines: &str| of(lines).train.loss.number("label_smoothing");
    assert_eq!((smoothed(""), smoothed("label_smoothing 10%")), (Some(0.0), Some(0.1)));
    assert_eq!(
        with("undropped(d: 2)", "dropout 0.1").1,
        "2:1 E0305 `undropped` has no argument `drop`\n  give the layer `drop: prob = 0`, or remove the line\n"
    );
    says(
        "label_smoothing 1",
        "2:1 E0302 `label_smoothing` must be below 1, found 1\n  a usual share is `label_smoothing 0.1`",
    );
    says(
        "loss cross_entropy(label_smoothing: 0.1)\nlabel_smoothing 0.2",
        "3:1 E0205 label smoothing is set twice\n  remove one",
    );
}

#[test]
fn measures_are_named() {
    let measures = |lines: &str| of(lines).train.measures;
    assert_eq!(measures("metric loss, perplexity"), []);
    assert_eq!(
        measures("accumulate 2\nmetric grad_norms, noise_scale\nmetric grad_norms"),
        [Measure::GradNorms, Measure::NoiseScale]
    );
    let wrong = "E0209 `metric noise_scale` needs `accumulate` above 1";
    says("metric loss, noise_scale", &format!("2:14 {wrong}\n  add `accumulate 2`"));
    says("micro_batch 8\nmetric noise_scale", &format!("3:8 {wrong}\n  use `micro_batch 4`"));
    says(
        "metric grad_norm",
        "2:8 E0301 `metric` does not take the name `grad_norm`\n  did you mean `grad_norms`?",
    );
}

#[test]
fn sets_from_the_command_line() {
    let text = super::around("steps 1k\nbatch 32\nweight_decay 0.3");
    let (program, out) = run(&text, &["train.weight_decay.on=\"emb\" head"], None);
    let train = program.unwrap_or_else(|| panic!("{out}")).train;
    assert_eq!((train.weight_decay, &*train.weight_decay_on.text), (0.3, "\"emb\" head"));
}
