//! Clipping and skipped updates, in the compiled `update` with planted gradients.

use exec::executor::{Executor, Options};
use plan::{BufferId, Plan, Role};

use crate::backend::Silent;
use crate::folder::gpt;
use crate::plans::compiled;

/// A model with one parameter of two elements whose gradient matters here.
const TWO: &str = "\
layer two(vocab: int = data.vocab)(ids: tok(vocab)[b, t]) -> [b, t, vocab] {
  param pair: [2] = zeros
  param table: [vocab, 2] = normal(0.02)
  param head: [2, vocab] = normal(0.02)
  (table[ids] + pair) @ head
}
rule keep()(w: [..s], g: [..s], lr: real, t: int) -> [..s] {
  state seen: fp32[..s] = zeros
  seen = g
  w - g
}
model two()
data text(\"text.txt\", tokenizer: bytes)
train {\nbatch 4\ncontext 16\nlr 0.5\nsteps 20\noptimizer keep\n";

/// A loaded plan whose sums stand for a step that needs no unscaling.
pub(crate) struct Update {
    pub(crate) plan: Plan,
    executor: Executor,
}

impl Update {
    fn new(spec: &str) -> Self {
        Self::load(compiled(spec).plan)
    }

    /// Loads a plan and runs its `init`.
    pub(crate) fn load(plan: Plan) -> Self {
        let executor = Executor::load(plan.clone(), &Options::threads(1)).unwrap();
        let mut update = Self { plan, executor };
        update.call("init");
        update.refresh();
        update
    }

    /// Makes what follows from the weights, which were written.
    pub(crate) fn refresh(&mut self) {
        self.executor.refresh().unwrap();
    }

    /// Runs a function.
    pub(crate) fn call(&mut self, function: &str) {
        self.executor.call(self.plan.function(function).unwrap(), &mut Silent).unwrap();
    }

    fn id(&self, name: &str) -> BufferId {
        self.plan.buffer(name).unwrap_or_else(|| panic!("no buffer {name}"))
    }

    /// The elements of a buffer.
    pub(crate) fn f32(&mut self, name: &str) -> &mut [f32] {
        let id = self.id(name);
        self.executor.memory_mut().f32_mut(id)
    }

    /// The elements of a buffer of integers.
    pub(crate) fn i32(&mut self, name: &str) -> &mut [i32] {
        let id = self.id(name);
        self.executor.memory_mut().i32_mut(id)
    }

    /// A number in f64.
    pub(crate) fn scalar(&self, name: &str) -> f64 {
        self.executor.memory().f64(self.id(name))[0]
    }

    fn set_scalar(&mut self, name: &str, value: f64) {
        let id = self.id(name);
        self.executor.memory_mut().f64_mut(id)[0] = value;
    }

    /// The planned number of tokens is a power of two, so prescale · tokens is exactly 1.
    pub(crate) fn plant_sums(&mut self) {
        let tokens = self.plan.run.batch * self.plan.run.context;
        assert!(tokens.is_power_of_two());
        self.set_scalar("token_sum", tokens as f64);
        self.set_scalar("loss_sum", 2.0 * tokens as f64);
    }
}

/// The gradient that the rule gets for the planted one of 4, 3.
fn clipped(lines: &str) -> ([f32; 2], f64, f64) {
    let mut update = Update::new(&format!("{TWO}{lines}\n}}\n"));
    update.plant_sums();
    update.f32("grad.pair").copy_from_slice(&[4.0, 3.0]);
    update.call("update");
    let seen: [f32; 2] = update.f32("optimizer.seen.pair").try_into().unwrap();
    assert_eq!(update.f32("pair"), [-seen[0], -seen[1]], "{lines}: from zeros, w - g");
    assert_eq!(update.scalar("finite"), 1.0);
    assert_eq!(update.scalar("loss"), 2.0);
    (seen, update.scalar("grad_norm"), update.scalar("clip_coef"))
}

#[track_caller]
fn clips(lines: &str, wanted: [f64; 2], coefficient: f64) {
    let (seen, norm, coef) = clipped(lines);
    for (got, wanted) in seen.iter().zip(wanted) {
        assert!((f64::from(*got) - wanted).abs() <= 1e-6, "{lines}: {seen:?}");
    }
    assert!((norm - 5.0).abs() <= 1e-6, "{lines}: the norm before the clip is {norm}");
    assert!((coef - coefficient).abs() <= 1e-6, "{lines}: {coef}");
}

#[test]
fn a_clip_gives_the_gradients_that_arithmetic_gives() {
    clips("clip none", [4.0, 3.0], 1.0);
    clips("clip 5", [4.0, 3.0], 1.0);
    clips("clip 2.5", [2.0, 1.5], 0.5);
    clips("clip 2.5 l2", [2.0, 1.5], 0.5);
    clips("clip 4 linf", [4.0, 3.0], 1.0);
    clips("clip 2.5 linf", [2.5, 1.875], 0.625);
    clips("clip value 2.5", [2.5, 2.5], 1.0);
    clips("clip value 3.5", [3.5, 3.0], 1.0);
    // The default.
    clips("", [0.8, 0.6], 0.2);
}

/// Sums of several micro-batches are clipped once, as one gradient.
#[test]
fn a_clip_comes_after_accumulation() {
    clips("accumulate 2\nclip 2.5", [2.0, 1.5], 0.5);
    clips("accumulate 4\nclip value 2.5", [2.5, 2.5], 1.0);
}

#[test]
fn the_norm_is_that_of_all_parameters() {
    let mut update = Update::new(&format!("{TWO}clip 6.5\n}}\n"));
    update.plant_sums();
    update.f32("grad.pair").copy_from_slice(&[4.0, 3.0]);
    update.f32("grad.table")[17] = 12.0;
    update.call("update");
    assert_eq!(update.scalar("grad_norm"), 13.0);
    assert_eq!(update.f32("optimizer.seen.pair"), [2.0, 1.5]);
    assert_eq!(update.f32("optimizer.seen.table")[17], 6.0);
    // Smaller numbers of tokens than planned divide by less.
    update.set_scalar("token_sum", 16.0);
    update.f32("grad.pair").copy_from_slice(&[1.0, 0.0]);
    update.f32("grad.table").fill(0.0);
    update.call("update");
    assert_eq!(update.scalar("grad_norm"), 4.0);
}

/// Bytes of all weights and moments.
fn trained(update: &Update) -> Vec<Vec<u8>> {
    let buffers = (0u32..).zip(&update.plan.buffers);
    let kept = buffers.filter(|(_, b)| matches!(b.role, Role::Param | Role::OptState));
    kept.map(|(at, _)| update.executor.memory().bytes(BufferId(at)).to_vec()).collect()
}

/// A step with real gradients, those of made-up ids.
fn sound_step(update: &mut Update, round: usize) -> f64 {
    for name in ["ids", "targets"] {
        for (i, x) in update.i32(name).iter_mut().enumerate() {
            *x = (data::rng::mix((round * 999 + i) as u64) % 256) as i32;
        }
    }
    for _ in 0..update.plan.run.accumulate {
        update.call("micro");
    }
    update.call("update");
    assert_eq!(update.scalar("finite"), 1.0);
    update.scalar("lr")
}

/// Plants a number in the gradient and expects that nothing moves.
fn is_skipped(update: &mut Update, param: &str, bad: f32) {
    let before = trained(update);
    let counters = ["applied_updates", "skipped_updates", "consumed_batches"];
    let counts = counters.map(|name| update.scalar(name));
    update.call("micro");
    let grad = update.f32(&format!("grad.{param}"));
    let last = grad.len() - 1;
    grad[last] = bad;
    update.call("update");
    assert!(trained(update) == before, "{bad} in {param} moves weights or moments");
    assert_eq!(update.scalar("finite"), 0.0, "{bad} in {param}");
    let moved = [counts[0], counts[1] + 1.0, counts[2] + 1.0];
    assert_eq!(counters.map(|name| update.scalar(name)), moved, "{bad} in {param}");
}

#[test]
fn a_gradient_that_is_not_finite_moves_no_weight_moment_rate_or_t() {
    for lines in [
        "steps 20\nwarmup 5\nclip none",
        "steps 20\nwarmup 5\naccumulate 2",
        "steps 20\nwarmup 5\nclip value 1",
    ] {
        let spec = gpt(lines);
        let mut straight = Update::new(&spec);
        let rates: Vec<f64> = (0..6).map(|round| sound_step(&mut straight, round)).collect();
        let distinct = rates.windows(2).all(|pair| pair[0] != pair[1]);
        assert!(distinct, "the rate follows t: {rates:?}");

        let mut update = Update::new(&spec);
        for (round, &rate) in rates.iter().enumerate() {
            for bad in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
                for param in ["tok_emb.weight", "blocks.0.attn.qkv.bias", "norm.bias"] {
                    is_skipped(&mut update, param, bad);
                }
            }
            assert_eq!(sound_step(&mut update, round), rate, "after skips, {lines}");
        }
        assert!(trained(&update) == trained(&straight), "skips leave no trace, {lines}");
    }
}

/// A loss that is not finite, and a step without a target token.
#[test]
fn a_step_without_a_sound_loss_is_skipped() {
    for (tokens, loss) in [(64.0, f64::NAN), (64.0, f64::INFINITY), (0.0, 0.0)] {
        let mut update = Update::new(&gpt("steps 20\nclip none"));
        sound_step(&mut update, 0);
        let before = trained(&update);
        update.call("micro");
        update.set_scalar("token_sum", tokens);
        update.set_scalar("loss_sum", loss);
        update.call("update");
        assert_eq!(update.scalar("finite"), 0.0, "{tokens} tokens, loss {loss}");
        assert!(trained(&update) == before, "{tokens} tokens, loss {loss}");
        sound_step(&mut update, 1);
        assert_eq!(update.scalar("applied_updates"), 2.0);
    }
}
