//! `--device cuda` on a driver for tests, whose device is the emulator.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Stdio;

use exec::kept::{CUBIN, Kept};

use crate::folder::{Ended, Folder, end, gpt};

/// A folder with a spec and a driver.
fn with(name: &str, lines: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("a.lt", gpt(lines).replace("context 16", "context 8"));
    fs::create_dir(folder.at("driver")).unwrap();
    // Cargo puts the library beside this test, which depends on it.
    let program = std::env::current_exe().unwrap();
    let library = program.parent().unwrap().join("libfake_driver.so");
    assert!(library.exists(), "{} is built with the tests", library.display());
    symlink(library, folder.at("driver/libcuda.so")).unwrap();
    folder
}

/// Runs `llmc` on a driver that is told these words.
fn llmc(folder: &Folder, told: &str, words: &[&str]) -> Ended {
    let mut command = folder.command(words);
    command
        .env("LD_LIBRARY_PATH", folder.at("driver"))
        .env("FAKE_DRIVER", told)
        .env("FAKE_DRIVER_CALLS", folder.at("calls"))
        .env("LLMC_CACHE", folder.at("cache"));
    end(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

fn train(folder: &Folder, told: &str, out: &str) -> Ended {
    let _ = fs::remove_file(folder.at("calls"));
    llmc(folder, told, &["train", "a.lt", "--device", "cuda", "--out", out])
}

/// How often the driver was called so.
fn calls(folder: &Folder, name: &str) -> usize {
    let calls = fs::read_to_string(folder.at("calls")).unwrap();
    calls.lines().filter(|call| *call == name).count()
}

const EIGHT_STEPS: &str = "steps 8\nprecision fp32\neval every 4 batches 1";

#[test]
fn training_has_the_bits_of_the_cpu() {
    let folder = with("cuda-train", EIGHT_STEPS);
    train(&folder, "", "cuda").exits(0);
    folder.llmc(&["train", "a.lt", "--out", "cpu"]).exits(0);
    assert_eq!(folder.rows("cpu"), folder.rows("cuda"));
    assert_eq!(folder.state("cpu/step-8"), folder.state("cuda/step-8"));
    let [launches, captures] =
        ["cuLaunchKernel", "cuStreamBeginCapture_v2"].map(|name| calls(&folder, name));
    assert!(launches > 0, "the driver was used");
    // `micro`, `update` and what generates text ran more than once.
    assert!((2..8).contains(&captures), "{captures} captures");
    let graphs = calls(&folder, "cuGraphLaunch");
    assert!(graphs >= 2 * 7, "{graphs} graphs launched");
}

#[test]
fn the_spec_names_its_device_and_the_command_line_has_the_last_word() {
    let folder = with("cuda-directive", "steps 2\nprecision fp32\ndevice cuda");
    llmc(&folder, "", &["train", "a.lt", "--out", "spec"]).exits(0);
    assert!(calls(&folder, "cuInit") > 0, "the driver was used");
    fs::remove_file(folder.at("calls")).unwrap();
    llmc(&folder, "", &["train", "a.lt", "--device", "cpu", "--out", "named"]).exits(0);
    assert!(!folder.at("calls").exists(), "the driver was not used");
    assert_eq!(folder.state("spec/step-2"), folder.state("named/step-2"));
    // Where a run is made has no part in what it is.
    let elsewhere = ["train", "a.lt", "--set", "train.device=emulated", "--out", "spec"];
    llmc(&folder, "", &elsewhere).exits(0).prints("finished at step 2; nothing to do");
    let ended = llmc(&folder, "devices=0", &["train", "a.lt", "--out", "none"]).exits(4);
    ended.says("a.lt:9:1: `device cuda`: the driver (CUDA 12.4) has no device");
    ended.says("`--device cpu` runs without one");
    llmc(&folder, "devices=0", &["check", "a.lt"]).exits(0);
}

#[test]
fn a_plan_that_does_not_fit_is_4_with_what_would_make_it_smaller() {
    let folder = with("cuda-memory", "steps 1\nprecision fp32\nmicro_batch 4");
    let ended = train(&folder, "memory=8000000000 free=200000", "run").exits(4);
    ended.says("200000 bytes are free on the device");
    for way in ["micro_batch", "recompute all", "memory"] {
        ended.says(way);
    }
    assert_eq!(calls(&folder, "cuLinkCreate_v2"), 0, "nothing was compiled for it");
}

#[test]
fn bench_times_by_events_and_measures_the_device() {
    let folder = with("cuda-bench", "steps 1\nprecision bf16");
    let words = ["bench", "a.lt", "--device", "cuda", "--steps", "1", "--warm-up", "0"];
    let ended = llmc(&folder, "", &words).exits(0);
    ended.prints("GFLOP/s of a product in bf16");
    ended.prints("(of the device)");
    assert!(calls(&folder, "cuEventElapsedTime") > 10, "every launch is timed");
    let emulated = llmc(&folder, "", &[&words[..3], &["emulated"], &words[4..]].concat()).exits(0);
    assert!(!emulated.out.contains("ceilings"), "{}", emulated.out);
}

#[test]
fn a_driver_that_makes_no_graphs_gets_launches_and_a_warning() {
    let folder = with("cuda-graphs", EIGHT_STEPS);
    folder.llmc(&["train", "a.lt", "--out", "cpu"]).exits(0);
    for call in ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"] {
        let ended = train(&folder, &format!("{call}=801"), call).exits(0);
        assert_eq!(ended.err.matches("makes no graph of launches").count(), 1, "{}", ended.err);
        ended.says(&format!("error 801 ({call})"));
        assert_eq!(calls(&folder, "cuGraphLaunch"), 0);
        assert_eq!(folder.state(&format!("{call}/step-8")), folder.state("cpu/step-8"));
    }
}

#[test]
fn what_the_driver_compiled_is_kept_and_made_anew_if_it_is_no_good() {
    let folder = with("cuda-kept", "steps 1\nprecision fp32");
    let compiles = |told: &str, out: &str| {
        train(&folder, told, out).exits(0);
        calls(&folder, "cuLinkComplete")
    };
    assert_eq!(compiles("", "first"), 1);
    assert_eq!(compiles("", "second"), 0);
    let files = || fs::read_dir(folder.at("cache")).unwrap().map(|file| file.unwrap().path());
    let is_cubin = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "cubin");
    let path = files().find(is_cubin).expect("it is kept");
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    *damaged.last_mut().unwrap() ^= 1;
    fs::write(&path, damaged).unwrap();
    assert_eq!(compiles("", "damaged"), 1);
    assert_eq!(fs::read(&path).unwrap(), whole, "and kept again");
    // Whole, but nothing that this driver takes.
    let kept = Kept { folder: folder.at("cache"), most_bytes: 1 << 30, build: String::new() };
    let key = path.file_stem().unwrap().to_str().unwrap();
    kept.write(CUBIN, key, b"\x7fELF of another driver\0");
    assert_eq!(compiles("", "foreign"), 1);
    assert_eq!(fs::read(&path).unwrap(), whole);
    // Another driver and another device have their own.
    assert_eq!(compiles("version=12080", "newer"), 1);
    assert_eq!(compiles("capability=91", "other"), 1);
    assert_eq!(files().filter(|path| is_cubin(path)).count(), 3);
    for other in ["second", "damaged", "foreign", "newer", "other"] {
        let at = |run| folder.state(&format!("{run}/step-1"));
        assert_eq!(at("first"), at(other), "{other}");
    }
}

