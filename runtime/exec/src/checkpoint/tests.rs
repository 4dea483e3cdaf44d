//! The protocol of saving and loading under faults, kills and damage.

use std::{
    collections::BTreeMap,
    fs, io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
};

use plan::{ALIGN, Buffer, BufferId, Dtype, Plan, Role};

use super::{keep, load, manifest::Manifest, save, start};
use crate::{
    error::Error,
    executor::{Executor, Options},
    scratch::Scratch,
    tiny,
};

fn executor() -> Executor {
    let mut plan = tiny::plan();
    plan.code.clear();
    plan.functions.clear();
    for (name, dtype) in [("half", Dtype::F16), ("brain", Dtype::Bf16)] {
        let offset = plan.arena_bytes.next_multiple_of(ALIGN);
        let (name, shape) = (name.to_owned(), vec![3]);
        plan.buffers.push(Buffer {
            name,
            dtype,
            shape,
            role: Role::Param,
            offset,
            bytes: 6,
            within: None,
        });
        plan.arena_bytes = offset + 6;
    }
    Executor::load(plan, &Options::threads(1)).unwrap()
}

/// A state that depends on the step in every tensor.
fn state(step: u64) -> Executor {
    let mut executor = executor();
    let plan = executor.plan().clone();
    for name in ["w", "w.m", "b"] {
        let id = plan.buffer(name).unwrap();
        executor.memory_mut().f32_mut(id).fill(step as f32 + 0.5);
    }
    for name in ["half", "brain"] {
        let id = plan.buffer(name).unwrap();
        let bits = (0x3c00 + step as u16).to_le_bytes();
        for element in executor.memory_mut().bytes_mut(id).chunks_exact_mut(2) {
            element.copy_from_slice(&bits);
        }
    }
    executor
}

fn facts(step: u64, val_loss: Option<f64>) -> Manifest {
    Manifest {
        format: super::manifest::FORMAT,
        compiler: "test".into(),
        identity: "i".into(),
        trajectory: "t".into(),
        numerics: "exact".into(),
        products: "fma".into(),
        world: 1,
        step,
        counters: BTreeMap::from([("applied_updates".to_owned(), step as f64)]),
        cursor: step * 4,
        seed: 3,
        vocabulary: "v".into(),
        data: "d".into(),
        val_loss,
        best: None,
        tensors: Vec::new(),
        files: BTreeMap::new(),
        sha256: String::new(),
    }
}

fn save_step(dir: &Path, step: u64, watch: save::Watch<'_>) -> Result<Manifest, Error> {
    let executor = state(step);
    save::save(dir, executor.plan(), executor.memory(), facts(step, None), watch).map(|s| s.1)
}

