//! Damaged and endless files: a located error, in little time and memory.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use data::{Error, Facts, Vocabulary, scan};
use plan::{Column, Columns, Data, Fields, Format, LossOn, Tokenizer};

/// A folder for one test, removed with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("llmc-{}-hostile-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder can be made");
        Folder(path)
    }

    fn scan(&self, name: &str, bytes: &[u8], data: &Data) -> Result<Facts, Error> {
        std::fs::write(self.0.join(name), bytes).expect("a file can be written");
        scan(data, &self.0, None).map(|(facts, _)| facts)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn of(path: &str, format: Format, tokenizer: Tokenizer) -> Data {
    let mut data = Data::text(vec![path.to_owned()], tokenizer);
    data.sources[0].format = format;
    data
}

#[test]
fn a_million_equal_characters_take_no_more_than_other_text() {
    let folder = Folder::new("equal");
    for (unit, n) in [("a", 1_000_000), ("字", 300_000), (" ", 1_000_000)] {
        let bytes = unit.repeat(n);
        for tokenizer in
            [Tokenizer::Gpt2, Tokenizer::Bpe(300), Tokenizer::WordPiece(50), Tokenizer::Words(50)]
        {
            let facts = folder.scan(
                "a.txt",
                bytes.as_bytes(),
                &of("a.txt", Format::Text, tokenizer.clone()),
            );
            assert!(facts.is_ok(), "{tokenizer:?}");
        }
        let line = format!("{{\"t\": \"{bytes}\"}}");
        let fields = Fields::Text { text: "t".to_owned(), label: None };
        let data = of("a.jsonl", Format::Jsonl(fields), Tokenizer::Gpt2);
        assert_eq!(
            folder.scan("a.jsonl", line.as_bytes(), &data).expect("a document").documents[0].1,
            1
        );
    }
}

#[test]
fn pipes_devices_and_what_lies_outside_are_not_opened() {
    let folder = Folder::new("outside");
    std::os::unix::fs::symlink("/etc/hostname", folder.0.join("link.txt")).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(folder.0.join("pipe.txt")).status();
    assert!(pipe.unwrap().success());
    for (path, message) in [
        ("pipe.txt", "not a regular file"),
        (".", "not a regular file"),
        ("../../../../../etc/hostname", "outside the spec's folder"),
        ("link.txt", "outside the spec's folder"),
        ("/dev/zero", "not a regular file"),
    ] {
        for format in [Format::Text, Format::Jsonl(Fields::Messages("m".to_owned()))] {
            let error = scan(&of(path, format, Tokenizer::Bytes), &folder.0, None).unwrap_err();
            assert!(error.message.contains(message), "{error}");
        }
    }
}

/// A file of byte pairs with these parts.
fn tokenizer(vocab: &str, merges: &str, more: &str) -> String {
    format!(
        r#"{{"version": "1.0", "added_tokens": [], "normalizer": null, "pre_tokenizer": null,
        "post_processor": null, "decoder": null, "truncation": null, "padding": null,
        "model": {{"type": "BPE", "unk_token": null, "vocab": {vocab}, "merges": {merges}{more}}}}}"#
    )
}

