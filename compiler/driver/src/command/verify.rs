//! `llmc verify`: every kernel of a spec on random inputs, on every device.

use super::Failure;
use super::build::compile_or_report;
use super::out::say;
use super::source::ready;
use crate::cli;
use crate::compile::BackEnd;
use crate::machine::{EMULATED, Site};
use crate::verify::{Checked, Device, Found, verify};
use exec::error::Error;
use exec::executor::Grids;

/// Columns of a device.
const WIDTH: usize = 12;

pub(super) fn run(args: &cli::Verify) -> Result<(), Failure> {
    let mut ready = ready(&args.source)?;
    let compiled = compile_or_report(&mut ready, &args.source, &Site::host(EMULATED))?;
    let mut devices = vec![
        Device { name: "cpu", back_end: BackEnd::Cpu, grids: Grids::Emulated },
        Device { name: "emulated", back_end: EMULATED, grids: Grids::Emulated },
    ];
    if let Ok(Site { back_end, .. }) = Site::of(cli::Device::Cuda) {
        devices.push(Device { name: "cuda", back_end, grids: Grids::Cuda });
    }
    let schedule = &compiled.scheduled.schedule;
    let checked = verify(schedule, &compiled.plan.run, &devices, args.seed)?;
    let names: Vec<&str> = devices.iter().map(|device| device.name).collect();
    say(format_args!("{}: difference from the interpreter on random inputs", ready.program.name));
    say(format_args!("\n  tasks  {}work", columns(&names)));
    for Checked { name, n_tasks, found } in &checked {
        let cells: Vec<String> = found.iter().map(cell).collect();
        say(format_args!("  {n_tasks:>5}  {}{name}", columns(&cells)));
    }
    report(&checked, &names)
}

fn columns(cells: &[impl AsRef<str>]) -> String {
    cells.iter().map(|cell| format!("{:<WIDTH$}", cell.as_ref())).collect()
}

fn cell(found: &Found) -> String {
    match found {
        Found::Same => "none".to_owned(),
        Found::Differs { by, .. } => format!("{by:.1e}"),
        Found::Fault(_) => "fault".to_owned(),
        Found::TooLarge => "too large".to_owned(),
    }
}

/// Says where devices differ and what went wrong.
fn report(checked: &[Checked], names: &[&str]) -> Result<(), Failure> {
    let (mut n_same, mut wrong) = (0, vec![]);
    for Checked { name, found, .. } in checked {
        for (device, found) in names.iter().zip(found) {
            match found {
                Found::Same => n_same += 1,
                Found::TooLarge => {}
                Found::Differs { by, place } => {
                    wrong.push(format!("{name} on {device}: {place} differs by {by:e}"));
                }
                Found::Fault(fault) => wrong.push(format!("{name} on {device}: {fault}")),
            }
        }
    }
    let n_large = checked.iter().filter(|c| c.found.contains(&Found::TooLarge)).count();
    if n_large > 0 {
        say(format_args!("\n{n_large} are too large for the interpreter; try a smaller batch"));
    }
    if wrong.is_empty() {
        say(format_args!("\n{n_same} results have the interpreter's bits"));
        return Ok(());
    }
    Err(Error::Fault(wrong.join("\n")).into())
}
