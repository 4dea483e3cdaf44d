//! Ten thousand damaged files of every format end in rows or in a located error.
//!
//! None takes much time or memory.
//! `LLMC_CASES` takes more of them, see `tests/mutations/cases.rs`. A binary of its own, because
//! the memory that counts is the whole process's.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

#[path = "../../../tests/mutations/cases.rs"]
mod cases;
#[path = "damaged/change.rs"]
mod change;

use std::io::Write;
use std::path::{Path, PathBuf};

use change::{Random, change};
use data::{Sequences, Vocabulary, scan};
use flate2::{Compression, write::GzEncoder};
use plan::{Column, Columns, Data, Fields, Format, LossOn, Pack, Source, Task, Tokenizer};

/// A whole file, and what it is read as.
struct Base {
    ending: &'static str,
    bytes: Vec<u8>,
    kind: Kind,
}

/// What a file is.
enum Kind {
    /// Data of one source, under these settings.
    Data(Box<Data>),
    /// A tokenizer, for a text.
    Tokenizer,
    /// The vocabulary that is kept with a run.
    Vocabulary,
}

/// A text in which each tokenizer has something to do.
const TEXT: &str = "It's 字 and 12 words,\n  好的 x\u{301}y <unk> 🎉\n";

/// Of each so many cases one is of a file that takes longer to read.
const PACKED: usize = 5;

#[test]
fn damaged_files_end_in_rows_or_in_an_error() {
    let folder = Folder::new();
    let (quick, packed) = bases();
    let base = |random: &mut Random| {
        let of = if random.below(PACKED) == 0 { &packed } else { &quick };
        &of[random.below(of.len())]
    };
    cases::hold(&cases::Suite {
        name: "damaged",
        folder: &folder.0,
        usual: 10_000,
        make: &|case| {
            let mut random = Random::new(case);
            let base = base(&mut random);
            (base.ending.to_owned(), change(&mut random, &base.bytes))
        },
        look: &|case, path, bytes| look(&base(&mut Random::new(case)).kind, path, bytes),
    });
}

#[test]
fn whole_files_are_read() {
    let folder = Folder::new();
    let (quick, packed) = bases();
    for (i, base) in quick.iter().chain(&packed).enumerate() {
        let path = folder.0.join(format!("whole-{i}{}", base.ending));
        std::fs::write(&path, &base.bytes).expect("a disk");
        assert_eq!(read(&base.kind, &path, &base.bytes), Ok(()), "{path:?}");
    }
}

/// What is said of a file says something, and where.
fn look(kind: &Kind, path: &Path, bytes: &[u8]) {
    if let Err(message) = read(kind, path, bytes) {
        assert!(!message.is_empty() && message.len() < 4096, "{} bytes", message.len());
        let file = path.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(matches!(kind, Kind::Vocabulary) || message.contains(file), "{message}");
    }
}

/// Reads a file and some of its rows.
fn read(kind: &Kind, path: &Path, bytes: &[u8]) -> Result<(), String> {
    let folder = path.parent().expect("a file is in a folder");
    let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    let data = match kind {
        Kind::Data(data) => {
            let mut data = Data::clone(data);
            data.sources[0].paths = vec![name];
            data
        }
        Kind::Tokenizer => Data::text(vec!["text.txt".to_owned()], Tokenizer::File(name)),
        Kind::Vocabulary => {
            let vocabulary = Vocabulary::from_json(std::str::from_utf8(bytes).unwrap_or_default())?;
            let ids = vocabulary.encode(TEXT).unwrap_or_default();
            vocabulary.decode(&ids);
            return Ok(());
        }
    };
    let (_, corpus) = scan(&data, folder, None).map_err(|error| error.to_string())?;
    let rows = Sequences::new(&corpus, "train", 8, 1).expect("there is a split");
    let n_targets = if matches!(data.task, Task::Classes { .. }) { 1 } else { 8 };
    let (mut ids, mut targets) = ([0; 32], [0; 32]);
    if rows.n_whole() > 0 {
        let (ids, targets) = (&mut ids, &mut targets[..4 * n_targets]);
        rows.fill_train(&corpus, 0, ids, targets).map_err(|error| error.to_string())?;
        let ids = ids.map(|id| u32::try_from(id).expect("an id"));
        corpus.vocabulary().decode(&ids);
    }
    Ok(())
}

