//! The layout of texts: the same for the same tokens, and nothing is lost.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use std::path::{Path, PathBuf};

use syntax::format;

#[test]
fn a_text_without_any_layout_gets_one() {
    let text = "\
model gpt( layers:2,width : 128 , heads:4 )
data text(\"a.txt\",tokenizer:bytes)


layer block(d:dim , h:int=4)( x:[b,t,d] )->[b,t,d]{

      # in front
   norm=layernorm(d)
   qkv   = linear(d,3*d,bias:false) # behind
   y = norm( x )|>qkv
   a , b = split(y,[2*d]->[2,d]) # another
   if d==-1 or not(h<2){ x*x^2 }
   else { a-1/b }

}
train{
batch 16 ; context 64
 lr 3e-3;
   checkpoint \"runs\" every 500
   seed -1

}
#the end";
    insta::assert_snapshot!(format(text).unwrap(), @r#"
    model gpt(layers: 2, width: 128, heads: 4)
    data  text("a.txt", tokenizer: bytes)

    layer block(d: dim, h: int = 4)(x: [b, t, d]) -> [b, t, d] {
      # in front
      norm = layernorm(d)
      qkv  = linear(d, 3 * d, bias: false)  # behind
      y    = norm(x) |> qkv
      a, b = split(y, [2 * d] -> [2, d])  # another
      if d == -1 or not (h < 2) { x * x^2 }
      else { a - 1 / b }
    }
    train {
      batch      16; context 64
      lr         3e-3
      checkpoint "runs" every 500
      seed       -1
    }
    #the end
    "#);
}

#[test]
fn long_lines_are_broken_at_pipes_and_lists() {
    let text = "\
layer gpt(layers: int, width: dim, heads: int, vocab: int = data.vocab, bias: bool = true)(ids: tok(vocab)[b, t]) -> [b, t, vocab] {
  dropout(embedding_of_tokens(ids) + embedding_of_positions(t), drop) |> all_blocks |> norm |> unembed(embedding)
  call(first_argument(one, two, three), second_argument(one, two, three), third_argument(one, two, three, four))
}
";
    insta::assert_snapshot!(format(text).unwrap(), @r#"
    layer gpt(
      layers: int,
      width: dim,
      heads: int,
      vocab: int = data.vocab,
      bias: bool = true
    )(ids: tok(vocab)[b, t]) -> [b, t, vocab] {
      dropout(embedding_of_tokens(ids) + embedding_of_positions(t), drop)
        |> all_blocks
        |> norm
        |> unembed(embedding)
      call(
        first_argument(one, two, three),
        second_argument(one, two, three),
        third_argument(one, two, three, four)
      )
    }
    "#);
}

#[test]
fn texts_with_errors_are_laid_out_too() {
    for text in [
        "train{\nlr 1e-3 $ 2\n  batch(8\n",
        "train {\nlr (1e-3\nmodel gpt(2)\n",
        "train {\n  x ) y ] z\n}}\n}",
        "data  \"open\n  batch 8\n",
        "über  1\n",
        "a.5 1 .x\n",
    ] {
        let once = format(text).unwrap();
        assert_eq!(format(&once).unwrap(), once, "{text:?}");
    }
}

fn specs(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with(".git") {
            specs(&path, found);
        } else if path.extension().is_some_and(|e| e == "lt") {
            found.push(path);
        }
    }
}

#[test]
fn every_spec_keeps_its_tokens_and_is_laid_out_once() {
    let mut found = vec![];
    specs(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."), &mut found);
    assert!(found.len() > 100, "{found:?}");
    for path in found {
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        // What is too large or too deep to be read stays as it is.
        match format(&text) {
            Ok(once) => assert_eq!(format(&once).unwrap(), once, "{}", path.display()),
            Err(why) => assert!(!why.contains("fault"), "{}: {why}", path.display()),
        }
    }
}

/// A generator of numbers: Steele et al. 2014, splitmix.
struct Rng(u64);

impl Rng {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) % n as u64) as usize
    }
}

const WORDS: [&str; 56] = [
    "a",
    "lr",
    "model",
    "train",
    "layer",
    "fn",
    "if",
    "else",
    "for",
    "in",
    "not",
    "and",
    "or",
    "true",
    "none",
    "1",
    "2k",
    ".5",
    "1e-3",
    "10%",
    "\"s\"",
    "\"# {x}\"",
    "{",
    "}",
    "{",
    "}",
    "(",
    ")",
    "(",
    ")",
    "[",
    "]",
    ",",
    ":",
    "=",
    ".",
    "..",
    "->",
    "|>",
    "+",
    "-",
    "*",
    "/",
    "@",
    "^",
    "==",
    "<",
    ">=",
    ";",
    "$",
    "?",
    "ü",
    "# comment\n",
    "## doc\n",
    "'q'",
    "use",
];
const SPACES: [&str; 8] = ["", "", " ", " ", "  ", "\n", "\n\n\n", " \t"];

#[test]
fn random_streams_of_tokens_are_laid_out_once_and_keep_all_tokens() {
    let n = std::env::var("LLMC_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(10_000);
    let mut rng = Rng(1);
    for case in 0..n {
        let mut text = String::new();
        for _ in 0..rng.below(60) {
            text += WORDS[rng.below(WORDS.len())];
            text += SPACES[rng.below(SPACES.len())];
        }
        let once = format(&text).unwrap_or_else(|why| panic!("case {case}: {why}\n{text}"));
        let twice = format(&once).unwrap_or_else(|why| panic!("case {case}: {why}\n{once}"));
        assert_eq!(twice, once, "case {case}:\n{text}");
    }
}
