//! One token at a time: `decode` out of the caches against `prefill` of the whole text.

use data::Vocabulary;
use exec::executor::{Executor, Options};
use exec::generate::{Request, Sampling, Session};
use plan::{Plan, Role};

use crate::backend::Silent;
use crate::plans::compiled;

/// The context of every model.
const CONTEXT: usize = 16;

/// How far a logit may be from that of the whole text, as a share of the largest.
const FP32: f32 = 1e-5;
/// The same where activations are rounded to bf16: eight bits, and a few roundings on the way.
const BF16: f32 = 2e-2;
/// The same for fp16.
const FP16: f32 = 3e-3;

fn spec(declared: &str, model: &str, precision: &str) -> String {
    format!(
        "{declared}\nmodel {model}\ndata text(\"text.txt\", tokenizer: bytes)\n\
         train {{\nbatch 2\ncontext {CONTEXT}\nlr 1e-3\nsteps 9\nprecision {precision}\n}}\n"
    )
}

/// A model around a layer `block(d, heads)` of the user's.
fn around(block: &str) -> String {
    format!(
        "{block}
layer tiny(vocab: int = data.vocab, d: dim = 24)(ids: tok(vocab)[b, t]) -> [b, t, vocab] {{
  tok_emb = embedding(vocab, d)
  blocks  = repeat(2, block(d, 4))
  norm    = layernorm(d)
  tok_emb(ids) |> blocks |> norm |> unembed(tok_emb)
}}"
    )
}

/// Rotary places and two queries for each key.
const ROTARY: &str = "\
layer block(d: dim, heads: int)(x: [b, t, d]) -> [b, t, d] {
  norm = rmsnorm(d)
  q    = linear(d, d, bias: false)
  kv   = linear(d, d, bias: false)
  out  = linear(d, d, bias: false)
  n    = norm(x)
  qs   = rearrange(q(n), [b, t, heads * e] -> [b, heads, t, e])
  k, v = rearrange(kv(n), [b, t, 2 * (heads / 2) * e] -> [2, b, heads / 2, t, e])
  a    = attention(rope(qs), rope(k), v, causal: true)
  x + (a |> rearrange([b, heads, t, e] -> [b, t, heads * e]) |> out)
}";

/// Each place sees itself and the three before it.
const WINDOW: &str = "\
fn near(q: [b, h, t, k], key: [b, h, s, k], v: [b, h, s, k]) -> [b, h, t, k] {
  z = fp32(einsum(q, key, [b, h, t, k], [b, h, s, k] -> [b, h, t, s])) / sqrt(k)
  z = mask(z, row(t) >= row(s) and row(t) - row(s) < 4)
  p = softmax(z, over: s) |> cast(like: v)
  einsum(p, v, [b, h, t, s], [b, h, s, k] -> [b, h, t, k])
}
layer block(d: dim, heads: int)(x: [b, t, d]) -> [b, t, d] {
  qkv = linear(d, 3 * d)
  out = linear(d, d)
  q, k, v = rearrange(qkv(x), [b, t, 3 * heads * e] -> [3, b, heads, t, e])
  x + tanh(near(q, k, v) |> rearrange([b, heads, t, e] -> [b, t, heads * e]) |> out)
}";

/// The block of the examples.
fn parallel() -> String {
    let text = include_str!("../../examples/shakespeare.lt");
    let (declared, _) = text.split_once("\nmodel ").unwrap();
    declared.to_owned()
}

/// Every kind of model by name, declarations and call.
fn models() -> [(&'static str, String, &'static str); 4] {
    [
        ("gpt", String::new(), "gpt(layers: 2, width: 16, heads: 2)"),
        ("rotary", around(ROTARY), "tiny()"),
        ("window", around(WINDOW), "tiny()"),
        ("parallel", parallel(), "tiny_gpt(vocab: data.vocab, d: 24, depth: 2, heads: 3)"),
    ]
}

/// A number in -1..1 by its place.
fn noise(at: u64) -> f32 {
    (data::rng::uniform(11, at) * 2.0 - 1.0) as f32
}

/// A plan whose weights are far enough from 0 that every one of them counts.
fn loaded(plan: &Plan) -> Executor {
    let mut executor = Executor::load(plan.clone(), &Options::threads(1)).unwrap();
    executor.call(plan.function("init").unwrap(), &mut Silent).unwrap();
    for (salt, (id, buffer)) in (0..).map(plan::BufferId).zip(&plan.buffers).enumerate() {
        if buffer.role == Role::Param {
            let weights = executor.memory_mut().f32_mut(id);
            for (at, weight) in (salt as u64 * 100_000..).zip(weights) {
                *weight += 0.4 * noise(at);
            }
        }
    }
    executor.refresh().unwrap();
    executor
}

