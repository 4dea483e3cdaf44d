//! One body of tests for all ops: gradients, kernels, text, documentation.

use std::collections::{BTreeMap, BTreeSet};

use ir::body::{Body, ElementIndex};
use ir::builder::Builder;
use ir::eval::graph::{Precision, eval_values};
use ir::eval::kernel::{Memory, eval_kernel};
use ir::eval::tensor::{Data, Tensor};
use ir::graph::{Graph, Module, Role, State, Value};
use ir::kernel::{Inst, Kernel, Operand, Reg, Skeleton};
use ir::ops::{Lowering, Op};
use ir::sample::{Fill, Sample};
use ir::schedule::{Arg, BufferId};
use ir::text::{parse_module, print_module};
use ir::types::{Dtype, Type};
use ir::verify::verify;

const EPS: f64 = 1e-5;
const RTOL: f64 = 1e-6;

/// A small generator of our own; the same numbers in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    fn unit(&mut self) -> f64 {
        self.next() as f64 / (1u64 << 31) as f64
    }

    fn fill(&mut self, fill: Fill, ty: &Type) -> Tensor {
        let len = ty.len();
        let distinct = |i: u64| (i * 7919 % len.next_power_of_two().max(2)) as f64;
        let numbers: Vec<f64> = (0..len)
            .map(|i| match fill {
                Fill::Range(low, high) => low + (high - low) * self.unit(),
                Fill::NonZero => (0.3 + 1.7 * self.unit()) * [1.0, -1.0][self.next() as usize % 2],
                Fill::Distinct { phase: 0 } => 0.03 * distinct(i) - 0.4,
                Fill::Distinct { .. } => 0.03 * distinct(i * 3 + 1) - 0.385,
                Fill::OffGrid => (self.next() % 7) as f64 - 3.0 + 0.1 + 0.8 * self.unit(),
                Fill::Ints(low, high) => {
                    let span = (i64::from(high) - i64::from(low)) as u64;
                    (i64::from(low) + (self.next() % span) as i64) as f64
                }
                Fill::Bools => (self.next() % 2) as f64,
            })
            .collect();
        Tensor::from_numbers(ty.clone(), &numbers)
    }
}

fn all_samples() -> impl Iterator<Item = (&'static str, Sample)> {
    Op::ALL_NAMES.iter().flat_map(|&name| Op::samples(name).into_iter().map(move |s| (name, s)))
}

/// A graph of one op, its operands and result, and values for the operands.
struct Case {
    builder: Builder,
    args: Vec<Value>,
    out: Value,
    states: BTreeMap<String, Tensor>,
}

impl Case {
    fn new(sample: &Sample, seed: u64) -> Self {
        let mut numbers = Numbers(seed);
        let mut builder = Builder::new("f");
        let mut states = BTreeMap::new();
        let mut args = vec![];
        for (i, (ty, fill)) in sample.args.iter().enumerate() {
            let name = format!("arg{i}");
            states.insert(name.clone(), numbers.fill(*fill, ty));
            args.push(builder.state(&name, ty.clone()));
        }
        if let Op::State(read) = &sample.op {
            states.insert(read.name.clone(), numbers.fill(Fill::Range(-2.0, 2.0), &read.ty));
        }
        let out = builder.push(sample.op.clone(), &args);
        Self { builder, args, out, states }
    }

    fn module(&self, graph: Graph) -> Module {
        let state = |(name, tensor): (&String, &Tensor)| State {
            name: name.clone(),
            ty: tensor.ty.clone(),
            role: Role::Input,
            within: None,
        };
        let states = self.states.iter().map(state).collect();
        Module { states, functions: vec![graph], origins: vec![String::new()] }
    }
}

fn value(graph: &Graph, states: &BTreeMap<String, Tensor>, at: Value) -> Vec<f64> {
    eval_values(graph, states, Precision::F64).expect("states are given")[at.index()].numbers()
}

