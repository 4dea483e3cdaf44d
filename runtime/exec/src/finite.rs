//! Which tensors hold numbers that are not finite.
//!
//! In: a plan's state. Out: what was found in weights, rule state and gradients, in the order of
//! the model. What has no floating-point elements is finite.

use plan::{Buffer, BufferId, Dtype, Plan, Role};

use crate::device::cpu::{Memory, widen_f16};

/// What is looked at when a step was skipped, in the order in which it is named.
pub(crate) const WATCHED: [Role; 4] = [Role::Param, Role::Cast, Role::OptState, Role::Grad];

/// One tensor, as far as its numbers are finite.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tensor {
    /// For people: `gradient of tok_emb.weight`.
    pub(crate) name: String,
    /// Elements.
    pub(crate) n: u64,
    /// Elements that are NaN or infinite.
    pub(crate) n_bad: u64,
    /// The largest magnitude of the others.
    pub(crate) largest: f64,
}

/// What a look at the state has found.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Found {
    /// Those with elements that are not finite.
    pub(crate) bad: Vec<Tensor>,
    /// The one with the largest finite magnitude.
    pub(crate) largest: Option<Tensor>,
}

/// Looks through all buffers of these roles.
pub(crate) fn look(plan: &Plan, memory: &Memory, roles: &[Role]) -> Found {
    let mut found = Found::default();
    for &role in roles {
        for (id, buffer) in of_role(plan, role) {
            let tensor = measure(buffer, memory.bytes(id));
            if found.largest.as_ref().is_none_or(|most| tensor.largest > most.largest) {
                found.largest = Some(tensor.clone());
            }
            if tensor.n_bad > 0 {
                found.bad.push(tensor);
            }
        }
    }
    found
}

/// The first tensor of these roles that is not finite; cheaper than all of them.
pub(crate) fn first_bad(plan: &Plan, memory: &Memory, roles: &[Role]) -> Option<String> {
    let all = roles.iter().flat_map(|&role| of_role(plan, role));
    let mut bad = all.filter(|(id, buffer)| !all_finite(buffer.dtype, memory.bytes(*id)));
    bad.next().map(|(_, buffer)| title(buffer))
}

/// The first counter that is NaN; one may wait for its first number at infinity.
pub(crate) fn first_nan_counter(plan: &Plan, memory: &Memory) -> Option<String> {
    let counters = of_role(plan, Role::Counter);
    let mut bad = counters.filter(|(id, b)| b.dtype == Dtype::F64 && has_nan(memory.bytes(*id)));
    bad.next().map(|(_, buffer)| buffer.name.clone())
}

/// Whether one of these f64 is no number.
pub(crate) fn has_nan(bytes: &[u8]) -> bool {
    chunks(bytes).any(|b| f64::from_le_bytes(b).is_nan())
}

/// The buffers of a role.
pub(crate) fn of_role(plan: &Plan, role: Role) -> impl Iterator<Item = (BufferId, &Buffer)> {
    (0u32..).map(BufferId).zip(&plan.buffers).filter(move |(_, b)| b.role == role)
}

/// Whether every element is finite.
pub(crate) fn all_finite(dtype: Dtype, bytes: &[u8]) -> bool {
    match dtype {
        Dtype::F32 => chunks(bytes).all(|b| f32::from_le_bytes(b).is_finite()),
        Dtype::F64 => chunks(bytes).all(|b| f64::from_le_bytes(b).is_finite()),
        Dtype::F16 => chunks(bytes).all(|b| half(b).is_finite()),
        Dtype::Bf16 => chunks(bytes).all(|b| bfloat(b).is_finite()),
        Dtype::I32 => true,
    }
}

fn chunks<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.as_chunks().0.iter().copied()
}

/// An IEEE half.
fn half(bytes: [u8; 2]) -> f64 {
    f64::from(widen_f16(u16::from_le_bytes(bytes)))
}

/// The upper half of an f32.
fn bfloat(bytes: [u8; 2]) -> f64 {
    f64::from(f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16))
}

fn measure(buffer: &Buffer, bytes: &[u8]) -> Tensor {
    let mut tensor = Tensor { name: title(buffer), n: 0, n_bad: 0, largest: 0.0 };
    match buffer.dtype {
        Dtype::F32 => chunks(bytes).for_each(|b| tensor.add(f64::from(f32::from_le_bytes(b)))),
        Dtype::F64 => chunks(bytes).for_each(|b| tensor.add(f64::from_le_bytes(b))),
        Dtype::F16 => chunks(bytes).for_each(|b| tensor.add(half(b))),
        Dtype::Bf16 => chunks(bytes).for_each(|b| tensor.add(bfloat(b))),
        Dtype::I32 => {}
    }
    tensor
}

impl Tensor {
    fn add(&mut self, x: f64) {
        self.n += 1;
        if x.is_finite() {
            self.largest = self.largest.max(x.abs());
        } else {
            self.n_bad += 1;
        }
    }
}

/// What people call a buffer.
pub(crate) fn title(buffer: &Buffer) -> String {
    let name = buffer.name.as_str();
    match buffer.role {
        Role::Param => format!("weight {name}"),
        Role::Grad => format!("gradient of {}", name.strip_prefix("grad.").unwrap_or(name)),
        Role::Cast => format!("16-bit copy of {}", name.strip_prefix("cast.").unwrap_or(name)),
        Role::OptState
        | Role::Counter
        | Role::Metric
        | Role::Input
        | Role::Output
        | Role::Cache
        | Role::Flat
        | Role::Temp => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_tells_infinity_from_its_largest_number() {
        let largest = [
            (Dtype::F32, f32::MAX.to_le_bytes().to_vec(), f32::INFINITY.to_le_bytes().to_vec()),
            (Dtype::F64, f64::MAX.to_le_bytes().to_vec(), f64::NAN.to_le_bytes().to_vec()),
            (Dtype::F16, vec![0xff, 0x7b], vec![0x00, 0xfc]),
            (Dtype::Bf16, vec![0x7f, 0x7f], vec![0x80, 0x7f]),
        ];
        for (dtype, good, bad) in largest {
            assert!(all_finite(dtype, &[good.clone(), good.clone()].concat()), "{dtype:?}");
            assert!(!all_finite(dtype, &[good, bad].concat()), "{dtype:?}");
        }
        assert!(all_finite(Dtype::I32, &[0xff; 8]));
    }
}
