//! `llmc help`: what a spec takes from the command line, or what a command does.

use std::path::Path;

use clap::CommandFactory;
use sema::{ArgInfo, Interface, JobInfo};

use super::Failure;
use super::out::{say, say_part};
use super::source::report;
use crate::cli::{Cli, ErrorFormat, options_of};
use crate::front::uses::Files;
use crate::front::{Checked, Front, Request, base_of};
use crate::spec::read;

pub(super) fn run(what: Option<&str>) -> Result<(), Failure> {
    let mut cli = Cli::command();
    let Some(what) = what else {
        say_part(format_args!("{}", cli.render_long_help()));
        return Ok(());
    };
    if let Some(command) = cli.find_subcommand_mut(what) {
        say_part(format_args!("{}", command.render_long_help()));
        return Ok(());
    }
    of_spec(Path::new(what))
}

/// The arguments and the jobs of a spec.
fn of_spec(path: &Path) -> Result<(), Failure> {
    let front = Front::read(&Request {
        path: path.to_string_lossy().into_owned(),
        text: read(path)?,
        files: Files::Below(base_of(path)),
        ..Request::default()
    });
    let checked = Checked { program: None, diagnostics: front.diagnostics.clone() };
    report(&front, &checked, ErrorFormat::Human);
    if checked.has_errors() {
        return Err(Failure::of(&checked.diagnostics));
    }
    let Interface { args, jobs, doc, n_datas: _ } = front.interface();
    let shown = path.display();
    if let Some(doc) = doc {
        say(format_args!("{}\n", doc.trim()));
    }
    let job = if jobs.len() > 1 { " [JOB]" } else { "" };
    say(format_args!("llmc train {shown}{job}{}", if args.is_empty() { "" } else { " [OPTIONS]" }));
    if args.is_empty() {
        say(format_args!("\nthe spec declares no `arg`"));
    } else {
        say(format_args!("\noptions"));
        args.iter().for_each(say_arg);
    }
    if !jobs.is_empty() {
        say(format_args!("\njobs"));
        for (index, job) in jobs.iter().enumerate() {
            say_job(job, index + 1 == jobs.len());
        }
    }
    Ok(())
}

fn say_arg(arg: &ArgInfo) {
    let (name, value) = (arg.name.replace('_', "-"), arg.ty.to_uppercase());
    // What `train` has an option of its own for does not reach the spec by that name.
    let is_taken = options_of("train").iter().any(|(taken, _)| *taken == name);
    let option =
        if is_taken { format!("--arg {name}={value}") } else { format!("--{name} {value}") };
    let default = match &arg.default {
        Some(default) => format!("{default} by default"),
        None => "required".to_owned(),
    };
    let range = arg.range.as_ref().map(|range| format!(", in {range}")).unwrap_or_default();
    say(format_args!("  {option:<28} {default}{range}"));
    say_doc(arg.doc.as_deref());
}

fn say_job(job: &JobInfo, is_last: bool) {
    let name = job.name.as_deref().unwrap_or("train");
    let like = job.like.as_ref().map(|like| format!("like {like}"));
    let last = is_last.then(|| "runs unless another is named".to_owned());
    let notes: Vec<String> = like.into_iter().chain(last).collect();
    say(format_args!("{}", format!("  {name:<28} {}", notes.join("; ")).trim_end()));
    say_doc(job.doc.as_deref());
}

fn say_doc(doc: Option<&str>) {
    for line in doc.unwrap_or_default().lines() {
        say(format_args!("      {}", line.trim()));
    }
}
