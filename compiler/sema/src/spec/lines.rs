//! The lines of a block: each becomes a directive with typed arguments.
//!
//! A line of the command line replaces the block's; an option set there replaces that option.

use std::sync::Arc;

use diag::{Code, Diagnostic, Span};
use syntax::ast::{ExprId, ExprKind, Ident, Node, Spec, StmtId, StmtKind};

use super::Checker;
use super::allow::{ALLOW, is_allow, whole_lines};
use super::args::{Given, Item, Reader};
use super::file::{BlockNode, n_further_in};
use super::foreign::{self, Written, unknown};
use super::habits::{block_of_options, comma_at_the_end, numbered_device, once};
use super::input::words_of;
use super::overrides::Override;
use super::shares;
use super::words::{clipped, has_comment, hyphenated, not_built, spaced_call, thousands, word};
use crate::schema::{Directive, Home, Kind, Status, accumulates};

/// Who wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Spec,
    /// A `--set`, all of it: the line itself may be the spec's.
    CommandLine(Span),
    /// Another block, which that place says to be like.
    Like(Span),
}

/// A directive and its arguments.
#[derive(Debug, Clone)]
pub(super) struct Line<'a> {
    pub(super) directive: &'static Directive,
    /// The tree its expressions are in.
    pub(super) spec: &'a Arc<Spec>,
    /// The whole line.
    pub(super) span: Span,
    /// One for each part between commas; at least one.
    pub(super) items: Vec<Item>,
    pub(super) origin: Origin,
}

impl Line<'_> {
    /// The positional value.
    pub(super) fn value(&self) -> Option<&Given> {
        self.items[0].value.as_ref()
    }

    pub(super) fn lead(&self) -> Option<&'static str> {
        self.items[0].lead
    }

    pub(super) fn flag(&self) -> Option<&'static str> {
        self.items[0].flag.map(|(word, _)| word)
    }

    pub(super) fn option(&self, name: &str) -> Option<&Given> {
        self.items[0].option(name)
    }
}

/// All lines of a block.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    pub(super) lines: Vec<Line<'a>>,
    /// Directives that stand there but could not be read.
    broken: Vec<&'static str>,
    /// Whether what it is like is not there, or a line of it could not be read, so that any
    /// directive may only be missing because of that.
    is_cut_off: bool,
    /// The name of the block.
    pub(super) job: Option<String>,
    /// Whether a line says, in some tool's words, how many micro-batches make a step.
    accumulates: bool,
    /// Directives that stand there, or will when the edits so far are made.
    taken: Vec<&'static str>,
}

impl<'a> Lines<'a> {
    /// Takes over the directives that are not there yet.
    fn add_missing(&mut self, from: Lines<'a>, said: Span) {
        let stands = |lines: &Self, name: &str| lines.is_broken(name) || lines.get(name).is_some();
        let new: Vec<Line<'a>> =
            from.lines.into_iter().filter(|l| !stands(self, l.directive.name)).collect();
        let broken = from.broken.into_iter().filter(|name| !stands(self, name));
        let broken: Vec<&'static str> = broken.collect();
        self.broken.extend(broken);
        let origin = Origin::Like(said);
        self.lines.extend(new.into_iter().map(|line| Line { origin, ..line }));
        self.is_cut_off |= from.is_cut_off;
    }

    /// The line of a directive.
    pub(super) fn get(&self, name: &str) -> Option<&Line<'a>> {
        self.lines.iter().find(|l| l.directive.name == name)
    }

    /// All lines of a directive that may repeat.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &Line<'a>> {
        self.lines.iter().filter(move |l| l.directive.name == name)
    }

    /// Whether a directive stands there but is wrong, which is already reported.
    pub(super) fn is_broken(&self, name: &str) -> bool {
        self.is_cut_off || self.broken.contains(&name)
    }
}

/// Reads the lines of a block whose directives are those of `home`.
pub(super) fn read<'a>(
    cx: &mut Checker<'a>,
    block: &BlockNode,
    home: Home,
    overrides: &'a [Override],
) -> Lines<'a> {
    let mut lines = cx.within(block.unit, |cx| own(cx, block, home));
    let mut at = block.like.as_ref().map(|(_, at)| *at);
    let (sources, ends_well) = cx.likes(block, home);
    lines.is_cut_off |= !ends_well;
    for source in sources {
        let Some(said) = at else { break };
        let copied = cx.within(source.unit, |cx| own(cx, &source, home));
        lines.add_missing(copied, said);
        at = source.like.as_ref().map(|(_, at)| *at);
    }
    for set in overrides {
        if let Some(rest) = set.within(home, block, &cx.block_names) {
            apply(cx, set, rest, home, &mut lines);
        }
    }
    lines
}

