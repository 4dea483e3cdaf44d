//! A truth value for each row and key, part of a kernel, where each lane is.
//!
//! What depends on the row alone, or on the key alone, is evaluated once for each; truth values are
//! evaluated anew everywhere, for there are few registers for them.

use ir::body::Body;
use ir::kernel::{Inst, Kernel, Reg as Value, Scalar};
use ir::schedule::attention::TileArg;
use ir::types::Dtype;
use ptx_builder::{B32, Builder, Logic, Pred, Reg};

use super::meaning::Tile;
use crate::flow::{Flow, arguments};
use crate::ptx::emitter::{self, Emitter, Env};
use crate::ptx::memory::{Place, Pointer, advance};

/// A truth value under emission.
pub(super) struct Mask {
    kernel: Kernel,
    flow: Flow,
    root: usize,
    /// Whether each instruction depends on the row, and on the key.
    depends: Vec<[bool; 2]>,
    /// The parameter and strides of each operand that is loaded.
    memory: Vec<Option<(u32, [i64; 4])>>,
    /// Loads of the place of the tile: the instruction and the axis.
    origins: Vec<(usize, usize)>,
}

/// The sequence and the head.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub(super) batch: Reg<B32>,
    pub(super) head: Reg<B32>,
}

impl Mask {
    /// A truth value of a kernel whose arguments in memory start at a parameter.
    pub(super) fn new(tile: Tile<'_>, root: Value, first_param: usize) -> Self {
        let kernel = cut(tile.kernel, root);
        let flow = Flow::new(&kernel);
        let Some(Inst::Store { value, .. }) = kernel.body.last() else {
            unreachable!("the truth value is stored last")
        };
        let is_loaded = |at: usize| {
            kernel.body.iter().any(|inst| {
                matches!(inst, Inst::Load { operand } | Inst::LoadAt { operand, .. } if *operand == at)
            })
        };
        let mut param = u32::try_from(first_param).expect("parameters are few");
        let mut memory = vec![];
        for (at, arg) in tile.args.iter().enumerate() {
            let TileArg::Global { strides, .. } = arg else {
                memory.push(None);
                continue;
            };
            memory.push(is_loaded(at).then_some((param, *strides)));
            param += 1;
        }
        let origins = origins(&kernel, tile.args);
        let depends = depends(&kernel, &origins);
        Self { root: value.0 as usize, flow, depends, memory, origins, kernel }
    }

    /// Whether it holds for all rows and keys between two each, if it is of the kind for which
    /// that follows from the corners: linear comparisons that all have to hold.
    pub(super) fn holds_between(
        &self,
        b: &mut Builder,
        unit: Unit,
        rows: [Reg<B32>; 2],
        keys: [Reg<B32>; 2],
    ) -> Option<Reg<Pred>> {
        let is_linear = self.kernel.body.iter().enumerate().all(|(at, inst)| {
            let is_once = self.depends[at] == [false; 2];
            match inst {
                Inst::Const { .. } | Inst::Outer { .. } | Inst::Col | Inst::Store { .. } => true,
                Inst::Load { .. } | Inst::LoadAt { .. } => is_once,
                Inst::Apply { op, args } => {
                    let is_int = self.flow.types[args[0].0 as usize] == Dtype::I32;
                    let is_linear =
                        matches!(op, Scalar::Add | Scalar::Sub | Scalar::Lt | Scalar::Le);
                    is_once || (is_int && is_linear) || (!is_int && *op == Scalar::And)
                }
                Inst::Row | Inst::Reduce { .. } => false,
            }
        });
        if !is_linear {
            return None;
        }
        let mut all: Option<Reg<Pred>> = None;
        self.each(b, unit, &rows, &keys, |b, _, p| {
            all = Some(all.map_or(p, |all| b.plogic(Logic::And, all, p)));
        });
        all
    }

