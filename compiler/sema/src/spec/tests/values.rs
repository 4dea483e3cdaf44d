//! Values with units, arguments, and names in strings.

use super::said::{Said, program, setting};
use super::{says, train};

const BASE: &str = "model gpt(layers: 1, width: 4, heads: 2)\ndata text(\"a.txt\")\n";

/// One setting of a block with these arguments and lines.
fn of(args: &str, lines: &str, options: &[(&str, Option<&str>)], name: &str) -> String {
    let text = format!("{args}\n{BASE}train {{ steps 100; batch 4; context 8\n{lines}\n}}\n");
    let found = program(&[("spec.lt", &text)], &Said { options, ..Said::default() });
    found.map_or_else(|said| said, |p| setting(&p, name).0)
}

#[test]
fn arithmetic_keeps_units() {
    assert_eq!(of("", "memory 2 * 40GiB + 1GiB", &[], "memory"), "81GiB");
    assert_eq!(of("", "warmup 2 * 1k / 100", &[], "warmup"), "20 steps");
    assert_eq!(of("", "warmup 10% / 2", &[], "warmup"), "5%");
    assert_eq!(of("", "warmup 0.5 * epoch", &[], "warmup"), "0.5 epochs");
    assert_eq!(of("", "checkpoint every 2 * 15min", &[], "checkpoint"), "every 30min");
    assert_eq!(of("", "seed 2^4 - 3", &[], "seed"), "13");
}

#[test]
fn unlike_units_are_never_put_together() {
    says(
        "memory 1GiB + 2",
        "6:8 E0303 `1GiB + 2` mixes bytes with a plain number\n  write both in one unit",
    );
    says(
        "memory 2GiB * 3GiB",
        "6:8 E0303 `2GiB * 3GiB` mixes bytes with bytes\n  write both in one unit",
    );
    says(
        "warmup 1 * epoch + 10%",
        "6:8 E0303 `1 * epoch + 10%` mixes epochs with a percentage\n  write both in one unit",
    );
    says(
        "memory 80",
        "6:8 E0303 `memory` takes a number of bytes such as `80GiB`, found `80`\n  write `80MiB` or `80GiB`",
    );
    says("micro_batch 10%", "6:13 E0303 `micro_batch` takes a plain count, found `10%`");
    says(
        "warmup 1GiB",
        "6:8 E0303 `warmup` takes steps, epochs, tokens or a percentage, found `1GiB`",
    );
    // A share of the run has a sign of its own; `steps` is a unit.
    assert!(train("warmup steps / 10").contains("E0303 `steps / 10` is 0.1 of one step"));
}

#[test]
fn arguments_of_every_type_are_values() {
    let of_type = |ty: &str, default: &str, line: &str, name: &str| {
        of(&format!("arg x: {ty} = {default}"), line, &[], name)
    };
    assert_eq!(of_type("int", "7", "seed x", "seed"), "7");
    assert_eq!(of_type("count", "2k", "metric loss\nseed x + 1", "seed"), "2001");
    assert_eq!(of_type("dim", "4", "seed x", "seed"), "4");
    assert_eq!(of_type("real", "6e-4", "lr x", "lr"), "6e-4");
    assert_eq!(of_type("prob", "10%", "ema x", "ema"), "0.1");
    assert_eq!(of_type("bytes", "2GiB", "memory x", "memory"), "2GiB");
    assert_eq!(of_type("time", "30min", "checkpoint every x", "checkpoint"), "every 30min");
    assert_eq!(of_type("span", "10%", "warmup x", "warmup"), "10%");
    assert_eq!(of_type("span", "2 * epoch", "warmup x", "warmup"), "2 epochs");
    assert_eq!(
        of_type("dtype", "bf16", "precision x", "precision"),
        "bf16 master fp32 reduce fp32"
    );
    assert_eq!(of_type("path", "\"out\"", "checkpoint x", "checkpoint"), "\"out\"");
    assert_eq!(of_type("string", "\"a\"", "checkpoint \"r-{x}\"", "checkpoint"), "\"r-a\"");
    assert_eq!(of_type("bool", "true", "seed if x { 1 } else { 2 }", "seed"), "1");
}

