//! Schedules attention: forward with its sums in one task, gradients in another.

use ir::graph::Value;
use ir::ops::Lowering;
use ir::ops::attend::{Attend, Part, Sizes};
use ir::schedule::Task;
use ir::schedule::attention::{Attention, Band, Pass, Strided, TileKernel};
use ir::types::{Dtype, Type};

use super::super::emit::access;
use super::super::tile_kernels::{self, Drafted, Mask, Source};
use super::Scheduler;
use crate::access::Access;

/// Rows and keys of a tile are multiples of this.
const TILE_STEP: u64 = 16;

impl Scheduler<'_> {
    /// One task for the members, which belong to one attention.
    pub(super) fn attention(&mut self, members: &[Value]) {
        let (attend, part) = self.part(members[0]).expect("an attention comes before its cast");
        let types: Vec<Type> =
            self.graph[members[0]].args.iter().map(|&x| self.graph[x].ty.clone()).collect();
        let sizes = attend.sizes(part, &types).expect("the verifier knows the shapes");
        match part {
            Part::Out | Part::Lse => self.attention_forward(members, sizes),
            Part::Dq | Part::Dk | Part::Dv => self.attention_backward(members, attend, sizes),
        }
    }

    fn part(&self, value: Value) -> Option<(Attend, Part)> {
        let Lowering::Attention(attend, part) = self.graph[value].op.lowering() else {
            return None;
        };
        Some((attend, part))
    }

    fn member(&self, members: &[Value], wanted: Part) -> Option<Value> {
        members.iter().copied().find(|&m| self.part(m).is_some_and(|(_, part)| part == wanted))
    }

    fn attention_forward(&mut self, members: &[Value], mut sizes: Sizes) {
        let (out, lse) = (self.member(members, Part::Out), self.member(members, Part::Lse));
        let value = out.or(lse).expect("a forward task has a result");
        let (attend, part) = self.part(value).expect("a member is an attention");
        let args = self.graph[value].args.clone();
        let rounded = members.iter().copied().find(|&m| self.part(m).is_none());
        // Sums alone need no values; the products of a tile do.
        let values = if out.is_some() { args[2] } else { args[1] };
        if out.is_none() {
            sizes.value_width = sizes.width;
        }
        let mask = self.mask(attend, part, &args, sizes);
        let out = out.map(|out| self.rows_of_result(rounded.unwrap_or(out)));
        let lse = lse.map(|lse| self.row_numbers_to(lse));
        let cols = if out.is_some() { sizes.value_width } else { 1 };
        let score = self.tile_kernel(tile_kernels::score(&mask));
        let finish = self.tile_kernel(tile_kernels::finish([mask.tile[0], cols], out, lse));
        let tensors = [args[0], args[1], values];
        self.push_attention(&mask, tensors, Pass::Forward { score, finish }, value);
    }

    fn attention_backward(&mut self, members: &[Value], attend: Attend, sizes: Sizes) {
        let value = members[0];
        let args = self.graph[value].args.clone();
        let mask = self.mask(attend, Part::Dq, &args, sizes);
        let Sizes { batch, heads, groups, rows, keys, width, value_width } = sizes;
        let shapes = [
            (Part::Dq, ".dq", [batch, rows, heads, width]),
            (Part::Dk, ".dk", [batch, keys, groups, width]),
            (Part::Dv, ".dv", [batch, keys, groups, value_width]),
        ];
        let [dq, dk, dv] = shapes.map(|(part, suffix, shape)| {
            let member = self.member(members, part);
            if let Some(place) = member.and_then(|member| self.place_in_concat(member)) {
                return place;
            }
            let arg = match member {
                Some(member) => self.output(member),
                // Nobody reads it, but the task computes all three.
                None => self.temp(value, suffix, Dtype::F32, &shape),
            };
            let strides = Access::contiguous(&shape).strides;
            Strided { arg, strides: [strides[0], strides[2], strides[1], strides[3]] }
        });
        let dout = self.strided(args[3]);
        // Its rows come before its heads.
        let [batch, row, head, col] = dout.strides;
        let dout = Strided { strides: [batch, head, row, col], ..dout };
        let [lse, delta] = [args[4], args[5]].map(|x| {
            let Strided { arg, strides: [batch, head, row, _] } = self.strided(x);
            Source { arg, dtype: Dtype::F32, strides: [batch, head, row, 0] }
        });
        let weights = self.tile_kernel(tile_kernels::weights(&mask, lse, delta));
        let tensors = [args[0], args[1], args[2]];
        let pass = Pass::Backward { dout, dq, dk, dv, weights };
        self.push_attention(&mask, tensors, pass, value);
    }

    fn push_attention(&mut self, mask: &Mask, tensors: [Value; 3], pass: Pass, value: Value) {
        let Sizes { batch, heads, groups, rows, keys, width, value_width } = mask.sizes;
        let [q, k, v] = tensors.map(|x| self.strided(x));
        let Attend { is_causal: causal, window, .. } = mask.attend;
        let band = Band { causal, window, offset: mask.offset.map(|source| source.arg) };
        let [row_tile, key_tile] = mask.tile;
        let attention = Attention {
            batch,
            heads,
            groups,
            rows,
            keys,
            width,
            value_width,
            row_tile,
            key_tile,
            band,
            q,
            k,
            v,
            pass,
        };
        let origin = self.origin(value);
        self.out.push(Task::Attention { attention: Box::new(attention), origin });
    }

    fn tile_kernel(&mut self, (kernel, args): Drafted) -> TileKernel {
        TileKernel { kernel: self.kernels.intern(kernel), args }
    }

    /// Where an operand is, with up to four axes; the others have stride 0.
    fn strided(&self, value: Value) -> Strided {
        let access = access(&self.tasks, value);
        let mut strides = [0; 4];
        strides[..access.strides.len()].copy_from_slice(&access.strides);
        Strided { arg: self.place_of(value, &access), strides }
    }

    /// Where the result `[b,t,h,e]` goes.
    fn rows_of_result(&mut self, value: Value) -> Source {
        let ty = self.graph[value].ty.clone();
        let arg = self.output(value);
        let [batch, row, head, col] = Access::contiguous(&ty.shape).strides[..] else {
            unreachable!("a result has four axes")
        };
        Source { arg, dtype: ty.dtype, strides: [batch, head, row, col] }
    }

    /// Where a number `[b,h,t]` for each row goes.
    fn row_numbers_to(&mut self, value: Value) -> Source {
        let strides = Access::contiguous(&self.graph[value].ty.shape).strides;
        let arg = self.output(value);
        Source { arg, dtype: Dtype::F32, strides: [strides[0], strides[1], strides[2], 0] }
    }

    fn mask(&self, attend: Attend, part: Part, args: &[Value], sizes: Sizes) -> Mask {
        let extras = attend.extras(part.n_tensors());
        let source = |at: usize, axis: Option<usize>| {
            let Strided { arg, strides: from } = self.strided(args[at]);
            let mut strides = [0; 4];
            if let Some(axis) = axis {
                strides[0] = from[0];
                strides[axis] = from[1];
            }
            Source { arg, dtype: Dtype::I32, strides }
        };
        let shrunk = |tile: u64, n: u64| tile.min(n.next_multiple_of(TILE_STEP)).max(TILE_STEP);
        let [rows, keys] = self.target.score_tile;
        // Half of a tile on the diagonal is masked: where few lie off it, smaller ones save more
        // than they cost.
        let is_banded = attend.is_causal || attend.window.is_some();
        let parts = if is_banded && sizes.keys <= 2 * keys { 2 } else { 1 };
        let [rows, keys] = [rows, keys].map(|tile| tile / parts);
        Mask {
            attend,
            sizes,
            tile: [shrunk(rows, sizes.rows), shrunk(keys, sizes.keys)],
            segments: extras.segments.map(|[r, k]| [source(r, Some(2)), source(k, Some(3))]),
            offset: extras.offset.map(|at| source(at, None)),
            draw: extras.draw.map(|draw| draw.map(|at| source(at, None))),
        }
    }
}
