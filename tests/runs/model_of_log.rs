//! The log of a run in fp16, replayed by a model of scale, rate, clip and counters.

use std::path::Path;

use serde_json::Value;

use crate::folder::Folder;

const STEPS: u64 = 40;
const WARMUP: f64 = 100.0;
const PEAK: f64 = 1e-3;
const LIMIT: f64 = 1.0;
const GROWTH: u64 = 12;
/// So large that the first steps overflow.
const START: f64 = 4_294_967_296.0;

/// What a run carries from one optimizer step to the next.
struct Model {
    scale: f64,
    clean: u64,
    applied: u64,
    consumed: u64,
}

impl Model {
    /// Whether a row is what comes next; `overflows` is all that it takes from the arithmetic.
    fn follows(&mut self, row: &Value) {
        let overflows = row["skipped"].as_bool().unwrap();
        let lr = PEAK * ((self.applied + 1) as f64 / WARMUP);
        let scale = self.scale;
        self.consumed += 1;
        if overflows {
            (self.scale, self.clean) = (scale / 2.0, 0);
        } else {
            (self.applied, self.clean) = (self.applied + 1, self.clean + 1);
            if self.clean == GROWTH {
                (self.scale, self.clean) = (scale * 2.0, 0);
            }
        }
        let number = |name: &str| row[name].as_f64();
        assert_eq!(number("loss_scale"), Some(scale), "{row}");
        assert_eq!(number("lr"), Some(lr), "{row}");
        assert_eq!(row["step"].as_u64(), Some(self.applied), "{row}");
        assert_eq!(row["batch"].as_u64(), Some(self.consumed), "{row}");
        match number("grad_norm") {
            None => assert_eq!((overflows, &row["cause"]), (true, &"overflow".into()), "{row}"),
            Some(norm) => {
                let coefficient = if norm <= LIMIT { 1.0 } else { LIMIT / norm };
                assert_eq!((overflows, number("clip_coef")), (false, Some(coefficient)), "{row}");
            }
        }
    }
}

/// The example with a smaller model, so that a debug build is done with it soon.
fn shakespeare() -> String {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let text = std::fs::read_to_string(examples.join("shakespeare.lt")).unwrap();
    let data = examples.join("data/shakespeare.txt");
    text.replace("d: 192, depth: 4, heads: 6", "d: 48, depth: 2, heads: 3")
        .replace("data/shakespeare.txt", data.to_str().unwrap())
}

#[test]
fn a_log_of_fp16_follows_a_model_of_scale_rate_clip_and_counters() {
    let folder = Folder::new("replay");
    folder.write("a.lt", shakespeare());
    let scaler = format!("train.loss_scale=dynamic from {START} growth {GROWTH} min 1");
    let steps = format!("train.steps={STEPS}");
    let eval = "train.eval=every 20 batches 4";
    folder.llmc(&["train", "a.lt", "--set", &steps, "--set", &scaler, "--set", eval]).exits(0);
    let log = std::fs::read_to_string(folder.at("runs/a/metrics.jsonl")).unwrap();
    let rows: Vec<Value> = log.lines().map(|row| serde_json::from_str(row).unwrap()).collect();
    let mut model = Model { scale: START, clean: 0, applied: 0, consumed: 0 };
    rows.iter().for_each(|row| model.follows(row));
    assert_eq!(model.applied, STEPS);
    let skipped = rows.len() as u64 - STEPS;
    assert!(skipped > 2, "the first scale overflows: {skipped} skips");
    let grew = |pair: &[Value]| pair[0]["loss_scale"].as_f64() < pair[1]["loss_scale"].as_f64();
    assert!(rows.windows(2).any(grew), "clean updates double the scale");
    let val: Vec<f64> = rows.iter().filter_map(|row| row["val_loss"].as_f64()).collect();
    assert!(val.len() == 2 && val[1] < val[0], "{val:?}");
}
