//! A folder with a text and specs, and the command run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// The longest that a command may take; one that hangs ends here.
const LIMIT: Duration = Duration::from_secs(120);

/// What data every folder has: the first part of the play in the examples.
const TEXT_BYTES: usize = 4096;

/// A folder of one test, removed with it.
pub(crate) struct Folder {
    path: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; -1 when a signal ended it.
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// Fails the test unless the exit code is this one.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "exit code, with {}\n{}", self.out, self.err);
        self
    }

    /// Fails the test unless the error stream has this text.
    #[track_caller]
    pub(crate) fn says(&self, text: &str) {
        assert!(self.err.contains(text), "no `{text}` in\n{}", self.err);
    }

    /// Fails the test unless the output has this text.
    #[track_caller]
    pub(crate) fn prints(&self, text: &str) {
        assert!(self.out.contains(text), "no `{text}` in\n{}{}", self.out, self.err);
    }
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

impl Folder {
    /// A new folder that holds `text.txt`.
    pub(crate) fn new(name: &str) -> Self {
        let name = format!("runs-{name}-{}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let play = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/shakespeare.txt");
        fs::write(path.join("text.txt"), &fs::read(play).unwrap()[..TEXT_BYTES]).unwrap();
        Self { path }
    }

    /// A place in it.
    pub(crate) fn at(&self, place: &str) -> PathBuf {
        self.path.join(place)
    }

    /// Writes a file.
    pub(crate) fn write(&self, place: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.at(place), bytes).unwrap();
    }

    /// Runs `llmc` with these words to its end.
    pub(crate) fn llmc(&self, words: &[&str]) -> Ended {
        let mut command = self.command(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        end(command.spawn().unwrap())
    }

    /// Runs a line of shell, in which `llmc` is the command under test.
    pub(crate) fn shell(&self, line: &str) -> Ended {
        let bin = Path::new(env!("CARGO_BIN_EXE_llmc")).parent().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
            .current_dir(&self.path)
            .env("PATH", path)
            .env("LLMC_CACHE", "off");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        end(command.spawn().unwrap())
    }

    /// `llmc` with these words, in this folder.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_llmc"));
        command.args(words).current_dir(&self.path).env("LLMC_CACHE", "off").stdin(Stdio::null());
        command
    }

    /// The hash of a checkpoint: all tensors, counters and settings.
    pub(crate) fn hash(&self, checkpoint: &str) -> String {
        let manifest = exec::checkpoint::load::verify(&self.at(checkpoint));
        manifest.unwrap_or_else(|e| panic!("{checkpoint}: {e}")).sha256
    }

    /// All that a checkpoint says, tensors by their hashes, but for what made its products.
    pub(crate) fn state(&self, checkpoint: &str) -> String {
        let manifest = exec::checkpoint::load::verify(&self.at(checkpoint));
        let mut manifest = manifest.unwrap_or_else(|e| panic!("{checkpoint}: {e}"));
        manifest.products.clear();
        manifest.sha256.clear();
        format!("{manifest:?}")
    }

    /// The lines of a run's `metrics.jsonl`, times cut out.
    pub(crate) fn rows(&self, run: &str) -> Vec<String> {
        let text = fs::read_to_string(self.at(run).join("metrics.jsonl")).unwrap();
        text.lines().map(without_times).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What a failed test leaves is worth a look.
        if !thread::panicking() {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Waits for a process; one that goes on for too long is killed and fails the test.
pub(crate) fn end(child: Child) -> Ended {
    let pid = child.id();
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(child.wait_with_output()));
    let Ok(output) = receive.recv_timeout(LIMIT) else {
        signal(pid, "KILL");
        panic!("the command went on for {LIMIT:?}");
    };
    output.unwrap().into()
}

/// Sends signals to a process, one after the other at once.
pub(crate) fn signal(pid: u32, names: &str) {
    let kills: Vec<String> = names.split(' ').map(|name| format!("kill -{name} {pid}")).collect();
    let sent = Command::new("sh").args(["-c", &kills.join("; ")]).status();
    assert!(sent.unwrap().success(), "process {pid} gets {names}");
}

fn without_times(row: &str) -> String {
    let (head, rest) = row.split_once(",\"tokens_per_s\":").expect("a row has times");
    let tail = rest
        .split_once(",\"val_loss\":")
        .map_or("}".to_owned(), |(_, val)| format!(",\"val_loss\":{val}"));
    head.to_owned() + &tail
}

/// A spec of the smallest GPT, with these lines in its `train` block.
pub(crate) fn gpt(lines: &str) -> String {
    spec("gpt(layers: 1, width: 16, heads: 2)", lines)
}

/// The smallest GPT, with dropout and two micro-batches a step.
pub(crate) fn dropout(lines: &str) -> String {
    let lines = format!("accumulate 2\n{lines}");
    spec("gpt(layers: 1, width: 16, heads: 2, drop: 10%)", &lines)
}

pub(crate) fn spec(model: &str, lines: &str) -> String {
    format!(
        "model {model}\n\
         data text(\"text.txt\", tokenizer: bytes)\n\
         train {{\nbatch 4\ncontext 16\nlr 3e-3\n{lines}\n}}\n"
    )
}

/// A layer and a rule of the user's own.
pub(crate) fn own(lines: &str) -> String {
    let declared = "\
layer smoothed(vocab: int = data.vocab, d: dim = 12)(ids: tok(vocab)[b, t]) -> [b, t, vocab] {
  param table: [vocab, d] = normal(0.3)
  param gate: [d] = uniform(0.5)
  param head: [d, vocab] = normal(0.3)
  x = table[ids]
  mixed = x * sigmoid(gate) + mean(x, over: d, keep: true)
  tanh(mixed) @ head
}
rule heavy(keep: prob = 0.9)(w: [..s], g: [..s], lr: real, t: int) -> [..s] {
  state v: fp32[..s] = zeros
  v = keep * v + g / (1 + norm(g))
  w - lr * (v + 0.01 * w / t)
}
";
    let lines = format!("optimizer heavy(keep: 0.8)\nclip 0.5\n{lines}");
    format!("{declared}{}", spec("smoothed()", &lines))
}
