//! Declarations as text in; diagnostics and traces out.
#![allow(clippy::wildcard_enum_match_arm, reason = "a test looks at the primitives it is about")]

use std::sync::Arc;

use diag::{Code, Diagnostic, SourceMap};
use sema::trace::{Elem, Prim, Trace, Type};
use sema::{Ambient, Call, Declarations, Library, Provenance, StaticEnv};
use syntax::ast::{DeclKind, ExprId, Spec, StmtKind};

/// A spec with the standard library around it.
struct World {
    map: SourceMap,
    spec: Arc<Spec>,
    library: Library,
    diags: Vec<Diagnostic>,
}

fn world(text: &str) -> World {
    let mut map = SourceMap::new();
    let mut diags = Vec::new();
    let mut parse = |map: &mut SourceMap, name: &str, text: &str| {
        let file = map.add(name, text);
        let (spec, found) = syntax::parse(map, file);
        diags.extend(found);
        spec
    };
    let std: Vec<Arc<Spec>> =
        stdlib::SOURCES.iter().map(|s| parse(&mut map, s.name, s.text)).collect();
    let spec = parse(&mut map, "spec.lt", text);
    let mut sources: Vec<Declarations<'_>> =
        std.iter().map(|s| (s, Provenance::Std).into()).collect();
    sources.push((&spec, Provenance::User).into());
    let (library, found) = Library::load(&sources, &map);
    diags.extend(found);
    World { map, spec, library, diags }
}

