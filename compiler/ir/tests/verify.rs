//! The verifier accepts a small module and rejects each planted fault.

use ir::attr::{AttrError, Attrs};
use ir::builder::Builder;
use ir::graph::{Module, Origin, Role, State, Value, Within};
use ir::kernel::{Inst, Kernel, Operand, Reduction, Reg, Scalar, Skeleton};
use ir::ops::{Op, ShapeError};
use ir::types::{Dtype, Type};
use ir::verify::{Fault, kernel_dtypes, verify};

fn module() -> Module {
    let ty = Type::new(Dtype::F32, [2, 3]);
    let mut b = Builder::new("f");
    let x = b.state("x", ty.clone());
    let y = b.add(x, x);
    let z = b.sum(y, &[1]);
    b.store("x", y);
    b.store("z", z);
    let state =
        |name: &str, ty| State { name: name.to_owned(), ty, role: Role::Param, within: None };
    let states = vec![state("x", ty), state("z", Type::new(Dtype::F32, [2, 1]))];
    Module { states, functions: vec![b.finish()], origins: vec![String::new()] }
}

fn faults(change: impl Fn(&mut Module)) -> Vec<Fault> {
    let mut module = module();
    change(&mut module);
    let errors = verify(&module).expect_err("the fault is found");
    assert!(errors.iter().all(|e| !e.to_string().is_empty()));
    errors.into_iter().map(|e| e.fault).collect()
}

#[test]
fn a_built_module_is_valid() {
    assert_eq!(verify(&module()), Ok(()));
}

#[test]
fn operands_precede_users() {
    let found = faults(|m| m.functions[0].nodes[1].args[1] = Value(1));
    assert_eq!(found, [Fault::Order { operand: Value(1) }]);
    let found = faults(|m| m.functions[0].stores[0].1 = Value(9));
    assert_eq!(found, [Fault::Order { operand: Value(9) }]);
}

#[test]
fn types_are_those_of_the_shape_rule() {
    let found = faults(|m| m.functions[0].nodes[2].ty.shape[0] = 3);
    assert!(matches!(found[0], Fault::Type { .. }));
    let found = faults(|m| m.functions[0].nodes[1].args.truncate(1));
    assert_eq!(found[0], Fault::Shape(ShapeError::Count { expected: 2, found: 1 }));
}

#[test]
fn states_exist_once_and_with_the_right_type() {
    let found = faults(|m| m.states[1].name = "w".to_owned());
    assert_eq!(found, [Fault::NoState { name: "z".to_owned() }]);
    let found = faults(|m| m.states[1].ty.dtype = Dtype::F64);
    assert!(matches!(found[0], Fault::StateType { .. }));
    let found = faults(|m| m.states.push(m.states[0].clone()));
    assert_eq!(found, [Fault::Twice { name: "x".to_owned() }]);
    let found = faults(|m| m.functions[0].stores[1] = ("x".to_owned(), Value(1)));
    assert_eq!(found, [Fault::Twice { name: "x".to_owned() }]);
    let found = faults(|m| m.functions.push(m.functions[0].clone()));
    assert_eq!(found, [Fault::Twice { name: "f".to_owned() }]);
}

#[test]
fn tensors_keep_to_the_limits() {
    for shape in
        [vec![1 << 31], vec![1 << 19, 1 << 19], vec![1; 9], vec![1 << 30, 1 << 30, 1 << 30]]
    {
        let found = faults(|m| {
            let ty = Type::new(Dtype::F32, shape.clone());
            m.states.push(State { name: "big".to_owned(), ty, role: Role::Input, within: None });
        });
        assert!(matches!(found[..], [Fault::TooLarge { .. }]), "{shape:?}");
    }
}

/// `x` and `z` as pieces of a flat state, both read by `f`.
fn with_pieces(change: impl Fn(&mut Module)) -> Vec<Fault> {
    faults(|m| {
        let ty = Type::new(m.states[0].ty.dtype, [4, 16]);
        let flat = State { name: "flat".to_owned(), ty, role: Role::Param, within: None };
        m.states.push(flat);
        for (state, offset) in [(0, 0), (1, 32)] {
            m.states[state].within = Some(Within { state: "flat".to_owned(), offset });
        }
        assert_eq!(verify(m), Ok(()));
        change(m);
    })
}

#[test]
fn pieces_lie_side_by_side_in_a_state_of_their_type() {
    let misplaced = |name: &str| [Fault::Misplaced { name: name.to_owned() }];
    let within = |state: &str, offset| Some(Within { state: state.to_owned(), offset });
    assert_eq!(with_pieces(|m| m.states[1].within = within("nothing", 32)), misplaced("z"));
    assert_eq!(with_pieces(|m| m.states[1].within = within("x", 32))[0], misplaced("z")[0]);
    assert_eq!(with_pieces(|m| m.states[1].within = within("flat", 16)), misplaced("z"));
    assert_eq!(with_pieces(|m| m.states[1].within = within("flat", 64)), misplaced("z"));
    assert_eq!(with_pieces(|m| m.states[1].within = within("flat", 0)), misplaced("z"));
    assert_eq!(with_pieces(|m| m.states[2].ty.dtype = Dtype::F64)[0], misplaced("x")[0]);
}

#[test]
fn a_function_touches_a_state_or_its_pieces() {
    let found = with_pieces(|m| {
        let mut b = Builder::from_graph(m.functions[0].clone());
        b.state("flat", m.states[2].ty.clone());
        m.functions[0] = b.finish();
    });
    assert_eq!(found, [Fault::Torn { name: "flat".to_owned() }]);
}

#[test]
fn origins_exist() {
    let found = faults(|m| m.functions[0].nodes[0].origin = Origin(1));
    assert_eq!(found, [Fault::NoOrigin]);
}

