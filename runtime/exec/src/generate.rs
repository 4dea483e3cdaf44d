//! Text from a model: one token after the other from the plan's `prefill`.
//!
//! In: prompt ids. Out: sampled ids, given away as they come. The choice of token `n` depends on
//! the seed and `n` only. The window is the last `context` tokens.

use plan::{BufferId, FunctionId, Plan, Yield};

use crate::{
    device::cpu::Memory,
    error::Error,
    executor::{Executor, Host},
    rng,
};

/// How text is sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Tokens to make.
    pub length: u64,
    /// 0 takes the most likely token.
    pub temperature: f64,
    /// Of the choices.
    pub seed: u64,
}

/// A host for functions that never yield.
#[derive(Debug)]
pub(crate) struct Silent;

impl Host for Silent {
    fn turn(&mut self, what: Yield, _: &mut Memory) -> Result<(), Error> {
        Err(Error::BadPlan(format!("a function without data yields {what:?}")))
    }
}

/// The buffers of `prefill`.
#[derive(Debug, Clone, Copy)]
struct Prefill {
    function: FunctionId,
    ids: BufferId,
    last: BufferId,
    logits: BufferId,
}

impl Prefill {
    fn of(plan: &Plan) -> Result<Prefill, Error> {
        let missing = |name: &str| Error::BadPlan(format!("it has no `{name}` to generate with"));
        let buffer = |name: &str| plan.buffer(name).ok_or_else(|| missing(name));
        Ok(Prefill {
            function: plan.function("prefill").ok_or_else(|| missing("prefill"))?,
            ids: buffer("prefill.ids")?,
            last: buffer("prefill.last")?,
            logits: buffer("prefill.logits")?,
        })
    }
}

/// Samples after a prompt; `give` gets each token and says whether to go on.
///
/// An empty prompt starts from token 0.
pub fn generate(
    executor: &mut Executor,
    prompt: &[u32],
    sampling: &Sampling,
    give: &mut dyn FnMut(u32) -> bool,
) -> Result<(), Error> {
    let prefill = Prefill::of(executor.plan())?;
    let context = executor.memory().i32(prefill.ids).len();
    let to_i32 = |&id: &u32| i32::try_from(id).map_err(|_| Error::BadData(format!("token {id}")));
    let mut window: Vec<i32> = prompt.iter().map(to_i32).collect::<Result<_, _>>()?;
    if let Some(id) = window.iter().find(|&&id| i64::from(id) >= executor.plan().run.vocab as i64) {
        return Err(Error::BadData(format!("token {id} is not in the vocabulary")));
    }
    if window.is_empty() {
        window.push(0);
    }
    for n in 0..sampling.length {
        window.drain(..window.len().saturating_sub(context));
        let memory = executor.memory_mut();
        let ids = memory.i32_mut(prefill.ids);
        ids.fill(0);
        ids[..window.len()].copy_from_slice(&window);
        memory.i32_mut(prefill.last)[0] =
            i32::try_from(window.len() - 1).expect("a context fits an i32");
        executor.call(prefill.function, &mut Silent)?;
        let token = choose(executor.memory().f32(prefill.logits), sampling, n)?;
        window.push(i32::try_from(token).expect("a vocabulary fits an i32"));
        if !give(token) {
            break;
        }
    }
    Ok(())
}

/// A token by its logits.
fn choose(logits: &[f32], sampling: &Sampling, n: u64) -> Result<u32, Error> {
    let best = (0..logits.len()).reduce(|a, b| if logits[b] > logits[a] { b } else { a });
    let best = best.ok_or_else(|| Error::BadPlan("`prefill.logits` is empty".to_owned()))?;
    if logits.iter().any(|l| l.is_nan()) {
        return Err(Error::Diverged("the logits are not numbers".to_owned()));
    }
    let index = |i: usize| u32::try_from(i).expect("a vocabulary fits a u32");
    if sampling.temperature <= 0.0 {
        return Ok(index(best));
    }
    let top = f64::from(logits[best]);
    let weight = |l: f32| ((f64::from(l) - top) / sampling.temperature).exp();
    let total: f64 = logits.iter().map(|&l| weight(l)).sum();
    let mut left = rng::uniform(sampling.seed, n) * total;
    for (i, &l) in logits.iter().enumerate() {
        left -= weight(l);
        if left < 0.0 {
            return Ok(index(i));
        }
    }
    // Rounding can leave a rest behind the last token.
    Ok(index(best))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampling(temperature: f64) -> Sampling {
        Sampling { length: 1, temperature, seed: 7 }
    }

    #[test]
    fn temperature_zero_takes_the_first_of_the_largest() {
        assert_eq!(choose(&[1.0, 3.0, 3.0], &sampling(0.0), 0).unwrap(), 1);
    }

    #[test]
    fn choices_follow_the_distribution_and_the_counter() {
        let logits = [0.0, 1.0_f32.exp().ln() + 0.6, f32::NEG_INFINITY];
        let mut counts = [0; 3];
        for n in 0..10_000 {
            counts[choose(&logits, &sampling(1.0), n).unwrap() as usize] += 1;
        }
        // softmax(0, 1.6) = 0.168, 0.832
        assert!((1580..1780).contains(&counts[0]), "{counts:?}");
        assert_eq!(counts[2], 0);
        let again = |n| choose(&logits, &sampling(1.0), n).unwrap();
        assert_eq!((0..50).map(again).collect::<Vec<_>>(), (0..50).map(again).collect::<Vec<_>>());
    }

    #[test]
    fn logits_that_are_no_numbers_are_refused() {
        assert_eq!(choose(&[0.0, f32::NAN], &sampling(1.0), 0).unwrap_err().exit_code(), 5);
    }
}