fn render(world: &World, diags: &[Diagnostic]) -> String {
    let line = |d: &Diagnostic| {
        let span = d.span();
        let (line, col) = world.map.line_col(span.file, span.start);
        let name = &world.map.file(span.file).name;
        let mut text = format!("{name}:{line}:{col} {}: {}", d.code.name(), d.message);
        for label in &d.labels[1..] {
            let (line, _) = world.map.line_col(label.span.file, label.span.start);
            let name = &world.map.file(label.span.file).name;
            text += &format!("\n  {name}:{line} {}", label.message);
        }
        for help in &d.help {
            text += &format!("\n  help: {help}");
        }
        text
    };
    diags.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The expression after `model m = `.
fn model_expr(spec: &Spec) -> ExprId {
    let mut nodes = spec.body.iter().rev().filter_map(|&id| match &spec[id].kind {
        StmtKind::Node(node) => node.value,
        StmtKind::Use { .. } | StmtKind::Decl(_) | StmtKind::For { .. } | StmtKind::Error => None,
    });
    nodes.next().expect("the spec has a model")
}

impl World {
    fn call(&self, want: DeclKind) -> Call {
        let bound = self.library.bind(&self.spec, model_expr(&self.spec), want, &StaticEnv::new());
        bound.unwrap_or_else(|d| panic!("{}", render(self, &d)))
    }
}

fn real(shape: &[u64]) -> Type {
    Type { elem: Elem::Real, shape: shape.to_vec() }
}

fn scalar() -> Type {
    Type { elem: Elem::Scalar, shape: vec![] }
}

fn ids(bound: u64, shape: &[u64]) -> Type {
    Type { elem: Elem::Ids(bound), shape: shape.to_vec() }
}

/// Traces `m` of `model m = call` for ids of shape `[2, 3]`, at a context of 4.
fn traced(text: &str, vocab: u64) -> Trace {
    let world = world(text);
    assert!(world.diags.is_empty(), "{}", render(&world, &world.diags));
    let call = world.call(DeclKind::Layer);
    let trace = world.library.trace(&call, &[ids(vocab, &[2, 3])], &Ambient { context: 4 });
    trace.unwrap_or_else(|d| panic!("{}", render(&world, &d)))
}

#[test]
fn the_standard_library_checks_for_all_sizes() {
    let world = world("");
    let diags = [world.diags.clone(), world.library.check_all()].concat();
    assert!(diags.is_empty(), "{}", render(&world, &diags));
}

#[test]
fn gpt_has_the_parameters_of_gpt2() {
    let trace = traced("model m = gpt(vocab: 5, layers: 2, width: 8, heads: 2)", 5);
    let paths: Vec<&str> = trace.params.iter().map(|p| p.path.as_str()).take(8).collect();
    assert_eq!(
        paths,
        [
            "tok_emb.weight",
            "pos_emb.weight",
            "blocks.0.norm1.weight",
            "blocks.0.norm1.bias",
            "blocks.0.attn.qkv.weight",
            "blocks.0.attn.qkv.bias",
            "blocks.0.attn.proj.weight",
            "blocks.0.attn.proj.bias",
        ]
    );
    let count: u64 = trace.params.iter().map(|p| p.shape.iter().product::<u64>()).sum();
    let (v, d, context, layers) = (5, 8, 4, 2);
    assert_eq!(count, v * d + context * d + layers * (12 * d * d + 13 * d) + 2 * d);
    let last = &trace.instrs[trace.outputs[0].0 as usize];
    assert_eq!(last.ty, real(&[2, 3, 5]));
}

/// The declarations of a design example; other blocks are of no interest here.
fn example(name: &str) -> String {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/spec/design/");
    std::fs::read_to_string(format!("{root}{name}")).expect("the example is there")
}

/// The declaration of that name alone.
fn layer_of(text: &str, name: &str) -> String {
    let start = text.find(&format!("layer {name}(")).expect("the layer is there");
    let len = text[start..].find("\n}\n").expect("it ends") + 3;
    text[start..start + len].to_string()
}

fn design_layers() -> String {
    let (shakespeare, lstm, llama) =
        (example("02_shakespeare.lt"), example("05_lstm.lt"), example("06_llama_long.lt"));
    [
        layer_of(&shakespeare, "parallel_block"),
        layer_of(&shakespeare, "tiny_gpt"),
        layer_of(&lstm, "cell"),
        layer_of(&llama, "gqa"),
        layer_of(&llama, "llama_block"),
        layer_of(&llama, "llama"),
    ]
    .concat()
}

#[test]
fn the_layers_of_the_design_check_for_all_sizes() {
    let world = world(&design_layers());
    assert!(world.diags.is_empty(), "{}", render(&world, &world.diags));
    let text = example("std_nn.lt");
    let world = self::world(&text);
    assert!(world.diags.is_empty(), "{}", render(&world, &world.diags));
}

/// Each: what to replace in the design's layers, by what, and the code that must come first.
const MUTATIONS: &[(&str, &str, Code)] = &[
    // parallel_block
    ("down = linear(4 * d, d)", "down = linear(d, 4 * d)", Code::E0401),
    ("linear(d, 3 * d, bias: false)", "linear(d, 2 * d, bias: false)", Code::E0401),
    ("[b, t, 3 * heads * hd] -> [3, b,", "[b, t, 4 * heads * hd] -> [3, b,", Code::E0403),
    (
        "[b, heads, t, hd] -> [b, t, heads * hd])\n  m",
        "[b, t, heads, hd] -> [b, t, heads * hd])\n  m",
        Code::E0401,
    ),
    ("-> [b, t, heads * hd])\n  m", "-> [b, t, heads * 2])\n  m", Code::E0403),
    ("m       = n |> up |> gelu |> down", "m       = n |> down |> gelu |> up", Code::E0401),
    ("x + dropout(out(a) + m, drop)", "x + dropout(up(n) + m, drop)", Code::E0404),
    ("q, k, v = rearrange", "q, k, v, w = rearrange", Code::E0402),
    ("attention(q, k, v, causal: true) |>", "attention(q, k, causal: true) |>", Code::E0305),
    ("attention(q, k, v, causal: true) |>", "attention(q, k, v, casual: true) |>", Code::E0305),
    ("norm = layernorm(d)\n  qkv", "norm = layernorm(heads)\n  qkv", Code::E0401),
    ("out  = linear(d, d)", "out  = linear(d)", Code::E0305),
    ("a       = attention(q, k, v", "a       = attention(n, k, v", Code::E0401),
    // tiny_gpt
    ("norm    = layernorm(d)", "norm    = layernorm(depth)", Code::E0401),
    ("pos_emb = positions(context, d)", "pos_emb = positions(d, context)", Code::E0404),
    ("tok_emb(ids) + pos_emb(t)", "tok_emb(ids) + pos_emb(b)", Code::E0404),
    ("tok_emb = embedding(vocab, d)", "tok_emb = embedding(d, d)", Code::E0701),
    ("tok_emb(ids) + pos_emb(t)", "ids + pos_emb(t)", Code::E0411),
    ("|> unembed(tok_emb)", "|> unembed(pos_emb)", Code::E0402),
    (
        "repeat(depth, parallel_block(d, heads, drop))",
        "repeat(depth, linear(d, 2 * d))",
        Code::E0410,
    ),
    (
        "repeat(depth, parallel_block(d, heads, drop))",
        "repeat(depth, parallel_block(d, heads, 10))",
        Code::E0302,
    ),
    (
        "repeat(depth, parallel_block(d, heads, drop))",
        "repeat(drop, parallel_block(d, heads, drop))",
        Code::E0301,
    ),
    // cell
    ("gates = linear(i + h, 4 * h)", "gates = linear(i, 4 * h)", Code::E0401),
    ("[b, 4 * h] -> [4, b, h]", "[b, 4 * h] -> [3, b, h]", Code::E0403),
    ("concat(x, hid, axis: -1)", "concat(x, hid, axis: 0)", Code::E0404),
    ("hid, mem = state", "hid, mem, x = state", Code::E0402),
    ("(out, (out, next))", "(out, (out, x))", Code::E0402),
    ("sigmoid(o) * tanh(next)", "sigmoid(p) * tanh(next)", Code::E0202),
    // gqa and llama
    ("wo = linear(heads * hd, d, bias: false)", "wo = linear(d, heads, bias: false)", Code::E0402),
    (
        "wk = linear(d, kv * hd, bias: false)",
        "wk = linear(d, heads * kv, bias: false)",
        Code::E0403,
    ),
    ("ffn = swiglu(d, ff)", "ffn = swiglu(ff, d)", Code::E0401),
    ("h = x + att(n1(x))", "h = x + att(n3(x))", Code::E0202),
    (
        "head   = linear(d, vocab, bias: false)",
        "head   = linear(vocab, d, bias: false)",
        Code::E0401,
    ),
    ("emb    = embedding(vocab, d)", "emb    = embedding(ff, d)", Code::E0701),
    (
        "(ids: tok(vocab)[b, t]) -> [b, t, vocab] {\n  emb ",
        "(ids: tok(vocab)[..s, ..t]) -> [..s, vocab] {\n  emb ",
        Code::E0414,
    ),
    ("-> [b, t, vocab] {\n  emb ", "-> [b, t, size] {\n  emb ", Code::E0409),
    ("hd = d / heads", "hd = d / t", Code::E0403),
    ("  hd = d / heads", "  d / heads\n  hd = d / heads", Code::E0210),
    ("emb(ids) |> blocks |> norm |> head", "ids |> blocks |> norm |> head", Code::E0411),
];

#[test]
fn every_mutation_has_its_code() {
    let original = design_layers();
    let mut wrong = Vec::new();
    for (from, to, code) in MUTATIONS {
        assert!(original.contains(from), "`{from}` is in the design");
        let world = world(&original.replacen(from, to, 1));
        let found: Vec<Code> = world.diags.iter().map(|d| d.code).collect();
        if found != [*code] {
            wrong.push(format!("{from} => {to}: want {code:?}\n{}", render(&world, &world.diags)));
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), MUTATIONS.len(), wrong.join("\n\n"));
}

#[test]
fn swapping_the_factors_of_an_axis_is_said() {
    let world = world(
        "layer f(a: dim, c: dim)(x: [b, a * c]) -> [b, a * c] { rearrange(x, [b, a * c] -> [b, c * a]) }",
    );
    let codes: Vec<Code> = world.diags.iter().map(|d| d.code).collect();
    assert_eq!(codes, [Code::E0408], "{}", render(&world, &world.diags));
}

#[test]
fn lints_find_nameless_and_useless_weights() {
    let world = world(
        "layer f(d: dim)(x: [b, d]) -> [b, d] {\n  param c: [d] = zeros\n  x |> linear(d, d)\n}\n",
    );
    let codes: Vec<Code> = world.diags.iter().map(|d| d.code).collect();
    assert_eq!(codes, [Code::W0412, Code::W0413], "{}", render(&world, &world.diags));
}

/// What `trace` says of `model m = call`.
fn faults(text: &str) -> String {
    let world = world(text);
    assert!(world.diags.is_empty(), "{}", render(&world, &world.diags));
    let diags = match world.library.bind(
        &world.spec,
        model_expr(&world.spec),
        DeclKind::Layer,
        &StaticEnv::new(),
    ) {
        Err(diags) => diags,
        Ok(call) => {
            let inputs = [ids(5, &[2, 3])];
            world.library.trace(&call, &inputs, &Ambient { context: 4 }).expect_err("a fault")
        }
    };
    render(&world, &diags)
}

#[test]
fn a_size_that_does_not_divide_points_at_the_call() {
    let text = faults("model m = gpt(vocab: 5, layers: 1, width: 500, heads: 12)");
    assert!(
        text.starts_with("spec.lt:1:11 E0405: `heads` 12 does not divide `d` 500\n  std/nn.lt"),
        "{text}"
    );
    let help = "help: use 492 or 504 in place of `d` 500, or 10 or 20 in place of `heads` 12";
    assert!(text.ends_with(help), "{text}");
}

#[test]
fn calls_are_checked() {
    let cases = [
        ("gpt(vocab: 5, layers: 1, width: 4, heads: 2, depth: 1)", "E0305"),
        ("gpt(vocab: 5, layers: 1, width: 4)", "E0305"),
        ("gpt(vocab: 5, layers: 1.5, width: 4, heads: 2)", "E0301"),
        ("gpt(vocab: 5, layers: 1, width: 0, heads: 2)", "E0302"),
        ("gpt(vocab: 5, layers: 1, width: 4, heads: 2, drop: 10)", "E0302"),
        ("gpt(vocab: 5, layers: -1, width: 4, heads: 2)", "E0302"),
        ("gpd(vocab: 5)", "E0202"),
        ("adamw(eps: 1)", "E0301"),
        ("gpt(vocab: 5, layers: 1, width: nothing, heads: 2)", "E0202"),
        ("gpt(vocab: 5, layers: 1, width: 1 / 0, heads: 2)", "E0307"),
        ("gpt(vocab: 5, layers: 1, width: 4000000000000000 * 4000, heads: 2)", "E0306"),
        ("gpt(vocab: 5, layers: 1M, width: 4, heads: 2)", "E0306"),
        ("gpt(vocab: 5, layers: 1, width: 4611686018427387904, heads: 2)", "E0306"),
        ("gpt(vocab: 4, layers: 1, width: 4, heads: 2)", "E0701"),
    ];
    for (call, code) in cases {
        let text = faults(&format!("model m = {call}"));
        assert!(text.contains(&format!(" {code}: ")), "{call}: {text}");
    }
}

/// Traces `name` with these data types.
fn traced_default(name: &str, want: DeclKind, inputs: &[Type]) -> Trace {
    let world = world(&format!("m = {name}"));
    let call = world.call(want);
    let trace = world.library.trace(&call, inputs, &Ambient { context: 4 });
    trace.unwrap_or_else(|d| panic!("{name}: {}", render(&world, &d)))
}

#[test]
fn rules_update_weights_and_keep_state() {
    for (rule, states) in [("sgd(momentum: 0.9, nesterov: true)", 1), ("adam", 2), ("adamw", 2)] {
        let inputs = [real(&[2, 3]), real(&[2, 3]), scalar(), scalar()];
        let trace = traced_default(rule, DeclKind::Rule, &inputs);
        assert_eq!(trace.states.len(), states);
        for state in &trace.states {
            let next = &trace.instrs[state.next.0 as usize].ty;
            assert_eq!((next.elem, next.shape.as_slice()), (Elem::Fp32, &[2, 3][..]));
        }
        assert_eq!(trace.instrs[trace.outputs[0].0 as usize].ty, real(&[2, 3]));
    }
}

#[test]
fn rules_with_sums_over_a_weight_take_any_shape() {
    for rule in ["lion", "lamb", "lars"] {
        for shape in [&[][..], &[3], &[2, 3], &[2, 3, 4]] {
            let inputs = [real(shape), real(shape), scalar(), scalar()];
            let trace = traced_default(rule, DeclKind::Rule, &inputs);
            operands_precede_users(&trace);
            assert_eq!(trace.instrs[trace.outputs[0].0 as usize].ty.shape, shape, "{rule}");
        }
    }
}

#[test]
fn rules_of_matrices_take_wide_and_tall_ones() {
    for rule in ["adafactor", "muon", "muon(nesterov: false)"] {
        for shape in [[1, 1], [1, 5], [5, 1], [4, 3], [3, 4], [3, 3]] {
            let inputs = [real(&shape), real(&shape), scalar(), scalar()];
            let trace = traced_default(rule, DeclKind::Rule, &inputs);
            operands_precede_users(&trace);
            assert_eq!(trace.instrs[trace.outputs[0].0 as usize].ty.shape, shape, "{rule}");
        }
    }
}

#[test]
fn faults_of_rules_are_where_they_are() {
    let rule = |body: &str| {
        format!(
            "rule r()(w: [m, n], g: [m, n], lr: real, t: int) -> [m, n] {{\n  state s: fp32[m, 1] = zeros\n  {body}\n}}\n"
        )
    };
    let cases = [
        ("s = mean(g, over: n)\n  w", "spec.lt:3:3 E0402"),
        ("w @ g", "spec.lt:3:3 E0404"),
        ("w - mean(g, over: n)", "spec.lt:3:3 E0404"),
        ("if m > n { rearrange(w, [m, n] -> [n, m]) } else { w }", "spec.lt:3:3 E0404"),
        ("w - lr * norm(g, over: m, keep: true) * g @ w", "spec.lt:3:7 E0404"),
    ];
    for (body, place) in cases {
        let world = world(&rule(body));
        let text = render(&world, &world.diags);
        assert!(text.starts_with(place), "{body}: {text}");
    }
}

#[test]
fn schedules_are_functions_of_the_step() {
    for name in ["constant", "linear(to: 10%)", "cosine", "wsd(decay: 20%)", "inverse_sqrt"] {
        let trace = traced_default(name, DeclKind::Fn, &[scalar(), scalar()]);
        assert_eq!(trace.instrs[trace.outputs[0].0 as usize].ty, scalar(), "{name}");
    }
}

#[test]
fn the_loss_is_one_number_a_token() {
    for name in ["cross_entropy", "cross_entropy(label_smoothing: 0.1)"] {
        let trace = traced_default(name, DeclKind::Fn, &[real(&[2, 3, 5]), ids(5, &[2, 3])]);
        let ty = &trace.instrs[trace.outputs[0].0 as usize].ty;
        assert_eq!(*ty, Type { elem: Elem::Fp32, shape: vec![2, 3] });
    }
}

#[test]
fn what_checks_for_all_sizes_traces_for_any() {
    let design = design_layers();
    let mut state = 1u64;
    let mut below = |n: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % n
    };
    for _ in 0..40 {
        let (kv, group, half) = (1 + below(2), 1 + below(3), 1 + below(3));
        let (heads, layers, vocab) = (kv * group, below(3), 5 + below(4));
        let d = heads * 2 * half;
        let model = match below(3) {
            0 => format!(
                "gpt(vocab: {vocab}, layers: {layers}, width: {d}, heads: {heads}, drop: 10%, bias: false)"
            ),
            1 => format!("tiny_gpt({vocab}, {d}, {layers}, {heads}, 0.5)"),
            _ => format!("llama({vocab}, {d}, {}, {layers}, {heads}, {kv})", 1 + below(7)),
        };
        let trace = traced(&format!("{design}\nmodel m = {model}"), vocab);
        assert_eq!(trace.instrs[trace.outputs[0].0 as usize].ty.shape, [2, 3, vocab]);
        operands_precede_users(&trace);
    }
}

