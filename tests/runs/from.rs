//! Jobs that start with the weights of another run.

use crate::folder::Folder;

/// Two jobs on one text; the second starts from the first.
fn spec(small: &str, from: &str) -> String {
    let train = "batch 4\ncontext 16\nlr 3e-3\nsteps 12\nprecision fp32\n";
    format!(
        "model {small}\ndata text(\"text.txt\", tokenizer: bytes)\n\
         train base {{\n{train}}}\ntrain tuned {from} {{\n{train}seed 7\n}}\n"
    )
}

const SMALL: &str = "gpt(layers: 1, width: 16, heads: 2)";

#[test]
fn a_job_starts_with_the_weights_of_another_one() {
    let folder = Folder::new("from-job");
    folder.write("a.lt", spec(SMALL, "from base"));
    let first = folder.llmc(&["train", "a.lt", "tuned"]).exits(2);
    first.says("there is no run in runs/a-base to start from");
    first.says("train that job first: `llmc train .. base`");

    folder.llmc(&["train", "a.lt", "base"]).exits(0);
    let tuned = folder.llmc(&["train", "a.lt", "tuned"]).exits(0);
    tuned.prints("starting with 16 of 16 tensors of runs/a-base/step-12");
    let loss = |run: &str, row: usize| -> f64 {
        let row = folder.rows(run)[row].clone();
        let (_, rest) = row.split_once("\"loss\":").unwrap();
        rest.split([',', '}']).next().unwrap().parse().unwrap()
    };
    // It goes on about where the first one ended.
    assert!(loss("runs/a-tuned", 0) < loss("runs/a-base", 0) - 0.3);
    folder.llmc(&["train", "a.lt", "tuned"]).exits(0).prints("runs/a-tuned finished at step 12");
}

#[test]
fn a_job_starts_from_the_folder_of_a_run_and_makes_what_is_not_there() {
    let folder = Folder::new("from-folder");
    folder.write("a.lt", spec(SMALL, ""));
    folder.llmc(&["train", "a.lt", "base"]).exits(0);
    let deeper = SMALL.replace("layers: 1", "layers: 2");
    folder.write("b.lt", spec(&deeper, "from \"runs/a-base\""));
    let tuned = folder.llmc(&["train", "b.lt", "tuned"]).exits(0);
    tuned.prints("starting with 16 of 28 tensors of runs/a-base/step-12");
    tuned.prints("blocks.1.attn.qkv.weight: new");
    let wider = SMALL.replace("width: 16", "width: 24");
    folder.write("c.lt", spec(&wider, "from \"runs/a-base\""));
    folder.llmc(&["check", "c.lt"]).exits(2).says("error[E0803]");
}

#[test]
fn a_job_whose_origin_cannot_be_read_does_not_make_new_weights() {
    let folder = Folder::new("from-broken");
    let text = spec(SMALL, "from base");
    let broken = text.replacen("steps 12", "steps 12\nclip -1", 1);
    folder.write("a.lt", broken);
    let ended = folder.llmc(&["train", "a.lt", "tuned"]).exits(2);
    ended.says("the run of `base` is not known");
    assert!(!folder.at("runs/a-tuned").exists());
}
