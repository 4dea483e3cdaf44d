//! Lints of numbers in 16 bits.

use super::{list, says};
use crate::spec::{Input, check};
use diag::SourceMap;

/// What is said of a model with this line, trained in a precision.
fn model(line: &str, precision: &str) -> String {
    let mut map = SourceMap::new();
    let sources = stdlib::SOURCES.iter().map(|s| map.add(s.name, s.text)).collect::<Vec<_>>();
    let std: Vec<_> = sources.into_iter().map(|file| syntax::parse(&map, file).0).collect();
    let text = format!(
        "layer tiny(d: dim)(ids: tok(256)[b, t]) -> [b, t, 256] {{
  emb = embedding(256, d)
  x = emb(ids)
{line}
  unembed(y, emb)
}}
model tiny(d: 4)
data text(\"a.txt\")
train {{ steps 1k; batch 4; micro_batch 4; context 8Ki; precision {precision} }}
"
    );
    let file = map.add("s.lt", text);
    let (spec, found) = syntax::parse(&map, file);
    assert!(found.is_empty(), "{}", list(&map, &found));
    list(&map, &check(&Input::new("s", &spec, &std.iter().collect::<Vec<_>>(), &map), None).1)
}

#[test]
fn lines_of_16_bits() {
    says(
        "precision bf16\nloss_scale dynamic",
        "7:1 W0602 `loss_scale` has no effect with bf16\n  remove the line\n  or write `precision fp16`",
    );
    says("precision bf16\nloss_scale none", "");
    says(
        "precision bf16 master bf16\nlr 1e-3",
        "6:23 W0607 bf16 weights lose updates below 1/256 of the weight\n  use `master fp32`",
    );
    says("precision fp16 master fp32", "");
}

#[test]
fn long_sums_leave_the_range_of_fp16() {
    let line = "  y = x + sum(x, over: t, keep: true)";
    assert_eq!(
        model(line, "fp16"),
        "4:11 W0604 a sum over 8192 elements can exceed 65504 in fp16\n  sum `fp32(x)`, or take the mean\n"
    );
    assert_eq!(model(line, "bf16"), "");
    assert_eq!(model("  y = x + mean(x, over: t, keep: true)", "fp16"), "");
    assert_eq!(model("  y = x + cast(sum(fp32(x), over: t, keep: true), like: x)", "fp16"), "");
    assert_eq!(model("  y = x + sum(x, over: d, keep: true)", "fp16"), "");
}

#[test]
fn small_constants_are_0_in_fp16() {
    let line = "  y = x * rsqrt(x^2 + 1e-8)";
    assert_eq!(
        model(line, "fp16"),
        "4:17 W0605 1e-8 rounds to 0 in fp16\n  compute this in fp32, with `fp32(x)`, or use 1e-6\n"
    );
    assert_eq!(model(line, "bf16"), "");
    assert_eq!(model("  y = x * rsqrt(x^2 + 1e-6)", "fp16"), "");
    assert_eq!(model("  y = x * cast(rsqrt(fp32(x)^2 + 1e-8), like: x)", "fp16"), "");
}

#[test]
fn mixing_widens_the_policys_side() {
    // 4 x 8192 x 8192 scores are 1 GiB in fp32.
    let scores = "einsum(x, x, [b, t, d], [b, s, d] -> [b, t, s])";
    let line = |mixed: &str| {
        format!("  z = {scores}\n  y = x + z @ x * 0 + mean({mixed}, over: s, keep: true)")
            .replace("over: s", "over: -1")
    };
    let mixed = line("z * fp32(2 * iota(t))");
    let out = model(&mixed, "bf16");
    assert!(
        out.contains("W0603 fp32 temporary of 1.0 GiB from mixing pinned and policy values\n  cast the pinned one: `cast(.., like: x)`\n"),
        "{out}"
    );
    assert_eq!(model(&mixed, "fp32"), "");
    assert_eq!(model(&line("fp32(z) * fp32(2 * iota(t))"), "bf16"), "");
    assert_eq!(model(&line("z * cast(fp32(2 * iota(t)), like: z)"), "bf16"), "");
}