/// The logits after the first tokens of the text.
fn prefill(executor: &mut Executor, text: &[i32]) -> Vec<f32> {
    let plan = executor.plan().clone();
    let [ids, last] = ["prefill.ids", "prefill.last"].map(|name| plan.buffer(name).unwrap());
    let ids = executor.memory_mut().i32_mut(ids);
    // What stands behind the text must not count.
    ids.fill(77);
    ids[..text.len()].copy_from_slice(text);
    executor.memory_mut().i32_mut(last)[0] = text.len() as i32 - 1;
    call(executor, "prefill")
}

fn decode(executor: &mut Executor, id: i32, position: usize) -> Vec<f32> {
    let plan = executor.plan().clone();
    executor.memory_mut().i32_mut(plan.buffer("decode.id").unwrap())[0] = id;
    executor.memory_mut().i32_mut(plan.buffer("decode.position").unwrap())[0] = position as i32;
    call(executor, "decode")
}

fn call(executor: &mut Executor, function: &str) -> Vec<f32> {
    let plan = executor.plan().clone();
    executor.call(plan.function(function).unwrap(), &mut Silent).unwrap();
    executor.memory().f32(plan.buffer("prefill.logits").unwrap()).to_vec()
}

/// The largest difference, as a share of the largest number.
fn gap(left: &[f32], right: &[f32]) -> f32 {
    let largest = |x: &mut dyn Iterator<Item = f32>| x.fold(0.0, |a: f32, b| a.max(b.abs()));
    let difference = largest(&mut left.iter().zip(right).map(|(a, b)| a - b));
    difference / largest(&mut right.iter().copied())
}

#[track_caller]
fn agrees(precision: &str, limit: f32) {
    let text: Vec<i32> = (0..CONTEXT as u64).map(|i| (noise(i).abs() * 255.0) as i32).collect();
    for (name, declared, model) in models() {
        let plan = compiled(&spec(&declared, model, precision)).plan;
        assert!(plan.function("decode").is_some(), "{name} has a decode");
        let (mut whole, mut by_token) = (loaded(&plan), loaded(&plan));
        for prompt in [1, 5] {
            prefill(&mut by_token, &text[..prompt]);
            for at in prompt..CONTEXT {
                let wanted = prefill(&mut whole, &text[..=at]);
                let found = decode(&mut by_token, text[at], at);
                let gap = gap(&found, &wanted);
                // Not `gap > limit`, which a NaN would pass.
                assert!(gap <= limit, "{name} {precision}, prompt {prompt}, place {at}: {gap:e}");
                let other = prefill(&mut whole, &text[..at]);
                assert!(self::gap(&other, &wanted) > 10.0 * limit, "{name}: places differ");
            }
        }
    }
}

#[test]
fn decode_has_the_logits_of_prefill_at_every_place() {
    agrees("fp32", FP32);
}

#[test]
fn decode_has_them_in_16_bits_as_far_as_the_type_allows() {
    agrees("bf16", BF16);
    agrees("fp16", FP16);
}

/// The text after a prompt by the likeliest tokens.
fn greedy(plan: &Plan, length: u64) -> String {
    let mut executor = loaded(plan);
    let vocabulary = Vocabulary::bytes();
    let mut session = Session::new(&mut executor, &vocabulary).unwrap();
    session.read(&[65, 66, 67]).unwrap();
    let sampling = Sampling { temperature: 0.0, repetition_penalty: 1.3, ..Sampling::PLAIN };
    let mut text = String::new();
    let mut give = |piece: &str| {
        text += piece;
        true
    };
    session.write(&Request { length, sampling, stops: vec![], ends: vec![] }, &mut give).unwrap();
    text
}

#[test]
fn text_is_the_same_with_and_without_caches() {
    for (name, declared, model) in models() {
        let plan = compiled(&spec(&declared, model, "fp32")).plan;
        let mut without = plan.clone();
        without.functions.iter_mut().filter(|f| f.name == "decode").for_each(|f| {
            f.name = "other".to_owned();
        });
        // The window moves on more than once.
        let length = 3 * CONTEXT as u64;
        assert_eq!(greedy(&plan, length), greedy(&without, length), "{name}");
    }
}
