//! Every example written in Rust too: both make the same tree.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

mod formats;
mod tree;

use std::path::Path;

use build::{Spec, call, function, k, layer, percent, rule, several, string};
use tree::same;

/// What an example is in Rust.
type Twin = fn() -> Spec;

/// By the name of the example.
const TWINS: &[(&str, Twin)] = &[
    ("authors", formats::authors),
    ("chat", formats::chat),
    ("classics_bpe", formats::classics_bpe),
    ("classics_chars", formats::classics_chars),
    ("compressed", formats::compressed),
    ("custom_optimizer", custom_optimizer),
    ("hello", hello),
    ("hidden", formats::hidden),
    ("mixture", formats::mixture),
    ("poems", formats::poems),
    ("shakespeare", shakespeare),
    ("sizes", sizes),
    ("tokens", formats::tokens),
];

/// Arguments, two models and a job that goes on from another one's lines.
fn sizes() -> Spec {
    let gpt = |layers: u32, width: &str, heads: u32| {
        call("gpt").with("layers", layers).with("width", width).with("heads", heads)
    };
    Spec::new()
        .doc("Peak of the learning rate.")
        .set("arg", "peak: real = 3e-3 in 1e-5..1e-1")
        .doc("Width of the large model; the small one has half.")
        .set("arg", "width: dim = 128 in 32..512")
        .set("arg", ("out: path =", string("{env.RUNS:runs}")))
        .model_named("small", gpt(1, "width / 2", 2))
        .model_named("large", gpt(2, "width", 4))
        .data_named("play", shakespeare_text().with("tokenizer", "bytes"))
        .doc("A quick look.")
        .train_named("quick", |t| {
            t.set("model", "small")
                .set("batch", 16)
                .set("context", 64)
                .set("lr", "peak")
                .set("warmup", percent(5))
                .set("steps", 200)
                .set("checkpoint", (string("{out}/{name}-{run}"), "every", percent(50)))
                .set("log", ("csv", string("{out}/{name}-{run}.csv"), "every", 10))
        })
        .doc("The same for longer: the lines of `quick`, but for these.")
        .train_named("full like quick", |t| {
            t.set("model", "large")
                .set("steps", "5 * 200")
                .set("early_stop", ("val.loss", "patience", percent(40)))
        })
}

fn shakespeare_text() -> build::Call {
    call("text").arg(string("data/shakespeare.txt"))
}

fn hello() -> Spec {
    Spec::new()
        .model(call("gpt").with("layers", 2).with("width", 128).with("heads", 4))
        .data(call("text").arg(string("data/shakespeare.txt")).with("tokenizer", "bytes"))
        .train(|t| {
            t.set("batch", 16)
                .set("context", 64)
                .set("lr", 3e-3)
                .set("warmup", percent(5))
                .set("steps", 1000)
        })
}

fn custom_optimizer() -> Spec {
    let sign_momentum = rule("sign_momentum")
        .doc(
            "Steps of equal size: the weight moves by the sign of a mean of gradients, never by its length.\n\
             `look` weighs the memory against the newest gradient when the step is taken, `keep` when the\n\
             memory is renewed (Chen et al. 2023, arXiv:2302.06675). Every line runs over whole tensors.",
        )
        .config_or("look", "prob", 0.9)
        .config_or("keep", "prob", 0.99)
        .config_or("weight_decay", "real", 0)
        .takes("w", "[..s]")
        .takes("g", "[..s]")
        .takes("lr", "real")
        .takes("t", "int")
        .gives("[..s]")
        .body(|b| {
            b.state("m", "fp32[..s]", "zeros")
                .bind("ahead", "look * m + (1 - look) * g")
                .bind("m", "keep * m + (1 - keep) * g")
                .bind("sign", "ahead / max(abs(ahead), 1e-30)")
                .text("w - lr * (sign + weight_decay * w)")
        });
    let stairs = function("stairs")
        .doc("Stairs: the learning rate falls to a half at each third of the run.")
        .config("step", "int")
        .config("total", "int")
        .config_or("fall", "prob", percent(50))
        .gives("real")
        .body(|b| {
            b.text(
                "if 3 * step < total { 1 } else { if 3 * step < 2 * total { fall } else { fall^2 } }",
            )
        });
    Spec::new()
        .declare(sign_momentum)
        .declare(stairs)
        .model(call("gpt").with("layers", 2).with("width", 96).with("heads", 4))
        .data(call("text").arg(string("data/shakespeare.txt")).with("tokenizer", "chars"))
        .train(|t| {
            t.set("context", 64)
                .set("batch", 16)
                .set("optimizer", call("sign_momentum").with("look", 0.9).with("keep", 0.98))
                .set("lr", 1e-3)
                .set("schedule", call("stairs").with("fall", percent(40)))
                .set("warmup", percent(5))
                .set("steps", 600)
        })
}

