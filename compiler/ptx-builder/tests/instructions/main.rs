//! Every instruction: its text, what the verifier and the assembler say.

mod assembler;

use ptx_builder::{
    AnyReg, Base, Class, Entry, Instr, Module, Op, Operand, Slot, Space, Stmt, Target, parse,
    verify,
};

/// Registers of each class; more than any instruction names.
const REGS: u32 = 24;

/// Hands out registers, so that no two operands of an instruction are one.
struct Regs([u32; 6]);

impl Regs {
    fn next(&mut self, class: Class) -> AnyReg {
        let at = Class::ALL.iter().position(|c| *c == class);
        let at = at.expect("all classes are listed");
        self.0[at] += 1;
        AnyReg { class, index: self.0[at] }
    }

    /// Whether `n` registers of a matrix product are sums, singles: the first four and the last.
    fn is_sum(&self, n: usize) -> bool {
        let [_, _, b32, _, f32, _] = self.0;
        n == 4 && (f32 == 0 || b32 > 4)
    }

    fn operand(&mut self, op: Op, slot: Slot) -> Operand {
        match slot {
            Slot::Def(class) | Slot::Use(class) | Slot::Source(class) => {
                Operand::Reg(self.next(class))
            }
            Slot::DefBits(bits) | Slot::UseBits(bits) => Operand::Reg(self.next(untyped(bits))),
            Slot::Defs(n, bits) | Slot::Uses(n, bits) => {
                let is_mma = matches!(op, Op::MmaF16 | Op::MmaBf16);
                let class = if is_mma && self.is_sum(n) {
                    Class::F32
                } else if let Op::Ld(_, class, _) | Op::St(_, class, _) = op {
                    class
                } else {
                    untyped(bits)
                };
                Operand::Vector((0..n).map(|_| self.next(class)).collect())
            }
            Slot::Address(Space::Param) => Operand::Address { base: Base::Param(0), offset: 0 },
            Slot::Address(Space::Shared) => Operand::Address { base: Base::Shared, offset: 32 },
            Slot::Address(Space::Global) => Operand::Address {
                base: Base::Reg(AnyReg { class: Class::B64, index: 0 }),
                offset: -16,
            },
            Slot::Number => {
                let bytes = if let Op::CpAsync(bytes) = op { bytes } else { 0 };
                Operand::Int(bytes.into())
            }
            Slot::Label => Operand::Label(0),
        }
    }
}

fn untyped(bits: u32) -> Class {
    match bits {
        1 => Class::Pred,
        16 => Class::B16,
        32 => Class::B32,
        _ => Class::B64,
    }
}

fn instr(op: Op) -> Instr {
    let mut regs = Regs([0; 6]);
    let operands = op.slots().into_iter().map(|slot| regs.operand(op, slot)).collect();
    Instr { guard: None, op, operands }
}

/// An entry with one instruction.
fn entry(op: Op) -> Entry {
    let instr = instr(op);
    let shared = |operand: &Operand| matches!(operand, Operand::Address { base: Base::Shared, .. });
    let has_shared = instr.operands.iter().any(shared);
    let back = Instr { guard: None, op: Op::Ret, operands: vec![] };
    let body = vec![Stmt::Label(0), Stmt::Instr(instr), Stmt::Instr(back)];
    let bits =
        if matches!(op, Op::Ld(Space::Param, Class::B32, _)) { Class::B32 } else { Class::B64 };
    Entry {
        name: "one".to_owned(),
        params: vec![bits],
        threads: 32,
        resident: Some(1),
        has_shared,
        regs: [REGS; 6],
        body,
    }
}

fn module(target: Target, op: Op) -> Module {
    Module { target, entries: vec![entry(op)] }
}

#[test]
fn every_instruction_comes_back_from_its_text() {
    for op in Op::all() {
        let module = module(Target::Sm80, op);
        let text = module.to_string();
        assert_eq!(parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}")), module, "{text}");
    }
}

/// Another operand of every kind in the place of each.
#[test]
fn an_operand_of_another_kind_is_refused() {
    let reg = |class| Operand::Reg(AnyReg { class, index: 1 });
    let others = [
        reg(Class::Pred),
        reg(Class::B16),
        reg(Class::B32),
        reg(Class::B64),
        reg(Class::F32),
        reg(Class::F64),
        Operand::Label(0),
        Operand::F64(0),
        Operand::Vector(vec![]),
    ];
    let mut n_refused = 0;
    for op in Op::all() {
        for at in 0..op.slots().len() {
            let accepted = others.iter().filter(|other| {
                let mut module = module(Target::Sm80, op);
                let Stmt::Instr(instr) = &mut module.entries[0].body[1] else { unreachable!() };
                instr.operands[at] = (*other).clone();
                verify(&module).is_empty()
            });
            let n = accepted.count();
            assert!(n <= 3, "{} takes {n} kinds as operand {at}", op.text());
            n_refused += others.len() - n;
        }
    }
    assert!(n_refused > 3000, "{n_refused}");
}

#[test]
fn what_is_not_well_formed_is_named() {
    let with = |change: fn(&mut Entry)| {
        let mut module = module(Target::Sm80, Op::Add(ptx_builder::Num::F32));
        change(&mut module.entries[0]);
        verify(&module).join("; ")
    };
    assert_eq!(with(|_| {}), "");
    assert_eq!(
        with(|e| e.regs[4] = 2),
        "`one`: add.rn.f32: operand 1 is Reg(AnyReg { class: F32, index: 2 }), wanted Use(F32)"
    );
    assert_eq!(
        with(|e| e.body.push(Stmt::Label(0))),
        "`one`: a label is placed twice; `one`: it does not end with a return"
    );
    assert_eq!(with(|e| e.threads = 2000), "`one`: a block of 2000 threads");
    assert_eq!(
        with(|e| e.params = vec![Class::F32]),
        "`one`: a parameter has neither 32 nor 64 bits"
    );
    let branch = Instr { guard: None, op: Op::Bra, operands: vec![Operand::Label(7)] };
    let mut module = module(Target::Sm80, Op::Ret);
    module.entries[0].body[1] = Stmt::Instr(branch);
    assert_eq!(verify(&module), ["`one`: bra: operand 0 is Label(7), wanted Label"]);
}

#[test]
fn text_that_is_no_module_is_refused_with_its_line() {
    let text = module(Target::Sm90, Op::BarSync).to_string();
    let wrong = |from: &str, to: &str| parse(&text.replace(from, to)).unwrap_err().to_string();
    assert_eq!(wrong("bar.sync 0", "bar.sink 0"), "line 18: no instruction `bar.sink`");
    assert_eq!(wrong("sm_90", "sm_10"), "line 2: no target `sm_10`");
    assert_eq!(wrong("8.0", "7.0"), "line 2: sm_90 is written in version 8.0");
    assert_eq!(wrong("bar.sync 0;", "bar.sync 0, 1;"), "`one`: bar.sync: 2 operands instead of 1");
    assert_eq!(wrong("ret;", "ret"), "line 20: expected an operand, found `}`");
    assert_eq!(parse("").unwrap_err().to_string(), "line 1: expected `.version`, found ``");
}

#[test]
fn the_assembler_takes_every_instruction() {
    let Some(assembler) = assembler::find() else { return };
    for target in Target::ALL {
        let entries = (0..).zip(Op::all()).map(|(at, op)| {
            let mut entry = entry(op);
            entry.name = format!("entry{at}");
            entry
        });
        let module = Module { target, entries: entries.collect() };
        let done = assembler.assemble(&module.to_string(), target.name());
        done.unwrap_or_else(|e| panic!("{e}"));
    }
}
