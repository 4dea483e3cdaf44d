//! Models and calls of rules, schedules and losses, bound to declarations.

use std::sync::Arc;

use diag::{Code, Diagnostic, Span};
use syntax::ast::{Arg, DeclKind, ExprId, ExprKind, Spec};

use super::Checker;
use super::file::{BlockNode, Blocks};
use super::lines::Lines;
use super::units;
use super::words::{dotted, name_one, not_built, one_of, word};
use crate::program::{Call, Program, Task};
use crate::trace::{Elem, Trace, Type};
use crate::value::StaticArg;

/// Declarations of the language's library that a later version has.
const LATER: &[(&str, DeclKind)] = &[
    ("next_sentence", DeclKind::Fn),
    ("bert", DeclKind::Layer),
    ("kl", DeclKind::Fn),
    ("focal", DeclKind::Fn),
    ("contrastive", DeclKind::Fn),
    ("llama", DeclKind::Layer),
    ("tagger", DeclKind::Layer),
    ("lstm", DeclKind::Layer),
    ("gru", DeclKind::Layer),
    ("moe", DeclKind::Layer),
    ("variational_dropout", DeclKind::Layer),
];

/// Whether a later version has a declaration of that name.
pub(crate) fn is_later(name: &str) -> bool {
    LATER.iter().any(|(later, _)| *later == name)
}

/// A model of the spec.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) name: Option<String>,
    pub(super) call: Call,
    /// Its call as written.
    pub(super) text: String,
    pub(super) word: Span,
}

/// Binds every model of the file.
pub(super) fn models(cx: &mut Checker<'_>, blocks: &Blocks) -> Vec<Model> {
    let bound: Vec<_> = blocks.models.iter().map(|block| model(cx, block)).collect();
    bound.into_iter().flatten().collect()
}

fn model(cx: &mut Checker<'_>, block: &BlockNode) -> Option<Model> {
    let spec = cx.spec;
    let Some(expr) = block.head else {
        cx.report(
            Diagnostic::new(Code::E0209, block.word, "`model` needs a layer")
                .help("write `model gpt(layers: 2, width: 128, heads: 4)`"),
        );
        return None;
    };
    let call = bind(cx, spec, expr, DeclKind::Layer)?;
    let text = cx.map.text(spec[expr].span).to_owned();
    let name = block.name.as_ref().map(|(n, _)| n.clone());
    Some(Model { name, call, text, word: block.word })
}

/// Makes the arguments of all models known to the lines of a job, but for what depends on data.
///
/// What is wrong with a model is said when it is bound to its data.
pub(super) fn announce(cx: &mut Checker<'_>) {
    let blocks = cx.blocks.clone();
    for unit in units::in_order(&cx.units) {
        cx.within(unit, |cx| {
            cx.absorb();
            super::data::publish(cx, &blocks[unit], None);
            let n_said = cx.diagnostics.len();
            let models = models(cx, &blocks[unit]);
            cx.diagnostics.truncate(n_said);
            publish(cx, &models);
        });
    }
}

/// Makes the arguments of the models known to expressions: `small.vocab`.
pub(super) fn publish(cx: &mut Checker<'_>, models: &[Model]) {
    let unit = cx.unit;
    let named = cx.blocks[unit].models.iter().filter_map(|b| b.name.as_ref());
    // One that is wrong has a name all the same.
    let named: Vec<String> = named.map(|(name, _)| name.clone()).collect();
    named.into_iter().for_each(|name| cx.env.set_unknown(name));
    for model in models {
        let Some(name) = &model.name else { continue };
        cx.env.set(name.clone(), StaticArg::Module(Box::new(model.call.clone())));
        for (arg, value) in &model.call.args {
            cx.env.set(format!("{name}.{arg}"), value.clone());
        }
    }
}