/// How far the gradient, times `scale`, is from central differences, as a share of `RTOL`.
fn gradient_error(sample: &Sample, scale: f64) -> f64 {
    let mut case = Case::new(sample, 11);
    let out_ty = case.builder.ty(case.out).clone();
    if !out_ty.dtype.is_float() {
        return 0.0;
    }
    let weights = Numbers(5).fill(Fill::Range(0.5, 1.5), &out_ty);
    case.states.insert("weights".to_owned(), weights.clone());
    let forward = case.builder.graph().clone();
    let grad = case.builder.state("weights", out_ty);
    let op = sample.op.clone();
    let grads = op.vjp(&mut case.builder, &case.args.clone(), case.out, grad);
    assert_eq!(grads.len(), case.args.len(), "one gradient an operand");
    let graph = case.builder.graph().clone();
    verify(&case.module(graph.clone())).expect("a gradient rule builds a valid graph");

    let loss = |states: &BTreeMap<String, Tensor>| -> f64 {
        let out = value(&forward, states, case.out);
        out.iter().zip(weights.numbers()).map(|(x, w)| x * w).sum()
    };
    let mut worst = 0.0f64;
    for (i, grad) in grads.iter().enumerate() {
        let ty = case.builder.ty(case.args[i]).clone();
        if !ty.dtype.is_float() {
            assert!(grad.is_none(), "no gradient flows to {ty}");
            continue;
        }
        let got = match grad {
            Some(grad) => {
                assert_eq!(*case.builder.ty(*grad), ty, "a gradient has its operand's type");
                value(&graph, &case.states, *grad)
            }
            None => vec![0.0; ty.len() as usize],
        };
        let name = format!("arg{i}");
        for (at, got) in got.into_iter().enumerate() {
            let mut states = case.states.clone();
            let mut moved = |by: f64| {
                let tensor = &case.states[&name];
                let mut numbers = tensor.numbers();
                numbers[at] += by;
                let tensor = Tensor { ty: tensor.ty.clone(), data: Data::F64(numbers) };
                states.insert(name.clone(), tensor);
                loss(&states)
            };
            let slope = (moved(EPS) - moved(-EPS)) / (2.0 * EPS);
            let error = (got * scale - slope).abs() / (RTOL * slope.abs().max(1.0));
            // A maximum would pass over NaN.
            worst = worst.max(if error.is_nan() { f64::INFINITY } else { error });
        }
    }
    worst
}

