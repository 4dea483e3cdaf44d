//! Which softmaxes between two products are attention, and why others are not.

use diag::SourceMap;
use sema::trace::Trace;
use sema::trace::attention::{Attention, Stored};

/// What is found in a model of four heads whose weights are made by these lines, from `q`, `key`
/// and `v` to `y`.
fn found(lines: &str) -> (Trace, Vec<Result<Attention, Stored>>) {
    let text = format!(
        "fn attend(q: [b, h, t, k], key: [b, h, s, k], v: [b, h, s, k]) -> [b, h, t, k] {{
{lines}
}}
layer net(d: dim, heads: int)(ids: tok(256)[b, t]) -> [b, t, 256] {{
  emb = embedding(256, d)
  qkv = linear(d, 3 * d)
  q, k, v = rearrange(qkv(emb(ids)), [b, t, 3 * heads * hd] -> [3, b, heads, t, hd])
  attend(q, k, v) |> rearrange([b, heads, t, hd] -> [b, t, heads * hd]) |> unembed(emb)
}}
model net(d: 8, heads: 4)
data text(\"t.txt\")
train {{
  batch 2
  context 6
  lr 1e-3
  steps 10
}}"
    );
    let mut map = SourceMap::new();
    let file = map.add("model.lt", &text);
    let (spec, faults) = syntax::parse(&map, file);
    assert!(faults.is_empty(), "{faults:?}");
    let mut parsed = |source: &stdlib::Source| {
        let file = map.add(source.name, source.text);
        syntax::parse(&map, file).0
    };
    let std: Vec<_> = stdlib::SOURCES.iter().map(&mut parsed).collect();
    let std: Vec<_> = std.iter().collect();
    let (program, faults) = sema::check(&sema::Input::new("model", &spec, &std, &map), None);
    let program = program.unwrap_or_else(|| panic!("{lines}\n{faults:?}"));
    let trace = program.trace_model(2, 6).expect("the model is sound");
    let found = trace.attentions();
    (trace, found)
}

const SCORES: &str = "z = einsum(q, key, [b, h, t, k], [b, h, s, k] -> [b, h, t, s])";
const RESULT: &str = "einsum(p, v, [b, h, t, s], [b, h, s, k] -> [b, h, t, k])";

fn one(middle: &str) -> Result<Attention, String> {
    let (_, mut all) = found(&format!("  {SCORES}\n  {middle}\n  {RESULT}"));
    assert_eq!(all.len(), 1, "{middle}");
    all.remove(0).map_err(|stored| stored.reason)
}

#[test]
fn what_scales_masks_and_drops_is_attention() {
    for (middle, scale, is_causal, window) in [
        ("p = softmax(z, over: s)", 1.0, false, None),
        ("p = softmax(z / 4 * 3, over: s)", 0.75, false, None),
        ("p = softmax(mask(z, row(s) <= row(t)), over: s) |> dropout(0.1)", 1.0, true, None),
        ("p = softmax(mask(2 * z, not_later), over: s)", 2.0, true, Some(3)),
        ("p = softmax(fp32(mask(z, row(t) + 1 > row(s))), over: s)", 1.0, true, None),
    ] {
        let near = "row(t) >= row(s) and row(s) > row(t) - 3";
        let found = one(&middle.replace("not_later", near));
        let found = found.unwrap_or_else(|reason| panic!("{middle}: {reason}"));
        let got = (found.scale, found.is_causal, found.window);
        assert_eq!(got, (scale, is_causal, window), "{middle}");
        assert_eq!(found.dropout.is_some(), middle.contains("dropout"), "{middle}");
    }
}

#[test]
fn everything_else_stores_its_scores_and_says_why() {
    for (middle, reason) in [
        ("p = softmax(z + 1, over: s)", "something is added to the scores"),
        ("p = softmax(z * z, over: s)", "the scores are multiplied by a tensor"),
        ("p = softmax(tanh(z), over: s)", "the scores are more than scaled and masked"),
        ("p = softmax(-1 * z, over: s)", "the scale of the scores is not above 0"),
        ("p = softmax(z, over: t)", "the softmax is not over the last axis of the scores"),
        ("p = softmax(z, over: s) * 2", "the weights are changed before they meet the values"),
        ("w = softmax(z, over: s)\n  p = w + w", "the weights are read elsewhere too"),
        (
            "p = softmax(mask(z, row(t) != row(s)), over: s)",
            "the mask is more than causal, a window and equal segments",
        ),
        (
            "p = softmax(mask(z, row(t) > row(s)), over: s)",
            "the mask is more than causal, a window and equal segments",
        ),
        (
            "p = softmax(mask(z, row(t) - row(s) < 3), over: s)",
            "the mask is a window that is not causal",
        ),
    ] {
        assert_eq!(one(middle).err().as_deref(), Some(reason), "{middle}");
    }
}

#[test]
fn heads_that_share_keys_are_found_as_groups() {
    let groups = "  kk = expand(mean(key, over: h, keep: true), [b, g, s, k] -> [b, g * h, s, k])
  vv = expand(mean(v, over: h, keep: true), [b, g, s, k] -> [b, g * h, s, k])
  z  = einsum(q, kk, [b, h, t, k], [b, h, s, k] -> [b, h, t, s])
  p  = softmax(z, over: s)
  einsum(p, vv, [b, h, t, s], [b, h, s, k] -> [b, h, t, k])";
    let (trace, found) = found(groups);
    let found = found[0].as_ref().expect("it is attention");
    for tensor in [found.keys, found.values] {
        assert_eq!(trace[tensor].ty.shape, [2, 1, 6, 2]);
    }
}

#[test]
fn a_softmax_that_is_not_between_products_is_none() {
    assert_eq!(found("  softmax(q, over: k)").1, []);
}
