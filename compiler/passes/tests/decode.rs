//! `prefill` and `decode` out of a model's graph, and what stands in the way.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use std::collections::BTreeMap;

use ir::builder::Builder;
use ir::eval::graph::{Precision, eval_graph};
use ir::eval::tensor::Tensor;
use ir::graph::{Graph, Module, Role, State, Value};
use ir::ops::attend::Attend;
use ir::ops::attention::Attention;
use ir::text::{parse_module, print_module};
use ir::types::{Dtype, Type};
use passes::decode::{Blocked, Derived, IDS, Why, derive};

/// Tokens of a text.
const T: u64 = 7;
/// Different ids.
const V: u64 = 5;
/// Width.
const D: u64 = 8;
/// Heads.
const H: u64 = 4;
/// Heads of keys and values.
const G: u64 = 2;

/// A model of two layers with learned and rotary places, and attention in groups.
struct Model {
    b: Builder,
    weights: Vec<State>,
}

impl Model {
    fn weight(&mut self, shape: &[u64]) -> Value {
        let name = format!("w{}", self.weights.len());
        let ty = Type::new(Dtype::F32, shape);
        let value = self.b.state(&name, ty.clone());
        self.weights.push(State { name, ty, role: Role::Param, within: None });
        value
    }

    fn linear(&mut self, x: Value, o: u64) -> Value {
        let i = *self.b.shape(x).last().unwrap();
        let rows = self.b.reshape(x, &[T, i]);
        let weight = self.weight(&[i, o]);
        let y = self.b.dot(rows, weight);
        let y = self.b.reshape(y, &[1, T, o]);
        let bias = self.weight(&[o]);
        let bias = self.b.broadcast(bias, &[1, T, o]);
        self.b.add(y, bias)
    }

    /// Turns by an angle that grows with the place.
    fn rotary(&mut self, x: Value) -> Value {
        let shape = self.b.shape(x);
        let place = self.b.iota(0, &[T]);
        let angle = self.b.cast(place, Dtype::F32);
        let cos = self.b.cos(angle);
        let cos = self.b.reshape(cos, &[1, 1, T, 1]);
        let cos = self.b.broadcast(cos, &shape);
        self.b.mul(x, cos)
    }

    fn norm(&mut self, x: Value) -> Value {
        let shape = self.b.shape(x);
        let square = self.b.mul(x, x);
        let sum = self.b.sum(square, &[2]);
        let factor = self.b.rsqrt(sum);
        let factor = self.b.broadcast(factor, &shape);
        self.b.mul(x, factor)
    }

    fn heads(&mut self, x: Value, heads: u64) -> Value {
        let width = self.b.shape(x)[2] / heads;
        let x = self.b.reshape(x, &[1, T, heads, width]);
        self.b.permute(x, &[0, 2, 1, 3])
    }

    fn layer(&mut self, x: Value, attend: Attend) -> Value {
        let n = self.norm(x);
        let joined = self.linear(n, D + 2 * (D / H) * G);
        let slice = |b: &mut Builder, from, len| b.slice(joined, 2, from, len);
        let width = D / H * G;
        let q = slice(&mut self.b, 0, D);
        let k = slice(&mut self.b, D, width);
        let v = slice(&mut self.b, D + width, width);
        let (q, k, v) = (self.heads(q, H), self.heads(k, G), self.heads(v, G));
        let (q, k) = (self.rotary(q), self.rotary(k));
        let out = self.b.push(Attention(attend), &[q, k, v]);
        let out = self.b.reshape(out, &[1, T, D]);
        let out = self.linear(out, D);
        let x = self.b.add(x, out);
        let up = self.linear(x, 2 * D);
        let up = self.b.tanh(up);
        let down = self.linear(up, D);
        self.b.add(x, down)
    }

    fn logits(mut self, attends: &[Attend]) -> (Graph, Vec<State>) {
        let ids = self.b.state(IDS, Type::new(Dtype::I32, [1, T]));
        let table = self.weight(&[V, D]);
        let x = self.b.gather(table, ids);
        let places = self.weight(&[T + 3, D]);
        let places = self.b.slice(places, 0, 0, T);
        let places = self.b.broadcast(places, &[1, T, D]);
        let mut x = self.b.add(x, places);
        for &attend in attends {
            x = self.layer(x, attend);
        }
        let table = self.b.transpose(table);
        let rows = self.b.reshape(x, &[T, D]);
        let logits = self.b.dot(rows, table);
        let logits = self.b.reshape(logits, &[1, T, V]);
        self.b.store("prefill.logits", logits);
        (self.b.finish(), self.weights)
    }
}

fn model(attends: &[Attend]) -> (Graph, Vec<State>) {
    Model { b: Builder::new("prefill"), weights: vec![] }.logits(attends)
}

fn causal() -> Attend {
    Attend { is_causal: true, ..Attend::all(0.7) }
}

