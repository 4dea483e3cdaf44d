//! Which checkpoints stay.
//!
//! Never removed: the last two valid ones, and the one with the lowest validation loss when the
//! run asks for it. What is not valid is left alone: it is not ours to judge.

use std::{fs, path::Path};

use super::{
    load,
    manifest::Manifest,
    save::{Operation, Watch},
};
use crate::error::Error;

/// Removes old checkpoints after a save; `keep` counts those beside the best.
pub fn prune(
    folder: &Path,
    keep: Option<u64>,
    keep_best: bool,
    watch: Watch<'_>,
) -> Result<Vec<u64>, Error> {
    let Some(keep) = keep else { return Ok(Vec::new()) };
    let valid = valid(folder);
    let best = if keep_best { best(&valid) } else { None };
    let others: Vec<u64> = valid.iter().map(|m| m.step).filter(|&s| Some(s) != best).collect();
    let newest = valid.iter().rev().take(2).map(|m| m.step);
    let newest: Vec<u64> = newest.collect();
    let keep = usize::try_from(keep).unwrap_or(usize::MAX);
    let surplus = others.len().saturating_sub(keep);
    let mut removed = Vec::new();
    for &step in others[..surplus].iter().filter(|step| !newest.contains(step)) {
        remove(folder, step, watch)?;
        removed.push(step);
    }
    Ok(removed)
}

/// The manifests of checkpoints whose files have their sizes, ascending by step.
fn valid(folder: &Path) -> Vec<Manifest> {
    let whole = |step: &u64| {
        let path = folder.join(format!("step-{step}"));
        let manifest = load::manifest(&path).ok()?;
        let sized = manifest.files.iter().all(|(name, &bytes)| {
            fs::metadata(path.join(name)).is_ok_and(|meta| meta.len() == bytes)
        });
        (sized && manifest.step == *step).then_some(manifest)
    };
    load::steps(folder).iter().filter_map(whole).collect()
}

fn best(valid: &[Manifest]) -> Option<u64> {
    let losses = valid.iter().filter_map(|m| Some((m.step, m.val_loss?)));
    losses.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(step, _)| step)
}

/// A checkpoint loses its name first, so that half of one is never found.
fn remove(folder: &Path, step: u64, watch: Watch<'_>) -> Result<(), Error> {
    let path = folder.join(format!("step-{step}"));
    let aside = folder.join(format!("step-{step}.tmp-removed"));
    let failed = |source| Error::io("remove", &path, source);
    watch(Operation::Remove, &path).map_err(failed)?;
    fs::rename(&path, &aside).map_err(failed)?;
    watch(Operation::Remove, &aside).map_err(failed)?;
    fs::remove_dir_all(&aside).map_err(failed)
}
