//! What was fused into a task, and what was not and why.

use std::collections::BTreeMap;

use ir::graph::Value;
use ir::ops::Op;
use ir::schedule::{Arg, Function, Task};

use super::function::Scheduler;
use crate::fuse::Kind;
use crate::fuse::apart::{Apart, Why};

/// Lines about tasks, by the function and all that a task reads and writes.
#[derive(Debug, Default)]
pub struct Notes(BTreeMap<(String, Vec<Arg>), Vec<String>>);

impl Notes {
    /// The lines about a task.
    pub fn about(&self, function: &Function, task: &Task) -> Vec<String> {
        let lines = self.0.get(&(function.name.clone(), task.args()));
        lines.cloned().unwrap_or_default()
    }

    pub(super) fn add(&mut self, function: &str, task: &Task, lines: Vec<String>) {
        self.0.insert((function.to_owned(), task.args()), lines);
    }
}

/// What is around the tasks of a function.
pub(super) struct Around {
    /// Nodes that read each computed value, in the order of their tasks.
    readers: Vec<Vec<Value>>,
    /// What each task might have joined, by its place in the list of all.
    apart: BTreeMap<usize, Vec<usize>>,
}

impl Scheduler<'_> {
    /// What is around the tasks, which are in the order in which they run.
    pub(super) fn around(&self, order: &[usize]) -> Around {
        let mut readers = vec![vec![]; self.graph.nodes.len()];
        let mut computed = vec![];
        for &task in order {
            for &member in &self.tasks.task(task).members {
                computed.clear();
                for &arg in &self.graph[member].args {
                    self.tasks.computed(arg, &mut computed);
                }
                computed.sort_unstable();
                computed.dedup();
                for value in &computed {
                    readers[value.index()].push(member);
                }
            }
        }
        let mut apart: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (at, one) in self.tasks.apart().iter().enumerate() {
            let [reader, read] = [one.reader, one.read].map(|value| self.tasks.owner(value));
            if let Some(task) = reader.filter(|_| reader != read) {
                apart.entry(task).or_default().push(at);
            }
        }
        Around { readers, apart }
    }

    /// The lines about a task of the graph.
    pub(super) fn lines_about(&self, index: usize, around: &Around) -> Vec<String> {
        let task = self.tasks.task(index);
        let is_behind = |v: &Value| !self.tasks.is_product(*v);
        let (title, members): (&str, Vec<Value>) = match &task.kind {
            Kind::Rows { .. } | Kind::Columns => ("", task.members.clone()),
            Kind::Dot { map: Some(_) } => {
                ("behind it: ", task.members.iter().copied().filter(is_behind).collect())
            }
            Kind::Dot { map: None }
            | Kind::Attention
            | Kind::Scatter
            | Kind::Concat
            | Kind::Copy => ("", vec![]),
        };
        let mut lines = vec![];
        if members.len() > 1 || !title.is_empty() {
            lines.push(format!("{title}{}", self.by_place(&members)));
        }
        if let (Kind::Dot { map: Some(_) }, Some((_, result))) =
            (&task.kind, self.tasks.product(index))
        {
            let readers = self.readers(index, result, around);
            lines.extend(
                (!readers.is_empty())
                    .then(|| format!("its result is stored, read by {}", readers.join(", "))),
            );
        }
        // What runs behind a product was bound to be apart from all but products.
        let counts =
            |apart: &&Apart| title.is_empty() || matches!(self.graph[apart.read].op, Op::Dot(_));
        let apart = around.apart.get(&index).into_iter().flatten();
        let apart = apart.map(|&at| &self.tasks.apart()[at]).filter(counts);
        lines.extend(apart.map(|apart| self.reason(apart)));
        lines.dedup();
        lines
    }

    /// `nn.lt blocks.0.mlp: 9:5 add, 53:3 mul mul; models.lt blocks.0: 10:7 add`, in order.
    fn by_place(&self, members: &[Value]) -> String {
        let (mut text, mut part, mut place) = (String::new(), String::new(), String::new());
        for &member in members {
            let (origin, op) = (self.origin(member), self.graph[member].op.name());
            // An origin is `file:line:column path`, or nothing.
            let (at, path) = origin.split_once(' ').unwrap_or((&origin, ""));
            let (file, position) = at.split_once(':').unwrap_or((at, ""));
            let (here, new) = (format!("{file} {path}"), text.is_empty());
            if new || here != part {
                let title = here.trim();
                let gap = if new { "" } else { "; " };
                let title = if title.is_empty() { String::new() } else { format!("{title}: ") };
                text += &format!("{gap}{title}{position} {op}").replace("  ", " ");
            } else if position == place {
                text += &format!(" {op}");
            } else {
                text += &format!(", {position} {op}");
            }
            (part, place) = (here, position.to_owned());
        }
        text.trim_start().to_owned()
    }

    /// `add of nn.lt:9:5 blocks.0.mlp.up`.
    fn named(&self, value: Value) -> String {
        let (origin, op) = (self.origin(value), self.graph[value].op.name());
        if origin.is_empty() { op.to_owned() } else { format!("{op} of {origin}") }
    }

    /// Nodes of other tasks that read a value, and states that become it.
    fn readers(&self, task: usize, value: Value, around: &Around) -> Vec<String> {
        let others = around.readers[value.index()].iter();
        let others = others.filter(|&&reader| self.tasks.owner(reader) != Some(task));
        let mut readers: Vec<String> = others.map(|&reader| self.named(reader)).collect();
        let reads = |from: Value| {
            let mut computed = vec![];
            self.tasks.computed(from, &mut computed);
            computed.contains(&value)
        };
        let states = self.graph.stores.iter().filter(|(_, stored)| reads(*stored));
        readers.extend(states.map(|(state, _)| format!("the state `{state}`")));
        readers.dedup();
        readers
    }

    fn reason(&self, Apart { reader: _, read, why }: &Apart) -> String {
        let why = match why {
            Why::Axes => "has other axes".to_owned(),
            Why::Columns(n) => format!("there are no blocks of {n} columns"),
            Why::Rows(n) => format!("reduces rows of {n}, which no block holds"),
            Why::Parts(part, n) => {
                format!("reduces {part} columns at a time, and only whole rows of {n} are reduced")
            }
            Why::Members(n) => format!("{n} nodes in one kernel"),
            Why::Places => "reads it at other places".to_owned(),
            Why::Around(between) => {
                format!("reads it through {} as well", self.named(*between))
            }
        };
        format!("apart from {}: {why}", self.named(*read))
    }
}
