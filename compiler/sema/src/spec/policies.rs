//! Precision, loss scaling, averages, and what a number that is not finite does.
//!
//! In: lines. Out: values with every default filled in; a default may follow from another line.

use diag::{Code, Diagnostic, Span};

use super::Checker;
use super::allow::whole_lines;
use super::args::Given;
use super::lines::{Line, Lines};
use super::sets;
use crate::program::{Device, DeviceLine, Float, LossScale, OnNan, Precision, Recompute};

/// The first scale, as scalers usually have it; the prescale of `micro` comes on top, and an
/// overflow only halves it.
const SCALE_START: u64 = 64 * 1024;

/// Clean updates before the scale doubles.
const SCALE_GROWTH: u64 = 2000;

/// The scale never falls below.
const SCALE_MIN: u64 = 1;

/// Steps skipped in a row before the run ends.
const SKIP_LIMIT: u64 = 20;

/// The policies of a `train` block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Policies {
    pub(super) precision: Precision,
    pub(super) loss_scale: LossScale,
    pub(super) on_nan: OnNan,
    pub(super) ema: Option<f64>,
}

/// Resolves all four; what is wrong is reported and has its default.
pub(super) fn resolve(cx: &mut Checker<'_>, lines: &Lines<'_>) -> Policies {
    let precision = precision(lines);
    let loss_scale = loss_scale(cx, lines, precision.compute);
    let on_nan = on_nan(cx, lines, loss_scale);
    Policies { precision, loss_scale, on_nan, ema: ema(cx, lines) }
}

fn precision(lines: &Lines<'_>) -> Precision {
    let line = lines.get("precision");
    let option = |word| line.and_then(|l| float(l.option(word)));
    Precision {
        compute: float(line.and_then(Line::value)).unwrap_or(Float::Fp32),
        master: option("master").unwrap_or(Float::Fp32),
        reduce: option("reduce").unwrap_or(Float::Fp32),
    }
}

fn float(given: Option<&Given>) -> Option<Float> {
    let word = given?.word()?;
    [Float::Fp32, Float::Bf16, Float::Fp16].into_iter().find(|f| f.name() == word)
}

fn loss_scale(cx: &mut Checker<'_>, lines: &Lines<'_>, compute: Float) -> LossScale {
    let dynamic = LossScale::Dynamic {
        start: SCALE_START as f64,
        growth: SCALE_GROWTH,
        min: SCALE_MIN as f64,
    };
    let default = if compute == Float::Fp16 { dynamic } else { LossScale::None };
    let Some(line) = lines.get("loss_scale") else { return default };
    stated_scale(cx, lines, line, compute).unwrap_or(default)
}

/// What the line says; none where it is wrong, which is then reported.
fn stated_scale(
    cx: &mut Checker<'_>,
    lines: &Lines<'_>,
    line: &Line<'_>,
    compute: Float,
) -> Option<LossScale> {
    if line.lead() == Some("none") {
        unscaled_fp16(cx, lines, line, compute);
        options_of(cx, line, &["from", "growth", "min"], "loss_scale none");
        return Some(LossScale::None);
    }
    if let Some(given) = line.value() {
        options_of(cx, line, &["from", "growth", "min"], "a fixed `loss_scale`");
        let fits = |&x: &f64| power_of_two(cx, "loss_scale", x, given.span);
        return given.real().filter(fits).map(LossScale::Static);
    }
    scaler(cx, line)
}

/// `dynamic from 64Ki growth 2000 min 1`; none where it is wrong, which is then reported.
fn scaler(cx: &mut Checker<'_>, line: &Line<'_>) -> Option<LossScale> {
    let count = |word: &str| line.option(word).and_then(Given::count);
    let (start, min) = (count("from"), count("min"));
    for (word, given) in ["from", "min"].map(|w| (w, line.option(w))) {
        if let Some((given, scale)) = given.and_then(|g| Some((g, g.count()?)))
            && !power_of_two(cx, &format!("loss_scale {word}"), scale as f64, given.span)
        {
            return None;
        }
    }
    let min_or_default = min.unwrap_or(SCALE_MIN);
    // A minimum above the usual start is a start of its own.
    let start = start.unwrap_or(SCALE_START.max(min_or_default));
    if start < min_or_default {
        let (from, at) = (line.option("from"), line.option("min").map_or(line.span, |g| g.span));
        let wrong = format!("`loss_scale min` {min_or_default} is above its start {start}");
        let wrong = Diagnostic::new(Code::E0302, at, wrong);
        let wrong = from.iter().fold(wrong, |w, from| w.label(from.span, "starts here"));
        cx.report(wrong.help(format!("use `min {SCALE_MIN}`")));
        return None;
    }
    let growth = count("growth").unwrap_or(SCALE_GROWTH);
    Some(LossScale::Dynamic { start: start as f64, growth, min: min_or_default as f64 })
}

