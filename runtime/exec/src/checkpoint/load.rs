//! Loading: the newest checkpoint whose every hash fits, checked before use.
//!
//! In: the run's folder. Out: the state of the plan, or a table of what does not fit. No pointer
//! file is trusted; a damaged checkpoint is named and the one before it is taken.

use std::{
    fs::{self, File},
    io::{BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use plan::{Dtype, Plan};
use sha2::{Digest, Sha256};

use super::{FILES, buffers_of, manifest::Manifest, safetensors};
use crate::{
    device::cpu::Memory,
    error::Error,
    finite::{all_finite, has_nan},
};

/// A checkpoint that was found, and what was passed over.
#[derive(Debug)]
pub struct Found {
    /// Its folder.
    pub path: PathBuf,
    /// What it says of itself; verified.
    pub manifest: Manifest,
    /// Why newer ones were not taken.
    pub warnings: Vec<String>,
}

/// The steps of all folders `step-N`, ascending, valid or not.
pub fn steps(folder: &Path) -> Vec<u64> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let mut steps: Vec<u64> =
        names.filter_map(|name| name.strip_prefix("step-")?.parse().ok()).collect();
    steps.sort_unstable();
    steps
}

/// The newest valid checkpoint of a run; `None` when there is none at all.
///
/// When there are some and none is valid, that is an error that says why for each.
pub fn newest(folder: &Path) -> Result<Option<Found>, Error> {
    let mut warnings = Vec::new();
    for step in steps(folder).into_iter().rev() {
        let path = folder.join(format!("step-{step}"));
        match verify(&path) {
            Ok(manifest) => return Ok(Some(Found { path, manifest, warnings })),
            Err(error) => warnings.push(error.to_string()),
        }
    }
    if warnings.is_empty() {
        return Ok(None);
    }
    let list = warnings.join("\n  ");
    Err(Error::checkpoint(folder, format!("no checkpoint is valid:\n  {list}")))
}

/// Reads the manifest only.
pub fn manifest(path: &Path) -> Result<Manifest, Error> {
    let file = path.join("manifest.json");
    let bytes = read_small(&file)?;
    Manifest::parse(&bytes).map_err(|e| Error::checkpoint(&file, e))
}

/// A file of at most the size of a header.
fn read_small(path: &Path) -> Result<Vec<u8>, Error> {
    let limit = safetensors::MAX_HEADER_BYTES;
    let file = File::open(path).map_err(|e| Error::checkpoint(path, e))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| Error::checkpoint(path, e))?;
    if bytes.len() as u64 > limit {
        return Err(Error::checkpoint(path, format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

/// Checks every byte of a checkpoint.
pub fn verify(path: &Path) -> Result<Manifest, Error> {
    let manifest = manifest(path)?;
    let named =
        path.file_name().and_then(|name| name.to_str()?.strip_prefix("step-")?.parse().ok());
    if named != Some(manifest.step) {
        return Err(Error::checkpoint(path, format!("the manifest is of step {}", manifest.step)));
    }
    for name in FILES {
        let mut file = Tensors::open(path, name, &manifest)?;
        for idx in 0..file.entries.len() {
            file.check(idx, &manifest)?;
        }
    }
    Ok(manifest)
}

/// A file of tensors whose header agrees with the manifest.
pub(super) struct Tensors {
    path: PathBuf,
    name: &'static str,
    file: BufReader<File>,
    entries: Vec<safetensors::Entry>,
}

impl Tensors {
    pub(super) fn open(
        folder: &Path,
        name: &'static str,
        manifest: &Manifest,
    ) -> Result<Tensors, Error> {
        let path = folder.join(name);
        let bad = |why: String| Error::checkpoint(&path, why);
        let file = File::open(&path).map_err(|e| bad(e.to_string()))?;
        let length = file.metadata().map_err(|e| bad(e.to_string()))?.len();
        if manifest.files.get(name) != Some(&length) {
            return Err(bad(format!("{length} bytes, the manifest has another size")));
        }
        let mut file = BufReader::new(file);
        let entries = safetensors::read_header(&mut file, length).map_err(bad)?;
        let listed = manifest.tensors.iter().filter(|t| t.file == name);
        let same = listed.clone().count() == entries.len()
            && listed
                .zip(&entries)
                .all(|(t, e)| t.name == e.name && t.dtype == e.dtype && t.shape == e.shape);
        if !same {
            return Err(Error::checkpoint(
                &path,
                "the header does not list what the manifest lists",
            ));
        }
        Ok(Tensors { path, name, file, entries })
    }

    /// The bytes of one tensor.
    pub(super) fn read(&mut self, idx: usize, to: &mut [u8]) -> Result<(), Error> {
        self.go_to(idx)?;
        self.file.read_exact(to).map_err(|e| Error::checkpoint(&self.path, e))
    }

    fn go_to(&mut self, idx: usize) -> Result<(), Error> {
        let start = self.entries[idx].start;
        let done = self.file.seek(SeekFrom::Start(start));
        done.map(|_| ()).map_err(|e| Error::checkpoint(&self.path, e))
    }

    /// Hashes one tensor; weights and state of the rule must be finite.
    ///
    /// What is f64 beside the weights are counters; one may wait at infinity for its first number.
    fn check(&mut self, idx: usize, manifest: &Manifest) -> Result<(), Error> {
        self.go_to(idx)?;
        let entry = self.entries[idx].clone();
        let mut hasher = Sha256::new();
        let mut left = entry.bytes;
        let mut chunk = vec![0; usize::try_from(left.min(1 << 20)).expect("at most a chunk")];
        let dtype = safetensors::dtype_of(&entry.dtype);
        let mut finite = true;
        while left > 0 {
            let n = usize::try_from(left.min(chunk.len() as u64)).expect("at most a chunk");
            let part = &mut chunk[..n];
            self.file.read_exact(part).map_err(|e| Error::checkpoint(&self.path, e))?;
            hasher.update(&*part);
            finite &= match dtype {
                Some(Dtype::F64) if self.name != FILES[0] => !has_nan(part),
                Some(dtype) => all_finite(dtype, part),
                None => true,
            };
            left -= n as u64;
        }
        let listed = manifest.tensors.iter().find(|t| t.file == self.name && t.name == entry.name);
        if listed.is_none_or(|t| t.sha256 != data::hash::hex(&hasher.finalize())) {
            let why =
                format!("tensor {:?}: the hash does not fit, the file is damaged", entry.name);
            return Err(Error::checkpoint(&self.path, why));
        }
        if !finite {
            let why = format!("tensor {:?}: holds values that are not finite", entry.name);
            return Err(Error::checkpoint(&self.path, why));
        }
        Ok(())
    }
}

/// Copies a verified checkpoint into the state of a plan, all of it or nothing.
pub fn restore(found: &Found, plan: &Plan, memory: &mut Memory) -> Result<(), Error> {
    let differences = differences(&found.manifest, plan);
    if !differences.is_empty() {
        let table = differences.join("\n  ");
        let why = format!("the checkpoint is of another model:\n  {table}");
        return Err(Error::checkpoint(&found.path, why));
    }
    for name in FILES {
        let mut file = Tensors::open(&found.path, name, &found.manifest)?;
        for (idx, (id, _)) in buffers_of(plan, name).into_iter().enumerate() {
            file.read(idx, memory.bytes_mut(id))?;
        }
    }
    Ok(())
}

/// What a checkpoint and a plan have different, a line each.
pub fn differences(manifest: &Manifest, plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    for name in FILES {
        let wanted = buffers_of(plan, name);
        let listed = |n: &str| manifest.tensors.iter().find(|t| t.file == name && t.name == n);
        for (_, buffer) in &wanted {
            let dtype = safetensors::dtype_name(buffer.dtype);
            let (tensor, shape) = (&buffer.name, &buffer.shape);
            match listed(tensor) {
                None => lines.push(format!(
                    "{tensor}: the model has {dtype} {shape:?}, the checkpoint nothing"
                )),
                Some(t) if t.dtype == dtype && t.shape == *shape => {}
                Some(t) => lines.push(format!(
                    "{tensor}: the model has {dtype} {shape:?}, the checkpoint {} {:?}",
                    t.dtype, t.shape
                )),
            }
        }
        for t in manifest.tensors.iter().filter(|t| t.file == name) {
            if !wanted.iter().any(|(_, b)| b.name == t.name) {
                let (tensor, dtype, shape) = (&t.name, &t.dtype, &t.shape);
                lines.push(format!(
                    "{tensor}: the model has nothing, the checkpoint {dtype} {shape:?}"
                ));
            }
        }
    }
    lines
}