fn saved(dir: &Path, step: u64) -> Manifest {
    save_step(dir, step, &mut |_, _| Ok(())).unwrap()
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn n_operations(scratch: &Scratch) -> usize {
    let dir = scratch.path().join("count");
    fs::create_dir(&dir).unwrap();
    let mut n = 0;
    save_step(&dir, 2, &mut |_, _| {
        n += 1;
        Ok(())
    })
    .unwrap();
    n
}

#[test]
fn what_is_saved_is_restored_in_every_bit() {
    let scratch = Scratch::new("checkpoint_round");
    let manifest = saved(scratch.path(), 7);
    let found = load::newest(scratch.path()).unwrap().unwrap();
    assert_eq!((&found.manifest, found.warnings.len()), (&manifest, 0));
    let (mut to, from) = (executor(), state(7));
    let plan = to.plan().clone();
    load::restore(&found, &plan, to.memory_mut()).unwrap();
    for idx in 0..plan.buffers.len() {
        let id = BufferId(idx as u32);
        assert_eq!(to.memory().bytes(id), from.memory().bytes(id), "{}", plan[id].name);
    }
}

#[test]
fn a_run_starts_with_the_weights_that_fit() {
    let scratch = Scratch::new("checkpoint_start");
    let sha256 = saved(scratch.path(), 7).sha256;
    let from = |sha256: &str| {
        let checkpoint = scratch.path().join("step-7").display().to_string();
        plan::Start { checkpoint, sha256: sha256.to_owned() }
    };
    assert_eq!(start::find(scratch.path()).unwrap().manifest.sha256, sha256);
    let mut plan = executor().plan().clone();
    let [b, half] = ["b", "half"].map(|name| plan.buffer(name).unwrap().0 as usize);
    plan.buffers[b].name = "c".into();
    (plan.buffers[half].shape, plan.buffers[half].bytes) = (vec![2], 4);
    let mut to = Executor::load(plan.clone(), &Options::threads(1)).unwrap();
    let take = |to: &mut Executor, sha256: &str, vocabulary: &str| {
        start::take(&from(sha256), &plan, vocabulary, to.memory_mut())
    };

    let taken = take(&mut to, &sha256, "v").unwrap();
    assert_eq!(taken.fresh, ["c: new", "half: F16 [2], there F16 [3]"]);
    let id = plan.buffer("w").unwrap();
    assert!(to.memory().f32(id).iter().all(|&w| w == 7.5), "the weight of the other run");
    let [m, c] = ["w.m", "c"].map(|name| plan.buffer(name).unwrap());
    assert!(to.memory().f32(m).iter().all(|&m| m == 0.0), "no state of the other rule");
    assert!(to.memory().f32(c).iter().all(|&c| c == 0.0), "a new weight stays as it was");

    let changed = take(&mut to, "0", "v").unwrap_err().to_string();
    assert!(changed.contains("changed since"), "{changed}");
    let other_text = take(&mut to, &sha256, "w").unwrap_err().to_string();
    assert!(other_text.contains("vocabulary"), "{other_text}");
}

#[test]
fn equal_states_write_equal_bytes() {
    let scratch = Scratch::new("checkpoint_equal");
    let (a, b) = (scratch.path().join("a"), scratch.path().join("b"));
    for dir in [&a, &b] {
        fs::create_dir(dir).unwrap();
        saved(dir, 7);
    }
    for name in names(&a.join("step-7")) {
        let file = Path::new("step-7").join(name);
        assert_eq!(fs::read(a.join(&file)).unwrap(), fs::read(b.join(&file)).unwrap());
    }
}

#[test]
fn a_fault_at_any_operation_leaves_the_old_checkpoint_and_nothing_else() {
    let scratch = Scratch::new("checkpoint_fault");
    let n = n_operations(&scratch);
    assert!(n > 15, "{n}");
    let dir = scratch.path().join("run");
    fs::create_dir(&dir).unwrap();
    saved(&dir, 1);
    for k in 0..n {
        let mut at = 0;
        let result = save_step(&dir, 2, &mut |_, _| {
            at += 1;
            if at > k { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        });
        assert_eq!(result.unwrap_err().exit_code(), 4, "operation {k}");
        assert_eq!(names(&dir), ["step-1"], "operation {k}");
        assert_eq!(load::newest(&dir).unwrap().unwrap().manifest.step, 1);
    }
    saved(&dir, 2);
}

#[test]
fn a_kill_at_any_operation_leaves_a_valid_checkpoint() {
    let scratch = Scratch::new("checkpoint_kill");
    for k in 0..n_operations(&scratch) {
        let dir = scratch.path().join(format!("run-{k}"));
        fs::create_dir(&dir).unwrap();
        saved(&dir, 1);
        let mut at = 0;
        let killed = catch_unwind(AssertUnwindSafe(|| {
            save_step(&dir, 2, &mut |_, _| {
                at += 1;
                if at > k {
                    resume_unwind(Box::new(()));
                }
                Ok(())
            })
        }));
        assert!(killed.is_err());
        let found = load::newest(&dir).unwrap().unwrap();
        assert!(found.warnings.is_empty() && [1, 2].contains(&found.manifest.step));
        saved(&dir, 2);
        assert_eq!(names(&dir), ["step-1", "step-2"], "operation {k}");
    }
}

#[test]
fn one_flipped_bit_anywhere_falls_back_to_the_checkpoint_before() {
    let scratch = Scratch::new("checkpoint_flip");
    saved(scratch.path(), 1);
    saved(scratch.path(), 2);
    let dir = scratch.path().join("step-2");
    for name in names(&dir) {
        let path = dir.join(&name);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            fs::write(&path, bad).unwrap();
            let found = load::newest(scratch.path()).unwrap().unwrap();
            assert_eq!(found.manifest.step, 1, "byte {at} of {name}");
            assert!(found.warnings[0].contains(&name), "{}", found.warnings[0]);
        }
        fs::write(&path, &good[..good.len() - 1]).unwrap();
        assert_eq!(load::newest(scratch.path()).unwrap().unwrap().manifest.step, 1);
        fs::write(&path, good).unwrap();
    }
    assert_eq!(load::newest(scratch.path()).unwrap().unwrap().manifest.step, 2);
}

#[test]
fn damage_names_the_tensor() {
    let scratch = Scratch::new("checkpoint_tensor");
    saved(scratch.path(), 1);
    let path = scratch.path().join("step-1/model.safetensors");
    let mut bytes = fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&path, bytes).unwrap();
    let error = load::newest(scratch.path()).unwrap_err();
    assert_eq!(error.exit_code(), 3);
    assert!(error.to_string().contains("tensor \"w\": the hash does not fit"), "{error}");
}

