//! The GPT of the standard library against JAX: one step, and a run of a hundred.

use std::collections::BTreeMap;

use llmc::compile::Compiled;

use super::{FP32_RELATIVE, Golden, are_close, distances, draws, numbers};
use crate::clip::Update;
use crate::plans::compiled_for;

const VOCAB: u16 = 29;
const CONTEXT: usize = 16;
pub(super) const BATCH: usize = 4;

/// Shows the gradient that a rule is given, and moves nothing.
const SHOW: &str = "\
rule show()(w: [..s], g: [..s], lr: real, t: int) -> [..s] {
  state seen: fp32[..s] = zeros
  seen = g
  w
}
";

/// The golden run; `clip` is one that some steps reach and others do not.
const RUN: &str = "\
optimizer adamw(beta1: 0.9, beta2: 0.95)\nweight_decay 0.1 on matrices
lr 2e-3\nwarmup 10\nschedule cosine(to: 10%)\nclip 2.75\nsteps 100";

/// The golden model, with lines of its `train` block.
pub(super) fn compiled(lines: &str) -> Compiled {
    let spec = format!(
        "{SHOW}model gpt(layers: 2, width: 64, heads: 4, bias: true, drop: 0)\n\
         data text(\"text.txt\", tokenizer: chars)\n\
         train {{\nbatch {BATCH}\ncontext {CONTEXT}\n{lines}\n}}\n"
    );
    compiled_for(&spec, VOCAB.into())
}

/// The same, loaded with its weights.
pub(super) fn model(lines: &str) -> Update {
    let mut model = Update::load(compiled(lines).plan);
    for path in Golden::read("gpt.safetensors").under("grad.").into_keys() {
        fill(path, model.f32(path));
    }
    model.refresh();
    model
}

/// The weights that a parameter has on both sides.
pub(super) fn fill(path: &str, weight: &mut [f32]) {
    let (layer, kind) = path.rsplit_once('.').unwrap();
    let layer = layer.rsplit('.').next().unwrap();
    let (start, exponent) = match kind {
        "bias" => (0.0, -3),
        _ if layer.starts_with("norm") => (1.0, -3),
        _ => (0.0, -2),
    };
    for (w, x) in weight.iter_mut().zip(numbers(path, exponent)) {
        *w = start + x;
    }
}

/// Ids and targets of a row.
pub(super) fn row(step: usize, row: usize) -> (Vec<i32>, Vec<i32>) {
    let mut noise = draws(&format!("noise.{step}.{row}"));
    let mut chain = vec![noise.next().unwrap() % VOCAB];
    for r in noise.take(CONTEXT) {
        let follows = (5 * chain[chain.len() - 1] + 3) % VOCAB;
        chain.push(if r % 4 == 0 { (r / 4) % VOCAB } else { follows });
    }
    let chain: Vec<i32> = chain.into_iter().map(i32::from).collect();
    let holes = draws(&format!("holes.{step}.{row}"));
    let target = |(&id, hole): (&i32, u16)| if usize::from(hole % 8) < row { -1 } else { id };
    (chain[..CONTEXT].to_vec(), chain[1..].iter().zip(holes).map(target).collect())
}

/// One optimizer step; its loss.
pub(super) fn step(model: &mut Update, at: usize) -> f64 {
    let rows: Vec<_> = (0..BATCH).map(|r| row(at, r)).collect();
    for rows in rows.chunks(BATCH / model.plan.run.accumulate as usize) {
        let (ids, targets): (Vec<_>, Vec<_>) = rows.iter().cloned().unzip();
        model.i32("ids").copy_from_slice(&ids.concat());
        model.i32("targets").copy_from_slice(&targets.concat());
        model.call("micro");
    }
    model.call("update");
    assert_eq!(model.scalar("finite"), 1.0, "step {at}");
    model.scalar("loss")
}

/// The distance of a number from the golden one.
pub(super) fn relative(got: f64, wanted: f64) -> f64 {
    (got - wanted).abs() / wanted.abs()
}

#[test]
fn gpt_has_the_loss_and_every_gradient_that_jax_has() {
    let golden = Golden::read("gpt.safetensors");
    // The golden gradient is of the whole batch, so micro-batches of unequal numbers of target
    // tokens have to add up to it.
    for accumulate in [1, 2, 4] {
        let lines = format!("accumulate {accumulate}\noptimizer show\nclip none\nlr 1\nsteps 9");
        let mut model = model(&lines);
        let loss = step(&mut model, 0);
        let wanted = golden.get("loss")[0];
        assert!(relative(loss, wanted) <= FP32_RELATIVE, "{loss} for {wanted}");
        let seen = |path: &str| model.f32(&format!("optimizer.seen.{path}")).to_vec();
        let gaps = distances(&golden.under("grad."), seen);
        are_close(&gaps, FP32_RELATIVE, &format!("gradients, accumulate {accumulate}"));
    }
}

#[test]
fn gpt_has_the_logits_that_jax_has() {
    let golden = Golden::read("gpt.safetensors");
    let mut model = model("lr 1\nsteps 9");
    let mut logits = vec![];
    for r in 0..BATCH {
        model.i32("prefill.ids").copy_from_slice(&row(0, r).0);
        for last in 0..CONTEXT {
            model.i32("prefill.last")[0] = last as i32;
            model.call("prefill");
            logits.extend_from_slice(model.f32("prefill.logits"));
        }
    }
    let wanted = BTreeMap::from([("logits", golden.get("logits"))]);
    are_close(&distances(&wanted, |_| logits.clone()), FP32_RELATIVE, "prefill");
}

#[test]
fn a_run_of_a_hundred_steps_has_the_losses_of_jax() {
    let golden = Golden::read("gpt.safetensors");
    let column = |name: &str| golden.get(&format!("run.{name}")).to_vec();
    let (losses, norms, rates) = (column("loss"), column("grad_norm"), column("lr"));
    assert!(losses[90..].iter().sum::<f64>() < 0.5 * losses[..10].iter().sum::<f64>(), "it learns");
    for accumulate in [1, 2] {
        let mut model = model(&format!("{RUN}\naccumulate {accumulate}"));
        let mut n_clipped = 0;
        for at in 0..losses.len() {
            let loss = step(&mut model, at + 1);
            let about = format!("step {}, accumulate {accumulate}", at + 1);
            assert!(relative(loss, losses[at]) <= FP32_RELATIVE, "{about}: {loss}");
            let (norm, rate) = (model.scalar("grad_norm"), model.scalar("lr"));
            assert!(
                relative(norm, norms[at]) <= FP32_RELATIVE,
                "{about}: norm {norm} for {}",
                norms[at]
            );
            assert!(relative(rate, rates[at]) <= 1e-12, "{about}: rate {rate} for {}", rates[at]);
            n_clipped += u32::from(model.scalar("clip_coef") < 1.0);
        }
        assert!((20..80).contains(&n_clipped), "{n_clipped} steps are clipped");
    }
}
