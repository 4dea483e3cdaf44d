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