#[test]
fn a_state_that_is_not_finite_is_not_saved() {
    let scratch = Scratch::new("checkpoint_nan");
    saved(scratch.path(), 1);
    for (name, bad) in [("w", f32::NAN), ("w.m", f32::INFINITY)] {
        let mut executor = state(2);
        let id = executor.plan().buffer(name).unwrap();
        executor.memory_mut().f32_mut(id)[3] = bad;
        let (plan, memory) = (executor.plan(), executor.memory());
        let result = save::save(scratch.path(), plan, memory, facts(2, None), &mut |_, _| Ok(()));
        let error = result.unwrap_err();
        assert_eq!(error.exit_code(), 5);
        assert!(
            error.to_string().contains(&format!("{name} holds values that are not")),
            "{error}"
        );
        assert_eq!(names(scratch.path()), ["step-1"]);
    }
}

/// Writes over the last bytes of a file of a checkpoint and mends all hashes.
fn forge(path: &Path, file: &str, tensor: &str, bytes: &[u8]) {
    let place = path.join(file);
    let mut all = fs::read(&place).unwrap();
    let length = all.len() as u64;
    let entries = super::safetensors::read_header(&mut &all[..], length).unwrap();
    let entry = entries.iter().find(|e| e.name == tensor).unwrap();
    let range = entry.start as usize..(entry.start + entry.bytes) as usize;
    all[range.clone()][..bytes.len()].copy_from_slice(bytes);
    fs::write(&place, &all).unwrap();
    let mut manifest = load::manifest(path).unwrap();
    let listed = manifest.tensors.iter_mut().find(|t| t.name == tensor).unwrap();
    listed.sha256 = data::hash::sha256(&all[range]);
    fs::write(path.join("manifest.json"), manifest.seal().1).unwrap();
}

/// As another program could have written it.
#[test]
fn a_checkpoint_that_is_not_finite_is_refused_and_the_one_before_is_taken() {
    let nan = [f32::NAN.to_le_bytes().to_vec(), f64::NAN.to_le_bytes().to_vec()];
    let cases = [
        ("model", "w", &nan[0]),
        ("model", "b", &nan[0]),
        ("optimizer", "w.m", &nan[0]),
        ("optimizer", "loss_scale", &nan[1]),
    ];
    for (file, tensor, bytes) in cases {
        let scratch = Scratch::new(&format!("checkpoint_load_nan_{tensor}"));
        saved(scratch.path(), 1);
        saved(scratch.path(), 2);
        let file = format!("{file}.safetensors");
        forge(&scratch.path().join("step-2"), &file, tensor, bytes);
        let found = load::newest(scratch.path()).unwrap().unwrap();
        assert_eq!(found.manifest.step, 1);
        let why = format!("tensor {tensor:?}: holds values that are not finite");
        assert!(found.warnings[0].contains(&why), "{}", found.warnings[0]);
    }
}

