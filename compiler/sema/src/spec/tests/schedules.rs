//! Schedules and what waits for the validation loss.

use super::data_lines::data;
use super::{around, run, says};
use crate::program::{Facts, Schedule};

fn of(lines: &str) -> Schedule {
    let tokens = vec![("train".to_owned(), 32 * 1024 * 100 + 1), ("val".to_owned(), 4096)];
    let facts = Facts { vocab: Some(256), tokens, ..Facts::default() };
    let text = around(&format!("steps 1k\nbatch 32\n{lines}"));
    let (program, out) = run(&text, &[], Some(&facts));
    program.unwrap_or_else(|| panic!("{lines}: {out}")).train.schedule
}

#[test]
fn min_lr_is_an_end_in_learning_rates() {
    let to = |lines: &str| match of(lines) {
        Schedule::Fn(call) => call.number("to"),
        Schedule::Plateau { .. } => None,
    };
    assert_eq!(to("lr 8e-4\nschedule cosine(min_lr: 1e-4)"), Some(0.125));
    assert_eq!(to("lr 8e-4\nschedule cosine(min_lr: 0)"), Some(0.0));
    assert_eq!(to("schedule cosine(to: 5%)"), Some(0.05));
    says(
        "lr 1e-4\nschedule cosine(min_lr: 1e-3)",
        "7:25 E0302 `min_lr` 1e-3 is above `lr` 1e-4\n  a tenth of `lr` is `1e-5`",
    );
    says(
        "schedule cosine(to: 5%, min_lr: 1e-5)",
        "6:33 E0205 the end of the schedule is set twice\n  remove one",
    );
    says(
        "schedule cosine(min_lr: low)",
        "6:25 E0301 `min_lr` takes a number, found the name `low`",
    );
}

#[test]
fn plateau_waits_in_steps_of_the_run() {
    let plateau = |args: &str| of(&format!("schedule plateau({args})\neval every 10")).text();
    assert_eq!(
        plateau("factor: 0.1, patience: 2 * epochs, min: 1%"),
        "plateau(factor: 0.1, patience: 200, min: 0.01)"
    );
    assert_eq!(plateau("patience: epoch"), "plateau(factor: 0.5, patience: 100, min: 0)");
    assert_eq!(plateau("0.5, 3 * 10"), "plateau(factor: 0.5, patience: 30, min: 0)");
    assert_eq!(plateau("patience: 10%"), "plateau(factor: 0.5, patience: 100, min: 0)");
    says(
        "schedule plateau",
        "6:10 E0305 `plateau` needs `patience`\n  write `plateau(factor: 0.5, patience: 1 * epoch)`",
    );
    says(
        "schedule plateau(factor: 1, patience: 100)",
        "6:26 E0302 `plateau factor` must be between 0 and 1, found 1\n  `factor: 0.5` halves the rate",
    );
    says(
        "schedule plateau(patiense: 100)",
        "6:18 E0305 `plateau` has no argument `patiense`\n  did you mean `patience`?",
    );
    says("schedule plateau(patience: 0)", "6:28 E0302 `plateau patience` must be above 0");
    says(
        "schedule plateau(patience: 10)\neval every 100",
        "6:10 W0515 `patience` 10 is shorter than the 100 steps between evaluations\n  use `patience: 200`, or `eval every 10`",
    );
}

#[test]
fn what_waits_for_the_validation_loss_needs_one() {
    let alone = |line: &str| {
        let text = format!(
            "model gpt(layers: 2, width: 4, heads: 2)\ndata text(\"a\") {{ split 100% train }}\ntrain {{ steps 1k; batch 4\n{line}\n}}\n"
        );
        run(&text, &[], None).1
    };
    let help = "give the data one: `split 90% train, 10% val`";
    assert_eq!(
        alone("schedule plateau(patience: 100)"),
        format!("4:10 E0514 `schedule plateau` but nothing evaluates\n  {help}\n")
    );
    assert_eq!(
        alone("stop when val.loss < 1"),
        format!("4:11 E0514 `stop when val.loss` but nothing evaluates\n  {help}\n")
    );
    assert_eq!(data(""), "", "with a split of its own there is one");
}