/// A layer as text and a layer by calls.
fn shakespeare() -> Spec {
    let tiny_gpt = layer("tiny_gpt")
        .config("vocab", "int")
        .config("d", "dim")
        .config("depth", "int")
        .config("heads", "int")
        .config_or("drop", "prob", 0)
        .takes("ids", "tok(vocab)[b, t]")
        .gives("[b, t, vocab]")
        .body(|b| {
            b.bind("tok_emb", "embedding(vocab, d)")
                .bind("pos_emb", "positions(context, d)")
                .bind("blocks", "repeat(depth, parallel_block(d, heads, drop))")
                .bind("norm", "layernorm(d)")
                .text("tok_emb(ids) + pos_emb(t) |> blocks |> norm |> unembed(tok_emb)")
        });
    Spec::new()
        .doc("Reads the norm once and adds attention and MLP to the residual stream together.")
        .text_of(
            r#"
            layer parallel_block(d: dim, heads: int, drop: prob = 0)(x: [b, t, d]) -> [b, t, d] {
              norm = layernorm(d)
              qkv  = linear(d, 3 * d, bias: false)
              out  = linear(d, d)
              up   = linear(d, 4 * d)
              down = linear(4 * d, d)

              n       = norm(x)
              q, k, v = rearrange(qkv(n), [b, t, 3 * heads * hd] -> [3, b, heads, t, hd])
              a       = attention(q, k, v, causal: true)
                |> rearrange([b, heads, t, hd] -> [b, t, heads * hd])
              m       = n |> up |> gelu |> down
              x + dropout(out(a) + m, drop)
            }
            "#,
        )
        .declare(tiny_gpt)
        .model_named(
            "m",
            call("tiny_gpt")
                .with("vocab", "data.vocab")
                .with("d", 192)
                .with("depth", 4)
                .with("heads", 6)
                .with("drop", percent(10)),
        )
        .data_with(call("text").arg(string("data/shakespeare.txt")), |d| {
            d.set("tokenizer", "chars")
                .set("split", several([(percent(90), "train"), (percent(10), "val")]))
        })
        .train(|t| {
            t.set("context", 128)
                .set("batch", 32)
                .set("accumulate", 8)
                .set("optimizer", call("adamw").with("beta1", 0.9).with("beta2", 0.99))
                .set("lr", 1e-3)
                .set("schedule", call("cosine").with("to", percent(10)))
                .set("warmup", 100)
                .set("clip", 1.0)
                .set("steps", k(3))
                .set("precision", "fp16")
                .set("eval", ("every", 250))
                .set("checkpoint", (string("runs/{name}"), "every", 500, "keep", 3))
                .set("sample", {
                    let often = (string("CAESAR."), "every", k(1));
                    (often, "length", 200, "temperature", 0.8)
                })
        })
}

#[test]
fn every_example_has_a_twin_with_the_same_tree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut n_examples = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|ending| ending != "lt") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap();
        let twin = TWINS.iter().find(|(of, _)| *of == name);
        let twin = twin.unwrap_or_else(|| panic!("examples/{name}.lt has no twin")).1();
        let file = std::fs::read_to_string(&path).unwrap();
        let built = twin.text();
        same(name, &file, &built);
        same(name, &file, &syntax::format(&built).unwrap());
        n_examples += 1;
    }
    assert_eq!(n_examples, TWINS.len());
}

#[test]
fn another_number_is_another_tree() {
    let text = hello().text();
    for (from, to) in [("64", "65"), ("5%", "5"), ("layers", "depth"), ("lr", "## a\n  lr")] {
        let changed = text.replacen(from, to, 1);
        assert!(std::panic::catch_unwind(|| same("changed", &text, &changed)).is_err(), "{to}");
    }
}
