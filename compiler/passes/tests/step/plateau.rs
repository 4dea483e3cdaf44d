//! The plateau schedule, evaluation after evaluation.

use sema::Schedule;

use crate::program::{Run, small};

fn plateau() -> Run {
    let schedule =
        Schedule::Plateau { factor: 0.5, patience: 10, min: 0.2, text: "plateau".to_owned() };
    Run::new(small("", |train| train.schedule = schedule))
}

/// An evaluation after `applied` updates; the factor that follows.
fn evaluate(run: &mut Run, applied: f64, loss: f64) -> f64 {
    run.set("applied_updates", &[applied]);
    run.set("val_loss", &[loss]);
    run.call("plateau");
    run.get("plateau.factor")
}

#[test]
fn the_factor_falls_after_patience_without_an_improvement() {
    let mut run = plateau();
    assert_eq!(run.get("plateau.factor"), 1.0);
    // Applied updates, validation loss, factor from here on.
    let evaluations = [
        (5.0, 3.0, 1.0),
        (10.0, 2.0, 1.0),
        (15.0, 2.0, 1.0),
        (19.0, 2.5, 1.0),
        (20.0, 2.5, 0.5),
        // The patience starts again at a change.
        (29.0, 2.1, 0.5),
        (30.0, 1.0, 0.5),
        (39.0, f64::NAN, 0.5),
        (40.0, f64::NAN, 0.25),
        // Not below the minimum.
        (50.0, 1.0, 0.2),
        (60.0, 1.0, 0.2),
    ];
    for (applied, loss, factor) in evaluations {
        assert_eq!(evaluate(&mut run, applied, loss), factor, "after {applied}");
    }
    assert_eq!(run.get("plateau.best"), 1.0);
}

#[test]
fn the_rate_is_the_peak_times_the_factor() {
    let mut run = plateau();
    for factor in [1.0, 0.5, 0.25] {
        run.plant_sums();
        run.set("plateau.factor", &[factor]);
        run.call("update");
        assert_eq!(run.get("lr"), 0.5 * factor);
    }
}
