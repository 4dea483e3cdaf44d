//! Training on the emulated GPU beside the CPU, and the commands for GPUs.

use std::fs;

use crate::folder::{Folder, gpt};

/// A folder with a spec in a precision.
fn with(name: &str, precision: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("a.lt", spec(precision));
    folder
}

fn spec(precision: &str) -> String {
    let lines = format!("steps 20\nprecision {precision}\neval every 10 batches 1");
    gpt(&lines).replace("context 16", "context 8")
}

fn train(folder: &Folder, device: &str, more: &[&str]) {
    let words = [&["train", "a.lt", "--device", device], more].concat();
    folder.llmc(&words).exits(0);
}

/// The losses of a run's steps.
fn losses(folder: &Folder, run: &str) -> Vec<f64> {
    let loss = |row: &String| {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        row["loss"].as_f64().unwrap()
    };
    folder.rows(run).iter().map(loss).collect()
}

#[test]
fn twenty_steps_in_fp32_have_the_bits_of_the_cpu() {
    let folder = with("emulated-fp32", "fp32");
    train(&folder, "cpu", &["--out", "cpu"]);
    train(&folder, "emulated", &["--out", "emulated"]);
    assert_eq!(folder.rows("cpu"), folder.rows("emulated"));
    assert_eq!(folder.state("cpu/step-20"), folder.state("emulated/step-20"));
    let manifest = fs::read_to_string(folder.at("emulated/step-20/manifest.json")).unwrap();
    assert!(manifest.contains("ptx exact sm_80"), "{manifest}");
}

#[test]
fn a_run_of_the_cpu_goes_on_on_the_emulator() {
    let folder = with("emulated-goes-on", "fp32");
    train(&folder, "cpu", &["--out", "whole"]);
    train(&folder, "cpu", &["--out", "both", "--set", "train.steps=10"]);
    train(&folder, "emulated", &["--out", "both", "--resume"]);
    let rows = |run| folder.rows(run).split_off(10);
    // The schedule of the first ten steps was another one.
    assert_eq!(rows("whole").len(), rows("both").len());
    let text = |device| {
        let words = ["generate", "whole", "First", "--length", "20", "--device", device];
        folder.llmc(&words).exits(0).out
    };
    assert_eq!(text("cpu"), text("emulated"));
}

/// On tensor cores the sums have another order.
#[test]
fn twenty_steps_in_16_bits_are_near_those_of_the_cpu() {
    for (precision, most) in [("bf16", 2e-2), ("fp16", 5e-3)] {
        let folder = with(&format!("emulated-{precision}"), precision);
        // Tensor cores do attention over heads of 16.
        folder.write("a.lt", spec(precision).replace("heads: 2", "heads: 1"));
        let code = folder.llmc(&["build", "a.lt", "--emit", "ptx"]).exits(0).out;
        for name in ["attention_8_8_16_tensor", "attention_backward_8_8_16_tensor"] {
            assert!(code.contains(name), "{name} in {code}");
        }
        train(&folder, "cpu", &["--out", "cpu"]);
        train(&folder, "emulated", &["--out", "emulated"]);
        let (wanted, got) = (losses(&folder, "cpu"), losses(&folder, "emulated"));
        assert_eq!((wanted.len(), got.len()), (20, 20));
        for (step, (x, y)) in wanted.iter().zip(&got).enumerate() {
            assert!((x - y).abs() <= most * x, "{precision}, step {step}: {y} instead of {x}");
        }
    }
}

#[test]
fn sums_in_16_bits_are_exact_on_request() {
    let folder = with("emulated-exact", "bf16\nnumerics exact");
    train(&folder, "cpu", &["--out", "cpu"]);
    train(&folder, "emulated", &["--out", "emulated"]);
    assert_eq!(folder.rows("cpu"), folder.rows("emulated"));
    // The other way is another run.
    let folder = with("emulated-fast", "bf16");
    train(&folder, "cpu", &["--out", "run"]);
    let words = ["train", "a.lt", "--device", "emulated", "--out", "run"];
    folder.llmc(&words).exits(2).says("numerics exact -> fast");
    let fast = with("cpu-fast", "bf16\nnumerics fast");
    fast.llmc(&["check", "a.lt"]).exits(2).says("E0606");
}

#[test]
fn verify_compares_all_work_with_the_interpreter() {
    let folder = with("verify", "bf16");
    let ended = folder.llmc(&["verify", "a.lt"]).exits(0);
    for work in ["attention backward", "product", "segments", "columns", "sort of 32"] {
        assert!(ended.out.contains(work), "{work} in {}", ended.out);
    }
    // Products on tensor cores have other bits.
    assert!(ended.out.contains("are as near as they have to be\n"), "{}", ended.out);
    let exact = with("verify-exact", "bf16\nnumerics exact");
    let ended = exact.llmc(&["verify", "a.lt"]).exits(0);
    assert!(ended.out.ends_with("results have the interpreter's bits\n"), "{}", ended.out);
}

#[test]
fn code_for_gpus_is_printed_for_its_target() {
    let folder = with("emit-ptx", "fp32");
    let ended = folder.llmc(&["build", "a.lt", "--emit", "ptx", "--target", "sm_120"]).exits(0);
    assert!(ended.out.contains(".version 8.7\n.target sm_120\n"), "{}", ended.out);
    let usual = folder.llmc(&["build", "a.lt", "--emit", "ptx"]).exits(0);
    assert!(usual.out.contains(".target sm_90\n"));
    folder.llmc(&["build", "a.lt", "--emit", "ptx", "--target", "cpu"]).exits(2);
    folder.llmc(&["build", "a.lt", "--emit", "clif", "--target", "sm_80"]).exits(2);
}

#[test]
fn a_plan_has_a_column_for_each_target() {
    let folder = with("rooflines", "bf16");
    let ended = folder.llmc(&["plan", "a.lt", "--target", "sm_80,sm_90"]).exits(0);
    for text in ["sm_80 A100", "sm_90 H200", "micro_batch", "roofline of a step", "product 32 x"] {
        assert!(ended.out.contains(text), "{text} in {}", ended.out);
    }
}

#[test]
fn the_script_for_machines_with_a_gpu_runs_dry() {
    let folder = Folder::new("gpu-script");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gpu.sh");
    let program = env!("CARGO_BIN_EXE_llmc");
    let run = |device: &str| {
        folder.shell(&format!("{script} --llmc {program} --device {device} --steps 4"))
    };
    let ended = run("emulated").exits(0);
    assert_eq!(ended.out.matches("| ok |").count(), 6, "{}\n{}", ended.out, ended.err);
    assert!(ended.out.contains("| ms a call, product_16_64_16: "), "{}", ended.out);
    // What is not there fails every check that needs it.
    let ended = run("absent").exits(1);
    assert_eq!(ended.out.matches("| FAILED |").count(), 5, "{}", ended.out);
}
