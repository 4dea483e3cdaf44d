//! The `train` block: every directive resolved to a value, defaults filled in.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{DeclKind, ExprKind};

use super::Checker;
use super::args::{Given, Item, Stretch, Value};
use super::batch::{self, Batch};
use super::bind::{self, Model};
use super::data::Resolved;
use super::file::BlockNode;
use super::lengths::Scale;
use super::lines::{Line, Lines};
use super::settings::interpolate;
use super::words::{clipped, not_built, other_metric};
use super::{origin, policies, promises, regular, rules, schedule, sets, stopping};
use crate::program::{Call, Checkpoint, Clip, Eval, Measure, Sample, Stated, Task, Train};

/// Tokens of a sequence when neither the block nor the model says.
const DEFAULT_CONTEXT: u64 = 1024;

/// Tokens of a sample when it does not say.
const SAMPLE_LENGTH: u64 = 200;

/// Resolves the block; none where a size of the run is wrong or not known yet.
pub(super) fn resolve(
    cx: &mut Checker<'_>,
    job: &BlockNode,
    lines: &Lines<'_>,
    model: Option<&Model>,
    data: Option<&Resolved<'_>>,
) -> Option<Train> {
    require_steps(cx, job, lines);
    let context = context(cx, lines, model);
    let sizes = batch::resolve(cx, lines, context, job.word);
    let seed = count(lines, "seed").unwrap_or(0);
    let mut groups = rules::groups(cx, lines, job.word);
    let decay = rules::weight_decay(cx, lines, groups.as_deref_mut());
    let mut loss = loss(cx, lines, job.word, data);
    regular::label_smoothing(cx, lines, loss.as_mut());
    let has_val = data.is_none_or(Resolved::has_val);
    let stops = stops(cx, lines, has_val);
    let policies = policies::resolve(cx, lines);

    let Batch { batch, micro_batch, accumulate } =
        sizes.unwrap_or(Batch { batch: 1, micro_batch: 1, accumulate: 1 });
    let lr = rules::lr(cx, lines, groups.as_deref(), batch);
    let measures = measures(cx, lines, batch, sizes.map(|s| s.accumulate));
    let train_tokens = data.and_then(|d| d.tokens(cx, "train"));
    let mut scale = Scale { batch, context: context.unwrap_or(1), train_tokens, steps: None };
    let steps = steps(cx, lines, &scale);
    scale.steps = steps;
    let writes_text = data.is_none_or(|d| d.source.gives_text());
    let cadence = Cadence { scale, has_val, writes_text };
    let eval = cadence.eval(cx, lines);
    let checkpoint = cadence.checkpoint(cx, lines);
    let samples = cadence.samples(cx, lines);
    let early_stop = stopping::early_stop(cx, lines, &cadence);
    let logs = stopping::logs(cx, lines, &cadence);
    let (warmup, warmup_exponential) = cadence.warmup(lines);
    let schedule = schedule::resolve(cx, lines, &cadence, lr, job.word);
    if let (Some(data), Some(_), Some(context)) = (data, sizes, context) {
        super::data::enough_data(cx, data, context, batch);
    }

    let from = origin::resolve(cx, job);
    let memory = lines.get("memory").and_then(Line::value);
    // What depends on the data is not known without it; what is wrong is reported by now.
    sizes?;
    Some(Train {
        name: job.name.as_ref().map(|(n, _)| n.clone()),
        from,
        context: context?,
        batch,
        micro_batch,
        accumulate,
        steps: steps?,
        lr,
        warmup: warmup?,
        warmup_exponential,
        schedule: schedule?,
        groups: groups?,
        weight_decay: decay.0,
        weight_decay_on: decay.1,
        freeze: sets::of_line(lines.get("freeze")),
        clip: clip(lines),
        precision: policies.precision,
        numerics: promises::numerics(cx, lines, policies.precision.compute),
        device: policies::device(lines),
        loss_scale: policies.loss_scale,
        on_nan: policies.on_nan,
        recompute: policies::recompute(lines),
        memory: memory.and_then(Given::bytes),
        stated: stated(lines, job),
        ema: policies.ema,
        measures,
        seed,
        loss: loss?,
        eval: eval?.map(with_batches),
        checkpoint: checkpoint?,
        samples: samples?,
        stop_below_val_loss: stops.0,
        stop_after_s: stops.1,
        early_stop: early_stop?,
        logs: logs?,
        resume: promises::resume(cx, lines),
        budget: promises::budget(lines),
        settings: vec![],
        span: job.span,
    })
}

