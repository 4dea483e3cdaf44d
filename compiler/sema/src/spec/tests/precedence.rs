//! Which of those who say a value has the last word.

use super::said::{Said, program, setting};

const BASE: &str = "model gpt(layers: 1, width: 4, heads: 2)\ndata text(\"a.txt\")\n";

/// What `clip` comes out as when these levels say something: the command line, the block, the
/// source it is like, and that of the source.
fn clip_of([cli, block, like, deeper]: [bool; 4]) -> (String, String) {
    let line = |says: bool, text: &'static str| if says { text } else { "" };
    let text = format!(
        "{BASE}train deep {{ steps 10; batch 2; context 4\n{}\n}}\ntrain source like deep {{\n{}\n}}\ntrain job like source {{\n{}\n}}\n",
        line(deeper, "clip 4.0 linf"),
        line(like, "clip 3.0 linf"),
        line(block, "clip 2.0 linf"),
    );
    let sets: &[&str] = if cli { &["job.clip=1.0 linf"] } else { &[] };
    let said = Said { sets, ..Said::default() };
    let program = program(&[("spec.lt", &text)], &said).unwrap();
    setting(&program, "clip")
}

#[test]
fn each_level_goes_before_every_one_after_it() {
    // The first that speaks counts, whichever of the others speak too.
    for says in 0..16 {
        let levels = [8, 4, 2, 1].map(|bit| says & bit != 0);
        let (value, origin) = clip_of(levels);
        let [cli, block, like, deeper] = levels;
        let expect = match (cli, block, like, deeper) {
            (true, ..) => ("1.0 linf", "--set job.clip=1.0 linf"),
            (false, true, ..) => ("2.0 linf", "spec.lt:10:1"),
            (false, false, true, _) => ("3.0 linf", "spec.lt:7:1, like source at spec.lt:9:16"),
            (false, false, false, true) => ("4.0 linf", "spec.lt:4:1, like deep at spec.lt:6:19"),
            (false, false, false, false) => ("1.0 l2", "default"),
        };
        assert_eq!((value.as_str(), origin.as_str()), expect, "{says:04b}");
    }
}

#[test]
fn what_depends_on_an_overridden_line_follows_it() {
    let text = format!(
        "{BASE}arg n: int = 4\ntrain small {{ steps 100; batch n * 2; context 4; warmup 10% }}\n\
         train large like small {{ steps 1000 }}\n"
    );
    let files = [("spec.lt", text.as_str())];
    let large = program(&files, &Said::default()).unwrap();
    assert_eq!((large.train.steps, large.train.warmup, large.train.batch), (1000, 100, 8));
    let said = Said { options: &[("n", Some("3"))], sets: &["steps=50"], ..Said::default() };
    let large = program(&files, &said).unwrap();
    assert_eq!((large.train.steps, large.train.warmup, large.train.batch), (50, 5, 6));
    let from =
        ("6".to_owned(), "spec.lt:4:26, like small at spec.lt:5:18; n from --n 3".to_owned());
    assert_eq!(setting(&large, "batch"), from);
    let small = program(&files, &Said { job: Some("small"), ..Said::default() }).unwrap();
    assert_eq!((small.train.steps, small.train.name.as_deref()), (100, Some("small")));
}
