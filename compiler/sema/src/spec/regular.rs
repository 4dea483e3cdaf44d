//! Regularisation that becomes an argument: dropout and label smoothing.

use diag::{Code, Diagnostic};

use super::Checker;
use super::args::Given;
use super::bind::Model;
use super::lines::{Line, Lines};
use crate::program::Call;
use crate::value::StaticArg;

/// The argument of models that `dropout` stands for.
pub(super) const DROP: &str = "drop";

/// `dropout x`: the model's own `drop`, in place of what its call or its default says.
pub(super) fn dropout(cx: &mut Checker<'_>, lines: &Lines<'_>, model: Option<&mut Model>) {
    let (Some(line), Some(model)) = (lines.get("dropout"), model) else { return };
    let Some(share) = line.value().and_then(Given::real) else { return };
    if share == 1.0 {
        let wrong = "`dropout` must be below 1, found 1";
        return cx.report(Diagnostic::new(Code::E0302, line.span, wrong));
    }
    let call = &mut model.call;
    if let Some(slot) = call.args.iter_mut().find(|(name, _)| name == DROP) {
        slot.1 = StaticArg::Real(share);
        return;
    }
    cx.report(
        Diagnostic::new(
            Code::E0305,
            line.span,
            format!("`{}` has no argument `{DROP}`", call.name),
        )
        .primary("`dropout` sets it")
        .label(call.span, "the model")
        .note(format!("it {}", takes(call)))
        .help(format!("give the layer `{DROP}: prob = 0`, or remove the line")),
    );
}

/// `label_smoothing x`: the argument of the loss.
pub(super) fn label_smoothing(cx: &mut Checker<'_>, lines: &Lines<'_>, loss: Option<&mut Call>) {
    let (Some(line), Some(loss)) = (lines.get("label_smoothing"), loss) else { return };
    let Some(share) = line.value().and_then(Given::real) else { return };
    let name = "label_smoothing";
    if share == 1.0 {
        let wrong = format!("`{name}` must be below 1, found 1");
        let wrong = Diagnostic::new(Code::E0302, line.span, wrong)
            .primary("nothing would be left of the target")
            .help(format!("a usual share is `{name} 0.1`"));
        return cx.report(wrong);
    }
    if loss.written.iter().any(|w| w == name) {
        return cx.report(twice(line, loss));
    }
    if let Some(slot) = loss.args.iter_mut().find(|(arg, _)| arg == name) {
        slot.1 = StaticArg::Real(share);
        return;
    }
    cx.report(
        Diagnostic::new(
            Code::E0305,
            line.span,
            format!("`{}` has no argument `{name}`", loss.name),
        )
        .label(loss.span, "the loss")
        .note(format!("it {}", takes(loss)))
        .help("remove the line"),
    );
}

fn twice(line: &Line<'_>, loss: &Call) -> Diagnostic {
    Diagnostic::new(Code::E0205, line.span, "label smoothing is set twice")
        .label(loss.span, "set here too")
        .help("remove one")
}

/// The arguments of a call, in words.
fn takes(call: &Call) -> String {
    match call.args.as_slice() {
        [] => "takes no arguments".to_owned(),
        args => {
            let names: Vec<&str> = args.iter().map(|(name, _)| name.as_str()).collect();
            format!("takes {}", names.join(", "))
        }
    }
}
