//! What a spec changed since a checkpoint was made from it: E0806 and W0807.
//!
//! Each setting has a class. One of the *identity* makes weights of other names or shapes, so the
//! checkpoint does not fit; one of the *trajectory* makes other numbers from here on; what is only
//! observed is not compared.

use std::collections::{BTreeMap, BTreeSet};

use diag::{Code, Diagnostic, Span};
use exec::run_dir::OnChange;
use sema::{Resume, Setting, SettingClass, Train};

use crate::job::settings;

/// Whether the weights of a checkpoint are those of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// Same names, same shapes.
    Fit,
    /// Others.
    Differ,
}

/// What a checkpoint was made with.
#[derive(Debug, Clone, Copy)]
pub struct Then<'a> {
    /// The settings, as [`crate::job::settings`] has them.
    pub settings: &'a BTreeMap<String, String>,
    /// Whether the data was what it is.
    pub is_data_same: bool,
}

/// One diagnostic for each setting that differs from `then`, at the line that says it.
///
/// Where the weights differ only what made them so is said; a difference that no setting shows is
/// said of the whole. `on_change` is what the user asked for.
pub fn since(
    train: &Train,
    then: Then<'_>,
    weights: Weights,
    on_change: OnChange,
) -> Vec<Diagnostic> {
    let now = settings(train);
    let mut found: Vec<Diagnostic> = changed(train, then.settings, &now)
        .into_iter()
        .filter_map(|name| {
            let class = setting(train, name).map(|s| s.class);
            let code = match (weights, class) {
                (Weights::Fit, _) => Code::W0807,
                (Weights::Differ, Some(SettingClass::Identity)) => Code::E0806,
                (Weights::Differ, _) => return None,
            };
            let value = |all: &BTreeMap<String, String>| {
                all.get(name).cloned().unwrap_or_else(|| "none".to_owned())
            };
            let (old, new) = (value(then.settings), value(&now));
            let wrong = format!("`{name}` was {old} in the checkpoint, now it is {new}");
            Some(Diagnostic::new(code, place(train, name), wrong))
        })
        .collect();
    if found.is_empty() {
        let (code, name, wrong) = match weights {
            Weights::Differ => {
                (Code::E0806, "model", "the weights of the model are not those of the checkpoint")
            }
            Weights::Fit if !then.is_data_same => {
                (Code::W0807, "data", "the data is not that of the checkpoint")
            }
            Weights::Fit => {
                (Code::W0807, "train", "the training program is not that of the checkpoint")
            }
        };
        found.push(Diagnostic::new(code, place(train, name), wrong));
    }
    found.into_iter().map(|wrong| explained(wrong, train.resume, on_change)).collect()
}

/// Names of settings with another value than then. What follows from other changes is none.
fn changed<'a>(
    train: &Train,
    then: &'a BTreeMap<String, String>,
    now: &'a BTreeMap<String, String>,
) -> Vec<&'a str> {
    let names: BTreeSet<&String> = then.keys().chain(now.keys()).collect();
    let differs = names.into_iter().filter(|name| then.get(*name) != now.get(*name));
    let differs: Vec<&str> = differs.map(String::as_str).collect();
    let is_derived = |name: &&str| setting(train, name).is_some_and(|s| s.origin == "derived");
    match differs.iter().all(is_derived) {
        true => differs,
        false => differs.into_iter().filter(|name| !is_derived(name)).collect(),
    }
}

fn setting<'t>(train: &'t Train, name: &str) -> Option<&'t Setting> {
    train.settings.iter().find(|s| s.name == name)
}

fn explained(wrong: Diagnostic, resume: Resume, on_change: OnChange) -> Diagnostic {
    if wrong.code == Code::E0806 {
        return wrong
            .primary("part of the identity of a run")
            .note("identity: other weights, which the checkpoint does not have")
            .help("set it back, or train in another folder: `--out DIR`");
    }
    let wrong = wrong
        .primary("part of the trajectory of a run")
        .note("trajectory: the weights fit, and the numbers are others from here on");
    if resume == Resume::Exact {
        return wrong.help("set it back: `resume exact` goes on with no change");
    }
    if on_change == OnChange::GoOn {
        return wrong.help("it goes on with the change; without `--resume` a new run is started");
    }
    if on_change == OnChange::Refuse {
        return wrong.help("add `--resume` to go on with the change, or name another folder");
    }
    wrong.help("add `--resume` to go on with the change; without it a new run is started")
}

/// The line that says a setting, else the job.
fn place(train: &Train, name: &str) -> Span {
    setting(train, name).and_then(|s| s.span).unwrap_or(train.stated.word)
}
