//! Faults anywhere in a step: what a run does about each, and that it leaves no trace.
//!
//! Nine places at five moments; the table says what is right and why. The run has a dynamic loss
//! scale, dropout, four micro-batches a step, a checkpoint and an evaluation every fourth step.

use exec::checkpoint::load;
use exec::log::{Cause, Row};
use plan::{BufferId, Dtype, Plan};

use crate::bench::{Bench, Left};
use crate::plans::compiled;
use crate::poison::{Bad, Place, When, plant, temp};

/// Where the fault is.
#[derive(Debug, Clone, Copy, PartialEq)]
enum At {
    Activation,
    Loss,
    Gradient,
    Norm,
    Weight,
    Moment,
    Scale,
    Lr,
    Targets,
}

/// When it is there.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Moment {
    /// In the first step.
    First,
    /// In the step with which the warm-up ends, the third.
    WarmUp,
    /// In the second micro-batch of four, in the sixth step.
    MidAccumulation,
    /// In the evaluation after the eighth step.
    Evaluation,
    /// In the last step, the twelfth.
    Last,
}

impl Moment {
    /// `consumed_batches` then.
    fn batch(self) -> u64 {
        match self {
            Moment::First => 0,
            Moment::WarmUp => 2,
            Moment::MidAccumulation => 5,
            Moment::Evaluation => 8,
            Moment::Last => 11,
        }
    }
}

