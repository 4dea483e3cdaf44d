//! How diagnostics look: for people, for error matchers, and for programs.
//!
//! In: any list. Out: sorted by place, at most [`MAX_SHOWN`] and a count of the rest, every line
//! of source cut to what fits a screen, and no character that a terminal would obey.

mod github;
mod json;
mod sarif;
mod view;

use crate::{Diagnostic, Label, LabelStyle, Level, SourceMap};
use codespan_reporting::diagnostic as codespan;
use codespan_reporting::term::{self, Config, DisplayStyle, termcolor};
use view::View;

/// The form of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// With source lines.
    Human,
    /// With source lines and ANSI colours.
    HumanColour,
    /// One line each: `file:line:col: error[E0203]: message`.
    Short,
    /// One JSON object a line.
    Json,
    /// One SARIF log.
    Sarif,
    /// Commands of GitHub's workflows.
    GitHub,
}

/// Diagnostics shown in one go.
pub const MAX_SHOWN: usize = 100;

/// Longest piece of text that a diagnostic quotes, in characters.
const MAX_TEXT: usize = 400;

/// Renders `diags` in the order of their places.
pub fn render(map: &SourceMap, diags: &[Diagnostic], style: Style) -> String {
    let mut order: Vec<&Diagnostic> = diags.iter().collect();
    order.sort_by_key(|d| (d.span().file, d.span().start, d.code));
    let n_hidden = order.len().saturating_sub(MAX_SHOWN);
    order.truncate(MAX_SHOWN);
    match style {
        Style::Sarif => return sarif::log(map, &order, n_hidden) + "\n",
        Style::GitHub => return github::commands(map, &order, n_hidden),
        Style::Human | Style::HumanColour | Style::Short | Style::Json => {}
    }
    let mut out = String::new();
    for d in order {
        if style == Style::Json {
            out += &json::line(map, d, &one(map, d, Style::Human));
            out.push('\n');
        } else {
            out += &one(map, d, style);
        }
    }
    if n_hidden > 0 {
        let s = if n_hidden == 1 { "" } else { "s" };
        out += &if style == Style::Json {
            json::hidden(n_hidden)
        } else {
            format!("and {n_hidden} more diagnostic{s}")
        };
        out.push('\n');
    }
    out
}

/// One diagnostic through `codespan-reporting`.
fn one(map: &SourceMap, d: &Diagnostic, style: Style) -> String {
    let view = View::new(map, d);
    let severity = match d.level {
        Level::Error => codespan::Severity::Error,
        Level::Warning => codespan::Severity::Warning,
    };
    let labels = d.labels.iter().map(|label| codespan_label(&view, label)).collect();
    let notes = d.notes.iter().map(|n| format!("note: {}", clean(n)));
    let help = d.help.iter().map(|h| format!("help: {}", clean(h)));
    let shown = codespan::Diagnostic::new(severity)
        .with_code(d.code.name())
        .with_message(clean(&d.message))
        .with_labels(labels)
        .with_notes(notes.chain(help).collect());
    let display_style =
        if style == Style::Short { DisplayStyle::Short } else { DisplayStyle::Rich };
    let config = Config { display_style, ..Config::default() };
    let mut buffer = if style == Style::HumanColour {
        termcolor::Buffer::ansi()
    } else {
        termcolor::Buffer::no_color()
    };
    term::emit_to_write_style(&mut buffer, &config, &view, &shown)
        .expect("the view holds every line that a label names, and memory takes every write");
    String::from_utf8_lossy(buffer.as_slice()).into_owned()
}

fn codespan_label(view: &View<'_>, label: &Label) -> codespan::Label<usize> {
    let (file, range) = view.place(label.span);
    let style = match label.style {
        LabelStyle::Primary => codespan::LabelStyle::Primary,
        LabelStyle::Secondary => codespan::LabelStyle::Secondary,
    };
    codespan::Label::new(style, file, range).with_message(clean(&label.message))
}

/// Text with what a terminal would obey replaced, cut to a bearable length.
fn clean(text: &str) -> String {
    let mut out: String = text.chars().take(MAX_TEXT).map(view::visible).collect();
    if text.chars().nth(MAX_TEXT).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests;
