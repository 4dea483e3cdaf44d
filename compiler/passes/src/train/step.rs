//! One application of a rule: to one parameter, or to all that lie in flat states.

use ir::builder::Builder;
use ir::graph::Value;
use ir::ops::stage::Stage;
use ir::types::{Dtype, Type};
use sema::trace::StateVar;

use super::optimizer::Unit;
use crate::lower::{Operands, lower};
use crate::origins::Origins;

/// What a rule sees.
pub(super) struct Step<'a> {
    pub(super) unit: &'a Unit,
    /// As it is stored.
    pub(super) weight: Value,
    /// Clipped, f32.
    pub(super) grad: Value,
    /// f64 scalar.
    pub(super) lr: Value,
    /// f64 scalar.
    pub(super) t: Value,
}

/// What a step makes of a state when it is applied.
pub(super) struct Change {
    name: String,
    before: Value,
    /// In f32.
    pub(super) after: Value,
}

impl Step<'_> {
    /// The new weight, then every new moment.
    pub(super) fn rule(&self, b: &mut Builder, origins: &mut Origins<'_>) -> Vec<Change> {
        let Unit { rule, moments, .. } = self.unit;
        let read = |(name, state): (&String, &StateVar)| {
            let before = b.state(name, Type::new(Dtype::F32, state.ty.shape.clone()));
            (name.clone(), before)
        };
        let moments: Vec<(String, Value)> = moments.iter().zip(&rule.states).map(read).collect();
        let states: Vec<Value> = moments.iter().map(|m| m.1).collect();
        // A rule computes in f32, whatever the weight is stored in; one over `[m, n]` sees every
        // weight as a matrix.
        let weight = b.cast(self.weight, Dtype::F32);
        let view = &rule.inputs[0].ty.shape;
        let (weight, grad) = (b.reshape(weight, view), b.reshape(self.grad, view));
        let operands = Operands {
            inputs: &[weight, grad, self.lr, self.t],
            params: &[],
            states: &states,
            dropout: None,
            real: Dtype::F32,
        };
        let results = lower(b, rule, &operands, origins);
        let after = b.reshape(results.outputs[0], &self.unit.shape);
        let befores = [(self.unit.weight.clone(), self.weight)].into_iter().chain(moments);
        let afters = [after].into_iter().chain(results.states);
        let change = |((name, before), after): ((String, Value), Value)| {
            let after = b.push(Stage::Rule, &[after]);
            Change { name, before, after }
        };
        befores.zip(afters).map(change).collect()
    }

    /// The average of the weight: `keep · average + (1 − keep) · after`.
    ///
    /// Polyak and Juditsky 1992, with exponential weights.
    pub(super) fn average(&self, b: &mut Builder, keep: f64, after: Value) -> Change {
        let name = self.unit.ema.clone();
        let before = b.state(&name, Type::new(Dtype::F32, self.unit.shape.clone()));
        let old = b.full_like(keep, before);
        let old = b.mul(old, before);
        // The average is of weights as they are stored.
        let stored = b.cast(after, b.dtype(self.weight));
        let stored = b.cast(stored, Dtype::F32);
        let new = b.full_like(1.0 - keep, before);
        let new = b.mul(new, stored);
        let after = b.add(old, new);
        Change { name, before, after }
    }
}

/// Stores a change, or what was before when the step is skipped.
pub(super) fn commit(b: &mut Builder, is_sound: Value, change: Change) {
    let Change { name, before, after } = change;
    let ty = b.ty(before).clone();
    let is_sound = b.broadcast(is_sound, &ty.shape);
    let after = b.cast(after, ty.dtype);
    let value = b.select(is_sound, after, before);
    b.store(&name, value);
}
