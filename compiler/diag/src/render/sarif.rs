//! Diagnostics as one SARIF log, for code scanning (OASIS SARIF 2.1.0).

use serde_json::{Value, json};

use crate::{Code, Diagnostic, Edit, Fix, Label, Level, SourceMap, Span};

/// The log of a run that found these; `n_hidden` more were left out.
pub(super) fn log(map: &SourceMap, found: &[&Diagnostic], n_hidden: usize) -> String {
    let mut codes: Vec<Code> = found.iter().map(|d| d.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules: Vec<Value> = codes.iter().map(|code| rule(*code)).collect();
    let results: Vec<Value> = found.iter().map(|d| result(map, d, &codes)).collect();
    let mut run = json!({
        "tool": { "driver": {
            "name": "llmc",
            "semanticVersion": env!("CARGO_PKG_VERSION"),
            "rules": rules,
        } },
        "columnKind": "unicodeCodePoints",
        "results": results,
    });
    if n_hidden > 0 {
        let text = format!("{n_hidden} more were left out");
        run["invocations"] = json!([{
            "executionSuccessful": true,
            "toolExecutionNotifications": [{ "level": "note", "message": { "text": text } }],
        }]);
    }
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [run],
    })
    .to_string()
}

fn level(level: Level) -> &'static str {
    match level {
        Level::Error => "error",
        Level::Warning => "warning",
    }
}

/// Section 3.49.
fn rule(code: Code) -> Value {
    json!({
        "id": code.name(),
        "shortDescription": { "text": code.trigger() },
        "fullDescription": { "text": code.page() },
        "defaultConfiguration": { "level": level(code.level()) },
    })
}

/// Section 3.27.
fn result(map: &SourceMap, d: &Diagnostic, codes: &[Code]) -> Value {
    let lines = [&d.message].into_iter().chain(&d.notes).chain(&d.help);
    let text = lines.map(String::as_str).collect::<Vec<_>>().join("\n");
    let (first, others) = d.labels.split_first().expect("a diagnostic has a place");
    let others: Vec<Value> = others.iter().map(|label| location(map, label)).collect();
    let mut result = json!({
        "ruleId": d.code.name(),
        "ruleIndex": codes.binary_search(&d.code).expect("each code has a rule"),
        "level": level(d.level),
        "message": { "text": text },
        "locations": [location(map, first)],
    });
    if !others.is_empty() {
        result["relatedLocations"] = others.into();
    }
    if !d.fixes.is_empty() {
        result["fixes"] = d.fixes.iter().map(|f| fix(map, f)).collect();
    }
    result
}

/// Section 3.28.
fn location(map: &SourceMap, label: &Label) -> Value {
    let mut location = json!({ "physicalLocation": {
        "artifactLocation": artifact(map, label.span),
        "region": region(map, label.span),
    } });
    if !label.message.is_empty() {
        location["message"] = json!({ "text": label.message });
    }
    location
}

/// Section 3.55.
fn fix(map: &SourceMap, fix: &Fix) -> Value {
    let mut files: Vec<_> = fix.edits.iter().map(|edit| edit.span.file).collect();
    files.sort_unstable();
    files.dedup();
    let change = |file| {
        let edits: Vec<&Edit> = fix.edits.iter().filter(|e| e.span.file == file).collect();
        let replacement = |edit: &&Edit| {
            json!({
                "deletedRegion": region(map, edit.span),
                "insertedContent": { "text": edit.text },
            })
        };
        json!({
            "artifactLocation": artifact(map, edits[0].span),
            "replacements": edits.iter().map(replacement).collect::<Vec<_>>(),
        })
    };
    let changes: Vec<Value> = files.into_iter().map(change).collect();
    json!({ "description": { "text": fix.title }, "artifactChanges": changes })
}

/// A relative reference: characters that have a meaning in it are escaped (RFC 3986, 2.1).
fn artifact(map: &SourceMap, span: Span) -> Value {
    let mut uri = String::new();
    for byte in map.file(span.file).name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            uri.push(byte.into());
        } else {
            uri += &format!("%{byte:02X}");
        }
    }
    json!({ "uri": uri })
}

fn region(map: &SourceMap, span: Span) -> Value {
    let (line, col) = map.line_col(span.file, span.start);
    let (end_line, end_col) = map.line_col(span.file, span.end);
    json!({ "startLine": line, "startColumn": col, "endLine": end_line, "endColumn": end_col })
}
