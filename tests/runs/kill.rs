//! Runs that are killed, stopped, or started twice.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use data::rng::mix;
use exec::checkpoint::load;

use crate::folder::{Folder, dropout, end, signal};

const STEPS: u64 = 60;
const KILLS: u32 = 20;

/// When a process is killed, counted in what it does.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// After this line of its output and some work of our own.
    Line(u64, u64),
    /// When its metrics have this many more bytes.
    Metrics(u64),
    /// At this sight of a checkpoint that is being written.
    Saving(u64),
}

impl Moment {
    fn random(seed: u64) -> Self {
        let bits = mix(seed);
        let (kind, a, b) = (bits % 3, (bits >> 8) % 12 + 1, (bits >> 16) % 300_000);
        match kind {
            0 => Self::Line(a, b),
            1 => Self::Metrics(a * 190 + b % 190),
            _ => Self::Saving(a % 6 + 1),
        }
    }

    /// Waits for it; false when the process ended before.
    fn comes(self, child: &mut Child, folder: &Folder) -> bool {
        match self {
            Self::Line(n, work) => {
                let lines = BufReader::new(child.stdout.take().unwrap()).lines();
                let n_read = lines.take(n as usize).map_while(Result::ok).count();
                std::hint::black_box((0..work).fold(0, |sum, i| mix(sum ^ i)));
                n_read as u64 == n
            }
            Self::Metrics(bytes) => {
                let size =
                    || fs::metadata(folder.at("runs/a/metrics.jsonl")).map_or(0, |m| m.len());
                let start = size();
                until(child, || size() >= start + bytes)
            }
            Self::Saving(n) => {
                let mut seen = std::collections::BTreeSet::new();
                until(child, || {
                    seen.extend(half_written(folder));
                    seen.len() as u64 >= n
                })
            }
        }
    }
}

/// Waits until something holds; false when the process ends before.
fn until(child: &mut Child, mut holds: impl FnMut() -> bool) -> bool {
    while child.try_wait().unwrap().is_none() {
        if holds() {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

/// Names of checkpoints that are not whole yet.
fn half_written(folder: &Folder) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder.at("runs/a")) else { return vec![] };
    let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    names.filter(|name| name.contains(".tmp-")).collect()
}

/// Starts the run and kills it then; whether it was still running.
fn start_and_kill(folder: &Folder, moment: Moment) -> bool {
    let mut command = folder.command(&["train", "a.lt", "--threads", "2"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let came = moment.comes(&mut child, folder);
    let _ = child.kill();
    let status = child.wait().unwrap();
    assert!(status.code().is_none_or(|code| code == 0), "{moment:?}: {status}");
    came && status.code().is_none()
}

#[test]
fn a_run_killed_at_any_moment_ends_in_the_same_bits() {
    let spec = dropout(&format!("steps {STEPS}\ncheckpoint every 3 keep 2\neval every 10"));
    let straight = Folder::new("straight");
    straight.write("a.lt", &spec);
    straight.llmc(&["train", "a.lt"]).exits(0);
    let last = format!("runs/a/step-{STEPS}");
    let (hash, rows) = (straight.hash(&last), straight.rows("runs/a"));
    assert_eq!(rows.len() as u64, STEPS);

    let folder = Folder::new("killed");
    folder.write("a.lt", &spec);
    let (mut kills, mut seed) = (0, 0);
    let mut saved = 0;
    let finish = |folder: &Folder, how: &str| {
        folder.llmc(&["train", "a.lt"]).exits(0);
        assert_eq!(folder.rows("runs/a"), rows, "{how}");
        assert_eq!(folder.hash(&last), hash, "{how}");
    };
    while kills < KILLS {
        seed += 1;
        assert!(seed < 200, "only {kills} of 200 moments came");
        let moment = Moment::random(seed);
        if start_and_kill(&folder, moment) {
            kills += 1;
            let newest = load::newest(&folder.at("runs/a")).unwrap().map(|f| f.manifest.step);
            assert!(newest.unwrap_or(0) >= saved, "{moment:?}: {newest:?} after {saved}");
            saved = newest.unwrap_or(saved);
        } else {
            finish(&folder, &format!("{moment:?}, {kills} kills"));
            fs::remove_dir_all(folder.at("runs")).unwrap();
            saved = 0;
        }
    }
    finish(&folder, "at the end");
}

/// Starts a long run and waits for the first step after its first checkpoint.
fn start_long(folder: &Folder, steps: u64) -> Child {
    folder.write("a.lt", dropout(&format!("steps {steps}\ncheckpoint every 1000")));
    let mut command = folder.command(&["train", "a.lt", "--threads", "1", "--out", "the run"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    for start in ["saved step 1 ", "step "] {
        while !line.starts_with(start) {
            line.clear();
            assert!(reader.read_line(&mut line).unwrap() > 0, "the run ended early");
        }
    }
    child.stdout = Some(reader.into_inner());
    child
}

#[test]
fn a_run_that_is_asked_to_stop_saves_and_says_how_to_go_on() {
    let straight = Folder::new("unasked");
    straight.write("a.lt", dropout("steps 600\ncheckpoint every 1000"));
    straight.llmc(&["train", "a.lt"]).exits(0);

    // `timeout` signals the process and its group: two signals at once are one wish.
    for names in ["TERM", "INT", "TERM TERM"] {
        let folder = Folder::new(&format!("stopped-{}", names.replace(' ', "-")));
        let child = start_long(&folder, 600);
        signal(child.id(), names);
        let ended = end(child).exits(75);
        ended.prints("saved in the run");
        let command = ended.out.lines().find_map(|l| l.strip_prefix("go on with: ")).unwrap();
        let steps = load::steps(&folder.at("the run"));
        assert!(steps.len() == 2 && !steps[1].is_multiple_of(1000) && steps[1] < 600, "{steps:?}");
        folder.shell(command).exits(0).prints(&format!("going on from step {}", steps[1]));
        let last = |folder: &Folder, run: &str| folder.hash(&format!("{run}/step-600"));
        assert_eq!(last(&folder, "the run"), last(&straight, "runs/a"));
        assert_eq!(folder.rows("the run"), straight.rows("runs/a"));
    }
}

#[test]
fn a_second_process_on_one_folder_is_told_who_holds_it() {
    let folder = Folder::new("two");
    // Few enough that a line is soon due: how often they come follows from the steps.
    let first = start_long(&folder, 60_000);
    let second = folder.llmc(&["train", "a.lt", "--out", "the run"]).exits(4);
    second.says(&format!("in use by process {}", first.id()));
    signal(first.id(), "TERM");
    end(first).exits(75);
    let steps = load::steps(&folder.at("the run"));
    let rows = folder.rows("the run");
    assert_eq!(rows.len() as u64, *steps.last().unwrap());
}
