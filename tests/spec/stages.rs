//! The stages of specs that compile, cut to the part that a case is about.
//!
//! `# show: graph update` in the header shows one function of the graph, `# show: graph update w` what
//! it needs to store `w`, `# show: kernels fn update` its tasks, `# show: ast` all of the tree. Every
//! case is also compiled twice, and each text form is parsed back.

use llmc::cli::Stage;
use llmc::compile::Compiled;
use llmc::compile::{BackEnd, compile_within};
use llmc::{compile, emit::emit};
use passes::fit::Room;
use plan::Plan;

use crate::case;

/// Lines of one part: longer ones are a sign to look at an earlier stage.
const MAX_LINES: usize = 80;

/// The parts that the header asks for.
pub(crate) fn show(path: &str, text: &str) -> String {
    let (front, facts) = case::read(path, text);
    let checked = front.check(Some(&facts));
    assert!(checked.diagnostics.is_empty(), "{:?}", checked.diagnostics);
    let program = checked.program.expect("a spec without faults has a program");
    let compiled = compile(&program, &front.map, Some(&facts)).expect("the spec compiles");
    let again = compile(&program, &front.map, Some(&facts)).expect("the spec compiles");
    assert_eq!(compiled.plan.print(), again.plan.print(), "one source makes one plan");
    parses_back(&compiled);

    let mut out = String::new();
    for asked in case::header(text, "# show:") {
        let (stage, part) = asked.split_once(' ').unwrap_or((asked, ""));
        let shown = match stage {
            "ast" => syntax::print_spec(&front.spec),
            "program" => program_part(&program.print(), part),
            "graph" => graph(&compiled, part),
            "kernels" => {
                let (kind, name) = part.split_once(' ').unwrap_or(("kernel", part));
                block(&emit(&compiled, Stage::Kernels), kind, name)
            }
            "clif" => code(&compiled.plan, part),
            "ptx" => {
                let (map, gpu) = (&front.map, BackEnd::Gpu(ptx_builder::Target::Sm80));
                let plan = compile_within(&program, map, Some(&facts), Room::UNBOUNDED, gpu);
                code(&plan.expect("the spec compiles").plan, part)
            }
            "plan" => block(&emit(&compiled, Stage::Plan), "function", part),
            other => panic!("`{other}` is no stage"),
        };
        let n_lines = shown.lines().count();
        assert!(n_lines <= MAX_LINES, "{asked} has {n_lines} lines, at most {MAX_LINES}");
        out += &format!("{asked}:\n{shown}\n");
    }
    out
}

/// Every stage after the program has a text that reads back as the same.
fn parses_back(compiled: &Compiled) {
    let plan = compiled.plan.print();
    let parsed = Plan::parse(&plan).expect("a printed plan parses");
    assert_eq!(parsed.print(), plan, "a plan reads back as itself");
    let module = ir::text::print_module(&compiled.scheduled.module);
    let parsed = ir::text::parse_module(&module).expect("a printed module parses");
    assert_eq!(ir::text::print_module(&parsed), module, "a module reads back as itself");
    let schedule = ir::text::print_schedule(&compiled.scheduled.schedule);
    let parsed = ir::text::parse_schedule(&schedule).expect("a printed schedule parses");
    assert_eq!(ir::text::print_schedule(&parsed), schedule, "a schedule reads back as itself");
}

/// The paragraph of a program that starts with a word.
fn program_part(program: &str, word: &str) -> String {
    let found = program.split("\n\n").find(|paragraph| paragraph.starts_with(word));
    let found = found.unwrap_or_else(|| panic!("the program has no `{word}`"));
    found.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A function, or the part of it that stores one state: `update`, `update w`.
fn graph(compiled: &Compiled, part: &str) -> String {
    let Some((function, stored)) = part.split_once(' ') else {
        return block(&emit(compiled, Stage::Graph), "fn", part);
    };
    let mut module = compiled.scheduled.module.clone();
    for graph in module.functions.iter_mut().filter(|f| f.name == function) {
        graph.stores.retain(|(name, _)| name == stored);
        *graph = passes::dce(graph);
    }
    block(&ir::text::print_module(&module), "fn", function)
}

/// The first `kind .. "name" { .. }` of a text.
fn block(text: &str, kind: &str, name: &str) -> String {
    let head = |line: &&str| line.starts_with(kind) && line.contains(&format!("\"{name}\""));
    let start = text.lines().skip_while(|line| !head(line));
    let mut lines: Vec<&str> = start.take_while(|line| *line != "}").collect();
    assert!(!lines.is_empty(), "there is no {kind} `{name}`");
    lines.push("}\n");
    lines.join("\n")
}

/// The code of the first kernel with such a name.
fn code(plan: &Plan, name: &str) -> String {
    // The name of code is `k_HASH_NAME`.
    let found = plan.code.iter().find(|c| c.name.splitn(3, '_').nth(2) == Some(name));
    found.unwrap_or_else(|| panic!("there is no kernel `{name}`")).text.clone()
}
