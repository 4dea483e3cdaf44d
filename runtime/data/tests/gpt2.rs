//! The ids of GPT-2 are those that the published tokenizer gives.

use data::{Vocabulary, hash};

/// Made by `golden/gpt2.py` with the package `tiktoken`.
const GOLDEN: &str = include_str!("golden/gpt2.jsonl");

#[test]
fn a_thousand_texts_have_the_published_ids() {
    let gpt2 = Vocabulary::from_json("\"gpt2\"").unwrap();
    let mut n = 0;
    for line in GOLDEN.lines() {
        let (text, length, digest): (String, usize, String) = serde_json::from_str(line).unwrap();
        let ids = gpt2.encode(&text).unwrap();
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
        assert_eq!(ids.len(), length, "{text:?}");
        assert_eq!(hash::sha256(&bytes)[..16], digest, "{text:?}");
        assert_eq!(gpt2.decode(&ids), text.as_bytes());
        n += 1;
    }
    assert_eq!(n, 1000);
}
