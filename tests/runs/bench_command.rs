//! `llmc bench`: one object or a table, and nothing left behind.

use serde_json::Value;

use crate::folder::{Folder, gpt};

#[test]
fn it_prints_one_object_of_four_numbers_and_writes_nothing() {
    let folder = Folder::new("bench-json");
    folder.write("a.lt", gpt("steps 3"));
    let before = names(&folder);
    let ended = folder.llmc(&["bench", "a.lt", "--json", "--steps", "2"]).exits(0);
    let value: Value = serde_json::from_str(&ended.out).expect("one object and no more");
    let object = value.as_object().unwrap();
    let keys: Vec<&str> = object.keys().map(String::as_str).collect();
    assert_eq!(keys, ["first_step_begins_s", "first_step_s", "peak_rss_mb", "tokens_per_s"]);
    let number = |key: &str| object[key].as_f64().unwrap();
    assert!(number("tokens_per_s") > 1.0, "{}", ended.out);
    assert!(0.0 < number("first_step_begins_s"));
    // Both are rounded to milliseconds.
    assert!(number("first_step_begins_s") <= number("first_step_s"));
    assert_eq!(names(&folder), before);
}

#[test]
fn steps_that_look_for_a_scale_are_steps() {
    let folder = Folder::new("bench-scale");
    folder.write("a.lt", gpt("steps 3\nprecision fp16\nloss_scale dynamic from 16Gi"));
    let ended = folder.llmc(&["bench", "a.lt", "--json", "--steps", "1"]).exits(0);
    assert!(ended.out.contains("tokens_per_s"), "{}", ended.out);
    folder.write("a.lt", gpt("steps 3\nprecision fp16\nloss_scale 17179869184"));
    folder.llmc(&["bench", "a.lt", "--json", "--steps", "1"]).exits(5).says("overflow");
}

#[test]
fn the_table_names_what_the_step_runs() {
    let folder = Folder::new("bench-table");
    folder.write("a.lt", gpt("steps 3"));
    let ended = folder.llmc(&["bench", "a.lt", "--steps", "1", "--threads", "1"]).exits(0);
    // The logits of 4 sequences of 16 tokens over 256 bytes.
    for text in ["tokens/s", "ceilings", "all products", "product 64 x 256 x 16", "GFLOP/s"] {
        ended.prints(text);
    }
}

#[test]
fn every_product_and_attention_has_its_bytes() {
    let folder = Folder::new("bench-bytes");
    folder.write("a.lt", gpt("steps 3"));
    let ended = folder.llmc(&["bench", "a.lt", "--steps", "1", "--threads", "1"]).exits(0);
    let rows = ended.out.lines().skip_while(|line| !line.contains("of ceiling"));
    let named = |name: &str| -> Vec<Vec<&str>> {
        let rows = rows.clone().filter(|row| row.contains(name) && row.contains(" x "));
        rows.map(|row| row.split_whitespace().collect()).collect()
    };
    for (name, at_least) in [("product", 5), ("attention", 2), (", then k", 1)] {
        let rows = named(name);
        assert!(rows.len() >= at_least, "{at_least} rows of `{name}`\n{}", ended.out);
        for row in rows {
            // Time, share, calls, operations and bytes a second, and a share.
            let numbers = row[..6].iter().map(|x| x.trim_end_matches('%').parse::<f64>());
            assert!(numbers.clone().all(|x| x.is_ok()), "{row:?}\n{}", ended.out);
        }
    }
}

/// What the folder holds.
fn names(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.at("")).unwrap();
    let mut names: Vec<String> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}
