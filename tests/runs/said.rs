//! Arguments, files, jobs and logs of whole runs, and weights that are frozen.

use std::collections::BTreeMap;

use crate::folder::{Folder, gpt};

/// The hashes of the tensors of a checkpoint, by file and name.
fn tensors(folder: &Folder, checkpoint: &str) -> BTreeMap<(String, String), String> {
    let manifest = exec::checkpoint::load::verify(&folder.at(checkpoint)).unwrap();
    manifest.tensors.into_iter().map(|t| ((t.file, t.name), t.sha256)).collect()
}

#[test]
fn frozen_weights_stay_as_they_are_and_have_no_state() {
    for precision in ["fp32", "fp16 master fp16"] {
        let folder = Folder::new("said-frozen");
        let lines = "steps 6\naccumulate 2\nema 0.9\nfreeze embeddings\ncheckpoint \"r\" every 1";
        folder.write("a.lt", gpt(&format!("{lines}\nprecision {precision}")));
        folder.llmc(&["train", "a.lt"]).exits(0);
        let (first, last) = (tensors(&folder, "r/step-1"), tensors(&folder, "r/step-6"));
        let frozen = |name: &str| name.contains("tok_emb") || name.contains("pos_emb");
        for (place, hash) in first.iter().filter(|((file, _), _)| file == "model.safetensors") {
            assert_eq!(last[place] == *hash, frozen(&place.1), "{precision}: {place:?}");
        }
        let kept = first.keys().map(|(_, name)| name.as_str()).filter(|name| frozen(name));
        let kept: Vec<&str> = kept.collect();
        assert_eq!(kept, ["pos_emb.weight", "tok_emb.weight"], "{precision}");
    }
}

#[test]
fn a_run_with_arguments_and_other_files_needs_neither_again() {
    let folder = Folder::new("said-files");
    std::fs::create_dir_all(folder.at("lib")).unwrap();
    std::fs::copy(folder.at("text.txt"), folder.at("lib/words.txt")).unwrap();
    folder.write(
        "lib/base.lt",
        "arg width: dim = 8 in 8..64\ndata words = text(\"words.txt\")\n\
         model small = gpt(layers: 1, width: width, heads: 2)\n\
         train { steps 3; batch 2; context 8; lr 1e-3; checkpoint \"{env.LT_OUT}/{run}\" }\n",
    );
    folder.write(
        "main.lt",
        "use \"lib/base.lt\" as base\ntrain first like base.train {}\n\
         train second like first { steps 4 }\n",
    );
    let line = "LT_OUT=out llmc train main.lt first --base.width 16";
    let ended = folder.shell(line).exits(0);
    ended.prints("run folder out/first");
    // The same words are the same run, others are another.
    folder.shell(line).exits(0).prints("finished at step 3");
    folder.shell("LT_OUT=out llmc train main.lt --base.width=16").exits(0).prints("out/second");
    let wrong = folder.shell("LT_OUT=out llmc train main.lt first --base.width 4").exits(2);
    wrong.says("`width` 4 is outside 8..64");
    folder.shell("llmc train main.lt first --base.width 16").exits(2).says("`LT_OUT` of the");
    std::fs::remove_dir_all(folder.at("lib")).unwrap();
    folder.llmc(&["generate", "out/first", "a", "--length", "3"]).exits(0);
}