#[test]
fn options_are_read_as_their_types_say() {
    let with = |arg: &str, line: &str, value: Option<&str>, name: &str| {
        of(&format!("arg x: {arg}"), line, &[("x", value)], name)
    };
    assert_eq!(with("real = 1 in 0..2", "lr x", Some("1e-3"), "lr"), "0.001");
    assert_eq!(with("span", "warmup x", Some("1 epochs"), "warmup"), "1 epochs");
    assert_eq!(with("path", "checkpoint x", Some("./a b"), "checkpoint"), "\"./a b\"");
    assert_eq!(with("bool = false", "seed if x { 1 } else { 2 }", None, "seed"), "1");
    assert_eq!(
        with("real = 1 in 0..2", "lr x", Some("3"), "lr"),
        "<command line: --x>:1:5 E0304 `x` 3 is outside 0..2\n"
    );
    assert_eq!(
        with("string = \"a\" in [\"a\", \"b\"]", "", Some("c"), "lr"),
        "<command line: --x>:1:5 E0304 `x` c is not one of [\"a\", \"b\"]\n"
    );
    assert_eq!(
        with("bytes", "memory x", Some("2"), "memory"),
        "<command line: --x>:1:5 E0303 `x` takes a number of bytes such as `80GiB`, found `2`\n"
    );
    assert_eq!(
        with("int", "seed x", Some("1.5"), "seed"),
        "<command line: --x>:1:5 E0301 `x` takes a whole number, found `1.5`\n"
    );
}

#[test]
fn an_argument_without_a_value_is_named() {
    let missing = of("arg x: real", "lr x", &[], "lr");
    assert_eq!(missing, "spec.lt:1:5 E0209 the argument `x` has no value\n");
    let unknown = of("arg peak: real = 1e-3", "lr peak", &[("peek", Some("1"))], "lr");
    assert_eq!(unknown, "<command line: --peek>:1:3 E0202 the spec has no argument `peek`\n");
    let untyped = of("arg x = 3", "", &[], "lr");
    assert_eq!(untyped, "spec.lt:1:5 E0301 `arg x` needs a type\n");
    let foreign = of("arg x: float = 3", "", &[], "lr");
    assert_eq!(foreign, "spec.lt:1:8 E0301 `float` is no type of an argument\n");
    let outside = of("arg x: int = 5 in [1, 2]", "", &[], "lr");
    assert_eq!(outside, "spec.lt:1:14 E0304 `x` 5 is not one of [1, 2]\n");
}

#[test]
fn strings_hold_arguments_and_the_environment() {
    let text = format!(
        "arg d: path = \"{{env.OUT:here}}\"\n{BASE}train job {{ steps 10; batch 4; context 8; seed 3\n\
         checkpoint \"{{d}}/{{name}}-{{run}}-{{seed}}-{{{{\" }}\n"
    );
    let path = |environment| {
        let said = Said { environment, ..Said::default() };
        program(&[("spec.lt", &text)], &said).unwrap().train.checkpoint.unwrap().path.unwrap()
    };
    assert_eq!(path(&[]), "here/spec-job-3-{");
    assert_eq!(path(&[("OUT", "/there")]), "/there/spec-job-3-{");
    // Of several jobs each has a run of its own.
    let second = text.clone() + "train other like job { steps 20 }\n";
    let said = Said { environment: &[], ..Said::default() };
    let other = program(&[("spec.lt", &second)], &said).unwrap();
    assert_eq!(other.name, "spec-other");
    assert_eq!(other.train.checkpoint.unwrap().path.unwrap(), "here/spec-other-other-3-{");
    let unset = of("", "checkpoint \"{env.OUT}\"", &[], "checkpoint");
    assert_eq!(unset, "spec.lt:5:13 E0004 the variable `OUT` of the environment is not set\n");
    let date = train("checkpoint \"{date}\"");
    assert!(date.contains("use one of `name`, `seed`, `run` and `env.VARIABLE`"), "{date}");
}

