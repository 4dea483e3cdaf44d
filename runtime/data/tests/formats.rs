//! Every format and task from the outside: settings and files in, rows out.

use std::path::{Path, PathBuf};

use data::{Corpus, Error, Facts, Role, Sequences, scan};
use plan::{
    Clean, Column, Columns, Data, Fields, Filter, Format, Limit, LossOn, Normalize, Pack, Shuffle,
    Source, Split, Task, Tokenizer,
};

/// A folder for one test, removed with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("llmc-{}-formats-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("a folder can be made");
        Folder(path.canonicalize().expect("the folder is there"))
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Folder {
        std::fs::write(self.0.join(name), bytes).expect("a file can be written");
        self
    }

    fn scan(&self, data: &Data) -> Result<(Facts, Corpus), Error> {
        scan(data, &self.0, None)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The texts that the repository has.
fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

fn of(path: &str, format: Format) -> Data {
    let mut data = Data::text(vec![path.to_owned()], Tokenizer::Bytes);
    data.sources[0].format = format;
    data.shuffle = Shuffle::None;
    data
}

fn text_field(label: Option<&str>) -> Format {
    Format::Jsonl(Fields::Text { text: "t".to_owned(), label: label.map(str::to_owned) })
}

fn splits(shares: &[(&str, f64)]) -> Vec<Split> {
    shares.iter().map(|(name, share)| Split { name: (*name).to_owned(), share: *share }).collect()
}

/// Ids and targets of the rows of an epoch.
fn epoch(corpus: &Corpus, split: &str, context: usize) -> Vec<(Vec<i32>, Vec<i32>)> {
    let rows = Sequences::new(corpus, split, context as u64, 5).expect("the split is there");
    let is_class = !corpus.classes().is_empty();
    let row = |number| {
        let (mut ids, mut targets) =
            (vec![0; context], vec![0; if is_class { 1 } else { context }]);
        rows.fill_train(corpus, number, &mut ids, &mut targets).expect("the row is read");
        (ids, targets)
    };
    (0..rows.n_whole()).map(row).collect()
}

#[test]
fn documents_end_with_a_token_behind_which_nothing_is_a_target() {
    let folder = Folder::new("end");
    folder.write("a.jsonl", "{\"t\": \"ab\"}\n\n{\"t\": \"cd\"}\r\n{\"t\": \"\"}\n{\"t\": \"e\"}");
    let (facts, corpus) = folder.scan(&of("a.jsonl", text_field(None))).unwrap();
    assert_eq!((facts.vocab, facts.end, facts.filtered), (257, Some(256), 1));
    assert_eq!((facts.tokens[0].1, facts.documents[0].1), (8, 3));
    let rows = epoch(&corpus, "train", 7);
    assert_eq!(rows[0].0, [97, 98, 256, 99, 100, 256, 101]);
    assert_eq!(rows[0].1, [98, 256, -1, 100, 256, -1, 256]);
}

#[test]
fn a_row_is_a_document_cut_or_padded() {
    let folder = Folder::new("rows");
    folder.write("a.jsonl", "{\"t\": \"ab\"}\n{\"t\": \"cdefg\"}\n");
    let data = Data { pack: Pack::Rows, ..of("a.jsonl", text_field(None)) };
    let (facts, corpus) = folder.scan(&data).unwrap();
    assert_eq!((facts.vocab, facts.pad), (258, Some(257)));
    let lengths = facts.lengths.unwrap();
    assert_eq!((lengths.quantile(0.0), lengths.quantile(1.0)), (3, 6));
    assert_eq!(lengths.longer_than(4), 0.5);
    let rows = epoch(&corpus, "train", 4);
    assert_eq!(rows[0], (vec![97, 98, 257, 257], vec![98, 256, -1, -1]));
    assert_eq!(rows[1], (vec![99, 100, 101, 102], vec![100, 101, 102, 103]));
}

#[test]
fn only_replies_and_what_ends_them_are_targets() {
    let folder = Folder::new("replies");
    folder.write("a.jsonl", "{\"turns\": [\"q\", \"ab\", \"r\", \"c\"]}\n");
    let format = Format::Jsonl(Fields::Messages("turns".to_owned()));
    let data = Data { loss_on: LossOn::Completion, ..of("a.jsonl", format) };
    let (_, corpus) = folder.scan(&data).unwrap();
    let (q, r) = (b'q'.into(), b'r'.into());
    let user = corpus.vocabulary().opening(Role::User).unwrap()[0] as i32;
    let reply = corpus.vocabulary().opening(Role::Reply).unwrap()[0] as i32;
    let (ids, targets) = epoch(&corpus, "train", 9).remove(0);
    assert_eq!(ids, [user, q, reply, 97, 98, user, r, reply, 99]);
    assert_eq!(targets, [-1, -1, 97, 98, user, -1, -1, 99, 256]);
}

#[test]
fn the_examples_load_as_they_are() {
    let chat = of("data/chat.jsonl", Format::Jsonl(Fields::Messages("turns".to_owned())));
    let (facts, _) = scan(&chat, &examples(), None).unwrap();
    assert_eq!(facts.documents[0].1, 2026);
    let columns = Columns::Text { text: Column::Number(2), label: Some(Column::Number(1)) };
    let authors = Data {
        pack: Pack::Rows,
        task: Task::Classes { n: Some(5) },
        stratified: true,
        splits: splits(&[("train", 0.9), ("val", 0.1)]),
        ..of("data/authors.tsv", Format::Table { columns, header: Some(false) })
    };
    let (facts, corpus) = scan(&authors, &examples(), None).unwrap();
    assert_eq!(facts.classes, ["austen", "jargon", "kjv", "milton", "shakespeare"]);
    assert_eq!(facts.documents.iter().map(|(_, n)| n).sum::<u64>(), 4564);
    let mut counts = [0; 5];
    for (_, targets) in epoch(&corpus, "val", 8) {
        counts[targets[0] as usize] += 1;
    }
    assert_eq!(counts, [100, 100, 100, 57, 100], "a tenth of each, the rest rounded up");
}

#[test]
fn parquet_is_read_by_columns() {
    let columns = Columns::Text { text: Column::Name("text".to_owned()), label: None };
    let poems = of("data/poems.parquet", Format::Table { columns, header: None });
    let (facts, _) = scan(&poems, &examples(), None).unwrap();
    assert_eq!(facts.documents[0].1, 261);
}

#[test]
fn packed_texts_are_read_by_their_content() {
    let packed = Data::text(vec!["data/guwen.txt.zst".to_owned()], Tokenizer::Chars);
    let (facts, corpus) = scan(&packed, &examples(), None).unwrap();
    assert!(facts.vocab > 1000, "a text in Chinese");
    let first = corpus.first_tokens("train", 40).unwrap();
    assert!(String::from_utf8(corpus.vocabulary().decode(&first)).is_ok());
    // Frames that say nothing may lie before and between those that do.
    let frame = std::fs::read(examples().join("data/guwen.txt.zst")).unwrap();
    let silent = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, b'x', b'y', b'z'];
    let folder = Folder::new("frames");
    folder.write("a.txt", [&silent[..], &frame, &silent, &frame].concat());
    let twice = folder.scan(&Data::text(vec!["a.txt".to_owned()], Tokenizer::Chars)).unwrap().0;
    assert_eq!((twice.vocab, twice.tokens[0].1), (facts.vocab, 2 * facts.tokens[0].1));
}