#[test]
fn use_stays_in_its_folder_and_ends_where_it_started() {
    let folder = Folder::new("said-use");
    std::fs::create_dir_all(folder.at("in/deep")).unwrap();
    std::fs::copy(folder.at("text.txt"), folder.at("in/text.txt")).unwrap();
    folder.write("outside.lt", "fn f(x: [..s]) -> [..s] { x }\n");
    folder.write("in/deep/b.lt", "use \"../a.lt\" as a\n");
    let used = |path: &str| {
        folder.write("in/a.lt", format!("use \"{path}\" as it\n{}", gpt("steps 1")));
        folder.llmc(&["check", "in/a.lt"])
    };
    used("../outside.lt").exits(2).says("is outside of `in`, which `use` may not leave");
    used("/etc/passwd").exits(2).says("takes a path from its own file");
    used("deep").exits(2).says("is not a regular file");
    used("none.lt").exits(2).says("there is no file `in/none.lt`");
    used("a.lt").exits(2).says("`a.lt` uses itself");
    used("deep/b.lt").exits(2).says("`a.lt` uses itself through `deep/b.lt`");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(folder.at("outside.lt"), folder.at("in/link.lt")).unwrap();
        used("link.lt").exits(2).says("is outside of `in`");
    }
    used("../outside.lt").exits(2);
    folder.llmc(&["check", "in/a.lt", "--root", "."]).exits(0);
}

#[test]
fn logs_hold_what_the_run_holds_interrupted_or_not() {
    let folder = Folder::new("said-logs");
    let lines = "steps 6\nlog csv \"out/{run}.csv\" every 2\nlog jsonl \"out/all.jsonl\"\nlog console every 3\neval every 6\ncheckpoint \"r\" every 2";
    folder.write("a.lt", gpt(lines));
    let ended = folder.llmc(&["train", "a.lt"]).exits(0);
    assert!(ended.out.contains("step 3/6") && !ended.out.contains("step 1/6"), "{}", ended.out);
    let table = std::fs::read_to_string(folder.at("out/a.csv")).unwrap();
    let steps: Vec<&str> = table.lines().map(|l| l.split(',').next().unwrap()).collect();
    assert_eq!(steps, ["step", "2", "4", "6"]);
    assert_eq!(table.lines().next().unwrap().matches(',').count(), 14);
    let all = std::fs::read_to_string(folder.at("out/all.jsonl")).unwrap();
    assert_eq!(all, std::fs::read_to_string(folder.at("r/metrics.jsonl")).unwrap());
    // What was written past the checkpoint that a run goes on from is written anew.
    std::fs::remove_file(folder.at("r/outcome.json")).unwrap();
    std::fs::remove_dir_all(folder.at("r/step-6")).unwrap();
    folder.llmc(&["train", "a.lt"]).exits(0).prints("going on from step 4");
    let again = std::fs::read_to_string(folder.at("out/a.csv")).unwrap();
    let losses = |table: &str| -> Vec<String> {
        table.lines().map(|l| l.split(',').take(3).collect::<Vec<_>>().join(",")).collect()
    };
    assert_eq!(losses(&again), losses(&table));
}

#[test]
fn help_and_show_say_what_a_spec_takes_and_what_it_came_out_as() {
    let folder = Folder::new("said-help");
    let spec = gpt("steps 2").replace("lr 3e-3", "lr peak");
    folder.write(
        "a.lt",
        format!("## Of the whole rate.\narg peak: real = 1e-3 in 1e-5..1e-2\n{spec}"),
    );
    let help = folder.llmc(&["help", "a.lt"]).exits(0);
    help.prints(
        "--peak REAL                  1e-3 by default, in 1e-5..1e-2\n      Of the whole rate.",
    );
    let show = folder.llmc(&["show", "a.lt", "--origin", "--peak", "2e-3"]).exits(0);
    let row = show.out.lines().find(|l| l.trim_start().starts_with("lr ")).unwrap();
    assert!(
        row.contains("0.002") && row.contains("a.lt:") && row.contains("peak from --peak 2e-3")
    );
    folder.llmc(&["data", "show", "a.lt", "--peak", "2e-3"]).exits(0);
    let json = folder.llmc(&["show", "a.lt", "--json", "--set", "clip=0.5"]).exits(0);
    let json: serde_json::Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["clip"]["value"], "0.5");
    assert_eq!(json["clip"]["origin"], "--set clip=0.5");
    assert_eq!(json["batch"]["by"], "spec");
    folder.llmc(&["check", "a.lt", "--thread", "1"]).exits(2).says("did you mean `--threads`?");
}
