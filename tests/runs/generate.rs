//! `llmc generate`: text from a run.

use crate::folder::{Ended, Folder, gpt};

fn trained(name: &str, tokenizer: &str) -> Folder {
    let folder = Folder::new(name);
    let spec = gpt("steps 30").replace("tokenizer: bytes", &format!("tokenizer: {tokenizer}"));
    folder.write("a.lt", spec);
    folder.llmc(&["train", "a.lt"]).exits(0);
    folder
}

fn generate(folder: &Folder, words: &[&str]) -> Ended {
    folder.llmc(&[&["generate", "runs/a"], words].concat())
}

#[test]
fn text_follows_the_prompt_and_the_seed() {
    let folder = trained("generate", "chars");
    let text = |words: &[&str]| generate(&folder, words).exits(0).out;
    let first = text(&["ROMEO", "--length", "60"]);
    assert!(first.starts_with("ROMEO"), "{first}");
    assert_eq!(first.chars().count(), "ROMEO".len() + 60 + 1, "{first}");
    assert_eq!(first, text(&["ROMEO", "--length", "60", "--threads", "3"]));
    assert_ne!(first, text(&["ROMEO", "--length", "60", "--seed", "1"]));
    let cold = ["First", "--length", "40", "--temperature", "0"];
    assert_eq!(text(&cold), text(&[&cold[..], &["--seed", "9"]].concat()));
    assert_eq!(text(&["", "--length", "30"]).chars().count(), 31);
    assert_eq!(text(&["First Citizen:", "--length", "0"]), "First Citizen:\n");
    let longer_than_the_context = "Before we proceed any further, hear me speak.";
    assert!(text(&[longer_than_the_context, "--length", "5"]).starts_with(longer_than_the_context));
}

#[test]
fn bytes_take_any_prompt() {
    let folder = trained("generate-bytes", "bytes");
    let made = generate(&folder, &["żółw €", "--length", "3"]).exits(0);
    assert!(made.out.starts_with("żółw €"), "{}", made.out);
}

#[test]
fn a_character_that_the_text_lacks_is_an_error_with_its_place() {
    let folder = trained("generate-chars", "chars");
    let ended = generate(&folder, &["RO€ME"]).exits(3);
    ended.says("the prompt: byte 2: the character '€'");
    assert_eq!(ended.out, "");
}

#[test]
fn a_run_without_a_checkpoint_says_so() {
    let folder = trained("generate-none", "bytes");
    for step in exec::checkpoint::load::steps(&folder.at("runs/a")) {
        std::fs::remove_dir_all(folder.at(&format!("runs/a/step-{step}"))).unwrap();
    }
    generate(&folder, &["A"]).exits(2).says("no checkpoint yet");
    let nowhere = folder.llmc(&["generate", "nowhere"]);
    nowhere.exits(3).says("nowhere");
}

#[test]
fn a_temperature_is_a_number_from_0() {
    let folder = Folder::new("temperature");
    for value in ["nan", "-0.5", "inf"] {
        let word = format!("--temperature={value}");
        generate(&folder, &["A", &word]).exits(2).says("--temperature must be 0 or more");
    }
}