/// Where the lines stand that say how memory is used.
fn stated(lines: &Lines<'_>, job: &BlockNode) -> Stated {
    let at = |name: &str| lines.get(name).map(|line| line.span);
    let is_chosen = lines.get("recompute").is_some_and(|line| line.lead() != Some("auto"));
    Stated {
        micro_batch: at("micro_batch"),
        accumulate: at("accumulate"),
        recompute: at("recompute").filter(|_| is_chosen),
        memory: at("memory"),
        word: job.word,
        goes_on: false,
    }
}

/// As many batches as stay below 5 % of those trained between two evaluations.
fn with_batches(mut eval: Eval) -> Eval {
    let share = (eval.every / 20).max(1);
    eval.batches.get_or_insert(share);
    eval
}

fn require_steps(cx: &mut Checker<'_>, job: &BlockNode, lines: &Lines<'_>) {
    if lines.get("steps").is_some() || lines.is_broken("steps") {
        return;
    }
    let wrong = Diagnostic::new(Code::E0209, job.word, "`train` needs `steps`")
        .primary("nothing says how long the run is");
    let wrong = match lines.get("stop") {
        Some(stop) => wrong
            .label(stop.span, "this may end the run earlier")
            .note("the schedule has to know the length of the run"),
        None => wrong,
    };
    cx.report(wrong.help("add `steps 10k`"));
}

fn count(lines: &Lines<'_>, name: &str) -> Option<u64> {
    lines.get(name)?.value()?.count()
}

/// Stated, else the model's own, else the default.
fn context(cx: &mut Checker<'_>, lines: &Lines<'_>, model: Option<&Model>) -> Option<u64> {
    if lines.is_broken("context") {
        return None;
    }
    let positions =
        model.and_then(|m| m.call.count("positions").or_else(|| m.call.count("context")));
    let Some(stated) = count(lines, "context") else {
        return Some(positions.unwrap_or(DEFAULT_CONTEXT));
    };
    if let (Some(most), Some(line), Some(model)) = (positions, lines.get("context"), model)
        && stated > most
    {
        cx.report(
            Diagnostic::new(
                Code::E0503,
                line.span,
                format!("context {stated} exceeds the model's {most} positions"),
            )
            .primary(format!("sequences of {stated} tokens"))
            .label(model.call.span, format!("has {most} positions"))
            .help(format!("use `context {most}`, or a model of {stated} positions")),
        );
    }
    Some(stated)
}

/// Stated, else by the task of the data.
fn loss(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    word: Span,
    data: Option<&Resolved<'_>>,
) -> Option<Call> {
    let is_masked = data.is_some_and(|d| matches!(d.source.task, Task::Masked { .. }));
    let Some(line) = lines.get("loss") else {
        let bindable = !lines.is_broken("loss");
        let name = if is_masked { "mlm" } else { "cross_entropy" };
        return bindable.then(|| bind::bind_default(cx, name, &[], word)).flatten();
    };
    let expr = line.value()?.call()?;
    let at = line.spec[expr].span;
    let help = "this version trains with `cross_entropy` or `mlm`";
    let mut built = !matches!(line.spec[expr].kind, ExprKind::Binary { .. });
    let call = if built { Some(bind::bind(cx, line.spec, expr, DeclKind::Fn)?) } else { None };
    built &= call.as_ref().is_some_and(|c| matches!(c.name.as_str(), "cross_entropy" | "mlm"));
    if !built {
        let text = clipped(cx.map.text(at));
        cx.report(not_built(&format!("loss {text}"), at).help(help));
    }
    if let (Some(data), false, Some("mlm")) = (data, is_masked, call.as_ref().map(|c| &*c.name)) {
        let wrong = Diagnostic::new(Code::E0706, at, "`mlm` needs `mask` in the data block")
            .primary("it is the loss of tokens that were hidden")
            .label(data.word, "hides none");
        cx.report(match data.source.has_labels() {
            true => wrong.help("labels have the loss `cross_entropy`"),
            false => wrong.help("add `mask 15%` to the data"),
        });
    }
    call.filter(|_| built)
}

fn clip(lines: &Lines<'_>) -> Clip {
    let Some(line) = lines.get("clip") else {
        return Clip::L2(1.0);
    };
    let limit = line.value().and_then(Given::real).unwrap_or(1.0);
    match (line.lead(), line.flag()) {
        (Some("none"), _) => Clip::None,
        (Some(_), _) => Clip::Value(limit),
        (None, Some("linf")) => Clip::Linf(limit),
        (None, _) => Clip::L2(limit),
    }
}

