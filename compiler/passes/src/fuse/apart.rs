//! Why tasks that might have been one are apart; for people.

use ir::graph::Value;

/// Two tasks that stayed apart, each by a node of it, and why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Apart {
    /// Of the task that reads.
    pub(crate) reader: Value,
    /// Of the task that is read.
    pub(crate) read: Value,
    pub(crate) why: Why,
}

/// What stood against it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Why {
    /// The axes of the reader do not follow rows and columns of the product.
    Axes,
    /// No block has a part of so many neighbouring columns.
    Columns(u64),
    /// The reader reduces rows of so many columns, and a block holds fewer.
    Rows(u64),
    /// The reader reduces parts of so many columns of rows of so many.
    Parts(u64, u64),
    /// Both together have so many nodes.
    Members(usize),
    /// Not all is read at its own place.
    Places,
    /// A third task, here by a node of it, stands between.
    Around(Value),
}
