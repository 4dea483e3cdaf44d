//! How long a check takes, within some ten times what it does take.

use crate::folder::Folder;

/// Seconds of the processor that `llmc check` takes in a folder; the shell counts them.
fn seconds(folder: &Folder, at: &str, spec: &str, code: i32) -> f64 {
    // Other work on the machine moves a clock on the wall, but hardly this one.
    let line = format!("cd {at} && llmc check {spec} > /dev/null; echo $?; times");
    let ended = folder.shell(&line).exits(0);
    let mut lines = ended.out.lines();
    assert_eq!(lines.next(), Some(&*code.to_string()), "{}", ended.err);
    let of_children = lines.last().unwrap();
    of_children.split_whitespace().map(minutes_and_seconds).sum()
}

/// `0m1.250s` in seconds.
fn minutes_and_seconds(text: &str) -> f64 {
    let (minutes, seconds) = text.trim_end_matches('s').split_once('m').unwrap();
    60.0 * minutes.parse::<f64>().unwrap() + seconds.parse::<f64>().unwrap()
}

#[test]
fn the_largest_program_is_checked_in_little_time() {
    let folder = Folder::new("quick");
    let root = env!("CARGO_MANIFEST_DIR");
    let spec = std::fs::read_to_string(format!("{root}/benches/gpt2.lt")).unwrap();
    folder.write("bare.lt", &spec);
    let bare = seconds(&folder, ".", "bare.lt", 2);
    assert!(bare < 0.5, "{bare} s without data");
    let whole = seconds(&folder, root, "benches/gpt2.lt", 0);
    assert!(whole < 7.0, "{whole} s with data");
}
