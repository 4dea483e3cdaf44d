//! What the arena holds: by kind, by line of the source, over the time of a step.
//!
//! In: a schedule and its memory. Out: exact bytes, as the runtime allocates them.

use std::collections::BTreeMap;

use ir::graph::Role;
use ir::schedule::{Schedule, Task};

use crate::memory::{Live, Memory, aligned, has_caches, lives};
use crate::origins::line_of;
use crate::train::names;

/// What bytes of the arena are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Weights.
    Weights,
    /// Copies of weights in 16 bits.
    Copies,
    /// Sums of gradients.
    Gradients,
    /// State of the update rules, and averages.
    RuleState,
    /// Keys and values of the text that is written.
    Caches,
    /// Batches, counters, metrics and results.
    Inputs,
    /// Kept by the forward pass for the backward pass.
    Activations,
    /// What else is alive where the arena is fullest.
    Workspace,
    /// Between what is alive there.
    Gaps,
}

impl Kind {
    /// As `plan` says it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Copies => "copies",
            Self::Gradients => "gradients",
            Self::RuleState => "rule state",
            Self::Caches => "caches",
            Self::Inputs => "inputs",
            Self::Activations => "activations",
            Self::Workspace => "workspace",
            Self::Gaps => "gaps",
        }
    }

    fn of_role(role: Role) -> Self {
        match role {
            Role::Param => Self::Weights,
            Role::Cast => Self::Copies,
            Role::Grad => Self::Gradients,
            Role::OptState => Self::RuleState,
            Role::Cache => Self::Caches,
            Role::Counter | Role::Metric | Role::Input | Role::Output => Self::Inputs,
        }
    }
}

/// A tensor that is in memory where the arena is fullest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// The state's name, or what computes it: `nn.lt:12:3 blocks.0.attn`.
    pub name: String,
    /// Its shape.
    pub shape: Vec<u64>,
    /// Its size in the arena.
    pub bytes: u64,
    /// What it is for.
    pub kind: Kind,
}

/// What is alive in a task of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Index of the function in the schedule.
    pub function: usize,
    /// Index of its task.
    pub task: usize,
    /// State and temporaries that hold something.
    pub bytes: u64,
}

/// What the arena holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of each kind where the arena is fullest; they add up to the arena.
    pub kinds: BTreeMap<Kind, u64>,
    /// What is in memory there, the largest first.
    pub tensors: Vec<Tensor>,
    /// Temporaries there by line and module, `nn.lt:6 blocks.*.mlp.up`, most first.
    pub lines: Vec<(String, u64)>,
    /// Every task of `micro` and `update`, in order.
    pub moments: Vec<Moment>,
    /// The fullest of all functions.
    pub peak: Moment,
}

impl Usage {
    /// Reads it off a schedule.
    pub fn of(schedule: &Schedule, memory: &Memory) -> Self {
        let mut kinds: BTreeMap<Kind, u64> = BTreeMap::new();
        let (caches, mut tensors): (Vec<Tensor>, Vec<Tensor>) =
            states(schedule).into_iter().partition(|t| t.kind == Kind::Caches);
        let [state, of_caches] = [&tensors, &caches].map(|all| all.iter().map(|t| t.bytes).sum());
        let mut moments = vec![];
        let mut peak = Moment { function: 0, task: 0, bytes: state };
        for (function, tasks) in schedule.functions.iter().map(|f| &f.tasks).enumerate() {
            let alive = alive(schedule, tasks);
            let state: u64 = state + if has_caches(schedule, tasks) { of_caches } else { 0 };
            let all = alive.iter().enumerate();
            let all = all.map(|(task, bytes)| Moment { function, task, bytes: state + bytes });
            for moment in all {
                if moment.bytes > peak.bytes {
                    peak = moment;
                }
                if matches!(schedule.functions[function].name.as_str(), "micro" | "update") {
                    moments.push(moment);
                }
            }
        }
        tensors.extend(temporaries(schedule, peak));
        if schedule.functions.get(peak.function).is_some_and(|f| has_caches(schedule, &f.tasks)) {
            tensors.extend(caches);
        }
        for tensor in &tensors {
            *kinds.entry(tensor.kind).or_default() += tensor.bytes;
        }
        kinds.insert(Kind::Gaps, memory.bytes - peak.bytes);
        kinds.retain(|_, bytes| *bytes > 0);
        let lines = by_line(&tensors);
        tensors.sort_by(|x, y| y.bytes.cmp(&x.bytes).then_with(|| x.name.cmp(&y.name)));
        Self { kinds, tensors, lines, moments, peak }
    }

