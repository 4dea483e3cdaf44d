//! Whole models: the gradients of `micro` against central differences in f64.

use std::collections::BTreeMap;

use diag::SourceMap;
use ir::eval::graph::{Precision, eval_graph};
use ir::eval::tensor::{Data, Tensor};
use ir::graph::{Module, Role, State};
use ir::types::Dtype;
use passes::{Training, pipeline};

const EPS: f64 = 1e-5;
const RTOL: f64 = 1e-6;

/// The module of a spec, before it is scheduled.
fn module(text: &str) -> (Module, f64) {
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
    let (program, faults) = sema::check(&sema::Input::new("model", &spec, &std, &map), None);
    let Some(program) = program else { panic!("{faults:?}") };
    let training = Training { program: &program, map: &map };
    let done = pipeline::run(&training, &pipeline::cpu(), &mut |_, _| {});
    let tokens = program.train.batch * program.train.context;
    (done.expect("the model compiles").module, 0.5f64.powi(tokens.ilog2().cast_signed()))
}

/// A cheap hash as a number in -1..1.
fn noise(n: u64) -> f64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (z >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

fn start(state: &State, salt: u64) -> Tensor {
    let n = state.ty.len();
    let number = |i: u64| match (state.role, state.ty.dtype) {
        (Role::Param, _) => 0.5 * noise(salt * 1000 + i),
        // The last target is none: it must count nothing.
        (Role::Input, Dtype::I32) if state.name == "targets" && i + 1 == n => -1.0,
        (Role::Input, _) => ((noise(salt * 1000 + i) + 1.0) * 2.0).floor(),
        (_, _) => 0.0,
    };
    Tensor::from_numbers(state.ty.clone(), &(0..n).map(number).collect::<Vec<f64>>())
}

/// Whether a state of that role holds no others.
fn is_whole(module: &Module, state: &State, role: Role) -> bool {
    state.role == role && module.pieces(&state.name).next().is_none()
}

fn loss(module: &Module, states: &BTreeMap<String, Tensor>) -> (f64, BTreeMap<String, Tensor>) {
    let mut after = states.clone();
    for copy in module.states.iter().filter(|s| is_whole(module, s, Role::Cast)) {
        // Nothing rounds in f64, so a copy is its weight.
        let weight = copy.name.strip_prefix("cast.").expect("copies are named after weights");
        let (ty, data) = (copy.ty.clone(), Data::F64(states[weight].numbers()));
        after.insert(copy.name.clone(), Tensor { ty, data });
    }
    eval_graph(module, "micro", &mut after, Precision::F64).expect("micro runs");
    (after["loss_sum"].numbers()[0], after)
}

/// A tensor with one element moved, held in f64 whatever its type.
fn moved(tensor: &Tensor, at: usize, by: f64) -> Tensor {
    let mut numbers = tensor.numbers();
    numbers[at] += by;
    Tensor { ty: tensor.ty.clone(), data: Data::F64(numbers) }
}

fn starts(module: &Module) -> BTreeMap<String, Tensor> {
    let states = (0u64..).zip(&module.states);
    states.map(|(salt, state)| (state.name.clone(), start(state, salt))).collect()
}

fn check(text: &str) -> Module {
    let (module, prescale) = module(text);
    let states = starts(&module);
    let (_, after) = loss(&module, &states);
    for param in module.states.iter().filter(|s| is_whole(&module, s, Role::Param)) {
        let grad = after[&format!("grad.{}", param.name)].numbers();
        let scale = grad.iter().fold(0.0f64, |m, g| m.max(g.abs())) / prescale;
        for k in 0..4 {
            let at = ((noise(k + 77) + 1.0) / 2.0 * grad.len() as f64) as usize;
            let tensor = states[&param.name].clone();
            let at_offset = |by: f64| {
                let mut states = states.clone();
                states.insert(param.name.clone(), moved(&tensor, at, by));
                loss(&module, &states).0
            };
            let wanted = (at_offset(EPS) - at_offset(-EPS)) / (2.0 * EPS);
            let got = grad[at] / prescale;
            // Key biases have a gradient of zero: what is left there is the rounding of the loss.
            let bound = RTOL * scale.max(wanted.abs()) + 1e-9;
            let name = &param.name;
            assert!(
                (got - wanted).abs() <= bound,
                "{name}[{at}]: {got}, differences give {wanted}"
            );
        }
    }
    module
}

#[test]
fn gpt_has_the_gradients_of_its_loss() {
    check(
        "model gpt(layers: 2, width: 6, heads: 2)
data text(\"t.txt\")
train {
  batch 3
  context 5
  lr 1e-3
  steps 10
}",
    );
}

#[test]
fn in_16_bits_a_model_has_the_gradients_of_its_loss() {
    for precision in ["bf16", "fp16"] {
        let module = check(&format!(
            "model gpt(layers: 2, width: 6, heads: 2)
data text(\"t.txt\")
train {{
  batch 3
  micro_batch 1
  context 5
  precision {precision}
  loss_scale 1
  lr 1e-3
  steps 10
}}"
        ));
        assert!(module.states.iter().any(|s| s.ty.dtype.is_narrow()), "{precision} rounds");
    }
}

#[test]
fn a_user_block_has_the_gradients_of_its_loss() {
    check(
        "layer block(d: dim, heads: int)(x: [b, t, d]) -> [b, t, d] {
  norm = rmsnorm(d)
  qkv  = linear(d, 3 * d, bias: false)
  mix  = linear(d, d)
  gate = linear(d, d)
  n       = norm(x)
  q, k, v = rearrange(qkv(n), [b, t, 3 * heads * hd] -> [3, b, heads, t, hd])
  a       = attention(q, k, v, causal: true) |> rearrange([b, heads, t, hd] -> [b, t, heads * hd])
  x + mix(a) * sigmoid(gate(n)) + silu(n) * tanh(a)
}
layer net(vocab: int, d: dim)(ids: tok(vocab)[b, t]) -> [b, t, vocab] {
  emb    = embedding(vocab, d)
  blocks = repeat(2, block(d, 2))
  emb(ids) |> blocks |> unembed(emb)
}
model net(vocab: data.vocab, d: 4)
data text(\"t.txt\")
train {
  batch 2
  micro_batch 1
  context 4
  lr 1e-3
  steps 10
}",
    );
}

/// A GPT with these lines.
fn gpt(lines: &str) -> Module {
    let model = "model gpt(layers: 2, width: 24, heads: 2)\ndata text(\"t.txt\")\n";
    let train = format!("train {{\nbatch 4\ncontext 8\nlr 1e-3\nsteps 10\n{lines}\n}}");
    module(&format!("{model}{train}")).0
}

/// The gradients of `micro` by name; copies of weights are the weights in that precision.
fn gradients(module: &Module, precision: Precision) -> BTreeMap<String, Vec<f64>> {
    let mut states = starts(module);
    for state in module.states.iter().filter(|s| is_whole(module, s, Role::Cast)) {
        let weight =
            states[state.name.strip_prefix("cast.").expect("a copy of a weight")].numbers();
        let copy = match precision {
            Precision::AsTyped => Tensor::from_numbers(state.ty.clone(), &weight),
            Precision::F64 => Tensor { ty: state.ty.clone(), data: Data::F64(weight) },
        };
        states.insert(state.name.clone(), copy);
    }
    let scale = Tensor::from_numbers(states["loss_scale"].ty.clone(), &[65536.0]);
    states.insert("loss_scale".to_owned(), scale);
    eval_graph(module, "micro", &mut states, precision).expect("micro runs");
    let grads =
        module.states.iter().filter(|s| is_whole(module, s, Role::Grad) && !s.ty.shape.is_empty());
    grads.map(|s| (s.name.clone(), states[&s.name].numbers())).collect()
}

fn norm(x: impl IntoIterator<Item = f64>) -> f64 {
    x.into_iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The largest ‖g − f64‖ / ‖f64‖ of a tensor, key biases aside: theirs are 0.
fn largest_error(lines: &str) -> f64 {
    let module = gpt(lines);
    let (typed, wide) =
        (gradients(&module, Precision::AsTyped), gradients(&module, Precision::F64));
    let errors = wide.iter().filter(|(name, _)| !name.ends_with("qkv.bias")).map(|(name, wide)| {
        let difference = typed[name].iter().zip(wide).map(|(x, y)| x - y);
        norm(difference) / norm(wide.iter().copied())
    });
    errors.fold(0.0, f64::max)
}

#[test]
fn gradients_in_16_bits_are_near_those_in_f64() {
    for (lines, bound) in [
        ("precision fp32", 1e-5),
        ("precision bf16", 2e-2),
        ("precision fp16", 5e-3),
        ("precision bf16 reduce bf16", 2e-2),
    ] {
        let error = largest_error(lines);
        assert!(error < bound, "{lines}: {error} is over {bound}");
        // What rounds nothing would be nearer.
        assert!(error > bound / 1000.0, "{lines}: {error} is too good");
    }
}

#[test]
fn gradients_are_handed_over_in_the_type_of_reduce() {
    let rounded = |lines: &str| {
        let grads = gradients(&gpt(lines), Precision::AsTyped);
        let is_bf16 = |&x: &f64| f64::from(ir::narrow::round(Dtype::Bf16, x as f32)) == x;
        let all: Vec<f64> = grads.into_values().flatten().collect();
        all.iter().filter(|x| is_bf16(x)).count() as f64 / all.len() as f64
    };
    assert_eq!(rounded("precision bf16 reduce bf16"), 1.0);
    assert!(rounded("precision bf16") < 0.9);
    assert!(rounded("precision fp32") < 0.9);
}

/// Grouped heads that attend to equal ids that are `near`, with dropout; each key is there twice, so
/// that segments of rows and of keys differ. `end` is added to the scores.
fn attending(end: &str, near: &str, lines: &str) -> Module {
    let text = "fn attend(q: [b, h, t, k], key: [b, g, s, k], v: [b, g, s, k], ids: tok(256)[b, t], of: tok(256)[b, s], drop: prob = 0) -> [b, h, t, k] {
  require g divides h \"heads come in groups\"
  kk = expand(key, [b, g, s, k] -> [b, g * (h / g), s, k])
  vv = expand(v, [b, g, s, k] -> [b, g * (h / g), s, k])
  z  = fp32(einsum(q, kk, [b, h, t, k], [b, h, s, k] -> [b, h, t, s])) / sqrt(k)END
  z  = mask(z, row(t) >= row(s))
  is_near = expand(ids, [b, t] -> [b, 1, t, 1]) == expand(of, [b, s] -> [b, 1, 1, s])
  z  = mask(z, NEAR is_near)
  p  = softmax(z, over: s) |> cast(like: v) |> dropout(drop)
  einsum(p, vv, [b, h, t, s], [b, h, s, k] -> [b, h, t, k])
}
layer net(hd: dim, drop: prob = 0)(ids: tok(256)[b, t]) -> [b, t, 256] {
  emb = embedding(256, 4 * hd)
  wq  = linear(4 * hd, 4 * hd)
  wk  = linear(4 * hd, 2 * hd)
  wv  = linear(4 * hd, 2 * hd)
  pos = positions(9, 4 * hd)
  x   = emb(ids) + pos(t)
  q   = rearrange(wq(x), [b, t, 4 * hd] -> [b, 4, t, hd])
  k   = rearrange(wk(x), [b, t, 2 * hd] -> [b, 2, t, hd])
  v   = rearrange(wv(x), [b, t, 2 * hd] -> [b, 2, t, hd])
  kk  = concat(k, k, axis: -2)
  vv  = concat(v, v, axis: -2)
  y   = attend(q, kk, vv, ids, concat(ids, ids, axis: -1), drop: drop) |> rearrange([b, h, t, e] -> [b, t, h * e])
  unembed(x + y, emb)
}
model net(hd: 3)
data text(\"t.txt\")
train {
  batch 3
  micro_batch 3
  context 9
  lr 1e-3
  steps 10
  LINES
}";
    module(&text.replace("END", end).replace("NEAR", near).replace("LINES", lines)).0
}

#[test]
fn attention_as_one_op_has_the_gradients_of_its_plain_definition() {
    let is_one_op = |module: &Module| {
        let mut nodes = module.functions.iter().flat_map(|f| &f.nodes);
        nodes.any(|node| matches!(node.op, ir::ops::Op::Attention(_)))
    };
    // A window is causal by itself.
    for (dropout, near) in [("", "row(t) - row(s) < 4 and"), ("dropout 0.4", "")] {
        for (precision, bound) in
            [("precision fp32", 1e-5), ("precision bf16", 2e-2), ("precision fp16", 5e-3)]
        {
            let lines = format!("{precision}\n  {dropout}");
            let (fused, plain) = (attending("", near, &lines), attending(" + 0", near, &lines));
            assert!(is_one_op(&fused) && !is_one_op(&plain), "{lines}");
            let wanted = gradients(&plain, Precision::F64);
            // Constants of f32, such as the root of the width, are rounded in f64 too.
            for (precision, bound) in [(Precision::F64, 1e-7), (Precision::AsTyped, bound)] {
                let got = gradients(&fused, precision);
                for (name, wanted) in wanted.iter().filter(|(name, _)| !name.ends_with("wk.bias")) {
                    let difference = got[name].iter().zip(wanted).map(|(x, y)| x - y);
                    let error = norm(difference) / norm(wanted.iter().copied());
                    assert!(error < bound, "{lines}, {precision:?}: {name} is off by {error}");
                }
            }
        }
    }
}

#[test]
fn recurrent_models_have_the_gradients_of_their_loss() {
    for cell in ["lstm", "gru"] {
        check(&format!(
            "layer net(vocab: int, d: dim)(ids: tok(vocab)[b, t]) -> [b, t, vocab] {{
  emb  = embedding(vocab, d)
  deep = repeat(2, {cell}(d, d))
  emb(ids) |> deep |> unembed(emb)
}}
model net(vocab: data.vocab, d: 4)
data text(\"t.txt\")
train {{
  batch 2
  micro_batch 1
  context 4
  lr 1e-3
  steps 10
}}"
        ));
    }
}
