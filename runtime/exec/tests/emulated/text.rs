//! Text that is no program, unfit launches, and every instruction once.

use exec::device::emulated::{self, Kind, Launch, Param, Program, Region, Shadow};
use ptx_builder::{
    AnyReg, Base, Class, Entry, Instr, Module, Op, Operand, Slot, Space, Stmt, Target,
};

use crate::device::module;

#[test]
fn text_that_ends_early_or_says_something_else_is_an_error() {
    let text = module(2, 32, "$head:\n add.s32 %r0, %r1, 7;\n @!%p1 bra $head;");
    assert!(Program::read(&text).is_ok());
    let first = text.find(".entry").unwrap();
    for end in first..text.trim_end().len() {
        assert!(Program::read(&text[..end]).is_err(), "{end}");
    }
    let others = [
        ("add.s32", "add.s33"),
        ("%r1, 7", "%r1, 70000000000"),
        ("%r0, %r1", "%f0, %r1"),
        ("%r0, %r1", "%r64, %r1"),
        ("bra $head", "bra $tail"),
        ("$head:", ""),
        ("sm_80", "sm_10"),
        (".b32 %r<64>", ".b32 %r<70000>"),
        (".b32 %r<64>", ".b32 %r<4294967295>"),
        (".b16 %h<16>", ".b16 %h<4294967295>"),
    ];
    for (from, to) in others {
        assert!(Program::read(&text.replace(from, to)).is_err(), "{from} {to}");
    }
}

#[test]
fn a_launch_fits_its_entry_or_is_refused() {
    let program = Program::read(&module(1, 32, "")).unwrap();
    let region = Region { start: 0, bytes: 64 };
    let address = [Param::Address { region: 0, offset: 0 }];
    let fits = Launch { entry: "kernel", params: &address, blocks: 1, shared_bytes: 0 };
    let run = |launch: Launch<'_>, region: Region| {
        let run = emulated::run(&program, &launch, &[region], &mut [0; 64], &mut Shadow::new(64));
        run.map_err(|report| report.kind)
    };
    assert_eq!(run(fits, region), Ok(()));
    let wrong = [
        Launch { entry: "other", ..fits },
        Launch { params: &[], ..fits },
        Launch { params: &[Param::Number(1)], ..fits },
        Launch { params: &[Param::Address { region: 1, offset: 0 }], ..fits },
        Launch { params: &[Param::Address { region: 0, offset: 65 }], ..fits },
        Launch { blocks: 1 << 31, ..fits },
        Launch { shared_bytes: 164 << 10, ..fits },
    ];
    for launch in wrong {
        assert_eq!(run(launch, region), Err(Kind::Launch), "{launch:?}");
    }
    for region in [Region { start: 1, bytes: 64 }, Region { start: u64::MAX, bytes: 2 }] {
        assert_eq!(run(fits, region), Err(Kind::Launch), "{region:?}");
    }
}

