//! A JSON object a line, each a document; empty lines are none.

use std::path::Path;

use plan::Fields;
use serde_json::{Map, Value};

use super::{
    Document, Give, Item, Next, Part, Role, did_you_mean, lines::Lines, pair, plain, shorten,
};
use crate::error::{Error, Position};

/// Gives the documents of a file.
pub(super) fn read(path: &Path, fields: &Fields, give: &mut Give<'_>) -> Result<(), Error> {
    let mut lines = Lines::new(path)?;
    while let Some((number, line)) = lines.next()? {
        if line.trim().is_empty() {
            continue;
        }
        let position = Position::Line(number);
        let document = document(line, fields, position)
            .map_err(|message| Error::at(path, position, message))?;
        if give(Item::Document(document))? == Next::Stop {
            return Ok(());
        }
    }
    Ok(())
}

fn document(line: &str, fields: &Fields, position: Position) -> Result<Document, String> {
    if matches!(line.trim(), "[" | "{") {
        return Err("JSON over several lines; write each object on a line of its own".to_owned());
    }
    let value: Value = serde_json::from_str(line)
        .map_err(|e| format!("not JSON at column {}: {}", e.column(), reason(&e)))?;
    let Value::Object(object) = value else {
        let lists = if value.is_array() { "; take them out of the list, one a line" } else { "" };
        let found = kind(&value);
        return Err(format!("{found}, where an object `{{..}}` is expected on each line{lists}"));
    };
    match fields {
        Fields::Text { text, label } => {
            let label = label.as_ref().map(|field| label_of(&object, field)).transpose()?;
            if label.as_deref() == Some("") {
                return Err("the class is empty; remove the line or give it one".to_owned());
            }
            Ok(plain(text_of(&object, text)?, label, position))
        }
        Fields::Pair { prompt, completion } => {
            Ok(pair(text_of(&object, prompt)?, text_of(&object, completion)?, position))
        }
        Fields::Messages(field) => {
            let parts = turns(find(&object, field)?, field)?;
            Ok(Document { parts, label: None, position })
        }
    }
}

/// The parser's words without the place, which is one of a text of one line.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split_once(" at line ").map_or(text.clone(), |(reason, _)| reason.to_owned())
}

/// The value of a field; a dot goes into an object unless the whole is a name itself.
fn find<'v>(object: &'v Map<String, Value>, field: &str) -> Result<&'v Value, String> {
    if let Some(value) = object.get(field) {
        return Ok(value);
    }
    let inside = field.char_indices().filter(|(_, c)| *c == '.').find_map(|(at, _)| {
        match object.get(&field[..at]) {
            Some(Value::Object(inner)) => find(inner, &field[at + 1..]).ok(),
            Some(_) | None => None,
        }
    });
    inside.ok_or_else(|| {
        let names: Vec<String> = object.keys().take(8).map(|k| format!("`{k}`")).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let near = did_you_mean(field, object.keys().map(String::as_str));
        format!("no field `{field}`; the fields are {names}{near}")
    })
}

fn text_of(object: &Map<String, Value>, field: &str) -> Result<String, String> {
    let value = find(object, field)?;
    let text = value.as_str().map(str::to_owned);
    text.ok_or_else(|| format!("field `{field}` is {}, where a text is expected", kind(value)))
}