#[test]
fn a_step_that_overflows_does_not_bring_the_state_to_the_host() {
    let lines = "steps 1\nprecision fp16\nloss_scale dynamic from 67108864";
    let folder = with("cuda-overflow", lines);
    train(&folder, "", "run").exits(0);
    let rows = folder.rows("run");
    assert!(rows.len() >= 5, "some steps are skipped: {rows:?}");
    assert!(rows[0].contains("gradient of "), "{}", rows[0]);
    let size = |file: fs::DirEntry| file.metadata().unwrap().len();
    let saved: u64 = fs::read_dir(folder.at("run/step-1")).unwrap().map(|f| size(f.unwrap())).sum();
    let calls = fs::read_to_string(folder.at("calls")).unwrap();
    let out = calls.lines().filter_map(|call| call.strip_prefix("out ")?.parse::<u64>().ok());
    let large = out.filter(|bytes| *bytes > saved / 4).count();
    assert!(large <= 2, "{large} times much of the {saved} bytes that are saved");
}

#[test]
fn a_fault_of_the_device_is_6_and_says_which_call() {
    let folder = with("cuda-fault", EIGHT_STEPS);
    let ended = train(&folder, "fault_at=300", "run").exits(6);
    ended.says("CUDA_ERROR_ILLEGAL_ADDRESS");
    ended.says("`llmc verify SPEC`");
    ended.says("run again to go on from the newest checkpoint");
    // The checkpoint after the first step is there, and what follows it has the bits of the CPU.
    train(&folder, "", "run").exits(0).prints("going on from step");
    folder.llmc(&["train", "a.lt", "--out", "cpu"]).exits(0);
    assert_eq!(folder.state("cpu/step-8"), folder.state("run/step-8"));
}

#[test]
fn an_error_that_no_list_has_is_said_by_its_number() {
    let folder = with("cuda-unknown", EIGHT_STEPS);
    let ended = train(&folder, "cuMemcpyHtoDAsync_v2=12345", "run").exits(6);
    ended.says("error 12345 (cuMemcpyHtoDAsync_v2)");
}

#[test]
fn code_that_the_driver_rejects_shows_what_its_compiler_says() {
    let folder = with("cuda-rejects", EIGHT_STEPS);
    let ended = train(&folder, "rejects=1", "run").exits(4);
    for text in ["cuLinkAddData_v2: CUDA_ERROR_INVALID_PTX", "line 9; error", "a newer driver"] {
        ended.says(text);
    }
}

#[test]
fn a_driver_or_device_that_does_not_fit_is_4() {
    let folder = with("cuda-unfit", EIGHT_STEPS);
    train(&folder, "version=11080", "run").exits(4).says("CUDA 12.0 is needed");
    train(&folder, "devices=0", "run").exits(4).says("has no device");
    train(&folder, "cuInit=100", "run").exits(4).says("has no device");
    train(&folder, "cuInit=304", "run").exits(4).says("/dev/nvidia");
    train(&folder, "capability=75", "run").exits(4).says("compute capability 7.5");
    train(&folder, "cuMemAlloc_v2=2", "run").exits(4).says("not enough resources");
    assert!(!folder.at("run/metrics.jsonl").exists());
}
