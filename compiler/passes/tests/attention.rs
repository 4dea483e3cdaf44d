//! Attention in tiles against its plain definition, over odd sizes.

#[path = "../../ptx-builder/tests/instructions/assembler.rs"]
mod assembler;
#[path = "attention/bugs.rs"]
mod bugs;
#[path = "attention/case.rs"]
mod case;
#[path = "attention/emulated.rs"]
mod emulated;
#[path = "../../codegen/tests/ptx/machine.rs"]
mod machine;
#[path = "../../codegen/tests/tensor/plant.rs"]
#[allow(dead_code, reason = "other tests plant in other ways, too")]
mod plant;
#[path = "../../codegen/tests/ptx/table.rs"]
#[allow(dead_code, reason = "other tests plant in other ways, too")]
mod table;

use std::collections::BTreeMap;

use ir::builder::Builder;
use ir::eval::graph::{Precision, eval_graph};
use ir::eval::schedule::{eval_schedule, memory};
use ir::eval::tensor::Tensor;
use ir::graph::{Module, Role, Value};
use ir::ops::attend::{Attend, Part, Sizes};
use ir::ops::attention::Attention;
use ir::ops::{Op, OpDef};
use ir::schedule::{Schedule, Task};
use ir::text::{parse_schedule, print_schedule};
use ir::types::{Dtype, Type};
use passes::pipeline;

use case::{Case, noise};

/// Of the largest element of a result.
const RTOL_F32: f64 = 1e-5;
/// Results count as this large at least: of one key the gradient of the scores is 0 but for what
/// its terms were rounded by.
const LEAST: f64 = 0.1;

impl Case {
    /// The states after the schedule ran, and the schedule.
    fn tiled(&self, tile: [u64; 2]) -> (BTreeMap<String, Vec<f64>>, Schedule) {
        let mut target = pipeline::cpu();
        target.score_tile = tile;
        let done = pipeline::schedule(self.module.clone(), &target, &mut |_, _| {});
        let schedule = done.schedule;
        let mut held = memory(&schedule);
        for (buffer, data) in schedule.buffers.iter().zip(&mut held.0) {
            if buffer.role.is_some() {
                *data = self.states[&buffer.name].data.clone();
            }
        }
        assert!(eval_schedule(&schedule, &target, "f", &mut held));
        let states = schedule.buffers.iter().zip(&held.0).filter(|(b, _)| b.role.is_some());
        (states.map(|(b, data)| (b.name.clone(), data.numbers())).collect(), schedule)
    }

    fn check(&self, about: &str, rtol: f64) {
        let mut wanted = self.states.clone();
        eval_graph(&self.module, "f", &mut wanted, Precision::AsTyped).expect("it runs");
        let (got, schedule) = self.tiled([32, 48]);
        let tasks = &schedule.functions[0].tasks;
        let n = tasks.iter().filter(|t| matches!(t, Task::Attention { .. })).count();
        assert_eq!(n, 2, "{about}: one task forward and one backward");
        for name in ["out", "dq", "dk", "dv"] {
            close(&format!("{about}: {name}"), &got[name], &wanted[name].numbers(), rtol);
        }
    }
}

fn close(about: &str, got: &[f64], wanted: &[f64], rtol: f64) {
    let top = wanted.iter().fold(LEAST, |top, x| top.max(x.abs()));
    assert_eq!(got.len(), wanted.len());
    for (i, (g, w)) in got.iter().zip(wanted).enumerate() {
        assert!((g - w).abs() <= rtol * top, "{about}[{i}] is {g}, plain {w}, largest {top}");
    }
}

fn sizes(rows: u64, keys: u64) -> Sizes {
    // Large ones have fewer heads and sequences, to be done soon.
    let (batch, heads, groups) = if rows * keys < 3000 { (2, 4, 2) } else { (1, 2, 1) };
    Sizes { batch, heads, groups, rows, keys, width: 5, value_width: 3 }
}

