//! `--device cuda` on a driver whose device is the emulator: the calls of the real one.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;

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
    assert_eq!(folder.hash("cpu/step-8"), folder.hash("cuda/step-8"));
    assert!(calls(&folder, "cuLaunchKernel") > 0, "the driver was used");
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
    assert_eq!(folder.hash("cpu/step-8"), folder.hash("run/step-8"));
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
