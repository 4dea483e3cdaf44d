//! `llmc show`: every setting as it came out, and where it comes from.

use sema::Setting;
use serde_json::json;

use super::Failure;
use super::build::plan_or_report;
use super::out::{say, say_part};
use super::source::ready;
use crate::cli;
use crate::machine::Site;

pub(super) fn run(args: &cli::Show) -> Result<(), Failure> {
    let mut ready = ready(&args.source)?;
    // What depends on the memory is settled by compiling.
    let site = Site::of_checked(&ready.program.train);
    plan_or_report(&mut ready, &args.source, &site)?;
    let settings = &ready.program.train.settings;
    if args.json {
        let one = |s: &Setting| {
            let value = json!({
                "value": s.value,
                "by": s.origin,
                "origin": s.origin(),
                "class": s.class.word(),
            });
            (s.name.clone(), value)
        };
        let all: serde_json::Map<_, _> = settings.iter().map(one).collect();
        say(format_args!("{}", serde_json::Value::Object(all)));
        return Ok(());
    }
    let origins = if args.origin { Origins::Shown } else { Origins::Left };
    say_part(format_args!("{}", table(settings, origins)));
    Ok(())
}

/// Whether a table says where settings come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origins {
    Shown,
    Left,
}

/// A line for each setting.
pub(super) fn table(settings: &[Setting], origins: Origins) -> String {
    let mut out = String::new();
    for s in settings {
        let line = match origins {
            Origins::Shown => format!("  {:<15} {:<34} {}", s.name, s.value, s.origin()),
            Origins::Left => format!("  {:<15} {}", s.name, s.value),
        };
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
