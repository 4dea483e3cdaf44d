//! Emitting instructions, with types and limits.

use diag::{Code, Diagnostic, Span};

use super::value::{Elem, Tensor};
use super::{Eval, MAX_INSTRS, MAX_STEPS, Mode, Stop, Tracer};
use crate::dim::Poly;
use crate::shape::{Axis, Shape};
use crate::trace::{Id, Instr, Prim, Type};

/// Elements of one value at most: 2^40 bytes of fp32.
const MAX_ELEMENTS: u64 = 1 << 38;

impl Tracer<'_> {
    /// A value computed by `prim` from `args`; while checking only who uses what is kept.
    pub(super) fn emit(
        &mut self,
        prim: Prim,
        args: &[Id],
        elem: Elem,
        shape: Shape,
        span: Span,
    ) -> Eval<Tensor> {
        if self.out.instrs.len().max(self.deps.len()) >= MAX_INSTRS {
            self.step(0, span)?;
            // Nothing that follows is walked.
            self.steps = MAX_STEPS + 1;
            let message = format!("this takes more than {MAX_INSTRS} instructions");
            return Err(self.error(Code::E0306, span, message));
        }
        let id = match self.mode {
            Mode::Check => {
                self.deps.push(args.to_vec());
                id(self.deps.len() - 1)
            }
            Mode::Trace(_) => {
                let ty = self.traced_type(&elem, &shape, span)?;
                let scope = self.frame.path.clone();
                self.out.instrs.push(Instr { prim, args: args.to_vec(), ty, span, scope });
                id(self.out.instrs.len() - 1)
            }
        };
        Ok(Tensor { id, elem, shape })
    }

    /// The type with every size as a number.
    pub(super) fn traced_type(&mut self, elem: &Elem, shape: &Shape, span: Span) -> Eval<Type> {
        let sizes = self.numbers(shape, span)?;
        Ok(Type { elem: elem.traced(&self.atoms), shape: sizes })
    }

    /// The sizes of a shape as numbers.
    pub(super) fn numbers(&mut self, shape: &Shape, span: Span) -> Eval<Vec<u64>> {
        assert!(shape.rest.is_none(), "ranks are known in a trace");
        let mut sizes = Vec::with_capacity(shape.axes.len());
        let mut elements = 1u64;
        for axis in &shape.axes {
            let value = self.atoms.value(&axis.size).and_then(|n| u64::try_from(n).ok());
            let total = value.and_then(|n| elements.checked_mul(n)).filter(|&n| n <= MAX_ELEMENTS);
            let (Some(value), Some(total)) = (value, total) else {
                return Err(self.too_large(shape, span));
            };
            sizes.push(value);
            elements = total;
        }
        Ok(sizes)
    }

    /// E0306, with the sizes computed as far as they can be.
    fn too_large(&mut self, shape: &Shape, span: Span) -> Stop {
        let sizes = shape.axes.iter().map(|axis| match self.atoms.value(&axis.size) {
            Some(size) => size.to_string(),
            None => "more than 2^63".to_owned(),
        });
        let sizes = sizes.collect::<Vec<_>>().join(", ");
        let message = format!("a value `{}` of [{sizes}] is too large", self.show_shape(shape));
        let diagnostic = Diagnostic::new(Code::E0306, span, message)
            .primary("this value")
            .note(format!("a value has at most {MAX_ELEMENTS} elements, 1 TiB of fp32"))
            .help("make one of the sizes smaller");
        self.fail(diagnostic)
    }

    /// One size as a number, in a trace.
    pub(super) fn number_of(&mut self, size: &Poly, span: Span) -> Eval<u64> {
        let value = self.atoms.value(size).and_then(|n| u64::try_from(n).ok());
        self.sized(value, span)
    }

    /// A number in every element.
    pub(super) fn constant(
        &mut self,
        x: f64,
        elem: Elem,
        shape: Shape,
        span: Span,
    ) -> Eval<Tensor> {
        self.emit(Prim::Const(x), &[], elem, shape, span)
    }

    /// In another element type; nothing happens when it is that one already.
    pub(super) fn cast(&mut self, x: &Tensor, elem: &Elem, span: Span) -> Eval<Tensor> {
        if x.elem == *elem {
            return Ok(x.clone());
        }
        self.emit(Prim::Cast, &[x.id], elem.clone(), x.shape.clone(), span)
    }

    /// Stretched to a shape that it lines up with.
    pub(super) fn stretch(&mut self, x: &Tensor, shape: &Shape, span: Span) -> Eval<Tensor> {
        if self.is_same(&x.shape, shape) {
            return Ok(Tensor { shape: shape.clone(), ..x.clone() });
        }
        self.emit(Prim::Broadcast, &[x.id], x.elem.clone(), shape.clone(), span)
    }

    /// Equal sizes; in a trace also sizes that only have equal numbers, where nothing has to move.
    pub(super) fn is_same(&self, a: &Shape, b: &Shape) -> bool {
        let number = |axis: &Axis| self.atoms.value(&axis.size);
        let equal = || a.axes.iter().map(number).eq(b.axes.iter().map(number));
        a.same(b) || (!self.is_check() && equal())
    }

    /// The same elements in another shape.
    pub(super) fn reshape(&mut self, x: &Tensor, axes: Vec<Axis>, span: Span) -> Eval<Tensor> {
        let shape = Shape { rest: x.shape.rest.clone(), axes };
        if self.is_same(&x.shape, &shape) {
            return Ok(Tensor { shape, ..x.clone() });
        }
        self.emit(Prim::Reshape, &[x.id], x.elem.clone(), shape, span)
    }

    /// Axis `i` of the result is axis `perm[i]` of `x`; axes are counted after a rest axis.
    pub(super) fn permute(&mut self, x: &Tensor, perm: &[usize], span: Span) -> Eval<Tensor> {
        if perm.iter().enumerate().all(|(i, &p)| i == p) {
            return Ok(x.clone());
        }
        let axes = perm.iter().map(|&p| x.shape.axes[p].clone()).collect();
        let shape = Shape { rest: x.shape.rest.clone(), axes };
        self.emit(Prim::Permute(perm.to_vec()), &[x.id], x.elem.clone(), shape, span)
    }

    /// The product of the sizes of some axes, as one axis.
    pub(super) fn merged(&mut self, axes: &[Axis], span: Span) -> Eval<Axis> {
        let mut size = Poly::constant(1);
        for axis in axes {
            let product = self.atoms.mul(&size, &axis.size);
            size = self.sized(product, span)?;
        }
        Ok(Axis { size, made: axes.last().map_or(span, |a| a.made) })
    }
}

fn id(index: usize) -> Id {
    Id(u32::try_from(index).expect("fewer than 2^32 values"))
}
