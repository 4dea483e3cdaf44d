//! Exit codes: what is wrong, with whom, and that nothing hangs.

use std::fs;

use crate::folder::{Folder, gpt};

fn with(name: &str, spec: &str) -> Folder {
    let folder = Folder::new(name);
    folder.write("a.lt", spec);
    folder
}

#[test]
fn a_wrong_spec_is_2_in_every_command() {
    let folder = with("wrong", &gpt("steps 10\nacumulate 2"));
    for command in ["check", "train", "build", "plan"] {
        let ended = folder.llmc(&[command, "a.lt"]).exits(2);
        ended.says("E0203");
        ended.says("a.lt:8:1");
        assert_eq!(ended.out, "", "{command}");
    }
    assert!(!folder.at("runs").exists());
}

#[test]
fn a_spec_without_a_job_is_2() {
    let folder = with("jobless", "model gpt(layers: 1, width: 16, heads: 2)\n");
    folder.llmc(&["train", "a.lt"]).exits(2).says("train");
    folder.write("a.lt", "");
    folder.llmc(&["train", "a.lt"]).exits(2);
}

#[test]
fn what_is_no_spec_file_is_2_and_never_hangs() {
    let folder = with("no-file", &gpt("steps 10"));
    folder.llmc(&["check", "b.lt"]).exits(2).says("b.lt");
    fs::create_dir(folder.at("folder.lt")).unwrap();
    folder.llmc(&["check", "folder.lt"]).exits(2).says("not a regular file");
    folder.llmc(&["check", "/dev/zero"]).exits(2).says("not a regular file");
    folder.shell("mkfifo pipe.lt").exits(0);
    folder.llmc(&["check", "pipe.lt"]).exits(2).says("not a regular file");
    folder.write("bytes.lt", b"model gpt()\nlr \xff\n");
    folder.llmc(&["check", "bytes.lt"]).exits(2).says("bytes.lt:2: byte 15 is not UTF-8");
    folder.write("large.lt", vec![b'#'; 1 << 21]);
    folder.llmc(&["check", "large.lt"]).exits(2).says("a spec may have");
}

#[test]
fn data_that_is_not_there_is_2() {
    let folder = with("no-data", &gpt("steps 10").replace("text.txt", "tex.txt"));
    let ended = folder.llmc(&["train", "a.lt"]).exits(2);
    ended.says("E0702");
    ended.says("tex.txt");
}

#[test]
fn bad_data_is_3_and_never_hangs() {
    let folder = with("bad-data", &gpt("steps 10").replace("bytes", "chars"));
    folder.write("text.txt", [b"Fair is foul\n".repeat(80), b"\xc3\x28".to_vec()].concat());
    let ended = folder.llmc(&["train", "a.lt"]).exits(3);
    ended.says("text.txt");
    ended.says("1040");
    folder.write("text.txt", "");
    folder.llmc(&["train", "a.lt"]).exits(3).says("text.txt");
    fs::remove_file(folder.at("text.txt")).unwrap();
    folder.shell("mkfifo text.txt").exits(0);
    folder.llmc(&["train", "a.lt"]).exits(3).says("not a regular file");
    fs::remove_file(folder.at("text.txt")).unwrap();
    fs::create_dir(folder.at("text.txt")).unwrap();
    folder.llmc(&["train", "a.lt"]).exits(3).says("not a regular file");
    assert!(!folder.at("runs").exists());
}

/// Changes one byte in the middle of a file.
fn damage(folder: &Folder, place: &str) {
    let mut bytes = fs::read(folder.at(place)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    folder.write(place, bytes);
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_3_without_another() {
    let spec = gpt("steps 20\ncheckpoint every 10");
    let folder = with("damaged", &spec);
    folder.llmc(&["train", "a.lt"]).exits(0);
    let (hash, rows) = (folder.hash("runs/a/step-20"), folder.rows("runs/a"));
    let unfinish = || fs::remove_file(folder.at("runs/a/outcome.json")).unwrap();

    for file in ["model.safetensors", "optimizer.safetensors", "manifest.json"] {
        damage(&folder, &format!("runs/a/step-20/{file}"));
        unfinish();
        let ended = folder.llmc(&["train", "a.lt"]).exits(0);
        ended.says("warning");
        ended.says("step-20");
        ended.prints("going on from step 10");
        assert_eq!(folder.hash("runs/a/step-20"), hash, "{file}");
        assert_eq!(folder.rows("runs/a"), rows, "{file}");
    }

    for step in [1, 10, 20] {
        damage(&folder, &format!("runs/a/step-{step}/model.safetensors"));
    }
    unfinish();
    folder.llmc(&["train", "a.lt"]).exits(3).says("no checkpoint is valid");
    folder.llmc(&["generate", "runs/a"]).exits(3).says("no checkpoint is valid");
    assert_eq!(folder.rows("runs/a"), rows);
}

#[test]
fn a_folder_of_something_else_is_2_and_left_alone() {
    let folder = with("other", &gpt("steps 10"));
    fs::create_dir(folder.at("thesis")).unwrap();
    folder.write("thesis/chapter.txt", "one");
    folder.llmc(&["train", "a.lt", "--out", "thesis"]).exits(2).says("not empty");
    assert_eq!(fs::read_dir(folder.at("thesis")).unwrap().count(), 1);
}

#[test]
fn a_run_that_diverges_is_5_and_keeps_its_checkpoints() {
    let text = gpt("steps 40\ncheckpoint every 1\nclip none\noptimizer sgd(momentum: 0)\nwarmup 0");
    let folder = with("diverges", &text.replace("lr 3e-3", "lr 1e30"));
    folder.llmc(&["train", "a.lt"]).exits(5).says("the update was not applied");
    let newest = exec::checkpoint::load::newest(&folder.at("runs/a")).unwrap().unwrap();
    assert!(newest.manifest.step >= 1);
}

#[test]
fn a_full_disk_behind_the_output_is_4() {
    let folder = with("full", &gpt("steps 2"));
    for command in ["plan", "check", "build --emit kernels", "train"] {
        let (word, options) = command.split_once(' ').unwrap_or((command, ""));
        let ended = folder.shell(&format!("llmc {word} a.lt {options} > /dev/full")).exits(4);
        ended.says("cannot write to the standard output");
    }
    folder.shell("llmc generate runs/a First > /dev/full").exits(4);
    folder.shell("llmc plan a.lt | true").exits(0);
    // The run itself took no harm.
    folder.llmc(&["train", "a.lt"]).exits(0);
}
