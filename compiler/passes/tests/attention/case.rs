//! An attention with its gradients, as a module.

use std::collections::BTreeMap;

use ir::builder::Builder;
use ir::eval::tensor::Tensor;
use ir::graph::{Module, Role, State, Value};
use ir::ops::OpDef;
use ir::ops::attend::{Attend, Sizes};
use ir::ops::attention::Attention;
use ir::types::{Dtype, Type};

/// A cheap hash as a number in -1..1.
pub(crate) fn noise(n: u64) -> f64 {
    let mut z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (z >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// An attention with its gradients as a module, and its inputs.
pub(crate) struct Case {
    pub(crate) module: Module,
    pub(crate) states: BTreeMap<String, Tensor>,
}

impl Case {
    pub(crate) fn new(attend: Attend, sizes: Sizes, dtype: Dtype, offset: i32) -> Self {
        let Sizes { batch, heads, groups, rows, keys, width, value_width } = sizes;
        let mut case = Self {
            module: Module { states: vec![], functions: vec![], origins: vec![String::new()] },
            states: BTreeMap::new(),
        };
        let mut b = Builder::new("f");
        let real = |shape: &[u64]| Type::new(dtype, shape);
        let int = |shape: &[u64]| Type::new(Dtype::I32, shape);
        let mut args = vec![
            case.input(&mut b, "q", real(&[batch, heads, rows, width]), |i| 2.0 * noise(i)),
            case.input(&mut b, "k", real(&[batch, groups, keys, width]), |i| 2.0 * noise(i + 999)),
            case.input(&mut b, "v", real(&[batch, groups, keys, value_width]), |i| noise(i + 77)),
        ];
        if attend.has_segments {
            // Three runs a sequence, of other lengths in the next one.
            let segment = |n: u64| move |i: u64| ((i % n + i / n) * 3 / n.max(1)) as f64;
            args.push(case.input(&mut b, "row_segments", int(&[batch, rows]), segment(rows)));
            args.push(case.input(&mut b, "key_segments", int(&[batch, keys]), segment(keys)));
        }
        if attend.has_offset {
            args.push(case.input(&mut b, "offset", int(&[]), |_| f64::from(offset)));
        }
        if attend.drop > 0.0 {
            for (i, name) in ["stream", "seed", "step", "row"].into_iter().enumerate() {
                args.push(case.input(&mut b, name, int(&[]), |_| 1000.0 * i as f64 + 3.0));
            }
        }
        let op = Attention(attend);
        let out = b.push(op.clone(), &args);
        let shape = b.shape(out);
        let grad = case.input(&mut b, "grad", Type::new(Dtype::F32, shape), |i| noise(i + 5555));
        // What is kept in f32 is not rounded for arithmetic, as a gradient on its way is.
        let grad = b.add(grad, grad);
        let flows = op.vjp(&mut b, &args, out, grad);
        case.output(&mut b, "out", out);
        for (name, flow) in ["dq", "dk", "dv"].into_iter().zip(flows) {
            case.output(&mut b, name, flow.expect("a gradient flows to each tensor"));
        }
        case.module.functions.push(b.finish());
        case
    }

    pub(crate) fn input(
        &mut self,
        b: &mut Builder,
        name: &str,
        ty: Type,
        of: impl Fn(u64) -> f64,
    ) -> Value {
        let numbers: Vec<f64> = (0..ty.len()).map(of).collect();
        self.states.insert(name.to_owned(), Tensor::from_numbers(ty.clone(), &numbers));
        self.state(name, ty.clone(), Role::Input);
        b.state(name, ty)
    }

    pub(crate) fn output(&mut self, b: &mut Builder, name: &str, value: Value) {
        let ty = b.ty(value).clone();
        self.states.insert(name.to_owned(), Tensor::zeros(ty.clone()));
        self.state(name, ty, Role::Output);
        b.store(name, value);
    }

    fn state(&mut self, name: &str, ty: Type, role: Role) {
        self.module.states.push(State { name: name.to_owned(), ty, role, within: None });
    }
}
