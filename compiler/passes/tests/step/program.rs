//! Small programs and the functions of their modules, run by the interpreter.

use std::collections::BTreeMap;

use diag::SourceMap;
use ir::eval::graph::{Precision, eval_graph};
use ir::eval::tensor::Tensor;
use ir::graph::{Graph, Module, Role, State};
use ir::ops::Op;
use passes::{Training, dce, pipeline};
use sema::{Facts, Train};

/// A vocabulary of two, six weights, and a rule that subtracts the gradient.
pub(crate) const SMALL: &str = "\
layer small(vocab: int = data.vocab)(ids: tok(vocab)[b, t]) -> [b, t, vocab] {
  param shift: [vocab] = zeros
  param table: [vocab, vocab] = normal(0.5)
  (table[ids] + shift)
}
rule keep()(w: [..s], g: [..s], lr: real, t: int) -> [..s] {
  state seen: fp32[..s] = zeros
  seen = g
  w - lr * g
}
model small()
data text(\"text.txt\", tokenizer: chars)
train {\nbatch 4\ncontext 4\nlr 0.5\nsteps 20\noptimizer keep\nwarmup 0\nschedule constant\n";

/// The module of [`SMALL`] with more lines, after `edit` has changed its values.
pub(crate) fn small(lines: &str, edit: impl FnOnce(&mut Train)) -> Module {
    module(&format!("{SMALL}{lines}\n}}\n"), edit)
}

/// The module of a spec after all graph passes.
pub(crate) fn module(text: &str, edit: impl FnOnce(&mut Train)) -> Module {
    let mut map = SourceMap::new();
    let file = map.add("model.lt", text);
    let (spec, faults) = syntax::parse(&map, file);
    assert!(faults.is_empty(), "{faults:?}");
    let mut std = vec![];
    for source in stdlib::SOURCES {
        let file = map.add(source.name, source.text);
        std.push(syntax::parse(&map, file).0);
    }
    let std: Vec<_> = std.iter().collect();
    let facts = Facts { vocab: Some(2), ..Facts::default() };
    let (program, faults) =
        sema::check(&sema::Input::new("model", &spec, &std, &map), Some(&facts));
    let Some(mut program) = program else { panic!("{faults:?}") };
    edit(&mut program.train);
    let training = Training { program: &program, map: &map };
    let done = pipeline::run(&training, &pipeline::cpu(), &mut |_, _| {});
    done.expect("the spec compiles").module
}

/// All states and the functions that move them.
pub(crate) struct Run {
    pub(crate) module: Module,
    pub(crate) states: BTreeMap<String, Tensor>,
}

impl Run {
    /// After `init`.
    pub(crate) fn new(module: Module) -> Self {
        let zeros = |s: &State| (s.name.clone(), Tensor::zeros(s.ty.clone()));
        let states = module.states.iter().map(zeros).collect();
        let mut run = Self { module, states };
        run.call("init");
        run
    }

    pub(crate) fn call(&mut self, function: &str) {
        let done = eval_graph(&self.module, function, &mut self.states, Precision::AsTyped);
        done.expect("every state is there");
    }

    pub(crate) fn set(&mut self, name: &str, numbers: &[f64]) {
        let tensor = self.states.get_mut(name).unwrap_or_else(|| panic!("no state {name}"));
        *tensor = Tensor::from_numbers(tensor.ty.clone(), numbers);
    }

    /// Sums of a step whose gradients need no unscaling, as 16 tokens are planned; the loss is 2.
    pub(crate) fn plant_sums(&mut self) {
        self.set("token_sum", &[16.0]);
        self.set("loss_sum", &[32.0]);
    }

    /// The states of a role.
    pub(crate) fn names(&self, role: Role) -> Vec<String> {
        let is_whole = |s: &&State| self.module.pieces(&s.name).next().is_none();
        let of_role = self.module.states.iter().filter(|s| s.role == role).filter(is_whole);
        of_role.map(|s| s.name.clone()).collect()
    }

    pub(crate) fn get(&self, name: &str) -> f64 {
        self.numbers(name)[0]
    }

    pub(crate) fn numbers(&self, name: &str) -> Vec<f64> {
        self.states.get(name).unwrap_or_else(|| panic!("no state {name}")).numbers()
    }

    /// Goes on with one function, and with those stores and states alone that `keep` names.
    pub(crate) fn cut(&mut self, function: &str, keep: &[&str]) {
        self.module = cut(&self.module, function, |name| keep.contains(&name));
        let graph = &self.module.functions[0];
        let is_read = |name: &String| {
            graph.nodes.iter().any(|n| matches!(&n.op, Op::State(read) if read.name == *name))
        };
        // A state that is read whole is made of its pieces.
        let is_part = |name: &String| {
            let within = self.module.state(name).and_then(|s| s.within.as_ref());
            within.is_some_and(|w| is_read(&w.state))
        };
        let is_kept = |name: &String| is_read(name) || is_part(name);
        self.states.retain(|name, _| is_kept(name) || keep.contains(&name.as_str()));
    }
}

/// The module with one function alone, cut down to what some of its stores need.
fn cut(module: &Module, function: &str, keep: impl Fn(&str) -> bool) -> Module {
    let whole = module.functions.iter().find(|f| f.name == function).expect("the function exists");
    let stores = whole.stores.iter().filter(|(name, _)| keep(name)).cloned().collect();
    let part = dce(&Graph { stores, ..whole.clone() });
    Module { functions: vec![part], ..module.clone() }
}
