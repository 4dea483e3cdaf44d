//! `llmc verify`: every kernel of a spec on random inputs, on every device.

use super::Failure;
use super::build::compile_or_report;
use super::out::say;
use super::source::{Ready, ready};
use crate::cli;
use crate::compile::BackEnd;
use crate::machine::{EMULATED, Site};
use crate::verify::{Checked, Device, Found, verify};
use codegen::ptx::Numerics;
use exec::error::Error;
use exec::executor::Grids;

/// Columns of a device.
const WIDTH: usize = 17;

pub(super) fn run(args: &cli::Verify) -> Result<(), Failure> {
    let mut ready = ready(&args.source)?;
    let compiled = compile_or_report(&mut ready, &args.source, &Site::host(EMULATED))?;
    let grids = Grids::Emulated;
    let mut devices = vec![
        Device { name: "cpu", back_end: BackEnd::Cpu, grids, numerics: Numerics::Exact },
        on_gpu(&ready, "emulated", EMULATED, grids),
    ];
    if let Ok(Site { back_end, .. }) = Site::of(cli::Device::Cuda) {
        devices.push(on_gpu(&ready, "cuda", back_end, Grids::Cuda));
    }
    let schedule = &compiled.scheduled.schedule;
    let checked = verify(schedule, &compiled.plan.run, &devices, args.seed)?;
    let names: Vec<&str> = devices.iter().map(|device| device.name).collect();
    let numerics = devices[1].numerics;
    let about = "largest difference from the interpreter on random inputs";
    let name = &ready.program.name;
    match numerics {
        Numerics::Exact => say(format_args!("{name}: {about}")),
        Numerics::Fast => say(format_args!("{name}: {about}, and how large it may be there")),
    }
    say(format_args!("\n  tasks  {}work", columns(&names)));
    for Checked { name, n_tasks, found } in &checked {
        let cells: Vec<String> = found.iter().map(cell).collect();
        say(format_args!("  {n_tasks:>5}  {}{name}", columns(&cells)));
    }
    report(&checked, &names)
}

/// A device that computes as the spec says.
fn on_gpu(ready: &Ready, name: &'static str, back_end: BackEnd, grids: Grids) -> Device {
    let numerics = back_end.numerics(&ready.program.train);
    let numerics = numerics.expect("GPUs have all numerics");
    Device { name, back_end, grids, numerics }
}

fn columns(cells: &[impl AsRef<str>]) -> String {
    cells.iter().map(|cell| format!("{:<WIDTH$}", cell.as_ref())).collect()
}

fn cell(found: &Found) -> String {
    match found {
        Found::Same => "none".to_owned(),
        Found::Differs { by, allowed: 0.0, .. } => format!("{by:.1e}"),
        Found::Differs { by, allowed, .. } => format!("{by:.1e}/{allowed:.1e}"),
        Found::Fault(_) => "fault".to_owned(),
        Found::TooLarge => "too large".to_owned(),
    }
}

/// Says where devices differ and what went wrong.
fn report(checked: &[Checked], names: &[&str]) -> Result<(), Failure> {
    let (mut n_same, mut n_within, mut wrong) = (0, 0, vec![]);
    for Checked { name, found, .. } in checked {
        for (device, found) in names.iter().zip(found) {
            match found {
                Found::Same => n_same += 1,
                Found::TooLarge => {}
                Found::Differs { by, allowed, .. } if by <= allowed => n_within += 1,
                Found::Differs { by, allowed, place } => {
                    let what = format!("{name} on {device}: {place} differs by {by:e}");
                    wrong.push(format!("{what}, {allowed:e} is allowed"));
                }
                Found::Fault(fault) => wrong.push(format!("{name} on {device}: {fault}")),
            }
        }
    }
    let n_large = checked.iter().filter(|c| c.found.contains(&Found::TooLarge)).count();
    if n_large > 0 {
        say(format_args!("\n{n_large} are too large for the interpreter; try a smaller batch"));
    }
    if !wrong.is_empty() {
        return Err(Error::Fault(wrong.join("\n")).into());
    }
    let within = match n_within {
        0 => String::new(),
        n => format!(", {n} are as near as they have to be"),
    };
    say(format_args!("\n{n_same} results have the interpreter's bits{within}"));
    Ok(())
}
