//! `llmc generate` and `llmc chat`: text from a run.

use std::io::{Read, Write};
use std::process::Stdio;

use crate::folder::{Ended, Folder, end, gpt, signal};

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
fn what_is_out_of_range_is_refused_by_name() {
    let folder = Folder::new("ranges");
    let cases = [
        ("--temperature=nan", "--temperature must be 0 or more, found NaN"),
        ("--temperature=-0.5", "--temperature must be 0 or more, found -0.5"),
        ("--temperature=inf", "--temperature must be 0 or more, found inf"),
        ("--top-k=0", "--top-k must be 1 or more, found 0"),
        ("--top-p=1.5", "--top-p must be within 0..1, found 1.5"),
        ("--top-p=nan", "--top-p must be within 0..1, found NaN"),
        ("--repetition-penalty=0", "--repetition-penalty must be within 0.01..100, found 0"),
        ("--stop=", "--stop must be a text, found none"),
    ];
    for (word, message) in cases {
        generate(&folder, &["A", word]).exits(2).says(message);
        folder.llmc(&["chat", "runs/a", word]).exits(2).says(message);
    }
}

#[test]
fn top_k_1_and_top_p_0_are_the_likeliest_token() {
    let folder = trained("generate-top", "chars");
    let text = |words: &[&str]| {
        let words = [&["ROMEO", "--length", "40"], words].concat();
        generate(&folder, &words).exits(0).out
    };
    let greedy = text(&["--temperature", "0"]);
    assert_eq!(text(&["--top-k", "1", "--seed", "5"]), greedy);
    assert_eq!(text(&["--top-p", "0", "--seed", "6"]), greedy);
    assert_ne!(text(&["--seed", "5"]), greedy);
    assert_ne!(text(&["--temperature", "0", "--repetition-penalty", "3"]), greedy);
}

#[test]
fn samples_are_those_of_the_seeds_that_follow() {
    let folder = trained("generate-samples", "chars");
    let text = |words: &[&str]| {
        // Longer than the context, so that the window moves.
        let words = [&["ROMEO", "--length", "60"], words].concat();
        generate(&folder, &words).exits(0).out
    };
    let three = text(&["-n", "3", "--seed", "4"]);
    let singles = [4, 5, 6].map(|seed| text(&["--seed", &seed.to_string()]));
    let joined = singles.iter().zip(1..).map(|(one, n)| format!("--- sample {n} ---\n{one}"));
    assert_eq!(three, joined.collect::<String>());
    assert!(singles[0] != singles[1] && singles[1] != singles[2]);
    let json = text(&["--samples", "3", "--seed", "4", "--json"]);
    let lines: Vec<serde_json::Value> =
        json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    for (line, (single, seed)) in lines.iter().zip(singles.iter().zip(4..)) {
        let told =
            format!("{}{}\n", line["prompt"].as_str().unwrap(), line["text"].as_str().unwrap());
        assert_eq!(&told, single);
        assert_eq!(line["seed"], seed);
        assert_eq!((&line["tokens"], &line["end"]), (&60.into(), &"length".into()));
    }
}

#[test]
fn a_stop_string_ends_the_text_before_it() {
    let folder = trained("generate-stop", "bytes");
    let words = ["ROMEO", "--length", "60", "--seed", "3"];
    let whole = generate(&folder, &words).exits(0).out;
    let text = whole.strip_prefix("ROMEO").unwrap();
    // Two bytes, so two tokens, not at the start.
    let is_plain = |at: &usize| text.as_bytes()[*at..at + 2].is_ascii();
    let at = (5..text.len() - 2).find(is_plain).unwrap();
    let stop = &text[at..at + 2];
    let before = &text[..text.find(stop).unwrap()];
    let cut = generate(&folder, &[&words[..], &["--stop", "~~~", "--stop", stop]].concat());
    assert_eq!(cut.exits(0).out, format!("ROMEO{before}\n"));
}

/// What `llmc chat` prints for lines on a pipe.
fn chat(folder: &Folder, lines: &str, words: &str) -> Ended {
    folder.shell(&format!("printf '{lines}' | llmc chat runs/a --length 12 {words}"))
}

#[test]
fn a_chat_goes_on_with_the_text_of_both_sides() {
    let folder = trained("chat", "chars");
    let one = chat(&folder, "First\\n", "--temperature 0").exits(0).out;
    let reply =
        generate(&folder, &["First\n", "--length", "12", "--temperature", "0"]).exits(0).out;
    let reply = reply.strip_prefix("First\n").unwrap();
    assert_eq!(one.trim_end(), reply.trim_end());
    // The second reply follows all of it.
    let two = chat(&folder, "First\\nCitizen", "--temperature 0").exits(0).out;
    let line = if reply.ends_with("\n\n") { &reply[..reply.len() - 1] } else { reply };
    let prompt = format!("First\n{line}Citizen\n");
    let words = [prompt.as_str(), "--length", "12", "--temperature", "0"];
    let second = generate(&folder, &words).exits(0).out;
    assert_eq!(two.trim_end(), format!("{line}{}", &second[prompt.len()..]).trim_end());
}

#[test]
fn a_chat_ends_at_its_word_and_goes_on_after_a_line_it_cannot_read() {
    let folder = trained("chat-ends", "chars");
    assert_eq!(chat(&folder, "exit\\nFirst\\n", "").exits(0).out, "");
    assert_eq!(chat(&folder, "bye\\nFirst\\n", "--exit bye").exits(0).out, "");
    assert_eq!(chat(&folder, " exit \\nFirst\\n", "").exits(0).out, "");
    let ended = chat(&folder, "RO€\\n\\303\\050\\nFirst\\n", "").exits(0);
    ended.says("your line: byte 2: the character '€'");
    ended.says("your line is not UTF-8");
    let count = ended.out.trim_end_matches('\n').chars().count();
    assert!((1..=12).contains(&count), "{}", ended.out);
}

#[test]
fn an_interrupt_ends_the_reply_and_not_the_chat() {
    let folder = trained("chat-interrupt", "chars");
    let mut command = folder.command(&["chat", "runs/a", "--length", "100000000"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = child.stdin.take().unwrap();
    lines.write_all(b"First\n").unwrap();
    // A reply is under way.
    child.stdout.as_mut().unwrap().read_exact(&mut [0; 8]).unwrap();
    signal(child.id(), "INT");
    lines.write_all(b"exit\n").unwrap();
    end(child).exits(0);
}