/// `stop when val.loss < x` and `stop after time`.
fn stops(cx: &mut Checker<'_>, lines: &Lines<'_>, has_val: bool) -> (Option<f64>, Option<f64>) {
    let mut stops = (None, None);
    for line in lines.all("stop") {
        match line.value().map(|g| (&g.value, g.span)) {
            Some((Value::Below(metric, limit), span)) if metric == "val.loss" => {
                if !has_val {
                    cx.report(needs_eval("stop when val.loss", span));
                }
                stops.0 = Some(stops.0.unwrap_or(*limit).max(*limit));
            }
            Some((Value::Below(metric, _), span)) => {
                cx.report(other_metric("stop when", metric, span));
            }
            Some((Value::Time(s), _)) => stops.1 = Some(stops.1.unwrap_or(*s).min(*s)),
            _ => {}
        }
    }
    stops
}

fn needs_val(what: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code::E0209, span, format!("`{what}` needs a `val` split"))
        .help("give the data one: `split 90% train, 10% val`")
}

/// E0514: what waits for the validation loss, where none is ever measured.
pub(super) fn needs_eval(what: &str, span: Span) -> Diagnostic {
    Diagnostic::new(Code::E0514, span, format!("`{what}` but nothing evaluates"))
        .primary("there is no `val` split")
        .help("give the data one: `split 90% train, 10% val`")
}

/// The length of the run.
fn steps(cx: &mut Checker<'_>, lines: &Lines<'_>, scale: &Scale) -> Option<u64> {
    let line = lines.get("steps")?;
    let given = line.value()?;
    let stretch = given.stretch()?;
    if let Stretch::Share(_) = stretch {
        cx.report(
            Diagnostic::new(Code::E0303, given.span, "`steps` cannot be a share of itself")
                .help("write `steps 10k`, `steps 3 epochs` or `steps 1B tokens`"),
        );
        return None;
    }
    let steps = scale.steps_of(stretch)?;
    if steps == 0 {
        cx.report(Diagnostic::new(Code::E0302, given.span, "`steps` must be above 0"));
    }
    (steps > 0).then_some(steps)
}

/// What happens every so often, in steps of the run.
pub(super) struct Cadence {
    pub(super) scale: Scale,
    pub(super) has_val: bool,
    /// Whether the model goes on with a text.
    pub(super) writes_text: bool,
}

impl Cadence {
    /// A stretch that has to be at least one step long.
    pub(super) fn every(
        &self,
        cx: &mut Checker<'_>,
        line: &Line<'_>,
        item: &Item,
    ) -> Option<Option<u64>> {
        let Some(given) = item.option("every") else {
            return Some(None);
        };
        let steps = self.scale.steps_of(given.stretch()?)?;
        if steps == 0 {
            let wrong = format!("`{} every` must be above 0", line.directive.name);
            cx.report(Diagnostic::new(Code::E0302, given.span, wrong));
            return None;
        }
        Some(Some(steps))
    }

    fn share(&self, share: f64) -> Option<u64> {
        self.scale.steps_of(Stretch::Share(share)).map(|n| n.max(1))
    }

    /// None: not known; `Some(None)`: no evaluation.
    fn eval(&self, cx: &mut Checker<'_>, lines: &Lines<'_>) -> Option<Option<Eval>> {
        let mut stated = lines.all("eval");
        let Some(line) = stated.next() else {
            let default = self.share(0.05).map(|every| Eval { every, batches: None });
            return if self.has_val { default.map(Some) } else { Some(None) };
        };
        if let Some(second) = stated.next() {
            cx.report(not_built("eval", second.span).primary("a second evaluation"));
        }
        if !self.has_val {
            cx.report(needs_val("eval", line.span));
        }
        let batches = line.option("batches").and_then(Given::count);
        let every = self.every(cx, line, &line.items[0])?.or_else(|| self.share(0.05))?;
        Some(Some(Eval { every, batches }))
    }

    fn checkpoint(&self, cx: &mut Checker<'_>, lines: &Lines<'_>) -> Option<Option<Checkpoint>> {
        let default_every = self.share(0.1);
        let Some(line) = lines.get("checkpoint") else {
            return Some(Some(Checkpoint {
                path: None,
                every: default_every?,
                every_s: Some(1800.0),
                keep: None,
                best_val_loss: false,
            }));
        };
        let path = match line.value().and_then(Given::text) {
            Some(text) => Some(interpolate(cx, text, Some(lines))?),
            None => None,
        };
        let keep = line.option("keep").and_then(Given::count);
        let best_val_loss = self.best(cx, line);
        let (every, every_s) = match line.option("every").and_then(Given::stretch) {
            None => (default_every?, Some(1800.0)),
            // Between times the run is saved at its end only.
            Some(Stretch::Seconds(s)) => (self.scale.steps?, Some(s)),
            Some(_) => (self.every(cx, line, &line.items[0])??, None),
        };
        Some(Some(Checkpoint { path, every, every_s, keep, best_val_loss }))
    }

