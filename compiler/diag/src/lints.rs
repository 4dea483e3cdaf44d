//! Which lints are said, and which of them end a compilation.
//!
//! The first that holds decides: a flag of the command line that names the code; an `allow` of the
//! spec; `warnings` on the command line; else a lint is a warning. Errors are never a choice.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{Code, Diagnostic, FileId, Level, Span};

/// What the command line says of lints.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    named: Vec<(Code, Choice)>,
    rest: Option<Choice>,
}

/// What becomes of a lint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// Nothing is said.
    Allow,
    /// It is a warning.
    Warn,
    /// It is an error.
    Deny,
}

impl Choice {
    /// The flag without its hyphens.
    pub fn word(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Warn => "warn",
            Self::Deny => "deny",
        }
    }
}

/// An `allow` of a spec: one code and where it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allow {
    /// The lint.
    pub code: Code,
    /// Where the code stands.
    pub at: Span,
    /// The line, with its end.
    pub line: Span,
    /// What it holds for.
    pub scope: Scope,
    /// The file that it stands in, where it holds for nothing outside of that: a spec speaks for
    /// the files that it uses, they do not speak for it.
    pub only_in: Option<FileId>,
}

impl Allow {
    fn holds(&self, place: Span) -> bool {
        self.only_in.is_none_or(|file| file == place.file) && self.scope.holds(place)
    }
}

/// What an `allow` holds for, by the primary place of a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything.
    All,
    /// What lies in this block.
    Within(Span),
    /// What lies in none of these other blocks.
    Outside(Arc<[Span]>),
}

impl Scope {
    fn holds(&self, place: Span) -> bool {
        match self {
            Self::All => true,
            Self::Within(block) => block.covers(place),
            Self::Outside(others) => !others.iter().any(|block| block.covers(place)),
        }
    }
}

/// Lints that depend on a machine or a run: where they are not said today they may be tomorrow.
const ELSEWHERE: &[Code] = &[Code::W0807, Code::W0903, Code::W0906, Code::W0907];

impl Flags {
    /// Adds what follows a flag: a code, or `warnings` for all that nothing names.
    pub fn add(&mut self, choice: Choice, word: &str) -> Result<(), String> {
        let flag = choice.word();
        if word == "warnings" {
            return match self.rest.replace(choice) {
                Some(other) if other != choice => Err(format!(
                    "`--{} warnings` and `--{flag} warnings` exclude each other",
                    other.word()
                )),
                Some(_) | None => Ok(()),
            };
        }
        let code = lint(word).map_err(|why| format!("--{flag} {word}: {why}"))?;
        match self.named.iter().find(|(named, _)| *named == code) {
            Some((_, other)) if *other != choice => {
                let (name, other) = (code.name(), other.word());
                Err(format!("`--{other} {name}` and `--{flag} {name}` exclude each other"))
            }
            Some(_) => Ok(()),
            None => {
                self.named.push((code, choice));
                Ok(())
            }
        }
    }

    /// What is left of `found`, and which of the `allows` held for something.
    pub fn settle(&self, allows: &[Allow], found: Vec<Diagnostic>) -> (Vec<Diagnostic>, Vec<bool>) {
        let mut held = vec![false; allows.len()];
        let mut left = vec![];
        for d in found {
            if d.code.level() == Level::Error {
                left.push(d);
                continue;
            }
            let mut is_allowed = false;
            for (allow, held) in allows.iter().zip(&mut held) {
                if allow.code == d.code && allow.holds(d.span()) {
                    (*held, is_allowed) = (true, true);
                }
            }
            let named = self.named.iter().find(|(code, _)| *code == d.code).map(|(_, c)| *c);
            let choice = match (named, is_allowed) {
                (Some(choice), _) => choice,
                (None, true) => Choice::Allow,
                (None, false) => self.rest.unwrap_or(Choice::Warn),
            };
            match choice {
                Choice::Allow => {}
                Choice::Warn => left.push(d),
                Choice::Deny => left.push(deny(d, named.is_some())),
            }
        }
        (left, held)
    }
}

fn deny(mut d: Diagnostic, is_named: bool) -> Diagnostic {
    d.level = Level::Error;
    let what = if is_named { d.code.name() } else { "warnings" };
    let note = format!("a warning that `--deny {what}` makes an error");
    d.notes.push(note);
    d
}

/// W0217 for each `allow` that held for nothing, though all that it could hold for was looked at.
pub fn idle(
    allows: &[Allow],
    held: &[bool],
    is_looked_at: impl Fn(&Allow) -> bool,
) -> Vec<Diagnostic> {
    let idle = allows.iter().zip(held).filter(|(a, held)| !**held && !ELSEWHERE.contains(&a.code));
    let idle = idle.filter(|(allow, _)| is_looked_at(allow));
    let mut n_codes: BTreeMap<Span, usize> = BTreeMap::new();
    allows.iter().for_each(|allow| *n_codes.entry(allow.line).or_default() += 1);
    idle.map(|(allow, _)| {
        let is_alone = n_codes[&allow.line] == 1;
        let name = allow.code.name();
        let wrong =
            Diagnostic::new(Code::W0217, allow.at, format!("`allow {name}` silences nothing"))
                .primary(format!("nothing here is {name}"));
        match is_alone {
            true => wrong.fix("remove the line", allow.line, ""),
            false => wrong.help("remove the code"),
        }
    })
    .collect()
}

