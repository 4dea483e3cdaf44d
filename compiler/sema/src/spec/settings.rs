//! Every directive's effective value and where it came from, as people read it.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{ExprKind, Spec, StrLit, StrPart};

use super::Checker;
use super::args::{Given, Value};
use super::bind::Model;
use super::data::Resolved;
use super::jobs::run_called;
use super::lines::{Line, Lines, Origin};
use super::regular::DROP;
use super::rules::says_decay;
use crate::program::{Call, Clip, Group, Pack, Schedule, Setting, SettingClass, Train};
use crate::schema::{Home, Status, nearest};
use crate::value::StaticArg;

/// A value, who says it, and where or from what.
type Found = (String, &'static str, Option<String>);

/// All settings, in the order of the reference.
pub(super) fn all(
    cx: &Checker<'_>,
    lines: &Lines<'_>,
    train: &Train,
    data: &Resolved<'_>,
    model: &Model,
) -> Vec<Setting> {
    let mut settings = vec![];
    if let Some(from) = &train.from {
        let found = (from.of.text(), "spec", Some(place(cx, from.span)));
        settings.push(setting("from".to_owned(), found, SettingClass::Trajectory));
    }
    for directive in Home::Train.directives().iter().filter(|d| d.status == Status::Built) {
        let name = directive.name;
        let (value, origin, place) = match stated(cx, lines, name) {
            Some((_, origin, place)) if name == "model" => (model.text.clone(), origin, place),
            Some((name, origin, place)) if directive.name == "data" => {
                (format!("{name} = {}", data.text), origin, place)
            }
            Some((text, _, _)) if name == "lr" && lines.get("lr").is_some_and(is_scaled) => {
                let from = Some("from lr, batch".to_owned());
                (format!("{:.4e} ({text})", train.lr), "derived", from)
            }
            Some((_, origin, place)) if let Some(text) = spelled_out(name, train) => {
                (text, origin, place)
            }
            Some(found) => found,
            None => {
                let (value, origin) = unstated(lines, name, train, data, model);
                let place = unstated_place(cx, lines, (name, origin), data, model);
                (value, origin, place)
            }
        };
        let call = match (name, &train.schedule) {
            ("model", _) => Some(&model.call),
            ("loss", _) => Some(&train.loss),
            ("schedule", Schedule::Fn(call)) => Some(call),
            _ => None,
        };
        let value = call.and_then(|call| with_values(cx, call)).unwrap_or(value);
        if !value.is_empty() {
            settings.push(setting(name.to_owned(), (value, origin, place), directive.class));
        }
    }
    for directive in Home::Data.directives().iter().filter(|d| d.status == Status::Built) {
        let name = format!("data.{}", directive.name);
        let stated = stated(cx, &data.lines, directive.name);
        // What is off, and what the data says itself, is no line of its own.
        if stated.is_none() && (directive.default == "none" || directive.name == "classes") {
            continue;
        }
        let found = stated.unwrap_or_else(|| {
            let (value, origin) = data_default(directive.name, data);
            let place = (origin == "spec").then(|| place(cx, data.word));
            (value, origin, place)
        });
        if found.0.is_empty() {
            continue;
        }
        settings.push(setting(name, found, directive.class));
    }
    let classes = data.classes.filter(|_| data.lines.get("classes").is_none());
    for (name, size) in [("data.vocab", data.padded_vocab), ("data.classes", classes)] {
        let Some(size) = size else { continue };
        let found = (size.to_string(), "derived", Some("from the data".to_owned()));
        settings.push(setting(name.to_owned(), found, SettingClass::Identity));
    }
    for setting in &mut settings {
        let line = match setting.name.strip_prefix("data.") {
            Some(name) => data.lines.get(name),
            None => lines.get(&setting.name),
        };
        setting.span = line.map(|line| line.span);
    }
    settings
}

fn setting(name: String, (value, origin, place): Found, class: SettingClass) -> Setting {
    Setting { name, value, origin: origin.to_owned(), place, class, span: None }
}

/// The text of the lines of a directive, and who wrote them.
fn stated(cx: &Checker<'_>, lines: &Lines<'_>, name: &str) -> Option<Found> {
    let mut texts = vec![];
    let mut places: Vec<String> = vec![];
    let mut origin = "spec";
    for line in lines.all(name) {
        texts.push(text(cx, line, lines));
        let said = said(cx, line);
        if !places.contains(&said) {
            places.push(said);
        }
        if matches!(line.origin, Origin::CommandLine(_)) {
            origin = "command line";
        }
    }
    (!texts.is_empty()).then(|| (texts.join(" · "), origin, Some(places.join(", "))))
}

/// Where a line stands, and where the arguments in it have their values from.
fn said(cx: &Checker<'_>, line: &Line<'_>) -> String {
    let mut out = match line.origin {
        Origin::Spec => place(cx, line.span),
        Origin::CommandLine(set) if set.file == line.span.file => {
            format!("--set {}", cx.map.text(set))
        }
        Origin::CommandLine(set) => {
            format!("--set {}, over {}", cx.map.text(set), place(cx, line.span))
        }
        Origin::Like(at) => {
            format!("{}, like {} at {}", place(cx, line.span), cx.map.text(at), place(cx, at))
        }
    };
    out.push_str(&args_from(cx, line.spec, line.span));
    out
}

/// Where the arguments that a text names have their values from: `; peak from --peak 1e-3`.
fn args_from(cx: &Checker<'_>, spec: &Spec, within: Span) -> String {
    let mut names: Vec<String> = vec![];
    let mut out = String::new();
    for expr in spec.exprs.iter().filter(|e| is_within(e.span, within)) {
        for (name, at, is_given) in cx.args_in(spec, expr) {
            if !names.contains(&name) {
                let text = cx.map.text(at);
                let from = if is_given { format!("--{name} {text}") } else { place(cx, at) };
                out.push_str(&format!("; {name} from {from}"));
                names.push(name);
            }
        }
    }
    out
}

fn is_within(span: Span, all: Span) -> bool {
    span.file == all.file && all.start <= span.start && span.end <= all.end
}

/// A text with the names in its strings replaced, as far as they have values.
pub(super) fn expanded(cx: &Checker<'_>, spec: &Spec, within: Span) -> String {
    let mut out = String::new();
    let mut at = within.start;
    let mut strings: Vec<&StrLit> = spec
        .exprs
        .iter()
        .filter(|e| is_within(e.span, within))
        .filter_map(|e| if let ExprKind::Str(text) = &e.kind { Some(text) } else { None })
        .filter(|text| text.plain().is_none())
        .collect();
    strings.sort_by_key(|text| text.span.start);
    for text in strings {
        let Ok(Some(value)) = expand(cx, text, None) else { continue };
        out.push_str(cx.map.text(Span { start: at, end: text.span.start, ..within }));
        out.push_str(&format!("{value:?}"));
        at = text.span.end;
    }
    out.push_str(cx.map.text(Span { start: at, ..within }));
    out
}

/// A call that names arguments, with their values in their place.
fn with_values(cx: &Checker<'_>, call: &Call) -> Option<String> {
    let spec = cx.spec_of(call.span.file)?;
    if args_from(cx, spec, call.span).is_empty() {
        return None;
    }
    let args = call.args.iter().filter(|(name, _)| call.written.contains(name));
    let args: Vec<String> = args.map(|(n, value)| format!("{n}: {}", value.text())).collect();
    Some(format!("{}({})", call.name, args.join(", ")))
}

/// `base.lt:4:3`.
fn place(cx: &Checker<'_>, span: Span) -> String {
    let (line, column) = cx.map.line_col(span.file, span.start);
    format!("{}:{line}:{column}", cx.map.file(span.file).name)
}

/// Where what no line says comes from.
fn unstated_place(
    cx: &Checker<'_>,
    lines: &Lines<'_>,
    (name, origin): (&str, &str),
    data: &Resolved<'_>,
    model: &Model,
) -> Option<String> {
    let from = |words: &str| Some(format!("from {words}"));
    match (name, origin) {
        ("model", _) => {
            let spec = cx.spec_of(model.call.span.file);
            let args = spec.map(|spec| args_from(cx, spec, model.call.span));
            Some(place(cx, model.word) + &args.unwrap_or_default())
        }
        ("data", _) => Some(place(cx, data.word)),
        ("weight_decay", "spec") => lines.get("optimizer").map(|line| said(cx, line)),
        ("batch", "derived") => from("micro_batch, accumulate"),
        ("micro_batch", "derived") if lines.get("accumulate").is_some() => {
            from("batch, accumulate")
        }
        ("micro_batch", "derived") => from("batch, context"),
        ("accumulate", "derived") => from("batch, micro_batch"),
        ("loss_scale", "derived") => from("precision"),
        ("on_nan", "derived") => from("loss_scale"),
        ("dropout", "derived") => from("model"),
        ("label_smoothing", "derived") => from("loss"),
        ("eval", "derived") => from("data.split"),
        _ => None,
    }
}

/// A line without its directive, rebuilt from its parts: overrides may have changed some.
fn text(cx: &Checker<'_>, line: &Line<'_>, lines: &Lines<'_>) -> String {
    let shown = |given: &Given| match (&given.shown, &given.value) {
        (Some(text), _) => text.clone(),
        (None, Value::Str(text)) if text.plain().is_none() => {
            let text = expand(cx, text, Some(lines)).ok().flatten();
            text.map_or_else(|| cx.map.text(given.span).to_owned(), |text| format!("{text:?}"))
        }
        (None, _) => cx.map.text(given.span).to_owned(),
    };
    let items = line.items.iter().map(|item| {
        let mut words: Vec<String> = item.lead.map(str::to_owned).into_iter().collect();
        words.extend(item.value.iter().map(shown));
        words.extend(item.flag.map(|(w, _)| w.to_owned()));
        for (word, given) in &item.options {
            words.push((*word).to_owned());
            // A flag is its own value.
            words.extend(Some(shown(given)).filter(|value| value != word));
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
) -> (String, &'static str) {
    let derived = |value: String| (value, "derived");
    let default = |value: String| (value, "default");
    let stated = |name: &str| lines.get(name).is_some();
    match name {
        "model" => (model.text.clone(), "spec"),
        "data" => (data.text.clone(), "spec"),
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
            if written { (value, "spec") } else { default(value) }
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

fn data_default(name: &str, data: &Resolved<'_>) -> (String, &'static str) {
    if name == "tokenizer" && data.tokenizer_in_head.is_some() {
        return (data.source.tokenizer.text(), "spec");
    }
    if name == "pack" && data.source.pack == Pack::Rows {
        return ("none".to_owned(), "derived");
    }
    let row = Home::Data.find(name).map_or("", |d| d.default);
    (row.to_owned(), "default")
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

/// The text of a string with its names replaced; what is wrong with it is reported.
pub(super) fn interpolate(
    cx: &mut Checker<'_>,
    text: &StrLit,
    lines: Option<&Lines<'_>>,
) -> Option<String> {
    match expand(cx, text, lines) {
        Ok(text) => text,
        Err(diagnostic) => {
            cx.report(*diagnostic);
            None
        }
    }
}

/// The same; there is no text where a name has no value, which is said elsewhere.
fn expand(
    cx: &Checker<'_>,
    text: &StrLit,
    lines: Option<&Lines<'_>>,
) -> Result<Option<String>, Box<Diagnostic>> {
    let mut out = String::new();
    for part in &text.parts {
        match part {
            StrPart::Text(text) => out.push_str(text),
            StrPart::Name { path, default, span } => {
                let named = named_text(cx, path, (default.as_deref(), *span), lines)?;
                match named {
                    Some(text) => out.push_str(&text),
                    None => return Ok(None),
                }
            }
        }
    }
    Ok(Some(out))
}

/// What a name in a string stands for.
fn named_text(
    cx: &Checker<'_>,
    path: &[String],
    (default, span): (Option<&str>, Span),
    lines: Option<&Lines<'_>>,
) -> Result<Option<String>, Box<Diagnostic>> {
    let name = path.join(".");
    if let [env, variable] = path
        && env == "env"
    {
        let found = cx.input.environment.iter().find(|(name, _)| name == variable);
        return match found.map(|(_, value)| value.as_str()).or(default) {
            Some(value) => Ok(Some(value.to_owned())),
            None => {
                let wrong = format!("the variable `{variable}` of the environment is not set");
                let wrong = Diagnostic::new(Code::E0004, span, wrong);
                let help = format!("set it, or write what holds without it: `{{{name}:..}}`");
                Err(Box::new(wrong.help(help)))
            }
        };
    }
    if default.is_some() {
        let wrong = format!("`{{{name}}}` takes no default");
        let wrong = Diagnostic::new(Code::E0004, span, wrong);
        return Err(Box::new(wrong.help(format!("write `{{{name}}}`"))));
    }
    if let Some(text) = cx.arg_text(span.file, &name) {
        return Ok(text);
    }
    match (name.as_str(), lines) {
        ("name", lines) => Ok(Some(run_called(cx, lines.and_then(|lines| lines.job.as_deref())))),
        ("seed", Some(lines)) => {
            let seed = lines.get("seed").and_then(Line::value).and_then(Given::count);
            Ok(Some(seed.unwrap_or(0).to_string()))
        }
        ("run", Some(lines)) => Ok(Some(lines.job.clone().unwrap_or_else(|| cx.name.to_owned()))),
        _ => match cx.env_of(span.file).get(&name) {
            Some(StaticArg::Unknown) => Ok(None),
            Some(StaticArg::Str(text)) => Ok(Some(text.clone())),
            Some(value) => Ok(Some(value.text())),
            None => Err(Box::new(not_in_strings(cx, &name, span, lines.is_some()))),
        },
    }
}

/// E0004: a name that a string does not have.
fn not_in_strings(cx: &Checker<'_>, name: &str, span: Span, in_job: bool) -> Diagnostic {
    let of_job = if in_job { &["name", "seed", "run"][..] } else { &["name"] };
    let usable: Vec<&str> = of_job.iter().copied().chain(cx.arg_names(span.file)).collect();
    let wrong = format!("`{{{name}}}` is not available in strings");
    let wrong = Diagnostic::new(Code::E0004, span, wrong);
    let wrong = match nearest(name, usable.iter().copied()) {
        Some(near) => wrong.fix(format!("did you mean `{{{near}}}`?"), span, format!("{{{near}}}")),
        None => wrong,
    };
    let usable: Vec<String> = usable.iter().map(|name| format!("`{name}`")).collect();
    wrong.help(format!("use one of {} and `env.VARIABLE`", usable.join(", ")))
}
