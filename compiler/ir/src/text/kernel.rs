//! Text of kernels: the space, the operands, one instruction a line.

use std::fmt::Write;

use super::lexer::{Cursor, TextError, list, quote};
use crate::kernel::{Inst, Kernel, Operand, Reduction, Reg, Scalar, Skeleton};
use crate::narrow;
use crate::types::Dtype;

const REDUCTIONS: [(Reduction, &str); 3] = [
    (Reduction::Sum, "reduce.sum"),
    (Reduction::Max, "reduce.max"),
    (Reduction::Min, "reduce.min"),
];

/// The text of a kernel.
pub fn print_kernel(kernel: &Kernel) -> String {
    let mut out = format!("kernel {} {{\n", quote(&kernel.name));
    let skeleton = match kernel.skeleton {
        Skeleton::Rows => "rows".to_owned(),
        Skeleton::Columns { rows, block } => format!("columns {rows} block {block}"),
        Skeleton::Segments { starts, order } => format!("segments {starts} order {order}"),
    };
    let _ = writeln!(out, "  {skeleton} outer {} cols {}", list(&kernel.outer), kernel.cols);
    for operand in &kernel.operands {
        let Operand { dtype, is_output, outer, row, col } = operand;
        let way = if *is_output { "out" } else { "in" };
        let _ = writeln!(out, "  {way} {dtype} outer {} row {row} col {col}", list(outer));
    }
    for (i, inst) in kernel.body.iter().enumerate() {
        let _ = writeln!(out, "  %{i} = {}", print_inst(inst));
    }
    out.push_str("}\n");
    out
}

fn print_inst(inst: &Inst) -> String {
    match inst {
        Inst::Const { dtype, bits } => format!("const {dtype} {}", number(*dtype, *bits)),
        Inst::Load { operand } => format!("load {operand}"),
        Inst::LoadAt { operand, index, stride, bound } => {
            format!("load_at {operand} %{} stride {stride} bound {bound}", index.0)
        }
        Inst::Outer { axis } => format!("outer {axis}"),
        Inst::Row => "row".to_owned(),
        Inst::Col => "col".to_owned(),
        Inst::Apply { op, args } => {
            let args: Vec<String> = args.iter().map(|a| format!("%{}", a.0)).collect();
            format!("{} {}", op.name(), args.join(", "))
        }
        Inst::Reduce { kind, value } => {
            let found = REDUCTIONS.iter().find(|(k, _)| k == kind);
            let (_, name) = found.expect("REDUCTIONS lists every one");
            format!("{name} %{}", value.0)
        }
        Inst::Store { operand, value } => format!("store {operand} %{}", value.0),
    }
}

/// The shortest digits that give these bits; hexadecimal bits where digits do not tell.
fn number(dtype: Dtype, bits: u64) -> String {
    let (digits, again) = match dtype {
        Dtype::F32 | Dtype::F16 | Dtype::Bf16 => {
            let value = f32::from_bits(bits as u32);
            (format!("{value:?}"), u64::from(value.to_bits()))
        }
        Dtype::F64 => (format!("{:?}", f64::from_bits(bits)), bits),
        Dtype::I32 => ((bits as u32 as i32).to_string(), u64::from(bits as u32)),
        Dtype::Bool => return format!("0x{bits:x}"),
    };
    if digits == "NaN" || again != bits { format!("0x{bits:x}") } else { digits }
}

/// The kernel that prints as `text`.
pub fn parse_kernel(text: &str) -> Result<Kernel, TextError> {
    let mut c = Cursor::new(text)?;
    let kernel = kernel(&mut c)?;
    c.end().map(|()| kernel)
}

pub(super) fn kernel(c: &mut Cursor) -> Result<Kernel, TextError> {
    c.keyword("kernel")?;
    let name = c.text()?;
    c.sign('{')?;
    let skeleton = skeleton(c)?;
    c.keyword("outer")?;
    let outer = c.list()?;
    c.keyword("cols")?;
    let cols = c.parsed()?;
    let mut operands = vec![];
    while c.is_word("in") || c.is_word("out") {
        operands.push(operand(c)?);
    }
    let mut body: Vec<Inst> = vec![];
    while !c.takes('}') {
        let error = c.error(format!("`%{}`", body.len()));
        if c.reg()?.0 as usize != body.len() {
            return Err(error);
        }
        c.sign('=')?;
        body.push(inst(c)?);
    }
    Ok(Kernel { name, skeleton, outer, cols, operands, body })
}

fn skeleton(c: &mut Cursor) -> Result<Skeleton, TextError> {
    if c.takes_word("rows") {
        return Ok(Skeleton::Rows);
    }
    if c.takes_word("columns") {
        let rows = c.parsed()?;
        c.keyword("block")?;
        return Ok(Skeleton::Columns { rows, block: c.parsed()? });
    }
    c.keyword("segments")?;
    let starts = c.parsed()?;
    c.keyword("order")?;
    Ok(Skeleton::Segments { starts, order: c.parsed()? })
}

fn operand(c: &mut Cursor) -> Result<Operand, TextError> {
    let is_output = c.word()? == "out";
    let dtype = c.dtype()?;
    c.keyword("outer")?;
    let outer = c.list()?;
    c.keyword("row")?;
    let row = c.parsed()?;
    c.keyword("col")?;
    Ok(Operand { dtype, is_output, outer, row, col: c.parsed()? })
}

fn inst(c: &mut Cursor) -> Result<Inst, TextError> {
    let error = c.error("an instruction");
    let name = c.word()?;
    if let Some((kind, _)) = REDUCTIONS.iter().find(|(_, n)| *n == name) {
        return Ok(Inst::Reduce { kind: *kind, value: c.reg()? });
    }
    match name.as_str() {
        "const" => {
            let dtype = c.dtype()?;
            Ok(Inst::Const { dtype, bits: bits(c, dtype)? })
        }
        "load" => Ok(Inst::Load { operand: c.parsed()? }),
        "load_at" => {
            let (operand, index) = (c.parsed()?, c.reg()?);
            c.keyword("stride")?;
            let stride = c.parsed()?;
            c.keyword("bound")?;
            Ok(Inst::LoadAt { operand, index, stride, bound: c.parsed()? })
        }
        "outer" => Ok(Inst::Outer { axis: c.parsed()? }),
        "row" => Ok(Inst::Row),
        "col" => Ok(Inst::Col),
        "store" => Ok(Inst::Store { operand: c.parsed()?, value: c.reg()? }),
        name => {
            let op = Scalar::parse(name).ok_or(error)?;
            Ok(Inst::Apply { op, args: regs(c)? })
        }
    }
}

fn regs(c: &mut Cursor) -> Result<Vec<Reg>, TextError> {
    let mut regs = vec![c.reg()?];
    while c.takes(',') {
        regs.push(c.reg()?);
    }
    Ok(regs)
}

fn bits(c: &mut Cursor, dtype: Dtype) -> Result<u64, TextError> {
    let error = c.error("a number of this type");
    let number = c.number()?;
    if let Some(digits) = number.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).map_err(|_| error);
    }
    let bits = match dtype {
        Dtype::F32 | Dtype::F16 | Dtype::Bf16 => {
            number.parse().ok().map(|x: f32| u64::from(narrow::round(dtype, x).to_bits()))
        }
        Dtype::F64 => number.parse().ok().map(f64::to_bits),
        Dtype::I32 => number.parse().ok().map(|x: i32| u64::from(x as u32)),
        Dtype::Bool => None,
    };
    bits.ok_or(error)
}