/// Settings of a format and a tokenizer; the path comes later.
fn of(format: Format, tokenizer: Tokenizer) -> Data {
    let source = Source { name: None, paths: vec![], format, share: None };
    Data { sources: vec![source], ..Data::text(vec![], tokenizer) }
}

fn data(ending: &'static str, bytes: impl Into<Vec<u8>>, data: Data) -> Base {
    Base { ending, bytes: bytes.into(), kind: Kind::Data(Box::new(data)) }
}

/// The start of a file of llm.c: magic number, version, number of ids.
fn header(magic: i32, version: i32, n: i32) -> Vec<u8> {
    let mut header: Vec<u8> = [magic, version, n].iter().flat_map(|n| n.to_le_bytes()).collect();
    header.resize(1024, 0);
    header
}

/// Files that are read at once, and such that take longer.
fn bases() -> (Vec<Base>, Vec<Base>) {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/data");
    let read = |name: &str| std::fs::read(examples.join(name)).expect("an example");
    let number = |text, label: Option<u32>| Format::Table {
        columns: Columns::Text { text: Column::Number(text), label: label.map(Column::Number) },
        header: None,
    };
    let named = Columns::Text { text: Column::Name("text".to_owned()), label: None };
    let named = || Format::Table { columns: named.clone(), header: None };
    let field = |text: &str| Fields::Text { text: text.to_owned(), label: None };
    let classes = Data {
        pack: Pack::Rows,
        task: Task::Classes { n: None },
        ..of(number(2, Some(1)), Tokenizer::Bytes)
    };
    let pairs = Fields::Pair { prompt: "q".to_owned(), completion: "a.b".to_owned() };
    let replies =
        Data { loss_on: LossOn::Completion, ..of(Format::Jsonl(pairs), Tokenizer::Words(40)) };
    let chat = Format::Jsonl(Fields::Messages("turns".to_owned()));
    let ids = |n: u16| (0..n).flat_map(|id| (id % 9).to_le_bytes());
    let short: Vec<u8> = header(20_240_520, 1, 40).into_iter().chain(ids(40)).collect();
    let long = (0..40u32).flat_map(|id| (id % 9).to_le_bytes());
    let long: Vec<u8> = header(20_240_801, 7, 40).into_iter().chain(long).collect();
    let text = |tokenizer| data(".txt", TEXT.repeat(3), of(Format::Text, tokenizer));
    let masked = Task::Masked { share: 0.5, keep: 0.1, random: 0.1 };
    let masked = Data { task: masked, ..of(Format::Text, Tokenizer::WordPiece(60)) };
    let quick = vec![
        data(".jsonl", lines(&read("chat.jsonl"), 9), of(chat, Tokenizer::Bytes)),
        data(".jsonl", r#"{"q": "a b", "a": {"b": "c"}}"#.to_owned() + "\n", replies),
        data(".csv", "text,\"b\nc\"\r\n1,2\n".repeat(9), of(named(), Tokenizer::Chars)),
        data(".tsv", "x\ta\ny\tb c\n".repeat(9), classes),
        data(".bin", ids(60).collect::<Vec<u8>>(), of(Format::Tokens, Tokenizer::Ids(9))),
        data(".bin", short, of(Format::Tokens, Tokenizer::Ids(9))),
        data(".bin", long, of(Format::Tokens, Tokenizer::Ids(9))),
        data(".txt", TEXT.repeat(2), masked),
        text(Tokenizer::Chars),
        text(Tokenizer::Bpe(280)),
        text(Tokenizer::Words(30)),
        text(Tokenizer::Gpt2),
        Base { ending: ".json", bytes: tokenizer().into(), kind: Kind::Tokenizer },
        vocabulary(Tokenizer::Bpe(270)),
        vocabulary(Tokenizer::WordPiece(60)),
        vocabulary(Tokenizer::Words(20)),
    ];
    let line = "{\"t\": \"a line of text\"}\n".repeat(50);
    let packed = vec![
        data(".zst", &read("guwen.txt.zst")[..], of(Format::Text, Tokenizer::Bytes)),
        data(".parquet", read("poems.parquet"), of(named(), Tokenizer::Bytes)),
        data(".gz", gzip(line.as_bytes()), of(Format::Jsonl(field("t")), Tokenizer::Bytes)),
    ];
    (quick, packed)
}

fn lines(text: &[u8], n: usize) -> Vec<u8> {
    text.split_inclusive(|&byte| byte == b'\n').take(n).flatten().copied().collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes).expect("memory takes every write");
    packed.finish().expect("memory takes every write")
}

