//! Diagnostics as JSON, one object a line.

use crate::{Diagnostic, Edit, Label, LabelStyle, Level, SourceMap, Span};
use serde_json::{Value, json};

/// One diagnostic; `rendered` is its text for people.
pub(super) fn line(map: &SourceMap, d: &Diagnostic, rendered: &str) -> String {
    let level = match d.level {
        Level::Error => "error",
        Level::Warning => "warning",
    };
    let fixes = d.fixes.iter().map(|fix| {
        let edits: Vec<Value> = fix.edits.iter().map(|e| edit(map, e)).collect();
        json!({ "title": fix.title, "edits": edits })
    });
    json!({
        "code": d.code.name(),
        "level": level,
        "message": d.message,
        "labels": d.labels.iter().map(|l| label(map, l)).collect::<Vec<_>>(),
        "notes": d.notes,
        "help": d.help,
        "fixes": fixes.collect::<Vec<_>>(),
        "rendered": rendered,
    })
    .to_string()
}

/// Says that `n` more were left out.
pub(super) fn hidden(n: usize) -> String {
    json!({ "hidden": n }).to_string()
}

fn label(map: &SourceMap, label: &Label) -> Value {
    let mut value = place(map, label.span);
    value["message"] = label.message.as_str().into();
    value["primary"] = (label.style == LabelStyle::Primary).into();
    value
}

fn edit(map: &SourceMap, edit: &Edit) -> Value {
    let mut value = place(map, edit.span);
    value["text"] = edit.text.as_str().into();
    value
}

/// Lines and columns from 1, columns in characters; offsets in bytes.
fn place(map: &SourceMap, span: Span) -> Value {
    let (line, col) = map.line_col(span.file, span.start);
    let (end_line, end_col) = map.line_col(span.file, span.end);
    json!({
        "file": map.file(span.file).name,
        "start": span.start,
        "end": span.end,
        "line": line,
        "col": col,
        "end_line": end_line,
        "end_col": end_col,
    })
}