#[test]
fn every_instruction_runs() {
    for op in Op::all() {
        let operands: Vec<Operand> = op.slots().into_iter().map(operand).collect();
        let ret = Stmt::Instr(Instr { guard: None, op: Op::Ret, operands: vec![] });
        let body = [start(), vec![Stmt::Label(0)], vec![instr(op, count(op, operands)), ret]];
        let entry = Entry {
            name: "kernel".to_owned(),
            params: vec![Class::B64, Class::B32],
            threads: 32,
            resident: None,
            has_shared: true,
            regs: [8; 6],
            body: body.concat(),
        };
        let text = Module { target: Target::Sm80, entries: vec![entry] }.to_string();
        let program = Program::read(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let params = [Param::Address { region: 0, offset: 0 }, Param::Number(1)];
        let launch = Launch { entry: "kernel", params: &params, blocks: 1, shared_bytes: 64 };
        let mut shadow = Shadow::new(64);
        shadow.mark(0..64);
        let region = [Region { start: 0, bytes: 64 }];
        let run = emulated::run(&program, &launch, &region, &mut [0; 64], &mut shadow);
        // A branch to itself, and a copy by all lanes to one place.
        let expected = if op == Op::Bra {
            Err(Kind::Endless)
        } else if matches!(op, Op::CpAsync(_)) {
            Err(Kind::UseBeforeWait)
        } else {
            Ok(())
        };
        assert_eq!(run.map_err(|report| report.kind), expected, "{op:?}");
    }
}

/// The first register of a class holds an address or 0, the first 16 shared bytes hold zeros.
fn start() -> Vec<Stmt> {
    let reg = |class, index| Operand::Reg(AnyReg { class, index });
    let address = |base, offset| Operand::Address { base, offset };
    let zeros = vec![address(Base::Shared, 0), Operand::Int(0)];
    let more = vec![address(Base::Shared, 8), Operand::Int(0)];
    let store = Op::St(Space::Shared, Class::B64, ptx_builder::Width::One);
    let load = Op::Ld(Space::Param, Class::B64, ptx_builder::Width::One);
    let zero = |class| instr(Op::Mov(class), vec![reg(class, 0), Operand::Int(0)]);
    let is = Op::Setp(ptx_builder::Cmp::Eq, ptx_builder::Num::S32);
    vec![
        instr(store, zeros),
        instr(store, more),
        instr(Op::BarSync, vec![Operand::Int(0)]),
        zero(Class::B16),
        zero(Class::B32),
        instr(load, vec![reg(Class::B64, 0), address(Base::Param(0), 0)]),
        instr(Op::Mov(Class::F32), vec![reg(Class::F32, 0), Operand::F32(0)]),
        instr(Op::Mov(Class::F64), vec![reg(Class::F64, 0), Operand::F64(0)]),
        instr(is, vec![reg(Class::Pred, 0), reg(Class::B32, 0), Operand::Int(0)]),
    ]
}

fn instr(op: Op, operands: Vec<Operand>) -> Stmt {
    Stmt::Instr(Instr { guard: None, op, operands })
}

fn operand(slot: Slot) -> Operand {
    let class = |bits| match bits {
        16 => Class::B16,
        64 => Class::B64,
        _ => Class::B32,
    };
    match slot {
        Slot::Def(class) => Operand::Reg(AnyReg { class, index: 1 }),
        Slot::DefBits(bits) => Operand::Reg(AnyReg { class: class(bits), index: 1 }),
        Slot::Use(class) | Slot::Source(class) => Operand::Reg(AnyReg { class, index: 0 }),
        Slot::UseBits(bits) => Operand::Reg(AnyReg { class: class(bits), index: 0 }),
        Slot::Defs(n, bits) => Operand::Vector(
            (1..=n as u32).map(|index| AnyReg { class: class(bits), index }).collect(),
        ),
        Slot::Uses(n, bits) => Operand::Vector(vec![AnyReg { class: class(bits), index: 0 }; n]),
        Slot::Address(space) => Operand::Address {
            base: match space {
                Space::Global => Base::Reg(AnyReg { class: Class::B64, index: 0 }),
                Space::Shared => Base::Shared,
                Space::Param => Base::Param(0),
            },
            offset: 0,
        },
        Slot::Number => Operand::Int(0),
        Slot::Label => Operand::Label(0),
    }
}

/// What else an instruction wants of its operands.
fn count(op: Op, mut operands: Vec<Operand>) -> Vec<Operand> {
    if let Op::CpAsync(bytes) = op {
        operands[0] = Operand::Address { base: Base::Shared, offset: 16 };
        operands[2] = Operand::Int(bytes.into());
    }
    // All lanes are named, by the last operand.
    if matches!(op, Op::Shfl(_) | Op::Ballot | Op::BarWarpSync)
        && let Some(members) = operands.last_mut()
    {
        *members = Operand::Int(-1);
    }
    operands
}