/// Classes may be texts, whole numbers, or yes and no.
fn label_of(object: &Map<String, Value>, field: &str) -> Result<String, String> {
    match find(object, field)? {
        Value::String(text) => Ok(text.trim().to_owned()),
        Value::Bool(yes) => Ok(yes.to_string()),
        Value::Number(n) if !n.is_f64() => Ok(n.to_string()),
        other @ (Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(format!("field `{field}` is {}, where a class is expected", kind(other)))
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "`null`",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The turns of a dialogue.
fn turns(value: &Value, field: &str) -> Result<Vec<Part>, String> {
    let Value::Array(turns) = value else {
        return Err(format!(
            "field `{field}` is {}, where a list of turns is expected",
            kind(value)
        ));
    };
    if turns.is_empty() {
        return Err(format!("field `{field}` is an empty list"));
    }
    turns.iter().enumerate().map(|(i, turn)| one_turn(turn, i)).collect()
}

fn one_turn(turn: &Value, i: usize) -> Result<Part, String> {
    let number = i + 1;
    match turn {
        Value::String(text) => {
            let role = if i.is_multiple_of(2) { Role::User } else { Role::Reply };
            Ok(Part { role: Some(role), text: text.clone() })
        }
        Value::Object(turn) => {
            let get = |names: [&str; 2]| names.iter().find_map(|name| turn.get(*name));
            let Some(Value::String(name)) = get(["role", "from"]) else {
                return Err(format!("turn {number} has no text `role`"));
            };
            let role = Role::named(name).ok_or_else(|| {
                let known: Vec<String> =
                    Role::ALL.iter().map(|role| format!("`{}`", role.name())).collect();
                let name = shorten(name);
                format!("turn {number} has the role `{name}`; known are {}", known.join(", "))
            })?;
            let text = match get(["content", "value"]) {
                Some(content) => content_of(content, number)?,
                None => return Err(format!("turn {number} has no `content`")),
            };
            Ok(Part { role: Some(role), text })
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            Err(format!(
                "turn {number} is {}, where a text or an object with `role` and `content` is expected",
                kind(other)
            ))
        }
    }
}

/// A text, or a list of pieces of which those of text count.
fn content_of(content: &Value, number: usize) -> Result<String, String> {
    match content {
        Value::String(text) => Ok(text.clone()),
        Value::Array(pieces) => {
            let texts: Option<Vec<&str>> =
                pieces.iter().map(|piece| piece.get("text").and_then(Value::as_str)).collect();
            texts
                .map(|texts| texts.concat())
                .ok_or_else(|| format!("turn {number} has a piece of content that is no text"))
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => Err(
            format!("the content of turn {number} is {}, where a text is expected", kind(other)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(line: &str) -> Result<Document, String> {
        let fields = Fields::Text { text: "a.b".to_owned(), label: Some("l".to_owned()) };
        document(line, &fields, Position::Line(1))
    }

    #[test]
    fn a_dot_goes_into_an_object_unless_it_is_in_a_name() {
        for line in [r#"{"a": {"b": "x"}, "l": 3}"#, r#"{"a.b": "x", "l": "3"}"#] {
            let read = text(line).unwrap();
            assert_eq!((read.parts[0].text.as_str(), read.label.as_deref()), ("x", Some("3")));
        }
    }

    #[test]
    fn what_is_wrong_with_a_line_is_said() {
        let wrong = [
            (r#"{"a": {"#, "not JSON at column 7: EOF while parsing an object"),
            ("[", "JSON over several lines; write each object on a line of its own"),
            (
                "[1]",
                "a list, where an object `{..}` is expected on each line; take them out of the list, one a line",
            ),
            (r#"{"b": 1, "c": 2}"#, "no field `l`; the fields are `b`, `c`"),
            (r#"{"a.b": 1, "l": 1}"#, "field `a.b` is a number, where a text is expected"),
            (r#"{"a.b": "", "l": 1.5}"#, "field `l` is a number, where a class is expected"),
        ];
        for (line, message) in wrong {
            assert_eq!(text(line).unwrap_err(), message);
        }
    }

    #[test]
    fn turns_are_objects_or_texts_that_alternate() {
        let fields = Fields::Messages("m".to_owned());
        let read = |line: &str| document(line, &fields, Position::Line(1));
        let reply = Role::Reply.name();
        let objects = format!(
            r#"{{"m": [{{"role": "user", "content": "q"}}, {{"role": "{reply}", "content": "a"}}]}}"#
        );
        let pieces = r#"{"m": [{"from": "human", "value": [{"text": "q"}]}, {"from": "gpt", "value": "a"}]}"#;
        for line in [objects.as_str(), pieces, r#"{"m": ["q", "a"]}"#] {
            let parts = read(line).unwrap().parts;
            let said: Vec<_> = parts.iter().map(|p| (p.role.unwrap(), p.text.as_str())).collect();
            assert_eq!(said, [(Role::User, "q"), (Role::Reply, "a")]);
        }
        let unknown = r#"{"m": [{"role": "robot", "content": "q"}]}"#;
        assert!(read(unknown).unwrap_err().starts_with("turn 1 has the role `robot`; known are"));
    }
}