fn operands_precede_users(trace: &Trace) {
    for (i, instr) in trace.instrs.iter().enumerate() {
        assert!(instr.args.iter().all(|a| (a.0 as usize) < i));
        let elements = |ty: &Type| ty.shape.iter().product::<u64>();
        let arg = |n: usize| &trace.instrs[instr.args[n].0 as usize].ty;
        match &instr.prim {
            Prim::Reshape => assert_eq!(elements(arg(0)), elements(&instr.ty)),
            Prim::Binary(_) => {
                assert_eq!(arg(0), arg(1));
                assert_eq!(arg(0).shape, instr.ty.shape);
            }
            Prim::Dot => {
                let (a, b, y) = (&arg(0).shape, &arg(1).shape, &instr.ty.shape);
                let n = a.len();
                assert_eq!((a.len(), b.len(), a[n - 1]), (y.len(), n, b[n - 2]));
                assert_eq!((&a[..n - 1], b[n - 1]), (&y[..n - 1], y[n - 1]));
            }
            _ => {}
        }
    }
}

#[test]
fn a_trace_prints_as_text() {
    let text =
        "layer f(d: dim)(x: [b, d]) -> [b, d] {\n  up = linear(d, d)\n  relu(up(x))\n}\nm = f(2)";
    let world = world(text);
    let call = world.call(DeclKind::Layer);
    let trace = world.library.trace(&call, &[real(&[3, 2])], &Ambient { context: 4 }).unwrap();
    let expected = "\
param up.weight: real[2, 2] = normal(0.02)
param up.bias: real[2] = zeros
%0: real[3, 2] = input x
# up
%1: real[2, 2] = param up.weight
%2: real[3, 2] = dot(%0, %1)
%3: real[2] = param up.bias
%4: real[3, 2] = broadcast(%3)
%5: real[3, 2] = add(%2, %4)
# top
%6: real[] = const 0
%7: real[3, 2] = broadcast(%6)
%8: real[3, 2] = max(%5, %7)
return %8
";
    assert_eq!(trace.print(), expected);
}

