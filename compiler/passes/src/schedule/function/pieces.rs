//! Gradients of an attention that go straight to their place in a concatenation.
//!
//! Queries, keys and values are often slices of one projection, so that their gradients are read by
//! a concatenation alone, through views. An attention writes with strides: it needs no copy.

use ir::graph::Value;
use ir::ops::{Lowering, View};
use ir::schedule::Arg;
use ir::schedule::attention::Strided;

use super::{Scheduler, parts};
use crate::access::Access;
use crate::coords::{Coords, through};

impl Scheduler<'_> {
    /// The place of a gradient `[b,t,h,k]` in the concatenation that alone reads it; none when
    /// something else does, or when strides do not reach it.
    pub(super) fn place_in_concat(&mut self, gradient: Value) -> Option<Strided> {
        let (concat, part, views) = self.concat_of(gradient)?;
        let shape = &self.graph[part].ty.shape;
        let mut at = Coords::identity(shape);
        for &view in views.iter().rev() {
            let x = self.graph[view].args[0];
            let Lowering::View(view @ (View::Reshape(_) | View::Permute(_))) =
                self.graph[view].op.lowering()
            else {
                return None;
            };
            at = through(&view, &self.graph[x].ty.shape, &at)?;
        }
        // A state may have readers that run between the attention and the concatenation.
        let is_ours = self.in_concat.iter().any(|&other| self.graph[concat].args.contains(&other));
        if self.places[concat.index()].is_some() && !is_ours {
            return None;
        }
        let whole = Access::contiguous(&self.graph[concat].ty.shape).strides;
        let (axis, all) = parts(self.graph, concat);
        let before = all.iter().take_while(|(x, _)| *x != Some(part)).map(|(_, len)| len);
        let start = before.sum::<u64>() * whole[axis].unsigned_abs();
        let to = self.output(concat);
        self.in_concat.insert(part);
        let stride = |i: usize| at.0[i].axis.map_or(0, |axis| whole[axis]);
        let arg = Arg { offset: to.offset + start, ..to };
        Some(Strided { arg, strides: [stride(0), stride(2), stride(1), stride(3)] })
    }

    /// The concatenation that alone reads a value, the part that it is, and the views between.
    fn concat_of(&self, value: Value) -> Option<(Value, Value, Vec<Value>)> {
        let (mut part, mut views) = (value, vec![]);
        loop {
            let reader = self.tasks.only_reader(part)?;
            if let Lowering::Concat { .. } = self.graph[reader].op.lowering() {
                return Some((reader, part, views));
            }
            if !self.tasks.is_view(reader) {
                return None;
            }
            views.push(reader);
            part = reader;
        }
    }
}