/// The model of the job: the one it names or calls, else the only one.
pub(super) fn choose_model(
    cx: &mut Checker<'_>,
    job: &BlockNode,
    (blocks, models): (&Blocks, &[Model]),
    lines: &Lines<'_>,
) -> Option<Model> {
    if let Some(line) = lines.get("model") {
        let expr = line.value()?.call()?;
        let path = dotted(line.spec, expr);
        let name = path.as_deref().and_then(|path| path.rsplit('.').next());
        let stated =
            |b: &&BlockNode| b.name.as_ref().is_some_and(|(n, _)| Some(n.as_str()) == name);
        if let Some(block) = blocks.models.iter().find(stated) {
            return models.iter().find(|m| m.word == block.word).cloned();
        }
        let path = path.as_deref();
        if let Some(name) = path.filter(|n| cx.library.kind_in(line.spec.file, n).is_none()) {
            let at = line.spec[expr].span;
            let names: Vec<_> = models.iter().filter_map(|m| m.name.as_deref()).collect();
            let wrong = Diagnostic::new(Code::E0202, at, format!("there is no model `{name}`"));
            if !blocks.incomplete {
                cx.report(super::words::did_you_mean(wrong, name, at, &names));
            }
            return None;
        }
        let call = bind(cx, line.spec, expr, DeclKind::Layer)?;
        let text = cx.map.text(line.spec[expr].span).to_owned();
        return Some(Model { name: None, call, text, word: line.span });
    }
    if lines.is_broken("model") {
        return None;
    }
    match blocks.models.as_slice() {
        [] if blocks.incomplete => None,
        [] => {
            cx.report(
                Diagnostic::new(Code::E0209, job.word, "the spec has no `model`")
                    .primary("this needs something to train")
                    .help("add `model gpt(layers: 2, width: 128, heads: 4)`"),
            );
            None
        }
        [only] => models.iter().find(|m| m.word == only.word).cloned(),
        [first, second, ..] => {
            let name = |b: &BlockNode| b.name.as_ref().map(|(n, _)| n.clone());
            let (one, other) = (name(first), name(second));
            let (one, other) = (one.as_deref(), other.as_deref());
            cx.report(
                Diagnostic::new(Code::E0211, job.word, "`train` must name its model")
                    .primary(format!("{} models to choose from", blocks.models.len()))
                    .label(first.word, one_of("model", one))
                    .label(second.word, one_of("model", other))
                    .help(name_one("model", one, other)),
            );
            None
        }
    }
}

/// Binds a call; what is wrong with it is reported.
pub(super) fn bind(
    cx: &mut Checker<'_>,
    spec: &Arc<Spec>,
    expr: ExprId,
    want: DeclKind,
) -> Option<Call> {
    let callee = if let ExprKind::Call { callee, .. } = spec[expr].kind { callee } else { expr };
    if let Some(name) = word(spec, callee)
        && cx.library.kind_in(spec.file, name).is_none()
        && LATER.contains(&(name, want))
    {
        cx.report(not_built(name, spec[callee].span));
        return None;
    }
    match cx.library.bind(spec, expr, want, cx.env_of(spec.file)) {
        Ok(call) => Some(call),
        Err(diagnostics) => {
            cx.report_all(diagnostics);
            None
        }
    }
}

/// Binds a call that may have one more argument, which is not the declaration's; returns it too.
///
/// Only a declaration that has a `to` and no such argument of its own has it beside.
pub(super) fn bind_beside(
    cx: &mut Checker<'_>,
    spec: &Arc<Spec>,
    expr: ExprId,
    want: DeclKind,
    beside: &str,
) -> Option<(Call, Option<ExprId>)> {
    let ExprKind::Call { callee, args } = &spec[expr].kind else {
        return bind(cx, spec, expr, want).map(|call| (call, None));
    };
    let is_it = |arg: &Arg| arg.name.as_ref().is_some_and(|n| n.text == beside);
    let declares = |name: &str| {
        word(spec, *callee).is_some_and(|callee| cx.library.declares(spec, callee, want, name))
    };
    let Some(extra) = args.iter().find(|a| is_it(a) && declares("to") && !declares(beside)) else {
        return bind(cx, spec, expr, want).map(|call| (call, None));
    };
    let extra = extra.value;
    let mut without = Spec::clone(spec);
    let kept: Vec<Arg> = args.iter().filter(|a| !is_it(a)).cloned().collect();
    without.exprs[expr.0 as usize].kind = ExprKind::Call { callee: *callee, args: kept };
    bind(cx, &Arc::new(without), expr, want).map(|call| (call, Some(extra)))
}

/// Binds a declaration of the standard library with these arguments in place of its defaults.
pub(super) fn bind_default(
    cx: &mut Checker<'_>,
    name: &str,
    args: &[(&str, f64)],
    span: Span,
) -> Option<Call> {
    match cx.library.bind_defaults(name, span) {
        Ok(mut call) => {
            for (arg, value) in args {
                if let Some(slot) = call.args.iter_mut().find(|(n, _)| n == arg) {
                    slot.1 = StaticArg::Real(*value);
                }
            }
            Some(call)
        }
        Err(diagnostics) => {
            cx.report_all(diagnostics);
            None
        }
    }
}

impl Call {
    /// The value of an argument.
    pub fn arg(&self, name: &str) -> Option<&StaticArg> {
        self.args.iter().find(|(n, _)| n == name).map(|(_, value)| value)
    }

