//! Each graph pass on its own: text in, text out.

use ir::graph::Module;
use ir::text::{parse_module, print_module};
use passes::pipeline::GRAPH_PASSES;

/// Runs one pass on a function and compares its text.
fn check(pass: &str, before: &str, after: &str) {
    let (_, run) = GRAPH_PASSES.iter().find(|(name, _)| *name == pass).expect("a pass of the list");
    let mut module = parse(before);
    module.functions = module.functions.iter().map(run).collect();
    ir::verify::verify(&module).expect("a pass keeps graphs sound");
    let (got, wanted) = (print_module(&module), print_module(&parse(after)));
    assert!(got == wanted, "{pass} gives\n{got}\nand not\n{wanted}");
}

fn parse(function: &str) -> Module {
    let text = format!(
        "module\norigin \"\"\nparam \"x\" : f32[2,3]\noutput \"y\" : f32[2,3]\n\
         output \"z\" : f32[1,1]\nparam \"w\" : f32[3,2]\noutput \"n\" : bf16[2,3]\n\
         output \"p\" : f32[2,2]\n{function}"
    );
    parse_module(&text).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

#[test]
fn dce_keeps_what_is_stored() {
    check(
        "dce",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = exp %0 : f32[2,3]
  %2 = neg %0 : f32[2,3]
  store \"y\" = %2
}",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = neg %0 : f32[2,3]
  store \"y\" = %1
}",
    );
}

#[test]
fn cse_merges_equal_work() {
    check(
        "cse",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = exp %0 : f32[2,3]
  %2 = exp %0 : f32[2,3]
  %3 = add %1, %2 : f32[2,3]
  store \"y\" = %3
}",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = exp %0 : f32[2,3]
  %2 = add %1, %1 : f32[2,3]
  store \"y\" = %2
}",
    );
}

#[test]
fn simplify_keeps_the_sum_with_zero() {
    // -0 + 0 is +0: dropping the addition would change a bit. x * 1 and x - 0 keep every bit.
    check(
        "simplify",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = constant{value=1.0, type=f32[2,3]} : f32[2,3]
  %2 = constant{value=0.0, type=f32[2,3]} : f32[2,3]
  %3 = mul %0, %1 : f32[2,3]
  %4 = sub %3, %2 : f32[2,3]
  %5 = add %4, %2 : f32[2,3]
  store \"y\" = %5
}",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = constant{value=1.0, type=f32[2,3]} : f32[2,3]
  %2 = constant{value=0.0, type=f32[2,3]} : f32[2,3]
  %3 = add %0, %2 : f32[2,3]
  store \"y\" = %3
}",
    );
}

#[test]
fn simplify_sees_through_views() {
    check(
        "simplify",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = permute{axes=[1,0]} %0 : f32[3,2]
  %2 = permute{axes=[1,0]} %1 : f32[2,3]
  %3 = exp %2 : f32[2,3]
  store \"y\" = %3
}",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = permute{axes=[1,0]} %0 : f32[3,2]
  %2 = exp %0 : f32[2,3]
  store \"y\" = %2
}",
    );
}

#[test]
fn a_full_sum_goes_an_axis_at_a_time() {
    check(
        "split_reductions",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = sum{axes=[0,1]} %0 : f32[1,1]
  store \"z\" = %1
}",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = sum{axes=[1]} %0 : f32[2,1]
  %2 = reshape{shape=[2]} %1 : f32[2]
  %3 = sum{axes=[0]} %2 : f32[1]
  %4 = reshape{shape=[1,1]} %3 : f32[1,1]
  store \"z\" = %4
}",
    );
}