#[test]
fn classes_are_their_names_without_the_space_around_them() {
    let folder = Folder::new("space");
    folder.write("a.csv", "x,one\n x,two\ny ,three\n").write("b.csv", "x,one\n ,two\n");
    let columns = Columns::Text { text: Column::Number(2), label: Some(Column::Number(1)) };
    let table = |path| {
        let format = Format::Table { columns: columns.clone(), header: None };
        Data { pack: Pack::Rows, task: Task::Classes { n: None }, ..of(path, format) }
    };
    assert_eq!(folder.scan(&table("a.csv")).unwrap().0.classes, ["x", "y"]);
    let empty = folder.scan(&table("b.csv")).unwrap_err().to_string();
    assert!(empty.contains("b.csv: line 2: the class is empty"), "{empty}");
}

/// Data that others write to while it is in use is an error, never a crash or other ids.
#[test]
fn a_file_that_changes_under_a_run_is_an_error() {
    let folder = Folder::new("changed");
    folder.write("a.txt", "x".repeat(9000)).write("a.bin", [1, 0].repeat(5000));
    let text = of("a.txt", Format::Text);
    let tokens = Data { tokenizer: Tokenizer::Ids(5), ..of("a.bin", Format::Tokens) };
    for (data, path) in [(text, "a.txt"), (tokens, "a.bin")] {
        let (_, corpus) = folder.scan(&data).unwrap();
        let rows = Sequences::new(&corpus, "train", 16, 5).unwrap();
        let read = |row| rows.fill_train(&corpus, row, &mut [0; 16], &mut [0; 16]);
        read(0).unwrap();
        let file = std::fs::File::options().write(true).open(folder.0.join(path)).unwrap();
        file.set_len(10).unwrap();
        let cut = read(rows.n_whole() - 1).unwrap_err().to_string();
        assert!(cut.contains(path) && cut.contains("changed while it was in use"), "{cut}");
        std::fs::remove_file(folder.0.join(path)).unwrap();
        assert!(read(0).is_err());
    }
}