/// What the run does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    /// Nothing: every number is that of the run without the fault.
    Nothing,
    /// Skips that one batch, with this tensor named, and applies twelve updates all the same.
    Skips(Cause, Option<&'static str>),
    /// Goes on with this many of the step's 128 target tokens.
    Tokens(u64),
    /// Has no validation loss that once.
    NoValidation,
    /// Ends with exit code 5 and this text; the newest checkpoint is of this step.
    Ends(&'static str, u64),
}

use Verdict::{Ends, NoValidation, Nothing, Skips, Tokens};

const IN_A_ROW: &str = "20 steps in a row were skipped (not finite)";
const QKV: Option<&str> = Some("gradient of blocks.0.attn.qkv.weight");
const EMBEDDING: Option<&str> = Some("gradient of tok_emb.weight");

/// Of one place, at every moment, with its reason.
type Verdicts = [(Moment, Verdict, &'static str); 5];

/// The verdict on each.
const TABLE: [(At, Verdicts); 9] = [
    (
        At::Activation,
        [
            (Moment::First, Skips(Cause::Nonfinite, EMBEDDING), "the loss is not finite"),
            (Moment::WarmUp, Skips(Cause::Nonfinite, EMBEDDING), "the loss is not finite"),
            (Moment::MidAccumulation, Skips(Cause::Nonfinite, EMBEDDING), "nor is a sum with it"),
            (Moment::Evaluation, NoValidation, "weights are sound, only their measure is not"),
            (Moment::Last, Skips(Cause::Nonfinite, EMBEDDING), "a run is so many updates long"),
        ],
    ),
    (
        At::Loss,
        [
            (Moment::First, Skips(Cause::Nonfinite, None), "gradients alone prove nothing"),
            (Moment::WarmUp, Skips(Cause::Nonfinite, None), "gradients alone prove nothing"),
            (Moment::MidAccumulation, Skips(Cause::Nonfinite, None), "the sum stays so"),
            (Moment::Evaluation, NoValidation, "weights are sound, only their measure is not"),
            (Moment::Last, Skips(Cause::Nonfinite, None), "a run is so many updates long"),
        ],
    ),
    (
        At::Gradient,
        [
            (Moment::First, Skips(Cause::Overflow, QKV), "a finite loss: the scale is too large"),
            (Moment::WarmUp, Skips(Cause::Overflow, QKV), "a finite loss: the scale is too large"),
            (Moment::MidAccumulation, Skips(Cause::Overflow, QKV), "one bad sum spoils the step"),
            (Moment::Evaluation, Nothing, "the next step starts its sums from zero"),
            (Moment::Last, Skips(Cause::Overflow, QKV), "a run is so many updates long"),
        ],
    ),
    (
        At::Norm,
        [
            (Moment::First, Skips(Cause::Overflow, None), "a clip by NaN would reach all weights"),
            (Moment::WarmUp, Skips(Cause::Overflow, None), "a clip by NaN would reach all weights"),
            (Moment::MidAccumulation, Nothing, "the norm is taken once, of the whole gradient"),
            (Moment::Evaluation, Nothing, "the norm was used and logged before"),
            (Moment::Last, Skips(Cause::Overflow, None), "a run is so many updates long"),
        ],
    ),
    (
        At::Weight,
        [
            (Moment::First, Ends(IN_A_ROW, 0), "a lost weight never comes back"),
            (Moment::WarmUp, Ends(IN_A_ROW, 1), "a lost weight never comes back"),
            (Moment::MidAccumulation, Ends(IN_A_ROW, 4), "a lost weight never comes back"),
            (
                Moment::Evaluation,
                Ends("step 8 was not saved", 4),
                "the save looks before it writes",
            ),
            (Moment::Last, Ends(IN_A_ROW, 8), "a lost weight never comes back"),
        ],
    ),
    (
        At::Moment,
        [
            (
                Moment::First,
                Ends("step 1 was not saved", 0),
                "the first save looks before it writes",
            ),
            (Moment::WarmUp, Ends(IN_A_ROW, 1), "the update takes it into the weight"),
            (Moment::MidAccumulation, Ends(IN_A_ROW, 4), "the update takes it into the weight"),
            (Moment::Evaluation, Ends("step 8 was not saved", 4), "moments are saved too"),
            (Moment::Last, Ends("step 12 was not saved", 8), "the last save looks as well"),
        ],
    ),
    (
        At::Scale,
        [
            (Moment::First, Ends(IN_A_ROW, 0), "NaN halves to NaN; no scaler mends it"),
            (Moment::WarmUp, Ends(IN_A_ROW, 1), "NaN halves to NaN; no scaler mends it"),
            (Moment::MidAccumulation, Ends(IN_A_ROW, 4), "NaN halves to NaN; no scaler mends it"),
            (Moment::Evaluation, Ends("step 8 was not saved", 4), "a start from it would be lost"),
            (Moment::Last, Ends(IN_A_ROW, 8), "NaN halves to NaN; no scaler mends it"),
        ],
    ),
    (
        At::Lr,
        [
            (Moment::First, Ends(IN_A_ROW, 0), "t stays where the schedule has no number"),
            (Moment::WarmUp, Ends(IN_A_ROW, 1), "t stays where the schedule has no number"),
            (Moment::MidAccumulation, Nothing, "the rate is made in the update, from t"),
            (Moment::Evaluation, Nothing, "the rate is made in the update, from t"),
            (Moment::Last, Ends(IN_A_ROW, 8), "t stays where the schedule has no number"),
        ],
    ),
    (
        At::Targets,
        [
            (Moment::First, Skips(Cause::Empty, None), "a mean over no token is no number"),
            (Moment::WarmUp, Skips(Cause::Empty, None), "a mean over no token is no number"),
            (Moment::MidAccumulation, Tokens(96), "the mean is over the tokens that are there"),
            (Moment::Evaluation, NoValidation, "a mean over no token is no number"),
            (Moment::Last, Skips(Cause::Empty, None), "a run is so many updates long"),
        ],
    ),
];

fn spec(lines: &str) -> String {
    format!(
        "fn sqrt_from(step: int, total: int, from: real = 99) -> real {{ sqrt(from - step) }}\n\
         model gpt(layers: 1, width: 8, heads: 2, drop: 10%)\n\
         data text(\"text.txt\", tokenizer: bytes)\n\
         train {{\nbatch 8\nmicro_batch 2\ncontext 16\nlr 3e-3\nsteps 12\n\
         checkpoint every 4\neval every 4 batches 2\n{lines}\n}}\n"
    )
}

/// The spec of the table, with a schedule that has no number from a step on where it is at fault.
fn scaled(fault: Option<(At, Moment)>) -> Plan {
    let (warmup, schedule) = match fault {
        Some((At::Lr, Moment::First)) => (0, "sqrt_from(from: 0.5)"),
        Some((At::Lr, Moment::WarmUp)) => (3, "sqrt_from(from: -0.5)"),
        Some((At::Lr, Moment::Last)) => (3, "sqrt_from(from: 8.5)"),
        Some(_) | None => (3, "cosine"),
    };
    let lines = format!("warmup {warmup}\nschedule {schedule}\nloss_scale dynamic");
    compiled(&spec(&lines)).plan
}

/// Plants a fault of the table.
fn plant_at(plan: &mut Plan, at: At, moment: Moment) {
    let batch = When::Batch(moment.batch());
    let when = match moment {
        Moment::MidAccumulation => When::MicroBatch(moment.batch(), 1),
        Moment::First | Moment::WarmUp | Moment::Evaluation | Moment::Last => batch,
    };
    // What is planted behind the sums meets them counted.
    let behind = match moment {
        Moment::MidAccumulation => When::MicroBatch(moment.batch(), 2),
        Moment::First | Moment::WarmUp | Moment::Evaluation | Moment::Last => batch,
    };
    let eval = moment == Moment::Evaluation;
    let (function, last) = if eval { ("eval", batch) } else { ("micro", behind) };
    match at {
        At::Activation => {
            let input = plan.buffer(if eval { "eval.ids" } else { "ids" }).unwrap();
            let temp = hidden(plan, function, input);
            plant(plan, function, Place::Behind(input), &temp, Bad::Nan, when);
        }
        At::Loss => {
            let sum = if eval { "eval.loss_sum" } else { "loss_sum" };
            plant(plan, function, Place::Last, sum, Bad::Nan, last);
        }
        At::Gradient => {
            let grad = "grad.blocks.0.attn.qkv.weight";
            plant(plan, function, Place::Last, grad, Bad::Nan, last);
        }
        At::Norm => match moment {
            Moment::First | Moment::WarmUp | Moment::Last => {
                let norm = plan.buffer("grad_norm").unwrap();
                let square = squares(plan, norm);
                plant(plan, "update", Place::Before(norm), &square, Bad::Nan, batch);
            }
            Moment::MidAccumulation | Moment::Evaluation => {
                plant(plan, function, Place::Last, "grad_norm", Bad::Nan, last);
            }
        },
        At::Weight => {
            plant(plan, function, Place::First, "blocks.0.mlp.up.weight", Bad::Nan, when);
        }
        At::Moment => {
            let moment = "optimizer.m.blocks.0.mlp.up.weight";
            plant(plan, function, Place::First, moment, Bad::Nan, when);
        }
        At::Scale => plant(plan, function, Place::First, "loss_scale", Bad::Nan, when),
        At::Lr => match moment {
            // The schedule of the spec has no number there.
            Moment::First | Moment::WarmUp | Moment::Last => {}
            Moment::MidAccumulation | Moment::Evaluation => {
                plant(plan, function, Place::Last, "lr", Bad::Nan, last);
            }
        },
        At::Targets => {
            let targets = if eval { "eval.targets" } else { "targets" };
            plant(plan, function, Place::First, targets, Bad::NoTarget, when);
        }
    }
}

/// The first activation: what the step that reads the ids writes.
fn hidden(plan: &Plan, function: &str, input: BufferId) -> String {
    temp(plan, function, input, Dtype::F32)
}

/// The sum of squares of a gradient, from which the norm is made.
fn squares(plan: &Plan, norm: BufferId) -> String {
    temp(plan, "update", norm, Dtype::F64)
}

/// A skipped batch moves nothing but the scale, and that by one half after an overflow alone.
fn skips_once(left: &Left, straight: &Left, batch: u64, cause: Cause, tensor: Option<&str>) {
    assert!(left.result.is_ok(), "{:?}", left.result);
    let rows = &left.rows;
    let skipped: Vec<&Row> = rows.iter().filter(|row| row.skipped).collect();
    assert_eq!(skipped.len(), 1, "{rows:?}");
    let row = skipped[0];
    assert_eq!((row.batch, row.step, row.cause), (batch + 1, batch, Some(cause)));
    assert_eq!(row.tensor.as_deref(), tensor);
    assert_eq!(row.val_loss, None);
    let batches: Vec<u64> = rows.iter().map(|row| row.batch).collect();
    assert_eq!(batches, (1..=13).collect::<Vec<u64>>());
    let applied = || rows.iter().filter(|row| !row.skipped);
    for (row, other) in applied().zip(&straight.rows) {
        assert_eq!((row.step, row.lr), (other.step, other.lr), "t and the rate stay");
        assert_eq!(row.val_loss.is_some(), other.val_loss.is_some(), "once at a step");
        let halved = cause == Cause::Overflow && row.batch > batch + 1;
        let scale = if halved { 32768.0 } else { 65536.0 };
        assert_eq!(row.loss_scale, Some(scale), "batch {}", row.batch);
    }
    assert_eq!(applied().count(), 12);
    let before = usize::try_from(batch).unwrap();
    assert_eq!(rows[..before], straight.rows[..before]);
    assert!(left.warnings.is_empty(), "{:?}", left.warnings);
}

fn ends(left: &Left, bench: &Bench, run: &str, text: &str, newest: u64) {
    let (code, error) = left.error();
    assert_eq!(code, 5, "{error}");
    assert!(error.contains(text), "no `{text}` in {error}");
    let found = load::newest(&bench.folder.at(run)).unwrap();
    // Without a checkpoint the run starts again from step 0.
    let (step, warnings) = found.map_or((0, vec![]), |f| (f.manifest.step, f.warnings));
    assert_eq!((step, warnings.len()), (newest, 0));
    assert!(bench.folder.at(run).join("failure.json").exists());
}

#[allow(clippy::print_stdout, reason = "a test that fails shows what was to be and why")]
fn judged(at: At) {
    let (_, cases) = TABLE.into_iter().find(|(place, _)| *place == at).unwrap();
    let clean = scaled(None);
    let bench = Bench::new(&format!("faults-{at:?}"), &clean);
    let straight = bench.train(clean, "straight");
    let hash = straight.hash();
    for (moment, verdict, reason) in cases {
        println!("{at:?}, {moment:?}: {verdict:?}, for {reason}");
        let mut plan = scaled(Some((at, moment)));
        plant_at(&mut plan, at, moment);
        let run = format!("{moment:?}");
        let left = bench.train(plan, &run);
        match verdict {
            Nothing => {
                assert_eq!((&left.rows, left.hash()), (&straight.rows, hash.clone()));
            }
            Skips(cause, tensor) => skips_once(&left, &straight, moment.batch(), cause, tensor),
            Tokens(n) => {
                let tokens: Vec<u64> = left.rows.iter().map(|row| row.tokens).collect();
                let mut wanted = vec![128; 12];
                wanted[usize::try_from(moment.batch()).unwrap()] = n;
                assert_eq!(tokens, wanted);
            }
            NoValidation => {
                let mut rows = straight.rows.clone();
                rows[7].val_loss = None;
                assert_eq!(left.rows, rows);
            }
            Ends(text, newest) => ends(&left, &bench, &run, text, newest),
        }
    }
}

#[test]
fn activations_that_are_not_finite() {
    judged(At::Activation);
}

#[test]
fn losses_that_are_not_finite() {
    judged(At::Loss);
}

#[test]
fn gradients_that_are_not_finite() {
    judged(At::Gradient);
}

#[test]
fn norms_that_are_not_finite() {
    judged(At::Norm);
}

#[test]
fn weights_that_are_not_finite() {
    judged(At::Weight);
}

#[test]
fn moments_that_are_not_finite() {
    judged(At::Moment);
}

#[test]
fn scales_that_are_not_finite() {
    judged(At::Scale);
}

#[test]
fn rates_that_are_not_finite() {
    judged(At::Lr);
}

#[test]
fn batches_without_targets() {
    judged(At::Targets);
}
