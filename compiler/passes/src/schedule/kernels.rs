//! The different kernels of a schedule, each kept once.

use std::collections::BTreeMap;

use ir::kernel::Kernel;

/// Kernels by content; the name is no part of it.
#[derive(Debug, Default)]
pub(crate) struct Kernels {
    list: Vec<Kernel>,
    by_content: BTreeMap<String, usize>,
}

impl Kernels {
    /// The index of a kernel equal to this one.
    pub(crate) fn intern(&mut self, kernel: Kernel) -> usize {
        let content = format!(
            "{:?} {:?} {} {:?} {:?}",
            kernel.skeleton, kernel.outer, kernel.cols, kernel.operands, kernel.body
        );
        *self.by_content.entry(content).or_insert_with(|| {
            self.list.push(kernel);
            self.list.len() - 1
        })
    }

    pub(crate) fn into_list(self) -> Vec<Kernel> {
        self.list
    }
}
