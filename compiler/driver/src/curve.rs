//! The learning rate over a run, from the graph that trains, for a terminal.

use std::collections::BTreeMap;

use ir::eval::graph::{Precision, eval_graph};
use ir::eval::tensor::Tensor;
use ir::graph::{Graph, Module};
use passes::dce;

use crate::compile::Compiled;

/// Columns of the picture.
const WIDTH: u64 = 60;
/// Rows of the picture.
const HEIGHT: usize = 8;

/// The rate at evenly spaced updates.
pub fn rates(compiled: &Compiled, steps: u64) -> Vec<f64> {
    let module = lr_alone(&compiled.scheduled.module);
    let columns = WIDTH.min(steps.max(1));
    (0..columns).map(|i| rate(&module, i * steps / columns)).collect()
}

/// `update` cut down to what computes `lr`.
fn lr_alone(module: &Module) -> Module {
    let update = module.functions.iter().find(|f| f.name == "update");
    let update = update.expect("a training program has an update");
    let stores = update.stores.iter().filter(|(name, _)| name == "lr").cloned().collect();
    let function = dce(&Graph { stores, ..update.clone() });
    Module { functions: vec![function], ..module.clone() }
}

/// The rate of the update after `applied` ones.
fn rate(module: &Module, applied: u64) -> f64 {
    let mut states: BTreeMap<String, Tensor> = module
        .states
        .iter()
        .filter(|s| s.ty.shape.is_empty())
        .map(|s| (s.name.clone(), Tensor::zeros(s.ty.clone())))
        .collect();
    if let Some(counter) = states.get_mut(passes::names::APPLIED) {
        *counter = Tensor::from_numbers(counter.ty.clone(), &[applied as f64]);
    }
    // A plateau lowers the rate by what evaluations find; the curve shows it without.
    if let Some(factor) = states.get_mut(passes::names::PLATEAU) {
        *factor = Tensor::from_numbers(factor.ty.clone(), &[1.0]);
    }
    match eval_graph(module, "update", &mut states, Precision::AsTyped) {
        Ok(()) => states["lr"].numbers()[0],
        Err(error) => panic!("lr depends on counters alone: {error}"),
    }
}

/// A picture of `rates` with its highest and last value.
pub fn draw(rates: &[f64], steps: u64) -> String {
    let top = rates.iter().copied().fold(0.0, f64::max);
    let mut out = String::new();
    for row in (0..HEIGHT).rev() {
        let label = if row == HEIGHT - 1 { format!("{top:.2e}") } else { String::new() };
        out.push_str(&format!("{label:>10} |"));
        for &rate in rates {
            let level = if top > 0.0 { rate / top * HEIGHT as f64 } else { 0.0 };
            out.push(if level > row as f64 + 0.5 { '█' } else { ' ' });
        }
        out.push('\n');
    }
    out.push_str(&format!("{:>10} +{}\n", "0", "-".repeat(rates.len())));
    out.push_str(&format!("{:>11}1{:>width$}\n", "", steps, width = rates.len()));
    out
}