#[test]
fn what_arithmetic_reads_once_goes_on_in_f32() {
    check(
        "round_once",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = exp %0 : f32[2,3]
  %2 = cast{to=bf16} %1 : bf16[2,3]
  %3 = permute{axes=[1,0]} %2 : bf16[3,2]
  %4 = cast{to=f32} %3 : f32[3,2]
  %5 = permute{axes=[1,0]} %4 : f32[2,3]
  %6 = neg %5 : f32[2,3]
  store \"y\" = %6
}",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = exp %0 : f32[2,3]
  %2 = permute{axes=[1,0]} %1 : f32[3,2]
  %3 = permute{axes=[1,0]} %2 : f32[2,3]
  %4 = neg %3 : f32[2,3]
  store \"y\" = %4
}",
    );
}

#[test]
fn what_two_read_is_rounded_once_for_both() {
    // Two equal roundings are one, so that neither reader sees another number.
    check(
        "round_once",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = exp %0 : f32[2,3]
  %2 = cast{to=bf16} %1 : bf16[2,3]
  %3 = cast{to=f32} %2 : f32[2,3]
  %4 = cast{to=bf16} %1 : bf16[2,3]
  %5 = cast{to=f32} %4 : f32[2,3]
  %6 = mul %3, %5 : f32[2,3]
  store \"y\" = %6
}",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = exp %0 : f32[2,3]
  %2 = cast{to=bf16} %1 : bf16[2,3]
  %3 = cast{to=f32} %2 : f32[2,3]
  %4 = cast{to=f32} %2 : f32[2,3]
  %5 = mul %3, %4 : f32[2,3]
  store \"y\" = %5
}",
    );
}

#[test]
fn a_rounding_that_is_stored_stays_for_all_who_read_it() {
    check(
        "round_once",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = exp %0 : f32[2,3]
  %2 = cast{to=bf16} %1 : bf16[2,3]
  %3 = cast{to=f32} %2 : f32[2,3]
  store \"n\" = %2
  store \"y\" = %3
}",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = exp %0 : f32[2,3]
  %2 = cast{to=bf16} %1 : bf16[2,3]
  %3 = cast{to=f32} %2 : f32[2,3]
  store \"n\" = %2
  store \"y\" = %3
}",
    );
}

#[test]
fn sixteen_bits_that_are_widened_and_narrowed_again_are_the_same() {
    check(
        "round_once",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = exp %0 : f32[2,3]
  %2 = cast{to=bf16} %1 : bf16[2,3]
  %3 = cast{to=f32} %2 : f32[2,3]
  %4 = cast{to=bf16} %3 : bf16[2,3]
  %5 = neg %3 : f32[2,3]
  store \"n\" = %4
  store \"y\" = %5
}",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = exp %0 : f32[2,3]
  %2 = cast{to=bf16} %1 : bf16[2,3]
  %3 = cast{to=f32} %2 : f32[2,3]
  %4 = neg %3 : f32[2,3]
  store \"n\" = %2
  store \"y\" = %4
}",
    );
}

#[test]
fn a_product_reads_a_rounded_weight_and_arithmetic_the_weight() {
    check(
        "round_once",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = state{name=\"w\", type=f32[3,2]} : f32[3,2]
  %2 = cast{to=bf16} %0 : bf16[2,3]
  %3 = cast{to=bf16} %1 : bf16[3,2]
  %4 = dot %2, %3 : f32[2,2]
  %5 = permute{axes=[1,0]} %3 : bf16[2,3]
  %6 = cast{to=f32} %5 : f32[2,3]
  store \"p\" = %4
  store \"y\" = %6
}",
        "fn \"f\" {
  %0 = state{name=\"x\", type=f32[2,3]} : f32[2,3]
  %1 = state{name=\"w\", type=f32[3,2]} : f32[3,2]
  %2 = cast{to=bf16} %0 : bf16[2,3]
  %3 = cast{to=bf16} %1 : bf16[3,2]
  %4 = dot %2, %3 : f32[2,2]
  %5 = permute{axes=[1,0]} %1 : f32[2,3]
  store \"p\" = %4
  store \"y\" = %5
}",
    );
}
