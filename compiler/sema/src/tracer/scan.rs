//! `scan(cell, over: t)`: a layer of one place, taken along an axis with a state.
//!
//! In: a cell `(x, state) -> (y, state)` and a value with the axis. Out: every `y`, the axis put
//! back. The state starts at zero. A trace writes the places out one after the other, so a
//! gradient flows through all of them: backpropagation through time (Werbos 1990, "Backpropagation
//! Through Time: What It Does and How to Do It").

use std::rc::Rc;

use diag::{Code, Diagnostic, Span};

use super::builtin::Given;
use super::signature::Sizes;
use super::types::Ty;
use super::value::{Module, ModuleKind, Tensor, Value};
use super::{Eval, STEPS_OF_A_TURN, Stop, Tracer};
use crate::dim::Poly;
use crate::shape::Axis;
use crate::trace::Prim;

/// The axis that a scan runs along.
#[derive(Debug, Clone)]
pub(crate) struct Along {
    /// Its size, by which it is found.
    size: Poly,
    /// Where it is named.
    span: Span,
}

impl Tracer<'_> {
    /// `scan(cell, over: t)`.
    pub(super) fn scan(&mut self, given: &Given, span: Span) -> Eval<Value> {
        given.only(self, "scan", 1, &["over"], span)?;
        let inner = match given.value(self, 0, span)? {
            Value::Module(inner) => inner,
            Value::Hole => return Err(Stop),
            other => {
                let message = format!("`scan` takes a layer, found {}", self.describe(&other));
                let at = given.span(self, 0, span);
                return Err(self.fail(Diagnostic::new(Code::E0301, at, message).help(CELL)));
            }
        };
        let Some(over) = given.named("over") else {
            let message = "`scan` needs `over:`, the axis it runs along";
            return Err(self.fail(Diagnostic::new(Code::E0305, span, message).help(CELL)));
        };
        let along = Along { size: self.size(over)?, span: self.frame.spec[over].span };
        let kind = ModuleKind::Scan { inner, along };
        Ok(Value::Module(Rc::new(Module { kind, path: None, name: None, built: span })))
    }

    /// The cell applied at each place; while checking one place stands for all.
    pub(super) fn apply_scan(
        &mut self,
        path: &str,
        inner: &Rc<Module>,
        along: &Along,
        actuals: &[(Value, Span)],
        span: Span,
    ) -> Eval<Value> {
        let x = match actuals {
            [(Value::Tensor(x), _)] => x,
            [(Value::Hole, _)] => return Err(Stop),
            _ => return Err(self.error(Code::E0305, span, "a scanned layer takes one value")),
        };
        if matches!(inner.kind, ModuleKind::Opaque) {
            return Err(Stop);
        }
        let axis = self.scanned_axis(x, along)?;
        self.out.recurrence.get_or_insert(along.span);
        let n = if self.is_check() { 1 } else { self.number_of(&along.size, along.span)? };
        let path = inner.path.clone().unwrap_or_else(|| path.to_owned());
        let cell = Rc::new(Module { path: Some(path), ..(**inner).clone() });
        let mut state = None;
        let mut parts: Vec<Tensor> = Vec::new();
        for i in 0..n {
            self.step(STEPS_OF_A_TURN, span)?;
            let place = self.take(x, axis, i, span)?;
            let before = match state {
                Some(state) => state,
                None => self.first_state(&cell, &place, span)?,
            };
            let given = vec![(Value::Tensor(place), span), (before.clone(), span)];
            let (y, after) = match self.apply_module(&cell, given, span)? {
                Value::Tuple(pair) => self.pair(pair, inner, span)?,
                Value::Hole => return Err(Stop),
                _ => return Err(self.no_pair(inner, span)),
            };
            self.same_state(&before, &after, inner.built, span)?;
            state = Some(after);
            parts.push(self.with_axis(&y, axis, span)?);
        }
        self.side_by_side(&parts, axis, Axis { size: along.size.clone(), made: along.span }, span)
    }

    fn scanned_axis(&mut self, x: &Tensor, along: &Along) -> Eval<usize> {
        let places = |same: &dyn Fn(&Axis) -> bool| -> Vec<usize> {
            (0..x.shape.axes.len()).filter(|&i| same(&x.shape.axes[i])).collect()
        };
        let mut found = places(&|a| a.size == along.size);
        if found.is_empty() && !self.is_check() {
            // A layer that was given the scan as an argument has sizes of its own.
            let size = self.atoms.value(&along.size);
            found = places(&|a| self.atoms.value(&a.size) == size);
        }
        if let [axis] = found.as_slice() {
            return Ok(*axis);
        }
        let (size, shape) = (self.show(&along.size), self.show_shape(&x.shape));
        let message = if found.is_empty() {
            format!("`{shape}` has no axis `{size}` to scan")
        } else {
            format!("`over: {size}` is ambiguous in `{shape}`")
        };
        let help = "name an axis that it has once";
        Err(self.fail(Diagnostic::new(Code::E0406, along.span, message).help(help)))
    }

    /// Zeros of the type that the cell declares for its state.
    fn first_state(&mut self, cell: &Module, place: &Tensor, span: Span) -> Eval<Value> {
        let ModuleKind::Layer { decl, args } = &cell.kind else {
            return Err(self.no_pair(cell, span));
        };
        let formals = self.lib.decl(*decl).data.clone().unwrap_or_default();
        let [of_x, of_state] = formals.as_slice() else { return Err(self.no_pair(cell, span)) };
        let (Some(of_x), Some(of_state)) = (of_x.ty, of_state.ty) else {
            return Err(self.no_pair(cell, span));
        };
        let mut frame = self.lib.frame(*decl);
        frame.env = args.clone();
        frame.in_signature = true;
        let (ty, _) = self.within(frame, |t| {
            t.match_sizes(of_x, &Value::Tensor(place.clone()), Sizes::Caller);
            t.ty(of_state)
        });
        self.zeros(&ty?, cell, span)
    }

    fn zeros(&mut self, ty: &Ty, cell: &Module, span: Span) -> Eval<Value> {
        match ty {
            Ty::Tensor { elem, shape } if elem.is_float() => {
                self.constant(0.0, elem.clone(), shape.clone(), span).map(Value::Tensor)
            }
            Ty::Tuple(parts) => {
                let parts = parts.iter().map(|ty| self.zeros(ty, cell, span));
                Ok(Value::Tuple(parts.collect::<Eval<_>>()?))
            }
            Ty::Tensor { .. } | Ty::Kind(_) => Err(self.no_pair(cell, span)),
        }
    }

    fn pair(&mut self, pair: Vec<Value>, inner: &Module, span: Span) -> Eval<(Tensor, Value)> {
        match <[Value; 2]>::try_from(pair) {
            Ok([Value::Tensor(y), state]) => Ok((y, state)),
            Ok([Value::Hole, _]) => Err(Stop),
            Ok(_) | Err(_) => Err(self.no_pair(inner, span)),
        }
    }

    fn no_pair(&mut self, cell: &Module, span: Span) -> Stop {
        let message = "`scan` takes a layer of one place and a state, of real numbers";
        let diagnostic = Diagnostic::new(Code::E0410, span, message).help(CELL);
        let diagnostic =
            if cell.built == span { diagnostic } else { diagnostic.label(cell.built, "this one") };
        self.fail(diagnostic)
    }

    fn same_state(&mut self, a: &Value, b: &Value, built: Span, span: Span) -> Eval<()> {
        let (a, b) = match (a, b) {
            (Value::Tuple(a), Value::Tuple(b)) if a.len() == b.len() => {
                return a.iter().zip(b).try_for_each(|(a, b)| self.same_state(a, b, built, span));
            }
            (Value::Tensor(x), Value::Tensor(y)) if self.is_same(&x.shape, &y.shape) => {
                return Ok(());
            }
            (Value::Hole, _) | (_, Value::Hole) => return Err(Stop),
            (a, b) => (self.describe(a), self.describe(b)),
        };
        let message = format!("a scanned layer takes the state {a} but returns {b}");
        let diagnostic = Diagnostic::new(Code::E0410, span, message)
            .label(built, "this layer is scanned")
            .note("each place takes the state that the one before returns")
            .help(format!("return a state of {a} from the layer"));
        Err(self.fail(diagnostic))
    }

    /// With an axis of size 1 at `axis`.
    fn with_axis(&mut self, y: &Tensor, axis: usize, span: Span) -> Eval<Tensor> {
        let mut axes = y.shape.axes.clone();
        if axis > axes.len() {
            let message = format!("`{}` has no place for the axis", self.show_shape(&y.shape));
            return Err(self.error(Code::E0410, span, message));
        }
        axes.insert(axis, Axis { size: Poly::constant(1), made: span });
        self.reshape(y, axes, span)
    }

    fn side_by_side(
        &mut self,
        parts: &[Tensor],
        axis: usize,
        whole: Axis,
        span: Span,
    ) -> Eval<Value> {
        let Some(first) = parts.first() else {
            return Err(self.error(Code::E0302, whole.made, "there is no place to scan"));
        };
        let mut shape = first.shape.clone();
        shape.axes[axis] = whole;
        let ids: Vec<_> = parts.iter().map(|p| p.id).collect();
        if let ([_], false) = (parts, self.is_check()) {
            return Ok(Value::Tensor(Tensor { shape, ..first.clone() }));
        }
        let elem = first.elem.clone();
        self.emit(Prim::Concat { axis }, &ids, elem, shape, span).map(Value::Tensor)
    }
}

const CELL: &str = "write `scan(cell(..), over: t)` with `layer cell(..)(x: [b, i], state: [b, h]) -> ([b, h], [b, h])`";