/// The lint of that name, or why it is none.
pub fn lint(word: &str) -> Result<Code, String> {
    match Code::from_name(word) {
        Some(code) if code.level() == Level::Warning => Ok(code),
        Some(code) => {
            let name = code.name();
            Err(format!(
                "{name} is an error, with which nothing can run; \
                 `llmc explain {name}` says how to mend it"
            ))
        }
        None => Err(match near(word) {
            Some(code) => format!("there is no such lint; did you mean `{}`?", code.name()),
            None => "there is no such lint; a code looks like `W0512`".to_owned(),
        }),
    }
}

/// The lint whose number differs in one digit, or that is written without its letter.
pub fn near(word: &str) -> Option<Code> {
    let digits = word.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let digits = format!("{digits:0>4}");
    let lints = || Code::ALL.iter().copied().filter(|c| c.level() == Level::Warning);
    let apart = |code: &Code| {
        let number = &code.name()[1..];
        let differ = number.chars().zip(digits.chars()).filter(|(a, b)| a != b).count();
        (number.len() == digits.len()).then_some(differ)
    };
    lints().find(|c| apart(c) == Some(0)).or_else(|| lints().find(|c| apart(c) == Some(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FileId;

    fn at(start: u32, end: u32) -> Span {
        Span::new(FileId(0), start, end)
    }

    fn found(code: Code, start: u32) -> Diagnostic {
        Diagnostic::new(code, at(start, start + 1), "said")
    }

    fn flags(words: &[(Choice, &str)]) -> Flags {
        let mut flags = Flags::default();
        for (choice, word) in words {
            flags.add(*choice, word).unwrap();
        }
        flags
    }

    /// What becomes of a W0512 at 10, which a block at 0..20 allows or not.
    fn level(words: &[(Choice, &str)], is_allowed: bool) -> Option<Level> {
        let allow = Allow {
            code: Code::W0512,
            at: at(1, 2),
            line: at(0, 3),
            scope: Scope::Within(at(0, 20)),
            only_in: None,
        };
        let allows = if is_allowed { vec![allow] } else { vec![] };
        let (left, _) = flags(words).settle(&allows, vec![found(Code::W0512, 10)]);
        left.first().map(|d| d.level)
    }

    #[test]
    fn a_named_flag_beats_the_spec_which_beats_all_warnings() {
        use Choice::{Allow, Deny, Warn};
        let (warning, error) = (Some(Level::Warning), Some(Level::Error));
        assert_eq!(level(&[], false), warning);
        assert_eq!(level(&[], true), None);
        assert_eq!(level(&[(Deny, "warnings")], false), error);
        assert_eq!(level(&[(Deny, "warnings")], true), None);
        assert_eq!(level(&[(Deny, "W0512")], true), error);
        assert_eq!(level(&[(Warn, "W0512")], true), warning);
        assert_eq!(level(&[(Deny, "warnings"), (Warn, "w0512")], false), warning);
        assert_eq!(level(&[(Deny, "warnings"), (Allow, "W0512")], false), None);
        assert_eq!(level(&[(Allow, "warnings")], false), None);
    }

    #[test]
    fn an_allow_holds_where_it_stands_and_what_holds_for_nothing_is_said() {
        let allow =
            |code, scope| Allow { code, at: at(1, 2), line: at(0, 3), scope, only_in: None };
        let allows = [
            allow(Code::W0512, Scope::Within(at(0, 5))),
            allow(Code::W0512, Scope::Outside([at(0, 9)].into())),
            allow(Code::W0906, Scope::All),
        ];
        let (left, held) = Flags::default().settle(&allows, vec![found(Code::W0512, 10)]);
        assert_eq!((left.len(), held.as_slice()), (0, &[false, true, false][..]));
        let n_idle = |is_looked_at: bool| idle(&allows, &held, |_| is_looked_at).len();
        assert_eq!(n_idle(true), 1, "W0906 may be said on another machine");
        assert_eq!(n_idle(false), 0);
    }

    #[test]
    fn a_used_file_allows_nothing_outside_of_itself() {
        let found = || vec![found(Code::W0512, 10)];
        for (scope, only_in, n_left) in [
            (Scope::All, None, 0),
            (Scope::All, Some(FileId(0)), 0),
            (Scope::All, Some(FileId(1)), 1),
            (Scope::Outside([].into()), Some(FileId(1)), 1),
        ] {
            let allow = Allow { code: Code::W0512, at: at(1, 2), line: at(0, 3), scope, only_in };
            assert_eq!(Flags::default().settle(&[allow], found()).0.len(), n_left);
        }
    }

    #[test]
    fn errors_and_contradictions_are_refused() {
        let refused =
            |choice, word| flags(&[(Choice::Deny, "W0512")]).add(choice, word).unwrap_err();
        assert!(refused(Choice::Allow, "E0501").contains("E0501 is an error"));
        assert!(refused(Choice::Allow, "W0510").contains("did you mean `W0511`?"));
        assert!(refused(Choice::Warn, "512").contains("`W0512`"));
        assert!(refused(Choice::Warn, "W0512").contains("exclude each other"));
    }
}
