//! Long files come in pieces, and files in mixtures: neither is seen in the ids.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use std::path::PathBuf;

use data::{Corpus, Facts, Sequences, scan};
use plan::{Column, Columns, Data, Format, Normalize, Shuffle, Source, Split, Tokenizer};

/// A folder for one test, removed with its owner.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("llmc-{}-pieces-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn scan(&self, data: &Data) -> (Facts, Corpus) {
        scan(data, &self.0, Some(&self.0.join("cache"))).unwrap()
    }

    fn tokens(&self, text: &str, data: &Data) -> u64 {
        std::fs::write(self.0.join("a.txt"), text).unwrap();
        self.scan(data).0.tokens.iter().map(|(_, n)| n).sum()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(tokenizer: Tokenizer) -> Data {
    let splits = vec![Split { name: "train".to_owned(), share: 1.0 }];
    Data { splits, ..Data::text(vec!["a.txt".to_owned()], tokenizer) }
}

#[test]
fn ids_of_a_long_text_are_those_of_the_whole() {
    let folder = Folder::new("gpt2");
    let data = text(Tokenizer::Gpt2);
    for unit in ["word.\n\n", "a line of words\n", "one  two   three "] {
        // As many more for each unit as in a text of one piece.
        let [few, more] = [1000, 2000].map(|n| folder.tokens(&unit.repeat(n), &data));
        let n = (5 << 19) / unit.len();
        let many = few + (more - few) / 1000 * (n as u64 - 1000);
        assert_eq!(folder.tokens(&unit.repeat(n), &data), many, "{unit:?}");
    }
}

#[test]
fn white_space_is_one_space_between_pieces_too() {
    let folder = Folder::new("normal");
    let mut data = text(Tokenizer::Chars);
    data.clean.normalize = vec![Normalize::Whitespace];
    let words: Vec<String> = (0..300_000).map(|i| format!("w{i:06}")).collect();
    let text = words.join(" ");
    assert_eq!(folder.tokens(&text, &data), text.len() as u64);
}

#[test]
fn a_mark_of_byte_order_is_no_character_of_a_text() {
    let folder = Folder::new("mark");
    let data = text(Tokenizer::Chars);
    assert_eq!(folder.tokens("\u{feff}abcabc", &data), 6);
    assert_eq!(folder.scan(&data).0.vocab, 3);
}

#[test]
fn the_parts_of_a_mixture_keep_their_order_where_nothing_is_shuffled() {
    let folder = Folder::new("order");
    let source = |name: &str, share| Source {
        name: Some(name.to_owned()),
        paths: vec![format!("{name}.txt")],
        format: Format::Text,
        share: Some(share),
    };
    for (name, first) in [("a", 0u8), ("b", 128)] {
        let bytes: Vec<u8> = (0..401).map(|i| first + (i / 4) as u8).collect();
        std::fs::write(folder.0.join(format!("{name}.txt")), bytes).unwrap();
    }
    let sources = vec![source("a", 0.7), source("b", 0.3)];
    let data = Data { sources, shuffle: Shuffle::None, ..text(Tokenizer::Bytes) };
    let (_, corpus) = folder.scan(&data);
    let rows = Sequences::new(&corpus, "train", 4, 1).unwrap();
    let (mut ids, mut targets) = (vec![0; 400], vec![0; 400]);
    rows.fill_train(&corpus, 0, &mut ids, &mut targets).unwrap();
    let firsts: Vec<i32> = ids.iter().step_by(4).copied().collect();
    let (b, a): (Vec<i32>, Vec<i32>) = firsts.iter().partition(|&&id| id >= 128);
    assert_eq!(a, (0..70).collect::<Vec<i32>>());
    assert_eq!(b, (128..158).collect::<Vec<i32>>());
    // Never far from its share.
    for n in 1..=100 {
        let of_a = firsts[..n].iter().filter(|&&id| id < 128).count() as f64;
        assert!((of_a - 0.7 * n as f64).abs() <= 1.0, "{of_a} of {n}");
    }
}

#[test]
fn tables_of_equal_bytes_and_other_names_are_read_as_their_names_say() {
    let folder = Folder::new("names");
    let texts = ["csv", "tsv"].map(|ending| {
        let name = format!("z.{ending}");
        std::fs::write(folder.0.join(&name), "text\n\"al\"\"pha\"\n\"beta\"\n").unwrap();
        let mut data = text(Tokenizer::Bytes);
        let columns = Columns::Text { text: Column::Name("text".to_owned()), label: None };
        data.sources[0].paths = vec![name];
        data.sources[0].format = Format::Table { columns, header: None };
        let (_, corpus) = folder.scan(&data);
        corpus.vocabulary().decode(&corpus.first_tokens("train", 30).unwrap())
    });
    assert!(texts[0].starts_with(b"al\"pha"), "{:?}", texts[0]);
    assert!(texts[1].starts_with(b"\"al\"\"pha\""), "{:?}", texts[1]);
}