/// The lines that stand in a block.
fn own<'a>(cx: &mut Checker<'a>, block: &BlockNode, home: Home) -> Lines<'a> {
    let spec = cx.spec;
    let mut first_words = block.stmts.iter().filter_map(|&id| match &spec[id].kind {
        StmtKind::Node(node) => word(spec, node.groups[0][0]),
        StmtKind::Use { .. } | StmtKind::Decl(_) | StmtKind::For { .. } | StmtKind::Error => None,
    });
    let accumulates = first_words.any(accumulates);
    let words = block.stmts.iter().filter_map(|&id| match &spec[id].kind {
        StmtKind::Node(node) => named(spec, node.groups[0][0], home),
        StmtKind::Use { .. } | StmtKind::Decl(_) | StmtKind::For { .. } | StmtKind::Error => None,
    });
    let taken = words.filter_map(|name| home.find(&name)).map(|d| d.name).collect();
    let job = block.name.as_ref().map(|(name, _)| name.clone());
    let is_cut_off = block.is_cut_off;
    let mut lines = Lines { lines: vec![], broken: vec![], accumulates, taken, is_cut_off, job };
    let mut seen: Vec<(&'static str, Span)> = vec![];
    let mut rest = block.stmts.as_slice();
    while let Some((&id, after)) = rest.split_first() {
        read_stmt(cx, id, spec, home, &mut lines, &mut seen);
        rest = match &spec[id].kind {
            // They may be options of what could not be read.
            StmtKind::Error => &after[n_further_in(cx, spec[id].span, after)..],
            StmtKind::Node(_) | StmtKind::Decl(_) | StmtKind::For { .. } | StmtKind::Use { .. } => {
                after
            }
        };
    }
    lines
}

fn read_stmt<'a>(
    cx: &mut Checker<'a>,
    id: StmtId,
    spec: &'a Arc<Spec>,
    home: Home,
    lines: &mut Lines<'a>,
    seen: &mut Vec<(&'static str, Span)>,
) {
    let stmt = &spec[id];
    match &stmt.kind {
        StmtKind::Node(node) if is_allow(spec, node) => {}
        StmtKind::Node(node) if let Some(wrong) = comma_at_the_end(cx, spec, node, home) => {
            // The lines behind it are taken for values of this one.
            lines.is_cut_off = true;
            cx.report(wrong);
        }
        StmtKind::Node(node) => {
            let Some((directive, words)) = directive_of(cx, node, spec, home, lines) else {
                return;
            };
            let at = spec[node.groups[0][0]].span;
            if let Some((_, first)) = seen.iter().find(|(n, _)| *n == directive.name)
                && !directive.repeats
            {
                let (name, block) = (directive.name, home.word());
                let wrong = format!("`{name}` is set twice in `{block}`");
                cx.report(
                    Diagnostic::new(Code::E0205, at, wrong)
                        .label(*first, "set here first")
                        .help("remove one; the later does not win"),
                );
                return;
            }
            seen.push((directive.name, at));
            if let Some(spaced) = spaced_call(spec, cx.map, &words) {
                lines.broken.push(directive.name);
                return cx.report(spaced);
            }
            read_line(cx, node, &words, spec, home, directive, stmt.span, Origin::Spec, lines);
        }
        StmtKind::Decl(decl) => cx.report(
            Diagnostic::new(Code::E0206, decl.name.span, "declarations stand at file level")
                .primary(format!("inside a `{}` block", home.word()))
                .help("move it out of the block"),
        ),
        StmtKind::For { .. } | StmtKind::Use { .. } => cx.report(Diagnostic::new(
            Code::E0210,
            stmt.span,
            "this has no effect in a block of directives",
        )),
        StmtKind::Error => lines.is_cut_off = true,
    }
}

/// The word that a line starts with, also in quotes or with hyphens.
fn named(spec: &Spec, first: ExprId, home: Home) -> Option<String> {
    let word = word(spec, first).map(str::to_owned);
    word.or_else(|| hyphenated(spec, first)).or_else(|| foreign::quoted(spec, first, home))
}

