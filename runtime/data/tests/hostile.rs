//! Damaged and endless files: a located error, in little time and memory.

use std::path::{Path, PathBuf};

use data::{Error, Facts, Vocabulary, rng::mix, scan};
use plan::{Column, Columns, Data, Fields, Format, Tokenizer};

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

/// The most memory that this process ever had, in bytes.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

#[test]
fn ten_thousand_damaged_files_end_in_rows_or_in_an_error() {
    let folder = Folder::new("damaged");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data");
    let read = |name: &str| std::fs::read(examples.join(name)).expect("an example");
    let text = Columns::Text { text: Column::Number(1), label: None };
    let table = Format::Table { columns: text, header: None };
    let field = Format::Jsonl(Fields::Messages("turns".to_owned()));
    let mut header = vec![0; 1024];
    header[..12].copy_from_slice(&[0x98, 0xd8, 0x34, 1, 1, 0, 0, 0, 2, 0, 0, 0]);
    header.extend([1, 0, 2, 0]);
    let bases: [(&str, Vec<u8>, Data); 6] = [
        ("a.jsonl", read("chat.jsonl")[..600].to_vec(), of("a.jsonl", field, Tokenizer::Bytes)),
        ("a.csv", b"a,\"b\nc\"\r\n1,2\n".repeat(9), of("a.csv", table.clone(), Tokenizer::Chars)),
        ("a.bin", header, of("a.bin", Format::Tokens, Tokenizer::Ids(9))),
        ("a.zst", read("guwen.txt.zst"), of("a.zst", Format::Text, Tokenizer::Bytes)),
        ("a.parquet", read("poems.parquet"), of("a.parquet", table, Tokenizer::Bytes)),
        (
            "a.txt",
            "字 and words\n".repeat(9).into(),
            of("a.txt", Format::Text, Tokenizer::Bpe(280)),
        ),
    ];
    let mut random = 1;
    let mut next = |n: usize| {
        random = mix(random);
        (random % n as u64) as usize
    };
    for round in 0..10_000 {
        // Packed files take longer, and every change of one is likely to be found at once.
        let (name, whole, data) =
            &bases[if round % 50 == 0 { next(6) } else { [0, 1, 2, 5][next(4)] }];
        let mut bytes = whole.clone();
        for _ in 0..=next(3) {
            let at = next(bytes.len());
            match next(3) {
                0 => bytes[at] ^= 1 << next(8),
                1 => bytes[at] = [0, 0xff, b'"', b'{', b'\n'][next(5)],
                _ => bytes.truncate(at.max(1)),
            }
        }
        if let Err(error) = folder.scan(name, &bytes, data) {
            assert!(!error.message.is_empty(), "{name}");
        }
    }
    assert!(most_memory() < 256 << 20, "{} bytes", most_memory());
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
    for (path, message) in [
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
