//! A step that is not finite is made again: the numbers are named, the machine is told apart.

use exec::checkpoint::load;
use exec::log::Cause;
use plan::{Dtype, Plan};

use crate::bench::Bench;
use crate::plans::compiled;
use crate::poison::{Bad, Place, When, plant, temp};

fn spec(lines: &str) -> String {
    format!(
        "model gpt(layers: 1, width: 8, heads: 2, drop: 10%)\n\
         data text(\"text.txt\", tokenizer: bytes)\n\
         train {{\nbatch 8\nmicro_batch 2\ncontext 16\nlr 3e-3\nsteps 12\n\
         checkpoint every 4\n{lines}\n}}\n"
    )
}

fn plan() -> Plan {
    compiled(&spec("")).plan
}

/// Plants what fails at the sixth step.
type Fault = fn(&mut Plan, When);

const FAULTS: [(&str, Fault); 3] = [
    ("activation", |plan, when| {
        let ids = plan.buffer("ids").unwrap();
        let hidden = temp(plan, "micro", ids, Dtype::F32);
        plant(plan, "micro", Place::Behind(ids), &hidden, Bad::Nan, when);
    }),
    ("gradient", |plan, when| {
        plant(plan, "micro", Place::Last, "grad.blocks.0.attn.qkv.weight", Bad::Nan, when);
    }),
    ("loss", |plan, when| plant(plan, "micro", Place::Last, "loss_sum", Bad::Nan, when)),
];

#[test]
fn other_bits_the_second_time_are_a_fault_and_leave_no_trace() {
    let bench = Bench::new("machine", &plan());
    let straight = bench.train(plan(), "straight");
    for (name, fault) in FAULTS {
        let mut faulty = plan();
        fault(&mut faulty, When::Once(5));
        let left = bench.train(faulty, name);
        let (code, error) = left.error();
        assert_eq!(code, 6, "{name}: {error}");
        for part in ["step 6, batch 6", "hardware fault suspected", "the update was not applied"] {
            assert!(error.contains(part), "{name}: no `{part}` in {error}");
        }
        assert_eq!(left.rows.last().map(|row| row.cause), Some(Some(Cause::Nonfinite)));
        let newest = load::newest(&bench.folder.at(name)).unwrap().unwrap();
        assert_eq!(newest.manifest.step, 4);
        let again = bench.train(plan(), name);
        assert!(again.warnings[0].contains("this run ended before, after step 5 and batch 6"));
        assert_eq!((&again.rows[..], again.hash()), (&straight.rows[4..], straight.hash()));
    }
}

#[test]
fn the_same_bits_again_are_the_numbers_and_get_a_diagnosis() {
    let bench = Bench::new("numbers", &plan());
    let wanted = [
        ("activation", "not finite: loss, gradient norm, gradient of tok_emb.weight"),
        ("gradient", "not finite: gradient norm, gradient of blocks.0.attn.qkv.weight (1 of 192)"),
        ("loss", "not finite: loss\n"),
    ];
    for ((name, fault), (_, named)) in FAULTS.into_iter().zip(wanted) {
        let mut faulty = plan();
        fault(&mut faulty, When::Batch(5));
        let left = bench.train(faulty, name);
        let (code, error) = left.error();
        assert_eq!(code, 5, "{name}: {error}");
        for part in [
            "step 6, batch 6",
            "the same step gave the same bits again",
            named,
            "largest finite magnitude",
            "try: a lower `lr`",
        ] {
            assert!(error.contains(part), "{name}: no `{part}` in {error}");
        }
        assert_eq!(left.rows.len(), 6);
        let newest = load::newest(&bench.folder.at(name)).unwrap().unwrap();
        assert_eq!(newest.manifest.step, 4);
    }
}

/// Finite gradients have a finite norm, however often it comes out otherwise.
#[test]
fn a_norm_that_is_not_that_of_its_gradients_is_a_fault() {
    let mut faulty = plan();
    let norm = faulty.buffer("grad_norm").unwrap();
    let square = temp(&faulty, "update", norm, Dtype::F64);
    plant(&mut faulty, "update", Place::Before(norm), &square, Bad::Nan, When::Batch(5));
    let (code, error) = Bench::new("norm", &faulty).train(faulty, "run").error();
    assert_eq!(code, 6, "{error}");
    assert!(error.contains("norm of finite gradients"), "{error}");
}

/// Skips of every cause on the way, and a stop after any batch.
#[test]
fn a_run_with_skips_stopped_after_any_batch_ends_in_the_same_bits() {
    let skipping = || {
        let mut plan = compiled(&spec("loss_scale dynamic growth 3\neval every 4")).plan;
        let grad = "grad.blocks.0.attn.qkv.weight";
        plant(&mut plan, "micro", Place::Last, grad, Bad::Nan, When::Batch(0));
        plant(&mut plan, "micro", Place::Last, grad, Bad::Nan, When::MicroBatch(6, 3));
        plant(&mut plan, "micro", Place::First, "targets", Bad::NoTarget, When::Batch(3));
        plant(&mut plan, "micro", Place::Last, "loss_sum", Bad::Nan, When::Batch(9));
        plan
    };
    let bench = Bench::new("stopped", &skipping());
    let straight = bench.train(skipping(), "straight");
    assert_eq!(straight.rows.len(), 16);
    let scales: Vec<f64> = straight.rows.iter().filter_map(|row| row.loss_scale).collect();
    let [low, mid, high] = [32768.0, 65536.0, 131_072.0];
    // Three applied updates double it; what is skipped for want of targets does not count.
    let wanted = [mid, low, low, low, low, mid, mid, low, low, low, low, mid, mid, mid, high, high];
    assert_eq!(scales, wanted);
    for k in 1..16 {
        let run = format!("stop-{k}");
        let first = bench.train_until(skipping(), &run, k);
        assert_eq!(first.rows, straight.rows[..first.rows.len()]);
        let rest = bench.train(skipping(), &run);
        let from = usize::try_from(rest.rows[0].batch).unwrap() - 1;
        assert!(from <= first.rows.len(), "{k}: {from}");
        assert_eq!((&rest.rows[..], rest.hash()), (&straight.rows[from..], straight.hash()), "{k}");
        let text = std::fs::read_to_string(bench.folder.at(&run).join("metrics.jsonl")).unwrap();
        assert_eq!(text.lines().count(), 16, "{k}");
    }
}
