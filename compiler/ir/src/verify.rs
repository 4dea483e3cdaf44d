//! Checks that a module or a kernel is what later stages rely on.
//!
//! In: anything that was built or parsed. Out: every broken rule, with its place.

pub mod step;

use std::collections::BTreeSet;
use std::fmt;

use crate::graph::{Graph, Module, Node, State, Value, Within};
use crate::kernel::{Inst, Kernel, Reg, Skeleton};
use crate::ops::{Op, ShapeError};
use crate::types::{Dtype, Type};
use step::StepFault;

/// Axes of a tensor at most.
pub const MAX_RANK: usize = 8;
/// Sizes of axes are below this.
pub const MAX_DIM: u64 = 1 << 31;
/// Bytes of a tensor are below this.
pub const MAX_BYTES: u64 = 1 << 40;
/// Nodes of a function at most.
pub const MAX_NODES: usize = 1_000_000;

/// One broken rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyError {
    /// The function, empty for the module.
    pub function: String,
    /// The node, if it is about one.
    pub value: Option<Value>,
    /// Which rule.
    pub fault: Fault,
}

/// The rules of modules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// An operand does not precede its user.
    Order {
        /// The operand.
        operand: Value,
    },
    /// The operands do not fit the op.
    Shape(ShapeError),
    /// The type of a node is not what the shape rule gives.
    Type {
        /// By the rule.
        expected: Type,
        /// In the node.
        found: Type,
    },
    /// A state that is read or stored does not exist.
    NoState {
        /// Its name.
        name: String,
    },
    /// A state is read or stored with another type.
    StateType {
        /// Its name.
        name: String,
        /// Of the state.
        expected: Type,
        /// As used.
        found: Type,
    },
    /// Two states, functions or stores of one name.
    Twice {
        /// The name.
        name: String,
    },
    /// A piece that does not lie in a state of its element type, beside all other pieces.
    Misplaced {
        /// Its name.
        name: String,
    },
    /// A function touches a state and pieces of it.
    Torn {
        /// The whole.
        name: String,
    },
    /// A tensor over the limits.
    TooLarge {
        /// Its type.
        ty: Type,
    },
    /// Too many nodes.
    TooMany {
        /// How many.
        nodes: usize,
    },
    /// An origin that the module does not have.
    NoOrigin,
    /// The order of the optimizer step.
    Step(StepFault),
}

impl fmt::Display for VerifyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Some(value) => write!(f, "{} %{}: {}", self.function, value.0, self.fault),
            None => write!(f, "{}: {}", self.function, self.fault),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Order { operand } => write!(f, "operand %{} does not precede it", operand.0),
            Self::Shape(error) => write!(f, "{error}"),
            Self::Type { expected, found } => {
                write!(f, "type by the shape rule is {expected}, found {found}")
            }
            Self::NoState { name } => write!(f, "no state `{name}`"),
            Self::StateType { name, expected, found } => {
                write!(f, "state `{name}` is {expected}, found {found}")
            }
            Self::Twice { name } => write!(f, "`{name}` twice"),
            Self::Misplaced { name } => write!(f, "`{name}` does not lie in its parent"),
            Self::Torn { name } => write!(f, "`{name}` is touched whole and in pieces"),
            Self::TooLarge { ty } => write!(f, "{ty} is over the limits of a tensor"),
            Self::TooMany { nodes } => write!(f, "{nodes} nodes, at most {MAX_NODES}"),
            Self::NoOrigin => write!(f, "its origin does not exist"),
            Self::Step(fault) => write!(f, "{fault}"),
        }
    }
}

impl std::error::Error for VerifyError {}

/// Whether a type keeps to the limits.
pub fn is_in_limits(ty: &Type) -> bool {
    let bytes = ty.shape.iter().try_fold(ty.dtype.bytes(), |n, &d| n.checked_mul(d.max(1)));
    ty.shape.len() <= MAX_RANK
        && ty.shape.iter().all(|&d| d < MAX_DIM)
        && bytes.is_some_and(|b| b < MAX_BYTES)
}