/// A scale that is no power of two would round every gradient; reported, with the nearest.
fn power_of_two(cx: &mut Checker<'_>, name: &str, x: f64, at: Span) -> bool {
    // The scale multiplies numbers in fp32.
    let near = x.log2().round().clamp(-126.0, 127.0).exp2();
    if x == near {
        return true;
    }
    let wrong = format!("`{name}` must be a power of two, found {x}");
    cx.report(
        Diagnostic::new(Code::E0302, at, wrong)
            .note("another factor would round every gradient")
            .fix(format!("use `{near}`"), at, near.to_string()),
    );
    false
}

/// E0601: fp16 with its scaling turned off.
fn unscaled_fp16(cx: &mut Checker<'_>, lines: &Lines<'_>, off: &Line<'_>, compute: Float) {
    let Some(fp16) = lines.get("precision").filter(|_| compute == Float::Fp16) else { return };
    cx.report(
        Diagnostic::new(Code::E0601, off.span, "`precision fp16` needs loss scaling")
            .primary("turned off here")
            .label(fp16.span, "gradients below 6e-8 become zero in fp16")
            .fix(
                "remove `loss_scale none`: the default is `loss_scale dynamic`",
                whole_lines(cx.map, off.span),
                "",
            ),
    );
}

/// Reports options that this form of a directive does not have.
fn options_of(cx: &mut Checker<'_>, line: &Line<'_>, words: &[&str], form: &str) {
    for word in words {
        if let Some(given) = line.option(word) {
            let wrong = format!("{} has no option `{word}`", ticked(form));
            cx.report(
                Diagnostic::new(Code::E0208, given.span, wrong)
                    .help(format!("remove `{word} {}`", cx.map.text(given.span))),
            );
        }
    }
}

fn ticked(form: &str) -> String {
    if form.contains('`') { form.to_owned() } else { format!("`{form}`") }
}

fn on_nan(cx: &mut Checker<'_>, lines: &Lines<'_>, loss_scale: LossScale) -> OnNan {
    let Some(line) = lines.get("on_nan") else {
        return match loss_scale {
            LossScale::Dynamic { .. } => OnNan::Skip { limit: SKIP_LIMIT },
            LossScale::None | LossScale::Static(_) => OnNan::Stop,
        };
    };
    if line.lead() == Some("stop") {
        options_of(cx, line, &["limit"], "on_nan stop");
        return OnNan::Stop;
    }
    let limit = line.option("limit").and_then(Given::count);
    OnNan::Skip { limit: limit.unwrap_or(SKIP_LIMIT) }
}

/// What the line says; `auto` without one.
pub(super) fn recompute(lines: &Lines<'_>) -> Recompute {
    let Some(line) = lines.get("recompute") else { return Recompute::Auto };
    match line.lead() {
        Some("none") => Recompute::None,
        Some("all") => Recompute::All,
        Some("every") => {
            line.value().and_then(Given::count).map_or(Recompute::All, Recompute::Every)
        }
        Some("only") => sets::of_line(Some(line)).map_or(Recompute::None, Recompute::Only),
        Some(_) | None => Recompute::Auto,
    }
}

/// What the line names; without one, as with `auto`, that is open.
pub(super) fn device(lines: &Lines<'_>) -> Option<DeviceLine> {
    let line = lines.get("device")?;
    let device = match line.value().and_then(Given::word)? {
        "cpu" => Device::Cpu,
        "cuda" => Device::Cuda,
        "emulated" => Device::Emulated,
        _ => return None,
    };
    Some(DeviceLine { device, span: line.span })
}

fn ema(cx: &mut Checker<'_>, lines: &Lines<'_>) -> Option<f64> {
    let given = lines.get("ema")?.value()?;
    let share = given.real()?;
    if share < 1.0 {
        return Some(share);
    }
    cx.report(
        Diagnostic::new(Code::E0302, given.span, "`ema` must be below 1, found 1")
            .primary("the average would never leave the first weights")
            .help("a usual share is `ema 0.999`"),
    );
    None
}

impl Precision {
    /// As it would be written, every part spelled out.
    pub fn text(&self) -> String {
        let Self { compute, master, reduce } = self;
        format!("{} master {} reduce {}", compute.name(), master.name(), reduce.name())
    }
}

impl LossScale {
    /// As it would be written, every part spelled out.
    pub fn text(&self) -> String {
        match self {
            Self::None => "none".to_owned(),
            Self::Static(scale) => scale.to_string(),
            Self::Dynamic { start, growth, min } => {
                format!("dynamic from {start} growth {growth} min {min}")
            }
        }
    }
}

impl Recompute {
    /// As it would be written.
    pub fn text(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::None => "none".to_owned(),
            Self::All => "all".to_owned(),
            Self::Every(1) => "every 1 block".to_owned(),
            Self::Every(n) => format!("every {n} blocks"),
            Self::Only(set) => format!("only {}", set.text),
        }
    }
}

impl OnNan {
    /// As it would be written.
    pub fn text(&self) -> String {
        match self {
            Self::Stop => "stop".to_owned(),
            Self::Skip { limit } => format!("skip limit {limit}"),
        }
    }
}