    /// Bytes of weights and of all that each of them has for itself, however they are trained.
    pub fn kept(&self) -> u64 {
        let kinds = [Kind::Weights, Kind::Copies, Kind::Gradients, Kind::RuleState];
        kinds.iter().map(|&kind| self.bytes(kind)).sum()
    }

    /// Bytes of a kind.
    pub fn bytes(&self, kind: Kind) -> u64 {
        self.kinds.get(&kind).copied().unwrap_or(0)
    }
}

/// `171.0 MiB`, for people.
pub fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// `10.7 M`, for people.
pub fn count(n: u64) -> String {
    let (value, unit) = match n {
        0..10_000 => return n.to_string(),
        10_000..1_000_000 => (n as f64 / 1e3, "k"),
        1_000_000..1_000_000_000 => (n as f64 / 1e6, "M"),
        1_000_000_000..1_000_000_000_000 => (n as f64 / 1e9, "G"),
        _ => (n as f64 / 1e12, "T"),
    };
    format!("{value:.1} {unit}")
}

/// States with memory of their own.
fn states(schedule: &Schedule) -> Vec<Tensor> {
    let own = schedule.buffers.iter().filter(|b| b.within.is_none());
    let tensor = |b: &ir::schedule::Buffer| {
        let kind = Kind::of_role(b.role?);
        let (name, shape) = (b.name.clone(), b.shape.clone());
        Some(Tensor { name, shape, bytes: aligned(b.bytes()), kind })
    };
    own.filter_map(tensor).collect()
}

/// Bytes of temporaries that hold something in each task.
fn alive(schedule: &Schedule, tasks: &[Task]) -> Vec<u64> {
    let mut alive = vec![0; tasks.len()];
    for Live { buffer, first, last } in lives(schedule, tasks) {
        let bytes = aligned(schedule.buffers[buffer].bytes());
        for at in &mut alive[first..=last] {
            *at += bytes;
        }
    }
    alive
}

/// Temporaries that hold something at a moment.
fn temporaries(schedule: &Schedule, at: Moment) -> Vec<Tensor> {
    let Some(function) = schedule.functions.get(at.function) else { return vec![] };
    let turn = turn(schedule, &function.tasks);
    let mut found = vec![];
    for Live { buffer, first, last } in lives(schedule, &function.tasks) {
        if first > at.task || last < at.task {
            continue;
        }
        let buffer = &schedule.buffers[buffer];
        let origin = origin(&function.tasks[first]);
        let name = if origin.is_empty() { buffer.name.clone() } else { origin.to_owned() };
        let is_kept = first < turn && last >= turn;
        let kind = if is_kept { Kind::Activations } else { Kind::Workspace };
        let (shape, bytes) = (buffer.shape.clone(), aligned(buffer.bytes()));
        found.push(Tensor { name, shape, bytes, kind });
    }
    found
}

/// Where the backward pass begins: behind what computes the loss of the micro-batch.
fn turn(schedule: &Schedule, tasks: &[Task]) -> usize {
    let loss = schedule.buffers.iter().position(|b| b.name == names::LOSS_SUM);
    let touches = |task: &&Task| task.args().iter().any(|arg| Some(arg.buffer.0 as usize) == loss);
    let Some(adds) = tasks.iter().find(touches) else { return tasks.len() };
    let read: Vec<usize> = adds.args().iter().map(|arg| arg.buffer.0 as usize).collect();
    let lives = lives(schedule, tasks);
    let sums = lives.iter().filter(|live| read.contains(&live.buffer)).map(|live| live.first);
    sums.min().map_or(tasks.len(), |first| first + 1)
}

fn origin(task: &Task) -> &str {
    match task {
        Task::Kernel { origin, .. }
        | Task::Product { origin, .. }
        | Task::Attention { origin, .. } => origin,
        Task::Sort { .. } => "",
        Task::Tiles { body, .. } => body.first().map_or("", origin),
    }
}

/// Temporaries by the line that computes them and the module it stands in; copies of a block are
/// one, `nn.lt:6 blocks.*.mlp.up`.
fn by_line(tensors: &[Tensor]) -> Vec<(String, u64)> {
    let mut lines: BTreeMap<String, u64> = BTreeMap::new();
    for tensor in tensors {
        if matches!(tensor.kind, Kind::Activations | Kind::Workspace) {
            *lines.entry(line_of(&tensor.name)).or_default() += tensor.bytes;
        }
    }
    let mut lines: Vec<(String, u64)> = lines.into_iter().collect();
    lines.sort_by(|x, y| y.1.cmp(&x.1).then_with(|| x.0.cmp(&y.0)));
    lines
}
