//! The weights of another run as the first ones of this one.
//!
//! In: a run's folder or one of its checkpoints. Out: the weights that have the names and shapes
//! of the model; the others stay as they were made. Every byte of the checkpoint is verified, and
//! its ids must mean the same text.

use std::path::Path;

use plan::{Buffer, Plan, Start};

use super::{FILES, buffers_of, load, manifest::Manifest, safetensors};
use crate::{device::cpu::Memory, error::Error};

/// What was taken of another run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Weights of the model that have the values of the other run.
    pub n_taken: usize,
    /// Weights that do not, each with why.
    pub fresh: Vec<String>,
}

/// The checkpoint that `from` means: itself, or the newest valid one of a run.
pub fn find(from: &Path) -> Result<load::Found, Error> {
    if from.join("manifest.json").is_file() {
        let manifest = load::verify(from)?;
        return Ok(load::Found { path: from.to_owned(), manifest, warnings: vec![] });
    }
    let none = || {
        let why = "no checkpoint is there; name the folder of a run, or one of its step-N";
        Error::checkpoint(from, why)
    };
    load::newest(from)?.ok_or_else(none)
}

/// Copies the weights that fit.
pub fn take(
    start: &Start,
    plan: &Plan,
    vocabulary: &str,
    memory: &mut Memory,
) -> Result<Taken, Error> {
    let path = Path::new(&start.checkpoint);
    let manifest = load::verify(path)?;
    if manifest.sha256 != start.sha256 {
        return Err(Error::checkpoint(path, "it changed since the spec was compiled"));
    }
    if manifest.vocabulary != vocabulary {
        let why = "its vocabulary is another one, so its weights mean other text; \
                   use the tokenizer of that run";
        return Err(Error::checkpoint(path, why));
    }
    let mut taken = Taken { n_taken: 0, fresh: vec![] };
    let [weights, averages] = FILES.map(|name| load::Tensors::open(path, name, &manifest));
    let (mut weights, mut averages) = (weights?, averages?);
    for (id, buffer) in buffers_of(plan, FILES[0]) {
        // What that run evaluated, and writes text with, is the average where it keeps one.
        let averaged = place(&manifest, FILES[1], &format!("ema.{}", buffer.name), buffer);
        let plain = || place(&manifest, FILES[0], &buffer.name, buffer);
        let to = memory.bytes_mut(id);
        match averaged.map(|idx| (&mut averages, idx)).or_else(|_| Ok((&mut weights, plain()?))) {
            Ok((file, idx)) => {
                file.read(idx, to)?;
                taken.n_taken += 1;
            }
            Err::<_, String>(why) => taken.fresh.push(format!("{}: {why}", buffer.name)),
        }
    }
    Ok(taken)
}

/// Where a tensor is in its file, or why it is of no use.
fn place(manifest: &Manifest, file: &str, name: &str, buffer: &Buffer) -> Result<usize, String> {
    let mut tensors = manifest.tensors.iter().filter(|t| t.file == file).enumerate();
    let Some((idx, t)) = tensors.find(|(_, t)| t.name == name) else {
        return Err("new".to_owned());
    };
    let dtype = safetensors::dtype_name(buffer.dtype);
    if t.dtype == dtype && t.shape == buffer.shape {
        return Ok(idx);
    }
    Err(format!("{dtype} {:?}, there {} {:?}", buffer.shape, t.dtype, t.shape))
}