    fn best(&self, cx: &mut Checker<'_>, line: &Line<'_>) -> bool {
        let Some(given) = line.option("best") else {
            return false;
        };
        let is_val_loss = matches!(&given.value, Value::Metric(name) if name == "val.loss");
        if !is_val_loss {
            cx.report(other_metric("checkpoint best", cx.map.text(given.span), given.span));
        } else if !self.has_val {
            cx.report(needs_eval("checkpoint best val.loss", given.span));
        }
        is_val_loss
    }

    fn samples(&self, cx: &mut Checker<'_>, lines: &Lines<'_>) -> Option<Vec<Sample>> {
        if !self.writes_text {
            if let Some(line) = lines.get("sample") {
                let wrong = "`sample` needs a model of the next token";
                cx.report(
                    Diagnostic::new(Code::E0706, line.span, wrong)
                        .primary("this data has labels, hidden tokens, or ids without text")
                        .help("remove the line"),
                );
            }
            return Some(vec![]);
        }
        if lines.get("sample").is_none() {
            let length = SAMPLE_LENGTH;
            let plain = Sample {
                prompt: None,
                every: None,
                length,
                temperature: 1.0,
                top_k: None,
                top_p: 1.0,
            };
            return Some(vec![plain]);
        }
        lines.all("sample").map(|line| self.sample(cx, lines, line)).collect()
    }

    fn sample(&self, cx: &mut Checker<'_>, lines: &Lines<'_>, line: &Line<'_>) -> Option<Sample> {
        let prompt = match line.value().and_then(Given::text) {
            Some(text) => {
                let prompt = interpolate(cx, text, Some(lines))?;
                writable(cx, &prompt, text.span)?;
                Some(prompt)
            }
            None => None,
        };
        let length = line.option("length").and_then(Given::count).unwrap_or(SAMPLE_LENGTH);
        let temperature = line.option("temperature").and_then(Given::real).unwrap_or(1.0);
        let top_k = line.option("top_k").and_then(Given::count);
        let top_p = line.option("top_p").and_then(Given::real).unwrap_or(1.0);
        let every = self.every(cx, line, &line.items[0])?;
        Some(Sample { prompt, every, length, temperature, top_k, top_p })
    }

    /// Steps, none when not known; and whether it is exponential.
    fn warmup(&self, lines: &Lines<'_>) -> (Option<u64>, bool) {
        let Some(line) = lines.get("warmup") else {
            return (self.scale.steps_of(Stretch::Share(0.01)), false);
        };
        let stretch = line.value().and_then(Given::stretch);
        let steps = stretch.and_then(|stretch| self.scale.steps_of(stretch));
        (steps, line.flag() == Some("exp"))
    }
}

/// E0706: a prompt has to be text that the tokenizer of the data writes.
fn writable(cx: &mut Checker<'_>, prompt: &str, at: Span) -> Option<()> {
    let chars = cx.facts.and_then(|facts| facts.chars.as_ref());
    let new = chars.and_then(|known| prompt.chars().find(|c| known.binary_search(c).is_err()));
    let Some(new) = new else { return Some(()) };
    let shown = if new.is_control() { String::new() } else { format!("`{new}`, ") };
    let wrong = format!("the tokenizer has no id for {shown}U+{:04X}", u32::from(new));
    cx.report(
        Diagnostic::new(Code::E0706, at, wrong)
            .primary("in this prompt")
            .help("leave it out, or use a tokenizer of any text: `bytes`, `bpe(4k)`"),
    );
    None
}

/// What is measured beside the loss and the perplexity, which always are.
fn measures(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    batch: u64,
    accumulate: Option<u64>,
) -> Vec<Measure> {
    let mut measures = vec![];
    let items = lines.all("metric").flat_map(|line| &line.items);
    for given in items.filter_map(|item| item.value.as_ref()) {
        let measure = match given.word() {
            Some("grad_norms") => Measure::GradNorms,
            Some("noise_scale") => Measure::NoiseScale,
            Some(_) | None => continue,
        };
        if measure == Measure::NoiseScale && accumulate == Some(1) {
            let wrong = "`metric noise_scale` needs `accumulate` above 1";
            let wrong = Diagnostic::new(Code::E0209, given.span, wrong)
                .primary("compares gradients of one micro-batch and of all")
                .note("the whole batch is one micro-batch");
            cx.report(match (2..=batch).find(|n| batch.is_multiple_of(*n)) {
                Some(n) if lines.get("micro_batch").is_some() => {
                    wrong.help(format!("use `micro_batch {}`", batch / n))
                }
                Some(n) => wrong.help(format!("add `accumulate {n}`")),
                None => wrong.help("use `batch 2` and `accumulate 2`"),
            });
        }
        if !measures.contains(&measure) {
            measures.push(measure);
        }
    }
    measures
}
