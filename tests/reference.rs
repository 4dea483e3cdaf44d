//! `docs/reference.md` says what the schema, the codes and the command line say.
//!
//! It is written by this test: `LLMC_WRITE=1 cargo test --test reference`.

use std::fmt::Write;
use std::path::Path;

use clap::CommandFactory;
use diag::Code;
use sema::schema::{BLOCKS, Directive, Form, Home, Opt, Status, Word};

/// How to write it again.
const COMMAND: &str = "LLMC_WRITE=1 cargo test --test reference";

#[test]
fn the_reference_is_what_the_schema_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reference.md");
    let text = reference();
    if std::env::var_os("LLMC_WRITE").is_some() {
        std::fs::write(&path, &text).expect("the reference is written");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(text.lines()).position(|(old, new)| old != new);
    let at = differs.map_or("its end".to_owned(), |n| format!("line {}", n + 1));
    assert!(found == text, "docs/reference.md is stale at {at}; write it with: {COMMAND}");
}

fn reference() -> String {
    let mut out = String::from(INTRODUCTION);
    blocks(&mut out);
    for home in [Home::Train, Home::Data] {
        directives(&mut out, home);
    }
    out.push_str(include_str!("reference/values.md"));
    codes(&mut out);
    commands(&mut out);
    out
}

const INTRODUCTION: &str = "# Reference

This page is written by `tests/reference.rs` from the tables that check specs; do not edit it.
What is marked with a star is part of the language and not built yet: it is refused with E0213, never ignored.

";

fn blocks(out: &mut String) {
    out.push_str("## Blocks\n\n| word | |\n|---|---|\n");
    for block in BLOCKS {
        let star = star(block.status);
        line(out, &format!("| `{}`{star} | {} |", block.word, block.doc));
    }
    out.push_str("| `layer` | A part of a model, with weights and a configuration. |\n");
    out.push_str("| `fn` | A function without weights: a loss, a schedule, an activation. |\n");
    out.push_str("| `rule` | An update of weights, with state of its own. |\n\n");
}

fn star(status: Status) -> &'static str {
    match status {
        Status::Built => "",
        Status::NotYet => "\\*",
    }
}

fn directives(out: &mut String, home: Home) {
    line(out, &format!("## Directives of `{}`\n", home.word()));
    for directive in home.directives() {
        one(out, directive);
    }
}

fn one(out: &mut String, d: &Directive) {
    line(out, &format!("### `{}`{}\n", d.name, star(d.status)));
    line(out, d.doc);
    out.push('\n');
    let is_open = d.status == Status::NotYet
        && d.forms.iter().all(|f| f.lead.is_none())
        && d.example.is_empty();
    if !is_open {
        out.push_str("```text\n");
        for form in forms(d) {
            line(out, &form);
        }
        out.push_str("```\n\n");
    }
    let mut facts = vec![];
    if !d.default.is_empty() {
        facts.push(format!("default: {}", d.default));
    }
    if !d.rule.is_empty() {
        facts.push(format!("rule: {}", d.rule));
    }
    if !d.meets.is_empty() {
        let meets: Vec<String> = d.meets.iter().map(|name| format!("`{name}`")).collect();
        facts.push(format!("acts together with {}", meets.join(", ")));
    }
    if d.repeats {
        facts.push("may stand more than once".to_owned());
    }
    facts.push(format!("a change is of the run's {}", d.class.word()));
    for fact in facts {
        line(out, &format!("- {fact}"));
    }
    if !d.example.is_empty() {
        line(out, &format!("- example: `{}`", d.example));
    }
    out.push('\n');
}

/// Each way to write it.
fn forms(d: &Directive) -> Vec<String> {
    let options: String = d.options.iter().map(option).collect();
    let more = if d.list { ", .." } else { "" };
    let written = |form: &Form| {
        let star = if form.status == Status::Built { "" } else { "*" };
        let lead = form.lead.map(|lead| format!(" {lead}{star}")).unwrap_or_default();
        let value = form.value.map(|kind| format!(" {}", kind.form())).unwrap_or_default();
        let flags: Vec<&str> = form.flags.iter().map(|w: &Word| w.word).collect();
        let flags =
            if flags.is_empty() { String::new() } else { format!(" [{}]", flags.join(" | ")) };
        format!("{}{lead}{value}{flags}{options}{more}", d.name)
    };
    let mut all: Vec<String> = d.forms.iter().map(written).collect();
    if d.bare || d.forms.is_empty() {
        all.push(format!("{}{options}", d.name));
    }
    all
}

fn option(opt: &Opt) -> String {
    let star = if opt.status == Status::Built { "" } else { "*" };
    format!(" [{}{star} {}]", opt.word, opt.kind.form())
}

fn codes(out: &mut String) {
    out.push_str("## Codes\n\n`llmc explain CODE` prints the page of one.\n\n| code | trigger |\n|---|---|\n");
    for &code in Code::ALL {
        line(out, &format!("| {} | {} |", code.name(), code.trigger()));
    }
    out.push('\n');
}

fn commands(out: &mut String) {
    out.push_str("## Commands\n\n");
    for command in llmc::cli::Cli::command().get_subcommands() {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        line(out, &format!("### `llmc {}`\n\n{about}.\n", command.get_name()));
        let mut any = false;
        for arg in command.get_arguments().filter(|a| !a.is_hide_set()) {
            let names = arg.get_value_names().unwrap_or_default();
            let name = names.first().map(ToString::to_string).unwrap_or_default();
            let takes = arg.get_action().takes_values();
            let shown = match arg.get_long() {
                Some(long) if takes => format!("--{long} {name}"),
                Some(long) => format!("--{long}"),
                None => name,
            };
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            line(out, &format!("- `{shown}`: {help}"));
            any = true;
        }
        if any {
            out.push('\n');
        }
    }
    while out.ends_with("\n\n") {
        out.pop();
    }
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{text}").expect("a string takes every write");
}