/// The directive a line starts with, and the words after it.
fn directive_of(
    cx: &mut Checker<'_>,
    node: &Node,
    spec: &Spec,
    home: Home,
    lines: &mut Lines<'_>,
) -> Option<(&'static Directive, Vec<ExprId>)> {
    let first = node.groups[0][0];
    let at = spec[first].span;
    let Some(text) = named(spec, first, home) else {
        lines.broken.extend(no_directive(cx, spec, first, home));
        return None;
    };
    let Some(directive) = home.find(&text) else {
        let value = foreign::value_of(node, spec);
        let written = Written {
            value: value.map(|e| cx.map.text(spec[e].span)),
            span: value.map_or(at, |e| at.to(spec[e].span)),
            line: whole_lines(cx.map, value.map_or(at, |e| at.to(spec[e].span))),
            accumulates: lines.accumulates,
        };
        // What it stands for is there, in other words: that it is missing is not said as well.
        lines.broken.extend(foreign::meant(&text, home));
        let wrong = unknown(&text, at, home, written);
        cx.report(once(wrong, home, &mut lines.taken));
        return None;
    };
    let is_quoted = matches!(spec[first].kind, ExprKind::Str(_));
    let mut words = node.groups[0][1..].to_vec();
    if let Some(value) = node.ty.or(node.value) {
        let sign = if node.ty.is_some() { ":" } else { "=" };
        let last = node.groups[0].last().map_or(at, |&e| spec[e].span);
        let gap = Span { start: last.end, end: spec[value].span.start, file: at.file };
        let line = cx.map.text(at.to(spec[value].span));
        if let Some(wrong) = numbered_device(line, gap.to(spec[value].span)) {
            cx.report(wrong);
            return Some((directive, words));
        }
        let written = cx.map.text(at.to(last)).trim_start_matches('"').replacen('"', "", 1);
        let line = format!("{} {}", clipped(&written), clipped(cx.map.text(spec[value].span)));
        let help = format!("write `{line}`");
        cx.report(if is_quoted && words.is_empty() {
            let wrong = format!("directives are not quoted and take no `{sign}`");
            Diagnostic::new(Code::E0204, at, wrong).fix(help, at.to(gap), format!("{text} "))
        } else {
            let wrong = format!("directives take no `{sign}`");
            Diagnostic::new(Code::E0204, gap, wrong).fix(help, gap, " ")
        });
        words.push(value);
    } else if is_quoted {
        let wrong = Diagnostic::new(Code::E0204, at, "directives are not quoted");
        cx.report(wrong.fix(format!("write `{text}`"), at, text.clone()));
    }
    if let Some(block) = &node.block {
        cx.report(block_of_options(cx, spec, node, block, directive));
    }
    Some((directive, words))
}

/// A line that starts with something that is no word; the directive that is meant.
fn no_directive(
    cx: &mut Checker<'_>,
    spec: &Spec,
    first: ExprId,
    home: Home,
) -> Option<&'static str> {
    let at = spec[first].span;
    if let ExprKind::Call { callee, args } = &spec[first].kind
        && let Some(directive) = word(spec, *callee).and_then(|n| home.find(n))
    {
        let values = args.iter().map(|arg| {
            let value = cx.map.text(spec[arg.value].span);
            arg.name.as_ref().map_or(value.to_owned(), |name| format!("{} {value}", name.text))
        });
        let values = values.collect::<Vec<_>>().join(if directive.list { ", " } else { " " });
        let line = format!("{} {values}", directive.name);
        let wrong = format!("`{}` is a directive, not a function", directive.name);
        let wrong = Diagnostic::new(Code::E0204, at, wrong);
        let help = format!("write `{}`", clipped(&line));
        cx.report(match values.is_empty() || has_comment(cx.map, at) {
            true => wrong.help(help),
            false => wrong.fix(help, at, line),
        });
        return Some(directive.name);
    }
    cx.report(
        Diagnostic::new(Code::E0210, at, "this value is not used")
            .primary(format!("a line of `{}` starts with a directive", home.word())),
    );
    None
}

#[expect(clippy::too_many_arguments, reason = "what a line is made of")]
fn read_line<'a>(
    cx: &mut Checker<'a>,
    node: &Node,
    words: &[ExprId],
    spec: &'a Arc<Spec>,
    home: Home,
    directive: &'static Directive,
    span: Span,
    origin: Origin,
    lines: &mut Lines<'a>,
) {
    let at = spec[node.groups[0][0]].span;
    if directive.status == Status::NotYet && directive.is_open() {
        cx.report(not_built(directive.name, at).help("remove the line"));
        lines.broken.push(directive.name);
        return;
    }
    let mut groups = vec![words];
    if directive.list {
        groups.extend(node.groups[1..].iter().map(Vec::as_slice));
    } else if let Some(&extra) = node.groups.get(1).and_then(|g| g.first()) {
        let wrong = format!("`{}` takes one value, found a list", directive.name);
        let wrong = Diagnostic::new(Code::E0301, spec[extra].span, wrong).primary("after a comma");
        // Of a number that need not be whole the comma may be a point.
        let counts = directive
            .forms
            .iter()
            .any(|form| matches!(form.value, Some(Kind::Count { .. } | Kind::Span | Kind::Steps)));
        cx.report(match with_commas(cx, spec, node).filter(|_| counts) {
            Some((number, span)) => wrong.fix("numbers have no commas", span, number),
            None => wrong,
        });
        lines.broken.push(directive.name);
        return;
    }
    if let Some(wrong) = shares::reworded(cx.map, spec, directive, &groups) {
        lines.broken.push(directive.name);
        return cx.report(wrong);
    }
    let mut reader = Reader { cx, spec, home, directive, swallowed: vec![] };
    let items: Vec<_> = groups.into_iter().map(|group| reader.item(group, at)).collect();
    lines.broken.append(&mut reader.swallowed);
    match items.into_iter().collect::<Option<Vec<_>>>() {
        // What stands there is right, but nothing does it yet.
        Some(_) if directive.status == Status::NotYet => {
            cx.report(not_built(directive.name, at).help("remove the line"));
            lines.broken.push(directive.name);
        }
        Some(items) => lines.lines.push(Line { directive, spec, span, items, origin }),
        None => lines.broken.push(directive.name),
    }
}

