//! The memory of a run: by kind, by line of the source, over the time of a step.

use std::fmt::Write as _;

use passes::usage::{Kind, Moment, Usage, size};

use crate::compile::Compiled;

/// Lines and tensors that are listed.
const LISTED: usize = 8;
/// Columns of the picture in a terminal, beside the scale.
const COLUMNS: usize = 64;
/// Rows of the picture in a terminal.
const ROWS: usize = 10;
/// Width of the picture in a file.
const WIDTH: f64 = 960.0;
/// Its height.
const HEIGHT: f64 = 320.0;

/// What there is to say of the memory of a plan; `beside` is what the process takes beside it.
pub(super) fn text(compiled: &Compiled, beside: u64) -> String {
    let scheduled = &compiled.scheduled;
    let usage = Usage::of(&scheduled.schedule, &scheduled.memory);
    let arena = scheduled.memory.bytes;
    let mut out = String::new();
    let process = arena + beside;
    let _ = writeln!(out, "memory       {} of a process", size(process));
    let row = |out: &mut String, bytes: u64, what: &str| {
        let _ = writeln!(out, "  {bytes:>16} B {:>11}  {what}", size(bytes));
    };
    row(&mut out, arena, "arena, where it is fullest:");
    for (kind, bytes) in &usage.kinds {
        row(&mut out, *bytes, &format!("  {}", kind.name()));
    }
    row(&mut out, beside, "beside it: the program, kernels, threads");
    if !usage.lines.is_empty() {
        out += "\nactivations and workspace there, by line\n";
    }
    for (line, bytes) in usage.lines.iter().take(LISTED) {
        row(&mut out, *bytes, line);
    }
    out += "\nlargest tensors there\n";
    for tensor in usage.tensors.iter().take(LISTED) {
        let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
        row(&mut out, tensor.bytes, &format!("{} [{}]", tensor.name, shape.join(", ")));
    }
    out + &picture(compiled, &usage)
}

/// Where the functions start among the moments: name and first index.
fn starts<'a>(compiled: &'a Compiled, usage: &Usage) -> Vec<(&'a str, usize)> {
    let functions = &compiled.scheduled.schedule.functions;
    let mut starts: Vec<(&str, usize)> = vec![];
    let mut last = None;
    for (at, moment) in usage.moments.iter().enumerate() {
        if last != Some(moment.function) {
            starts.push((&functions[moment.function].name, at));
            last = Some(moment.function);
        }
    }
    starts
}

/// Bytes over the tasks of a step, `#` where something is alive.
fn picture(compiled: &Compiled, usage: &Usage) -> String {
    let n = usage.moments.len();
    let top = usage.moments.iter().map(|m| m.bytes).max().unwrap_or(0);
    if n == 0 || top == 0 {
        return String::new();
    }
    let columns = COLUMNS.min(n);
    let column = |c: usize| {
        let of = &usage.moments[c * n / columns..((c + 1) * n / columns).max(c * n / columns + 1)];
        of.iter().map(|m: &Moment| m.bytes).max().unwrap_or(0)
    };
    let heights: Vec<u64> = (0..columns).map(column).collect();
    let mut out = format!("\nbytes alive over the {n} tasks of `micro` and `update`\n");
    for row in (0..ROWS).rev() {
        let label = if row == ROWS - 1 { size(top) } else { String::new() };
        let level = |bytes: u64| bytes as f64 / top as f64 * ROWS as f64;
        let line: String =
            heights.iter().map(|&b| if level(b) > row as f64 + 0.5 { '#' } else { ' ' }).collect();
        let _ = writeln!(out, "{label:>11} |{}", line.trim_end());
    }
    let _ = writeln!(out, "{:>11} +{}", "0", "-".repeat(columns));
    let mut names = vec![' '; columns];
    for (name, at) in starts(compiled, usage) {
        let at = (at * columns / n).min(columns.saturating_sub(name.len()));
        for (cell, c) in names[at..].iter_mut().zip(name.chars()) {
            *cell = c;
        }
    }
    let names: String = names.into_iter().collect();
    let _ = writeln!(out, "{:>11}  {}", "", names.trim_end());
    out
}

/// The same as a picture in a file: state, what is kept for the backward pass, and the rest.
pub(super) fn svg(compiled: &Compiled) -> String {
    let scheduled = &compiled.scheduled;
    let usage = Usage::of(&scheduled.schedule, &scheduled.memory);
    let n = usage.moments.len().max(1);
    let top = usage.peak.bytes.max(1);
    let state: u64 =
        [Kind::Weights, Kind::Copies, Kind::Gradients, Kind::RuleState, Kind::Caches, Kind::Inputs]
            .map(|kind| usage.bytes(kind))
            .iter()
            .sum();
    let x = |at: usize| at as f64 * WIDTH / n as f64;
    let y = |bytes: u64| HEIGHT * (1.0 - bytes as f64 / top as f64);
    let mut path = format!("M0 {:.1}", y(0));
    for (at, moment) in usage.moments.iter().enumerate() {
        let _ = write!(path, "V{:.1}H{:.1}", y(moment.bytes), x(at + 1));
    }
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 -24 {WIDTH} {}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>{}: bytes alive over the tasks of a step</title>\n\
         <path d=\"{path}V{:.1}Z\" fill=\"#7aa6c2\"/>\n\
         <rect y=\"{:.1}\" width=\"{WIDTH}\" height=\"{:.1}\" fill=\"#2f5d7c\"/>\n",
        HEIGHT + 48.0,
        escaped(&compiled.plan.name),
        y(0),
        y(state),
        HEIGHT - y(state)
    );
    let _ = writeln!(out, "<text y=\"-8\">{}, of which {} state</text>", size(top), size(state));
    for (name, at) in starts(compiled, &usage) {
        let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\">{name}</text>", x(at), HEIGHT + 16.0);
    }
    out + "</svg>\n"
}

/// Text inside of an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
