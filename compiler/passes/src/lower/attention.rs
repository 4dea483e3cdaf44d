//! Lowers an attention that was found in a trace to the op.

use ir::graph::Value;
use ir::ops::attend::Attend;
use ir::ops::attention;
use ir::types::Dtype;
use sema::trace::attention::Attention;
use sema::trace::{Id, Prim, Trace};

use super::{Lowering, dtype};

impl Lowering<'_, '_> {
    /// The value of the second product, from queries, keys and values alone.
    pub(super) fn attention(&mut self, trace: &Trace, found: &Attention) -> Value {
        let result = &trace[found.out].ty;
        let to = dtype(result.elem, self.operands.real);
        let tensors = self.tensors(found);
        let [batch, rows, keys] = {
            let (q, k) = (self.b.shape(tensors[0]), self.b.shape(tensors[1]));
            [q[0], q[2], k[2]]
        };
        let mut args = tensors.to_vec();
        if let Some([of_rows, of_keys]) = found.segments {
            let has_heads = result.shape.len() == 4;
            args.push(self.segments(of_rows, has_heads, [batch, rows, 1]));
            args.push(self.segments(of_keys, has_heads, [batch, 1, keys]));
        }
        let drop = self.draw(trace, found, &mut args);
        let attend = Attend {
            scale: found.scale,
            is_causal: found.is_causal,
            window: found.window,
            has_segments: found.segments.is_some(),
            has_offset: false,
            drop,
        };
        let out = self.b.push(attention::Attention(attend), &args);
        let out = self.round(out, to);
        let heads_first = self.b.permute(out, &[0, 2, 1, 3]);
        self.b.reshape(heads_first, &result.shape)
    }

    /// Queries, keys and values with heads, keys as rows, all of one type that products read.
    fn tensors(&mut self, found: &Attention) -> [Value; 3] {
        let [q, k, v] =
            [found.queries, found.keys, found.values].map(|id| self.values[id.0 as usize]);
        let k = if found.keys_are_columns { self.b.transpose(k) } else { k };
        let dtypes = [q, k, v].map(|x| self.b.dtype(x));
        let common = if dtypes.iter().all(|&d| d == dtypes[0]) { dtypes[0] } else { Dtype::F32 };
        [q, k, v].map(|x| {
            let x = self.b.cast(x, common);
            let shape = self.b.shape(x);
            match shape[..] {
                [batch, n, width] => self.b.reshape(x, &[batch, 1, n, width]),
                _ => x,
            }
        })
    }

    /// Segments that line up with scores, as `[b, n]`.
    fn segments(&mut self, id: Id, has_heads: bool, [batch, rows, keys]: [u64; 3]) -> Value {
        let heads: &[u64] = if has_heads { &[1] } else { &[] };
        let lined_up = [&[batch], heads, &[rows, keys]].concat();
        let wide = self.b.broadcast(self.values[id.0 as usize], &lined_up);
        self.b.reshape(wide, &[batch, rows * keys])
    }

    /// Appends what the weights' dropout draws by; gives its probability.
    fn draw(&mut self, trace: &Trace, found: &Attention, args: &mut Vec<Value>) -> f64 {
        let Some(id) = found.dropout else { return 0.0 };
        let (Some(draw), Some(&stream)) = (self.operands.dropout, self.streams.get(&id)) else {
            return 0.0;
        };
        let Prim::Dropout(p) = trace[id].prim else { unreachable!("it was found as a dropout") };
        let stream = self.b.scalar_i32(stream.cast_signed());
        args.extend([stream, draw.seed, draw.step, draw.row]);
        p
    }
}
