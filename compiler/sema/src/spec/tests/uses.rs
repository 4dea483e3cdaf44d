//! Names of other files.

use super::said::{Said, program, setting};

const BLOCKS: &str = "
layer halves(d: dim)(x: [b, t, d]) -> [b, t, d] { x / 2 }
layer tiny(d: dim)(ids: tok(256)[b, t]) -> [b, t, 256] {
  param emb: [256, d] = normal(0.02)
  param out: [d, 256] = normal(0.02)
  half = halves(d)
  half(emb[ids]) @ out
}
fn slow(step: int, total: int) -> real { step / total }
";

const BASE: &str = "
use \"lib/blocks.lt\" as parts
arg width: dim = 4
model small = parts.tiny(d: width)
data  words = text(\"words.txt\")
train { steps 10; batch 2; context 4; schedule parts.slow }
";

fn of(text: &str, options: &[(&str, Option<&str>)]) -> Result<crate::Program, String> {
    let files = [("spec.lt", text), ("base.lt", BASE), ("lib/blocks.lt", BLOCKS)];
    program(&files, &Said { options, ..Said::default() })
}

#[test]
fn a_job_like_one_of_another_file_has_its_model_and_data() {
    let text = "use \"base.lt\" as base\ntrain like base.train { steps 20 }\n";
    let found = of(text, &[("base.width", Some("6"))]).unwrap();
    assert_eq!((found.model.name.as_str(), found.train.steps), ("base.parts.tiny", 20));
    assert_eq!(found.model.arg("d"), Some(&crate::StaticArg::Int(6)));
    assert_eq!(found.data.paths().next().unwrap().0, "words.txt");
    let (_, origin) = setting(&found, "schedule");
    assert_eq!(origin, "base.lt:6:39, like base.train at spec.lt:2:12");
}

#[test]
fn everything_of_a_file_has_a_name_behind_its_own() {
    let text = "use \"base.lt\" as base
layer mine(d: dim)(ids: tok(256)[b, t]) -> [b, t, 256] {
  inner = base.parts.tiny(d)
  inner(ids)
}
model m = mine(d: base.width * 2)
train { model m; data base.words; schedule base.parts.slow; steps 10; batch 2; context base.small.d }
";
    let found = of(text, &[]).unwrap();
    assert_eq!(found.model.arg("d"), Some(&crate::StaticArg::Int(8)));
    assert_eq!(found.train.context, 4);
    let named = of(
        "use \"base.lt\" as base\ntrain { model base.small; data base.words; steps 5; batch 2; context 4 }\n",
        &[],
    );
    assert_eq!(named.unwrap().model_name.as_deref(), Some("small"));
}

#[test]
fn a_file_without_a_name_gives_its_declarations() {
    let text = "use \"lib/blocks.lt\"\nmodel tiny(d: 4)\ndata text(\"a\")\ntrain { steps 10; batch 2; context 4; schedule slow }\n";
    assert_eq!(of(text, &[]).unwrap().model.name, "tiny");
    let twice = format!("{text}layer halves(d: dim)(x: [b, t, d]) -> [b, t, d] {{ x }}\n");
    let twice = of(&twice, &[]).unwrap_err();
    assert_eq!(twice, "spec.lt:5:7 E0205 `halves` is declared twice\n");
}

#[test]
fn a_mixture_is_of_the_data_beside_its_line() {
    let text = "use \"lib/blocks.lt\"\nuse \"base.lt\" as base\nmodel tiny(d: 4)\n\
                data mine like base.both { split 80% train, 20% val }\n\
                train { steps 10; batch 2; context 4 }\n";
    let base = "data a = text(\"a\")\ndata b = text(\"b\")\ndata both { mix a 40%, b 60% }\n";
    let files = [("spec.lt", text), ("base.lt", base), ("lib/blocks.lt", BLOCKS)];
    let found = program(&files, &Said::default()).unwrap();
    assert_eq!(found.data.paths().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(setting(&found, "data").0, "mix a 40%, b 60%");
}

#[test]
fn the_command_line_sets_a_mixture_and_its_parts_are_left_alone() {
    let text = "use \"lib/blocks.lt\"\nmodel tiny(d: 4)\n\
                data a = text(\"a\")\ndata b = text(\"b\")\ndata { mix a 40%, b 60% }\n\
                train { steps 10; batch 2; context 4 }\n";
    let of = |set| {
        let files = [("spec.lt", text), ("lib/blocks.lt", BLOCKS)];
        program(&files, &Said { sets: &[set], ..Said::default() })
    };
    let found = of("data.split=80% train, 20% val").unwrap();
    assert_eq!(found.data.splits[1], ("val".to_owned(), 0.2));
    assert_eq!(setting(&of("data.mix=a 10%, b 90%").unwrap(), "data").0, "mix a 10%, b 90%");
    assert!(of("a.split=80% train, 20% val").unwrap_err().contains("E0206"));
}

#[test]
fn what_is_wrong_points_into_its_file() {
    let text = "use \"base.lt\" as base\ntrain like base.train { schedule base.parts.slo }\n";
    let wrong = of(text, &[]).unwrap_err();
    assert_eq!(wrong, "spec.lt:2:34 E0202 `base.parts.slo` is not defined\n");
    let text = "use \"base.lt\" as base\ntrain like base.trane { steps 3 }\n";
    let wrong = of(text, &[]).unwrap_err();
    assert!(wrong.contains("2:12 E0202 there is no train `base.trane` to be like"), "{wrong}");
    let wrong =
        of("use \"base.lt\" as base\ntrain like base.train {}\n", &[("base.width", Some("0"))]);
    assert_eq!(
        wrong.unwrap_err(),
        "<command line: --base.width>:1:14 E0302 `width` must be within 1..9007199254740992, found 0\n"
    );
    let text = "use \"none.lt\" as base\ntrain like base.train { steps 3 }\n";
    assert!(of(text, &[]).is_err());
}

#[test]
fn an_argument_has_the_name_that_the_first_file_gives_it() {
    let lib = "arg peak: real = 1e-3\n";
    let between = "use \"lib.lt\" as x\ndata words = text(\"a\")\n";
    let main =
        "use \"lib.lt\" as a\nuse \"between.lt\" as b\nmodel gpt(layers: 1, width: 4, heads: 2)
train { data b.words; steps 10; batch 2; context 4; lr a.peak }
";
    let files = [("spec.lt", main), ("lib.lt", lib), ("between.lt", between)];
    let options = &[("a.peak", Some("2e-3"))];
    let found = program(&files, &Said { options, ..Said::default() }).unwrap();
    assert_eq!(found.train.lr, 2e-3);
}

#[test]
fn an_argument_belongs_to_one_file() {
    let lib = "arg peak: real = 1e-3\n";
    let main = "use \"lib.lt\"\narg peak: real = 1e-3\nmodel gpt(layers: 1, width: 4, heads: 2)\ndata text(\"a\")\ntrain { steps 10; batch 2; context 4 }\n";
    let files = [("spec.lt", main), ("lib.lt", lib)];
    let said = program(&files, &Said::default()).unwrap_err();
    assert_eq!(said, "lib.lt:1:5 E0205 two files have an argument `peak`\n");
}

#[test]
fn data_of_a_file_that_no_line_uses_are_reported() {
    let text = "model gpt(layers: 1, width: 4, heads: 2)\ntrain { data foo.bar; steps 10; batch 2; context 4 }\n";
    assert_eq!(of(text, &[]).unwrap_err(), "spec.lt:2:14 E0202 there is no data `foo.bar`\n");
}

#[test]
fn a_tokenizer_is_looked_for_beside_the_file_that_names_it() {
    let lib = "data web = text(\"input.txt\") { tokenizer \"tok.json\" }\n";
    let main = "use \"lib/base.lt\" as base\ndata mine like base.web\nmodel gpt(layers: 1, width: 4, heads: 2)\ntrain { steps 10; batch 2; context 4 }\n";
    let found = program(&[("spec.lt", main), ("lib/base.lt", lib)], &Said::default()).unwrap();
    let path = "lib/tok.json".to_owned();
    assert_eq!(found.data.tokenizer, crate::program::Tokenizer::File(path));
}

#[test]
fn blocks_are_like_one_another_at_most_so_deep() {
    let spec = |n: usize| {
        let mut text =
            "model gpt(layers: 1, width: 4, heads: 2)\ndata d0 = text(\"a\")\n".to_owned();
        for i in 1..=n {
            text.push_str(&format!("data d{i} like d{}\n", i - 1));
        }
        text + &format!("train {{ data d{n}; steps 10; batch 2; context 4 }}\n")
    };
    assert!(of(&spec(16), &[]).is_ok());
    let wrong = of(&spec(17), &[]).unwrap_err();
    assert!(wrong.contains("E0212 blocks are like one another more than 16 deep"), "{wrong}");
    assert!(of(&spec(400), &[]).is_err());
}
