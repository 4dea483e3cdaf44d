//! `metrics.jsonl`: one line for each optimizer step, none missing and none twice.
//!
//! In: rows. Out: lines that are on disk before the checkpoint that follows them. On resume the
//! file is cut back to the checkpoint. Numbers have as many digits as read back to the same bits.

use std::{
    collections::BTreeMap,
    fmt,
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Why an update was not applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The loss is finite, its scaled gradient is not.
    Overflow,
    /// The loss, or the gradient of a loss that is not scaled, is not finite.
    Nonfinite,
    /// No token of the batch is a target.
    Empty,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Cause::Overflow => "overflow",
            Cause::Nonfinite => "not finite",
            Cause::Empty => "no target token",
        })
    }
}

/// One optimizer step. Numbers that are not finite are written as `null`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Applied updates after this step.
    pub step: u64,
    /// Consumed batches after this step; grows with every line.
    pub batch: u64,
    /// Mean loss over the target tokens of the step.
    pub loss: Option<f64>,
    /// Learning rate.
    pub lr: Option<f64>,
    /// Global norm of the gradients.
    pub grad_norm: Option<f64>,
    /// Coefficient of the clip.
    pub clip_coef: Option<f64>,
    /// The loss scale that the step used.
    pub loss_scale: Option<f64>,
    /// Whether the update was not applied.
    pub skipped: bool,
    /// Why it was not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Cause>,
    /// The first tensor, in the order of the model, that was not finite then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tensor: Option<String>,
    /// Target tokens.
    pub tokens: u64,
    /// Target tokens a second.
    pub tokens_per_s: f64,
    /// Seconds of training up to here.
    pub seconds: f64,
    /// Validation loss, where it was taken.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub val_loss: Option<f64>,
    /// Share of the validation rows whose label was found, where rows have labels.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub val_accuracy: Option<f64>,
    /// Norms of the unclipped gradients by parameter, where they are measured.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub grad_norms: BTreeMap<String, Option<f64>>,
    /// The scale of the gradient's noise, where it is measured.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub noise_scale: Option<f64>,
}

/// The open file.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    out: BufWriter<File>,
}

impl Log {
    /// Opens the log of a run that has consumed `batches`; later lines are cut off.
    ///
    /// Also returns the last line that stays.
    pub fn open(folder: &Path, batches: u64) -> Result<(Log, Option<Row>), Error> {
        let path = folder.join("metrics.jsonl");
        let failed = |action| {
            let path = path.clone();
            move |source| Error::io(action, path, source)
        };
        let opened = File::options().append(true).create(true).open(&path);
        let file = opened.map_err(failed("open"))?;
        let old = fs::read(&path).map_err(failed("read"))?;
        let (kept, last) = kept(&old, batches);
        file.set_len(kept).map_err(failed("truncate"))?;
        file.sync_all().map_err(failed("fsync"))?;
        Ok((Log { path, out: BufWriter::new(file) }, last))
    }

    /// Adds a line.
    pub fn add(&mut self, row: &Row) -> Result<(), Error> {
        let line = serde_json::to_writer(&mut self.out, row).map_err(io::Error::from);
        line.and_then(|()| writeln!(self.out)).map_err(|e| Error::io("write", &self.path, e))?;
        // A reader that follows the file sees whole lines.
        self.out.flush().map_err(|e| Error::io("write", &self.path, e))
    }

    /// Waits until every line is on disk.
    pub fn sync(&mut self) -> Result<(), Error> {
        self.out.get_ref().sync_data().map_err(|e| Error::io("fsync", &self.path, e))
    }
}

/// The validation losses of a run so far, each with its step.
pub fn evaluations(folder: &Path) -> Result<Vec<(u64, f64)>, Error> {
    let rows = rows(folder)?;
    Ok(rows.iter().filter_map(|row| Some((row.step, row.val_loss?))).collect())
}

/// All rows of a run so far; none before its first step.
pub fn rows(folder: &Path) -> Result<Vec<Row>, Error> {
    let path = folder.join("metrics.jsonl");
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(e) => return Err(Error::io("read", path, e)),
    };
    // A line that another process is writing is not whole yet.
    let lines = text.split_inclusive(|&b| b == b'\n').filter(|line| line.ends_with(b"\n"));
    Ok(lines.map_while(|line| serde_json::from_slice(line).ok()).collect())
}

/// How many bytes hold whole lines up to `batches`, and the last of these.
fn kept(bytes: &[u8], batches: u64) -> (u64, Option<Row>) {
    let mut end = 0;
    let mut last: Option<Row> = None;
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        let next = last.as_ref().map_or(1, |row| row.batch + 1);
        match serde_json::from_slice::<Row>(line) {
            Ok(row) if line.ends_with(b"\n") && row.batch == next && next <= batches => {
                end += line.len() as u64;
                last = Some(row);
            }
            Ok(_) | Err(_) => break,
        }
    }
    (end, last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    fn row(batch: u64) -> Row {
        Row {
            step: if batch < 4 { batch } else { batch - 1 },
            batch,
            loss: Some(0.1 + 0.2),
            lr: Some(1e-3),
            grad_norm: Some(1.0),
            clip_coef: None,
            loss_scale: Some(1.0),
            skipped: batch == 4,
            cause: (batch == 4).then_some(Cause::Overflow),
            tensor: (batch == 4).then(|| "gradient of w".to_owned()),
            tokens: 64,
            tokens_per_s: 10.0,
            seconds: 2.0,
            val_loss: (batch == 2).then_some(f64::MIN_POSITIVE),
            val_accuracy: (batch == 2).then_some(0.1),
            grad_norms: BTreeMap::from([("w".to_owned(), Some(0.5)), ("b".to_owned(), None)]),
            noise_scale: (batch == 3).then_some(1e300),
        }
    }

    #[test]
    fn resuming_cuts_back_to_the_checkpoint() {
        let scratch = Scratch::new("log_cut");
        let path = scratch.path().join("metrics.jsonl");
        let (mut log, last) = Log::open(scratch.path(), 0).unwrap();
        assert_eq!(last, None);
        for batch in 1..=5 {
            log.add(&row(batch)).unwrap();
        }
        drop(log);
        let whole = fs::read_to_string(&path).unwrap();
        let (mut log, last) = Log::open(scratch.path(), 3).unwrap();
        assert_eq!(last, Some(row(3)));
        for batch in 4..=5 {
            log.add(&row(batch)).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    }

    #[test]
    fn torn_and_doubled_lines_are_cut() {
        let line = |batch| serde_json::to_string(&row(batch)).unwrap() + "\n";
        let (one, two) = (line(1), line(2));
        for rest in ["{\"step\":2", "garbage\n", one.as_str(), &line(3)] {
            let text = format!("{one}{rest}");
            assert_eq!(kept(text.as_bytes(), 9), (one.len() as u64, Some(row(1))));
        }
        assert_eq!(kept(format!("{one}{}", two.trim_end()).as_bytes(), 9).0, one.len() as u64);
        assert_eq!(kept(one.as_bytes(), 0), (0, None));
    }

    #[test]
    fn numbers_read_back_to_the_same_bits() {
        let mut bits = 0x3ff0_1234_5678_9abc;
        for _ in 0..1000 {
            bits = data::rng::mix(bits) & 0x3fff_ffff_ffff_ffff;
            let number = Some(f64::from_bits(bits));
            let grad_norms = BTreeMap::from([("w".to_owned(), number)]);
            let row = Row { loss: number, lr: number, noise_scale: number, grad_norms, ..row(1) };
            let text = serde_json::to_string(&row).unwrap();
            assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), row);
        }
    }
}