/// A number whose thousands are set off with commas, without them, and where it stands.
fn with_commas(cx: &Checker<'_>, spec: &Spec, node: &Node) -> Option<(String, Span)> {
    let mut parts = vec![*node.groups[0].last()?];
    for group in &node.groups[1..] {
        let [part] = group.as_slice() else { return None };
        parts.push(*part);
    }
    thousands(cx.map, spec, &parts)
}

/// Puts what the command line sets in the place of what the block says.
fn apply<'a>(
    cx: &mut Checker<'a>,
    set: &'a Override,
    rest: &[Ident],
    home: Home,
    lines: &mut Lines<'a>,
) {
    let (Some(name), Some(node)) = (rest.first(), set.node()) else {
        return;
    };
    // Unknown paths are reported once, for all blocks.
    let Some(directive) = home.find(&name.text) else {
        return;
    };
    if directive.name == ALLOW {
        let wrong = Diagnostic::new(Code::E0216, name.span, "`allow` needs a place in a spec");
        return cx.report(wrong.help("the command line has `--allow W0512`"));
    }
    let origin = Origin::CommandLine(set.span);
    let path: Vec<&str> = set.path.iter().map(|word| word.text.as_str()).collect();
    let path = path.join(".");
    let Some(words) = words_of(cx, &set.spec, (&format!("--set {path}"), set.span)) else {
        lines.broken.push(directive.name);
        return;
    };
    let Some(option) = rest.get(1) else {
        lines.lines.retain(|l| l.directive.name != directive.name);
        lines.broken.retain(|n| *n != directive.name);
        read_line(cx, node, words, &set.spec, home, directive, set.span, origin, lines);
        return;
    };
    if directive.status == Status::NotYet {
        return cx.report(not_built(directive.name, name.span).help("remove it"));
    }
    let Some(opt) = directive.options.iter().find(|o| o.word == option.text) else {
        return;
    };
    if let Some(wrong) = no_single_line(set, directive, (&path, option), lines) {
        lines.broken.push(directive.name);
        return cx.report(wrong);
    }
    let mut reader = Reader { cx, spec: &set.spec, home, directive, swallowed: vec![] };
    let Some(item) = reader.option_only(&node.groups) else {
        lines.broken.push(directive.name);
        return;
    };
    match lines.lines.iter_mut().find(|l| l.directive.name == directive.name) {
        Some(line) => {
            line.items[0].options.retain(|(n, _)| *n != opt.word);
            line.items[0].options.extend(item.options);
            line.origin = origin;
        }
        None => lines.lines.push(Line {
            directive,
            spec: &set.spec,
            span: set.span,
            items: vec![item],
            origin,
        }),
    }
}

/// Why an option has no line to go to: there are several, or none and the option needs one.
fn no_single_line(
    set: &Override,
    directive: &Directive,
    (path, option): (&str, &Ident),
    lines: &Lines<'_>,
) -> Option<Diagnostic> {
    let name = directive.name;
    let line = path.strip_suffix(&format!(".{}", option.text)).unwrap_or(path);
    match lines.all(name).count() {
        0 if lines.is_broken(name) => None,
        0 => {
            let refines_default = directive.default != "none" && !directive.list;
            let stands_alone = directive.bare || directive.forms.is_empty();
            if stands_alone || refines_default && !directive.repeats {
                return None;
            }
            let wrong = format!("`{name}` is not set, so it has no `{}`", option.text);
            let help = format!("write all of it: `--set {line}=..`");
            Some(Diagnostic::new(Code::E0209, set.span, wrong).help(help))
        }
        1 => None,
        n => {
            let wrong = format!("`{path}` may mean any of {n} lines `{name}`");
            let help = format!("`--set {line}=..` replaces all of them");
            Some(Diagnostic::new(Code::E0211, set.span, wrong).help(help))
        }
    }
}