/// The functions of a model with their states.
fn module(graph: &Graph, weights: &[State]) -> Module {
    let Derived { prefill, decode, caches } = derive(graph);
    let decode = decode.unwrap_or_else(|blocked| panic!("{blocked:?}"));
    let input = |name: &str, shape: &[u64], dtype, role| State {
        name: name.to_owned(),
        ty: Type::new(dtype, shape),
        role,
        within: None,
    };
    let inputs = [
        input(IDS, &[1, T], Dtype::I32, Role::Input),
        input("prefill.last", &[], Dtype::I32, Role::Input),
        input("decode.id", &[1, 1], Dtype::I32, Role::Input),
        input("decode.position", &[], Dtype::I32, Role::Input),
        input("prefill.logits", &[V], Dtype::F32, Role::Output),
    ];
    let states = [&inputs[..], weights, &caches].concat();
    let module = Module { states, functions: vec![prefill, decode], origins: vec![] };
    ir::verify::verify(&module).unwrap_or_else(|e| panic!("{e:?}\n{}", print_module(&module)));
    module
}

/// The module evaluated.
struct Machine {
    module: Module,
    states: BTreeMap<String, Tensor>,
}

impl Machine {
    fn new(module: Module) -> Self {
        let start = |(salt, state): (usize, &State)| {
            let number = |i: u64| ((i as usize * 37 + salt * 101) % 89) as f64 / 89.0 - 0.5;
            let numbers: Vec<f64> = (0..state.ty.len()).map(number).collect();
            // What a cache held before must not count.
            (state.name.clone(), Tensor::from_numbers(state.ty.clone(), &numbers))
        };
        let states = module.states.iter().enumerate().map(start).collect();
        Self { module, states }
    }

    fn set(&mut self, name: &str, numbers: &[f64]) {
        let ty = self.states[name].ty.clone();
        self.states.insert(name.to_owned(), Tensor::from_numbers(ty, numbers));
    }

    fn call(&mut self, function: &str) -> Vec<f64> {
        eval_graph(&self.module, function, &mut self.states, Precision::F64).unwrap();
        self.states["prefill.logits"].numbers()
    }

    fn prefill(&mut self, text: &[f64]) -> Vec<f64> {
        let mut ids = text.to_vec();
        // What follows the text must not count.
        ids.resize(T as usize, 3.0);
        self.set(IDS, &ids);
        self.set("prefill.last", &[(text.len() - 1) as f64]);
        self.call("prefill")
    }

    fn decode(&mut self, id: f64, position: usize) -> Vec<f64> {
        self.set("decode.id", &[id]);
        self.set("decode.position", &[position as f64]);
        self.call("decode")
    }
}

const TEXT: [f64; 7] = [2.0, 0.0, 4.0, 1.0, 1.0, 3.0, 2.0];

#[track_caller]
fn near(left: &[f64], right: &[f64], what: &str) {
    let far = left.iter().zip(right).find(|(a, b)| (*a - *b).abs() > 1e-10);
    assert!(far.is_none() && left.len() == right.len(), "{what}: {left:?} and {right:?}");
}

/// The rows of the logits as the model's own graph gives them.
fn all_logits(graph: &Graph, machine: &Machine) -> Vec<Vec<f64>> {
    let mut module = machine.module.clone();
    let all = Type::new(Dtype::F32, [1, T, V]);
    let at = module.states.iter_mut().find(|s| s.name == "prefill.logits").unwrap();
    at.ty = all.clone();
    module.functions = vec![graph.clone()];
    let mut states = machine.states.clone();
    states.insert(IDS.to_owned(), Tensor::from_numbers(Type::new(Dtype::I32, [1, T]), &TEXT));
    states.insert("prefill.logits".to_owned(), Tensor::zeros(all));
    eval_graph(&module, "prefill", &mut states, Precision::F64).unwrap();
    states["prefill.logits"].numbers().chunks(V as usize).map(<[f64]>::to_vec).collect()
}

#[track_caller]
fn agrees(attends: &[Attend]) {
    let (graph, weights) = model(attends);
    let mut machine = Machine::new(module(&graph, &weights));
    let all = all_logits(&graph, &machine);
    for prompt in 1..TEXT.len() {
        let first = machine.prefill(&TEXT[..prompt]);
        near(&first, &all[prompt - 1], &format!("prefill of {prompt}"));
        for at in prompt..TEXT.len() {
            let next = machine.decode(TEXT[at], at);
            near(&next, &all[at], &format!("prompt {prompt}, token {at}"));
        }
    }
}

#[test]
fn decode_has_the_logits_of_the_whole_text_at_every_place() {
    agrees(&[causal(), causal()]);
}

#[test]
fn a_window_is_kept_in_every_layer() {
    agrees(&[
        Attend { window: Some(3), ..causal() },
        Attend { window: Some(2), ..Attend::all(0.7) },
    ]);
    agrees(&[causal(), Attend { window: Some(1), ..causal() }]);
}

