//! The choice of a token by its logits.
//!
//! In: the logits after a text. Out: one id, by seed and number of the token only.
//! The order is: repetition penalty (Keskar et al. 2019, arXiv:1909.05858), temperature, the
//! `top_k` likeliest, of these the fewest that reach `top_p` (Holtzman et al. 2019,
//! arXiv:1904.09751). Of equal logits the smaller id is the likelier one.

use std::cmp::Ordering;

use data::rng;

use crate::error::Error;

/// How tokens are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the likeliest token.
    pub temperature: f64,
    /// Only so many of the likeliest tokens; `None`: all.
    pub top_k: Option<u64>,
    /// Only the fewest likeliest tokens that have this probability together; 1: all.
    pub top_p: f64,
    /// What the logits of tokens that the text has are divided by, or times it below 0; 1: as is.
    pub repetition_penalty: f64,
    /// Of the choices.
    pub seed: u64,
}

impl Sampling {
    /// Tokens by their probabilities as the model gives them.
    pub const PLAIN: Sampling =
        Sampling { temperature: 1.0, top_k: None, top_p: 1.0, repetition_penalty: 1.0, seed: 0 };
}

/// A token that may be chosen.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    id: u32,
    logit: f64,
    /// Its probability times a number that all have in common.
    weight: f64,
}

/// Chooses; its memory is that of one vocabulary, used again for each token.
#[derive(Debug, Clone)]
pub(super) struct Sampler {
    candidates: Vec<Candidate>,
    /// By id, whether the text has the token.
    seen: Vec<bool>,
}

impl Sampler {
    /// For ids below `vocab`.
    pub(super) fn new(vocab: usize) -> Self {
        Self { candidates: Vec::with_capacity(vocab), seen: vec![false; vocab] }
    }

    /// A token is part of the text now.
    pub(super) fn note(&mut self, id: u32) {
        if let Some(seen) = self.seen.get_mut(id as usize) {
            *seen = true;
        }
    }

    /// Token `n` after the text.
    pub(super) fn choose(
        &mut self,
        logits: &[f32],
        sampling: &Sampling,
        n: u64,
    ) -> Result<u32, Error> {
        self.candidates.clear();
        for (&logit, id) in logits.iter().zip(0..) {
            let seen = self.seen.get(id as usize).copied().unwrap_or(false);
            let logit = penalised(f64::from(logit), seen, sampling.repetition_penalty);
            self.candidates.push(Candidate { id, logit, weight: 0.0 });
        }
        if self.candidates.iter().any(|c| c.logit.is_nan()) {
            return Err(Error::Diverged("the logits are not numbers".to_owned()));
        }
        let best =
            self.candidates.iter().copied().reduce(|a, b| if b.logit > a.logit { b } else { a });
        let best = best.ok_or_else(|| Error::BadPlan("`prefill.logits` is empty".to_owned()))?;
        if best.logit.is_infinite() {
            return Err(Error::Diverged("the logits are not finite".to_owned()));
        }
        if sampling.temperature <= 0.0 {
            return Ok(best.id);
        }
        self.keep_top_k(sampling.top_k);
        for c in &mut self.candidates {
            c.weight = ((c.logit - best.logit) / sampling.temperature).exp();
        }
        self.keep_top_p(sampling.top_p);
        Ok(self.draw(rng::uniform(sampling.seed, n)).unwrap_or(best.id))
    }

    fn keep_top_k(&mut self, top_k: Option<u64>) {
        let Some(k) = top_k.and_then(|k| usize::try_from(k).ok()) else { return };
        if (1..self.candidates.len()).contains(&k) {
            self.candidates.select_nth_unstable_by(k - 1, likelier);
            self.candidates.truncate(k);
            // The draw goes through the candidates in an order that no selection may change.
            self.candidates.sort_unstable_by_key(|c| c.id);
        }
    }

    fn keep_top_p(&mut self, top_p: f64) {
        if top_p >= 1.0 {
            return;
        }
        self.candidates.sort_unstable_by(likelier);
        let wanted = top_p * self.candidates.iter().map(|c| c.weight).sum::<f64>();
        let mut sum = 0.0;
        let enough = self.candidates.iter().position(|c| {
            sum += c.weight;
            sum >= wanted
        });
        self.candidates.truncate(enough.map_or(self.candidates.len(), |last| last + 1));
    }

    /// The candidate at a share of the whole weight; none where rounding leaves a rest behind them.
    fn draw(&self, share: f64) -> Option<u32> {
        let mut left = share * self.candidates.iter().map(|c| c.weight).sum::<f64>();
        let found = self.candidates.iter().find(|c| {
            left -= c.weight;
            left < 0.0
        });
        found.map(|c| c.id)
    }
}

/// Divided where that makes a token less likely: a logit below 0 has to grow.
fn penalised(logit: f64, seen: bool, penalty: f64) -> f64 {
    match (seen, logit > 0.0) {
        (false, _) => logit,
        (true, true) => logit / penalty,
        (true, false) => logit * penalty,
    }
}

