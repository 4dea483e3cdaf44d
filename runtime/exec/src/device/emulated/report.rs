//! What went wrong, and where.

use std::fmt;

/// The sort of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The launch does not fit its entry.
    Launch,
    /// An access outside of its buffer, of shared memory or of a parameter.
    OutOfBounds,
    /// An address that is no multiple of the size of its access.
    Misaligned,
    /// Bytes are read that nothing wrote.
    Uninitialised,
    /// Two threads touch the same shared bytes with nothing between them, and one writes.
    SharedRace,
    /// A barrier that some threads of the block do not reach.
    DivergentBarrier,
    /// Bytes of an asynchronous copy are touched before it was waited for.
    UseBeforeWait,
    /// Lanes that an instruction names do not take part in it.
    DivergentLanes,
    /// More instructions than a kernel may take.
    Endless,
}

impl Kind {
    /// In words: `out of bounds`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Launch => "unfit launch",
            Self::OutOfBounds => "out of bounds",
            Self::Misaligned => "misaligned",
            Self::Uninitialised => "uninitialised read",
            Self::SharedRace => "race in shared memory",
            Self::DivergentBarrier => "divergent barrier",
            Self::UseBeforeWait => "use before wait",
            Self::DivergentLanes => "divergent lanes",
            Self::Endless => "endless",
        }
    }
}

/// The first fault of a launch, which stopped it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The sort.
    pub kind: Kind,
    /// The entry.
    pub entry: String,
    /// The text of the instruction; empty for a fault of the launch as a whole.
    pub instruction: String,
    /// The block.
    pub block: u64,
    /// The thread of the block.
    pub thread: u32,
    /// What happened, with its addresses: a sentence without a subject's name or full stop.
    pub what: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, entry, instruction, block, thread, what } = self;
        write!(f, "{} in `{entry}`", kind.name())?;
        if instruction.is_empty() {
            return write!(f, ": {what}");
        }
        write!(f, ", block {block}, thread {thread}, at `{instruction}`: {what}")
    }
}

impl std::error::Error for Report {}

/// A fault before it is known where it is.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) kind: Kind,
    pub(super) lane: u32,
    pub(super) what: String,
}

impl Fault {
    #[cold]
    pub(super) fn new(kind: Kind, lane: usize, what: String) -> Box<Self> {
        Box::new(Self { kind, lane: lane as u32, what })
    }
}

/// What an instruction leaves; a fault is rare, so it is behind a pointer.
pub(super) type Outcome<T = ()> = Result<T, Box<Fault>>;