    /// The truth value at each row and key.
    pub(super) fn each(
        &self,
        b: &mut Builder,
        unit: Unit,
        rows: &[Reg<B32>],
        keys: &[Reg<B32>],
        mut then: impl FnMut(&mut Builder, [usize; 2], Reg<Pred>),
    ) {
        let bases = self.bases(b, unit);
        let mut e = Emitter::new(b, &self.kernel, &self.flow);
        let start = Place {
            pointers: bases.clone(),
            outer: vec![rows[0]],
            row: None,
            col: Some(keys[0]),
            writes: None,
        };
        let mut env = e.env();
        let zero = e.b.mov(0);
        // Places count from the first row and key of all.
        let origin = [unit.batch, unit.head, zero, zero];
        for &(at, axis) in &self.origins {
            env[at] = Some(vec![emitter::Value::Int(origin[axis])]);
        }
        e.eval_all(&self.of([false, false]), &mut env, &start);
        let mut by_key: Vec<(Env, Place)> = vec![];
        for &key in keys {
            let place = e.at_column(&start, key);
            let mut env = env.clone();
            e.eval_all(&self.of([false, true]), &mut env, &place);
            by_key.push((env, place));
        }
        for (i, &row) in rows.iter().enumerate() {
            let at_row = e.place_at(&bases, vec![row]);
            let mut of_row = env.clone();
            e.eval_all(&self.of([true, false]), &mut of_row, &at_row);
            for (j, (of_key, _)) in by_key.iter().enumerate() {
                let mut env: Env = of_row
                    .iter()
                    .zip(of_key)
                    .map(|(x, y)| x.as_ref().or(y.as_ref()).cloned())
                    .collect();
                let place = e.at_column(&at_row, keys[j]);
                e.eval_all(&self.of([true, true]), &mut env, &place);
                let Some([emitter::Value::Bool(p)]) = env[self.root].as_deref() else {
                    unreachable!("a mask is a truth value")
                };
                then(e.b, [i, j], *p);
            }
        }
    }

    /// The instructions that are evaluated for each row, for each key, for each of both.
    fn of(&self, wanted: [bool; 2]) -> Vec<usize> {
        let is_wanted = |&at: &usize| {
            let is_bool = self.flow.types[at] == Dtype::Bool;
            let depends = self.depends[at];
            let found = if is_bool && depends != [false; 2] { [true; 2] } else { depends };
            let is_known = self.origins.iter().any(|(origin, _)| *origin == at);
            let is_store = matches!(self.kernel.body[at], Inst::Store { .. });
            found == wanted && !is_known && !is_store
        };
        (0..self.kernel.body.len()).filter(is_wanted).collect()
    }

    /// Where the operands are for the first row and key of a unit.
    fn bases(&self, b: &mut Builder, unit: Unit) -> Vec<Pointer> {
        let mut bases = vec![];
        for (memory, operand) in self.memory.iter().zip(&self.kernel.operands) {
            let Some((param, strides)) = memory else {
                // Nothing is loaded from there.
                bases.push(Pointer::Shared(b.shared()));
                continue;
            };
            let address = b.param(*param);
            let mut pointer = Pointer::Global(b.to_global(address));
            for (index, stride) in [unit.batch, unit.head].into_iter().zip(strides) {
                pointer = advance(b, pointer, index, *stride, operand.dtype);
            }
            bases.push(pointer);
        }
        bases
    }
}

/// What a register needs, with primitive operations only, and a store of it.
fn cut(kernel: &Kernel, root: Value) -> Kernel {
    let flow = Flow::new(kernel);
    let dtypes: Vec<Dtype> = kernel.operands.iter().map(|o| o.dtype).collect();
    let mut body = Body::new();
    let mut map = vec![root; kernel.body.len()];
    for at in flow.needed(kernel, &[root.0 as usize], |_| true) {
        map[at] = body.copy(&kernel.body[at], &map, &dtypes);
    }
    body.store(0, map[root.0 as usize]);
    ir::expand::expand_kernel(&Kernel { body: body.finish(), ..kernel.clone() })
}

fn origins(kernel: &Kernel, args: &[TileArg]) -> Vec<(usize, usize)> {
    let mut found = vec![];
    for (at, inst) in kernel.body.iter().enumerate() {
        let Inst::LoadAt { operand, index, .. } = inst else { continue };
        if args[*operand] == TileArg::Origin {
            let Inst::Const { bits, .. } = kernel.body[index.0 as usize] else {
                unreachable!("the place of a tile is read number by number")
            };
            found.push((at, bits as usize));
        }
    }
    found
}

fn depends(kernel: &Kernel, origins: &[(usize, usize)]) -> Vec<[bool; 2]> {
    let mut depends: Vec<[bool; 2]> = vec![];
    for (at, inst) in kernel.body.iter().enumerate() {
        let own = match inst {
            Inst::Load { operand } | Inst::LoadAt { operand, .. } => {
                let operand = &kernel.operands[*operand];
                let is_origin = origins.iter().any(|(origin, _)| *origin == at);
                [operand.outer[0] != 0 && !is_origin, operand.col != 0 && !is_origin]
            }
            Inst::Outer { .. } => [true, false],
            Inst::Col => [false, true],
            Inst::Const { .. }
            | Inst::Row
            | Inst::Apply { .. }
            | Inst::Reduce { .. }
            | Inst::Store { .. } => [false, false],
        };
        let args = arguments(inst).into_iter().map(|arg| depends[arg.0 as usize]);
        let all = args.fold(own, |all, arg| [all[0] || arg[0], all[1] || arg[1]]);
        depends.push(all);
    }
    depends
}
