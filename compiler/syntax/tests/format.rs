//! The layout of texts: the same for the same tokens, and nothing is lost.
//!
//! What must be left is told by a reading of texts that knows no grammar, [`atoms`].

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use std::path::Path;

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
fn equals_signs_stand_below_each_other_where_few_spaces_do_it() {
    let text = "\
model a=gpt(2)
model large=gpt(4)
data b=text(\"a\")

data c=text(\"a\")
model gpt(2)
layer two(d: dim)(x: [b, d]) -> [b, d] {
  long_name = linear(d, d)
  w = linear(d, d)
  one, two, three, four = split(x)
  u = 1
  x, y = split(x)
  w(x)
}
";
    insta::assert_snapshot!(format(text).unwrap(), @r#"
    model a     = gpt(2)
    model large = gpt(4)
    data  b     = text("a")

    data  c = text("a")
    model gpt(2)
    layer two(d: dim)(x: [b, d]) -> [b, d] {
      long_name = linear(d, d)
      w         = linear(d, d)
      one, two, three, four = split(x)
      u    = 1
      x, y = split(x)
      w(x)
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
        holds(text, &text);
    }
}

/// Checks that a layout is one for good and has all that the text has.
fn holds(text: &str, case: &dyn std::fmt::Debug) -> String {
    let once = format(text).unwrap_or_else(|why| panic!("{case:?}: {why}\n{text}"));
    let twice = format(&once).unwrap_or_else(|why| panic!("{case:?}: {why}\n{once}"));
    assert_eq!(twice, once, "{case:?} is laid out twice:\n{text}");
    assert_eq!(atoms(&once), atoms(text), "{case:?} has other tokens:\n{text}");
    once
}

/// Words, strings, comments and single symbols; `;` is none, because the end of a line says it too.
fn atoms(text: &str) -> Vec<&str> {
    let mut rest = text.trim_start_matches('\u{feff}');
    let mut atoms = vec![];
    while let Some(first) = rest.chars().next() {
        let in_line = rest.find('\n').unwrap_or(rest.len());
        // A word behind a number that cannot have it is another word: `.5ü`.
        let is_in_word =
            |c: char| (c.is_alphanumeric() || c == '_') && c.is_ascii() == first.is_ascii();
        let length = match first {
            '#' => in_line,
            '"' => end_of_string(&rest[..in_line]),
            _ if is_in_word(first) => rest.find(|c| !is_in_word(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let atom = rest[..length].trim();
        atoms.extend((!atom.is_empty() && atom != ";").then_some(atom));
        rest = &rest[length..];
    }
    atoms
}

/// Bytes of the string that a line begins with, to its end where it is not closed.
fn end_of_string(line: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in line.char_indices().skip(1) {
        if c == '"' && !is_escaped {
            return at + 1;
        }
        is_escaped = c == '\\' && !is_escaped;
    }
    line.len()
}

/// The specs of the repository with their paths in it.
fn specs() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = vec![];
    search(&root, &root, &mut found);
    assert!(found.len() > 200, "only {} specs", found.len());
    found.sort();
    found
}

fn search(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            let is_built = folder == root && (path.ends_with("target") || path.ends_with(".git"));
            if !is_built {
                search(root, &path, found);
            }
        } else if path.extension().is_some_and(|e| e == "lt") {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            // Bytes that are no text are no matter of layout; they are read as `check` shows them.
            let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
            found.push((name, text));
        }
    }
}

#[test]
fn every_spec_keeps_its_tokens_and_is_laid_out_once() {
    for (name, text) in specs() {
        let too_large = name.starts_with("tests/spec/broken/") && format(&text).is_err();
        if !too_large {
            means_the_same(&name, &text, &holds(&text, &name));
        }
    }
}

/// Where a text has no errors, the trees tell more than the tokens.
fn means_the_same(name: &str, text: &str, out: &str) {
    let read = |text: &str| {
        let mut map = diag::SourceMap::new();
        let file = map.add(name, text);
        syntax::parse(&map, file)
    };
    let ((tree, wrong), (again, wrong_again)) = (read(text), read(out));
    if wrong.is_empty() {
        assert!(wrong_again.is_empty(), "{name}: {wrong_again:?}");
        assert_eq!(syntax::print_spec(&again), syntax::print_spec(&tree), "{name}");
    }
}

#[test]
fn specs_are_laid_out_unless_they_are_of_someone_who_errs() {
    let errs =
        |name: &str| ["tests/spec/broken/", "tests/mistakes/"].iter().any(|f| name.starts_with(f));
    let is_laid_out = |name: &str, text: &str| format(text).as_deref() == Ok(text) || errs(name);
    let not: Vec<String> =
        specs().into_iter().filter(|(name, text)| !is_laid_out(name, text)).map(|s| s.0).collect();
    assert!(not.is_empty(), "not laid out, run `llmc fmt {}`", not.join(" "));
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
        holds(&text, &case);
    }
}