#[test]
fn columns_have_names_numbers_and_quotes() {
    let folder = Folder::new("csv");
    folder.write("a.csv", "\u{feff}label,body\r\nx,\"a, \"\"b\"\"\nc\"\r\ny,d\r\n");
    let name = |name: &str| Column::Name(name.to_owned());
    let table = |text, label, header| {
        let columns = Columns::Text { text, label: Some(label) };
        let format = Format::Table { columns, header };
        Data { pack: Pack::Rows, task: Task::Classes { n: None }, ..of("a.csv", format) }
    };
    let (facts, corpus) = folder.scan(&table(name("body"), name("label"), None)).unwrap();
    assert_eq!((facts.classes, facts.documents[0].1), (vec!["x".to_owned(), "y".to_owned()], 2));
    assert_eq!(
        corpus.vocabulary().decode(&corpus.first_tokens("train", 9).unwrap()),
        b"a, \"b\"\nc<|end|>"
    );
    let numbered = table(Column::Number(2), Column::Number(1), Some(true));
    assert_eq!(folder.scan(&numbered).unwrap().0.classes.len(), 2);
    assert_eq!(
        folder.scan(&table(Column::Number(2), Column::Number(1), None)).unwrap().0.classes.len(),
        3
    );
}

#[test]
fn bad_data_is_located_and_says_what_to_do() {
    let folder = Folder::new("bad");
    folder.write("a.csv", "a,b\n1,2\n3\n").write("b.jsonl", "{\"t\": \"x\"}\n{\"t\": 1}\n");
    folder.write("c.jsonl", b"{\"t\": \"x\"}\n\xff\n").write("odd.bin", [1, 0, 2]);
    folder.write("big.bin", [1, 0, 9, 0, 2, 0]).write("empty.bin", "");
    let mut header = vec![0; 1028];
    header[..4].copy_from_slice(&20_240_520_i32.to_le_bytes());
    header[4] = 1;
    header[8] = 3;
    folder.write("cut.bin", &header);
    folder.write("gz.txt", [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 0xff, 0xff]);
    folder.write("open.csv", "a,b\n1,\"x\n\"\n2,\"y\n3,z\n");
    folder.write("half.csv", "a,b\n1,\"x\n2,\"y\"\n3,z\n");
    folder.write("half_crlf.csv", "a,b\r\n1,x\r\n2,\"y\"z,3");
    folder.write("width_crlf.csv", "a,b\r\n\r\n1,\"x\r\n\"\r\n2,y\r\n3\r\n");
    folder.write("semi.csv", "a;b\n1;2\n");
    folder.write("space.jsonl", "{\"t\": \"x\", \"l\": \" \"}\n");
    folder.write(
        "slip.jsonl",
        "{\"t\": \"x\", \"l\": \"good\"}\n".repeat(3) + "{\"t\": \"y\", \"l\": \"goood\"}\n",
    );
    folder.write("text.xz", b"\xfd7zXZ\0\0\x04").write("text.zip", b"PK\x03\x04\x14\0");
    folder.write("cut.zst", [0x50, 0x2a, 0x4d, 0x18, 9, 0, 0, 0, 1]);
    let quotes = |path| {
        let columns = Columns::Text { text: Column::Number(2), label: None };
        of(path, Format::Table { columns, header: Some(true) })
    };
    let b = || Columns::Text { text: Column::Name("b".to_owned()), label: None };
    let c = || Columns::Text { text: Column::Name("c".to_owned()), label: None };
    let table = |columns| of("a.csv", Format::Table { columns, header: None });
    let tokens = |path| Data { tokenizer: Tokenizer::Ids(5), ..of(path, Format::Tokens) };
    let format = Format::Table { columns: b(), header: None };
    let semicolons = of("semi.csv", format);
    let classes = |path, n| {
        let task = Task::Classes { n: Some(n) };
        Data { pack: Pack::Rows, task, ..of(path, text_field(Some("l"))) }
    };
    let wrong = [
        (table(b()), "a.csv: line 3: 1 cells, where the first row has 2"),
        (table(c()), "a.csv: line 1: no column `c`; the columns are `a`, `b`"),
        (semicolons, "semi.csv: line 1: cells are separated by `;`"),
        (of("b.jsonl", text_field(None)), "b.jsonl: line 2: field `t` is a number"),
        (of("c.jsonl", text_field(None)), "c.jsonl: line 2: byte 0 of it is not UTF-8"),
        (tokens("odd.bin"), "odd.bin: byte 2: the last id is cut"),
        (tokens("big.bin"), "big.bin: byte 2: id 9 is not below 5"),
        (tokens("empty.bin"), "empty.bin: the file is empty"),
        (tokens("cut.bin"), "cut.bin: byte 1028: the header states 3 ids, the file holds 2"),
        (of("gz.txt", Format::Text), "gz.txt: byte 0: cannot be read"),
        (quotes("open.csv"), "open.csv: line 4: the quote that opens here is never closed"),
        (quotes("half.csv"), "half.csv: line 2: text behind a closing quote"),
        (quotes("half_crlf.csv"), "half_crlf.csv: line 3: text behind a closing quote"),
        (quotes("width_crlf.csv"), "width_crlf.csv: line 6: 1 cells, where the first row has 2"),
        (of("space.jsonl", text_field(Some("l"))), "space.jsonl: line 1: the class is empty"),
        (classes("slip.jsonl", 1), "the data has 2: `goood` in 1 document, `good` in 3 documents"),
        (of("text.xz", Format::Text), "text.xz: packed with xz, which is not read; unpack it"),
        (of("text.zip", Format::Text), "text.zip: packed with zip"),
        (of("cut.zst", Format::Text), "cut.zst: byte 0: cannot be read: the file ends inside"),
    ];
    for (data, message) in wrong {
        let error = folder.scan(&data).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn ids_are_read_with_and_without_a_header() {
    let folder = Folder::new("ids");
    let ids: Vec<u8> = (0..100u16).flat_map(u16::to_le_bytes).collect();
    let mut short = vec![0; 1024];
    short[..4].copy_from_slice(&20_240_520_i32.to_le_bytes());
    short[4] = 1;
    short[8] = 100;
    let mut long = short.clone();
    long[..4].copy_from_slice(&20_240_801_i32.to_le_bytes());
    long[4] = 7;
    long.extend((0..100u32).flat_map(u32::to_le_bytes));
    short.extend(&ids);
    folder.write("a.bin", &ids).write("b.bin", &short).write("c.bin", &long);
    for path in ["a.bin", "b.bin", "c.bin"] {
        let data = Data { tokenizer: Tokenizer::Ids(100), ..of(path, Format::Tokens) };
        let (facts, corpus) = folder.scan(&data).unwrap();
        assert_eq!((facts.vocab, facts.tokens[0].1), (100, 100), "{path}");
        assert_eq!(corpus.first_tokens("train", 200).unwrap(), (0..100).collect::<Vec<u32>>());
    }
}

#[test]
fn every_document_comes_once_in_an_epoch_whatever_the_order() {
    let folder = Folder::new("once");
    let lines: Vec<String> = (0..100u8)
        .map(|i| {
            format!(
                "{{\"t\": \"{}\"}}",
                char::from(i / 10 + 48).to_string() + &(i % 10).to_string()
            )
        })
        .collect();
    folder.write("a.jsonl", lines.join("\n"));
    for shuffle in [Shuffle::None, Shuffle::Full, Shuffle::Window(7)] {
        let data = Data { pack: Pack::Rows, shuffle, ..of("a.jsonl", text_field(None)) };
        let (_, corpus) = folder.scan(&data).unwrap();
        let rows = epoch(&corpus, "train", 4);
        let number = |row: &(Vec<i32>, Vec<i32>)| (row.0[0] - 48) * 10 + row.0[1] - 48;
        let order: Vec<i32> = rows.iter().map(number).collect();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<i32>>());
        assert_eq!(order == sorted, shuffle == Shuffle::None);
        let is_near = |(i, n): (usize, &i32)| (i as i32 / 7) == n / 7;
        assert_eq!(order.iter().enumerate().all(is_near), shuffle != Shuffle::Full);
    }
}

#[test]
fn a_mixture_has_its_shares_in_every_thousand_rows() {
    let folder = Folder::new("mixture");
    folder.write("a.txt", "a".repeat(50)).write("b.txt", "b".repeat(5000));
    let source = |path: &str, share| Source {
        name: Some(path.to_owned()),
        paths: vec![path.to_owned()],
        format: Format::Text,
        share: Some(share),
    };
    let mut data = Data::text(vec![], Tokenizer::Bytes);
    data.sources = vec![source("a.txt", 0.7), source("b.txt", 0.3)];
    let (_, corpus) = folder.scan(&data).unwrap();
    let rows = Sequences::new(&corpus, "train", 4, 1).unwrap();
    for start in [0, 5000] {
        let (mut ids, mut targets) = (vec![0; 4000], vec![0; 4000]);
        rows.fill_train(&corpus, start, &mut ids, &mut targets).unwrap();
        let of_a = ids.iter().filter(|&&id| id == i32::from(b'a')).count();
        assert_eq!(of_a, 2800);
    }
}

#[test]
fn hidden_tokens_are_the_targets_and_as_many_as_asked_for() {
    let folder = Folder::new("masked");
    folder.write("a.txt", "abcdefgh".repeat(4000));
    let task = Task::Masked { share: 0.15, keep: 0.1, random: 0.1 };
    let data = Data { task, ..Data::text(vec!["a.txt".to_owned()], Tokenizer::Chars) };
    let (facts, corpus) = folder.scan(&data).unwrap();
    let mask = corpus.vocabulary().mask().unwrap() as i32;
    assert_eq!((facts.vocab, mask), (9, 8));
    let rows = Sequences::new(&corpus, "train", 64, 3).unwrap();
    let n = rows.n_whole() as usize;
    assert_eq!(n, 500);
    let read = |first| {
        let (mut ids, mut targets) = (vec![0; 64 * n], vec![0; 64 * n]);
        rows.fill_train(&corpus, first, &mut ids, &mut targets).unwrap();
        (ids, targets)
    };
    let (ids, targets) = read(0);
    let hidden = targets.iter().filter(|&&t| t >= 0).count() as f64 / targets.len() as f64;
    assert!((hidden - 0.15).abs() < 0.01, "{hidden}");
    let masked = ids.iter().filter(|&&id| id == mask).count() as f64 / targets.len() as f64;
    assert!((masked - 0.12).abs() < 0.01, "{masked}");
    assert!(ids.iter().zip(&targets).all(|(&id, &target)| id != mask || target >= 0));
    assert_eq!(read(0), (ids.clone(), targets));
    assert_ne!(read(n as u64).0, ids, "another epoch hides others");
}

#[test]
fn documents_are_normalized_filtered_counted_once_and_limited() {
    let folder = Folder::new("clean");
    folder.write(
        "a.jsonl",
        "{\"t\":\"A  b\"}\n{\"t\":\"a b\"}\n{\"t\":\"x\"}\n{\"t\":\"c d\"}\n{\"t\":\"e f\"}\n",
    );
    let clean = Clean {
        normalize: vec![Normalize::Lowercase, Normalize::Whitespace],
        filters: vec![Filter::MinChars(2)],
        dedup: true,
        limit: Some(Limit::Documents(2)),
    };
    let data = Data { clean, ..of("a.jsonl", text_field(None)) };
    let (facts, corpus) = folder.scan(&data).unwrap();
    assert_eq!((facts.documents[0].1, facts.duplicates, facts.filtered), (2, 1, 1));
    let text = corpus.vocabulary().decode(&corpus.first_tokens("train", 99).unwrap());
    assert_eq!(text, b"a b<|end|>c d<|end|>");
}

#[test]
fn ids_are_kept_and_a_damaged_file_is_made_again() {
    let folder = Folder::new("kept");
    folder.write("a.txt", "some words, some more words\n".repeat(50));
    let cache = folder.0.join("cache");
    let data = Data::text(vec!["a.txt".to_owned()], Tokenizer::Bpe(300));
    let read = || {
        let (facts, corpus) = scan(&data, &folder.0, Some(&cache)).unwrap();
        (facts, corpus.first_tokens("train", 10_000).unwrap())
    };
    let first = read();
    assert_eq!(first.1, folder.scan(&data).unwrap().1.first_tokens("train", 10_000).unwrap());
    let files = || {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(cache.join("data")).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        files
    };
    let kept = files();
    assert_eq!(kept.len(), 2, "a vocabulary and a shard");
    let shard = kept.iter().find(|p| p.extension().is_some_and(|e| e == "ids")).unwrap();
    let changed = || std::fs::metadata(shard).unwrap().modified().unwrap();
    let before = changed();
    assert_eq!(read(), first);
    assert_eq!(changed(), before, "nothing is made a second time");
    let whole = std::fs::read(shard).unwrap();
    for damage in [0, whole.len() / 2, whole.len() - 20] {
        let mut bytes = whole.clone();
        bytes[damage] ^= 1;
        std::fs::write(shard, &bytes).unwrap();
        assert_eq!(read(), first);
        assert_eq!(std::fs::read(shard).unwrap(), whole);
    }
    std::fs::write(shard, &whole[..whole.len() / 2]).unwrap();
    assert_eq!(read(), first);
    // A vocabulary that still reads as one, but is another.
    let vocabulary = kept.iter().find(|p| p.extension().is_some_and(|e| e == "json")).unwrap();
    let (whole, n) = (std::fs::read(vocabulary).unwrap(), first.0.vocab);
    for (damage, _) in whole.iter().enumerate().filter(|(_, byte)| byte.is_ascii_alphanumeric()) {
        let mut bytes = whole.clone();
        bytes[damage] ^= 1;
        std::fs::write(vocabulary, &bytes).unwrap();
        assert_eq!(read(), first, "byte {damage}, {n}");
    }
    assert_eq!(files(), kept, "no file of the way is left");
}

#[test]
fn settings_that_contradict_each_other_are_refused() {
    let folder = Folder::new("settings");
    folder.write("a.txt", "text");
    let text = || of("a.txt", Format::Text);
    let wrong = [
        (Data { pack: Pack::Rows, ..text() }, "`pack none` makes a row of a document"),
        (Data { loss_on: LossOn::Completion, ..text() }, "`loss_on completion` needs"),
        (Data { tokenizer: Tokenizer::Ids(4), ..text() }, "text needs a tokenizer"),
        (Data { tokenizer: Tokenizer::Bpe(100), ..text() }, "`bpe(100)` is too small"),
    ];
    for (data, message) in wrong {
        let error = folder.scan(&data).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}