#[test]
fn shape_rules_reject_what_does_not_fit() {
    let mut b = Builder::new("f");
    let x = b.full(1.0, Dtype::F32, &[2, 3]);
    let y = b.full(1.0, Dtype::F32, &[3, 2]);
    let i = b.full(1.0, Dtype::I32, &[2, 3]);
    let c = b.full(1.0, Dtype::Bool, &[2, 3]);
    use ir::ops;
    assert!(b.try_push(ops::add::Add, &[x, y]).is_err());
    assert!(b.try_push(ops::exp::Exp, &[i]).is_err());
    assert!(b.try_push(ops::add::Add, &[c, c]).is_err());
    assert!(b.try_push(ops::not::Not, &[x]).is_err());
    assert!(b.try_push(ops::dot::Dot, &[x, x]).is_err());
    assert!(b.try_push(ops::sum::Sum { axes: vec![2] }, &[x]).is_err());
    assert!(b.try_push(ops::sum::Sum { axes: vec![1, 0] }, &[x]).is_err());
    assert!(b.try_push(ops::permute::Permute { axes: vec![0, 0] }, &[x]).is_err());
    assert!(b.try_push(ops::reshape::Reshape { shape: vec![5] }, &[x]).is_err());
    assert!(b.try_push(ops::broadcast::Broadcast { shape: vec![4, 3] }, &[x]).is_err());
    assert!(b.try_push(ops::slice::Slice { axis: 1, start: 2, len: 2 }, &[x]).is_err());
    assert!(b.try_push(ops::slice::Slice { axis: 1, start: u64::MAX, len: 2 }, &[x]).is_err());
    assert!(b.try_push(ops::concat::Concat { axis: 0 }, &[x, y]).is_err());
    assert!(b.try_push(ops::concat::Concat { axis: 0 }, &[]).is_err());
    assert!(b.try_push(ops::pad::Pad { axis: 2, before: 0, after: 0 }, &[x]).is_err());
    assert!(b.try_push(ops::gather::Gather, &[x, x]).is_err());
    assert!(b.try_push(ops::scatter_add::ScatterAdd { rows: 1 }, &[i, x]).is_err());
    assert!(b.try_push(ops::select::Select, &[x, x, x]).is_err());
}

#[test]
fn narrow_floats_are_moved_and_multiplied_but_not_computed_with() {
    use ir::ops;
    let mut b = Builder::new("f");
    for dtype in [Dtype::F16, Dtype::Bf16] {
        let x = b.full(1.0, dtype, &[2, 3]);
        let wide = b.full(1.0, Dtype::F32, &[2, 3]);
        let ids = b.full(0.0, Dtype::I32, &[2]);
        assert!(b.try_push(ops::add::Add, &[x, x]).is_err());
        assert!(b.try_push(ops::lt::Lt, &[x, x]).is_err());
        assert!(b.try_push(ops::exp::Exp, &[x]).is_err());
        assert!(b.try_push(ops::sum::Sum { axes: vec![0] }, &[x]).is_err());
        assert!(b.try_push(ops::scatter_add::ScatterAdd { rows: 1 }, &[ids, x]).is_err());
        let y = b.transpose(x);
        let product = b.dot(x, y);
        assert_eq!(b.dtype(product), Dtype::F32);
        let wide = b.transpose(wide);
        assert!(b.try_push(ops::dot::Dot, &[x, wide]).is_err());
        let rows = b.gather(x, ids);
        assert_eq!(b.dtype(rows), dtype);
    }
}

#[test]
fn attributes_are_checked() {
    let none = Attrs::none();
    assert_eq!(Op::parse("sum", &none), Err(AttrError::Missing { key: "axes" }));
    assert!(matches!(Op::parse("summ", &none), Err(AttrError::Op { .. })));
    let odd = none.with("axis", ir::attr::Attr::Int(1));
    assert!(matches!(Op::parse("add", &odd), Err(AttrError::Unknown { .. })));
}

#[test]
fn kernels_are_typed() {
    let operand =
        |is_output| Operand { dtype: Dtype::F32, is_output, outer: vec![], row: 0, col: 1 };
    let kernel = |body: Vec<Inst>| Kernel {
        name: String::new(),
        skeleton: Skeleton::Rows,
        outer: vec![],
        cols: 2,
        operands: vec![operand(false), operand(true)],
        body,
    };
    let load = Inst::Load { operand: 0 };
    let store = |operand| Inst::Store { operand, value: Reg(0) };
    let types = kernel_dtypes(&kernel(vec![load.clone(), store(1)]));
    assert_eq!(types, Ok(vec![Some(Dtype::F32), None]));
    let apply = |op, at: u32| Inst::Apply { op, args: vec![Reg(at)] };
    let wrong = [
        vec![store(1)],
        vec![load.clone(), store(0)],
        vec![load.clone(), store(2)],
        vec![Inst::Col, store(1)],
        vec![Inst::Row],
        vec![Inst::Outer { axis: 0 }],
        vec![Inst::Col, apply(Scalar::Exp, 0)],
        vec![load.clone(), apply(Scalar::Exp, 1)],
        vec![
            load.clone(),
            apply(Scalar::Cast(Dtype::F16), 0),
            Inst::Reduce { kind: Reduction::Sum, value: Reg(1) },
        ],
        vec![load.clone(), apply(Scalar::Cast(Dtype::Bf16), 0), apply(Scalar::Neg, 1)],
        vec![load, Inst::LoadAt { operand: 0, index: Reg(0), stride: 1, bound: 1 }],
    ];
    for body in wrong {
        assert!(kernel_dtypes(&kernel(body.clone())).is_err(), "{body:?}");
    }
}
