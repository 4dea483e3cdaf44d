//! Words that are no directive: misspelt, or of another block or tool.

use diag::{Code, Diagnostic, Span};
use syntax::ast::{ExprId, ExprKind, Node, Spec, StrPart};

use super::words::{clipped, did_you_mean};
use crate::schema::{Home, Means, foreign, foreign_value, near_foreign, nearest};

/// The value after a word, for edits that carry it over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written<'a> {
    /// Its text, when it is a single value.
    pub(super) value: Option<&'a str>,
    /// From the word to the end of the value.
    pub(super) span: Span,
    /// The same with the rest of its line, where there is nothing else on it.
    pub(super) line: Span,
    /// Whether the block says how many micro-batches make a step.
    pub(super) accumulates: bool,
}

/// The only value of a line, however it is joined to the first word.
pub(super) fn value_of(node: &Node, spec: &Spec) -> Option<ExprId> {
    let joined = [node.ty, node.value];
    let mut values =
        node.groups.iter().flatten().skip(1).copied().chain(joined.into_iter().flatten());
    let only = values.next().filter(|&e| !spec[e].span.range().is_empty())?;
    values.next().is_none().then_some(only)
}

/// The word in quotes, as JSON has it, when it is one of a tool's or ours.
pub(super) fn quoted(spec: &Spec, first: ExprId, home: Home) -> Option<String> {
    let ExprKind::Str(text) = &spec[first].kind else { return None };
    let [StrPart::Text(text)] = text.parts.as_slice() else { return None };
    (home.find(text).is_some() || foreign(text).is_some()).then(|| text.clone())
}

/// A word that is no directive of this block.
pub(super) fn unknown(text: &str, at: Span, home: Home, written: Written<'_>) -> Diagnostic {
    let block = home.word();
    let other = home.other();
    if other.find(text).is_some() {
        let there = other.word();
        return Diagnostic::new(Code::E0206, at, format!("`{text}` belongs to a `{there}` block"))
            .primary(format!("inside `{block}`"))
            .help(format!("move it to `{there}`"));
    }
    let wrong =
        Diagnostic::new(Code::E0203, at, format!("unknown directive `{text}` in `{block}`"))
            .primary(format!("not a `{block}` directive"));
    let underscored = text.replace('-', "_").to_ascii_lowercase();
    let names: Vec<_> = home.directives().iter().map(|d| d.name).collect();
    if let Some(same) = names.iter().find(|n| **n == underscored) {
        return wrong.fix(format!("did you mean `{same}`?"), at, *same);
    }
    if let Some(means) = foreign(text) {
        return translated(wrong, text, at, home, means, written);
    }
    match nearest(text, names.iter().copied()) {
        Some(near) => did_you_mean(wrong, text, at, &[near]),
        None if let Some((theirs, ours)) = slip(text, home) => {
            wrong.help(format!("did you mean `{theirs}`? Here that is `{ours}`"))
        }
        None => {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            wrong.help(format!("a `{block}` block has {}", names.join(", ")))
        }
    }
}

/// A misspelt word of another tool, and the directive for it.
fn slip(text: &str, home: Home) -> Option<(&'static str, &'static str)> {
    let theirs = near_foreign(text)?;
    let ours = foreign(theirs)?.directive()?;
    home.find(ours).is_some().then_some((theirs, ours))
}

