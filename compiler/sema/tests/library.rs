//! Declarations as text in; diagnostics and traces out.

use diag::{Code, Diagnostic, SourceMap, Span};
use sema::trace::{Elem, Trace, Type};
use sema::{Ambient, Call, Library, Provenance, StaticArg, StaticEnv};
use syntax::ast::{DeclKind, ExprId, Spec, StmtKind};

/// A spec with the standard library around it.
struct World {
    map: SourceMap,
    spec: Spec,
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
    let std: Vec<Spec> = stdlib::SOURCES.iter().map(|s| parse(&mut map, s.name, s.text)).collect();
    let spec = parse(&mut map, "spec.lt", text);
    let mut sources: Vec<(&Spec, Provenance)> = std.iter().map(|s| (s, Provenance::Std)).collect();
    sources.push((&spec, Provenance::User));
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
    let nodes = spec.body.iter().filter_map(|&id| match &spec[id].kind {
        StmtKind::Node(node) => node.value,
        _ => None,
    });
    nodes.last().expect("the spec has a model")
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
