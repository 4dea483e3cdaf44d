//! `llmc explain` and `llmc std`: pages and sources that are in the binary.

use diag::Code;
use syntax::ast::StmtKind;

use super::Failure;
use super::out::say;
use crate::front::Front;

/// Prints the page of a code.
pub(super) fn code(name: &str) -> Result<(), Failure> {
    let wanted = name.to_uppercase();
    match Code::from_name(&wanted) {
        Some(code) => {
            say(format_args!("{}", code.page().trim_end()));
            Ok(())
        }
        None => {
            let near = Code::ALL.iter().map(|c| c.name()).filter(|n| n[..3] == *prefix(&wanted));
            let near: Vec<&str> = near.collect();
            let hint =
                if near.is_empty() { "codes look like E0401".to_owned() } else { near.join(" ") };
            Err(Failure::Usage(format!("there is no code `{name}`; {hint}")))
        }
    }
}

fn prefix(name: &str) -> &str {
    name.get(..3).unwrap_or(name)
}

/// Prints a declaration, with its doc comment; without a name, all names.
pub(super) fn std(name: Option<&str>) -> Result<(), Failure> {
    let front = Front::parse("empty.lt", "", &[]);
    let mut names = vec![];
    for spec in front.std_specs() {
        for &id in &spec.body {
            let stmt = &spec[id];
            let StmtKind::Decl(decl) = &stmt.kind else { continue };
            if Some(decl.name.text.as_str()) == name {
                let doc = stmt.doc.iter().flat_map(|d| d.lines());
                for line in doc {
                    say(format_args!("## {}", line.trim()));
                }
                say(format_args!("{}", front.map.text(stmt.span)));
                return Ok(());
            }
            names.push(format!("{:<18} {}", decl.name.text, front.map.file(spec.file).name));
        }
    }
    match name {
        None => {
            say(format_args!("{}", names.join("\n")));
            Ok(())
        }
        Some(name) => Err(Failure::Usage(format!(
            "the standard library has no `{name}`; `llmc std` lists all names"
        ))),
    }
}