/// Checks all rules of a module.
pub fn verify(module: &Module) -> Result<(), Vec<VerifyError>> {
    let mut errors = vec![];
    let mut names = BTreeSet::new();
    let mut at_module =
        |fault| errors.push(VerifyError { function: String::new(), value: None, fault });
    for state in &module.states {
        if !names.insert(state.name.as_str()) {
            at_module(Fault::Twice { name: state.name.clone() });
        }
        if !is_in_limits(&state.ty) {
            at_module(Fault::TooLarge { ty: state.ty.clone() });
        }
    }
    misplaced(module).into_iter().for_each(&mut at_module);
    let mut functions = BTreeSet::new();
    for graph in &module.functions {
        if !functions.insert(graph.name.as_str()) {
            at_module(Fault::Twice { name: graph.name.clone() });
        }
    }
    for graph in &module.functions {
        verify_graph(module, graph, &mut errors);
    }
    // Data flow needs operands that precede their users.
    if errors.is_empty() {
        step::verify_step(module, &mut errors);
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// Pieces in order of their places must not meet.
fn misplaced(module: &Module) -> Vec<Fault> {
    let mut pieces: Vec<(&str, u64, &State)> = vec![];
    let mut faults = vec![];
    for state in &module.states {
        let Some(Within { state: parent, offset }) = &state.within else { continue };
        let fits = module.state(parent).is_some_and(|parent| {
            parent.within.is_none()
                && parent.ty.dtype == state.ty.dtype
                && offset.is_multiple_of(Within::ALIGN)
                && offset.checked_add(state.ty.len()).is_some_and(|end| end <= parent.ty.len())
        });
        if fits {
            pieces.push((parent, *offset, state));
        } else {
            faults.push(Fault::Misplaced { name: state.name.clone() });
        }
    }
    pieces.sort_by_key(|&(parent, offset, _)| (parent, offset));
    for pair in pieces.windows(2) {
        let [(parent, from, state), (next, to, other)] = [pair[0], pair[1]];
        if parent == next && from + state.ty.len() > to {
            faults.push(Fault::Misplaced { name: other.name.clone() });
        }
    }
    faults
}

/// The whole states of which a function touches pieces as well.
fn torn(module: &Module, graph: &Graph) -> BTreeSet<String> {
    let mut touched: BTreeSet<&str> = graph.stores.iter().map(|(name, _)| name.as_str()).collect();
    for node in &graph.nodes {
        if let Op::State(read) = &node.op {
            touched.insert(&read.name);
        }
    }
    let parent = |name: &&str| Some(module.state(name)?.within.as_ref()?.state.as_str());
    let parents = touched.iter().filter_map(parent);
    parents.filter(|name| touched.contains(name)).map(str::to_owned).collect()
}

fn verify_graph(module: &Module, graph: &Graph, errors: &mut Vec<VerifyError>) {
    let mut report = |value: Option<Value>, fault: Fault| {
        errors.push(VerifyError { function: graph.name.clone(), value, fault });
    };
    if graph.nodes.len() > MAX_NODES {
        report(None, Fault::TooMany { nodes: graph.nodes.len() });
    }
    for (i, node) in graph.nodes.iter().enumerate() {
        for fault in node_faults(module, graph, i, node) {
            report(Some(Value(i as u32)), fault);
        }
    }
    for name in torn(module, graph) {
        report(None, Fault::Torn { name });
    }
    let mut stored = BTreeSet::new();
    for (name, value) in &graph.stores {
        if !stored.insert(name) {
            report(None, Fault::Twice { name: name.clone() });
        }
        match graph.nodes.get(value.index()) {
            Some(node) => {
                if let Some(fault) = state_fault(module, name, &node.ty) {
                    report(Some(*value), fault);
                }
            }
            None => report(None, Fault::Order { operand: *value }),
        }
    }
}

fn node_faults(module: &Module, graph: &Graph, at: usize, node: &Node) -> Vec<Fault> {
    let mut faults: Vec<Fault> = node
        .args
        .iter()
        .filter(|operand| operand.index() >= at)
        .map(|&operand| Fault::Order { operand })
        .collect();
    // The shape rule needs the operands' types.
    if faults.is_empty() {
        let types: Vec<Type> = node.args.iter().map(|&a| graph[a].ty.clone()).collect();
        match node.op.infer(&types) {
            Ok(expected) if expected == node.ty => {}
            Ok(expected) => faults.push(Fault::Type { expected, found: node.ty.clone() }),
            Err(error) => faults.push(Fault::Shape(error)),
        }
    }
    if !is_in_limits(&node.ty) {
        faults.push(Fault::TooLarge { ty: node.ty.clone() });
    }
    if let Op::State(read) = &node.op {
        faults.extend(state_fault(module, &read.name, &read.ty));
    }
    // The default origin is always there, also without any text.
    if node.origin.0 != 0 && node.origin.0 as usize >= module.origins.len() {
        faults.push(Fault::NoOrigin);
    }
    faults
}

fn state_fault(module: &Module, name: &str, ty: &Type) -> Option<Fault> {
    match module.state(name) {
        None => Some(Fault::NoState { name: name.to_owned() }),
        Some(state) if state.ty == *ty => None,
        Some(state) => Some(Fault::StateType {
            name: name.to_owned(),
            expected: state.ty.clone(),
            found: ty.clone(),
        }),
    }
}

/// What is wrong with a kernel: the index of the instruction and a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelError {
    /// Which instruction.
    pub inst: usize,
    /// Which rule it breaks.
    pub rule: &'static str,
}

impl fmt::Display for KernelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instruction %{}: {}", self.inst, self.rule)
    }
}