    /// A whole number above 0 that an argument has.
    pub(super) fn count(&self, name: &str) -> Option<u64> {
        match self.arg(name)? {
            StaticArg::Int(n) => u64::try_from(*n).ok().filter(|n| *n > 0),
            StaticArg::Real(_)
            | StaticArg::Bool(_)
            | StaticArg::Str(_)
            | StaticArg::None
            | StaticArg::Module(_)
            | StaticArg::Unknown => None,
        }
    }

    /// A number that an argument has.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        match self.arg(name)? {
            StaticArg::Int(n) => Some(*n as f64),
            StaticArg::Real(x) => Some(*x),
            StaticArg::Bool(_)
            | StaticArg::Str(_)
            | StaticArg::None
            | StaticArg::Module(_)
            | StaticArg::Unknown => None,
        }
    }
}

/// Whether the model has a row for every id of the data.
pub(super) fn vocab_fits(cx: &mut Checker<'_>, program: &Program) -> bool {
    let Some(rows) = program.model.count("vocab").filter(|rows| *rows < program.vocab) else {
        return true;
    };
    let ids = program.vocab;
    let wrong = format!("data ids go to {} but the embedding has {rows} rows", ids - 1);
    cx.report(
        Diagnostic::new(Code::E0701, program.model.span, wrong)
            .primary(format!("`vocab` is {rows}"))
            .label(program.data.span, format!("{ids} different ids"))
            .help("write `vocab: data.vocab`"),
    );
    false
}

/// A model returns one number for each id at each position, or for each label.
pub(super) fn check_output(cx: &mut Checker<'_>, program: &Program, found: Option<&Type>) {
    let train = &program.train;
    let front = program.target_shape(train.micro_batch, train.context);
    let is_real = found.is_some_and(|ty| matches!(ty.elem, Elem::Real | Elem::Fp32));
    let shape = found.map_or(&[][..], |ty| &ty.shape);
    let fits = is_real && shape.split_last().is_some_and(|(_, first)| first == front);
    if !fits {
        return cx.report(wrong_output(program, shape));
    }
    let rows = shape.last().copied().unwrap_or_default();
    let at = program.model.span;
    if let (Task::Classes { .. }, Some(classes)) = (program.data.task, program.classes) {
        if rows != classes {
            let wrong =
                format!("the data has {classes} labels but the model returns {rows} numbers");
            cx.report(
                Diagnostic::new(Code::E0701, at, wrong)
                    .primary(format!("returns {rows} numbers for each row"))
                    .label(program.data.span, format!("{classes} different labels"))
                    .help("write `classes: data.classes`"),
            );
        }
    } else if rows < program.vocab {
        let ids = program.vocab;
        let wrong = format!("data ids go to {} but the model returns {rows} numbers", ids - 1);
        cx.report(
            Diagnostic::new(Code::E0701, at, wrong)
                .primary(format!("returns {rows} numbers at each position"))
                .label(program.data.span, format!("{ids} different ids"))
                .help("return one number for each token of the vocabulary: `[b, t, vocab]`"),
        );
    }
}

/// A model of another task than that of the data.
fn wrong_output(program: &Program, shape: &[u64]) -> Diagnostic {
    let axes: Vec<String> = shape.iter().map(u64::to_string).collect();
    let returns = format!("returns `[{}]` for ids `[b, t]`", axes.join(", "));
    let at = program.model.span;
    if matches!(program.data.task, Task::Classes { .. }) {
        return Diagnostic::new(
            Code::E0402,
            at,
            "the model does not return one number for each label",
        )
        .primary(returns)
        .label(program.data.span, "rows have labels")
        .help("return `[b, classes]`, as `classifier` does");
    }
    let wrong = "the model does not return one number for each id at each position";
    let wrong = Diagnostic::new(Code::E0402, at, wrong).primary(returns);
    match shape {
        [_, _] => wrong
            .label(program.data.span, "names no label")
            .help("name the labels, or take a model that returns `[b, t, vocab]`"),
        _ => wrong.help("return one number for each token of the vocabulary: `[b, t, vocab]`"),
    }
}

/// E0706: attention that sees only what came before has no use of hidden tokens behind it.
pub(super) fn check_sight(cx: &mut Checker<'_>, program: &Program, model: &Trace) {
    if !matches!(program.data.task, Task::Masked { .. }) {
        return;
    }
    let is_causal = |a: &crate::trace::attention::Attention| a.is_causal;
    if model.attentions().iter().flatten().any(is_causal) {
        cx.report(
            Diagnostic::new(
                Code::E0706,
                program.model.span,
                "`mask` hides tokens for a model that sees both sides of them",
            )
            .primary("its attention is causal: it sees only what came before")
            .label(program.data.span, "hides tokens")
            .help("take a model without a causal mask, such as `encoder`, or remove `mask`"),
        );
    }
}