#[test]
fn files_of_tokenizers_are_held_against_their_promises() {
    let folder = Folder::new("tokenizers");
    let vocab = r#"{"a": 0, "b": 1, "ab": 2}"#;
    let data = of("a.txt", Format::Text, Tokenizer::File("t.json".to_owned()));
    let scan = |json: &[u8]| {
        std::fs::write(folder.0.join("t.json"), json).expect("a file can be written");
        folder.scan("a.txt", b"abba", &data)
    };
    let good = scan(tokenizer(vocab, r#"["a b"]"#, "").as_bytes()).unwrap();
    assert_eq!((good.vocab, good.tokens[0].1), (3, 3));
    let wrong = [
        (tokenizer(vocab, r#"["a b", "a b"]"#, ""), "entry 1 of `merges` comes twice: `a b`"),
        (tokenizer(vocab, r#"[["", "a"]]"#, ""), "entry 0 of `merges` joins an empty token"),
        (tokenizer(vocab, r#"["b a"]"#, ""), "entry 0 of `merges`: `ba` is not in `vocab`"),
        (tokenizer(r#"{"a": 0, "b": 0}"#, "[]", ""), "both have the id 0"),
        (tokenizer(r#"{"a": 16777216}"#, "[]", ""), "ids end below 16777216"),
        (tokenizer(vocab, "[]", r#", "byte_fallback": true"#), "`vocab` has no `<0x00>`"),
        ("{\n \"model\": ".to_owned(), "not JSON: EOF while parsing a value at line 2"),
        ("{}".to_owned(), "there is no `model`"),
    ];
    for (json, message) in wrong {
        let error = scan(json.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(message) && error.contains("t.json"), "{error}");
    }
    assert!(scan(b"{\"\xff").unwrap_err().message.contains("byte 2: not UTF-8"));
}

#[test]
fn a_tokenizer_of_a_file_goes_with_the_run() {
    let folder = Folder::new("carried");
    let json = tokenizer(r#"{"a": 0, "b": 1, "ab": 2}"#, r#"["a b"]"#, "");
    std::fs::write(folder.0.join("t.json"), json).unwrap();
    std::fs::write(folder.0.join("a.txt"), "abba").unwrap();
    let data = of("a.txt", Format::Text, Tokenizer::File("t.json".to_owned()));
    let (_, corpus) = scan(&data, &folder.0, None).unwrap();
    let again = Vocabulary::from_json(&corpus.vocabulary().to_json()).unwrap();
    assert_eq!(&again, corpus.vocabulary());
    assert_eq!(again.encode("abba").unwrap(), [2, 1, 0]);
    assert_eq!(again.decode(&[2, 1, 0]), b"abba");
}

#[test]
fn tokenizers_that_are_too_long_or_too_wide_take_little_memory() {
    let folder = Folder::new("wide");
    let data = of("a.txt", Format::Text, Tokenizer::File("t.json".to_owned()));
    std::fs::File::create(folder.0.join("t.json")).unwrap().set_len(65 << 20).unwrap();
    let error = folder.scan("a.txt", b"abba", &data).unwrap_err().to_string();
    assert!(error.contains("t.json: longer than 64 MiB"), "{error}");
    // One token far behind the others is no reason to keep what lies between.
    let vocab = r#"{"a": 0, "b": 1, "far": 16777215}"#;
    std::fs::write(folder.0.join("t.json"), tokenizer(vocab, "[]", "")).unwrap();
    assert_eq!(folder.scan("a.txt", b"abba", &data).unwrap().vocab, 1 << 24);
}

#[test]
fn a_damaged_parquet_is_an_error_without_a_word_of_a_panic() {
    let folder = Folder::new("parquet");
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data");
    let whole = std::fs::read(examples.join("poems.parquet")).unwrap();
    let columns = Columns::Text { text: Column::Name("text".to_owned()), label: None };
    let data = of("a.parquet", Format::Table { columns, header: None }, Tokenizer::Bytes);
    static PANICS: AtomicUsize = AtomicUsize::new(0);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(panic);
    }));
    let mut errors = 0;
    for at in (0..whole.len()).step_by(97).chain(whole.len() - 400..whole.len()) {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        errors += usize::from(folder.scan("a.parquet", &bytes, &data).is_err());
    }
    assert!(errors > 100, "{errors}");
    assert_eq!(PANICS.load(Ordering::Relaxed), 0, "a reader's panics are its own");
    let another = std::thread::spawn(|| panic!("on purpose")).join();
    assert!(another.is_err() && PANICS.load(Ordering::Relaxed) == 1, "others are shown");
}

#[test]
fn data_without_a_target_is_refused() {
    let folder = Folder::new("targets");
    let format = Format::Jsonl(Fields::Messages("m".to_owned()));
    let data = Data { loss_on: LossOn::Completion, ..of("a.jsonl", format, Tokenizer::Bytes) };
    let scan = |text: &str| folder.scan("a.jsonl", text.as_bytes(), &data);
    let question = "{\"m\": [\"only a question\"]}\n";
    let error = scan(&question.repeat(9)).unwrap_err();
    assert!(error.message.starts_with("no token of `train` is a target"), "{error}");
    assert!(scan(&(question.repeat(9) + "{\"m\": [\"q\", \"a\"]}")).is_ok());
}

#[test]
fn vocabularies_learnt_on_several_threads_at_once_are_the_same() {
    let folder = Folder::new("threads");
    let text: String = (0..4000).map(|i| format!("word{} and {} 好的\n", i % 97, i % 31)).collect();
    for tokenizer in [Tokenizer::Words(60), Tokenizer::Bpe(300), Tokenizer::WordPiece(90)] {
        let data = of("a.txt", Format::Text, tokenizer);
        std::fs::write(folder.0.join("a.txt"), &text).unwrap();
        let learnt = || {
            let (_, corpus) = scan(&data, &folder.0, None).expect("the text is read");
            (corpus.vocabulary().hash(), corpus.first_tokens("train", 1 << 20).unwrap())
        };
        let alone = learnt();
        std::thread::scope(|scope| {
            let others: Vec<_> = (0..3).map(|_| scope.spawn(learnt)).collect();
            others.into_iter().for_each(|o| assert_eq!(o.join().unwrap(), alone));
        });
    }
}

/// Seconds of work that this thread did so far.
#[cfg(target_os = "linux")]
fn worked() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    stat.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

#[cfg(target_os = "linux")]
#[test]
fn tokenizers_take_time_by_the_length_of_a_text() {
    let folder = Folder::new("linear");
    for unit in ["a", "words of a line\n", "字"] {
        for tokenizer in [Tokenizer::Words(50), Tokenizer::Bpe(300)] {
            let data = of("a.txt", Format::Text, tokenizer.clone());
            let time = |bytes: usize| {
                let start = worked();
                let text = unit.repeat(bytes / unit.len());
                folder.scan("a.txt", text.as_bytes(), &data).expect("a text");
                worked() - start
            };
            let (short, long) = (time(250_000), time(1_000_000));
            // Four times the text; what grows with its square takes sixteen times as long.
            assert!(long < 8.0 * short + 0.1, "{unit:?}, {tokenizer:?}: {short} s, {long} s");
        }
    }
}