/// A counter may wait at infinity for its first number.
#[test]
fn a_counter_may_be_infinite() {
    let scratch = Scratch::new("checkpoint_infinite_counter");
    saved(scratch.path(), 1);
    let path = scratch.path().join("step-1");
    let bytes = f64::INFINITY.to_le_bytes();
    forge(&path, "optimizer.safetensors", "skipped_updates", &bytes);
    let found = load::newest(scratch.path()).unwrap().unwrap();
    let mut to = executor();
    let plan = to.plan().clone();
    load::restore(&found, &plan, to.memory_mut()).unwrap();
    assert_eq!(to.memory().f64(plan.buffer("skipped_updates").unwrap())[0], f64::INFINITY);
}

#[test]
fn another_model_gets_a_table_and_nothing_is_loaded() {
    let scratch = Scratch::new("checkpoint_other");
    saved(scratch.path(), 1);
    let found = load::newest(scratch.path()).unwrap().unwrap();
    let mut other: Plan = executor().plan().clone();
    for buffer in &mut other.buffers {
        match buffer.name.as_str() {
            "w" => buffer.shape = vec![4],
            "b" => buffer.name = "c".to_owned(),
            _ => {}
        }
    }
    let mut to = Executor::load(other.clone(), &Options::threads(1)).unwrap();
    let error = load::restore(&found, &other, to.memory_mut()).unwrap_err().to_string();
    for line in [
        "w: the model has F32 [4], the checkpoint F32 [2, 2]",
        "c: the model has F32 [3], the checkpoint nothing",
        "b: the model has nothing, the checkpoint F32 [3]",
    ] {
        assert!(error.contains(line), "{error}");
    }
    assert!(to.memory().f32(other.buffer("w.m").unwrap()).iter().all(|&x| x == 0.0));
}

#[test]
fn a_newer_format_is_named() {
    let scratch = Scratch::new("checkpoint_newer");
    saved(scratch.path(), 1);
    let path = scratch.path().join("step-1/manifest.json");
    fs::write(&path, r#"{"format": 2, "whatever": []}"#).unwrap();
    let error = load::newest(scratch.path()).unwrap_err().to_string();
    assert!(error.contains("format 2 is newer than 1"), "{error}");
}

#[test]
fn a_damaged_checkpoint_of_the_same_step_is_replaced() {
    let scratch = Scratch::new("checkpoint_replace");
    saved(scratch.path(), 1);
    saved(scratch.path(), 2);
    fs::write(scratch.path().join("step-2/manifest.json"), "{").unwrap();
    saved(scratch.path(), 2);
    assert_eq!(load::newest(scratch.path()).unwrap().unwrap().manifest.step, 2);
    assert_eq!(names(scratch.path()), ["step-1", "step-2"]);
}

fn kept(losses: &[f64], keep: Option<u64>, keep_best: bool) -> Vec<u64> {
    let scratch = Scratch::new(&format!("checkpoint_keep_{keep:?}_{keep_best}"));
    let executor = state(1);
    let (plan, memory) = (executor.plan(), executor.memory());
    for (step, &loss) in losses.iter().enumerate() {
        let facts = facts(step as u64, Some(loss));
        save::save(scratch.path(), plan, memory, facts, &mut |_, _| Ok(())).unwrap();
    }
    keep::prune(scratch.path(), keep, keep_best, &mut |_, _| Ok(())).unwrap();
    load::steps(scratch.path())
}

#[test]
fn pruning_keeps_the_best_and_the_last_two() {
    let losses = [5.0, 1.0, 3.0, 4.0, 2.0];
    assert_eq!(kept(&losses, Some(1), true), [1, 3, 4]);
    assert_eq!(kept(&losses, Some(0), false), [3, 4]);
    assert_eq!(kept(&losses, Some(3), true), [1, 2, 3, 4]);
    assert_eq!(kept(&losses, Some(3), false), [2, 3, 4]);
    assert_eq!(kept(&losses, None, true), [0, 1, 2, 3, 4]);
}
