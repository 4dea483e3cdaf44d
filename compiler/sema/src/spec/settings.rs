//! Every directive's effective value and where it came from, as people read it.

use diag::{Code, Diagnostic};
use syntax::ast::{StrLit, StrPart};

use super::Checker;
use super::args::Given;
use super::bind::Model;
use super::data::Resolved;
use super::lines::{Line, Lines, Origin};
use super::regular::DROP;
use super::rules::says_decay;
use super::words::not_built;
use crate::program::{Call, Clip, Group, Pack, Schedule, Setting, SettingClass, Train};
use crate::schema::{Home, Status};
use crate::value::StaticArg;

/// All settings, in the order of the reference.
pub(super) fn all(
    cx: &Checker<'_>,
    lines: &Lines<'_>,
    train: &Train,
    data: &Resolved<'_>,
    model: &Model,
) -> Vec<Setting> {
    let mut settings = vec![];
    for directive in Home::Train.directives().iter().filter(|d| d.status == Status::Built) {
        let name = directive.name;
        let (value, origin) = match stated(cx, lines, name) {
            Some((_, origin)) if name == "model" => (model.text.clone(), origin),
            Some((name, origin)) if directive.name == "data" => {
                (format!("{name} = {}", data.text), origin)
            }
            Some((text, _)) if name == "lr" && lines.get("lr").is_some_and(is_scaled) => {
                (format!("{:.4e} ({text})", train.lr), "derived".to_owned())
            }
            Some((_, origin)) if let Some(text) = spelled_out(name, train) => (text, origin),
            Some(found) => found,
            None => unstated(lines, name, train, data, model),
        };
        if !value.is_empty() {
            settings.push(Setting { name: name.to_owned(), value, origin, class: directive.class });
        }
    }
    for directive in Home::Data.directives().iter().filter(|d| d.status == Status::Built) {
        let name = format!("data.{}", directive.name);
        let stated = stated(cx, &data.lines, directive.name);
        // What is off, and what the data says itself, is no line of its own.
        if stated.is_none() && (directive.default == "none" || directive.name == "classes") {
            continue;
        }
        let (value, origin) = stated.unwrap_or_else(|| data_default(directive.name, data));
        if value.is_empty() {
            continue;
        }
        settings.push(Setting { name, value, origin, class: directive.class });
    }
    let classes = data.classes.filter(|_| data.lines.get("classes").is_none());
    for (name, size) in [("data.vocab", data.vocab), ("data.classes", classes)] {
        let Some(size) = size else { continue };
        settings.push(Setting {
            name: name.to_owned(),
            value: size.to_string(),
            origin: "derived".to_owned(),
            class: SettingClass::Identity,
        });
    }
    settings
}

/// The text of the lines of a directive, and who wrote them.
fn stated(cx: &Checker<'_>, lines: &Lines<'_>, name: &str) -> Option<(String, String)> {
    let mut texts = vec![];
    let mut origin = Origin::Spec;
    for line in lines.all(name) {
        texts.push(text(cx, line));
        if line.origin == Origin::CommandLine {
            origin = line.origin;
        }
    }
    let origin = match origin {
        Origin::Spec => "spec",
        Origin::CommandLine => "command line",
    };
    (!texts.is_empty()).then(|| (texts.join(" · "), origin.to_owned()))
}

/// A line without its directive, rebuilt from its parts: overrides may have changed some.
fn text(cx: &Checker<'_>, line: &Line<'_>) -> String {
    let items = line.items.iter().map(|item| {
        let mut words: Vec<String> = item.lead.map(str::to_owned).into_iter().collect();
        words.extend(item.value.iter().map(|g| cx.map.text(g.span).to_owned()));
        words.extend(item.flag.map(|(w, _)| w.to_owned()));
        for (word, given) in &item.options {
            words.push((*word).to_owned());
            words.push(cx.map.text(given.span).to_owned());
        }
        words.join(" ")
    });
    items.collect::<Vec<_>>().join(", ")
}

/// Whether a learning rate is stated for another batch.
fn is_scaled(line: &Line<'_>) -> bool {
    line.option("at").is_some()
}

/// The whole value of a directive whose line may leave parts of it to defaults.
fn spelled_out(name: &str, train: &Train) -> Option<String> {
    match name {
        "precision" => Some(train.precision.text()),
        "loss_scale" => Some(train.loss_scale.text()),
        "on_nan" => Some(train.on_nan.text()),
        _ => None,
    }
}

