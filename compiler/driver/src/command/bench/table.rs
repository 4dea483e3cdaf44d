//! The table of where the time of a step goes.

use std::collections::BTreeMap;

use exec::device::cpu::Ceilings;
use exec::executor::{Cost, Work};

use super::ceilings::Measured;
use crate::command::out::say;

/// Rows below this share of a step are summed up in one.
const LEAST_SHARE: f64 = 0.002;
/// Columns of the rates of a row.
const WIDTH: usize = 29;

/// Prints the costs of `n` steps beside what the machine could do.
pub(super) fn print(
    costs: &[Cost],
    n: u64,
    traffic: &BTreeMap<String, u64>,
    most: Option<&Measured>,
) {
    let total: f64 = costs.iter().map(|c| c.seconds).sum();
    if let Some(Measured { ceilings, flops_of, with }) = most {
        let (gflops, gbytes) = (ceilings.flops / 1e9, ceilings.bytes / 1e9);
        say(format_args!(
            "  ceilings     {gflops:.0} GFLOP/s {flops_of}, {gbytes:.1} GB/s from memory ({with})"
        ));
    }
    say(format_args!(""));
    say(format_args!("  ms/step  share  calls  GFLOP/s     GB/s  of ceiling"));
    kinds(costs, n, total);
    say(format_args!(""));
    let (shown, rest): (Vec<&Cost>, Vec<&Cost>) =
        costs.iter().partition(|c| c.seconds >= LEAST_SHARE * total);
    for cost in shown {
        let rates = rates(cost, traffic, most.map(|most| &most.ceilings));
        row(cost.seconds, cost.calls, n, total, &format!("{rates}  {}", cost.name));
    }
    if !rest.is_empty() {
        let seconds = rest.iter().map(|c| c.seconds).sum();
        let calls = rest.iter().map(|c| c.calls).sum();
        row(seconds, calls, n, total, &format!("{:>WIDTH$}  {} others", "", rest.len()));
    }
    if most.is_some() {
        say(format_args!(""));
        say(format_args!("  A rate above its ceiling is that of a cache, not of memory."));
    }
}

/// The sum of each kind of work.
fn kinds(costs: &[Cost], n: u64, total: f64) {
    for (title, is_of) in [
        ("all products", (|w| w == Work::Product) as fn(Work) -> bool),
        ("all attention", |w| w == Work::Attention),
        ("all kernels", |w| matches!(w, Work::Kernel(_) | Work::Launch(_))),
        ("all sorts", |w| w == Work::Sort),
    ] {
        let of = || costs.iter().filter(|c| is_of(c.work));
        let seconds = of().map(|c| c.seconds).sum();
        let calls = of().map(|c| c.calls).sum();
        if calls > 0 {
            row(seconds, calls, n, total, &format!("{:>WIDTH$}  {title}", ""));
        }
    }
}

fn row(seconds: f64, calls: u64, n: u64, total: f64, rest: &str) {
    let ms = seconds * 1e3 / n as f64;
    let share = 100.0 * seconds / total;
    say(format_args!("  {ms:>7.2} {share:>5.1}% {:>6} {rest}", calls / n));
}

/// What a cost did in a second, and the larger share of what the machine could do.
fn rates(cost: &Cost, traffic: &BTreeMap<String, u64>, most: Option<&Ceilings>) -> String {
    let calls_s = cost.calls as f64 / cost.seconds;
    let bytes = traffic.get(&cost.name).copied().unwrap_or(0);
    let [flops_most, bytes_most] = most.map_or([f64::INFINITY; 2], |most| [most.flops, most.bytes]);
    let rates = [(cost.flops, flops_most), (bytes, bytes_most)];
    let rates = rates.map(|(amount, most)| (amount as f64 * calls_s, most));
    let shown = |rate: f64| if rate > 0.0 { format!("{:.1}", rate / 1e9) } else { String::new() };
    let share = rates.iter().map(|(rate, most)| rate / most).fold(0.0, f64::max);
    let share = if share > 0.0 { format!("{:.0}%", 100.0 * share) } else { String::new() };
    let [flops, bytes] = rates.map(|(rate, _)| shown(rate));
    format!("{flops:>8} {bytes:>8}  {share:>10}")
}