/// Says a line of another tool in ours, with the edit where it is certain.
fn translated(
    wrong: Diagnostic,
    text: &str,
    at: Span,
    home: Home,
    means: Means,
    written: Written<'_>,
) -> Diagnostic {
    let bare = written.value.map(|v| unquoted(v).to_owned());
    let line = match means {
        Means::Without(why) => {
            let wrong = wrong.note(why);
            return match written.value {
                Some(_) => wrong.fix("remove the line", written.line, ""),
                None => wrong.help("remove the line"),
            };
        }
        Means::Argument(argument) => {
            let value = written.value.map_or_else(|| "..".to_owned(), clipped);
            let call = format!("`model gpt({argument}: {value}, ..)`");
            return wrong.help(format!("it is an argument of the model: {call}"));
        }
        Means::Advice(advice) => {
            let value = written.value.map_or_else(|| "..".to_owned(), clipped);
            return wrong.help(advice.replace("{}", &value));
        }
        Means::Under("batch") if written.accumulates => {
            let wrong = wrong.note(format!(
                "`{text}` of a tool that accumulates is a micro-batch; `batch` is all of a step"
            ));
            return put(wrong, text, at, home, "micro_batch", written, bare.as_deref());
        }
        Means::Under(ours) => return put(wrong, text, at, home, ours, written, bare.as_deref()),
        Means::Put(line) => bare.as_deref().map(|v| line.replace("{}", v)).ok_or(line),
        Means::Off(ours) => match bare.as_deref() {
            Some(v) if number(v) == Some(0.0) || is_none(v) => Ok(format!("{ours} none")),
            value => return put(wrong, text, at, home, ours, written, value),
        },
        Means::Percent(ours) => match bare.as_deref().and_then(number) {
            Some(x) if (0.0..1.0).contains(&x) => Ok(format!("{ours} {}", percent(x))),
            Some(_) | None => Err(ours),
        },
        Means::Share(line) => match bare.as_deref().and_then(number) {
            Some(x) if (0.0..1.0).contains(&x) => {
                Ok(line.replace("{rest}", &percent(1.0 - x)).replace("{}", &percent(x)))
            }
            Some(_) | None => Err("split 90% train, 10% val"),
        },
        Means::Scaled(whole, fraction) => match bare.as_deref() {
            Some(v) if v.contains('.') => Ok(fraction.replace("{}", v)),
            Some(v) => Ok(whole.replace("{}", v)),
            None => Err(whole),
        },
        Means::Values(ours) => match bare.as_deref() {
            Some(v) => match foreign_value(ours, v) {
                Some(value) => Ok(format!("{ours} {value}")),
                None => return put(wrong, text, at, home, ours, written, Some(v)),
            },
            None => Err(ours),
        },
        Means::Bool(yes, no) => match bare.as_deref().map(str::to_ascii_lowercase).as_deref() {
            Some("true" | "1" | "yes" | "on" | "auto") => Ok(yes.to_owned()),
            Some("false" | "0" | "no" | "off" | "none") => match no {
                Some(no) => Ok(no.to_owned()),
                None => {
                    return wrong.note("nothing has to be said to leave it off").fix(
                        "remove the line",
                        written.line,
                        "",
                    );
                }
            },
            Some(_) | None => Err(yes),
        },
    };
    match line {
        Ok(line) => instead(wrong, home, format!("write `{line}`"), line, written.span),
        Err(line) => wrong.help(format!("write `{}` instead", line.replace("{}", ".."))),
    }
}

/// The directive that a word stands for, misspelt or of another tool.
pub(super) fn meant(text: &str, home: Home) -> Option<&'static str> {
    let named = foreign(text).and_then(Means::directive);
    let named = named.and_then(|name| home.find(name)).map(|d| d.name);
    named.or_else(|| nearest(text, home.directives().iter().map(|d| d.name)))
}

/// The same value under our name.
fn put(
    wrong: Diagnostic,
    text: &str,
    at: Span,
    home: Home,
    ours: &str,
    written: Written<'_>,
    value: Option<&str>,
) -> Diagnostic {
    let takes_text = ours == "checkpoint";
    match (written.value, value) {
        (Some(given), Some(bare)) => {
            let line = format!("{ours} {}", if takes_text { given } else { bare });
            let title = format!("`{text}` is called `{ours}` here: `{line}`");
            instead(wrong, home, title, line, written.span)
        }
        (None, _) if home.find(ours).is_some() => {
            wrong.fix(format!("`{text}` is called `{ours}` here"), at, ours)
        }
        (Some(_), None) | (None, _) => wrong.help(format!("write `{ours}` instead")),
    }
}

/// A line in the place of what was written, which may belong to the other block.
fn instead(wrong: Diagnostic, home: Home, title: String, line: String, span: Span) -> Diagnostic {
    let first = line.split(' ').next().unwrap_or_default();
    if home.find(first).is_none() {
        let there = home.other().word();
        return wrong.help(format!("write `{line}` in the `{there}` block"));
    }
    wrong.fix(title, span, line)
}

/// A string without its quotes.
fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(text)
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok()
}

fn is_none(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "none" | "null" | "false")
}

/// A ratio in percent, without digits that only the binary form has.
pub(super) fn percent(x: f64) -> String {
    let rounded = format!("{:.4}", x * 100.0);
    format!("{}%", rounded.trim_end_matches('0').trim_end_matches('.'))
}