impl std::error::Error for KernelError {}

/// The type of every register; a store has none. Fails at the first broken rule.
pub fn kernel_dtypes(kernel: &Kernel) -> Result<Vec<Option<Dtype>>, KernelError> {
    let mut dtypes = Vec::with_capacity(kernel.body.len());
    for (inst, step) in kernel.body.iter().enumerate() {
        dtypes.push(inst_dtype(kernel, step, &dtypes).map_err(|rule| KernelError { inst, rule })?);
    }
    Ok(dtypes)
}

fn inst_dtype(
    kernel: &Kernel,
    inst: &Inst,
    dtypes: &[Option<Dtype>],
) -> Result<Option<Dtype>, &'static str> {
    let of = |reg: &Reg| {
        let found = dtypes.get(reg.0 as usize).copied().flatten();
        found.ok_or("a register is used before it has a value")
    };
    let operand = |at: usize| kernel.operands.get(at).ok_or("there is no such operand");
    match inst {
        Inst::Const { dtype, .. } => Ok(Some(*dtype)),
        Inst::Load { operand: at } => Ok(Some(operand(*at)?.dtype)),
        Inst::LoadAt { operand: at, index, .. } => {
            if of(index)? != Dtype::I32 {
                return Err("an index is i32");
            }
            Ok(Some(operand(*at)?.dtype))
        }
        Inst::Outer { axis } if *axis >= kernel.outer.len() => Err("there is no such outer axis"),
        Inst::Outer { .. } | Inst::Col => Ok(Some(Dtype::I32)),
        Inst::Row => match kernel.skeleton {
            Skeleton::Rows => Err("a row index is of columns or segments"),
            Skeleton::Columns { .. } | Skeleton::Segments { .. } => Ok(Some(Dtype::I32)),
        },
        Inst::Apply { op, args } => {
            let args: Vec<Dtype> = args.iter().map(of).collect::<Result<_, _>>()?;
            let result = op.result(&args).ok_or("the operation does not take these types")?;
            Ok(Some(result))
        }
        Inst::Reduce { value, .. } if of(value)?.is_narrow() => {
            Err("a reduction is of f32, f64 or i32")
        }
        Inst::Reduce { value, .. } => Ok(Some(of(value)?)),
        Inst::Store { operand: at, value } => {
            let operand = operand(*at)?;
            if !operand.is_output {
                return Err("a store goes to an output");
            }
            if of(value)? != operand.dtype {
                return Err("a store has the type of its operand");
            }
            Ok(None)
        }
    }
}
