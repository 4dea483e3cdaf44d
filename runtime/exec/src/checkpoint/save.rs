//! Saving: a folder under another name, synced and verified before it counts.
//!
//! In: the state and the manifest's facts. Out: `step-N/`, complete on disk, or an error and
//! nothing changed. Invariant: `step-N` appears by one rename, after every byte is on disk.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use plan::{Plan, Role};
use sha2::{Digest, Sha256};

use super::{
    FILES, buffers_of, load,
    manifest::{Manifest, Tensor},
    safetensors,
};
use crate::{device::cpu::Memory, error::Error, finite};

/// Bytes given to the system at once.
const CHUNK_BYTES: usize = 4 << 20;

/// What a save is about to do to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Make a folder.
    CreateFolder,
    /// Make a file.
    Create,
    /// Write so many bytes to it.
    Write(usize),
    /// Wait until it is on disk.
    Sync,
    /// Give the folder its name.
    Rename,
    /// Read it back.
    Verify,
    /// Remove an old checkpoint.
    Remove,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Operation::CreateFolder | Operation::Create => "create",
            Operation::Write(_) => "write",
            Operation::Sync => "fsync",
            Operation::Rename => "rename",
            Operation::Verify => "verify",
            Operation::Remove => "remove",
        }
    }
}

/// Is told of every operation before it happens, and may refuse it as the disk would.
pub type Watch<'w> = &'w mut dyn FnMut(Operation, &Path) -> io::Result<()>;

/// Runs one operation under the watch, its failure named.
fn watched<T>(
    watch: Watch<'_>,
    operation: Operation,
    path: &Path,
    run: impl FnOnce() -> io::Result<T>,
) -> Result<T, Error> {
    let done = watch(operation, path).and_then(|()| run());
    done.map_err(|source| Error::io(operation.name(), path, source))
}

/// What is saved beside counters.
pub const SAVED: [Role; 2] = [Role::Param, Role::OptState];

/// Writes `step-N` into the run's folder. The facts' tensors, files and hash are filled in.
///
/// A state that is not finite is refused: what is saved can be gone on from.
pub fn save(
    folder: &Path,
    plan: &Plan,
    memory: &Memory,
    facts: Manifest,
    watch: Watch<'_>,
) -> Result<(PathBuf, Manifest), Error> {
    let tensor = finite::first_bad(plan, memory, &SAVED);
    if let Some(tensor) = tensor.or_else(|| finite::first_nan_counter(plan, memory)) {
        let step = facts.step;
        let why = format!("{tensor} holds values that are not finite; step {step} was not saved");
        return Err(Error::Diverged(why));
    }
    let target = folder.join(format!("step-{}", facts.step));
    let temporary = folder.join(format!("step-{}.tmp-{}", facts.step, std::process::id()));
    remove_leftovers(folder);
    let done = write(&temporary, plan, memory, facts, watch)
        .and_then(|manifest| publish(&temporary, &target, manifest, watch));
    if done.is_err() {
        // The error that led here matters more than one of cleaning up; the next save tries again.
        let _ = fs::remove_dir_all(&temporary);
    }
    done.map(|manifest| (target, manifest))
}

/// Removes what saves of dead processes left; the caller holds the run's lock.
pub fn remove_leftovers(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("step-") && name.contains(".tmp-") {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn write(
    folder: &Path,
    plan: &Plan,
    memory: &Memory,
    facts: Manifest,
    watch: Watch<'_>,
) -> Result<Manifest, Error> {
    watched(watch, Operation::CreateFolder, folder, || fs::create_dir(folder))?;
    let mut tensors = Vec::new();
    let mut files = BTreeMap::new();
    for name in FILES {
        let bytes = write_tensors(folder, name, plan, memory, &mut tensors, watch)?;
        files.insert(name.to_owned(), bytes);
    }
    let (manifest, text) = Manifest { tensors, files, ..facts }.seal();
    let path = folder.join("manifest.json");
    let mut file = watched(watch, Operation::Create, &path, || File::create_new(&path))?;
    write_bytes(&mut file, &path, text.as_bytes(), watch)?;
    watched(watch, Operation::Sync, &path, || file.sync_all())?;
    sync_folder(folder, watch)?;
    Ok(manifest)
}

/// One file of tensors; returns its size.
fn write_tensors(
    folder: &Path,
    name: &str,
    plan: &Plan,
    memory: &Memory,
    tensors: &mut Vec<Tensor>,
    watch: Watch<'_>,
) -> Result<u64, Error> {
    let path = folder.join(name);
    let buffers = buffers_of(plan, name);
    let header = safetensors::header(
        buffers.iter().map(|(_, b)| (b.name.as_str(), b.dtype, b.shape.as_slice(), b.bytes)),
    );
    let mut file = watched(watch, Operation::Create, &path, || File::create_new(&path))?;
    write_bytes(&mut file, &path, &header, watch)?;
    let mut written = header.len() as u64;
    for (id, buffer) in buffers {
        let bytes = memory.bytes(id);
        write_bytes(&mut file, &path, bytes, watch)?;
        written += bytes.len() as u64;
        tensors.push(Tensor {
            file: name.to_owned(),
            name: buffer.name.clone(),
            dtype: safetensors::dtype_name(buffer.dtype).to_owned(),
            shape: buffer.shape.clone(),
            sha256: data::hash::hex(&Sha256::digest(bytes)),
        });
    }
    watched(watch, Operation::Sync, &path, || file.sync_all())?;
    Ok(written)
}

fn write_bytes(file: &mut File, path: &Path, bytes: &[u8], watch: Watch<'_>) -> Result<(), Error> {
    for chunk in bytes.chunks(CHUNK_BYTES) {
        watched(watch, Operation::Write(chunk.len()), path, || file.write_all(chunk))?;
    }
    Ok(())
}

fn sync_folder(folder: &Path, watch: Watch<'_>) -> Result<(), Error> {
    watched(watch, Operation::Sync, folder, || File::open(folder)?.sync_all())
}

/// Gives the written folder its name and reads it back.
fn publish(
    temporary: &Path,
    target: &Path,
    manifest: Manifest,
    watch: Watch<'_>,
) -> Result<Manifest, Error> {
    if target.exists() {
        if load::verify(target).is_ok_and(|old| old == manifest) {
            let _ = fs::remove_dir_all(temporary);
            return Ok(manifest);
        }
        // Only a damaged one can be here: a run goes on behind its newest valid checkpoint.
        let aside = temporary.with_extension("tmp-damaged");
        watched(watch, Operation::Rename, target, || fs::rename(target, &aside))?;
    }
    watched(watch, Operation::Rename, target, || fs::rename(temporary, target))?;
    let parent = target.parent().expect("a checkpoint is inside the run's folder");
    let verified = sync_folder(parent, watch).and_then(|()| {
        watch(Operation::Verify, target).map_err(|e| Error::io("verify", target, e))?;
        load::verify(target)
    });
    match verified {
        Ok(read) if read == manifest => {
            remove_leftovers(parent);
            Ok(manifest)
        }
        Ok(_) | Err(_) => {
            // What did not come back from the disk as written must not be found later.
            let _ = fs::rename(target, temporary);
            Err(verified.err().unwrap_or_else(|| {
                Error::checkpoint(target, "what was read back is not what was written")
            }))
        }
    }
}
