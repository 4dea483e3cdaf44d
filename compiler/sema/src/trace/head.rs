//! Which weights make the output: the last product and what is added to it.
//!
//! The way back from the output goes through elementwise operations and views and ends at products;
//! a table that is read by ids too, a tied head, stays an embedding.

use super::{Id, Prim, Trace};

impl Trace {
    /// Marks the weights that make the first output.
    pub(crate) fn mark_head(&mut self) {
        let mut seen = vec![false; self.instrs.len()];
        let mut open: Vec<Id> = self.outputs.first().copied().into_iter().collect();
        while let Some(id) = open.pop() {
            if std::mem::replace(&mut seen[id.0 as usize], true) {
                continue;
            }
            let instr = &self.instrs[id.0 as usize];
            match &instr.prim {
                Prim::Param(index) => {
                    let param = &mut self.params[*index];
                    param.is_head = !matches!(param.layer.as_str(), "embedding" | "positions");
                }
                Prim::Dot => {
                    let weights = instr.args.iter().filter_map(|&arg| self.weight(arg));
                    open.extend(weights.collect::<Vec<_>>());
                }
                Prim::Unary(_)
                | Prim::Binary(_)
                | Prim::PowInt(_)
                | Prim::Select
                | Prim::Cast
                | Prim::Broadcast
                | Prim::Reshape
                | Prim::Permute(_)
                | Prim::Slice { .. }
                | Prim::Concat { .. }
                | Prim::Softmax { .. }
                | Prim::Dropout(_) => open.extend(instr.args.iter().copied()),
                Prim::Input(_)
                | Prim::State(_)
                | Prim::Const(_)
                | Prim::Reduce { .. }
                | Prim::Gather
                | Prim::Pick
                | Prim::Iota { .. } => {}
            }
        }
    }

    /// The weight that a value only shows another way.
    fn weight(&self, of: Id) -> Option<Id> {
        let mut id = of;
        loop {
            let instr = &self.instrs[id.0 as usize];
            match &instr.prim {
                Prim::Param(_) => return Some(id),
                Prim::Cast
                | Prim::Broadcast
                | Prim::Reshape
                | Prim::Permute(_)
                | Prim::Slice { .. } => id = instr.args[0],
                Prim::Input(_)
                | Prim::State(_)
                | Prim::Const(_)
                | Prim::Unary(_)
                | Prim::Binary(_)
                | Prim::PowInt(_)
                | Prim::Select
                | Prim::Concat { .. }
                | Prim::Reduce { .. }
                | Prim::Softmax { .. }
                | Prim::Dot
                | Prim::Gather
                | Prim::Pick
                | Prim::Iota { .. }
                | Prim::Dropout(_) => return None,
            }
        }
    }
}