#[test]
fn gradients_agree_with_central_differences() {
    let mut wrong = BTreeMap::new();
    for (name, sample) in all_samples().filter(|(name, _)| Op::is_differentiable(name)) {
        let error = gradient_error(&sample, 1.0);
        if error > 1.0 {
            wrong.entry(name).or_insert((error, sample));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_gradient_off_by_a_thousandth_is_noticed() {
    // Nothing flows through these.
    let flat: BTreeSet<&str> =
        ["state", "constant", "iota", "floor", "not", "lt", "le", "eq", "and", "or", "random"]
            .into();
    for &name in Op::ALL_NAMES.iter().filter(|name| Op::is_differentiable(name)) {
        let noticed = Op::samples(name).iter().any(|sample| gradient_error(sample, 1.001) > 1.0);
        assert_eq!(noticed, !flat.contains(name), "{name}");
    }
}

#[test]
fn every_op_has_documentation_and_forty_shapes() {
    for &name in Op::ALL_NAMES {
        assert!(!Op::doc(name).unwrap().is_empty(), "{name}");
        let shapes: BTreeSet<String> = Op::samples(name)
            .iter()
            .map(|s| {
                format!("{:?} {:?}", s.op, s.args.iter().map(|a| &a.0.shape).collect::<Vec<_>>())
            })
            .collect();
        assert!(shapes.len() >= 40, "{name} has {} shapes", shapes.len());
    }
}

#[test]
fn names_are_unique() {
    let unique: BTreeSet<_> = Op::ALL_NAMES.iter().collect();
    assert_eq!(unique.len(), Op::ALL_NAMES.len());
}

#[test]
fn text_parses_back_equal() {
    for (name, sample) in all_samples() {
        let mut case = Case::new(&sample, 3);
        let out = case.out;
        let ty = case.builder.ty(out).clone();
        case.builder.store("result", out);
        let mut module = case.module(case.builder.graph().clone());
        module.states.push(State {
            name: "result".to_owned(),
            ty,
            role: Role::Output,
            within: None,
        });
        verify(&module).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
        let text = print_module(&module);
        let again = parse_module(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(again, module, "{text}");
        assert_eq!(print_module(&again), text);
    }
}

/// Axes of the result are outer axes, but the last one is the columns.
struct Axes {
    rank: usize,
}

impl ElementIndex for Axes {
    fn axis(&mut self, body: &mut Body, axis: usize) -> Reg {
        if axis + 1 == self.rank { body.col() } else { body.outer(axis) }
    }
}

fn strides(shape: &[u64], of: &Type) -> (Vec<i64>, i64) {
    let mut strides = vec![1i64; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis] as i64;
    }
    if of.shape.is_empty() {
        strides.fill(0);
    }
    let col = strides.pop().unwrap_or(0);
    (strides, col)
}

#[test]
fn pointwise_kernels_have_the_bits_of_the_graph() {
    let mut count = 0;
    for (name, sample) in all_samples() {
        let Lowering::Pointwise(emit) = sample.op.lowering() else {
            continue;
        };
        let case = Case::new(&sample, 17);
        let graph = case.builder.graph();
        let ty = case.builder.ty(case.out).clone();
        let types: Vec<Type> =
            sample.args.iter().map(|(t, _)| t.clone()).chain([ty.clone()]).collect();
        let mut body = Body::new();
        let regs: Vec<Reg> = types[..types.len() - 1]
            .iter()
            .enumerate()
            .map(|(i, t)| body.load(i, t.dtype))
            .collect();
        let result = emit.emit(&mut body, &regs, &mut Axes { rank: ty.shape.len() });
        body.store(regs.len(), result);
        let operands = types.iter().enumerate().map(|(i, of)| {
            let (outer, col) = strides(&ty.shape, of);
            Operand { dtype: of.dtype, is_output: i == regs.len(), outer, row: 0, col }
        });
        let (cols, outer) = ty.shape.split_last().map_or((1, vec![]), |(&c, o)| (c, o.to_vec()));
        let kernel = Kernel {
            name: name.to_owned(),
            skeleton: Skeleton::Rows,
            outer,
            cols,
            operands: operands.collect(),
            body: body.finish(),
        };
        let inputs = (0..sample.args.len()).map(|i| case.states[&format!("arg{i}")].data.clone());
        let mut memory = Memory(inputs.chain([Tensor::zeros(ty).data]).collect());
        let arg = |i: usize| Arg { buffer: BufferId(i as u32), offset: 0 };
        let args: Vec<Arg> = (0..types.len()).map(arg).collect();
        eval_kernel(&kernel, &mut memory, &args);
        let expected = eval_values(graph, &case.states, Precision::AsTyped).unwrap();
        let expected = &expected[case.out.index()].data;
        let got = &memory.0[regs.len()];
        assert_eq!(got.len(), expected.len());
        for at in 0..got.len() {
            assert_eq!(got.bits(at), expected.bits(at), "{name} {sample:?} at {at}");
        }
        count += 1;
        assert!(kernel.body.iter().any(|i| matches!(i, Inst::Store { .. })));
    }
    assert!(count > 1000, "{count} pointwise samples");
}

#[test]
fn random_numbers_do_not_depend_on_the_split_of_rows() {
    let draw = |rows: u64, base: i32| {
        let mut b = Builder::new("f");
        let [seed, step, row] = [7, 3, base].map(|x| b.scalar_i32(x));
        let out = b.random(9, &[rows, 2, 5], seed, step, row);
        let graph = b.finish();
        let values = eval_values(&graph, &BTreeMap::new(), Precision::AsTyped).unwrap();
        values[out.index()].numbers()
    };
    let whole = draw(6, 4);
    let parts = [draw(2, 4), draw(4, 6)].concat();
    assert_eq!(whole, parts);
    assert!(whole.iter().all(|x| (0.0..1.0).contains(x)));
    assert_eq!(whole.iter().map(|x| x.to_bits()).collect::<BTreeSet<_>>().len(), 60);
}

#[test]
fn f64_and_f32_evaluations_are_near() {
    for (name, sample) in all_samples() {
        let case = Case::new(&sample, 23);
        let at = |precision| {
            eval_values(case.builder.graph(), &case.states, precision).unwrap()[case.out.index()]
                .clone()
        };
        let (typed, wide) = (at(Precision::AsTyped), at(Precision::F64));
        let numbers_of = if let Op::Round(round) = &sample.op { round.to } else { typed.ty.dtype };
        let tolerance = match numbers_of {
            Dtype::F16 => 2f64.powi(-11),
            Dtype::Bf16 => 2f64.powi(-8),
            Dtype::F32 | Dtype::F64 | Dtype::I32 | Dtype::Bool => 1e-5,
        };
        for (x, y) in typed.numbers().into_iter().zip(wide.numbers()) {
            let is_near = (x - y).abs() <= tolerance * y.abs().max(1.0);
            let is_same = x == y
                || x.is_nan() && y.is_nan()
                || typed.ty.dtype == Dtype::F32 && y.abs() > 1e38;
            assert!(is_near || is_same, "{name}: {x} and {y}");
        }
    }
}