#[test]
fn a_token_decoded_again_gives_the_same() {
    let (graph, weights) = model(&[causal()]);
    let mut machine = Machine::new(module(&graph, &weights));
    machine.prefill(&TEXT[..3]);
    let first = machine.decode(TEXT[3], 3);
    machine.decode(TEXT[4], 4);
    // Another text from the same place.
    machine.decode(1.0, 3);
    near(&machine.decode(TEXT[3], 3), &first, "again");
}

#[test]
fn what_only_the_last_row_needs_is_computed_for_it_alone() {
    let (graph, weights) = model(&[causal(), causal()]);
    let module = module(&graph, &weights);
    let rows = |function: &Graph, name: &str| -> Vec<u64> {
        let nodes = function.nodes.iter().filter(|n| n.op.name() == name);
        nodes.map(|n| n.ty.shape.iter().product::<u64>() / n.ty.shape.last().unwrap()).collect()
    };
    // The first layer is for all rows, of the second only queries, keys and values.
    assert_eq!(rows(&module.functions[0], "dot"), [T, T, T, T, T, 1, 1, 1, 1]);
    assert_eq!(rows(&module.functions[1], "dot"), [1; 9]);
}

/// What stands in the way of `decode` for a graph in text, from the ids to `%9`, logits.
fn blocked(nodes: &str) -> Blocked {
    let text = format!(
        "module\norigin \"\"\norigin \"a\"\norigin \"b\"\ninput \"{IDS}\" : i32[1,4]\n\
         param \"w\" : f32[3,2]\noutput \"prefill.logits\" : f32[1,4,2]\nfn \"prefill\" {{\n\
         %0 = state{{name=\"{IDS}\", type=i32[1,4]}} : i32[1,4]\n\
         %1 = state{{name=\"w\", type=f32[3,2]}} : f32[3,2]\n\
         %2 = gather %1, %0 : f32[1,4,2]\n{nodes}\n}}"
    );
    let module = parse_module(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    ir::verify::verify(&module).unwrap();
    let Derived { prefill, decode, caches } = derive(&module.functions[0]);
    assert!(caches.is_empty(), "{caches:?}");
    // The last row is found all the same.
    let row = |ids: [f64; 4], last: f64, function: &Graph, shape: &[u64]| {
        let mut module = module.clone();
        let state = |name: &str, shape: &[u64], dtype| State {
            name: name.to_owned(),
            ty: Type::new(dtype, shape),
            role: Role::Input,
            within: None,
        };
        module.states.push(state("prefill.last", &[], Dtype::I32));
        module.states[2].ty = Type::new(Dtype::F32, shape);
        module.functions = vec![function.clone()];
        ir::verify::verify(&module).unwrap();
        let mut machine = Machine::new(module);
        machine.set(IDS, &ids);
        machine.set("prefill.last", &[last]);
        machine.call("prefill")
    };
    let ids = [2.0, 0.0, 1.0, 2.0];
    let all = row(ids, 0.0, &module.functions[0], &[1, 4, 2]);
    for last in 0..4 {
        let found = row(ids, last as f64, &prefill, &[2]);
        near(&found, &all[2 * last..2 * last + 2], "a row of a model without decode");
    }
    decode.expect_err("something stands in the way")
}

#[test]
fn a_mean_over_the_text_stands_in_the_way() {
    let found = blocked(
        "%3 = sum{axes=[1]} %2 : f32[1,1,2] @1
         %4 = broadcast{shape=[1,4,2]} %3 : f32[1,4,2] @2
         %5 = add %2, %4 : f32[1,4,2] @2
         store \"prefill.logits\" = %5",
    );
    assert_eq!((found.op, found.origin.0, found.why), ("sum", 1, Why::Joins));
}

#[test]
fn a_shift_along_the_text_stands_in_the_way() {
    let found = blocked(
        "%3 = slice{axis=1, start=0, len=3} %2 : f32[1,3,2] @2
         %4 = pad{axis=1, before=1, after=0} %3 : f32[1,4,2] @1
         store \"prefill.logits\" = %4",
    );
    assert_eq!((found.op, found.origin.0), ("pad", 1));
}

#[test]
fn scores_that_are_no_attention_stand_in_the_way() {
    let found = blocked(
        "%3 = permute{axes=[0,2,1]} %2 : f32[1,2,4] @1
         %4 = dot %2, %3 : f32[1,4,4] @2
         %5 = dot %4, %2 : f32[1,4,2] @2
         store \"prefill.logits\" = %5",
    );
    assert_eq!((found.op, found.origin.0), ("dot", 2));
}

#[test]
fn an_attention_that_looks_ahead_stands_in_the_way() {
    let found = blocked(
        "%3 = reshape{shape=[1,1,4,2]} %2 : f32[1,1,4,2]
         %4 = attention{scale=1.0, causal=0, window=0, segments=0, offset=0, drop=0.0} %3, %3, %3 : f32[1,4,1,2] @2
         %5 = reshape{shape=[1,4,2]} %4 : f32[1,4,2]
         store \"prefill.logits\" = %5",
    );
    assert_eq!((found.op, found.origin.0, found.why), ("attention", 2, Why::LooksAhead));
}
