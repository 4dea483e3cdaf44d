//! Native functions against the walk of their steps, on the specs of the examples.

use exec::device::cpu::Memory;
use exec::error::Error;
use exec::executor::{Executor, Host, Options};
use llmc::{Front, compile};
use plan::{BufferId, Dtype, Plan, Role, Yield};

/// Fills the inputs with ids that differ from turn to turn.
struct Ids<'p> {
    plan: &'p Plan,
    turn: i32,
}

impl Host for Ids<'_> {
    fn turn(&mut self, _: Yield, memory: &mut Memory) -> Result<(), Error> {
        self.turn += 1;
        give(self.plan, memory, self.turn);
        Ok(())
    }
}

/// Writes ids below the vocabulary to every input.
fn give(plan: &Plan, memory: &mut Memory, turn: i32) {
    for (id, buffer) in (0..).map(BufferId).zip(&plan.buffers) {
        if buffer.role == Role::Input && buffer.dtype == Dtype::I32 {
            let limit = if buffer.shape.is_empty() { 2 } else { plan.run.vocab as i32 };
            let ids = memory.i32_mut(id);
            (0i32..).zip(ids).for_each(|(i, x)| *x = (i * 31 + turn * 17) % limit);
        }
    }
}

/// All of the arena after every function was run, `init` first.
fn memory(plan: &Plan, run: impl Fn(&mut Executor, plan::FunctionId, &mut dyn Host)) -> Vec<u8> {
    let mut executor = Executor::load(plan.clone(), &Options::threads(2)).unwrap();
    let mut host = Ids { plan, turn: 0 };
    give(plan, executor.memory_mut(), 0);
    let mut names: Vec<&str> = plan.functions.iter().map(|f| f.name.as_str()).collect();
    names.sort_by_key(|name| *name != "init");
    for name in names {
        run(&mut executor, plan.function(name).unwrap(), &mut host);
    }
    let all = (0..plan.buffers.len() as u32).map(BufferId);
    all.flat_map(|id| executor.memory().bytes(id).to_vec()).collect()
}

/// The plan of an example, made small.
fn small(spec: &str) -> Plan {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/").to_owned() + spec;
    let text = std::fs::read_to_string(&path).unwrap();
    let sets = ["train.batch=8", "train.context=16"].map(str::to_owned);
    let front = Front::parse(&path, &text, &sets);
    let base = llmc::front::base_of(path.as_ref());
    let (checked, data) = front.check_with_data(&base).unwrap();
    let program = checked.program.unwrap_or_else(|| panic!("{spec}: {:?}", checked.diagnostics));
    compile(&program, &front.map, data.as_ref().map(|(facts, _)| facts)).unwrap().plan
}

#[test]
fn native_functions_leave_the_memory_that_the_walk_leaves() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let specs: Vec<String> = names.filter(|name| name.ends_with(".lt")).collect();
    assert!(specs.len() >= 3, "{specs:?}");
    for spec in specs {
        let plan = small(&spec);
        let native = memory(&plan, |e, f, host| e.call(f, host).unwrap());
        let walked = memory(&plan, |e, f, host| assert!(e.profile(f, host).is_ok()));
        assert!(native == walked, "{spec}");
    }
}
