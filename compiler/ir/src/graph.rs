//! Graphs: one function each, in static single assignment form.
//!
//! A [`Module`] is everything a plan will hold: the state that outlives a call (parameters,
//! gradients, optimizer moments, counters) and the functions that read and store it.
//! Shapes are explicit: pointwise operands have equal shapes, reductions keep their axes with size 1.

use crate::ops::Op;
use crate::types::Type;

/// A value of a [`Graph`]: the result of one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Value(pub u32);

impl Value {
    /// As an index into the nodes.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Where a node came from: an index into [`Module::origins`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Origin(pub u32);

/// What a piece of state is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// A weight, trained and saved in `model.safetensors`.
    Param,
    /// A copy of a weight in another type, made again from it after loading; not saved.
    Cast,
    /// The sum of gradients over the micro-batches of one step.
    Grad,
    /// State of the update rule, saved in `optimizer.safetensors`.
    OptState,
    /// A scalar that counts or controls, saved in `optimizer.safetensors`.
    Counter,
    /// A scalar the host reads after a step; not saved.
    Metric,
    /// Written by the host before a call: a batch, a prompt.
    Input,
    /// Read by the host after a call: logits.
    Output,
    /// Keys or values of an attention, by place of the text that is being written; not saved.
    Cache,
}

/// Where a state lies inside of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Within {
    /// The other one, its *parent*.
    pub state: String,
    /// In elements from the start of the parent, a multiple of [`Within::ALIGN`].
    pub offset: u64,
}

impl Within {
    /// Elements that offsets are multiples of: a cache line of 16-bit numbers.
    pub const ALIGN: u64 = 32;
}

/// A tensor that outlives a call.
///
/// A *piece* shares its memory with a part of its parent. A function touches the parent or its
/// pieces, never both. What no piece covers of a parent is padding: it holds no value that counts.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    /// Unique; for a parameter its path, `blocks.0.qkv.weight`.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// What it is for.
    pub role: Role,
    /// Its parent; `None` for a state with memory of its own.
    pub within: Option<Within>,
}

/// One operation and its operands, which precede it.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// What is computed.
    pub op: Op,
    /// From what.
    pub args: Vec<Value>,
    /// The type of the result; equal to what the op's shape rule gives.
    pub ty: Type,
    /// The place of the spec it came from.
    pub origin: Origin,
}

/// One function: nodes in order, and what is stored at its end.
///
/// All reads of state see the values from before the call.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Graph {
    /// Its name: `init`, `micro`, `update`, `eval`, `prefill`, `decode`.
    pub name: String,
    /// Operands precede users.
    pub nodes: Vec<Node>,
    /// State name and the value it gets when the function ends; each name at most once.
    pub stores: Vec<(String, Value)>,
}

/// All functions of a compilation and the state they share.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Module {
    /// Everything that outlives a call, in a fixed order.
    pub states: Vec<State>,
    /// The functions.
    pub functions: Vec<Graph>,
    /// Texts that [`Origin`]s point to, `hello.lt:1:1 gpt.blocks.0`; the first is empty.
    pub origins: Vec<String>,
}

impl std::ops::Index<Value> for Graph {
    type Output = Node;
    fn index(&self, value: Value) -> &Node {
        &self.nodes[value.index()]
    }
}

impl Module {
    /// The states that lie within `parent`, in order.
    pub fn pieces<'m>(&'m self, parent: &'m str) -> impl Iterator<Item = (&'m State, u64)> {
        let piece = move |state: &'m State| {
            let within = state.within.as_ref().filter(|w| w.state == parent)?;
            Some((state, within.offset))
        };
        self.states.iter().filter_map(piece)
    }

    /// The state called `name`.
    pub fn state(&self, name: &str) -> Option<&State> {
        self.states.iter().find(|s| s.name == name)
    }
}