#[test]
fn layers_inside_layers_have_a_limit() {
    let recursive = "layer a(d: dim)(x: [b, d]) -> [b, d] {\n  n = a(d)\n  n(x)\n}\nm = a(2)";
    let chain: String = (0..300)
        .map(|i| {
            let next = i + 1;
            format!("layer l{i}(d: dim)(x: [b, d]) -> [b, d] {{\n  n = l{next}(d)\n  n(x)\n}}\n")
        })
        .collect();
    let chain = format!("{chain}layer l300(d: dim)(x: [b, d]) -> [b, d] {{ x }}\nm = l0(2)");
    for text in [recursive, chain.as_str()] {
        let world = world(text);
        assert!(world.diags.is_empty(), "{}", render(&world, &world.diags));
        let call = world.call(DeclKind::Layer);
        let faults = world.library.trace(&call, &[real(&[3, 2])], &Ambient { context: 4 });
        let faults = faults.unwrap_err();
        assert_eq!(faults[0].code, Code::E0306, "{}", render(&world, &faults));
    }
}

#[test]
fn a_sequence_longer_than_the_positions_is_refused() {
    let world = world("m = gpt(vocab: 5, layers: 1, width: 4, heads: 2)");
    let call = world.call(DeclKind::Layer);
    let faults = world.library.trace(&call, &[ids(5, &[2, 9])], &Ambient { context: 4 });
    assert_eq!(faults.unwrap_err()[0].code, Code::E0503);
}

#[test]
fn loops_and_shared_layers_name_their_weights() {
    let text = "layer f(d: dim)(x: [b, d]) -> [b, d] {\n  same = share(2, linear(d, d, bias: false))\n  for i in 0..2 {\n    up = linear(d, d, bias: false)\n    x = x + up(x)\n  }\n  same(x)\n}\nm = f(2)";
    let world = world(text);
    assert!(world.diags.is_empty(), "{}", render(&world, &world.diags));
    let call = world.call(DeclKind::Layer);
    let trace = world.library.trace(&call, &[real(&[3, 2])], &Ambient { context: 4 }).unwrap();
    let paths: Vec<&str> = trace.params.iter().map(|p| p.path.as_str()).collect();
    assert_eq!(paths, ["up.0.weight", "up.1.weight", "same.weight"]);
}
