//! Norms of single gradients and the noise scale, on numbers worked out by hand.

use sema::{LossScale, Measure};

use crate::program::{Run, small};

#[test]
fn each_gradient_has_its_norm_before_the_clip() {
    let mut run = Run::new(small("clip 1", |train| train.measures = vec![Measure::GradNorms]));
    run.plant_sums();
    run.set("grad.shift", &[3.0, -4.0]);
    run.set("grad.table", &[12.0, 0.0, 0.0, 0.0]);
    run.call("update");
    assert_eq!([run.get("grad_norm.shift"), run.get("grad_norm.table")], [5.0, 12.0]);
    assert_eq!(run.get("grad_norm"), 13.0);
}

fn noisy(policy: LossScale) -> Run {
    let edit = |train: &mut sema::Train| {
        train.measures = vec![Measure::NoiseScale];
        train.loss_scale = policy;
    };
    Run::new(small("micro_batch 2\nclip none", edit))
}

#[test]
fn the_noise_scale_is_that_of_the_estimates() {
    let mut run = noisy(LossScale::None);
    run.plant_sums();
    // Two micro-batches of 8 tokens with squared norms 4 and 6, a step of 16 with 3:
    // signal (16·3 − 8·5) / 8 = 1, noise (5 − 3) / (1/8 − 1/16) = 32.
    run.set("noise.squares", &[10.0]);
    run.set("noise.batches", &[2.0]);
    run.set("grad.shift", &[1.0, 1.0]);
    run.set("grad.table", &[1.0, 0.0, 0.0, 0.0]);
    run.call("update");
    assert!((run.get("noise_scale") - 32.0).abs() < 1e-12, "{}", run.get("noise_scale"));
    assert_eq!([run.get("noise.squares"), run.get("noise.batches")], [0.0, 0.0]);
}

#[test]
fn micro_batches_add_the_squared_norms_of_their_own_means() {
    for policy in [LossScale::None, LossScale::Dynamic { start: 64.0, growth: 9, min: 1.0 }] {
        let scale = if policy == LossScale::None { 1.0 } else { 64.0 };
        let mut run = noisy(policy);
        run.set("shift", &[0.3, -0.2]);
        let mut wanted = 0.0;
        let mut before = vec![0.0; 6];
        // The second has three target tokens, the last none.
        for targets in [[0.0; 8], [0.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0, -1.0], [-1.0; 8]] {
            run.set("ids", &[0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 0.0]);
            run.set("targets", &targets);
            run.call("micro");
            let sums = [run.numbers("grad.shift"), run.numbers("grad.table")].concat();
            let tokens = targets.iter().filter(|&&t| t >= 0.0).count() as f64;
            let own = sums.iter().zip(&before).map(|(s, b)| ((s - b) * 16.0 / scale).powi(2));
            if tokens > 0.0 {
                wanted += own.sum::<f64>() / (tokens * tokens);
            }
            before = sums;
        }
        assert!(wanted > 0.0);
        let got = run.get("noise.squares");
        assert!((got - wanted).abs() < 1e-5 * wanted, "{got}, by hand {wanted}");
        assert_eq!(run.get("noise.batches"), 2.0);
    }
}