/// The value that holds without a line, and why.
fn unstated(
    lines: &Lines<'_>,
    name: &str,
    train: &Train,
    data: &Resolved<'_>,
    model: &Model,
) -> (String, String) {
    let derived = |value: String| (value, "derived".to_owned());
    let default = |value: String| (value, "default".to_owned());
    let stated = |name: &str| lines.get(name).is_some();
    match name {
        "model" => (model.text.clone(), "spec".to_owned()),
        "data" => (data.text.clone(), "spec".to_owned()),
        "loss" => default(train.loss.text()),
        "context" => default(train.context.to_string()),
        "batch" if stated("micro_batch") && stated("accumulate") => {
            derived(train.batch.to_string())
        }
        "batch" => default(train.batch.to_string()),
        "micro_batch" => derived(train.micro_batch.to_string()),
        "accumulate" => derived(train.accumulate.to_string()),
        "lr" => default(format!("{:e}", train.lr)),
        "schedule" => default(train.schedule.text()),
        "warmup" => default(format!("{} (1%)", train.warmup)),
        "optimizer" => default(optimizer_text(&train.groups)),
        "weight_decay" => {
            let written = train.groups.iter().any(|g| says_decay(&g.rule));
            let value = decay_text(train);
            if written { (value, "spec".to_owned()) } else { default(value) }
        }
        "clip" => default(clip_text(train.clip)),
        "precision" => default(train.precision.text()),
        "loss_scale" => derived(train.loss_scale.text()),
        "on_nan" => derived(train.on_nan.text()),
        "dropout" => derived(model.call.arg(DROP).map_or("none".to_owned(), StaticArg::text)),
        "label_smoothing" => {
            derived(train.loss.arg(name).map_or("none".to_owned(), StaticArg::text))
        }
        "eval" => match &train.eval {
            Some(eval) => default(format!(
                "every {} (5%) batches {}",
                eval.every,
                eval.batches.map_or("all".to_owned(), |n| n.to_string())
            )),
            None => derived("none: there is no `val` split".to_owned()),
        },
        "checkpoint" => match &train.checkpoint {
            Some(c) => default(format!("every {} (10%) and every 30min", c.every)),
            None => default("none".to_owned()),
        },
        "sample" if train.samples.is_empty() => derived("none".to_owned()),
        "sample" => default("200 tokens at the end".to_owned()),
        "stop" | "allow" => default(String::new()),
        _ => {
            let row = Home::Train.find(name).map_or("", |d| d.default);
            default(row.to_owned())
        }
    }
}

fn decay_text(train: &Train) -> String {
    if train.weight_decay == 0.0 {
        return "none".to_owned();
    }
    format!("{} on {}", train.weight_decay, train.weight_decay_on.text)
}

fn optimizer_text(groups: &[Group]) -> String {
    match groups {
        [one] => one.rule.text(),
        groups => {
            let one = |g: &Group| format!("{} on {}", g.rule.text(), g.on.text);
            groups.iter().map(one).collect::<Vec<_>>().join(", ")
        }
    }
}

fn clip_text(clip: Clip) -> String {
    match clip {
        Clip::None => "none".to_owned(),
        Clip::L2(x) => format!("{x:?} l2"),
        Clip::Linf(x) => format!("{x:?} linf"),
        Clip::Value(x) => format!("value {x:?}"),
    }
}

fn data_default(name: &str, data: &Resolved<'_>) -> (String, String) {
    if name == "tokenizer" && data.tokenizer_in_head.is_some() {
        return (data.source.tokenizer.text(), "spec".to_owned());
    }
    if name == "pack" && data.source.pack == Pack::Rows {
        return ("none".to_owned(), "derived".to_owned());
    }
    let row = Home::Data.find(name).map_or("", |d| d.default);
    (row.to_owned(), "default".to_owned())
}

impl Schedule {
    /// As it would be written.
    pub fn text(&self) -> String {
        match self {
            Self::Fn(call) => call.text(),
            Self::Plateau { text, .. } => text.clone(),
        }
    }
}

impl Call {
    /// As it would be written, every argument spelled out.
    pub fn text(&self) -> String {
        if self.args.is_empty() {
            return self.name.clone();
        }
        let args: Vec<String> =
            self.args.iter().map(|(n, v)| format!("{n}: {}", v.text())).collect();
        format!("{}({})", self.name, args.join(", "))
    }
}

/// The text of a string with its names replaced.
pub(super) fn interpolate(
    cx: &mut Checker<'_>,
    text: &StrLit,
    lines: Option<&Lines<'_>>,
) -> Option<String> {
    let seed = lines.and_then(|l| l.get("seed")).and_then(Line::value).and_then(Given::count);
    let seed = seed.unwrap_or(0);
    let mut out = String::new();
    for part in &text.parts {
        match part {
            StrPart::Text(text) => out.push_str(text),
            StrPart::Name { path, span, .. } => match path.join(".").as_str() {
                "name" => out.push_str(cx.name),
                "seed" if lines.is_some() => out.push_str(&seed.to_string()),
                name if name.starts_with("env.") || name == "run" => {
                    cx.report(not_built(&format!("{{{name}}}"), *span));
                    return None;
                }
                // Arguments are not built; what is wrong is said where they are declared.
                name if cx.env.get(name).is_some() => return None,
                name => {
                    let wrong = format!("`{{{name}}}` is not available in strings");
                    cx.report(
                        Diagnostic::new(Code::E0004, *span, wrong)
                            .help("the usable names are `name` and `seed`"),
                    );
                    return None;
                }
            },
        }
    }
    Some(out)
}
