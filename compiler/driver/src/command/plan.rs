//! `llmc plan`: what a run will take, before it runs.

mod memory;
mod roofline;

use std::path::Path;

use exec::error::Error;
use passes::decode::Why;
use passes::usage::count;
use plan::Role;
use sema::trace::Param;
use sema::{Program, Train};

use super::Failure;
use super::build::compile_or_report;
use super::out::{say, say_part};
use super::show::{self, Origins};
use super::source::{Ready, ready};
use crate::cli;
use crate::compile::{BackEnd, Compiled};
use crate::compiled::flops_a_token;
use crate::curve;
use crate::machine::{Site, room};

pub(super) fn run(args: &cli::Plan) -> Result<(), Failure> {
    let mut ready = ready(&args.source)?;
    // What this machine's memory settles says nothing of another one.
    let program = ready.program.clone();
    let compiled = compile_or_report(&mut ready, &args.source, &Site::host(BackEnd::Cpu))?;
    let plan = &compiled.plan;
    let params: Vec<&plan::Buffer> =
        plan.buffers.iter().filter(|b| b.role == Role::Param).collect();
    let n: u64 = params.iter().map(|b| b.shape.iter().product::<u64>()).sum();
    let train = &ready.program.train;
    say(format_args!("{}", plan.name));
    say(format_args!("  parameters   {} in {} tensors", count(n), params.len()));
    say(format_args!(
        "  FLOPs/token  {} in matrix products of a training step",
        count(flops_a_token(plan))
    ));
    let tokens = train.batch * train.context;
    say(format_args!(
        "  batch        {} sequences of {} = {} tokens a step (micro_batch {} x accumulate {})",
        train.batch,
        train.context,
        count(tokens),
        train.micro_batch,
        train.accumulate
    ));
    say(format_args!("  steps        {} = {} tokens", train.steps, count(train.steps * tokens)));
    say_part(format_args!("\n{}", memory::text(&compiled, room().beside_bytes)));
    if let Some(path) = &args.svg {
        write(path, &memory::svg(&compiled))?;
    }
    if ready.program.writes_text() {
        say(format_args!("\ngeneration   {}", generation(&compiled)));
    }
    say(format_args!("\nsettings"));
    say_part(format_args!("{}", show::table(&train.settings, Origins::Shown)));
    say(format_args!("\nlr over {} steps", train.steps));
    say_part(format_args!("{}", curve::draw(&curve::rates(&compiled, train.steps), train.steps)));
    if args.params {
        list_params(&ready.program);
    }
    let targets = args.targets.iter().map(|target| target.back_end());
    let gpus: Vec<ptx_builder::Target> = targets
        .filter_map(|back_end| match back_end {
            BackEnd::Gpu(target) => Some(target),
            BackEnd::Cpu => None,
        })
        .collect();
    if !gpus.is_empty() {
        roofline::print(&Ready { program, ..ready }, &gpus);
    }
    Ok(())
}

/// How text is written: by token, or by what keeps it from that.
fn generation(compiled: &Compiled) -> String {
    let Some(blocked) = &compiled.scheduled.blocked else {
        return "one token at a time, with keys and values in caches".to_owned();
    };
    let why = match blocked.why {
        Why::Joins => "joins places of the text",
        Why::LooksAhead => "looks at later places",
    };
    let origins = &compiled.scheduled.module.origins;
    let place = origins.get(blocked.origin.0 as usize).map_or("", String::as_str);
    format!("the whole context for each token: `{}` at {place} {why}", blocked.op)
}

/// Writes a file whole.
fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|e| Error::io("write", path, e).into())
}

/// Every weight with its shape and what updates it.
fn list_params(program: &Program) {
    let train = &program.train;
    let trace = program.trace_model(train.micro_batch, train.context);
    let trace = trace.expect("a checked program has a model for its sizes");
    say(format_args!("\nparameters"));
    for param in &trace.params {
        let shape: Vec<String> = param.shape.iter().map(u64::to_string).collect();
        let shape = format!("[{}]", shape.join(", "));
        say(format_args!("  {:<36} {shape:<16} {}", param.path, updated(train, param)));
    }
}

/// The rule of a weight, and its decay.
fn updated(train: &Train, param: &Param) -> String {
    let Some(group) = train.group_of(param) else { return "frozen".to_owned() };
    let decay = group.rule.arg("weight_decay").filter(|_| train.is_decayed(param));
    let decay = decay.map(|x| format!(" weight_decay {}", x.text())).unwrap_or_default();
    format!("{}{decay}", group.rule.name)
}
