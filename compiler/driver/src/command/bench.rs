//! `llmc bench`: how fast a spec trains here, and where the time goes.
//!
//! The steps are those of `train`, on the spec's data; nothing is written. The clock starts at the
//! first line of `main`, and a step ends when its metrics are in memory.

mod ceilings;
mod table;
pub(super) mod traffic;

use std::time::{Duration, Instant};

use exec::train::bench::Bench;

use super::Failure;
use super::build::{compile_or_report, plan_or_report};
use super::out::{say, tell};
use super::source::ready;

use crate::cli;
use crate::job;
use crate::machine::Site;

/// Steps whose parts are timed.
const PROFILED: u64 = 5;

/// What the clock and the system say of a run.
struct Figures {
    /// Tokens of a step.
    tokens: u64,
    /// Seconds of the median step.
    step_s: f64,
    first_step_begins_s: f64,
    first_step_s: f64,
    /// Where the system tells.
    peak_rss_mb: Option<f64>,
}

pub(super) fn run(args: &cli::Bench, start: Instant) -> Result<(), Failure> {
    let mut ready = ready(&args.source)?;
    let (train, map) = (&ready.program.train, &ready.front.map);
    let (site, device) = Site::of_program(args.machine.device, train, map)?;
    let plan = plan_or_report(&mut ready, &args.source, &site)?;
    let corpus = ready.corpus.take().expect("a program that trains has data");
    let options = job::options(args.machine.threads, device);
    let tokens = plan.run.batch * plan.run.context;
    let mut bench = Bench::new(plan.clone(), &corpus, &options)?;
    let first_step_begins_s = start.elapsed().as_secs_f64();
    bench.step()?;
    let first_step_s = start.elapsed().as_secs_f64();
    for _ in 0..args.warm_up {
        bench.step()?;
    }
    let mut times = vec![];
    for _ in 0..args.steps {
        let begin = Instant::now();
        bench.step()?;
        times.push(begin.elapsed());
    }
    if let Some(warning) = bench.warning() {
        tell(format_args!("warning: {warning}\n"));
    }
    let step_s = median(&mut times).as_secs_f64();
    let peak_rss_mb = peak_rss_mb();
    let figures = Figures { tokens, step_s, first_step_begins_s, first_step_s, peak_rss_mb };
    if args.json {
        say(format_args!("{}", figures.json()));
        return Ok(());
    }
    figures.print(&plan.name, args.steps);
    let costs = bench.profile(PROFILED)?;
    // The plan has their code only, and may come from the cache.
    let compiled = compile_or_report(&mut ready, &args.source, &site)?;
    let traffic = traffic::of(&plan, &compiled.scheduled.schedule.kernels);
    drop(bench);
    let numerics = site.back_end.numerics(&compiled.train).map_err(|found| Failure::of(&found))?;
    let most = ceilings::measure(device, site.back_end, numerics, &options, &plan.run)?;
    table::print(&costs, PROFILED, &traffic, most.as_ref());
    Ok(())
}

impl Figures {
    fn tokens_per_s(&self) -> f64 {
        self.tokens as f64 / self.step_s
    }

    fn json(&self) -> String {
        let peak = self.peak_rss_mb.map_or("null".to_owned(), |mb| format!("{mb:.0}"));
        format!(
            "{{\"tokens_per_s\": {:.1}, \"first_step_s\": {:.3}, \
             \"first_step_begins_s\": {:.3}, \"peak_rss_mb\": {peak}}}",
            self.tokens_per_s(),
            self.first_step_s,
            self.first_step_begins_s
        )
    }

    fn print(&self, name: &str, steps: u64) {
        say(format_args!("{name}: {:.0} tokens/s", self.tokens_per_s()));
        let ms = self.step_s * 1e3;
        say(format_args!("  step         {ms:.2} ms of {} tokens, median of {steps}", self.tokens));
        say(format_args!(
            "  first step   begins {:.3} s after the start, ends after {:.3} s",
            self.first_step_begins_s, self.first_step_s
        ));
        if let Some(mb) = self.peak_rss_mb {
            say(format_args!("  peak memory  {mb:.0} MiB"));
        }
    }
}

/// The middle one, or the mean of the two; there is at least one.
fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    let half = times.len() / 2;
    if times.len() % 2 == 1 { times[half] } else { (times[half - 1] + times[half]) / 2 }
}

/// The most memory that this process ever held, in MiB.
fn peak_rss_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let ms = Duration::from_millis;
        assert_eq!(median(&mut [ms(9), ms(1), ms(2)]), ms(2));
        assert_eq!(median(&mut [ms(9), ms(1), ms(2), ms(4)]), ms(3));
    }
}