fn likelier(a: &Candidate, b: &Candidate) -> Ordering {
    b.logit.total_cmp(&a.logit).then(a.id.cmp(&b.id))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probabilities 0.1, 0.2, 0.4, 0.3 at temperature 1.
    const PROBABILITIES: [f64; 4] = [0.1, 0.2, 0.4, 0.3];

    fn logits() -> [f32; 4] {
        PROBABILITIES.map(|p| p.ln() as f32 + 3.0)
    }

    fn choose(logits: &[f32], sampling: Sampling, n: u64) -> u32 {
        Sampler::new(logits.len()).choose(logits, &sampling, n).unwrap()
    }

    /// How often each token is chosen in a thousand times.
    fn shares(sampling: Sampling) -> [f64; 4] {
        let mut shares = [0.0; 4];
        let mut sampler = Sampler::new(4);
        for n in 0..20_000 {
            let id = sampler.choose(&logits(), &Sampling { seed: 7, ..sampling }, n).unwrap();
            shares[id as usize] += 1.0 / 20_000.0;
        }
        shares
    }

    #[track_caller]
    fn near(shares: [f64; 4], expected: [f64; 4]) {
        // Four standard deviations of a share of 20,000 draws are below 0.0142.
        let is_near = |(a, b): (&f64, &f64)| (a - b).abs() < 0.0142 && (*b > 0.0 || *a == 0.0);
        assert!(shares.iter().zip(&expected).all(is_near), "{shares:?} for {expected:?}");
    }

    #[test]
    fn shares_are_the_probabilities() {
        near(shares(Sampling::PLAIN), PROBABILITIES);
    }

    #[test]
    fn temperature_sharpens_and_flattens() {
        let squares = PROBABILITIES.map(|p| p * p / 0.3);
        near(shares(Sampling { temperature: 0.5, ..Sampling::PLAIN }), squares);
        near(shares(Sampling { temperature: 1e6, ..Sampling::PLAIN }), [0.25; 4]);
    }

    #[test]
    fn temperature_0_takes_the_first_of_the_largest() {
        let greedy = Sampling { temperature: 0.0, ..Sampling::PLAIN };
        assert_eq!(choose(&[1.0, 3.0, 3.0], greedy, 0), 1);
    }

    #[test]
    fn top_k_keeps_the_likeliest() {
        let top = |k| shares(Sampling { top_k: Some(k), ..Sampling::PLAIN });
        near(top(2), [0.0, 0.0, 4.0 / 7.0, 3.0 / 7.0]);
        near(top(1), [0.0, 0.0, 1.0, 0.0]);
        near(top(4), PROBABILITIES);
        near(top(u64::MAX), PROBABILITIES);
    }

    #[test]
    fn top_k_of_equal_logits_takes_the_first_ids() {
        let top = Sampling { top_k: Some(2), ..Sampling::PLAIN };
        assert!((0..200).all(|n| choose(&[2.0; 5], top, n) < 2));
    }

    #[test]
    fn top_p_keeps_the_fewest_that_reach_it() {
        let top = |p| shares(Sampling { top_p: p, ..Sampling::PLAIN });
        near(top(1.0), PROBABILITIES);
        near(top(0.95), PROBABILITIES);
        near(top(0.85), [0.0, 2.0 / 9.0, 4.0 / 9.0, 3.0 / 9.0]);
        near(top(0.5), [0.0, 0.0, 4.0 / 7.0, 3.0 / 7.0]);
        near(top(1e-300), [0.0, 0.0, 1.0, 0.0]);
        near(top(0.0), [0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn top_p_is_of_what_top_k_leaves() {
        // 0.4 of 0.7 is 0.57: enough for 0.5, though 0.4 of all is not.
        let both = Sampling { top_k: Some(2), top_p: 0.5, ..Sampling::PLAIN };
        near(shares(both), [0.0, 0.0, 1.0, 0.0]);
    }

    #[test]
    fn a_penalty_makes_tokens_of_the_text_less_likely_on_both_sides_of_0() {
        let greedy = Sampling { temperature: 0.0, repetition_penalty: 2.0, ..Sampling::PLAIN };
        for logits in [[3.0, 2.0], [-1.0, -1.5], [0.5, -0.5]] {
            let mut sampler = Sampler::new(2);
            sampler.note(0);
            let best = if logits == [0.5, -0.5] { 0 } else { 1 };
            assert_eq!(sampler.choose(&logits, &greedy, 0).unwrap(), best, "{logits:?}");
            let mut sampler = Sampler::new(2);
            assert_eq!(sampler.choose(&logits, &greedy, 0).unwrap(), 0, "{logits:?}");
        }
        assert_eq!([3.0, -3.0].map(|l| penalised(l, true, 1.5)), [2.0, -4.5]);
    }

    #[test]
    fn choices_are_by_seed_and_number_only() {
        let of = |seed| {
            let sampling = Sampling { seed, top_p: 0.9, ..Sampling::PLAIN };
            (0..50).rev().map(|n| choose(&logits(), sampling, n)).collect::<Vec<_>>()
        };
        let mut sampler = Sampler::new(4);
        let sampling = Sampling { seed: 1, top_p: 0.9, ..Sampling::PLAIN };
        let forwards = (0..50).map(|n| sampler.choose(&logits(), &sampling, n).unwrap());
        let forwards: Vec<_> = forwards.collect();
        assert_eq!(forwards, of(1).into_iter().rev().collect::<Vec<_>>());
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn logits_that_give_no_probabilities_are_refused() {
        for logits in [[0.0, f32::NAN], [0.0, f32::INFINITY], [f32::NEG_INFINITY; 2]] {
            let result = Sampler::new(2).choose(&logits, &Sampling::PLAIN, 0);
            assert_eq!(result.unwrap_err().exit_code(), 5, "{logits:?}");
        }
        assert_eq!(choose(&[f32::NEG_INFINITY, 0.0], Sampling::PLAIN, 0), 1);
    }
}