/// A tokenizer of byte pairs with a part of every kind.
fn tokenizer() -> String {
    let bytes = (0..=255u8).map(|byte| format!("\"<0x{byte:02X}>\": {}", 3 + u32::from(byte)));
    let bytes: Vec<String> = bytes.collect();
    format!(
        r##"{{"version": "1.0", "truncation": {{"direction": "Right", "max_length": 4,
        "strategy": "LongestFirst", "stride": 0}}, "padding": null,
        "added_tokens": [{{"id": 262, "content": "</s>", "single_word": false, "lstrip": false,
        "rstrip": false, "normalized": false, "special": true}}],
        "normalizer": {{"type": "Sequence", "normalizers": [{{"type": "NFC"}},
        {{"type": "Replace", "pattern": {{"Regex": " +"}}, "content": " "}}]}},
        "pre_tokenizer": {{"type": "Sequence", "pretokenizers": [{{"type": "Split",
        "pattern": {{"Regex": "\\p{{N}}{{1,3}}|[^\\s]+|\\s+(?!\\S)"}}, "behavior": "Isolated",
        "invert": false}}, {{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always",
        "split": true}}]}},
        "post_processor": {{"type": "TemplateProcessing", "single": [{{"Sequence":
        {{"id": "A", "type_id": 0}}}}], "pair": [{{"Sequence": {{"id": "A", "type_id": 0}}}}],
        "special_tokens": {{}}}},
        "decoder": {{"type": "Sequence", "decoders": [{{"type": "ByteFallback"}},
        {{"type": "Fuse"}}, {{"type": "Strip", "content": " ", "start": 1, "stop": 0}}]}},
        "model": {{"type": "BPE", "dropout": null, "unk_token": "a",
        "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true,
        "byte_fallback": true, "ignore_merges": false,
        "vocab": {{"a": 0, "n": 1, "d": 2, {}, "an": 259, "and": 260, "▁and": 261, "▁": 263}},
        "merges": [["a", "n"], ["an", "d"], ["▁", "and"]]}}}}"##,
        bytes.join(", ")
    )
}

/// What is kept of a vocabulary that was learnt.
fn vocabulary(tokenizer: Tokenizer) -> Base {
    let folder = Folder::new();
    let format = Format::Jsonl(Fields::Messages("m".to_owned()));
    let line = serde_json::json!({ "m": [TEXT, "b"] }).to_string();
    std::fs::write(folder.0.join("a.jsonl"), line).expect("a disk");
    let mut data = of(format, tokenizer);
    data.sources[0].paths = vec!["a.jsonl".to_owned()];
    let (_, corpus) = scan(&data, &folder.0, None).expect("the text is read");
    let bytes = corpus.vocabulary().to_json().into_bytes();
    Base { ending: ".json", bytes, kind: Kind::Vocabulary }
}

/// A folder of its own, removed with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        use std::sync::atomic::{AtomicU64, Ordering};
        static N: AtomicU64 = AtomicU64::new(0);
        let n = N.fetch_add(1, Ordering::Relaxed);
        let name = format!("damaged-{}-{n}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder can be made");
        std::fs::write(path.join("text.txt"), TEXT).expect("a file can be written");
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What a failed test leaves is worth a look.
        if !std::thread::panicking() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
