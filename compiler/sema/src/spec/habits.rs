//! Lines as other tools have them.
//!
//! Options in braces, commas at the ends of lines, numbers of devices, one setting in two lines.

use diag::{Code, Diagnostic, Edit, Span};
use syntax::ast::{Block, ExprId, Node, Spec, StmtId, StmtKind};

use super::Checker;
use super::words::{clipped, has_comment, word};
use crate::schema::{Directive, Home};

/// A word that is said in ours: only advice where that would say a directive twice.
pub(super) fn once(mut wrong: Diagnostic, home: Home, taken: &mut Vec<&'static str>) -> Diagnostic {
    let edit = wrong.fixes.first().map(|fix| &fix.edits[0]);
    let becomes = edit.and_then(|edit| home.find(edit.text.split(' ').next()?));
    match becomes.filter(|directive| !directive.repeats).map(|directive| directive.name) {
        Some(name) if taken.contains(&name) => {
            wrong.fixes.clear();
            wrong.note(format!("`{name}` stands there already: make one line of both"))
        }
        Some(name) => {
            taken.push(name);
            wrong
        }
        None => wrong,
    }
}

/// The line that is meant by options in a block behind their directive: `eval { every 10 }`.
pub(super) fn block_of_options(
    cx: &Checker<'_>,
    spec: &Spec,
    node: &Node,
    block: &Block,
    directive: &Directive,
) -> Diagnostic {
    let name = directive.name;
    let wrong = Diagnostic::new(Code::E0301, block.span, format!("`{name}` takes no block"));
    let option = |&id: &StmtId| {
        let StmtKind::Node(node) = &spec[id].kind else { return None };
        let first = word(spec, node.groups[0][0])?;
        let last = spec[*node.groups[0].last()?].span;
        let is_one = node.block.is_none()
            && node.groups.len() == 1
            && directive.option_words().any(|option| option == first);
        let text = cx.map.text(spec[id].span);
        let Some(value) = node.ty.or(node.value) else { return is_one.then(|| text.to_owned()) };
        let head = cx.map.text(Span { end: last.end, ..spec[id].span });
        let value = cx.map.text(Span { start: spec[value].span.start, ..spec[id].span });
        is_one.then(|| format!("{head} {value}"))
    };
    let options: Option<Vec<String>> = block.stmts.iter().map(option).collect();
    let last = node.ty.or(node.value).or_else(|| node.groups.last()?.last().copied());
    match (options.filter(|_| !has_comment(cx.map, block.span)), last.map(|e| spec[e].span)) {
        (Some(options), Some(last)) if !options.is_empty() => {
            let options = format!(" {}", options.join(" "));
            let before = cx.map.text(spec[node.groups[0][0]].span.to(last));
            let help = format!(
                "options stand in the line: `{}`",
                clipped(&(before.to_owned() + &options))
            );
            wrong.fix(help, Span { start: last.end, ..block.span }, options)
        }
        (Some(_) | None, _) => wrong.help("remove the braces"),
    }
}

/// `device cuda:0` or `cpu:0`, as PyTorch numbers its devices.
pub(super) fn numbered_device(line: &str, number: Span) -> Option<Diagnostic> {
    let (device, index) = line.strip_prefix("device ")?.split_once(':')?;
    let index: u32 = index.trim().parse().ok()?;
    let wrong = Diagnostic::new(Code::E0204, number, "a device has no number");
    Some(match (device, index) {
        ("cpu", _) => wrong.fix("write `device cpu`", number, ""),
        ("cuda", 0) => wrong.fix("write `device cuda`: the first GPU", number, ""),
        ("cuda", _) => wrong.help(format!(
            "write `device cuda`, and run with `CUDA_VISIBLE_DEVICES={index}` in the environment"
        )),
        (_, _) => return None,
    })
}

/// Lines that end with commas, as those of JSON do, so that the next lines are read as values.
pub(super) fn comma_at_the_end(
    cx: &Checker<'_>,
    spec: &Spec,
    node: &Node,
    home: Home,
) -> Option<Diagnostic> {
    let name = word(spec, node.groups[0][0])?;
    let is_list = home.find(name).is_some_and(|directive| directive.list);
    // A list goes on in the next line: with one of its words, with the name of data.
    let is_line = |group: &[ExprId]| {
        let first = word(spec, group[0]).filter(|name| cx.block_names.iter().all(|n| n != name));
        let found = first.and_then(|name| home.find(name));
        found.is_some_and(|directive| group.len() > 1 || directive.bare)
    };
    let mut edits = vec![];
    for pair in node.groups.windows(2) {
        let (last, first) = (spec[*pair[0].last()?].span, spec[pair[1][0]].span);
        let gap = Span { start: last.end, end: first.start, ..last };
        let text = cx.map.text(gap);
        let comma = text.find(',').map(|at| gap.start + at as u32);
        let is_new = text.contains('\n');
        if let Some(comma) = comma.filter(|_| is_line(&pair[1]) || is_new && !is_list) {
            let span = Span { start: comma, end: comma + 1, ..gap };
            edits.push(Edit { span, text: if is_new { "" } else { ";" }.to_owned() });
        }
    }
    let first = edits.first()?.span;
    let wrong = Diagnostic::new(Code::E0102, first, "a comma does not end a line");
    let wrong = wrong.primary(format!("`{name}` goes on behind it"));
    Some(wrong.fix_all("lines end without a sign, or by `;`", edits))
}