/// Every kind of mask alone, and all of them.
fn kinds() -> [(&'static str, Attend); 8] {
    let all = Attend::all(0.4);
    let causal = Attend { is_causal: true, ..all };
    [
        ("all", all),
        ("causal", causal),
        ("window", Attend { window: Some(20), ..all }),
        ("a window without an end", Attend { window: Some(1 << 40), ..all }),
        ("segments", Attend { has_segments: true, ..all }),
        ("dropout", Attend { drop: 0.25, ..all }),
        ("offset", Attend { has_offset: true, ..causal }),
        (
            "everything",
            Attend { window: Some(33), has_segments: true, has_offset: true, drop: 0.1, ..causal },
        ),
    ]
}

#[test]
fn tiles_mean_what_attention_means() {
    for (name, attend) in kinds() {
        for (rows, keys) in
            [(1, 1), (2, 2), (17, 17), (63, 63), (64, 64), (65, 65), (130, 130), (3, 70), (70, 3)]
        {
            let about = format!("{name} of {rows} rows and {keys} keys");
            Case::new(attend, sizes(rows, keys), Dtype::F32, 7).check(&about, RTOL_F32);
        }
    }
}

#[test]
fn tiles_of_16_bits_mean_what_attention_means() {
    // A last rounding to 16 bits may go the other way.
    for (dtype, rtol) in [(Dtype::Bf16, 0.5f64.powi(7)), (Dtype::F16, 0.5f64.powi(10))] {
        for (name, attend) in kinds() {
            for n in [1, 17, 65] {
                let about = format!("{name} of {n} in {dtype}");
                Case::new(attend, sizes(n, n), dtype, 0).check(&about, rtol);
            }
        }
    }
}

/// The row of a decoder: one query at the end of what is cached, wherever that is.
#[test]
fn an_offset_places_rows_among_the_keys() {
    let attend = Attend { is_causal: true, has_offset: true, ..Attend::all(0.3) };
    for offset in [-1, 0, 1, 63, 99, 200] {
        let about = format!("one row at {offset}");
        Case::new(attend, sizes(1, 100), Dtype::F32, offset).check(&about, RTOL_F32);
    }
}

/// The first row's score overflows; the keys behind it are in its tile.
#[test]
fn a_row_that_overflows_spoils_no_key_that_it_does_not_see() {
    let attend = Attend { is_causal: true, ..Attend::all(0.4) };
    let sizes = Sizes { batch: 1, heads: 1, groups: 1, ..sizes(20, 20) };
    let mut case = Case::new(attend, sizes, Dtype::F32, 0);
    let (sound, _) = case.tiled([16, 16]);
    let key = case.states["k"].numbers();
    let q = case.states.get_mut("q").expect("it is an input");
    let mut numbers = q.numbers();
    for (x, k) in numbers.iter_mut().zip(&key).take(5) {
        *x = 3e38 * k.signum();
    }
    *q = Tensor::from_numbers(q.ty.clone(), &numbers);
    let (spoiled, _) = case.tiled([16, 16]);
    assert!(spoiled["dk"][..5].iter().all(|x| x.is_nan()), "{:?}", &spoiled["dk"][..5]);
    assert_eq!(spoiled["dk"][5..], sound["dk"][5..]);
    assert_eq!(spoiled["dq"][5..], sound["dq"][5..]);
}

/// The width of a tile is no part of the result but for the order of additions.
#[test]
fn tiles_of_any_size_are_near_each_other() {
    let attend = Attend { is_causal: true, window: Some(40), ..Attend::all(0.4) };
    let case = Case::new(attend, sizes(100, 100), Dtype::F32, 0);
    let (first, _) = case.tiled([64, 64]);
    for tile in [[16, 16], [128, 64], [512, 512], [16, 96]] {
        let (other, _) = case.tiled(tile);
        for name in ["out", "dq", "dk", "dv"] {
            close(&format!("{tile:?} {name}"), &other[name], &first[name], RTOL_F32);
        }
    }
}

/// Queries, keys and values out of one projection, whose gradient a product reads.
#[test]
fn gradients_of_one_projection_are_written_where_they_are_joined() {
    let mut case = Case {
        module: Module { states: vec![], functions: vec![], origins: vec![String::new()] },
        states: BTreeMap::new(),
    };
    let mut b = Builder::new("f");
    let real = |shape: &[u64]| Type::new(Dtype::F32, shape);
    let x = case.input(&mut b, "x", real(&[2, 8, 30]), noise);
    let w = case.input(&mut b, "w", real(&[30, 4]), |i| noise(i + 99));
    let grad = case.input(&mut b, "grad", real(&[2, 8, 2, 5]), |i| noise(i + 5));
    let split = b.reshape(x, &[2, 8, 3, 2, 5]);
    let split = b.permute(split, &[2, 0, 3, 1, 4]);
    let tensors = [0, 1, 2].map(|i| {
        let part = b.slice(split, 0, i, 1);
        b.reshape(part, &[2, 2, 8, 5])
    });
    let op = Attention(Attend { is_causal: true, ..Attend::all(0.4) });
    let out = b.push(op.clone(), &tensors);
    let flows = op.vjp(&mut b, &tensors, out, grad);
    let parts: Vec<Value> =
        flows.into_iter().flatten().map(|flow| b.reshape(flow, &[1, 2, 2, 8, 5])).collect();
    let joined = b.concat(0, &parts);
    let joined = b.permute(joined, &[1, 3, 0, 2, 4]);
    let joined = b.reshape(joined, &[16, 30]);
    let dx = b.dot(joined, w);
    case.output(&mut b, "dx", dx);
    case.module.functions.push(b.finish());
    let mut wanted = case.states.clone();
    eval_graph(&case.module, "f", &mut wanted, Precision::AsTyped).expect("it runs");
    let (got, schedule) = case.tiled([16, 16]);
    close("dx", &got["dx"], &wanted["dx"].numbers(), RTOL_F32);
    emulated::check("one projection", &case, [16, 16]);
    let kernels = schedule.functions[0].tasks.iter().filter_map(|task| match task {
        Task::Kernel { kernel, .. } => Some(schedule.kernels[*kernel].name.as_str()),
        Task::Product { .. } | Task::Attention { .. } | Task::Sort { .. } | Task::Tiles { .. } => {
            None
        }
    });
    // What is left between the attentions: the sums of `delta`.
    assert_eq!(kernels.collect::<Vec<_>>(), ["mul_sum"]);
}

#[test]
fn schedules_with_attention_parse_back_equal() {
    for (name, attend) in kinds() {
        let (_, schedule) = Case::new(attend, sizes(3, 5), Dtype::F16, 1).tiled([16, 16]);
        let text = print_schedule(&schedule);
        assert_eq!(parse_schedule(&text).as_ref(), Ok(&schedule), "{name}\n{text}");
    }
}

/// Sums of rows without a result, and one gradient of three.
#[test]
fn results_that_nobody_reads_need_not_be_there() {
    let ty = |shape: &[u64]| Type::new(Dtype::F32, shape);
    let attend = Attend { is_causal: true, ..Attend::all(0.4) };
    let whole = Case::new(attend, sizes(20, 20), Dtype::F32, 0);
    let mut case = Case {
        module: Module { functions: vec![], ..whole.module.clone() },
        states: whole.states.clone(),
    };
    case.module.states.retain(|s| s.role == Role::Input);
    let mut b = Builder::new("f");
    let [q, k, v] = ["q", "k", "v"].map(|name| {
        let ty = case.states[name].ty.clone();
        b.state(name, ty)
    });
    let lse = b.push(ir::ops::attention_lse::AttentionLse(attend), &[q, k]);
    let grad = b.state("grad", ty(&[2, 20, 4, 3]));
    let args = [q, k, v, grad, lse, lse];
    let dk = b.push(ir::ops::attention_dk::AttentionDk(attend), &args);
    case.output(&mut b, "lse", lse);
    case.output(&mut b, "only_dk", dk);
    let graph = b.finish();
    assert!(graph.nodes.iter().any(|n| matches!(n.op, Op::AttentionDk(_))));
    assert_eq!(attend.extras(Part::Lse.n_tensors()).end, 2);
    case.module.functions.push(graph);
    let mut wanted = case.states.clone();
    eval_graph(&case.module, "f", &mut wanted, Precision::AsTyped).expect("it runs");
    let (got, _) = case.tiled([16, 16]);
    for name in ["lse", "only_dk"] {
        close(name, &got[name], &wanted[name].numbers(), RTOL_F32);
    }
    emulated::check("few results", &case, [16, 16]);
}
