//! A program as text: settings with their origins, and each declaration traced.

use std::fmt::Write;

use super::{Program, Schedule, SettingClass};
use crate::value::StaticArg;

impl Program {
    /// One line a setting, aligned; then the traces of model, loss, schedule, and of the rule for a
    /// weight `[2, 3]`.
    pub fn print(&self) -> String {
        let mut out = format!("program {}\n\nsettings\n", self.name);
        let settings = &self.train.settings;
        let name_width = settings.iter().map(|s| s.name.len()).max().unwrap_or(0);
        let value_width =
            settings.iter().map(|s| s.value.chars().count()).max().unwrap_or(0).min(48);
        for s in settings {
            let class = s.class.word();
            let (name, value, origin) = (&s.name, &s.value, &s.origin);
            line(
                &mut out,
                &format!("  {name:name_width$}  {value:value_width$}  {origin:12}  {class}"),
            );
        }
        self.print_traces(&mut out);
        out
    }

    fn print_traces(&self, out: &mut String) {
        let (batch, time) = (self.train.micro_batch, self.train.context);
        let mut traces = vec![
            ("model", &self.model, self.trace_model(batch, time)),
            ("loss", &self.train.loss, self.trace_loss(batch, time)),
        ];
        for (index, group) in self.train.groups.iter().enumerate() {
            traces.push(("rule", &group.rule, self.trace_rule(index, &[2, 3], true)));
        }
        if let (Schedule::Fn(call), Ok(Some(trace))) = (&self.train.schedule, self.trace_schedule())
        {
            traces.push(("schedule", call, Ok(trace)));
        }
        for (name, call, trace) in traces {
            line(out, &format!("\n{name} {}", call.text()));
            // A program is traced when it is checked, so none of them fails here.
            let Ok(trace) = trace else { continue };
            trace.print().lines().for_each(|text| line(out, &format!("  {text}")));
        }
    }
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{}", text.trim_end()).expect("a string takes every write");
}

impl SettingClass {
    /// As people read it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Trajectory => "trajectory",
            Self::Observation => "observation",
        }
    }
}

impl StaticArg {
    /// As it would be written.
    pub fn text(&self) -> String {
        match self {
            Self::Int(n) => n.to_string(),
            Self::Real(x) if *x != 0.0 && x.abs() < 1e-3 => format!("{x:e}"),
            Self::Real(x) => x.to_string(),
            Self::Bool(b) => b.to_string(),
            Self::Str(text) => format!("{text:?}"),
            Self::None => "none".to_owned(),
            Self::Module(call) => call.text(),
            Self::Unknown => "?".to_owned(),
        }
    }
}