#[test]
fn the_command_line_gives_a_value_and_nothing_else() {
    let lr = |value| of("arg peak: real = 1e-3", "lr peak", &[("peak", Some(value))], "lr");
    assert_eq!(lr("2e-3"), "0.002");
    for empty in ["", " ", "# c"] {
        let said = lr(empty);
        assert!(said.contains("E0301 `--peak` needs a value"), "{empty:?}: {said}");
    }
    for more in ["{}", ": 3e-3", "= 3e-3", "2e-3 = 7", "1e-3 { x }", "1e-3; x"] {
        let said = lr(more);
        assert!(said.contains("E0301 `--peak` takes a value and nothing else"), "{more:?}: {said}");
    }
    for set in ["train.batch=8 = 16", "train.batch=8 { foo 3 }", "train.eval.batches=8 = 16"] {
        let said = set_on("eval every 50", &[set]).unwrap_err();
        assert!(said.contains("takes a value and nothing else"), "{set}: {said}");
    }
}

/// A job with these lines, and with some of them set.
fn set_on(lines: &str, sets: &[&str]) -> Result<crate::Program, String> {
    let text = format!("{BASE}train {{ steps 100; context 8\n{lines}\n}}\n");
    let sets = &[&["train.batch=4"], sets].concat();
    program(&[("spec.lt", &text)], &Said { sets, ..Said::default() })
}

#[test]
fn an_option_needs_a_line_to_go_to() {
    let said = set_on("", &["train.early_stop.patience=1"]).unwrap_err();
    assert!(said.contains("E0209 `early_stop` is not set, so it has no `patience`"), "{said}");
    let said = set_on("", &["data.mask.keep=5%"]).unwrap_err();
    assert!(said.contains("E0209 `mask` is not set, so it has no `keep`"), "{said}");
    let found = set_on("", &["train.weight_decay.on=all"]).unwrap();
    assert_eq!(found.train.weight_decay, 0.1);
    assert_eq!(set_on("", &["train.eval.batches=2"]).unwrap().train.eval.unwrap().batches, Some(2));
    let samples = "sample \"a\" length 5\nsample \"b\" length 6";
    let said = set_on(samples, &["train.sample.length=7"]).unwrap_err();
    assert!(said.contains("E0211 `train.sample.length` may mean any of 2 lines"), "{said}");
}

#[test]
fn an_option_of_the_command_line_is_named_as_it_was_given() {
    let found = set_on("eval every 50 batches 2", &["train.eval.batches=1"]).unwrap();
    let (value, origin) = setting(&found, "eval");
    assert_eq!(value, "every 50 batches 1");
    assert_eq!(origin, "--set train.eval.batches=1, over spec.lt:4:1");
    let said = set_on("eval every 50 batches 2", &["train.eval.every=5 batches 3"]).unwrap_err();
    assert!(said.contains("E0301 `eval` does not take"), "{said}");
}

#[test]
fn an_argument_is_never_offered_for_itself() {
    let text =
        format!("arg on: bool = true\n{BASE}train {{ steps 100; batch 4; context 8; lr on }}\n");
    let (_, said) = super::run(&text, &[], None);
    assert!(said.contains("E0301 `lr` takes a number, found the name `on`\n"), "{said}");
    assert!(!said.contains("did you mean"), "{said}");
    let said = of("arg peak: int = 3", "lr peak", &[("peak", Some("-4"))], "lr");
    assert!(said.contains("E0302 `lr` must be above 0, found -4, the value of peak\n"), "{said}");
}
