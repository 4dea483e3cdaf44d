//! The manifest of a checkpoint: what is in it, and the hash of everything.
//!
//! It has one canonical text. A manifest is valid when its own hash fits and printing it again
//! gives the bytes of the file, so no byte of it can change unseen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Format of checkpoints; a newer one is refused.
pub const FORMAT: u32 = 1;

/// What a checkpoint says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: u32,
    /// The compiler that made the plan.
    pub compiler: String,
    /// Hash of what must be equal for it to fit.
    pub identity: String,
    /// Hash of what changes the numbers.
    pub trajectory: String,
    /// The numerics mode.
    pub numerics: String,
    /// The family of matrix products on the machine: `fma`, `ptx exact sm_90`.
    pub products: String,
    /// Number of workers.
    pub world: u32,
    /// Optimizer steps that were applied.
    pub step: u64,
    /// Counters by name.
    pub counters: BTreeMap<String, f64>,
    /// Sequences consumed: the place in the data.
    pub cursor: u64,
    /// The seed of weights, order and dropout.
    pub seed: u64,
    /// Hash of the vocabulary.
    pub vocabulary: String,
    /// Hash of the data.
    pub data: String,
    /// The validation loss at this step, when it was taken.
    pub val_loss: Option<f64>,
    /// The lowest validation loss so far.
    pub best: Option<Best>,
    /// Every tensor, by file and name.
    pub tensors: Vec<Tensor>,
    /// Size of each file with tensors.
    pub files: BTreeMap<String, u64>,
    /// SHA-256 of this manifest with this field empty.
    pub sha256: String,
}

/// The lowest validation loss.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// The step at which it was taken.
    pub step: u64,
    /// The loss.
    pub val_loss: f64,
}

/// A tensor of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tensor {
    /// The file it is in.
    pub file: String,
    /// Its name.
    pub name: String,
    /// Its element type: `F32`.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// SHA-256 of its bytes.
    pub sha256: String,
}

impl Manifest {
    /// The canonical text, its hash set.
    pub fn seal(mut self) -> (Manifest, String) {
        self.sha256 = self.own_hash();
        let text = self.text();
        (self, text)
    }

    fn own_hash(&self) -> String {
        let blank = Manifest { sha256: String::new(), ..self.clone() };
        data::hash::sha256(blank.text().as_bytes())
    }

    fn text(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("plain fields have a JSON form");
        text.push('\n');
        text
    }

    /// Reads a sealed manifest.
    pub fn parse(bytes: &[u8]) -> Result<Manifest, String> {
        // The format is looked at first: a newer one may have other fields.
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if head.format > FORMAT {
            let format = head.format;
            return Err(format!(
                "format {format} is newer than {FORMAT}, which this program reads"
            ));
        }
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if manifest.own_hash() != manifest.sha256 || manifest.text().as_bytes() != bytes {
            return Err("the hash of the manifest does not fit".to_owned());
        }
        Ok(manifest)
    }
}
