//! Attention as text: sizes in a line, then one for each operand and kernel.

use super::ParseError;
use super::parse::{self, Reader, arg, field, origin};
use super::print::{self, line, place};
use super::scan::Line;
use crate::{Attention, Band, Pass, Scratch, Step, Strided, TileArg, TileKernel};

/// Writes a step.
pub(super) fn print(out: &mut String, depth: usize, a: &Attention, origin: &str) {
    let Attention { batch, heads, groups, rows, keys, width, value_width, .. } = a;
    let sizes = format!("batch {batch} heads {heads} groups {groups} rows {rows} keys {keys}");
    let widths = format!("width {width} value_width {value_width}");
    let tile = format!("tile [{}, {}]", a.row_tile, a.key_tile);
    let band = band(&a.band);
    line(out, depth, &format!("attention {sizes} {widths} {tile}{band}{} {{", place(origin)));
    let mut operand = |name: &str, x: &Strided| {
        line(out, depth + 1, &format!("{name} {}", moved(&print::arg(&x.arg), x.strides)));
    };
    operand("q", &a.q);
    operand("k", &a.k);
    operand("v", &a.v);
    match &a.pass {
        Pass::Forward { score, finish } => {
            line(out, depth + 1, &kernel("score", score));
            line(out, depth + 1, &kernel("finish", finish));
        }
        Pass::Backward { dout, dq, dk, dv, weights } => {
            operand("dout", dout);
            operand("dq", dq);
            operand("dk", dk);
            operand("dv", dv);
            line(out, depth + 1, &kernel("weights", weights));
        }
    }
    line(out, depth, "}");
}

fn band(band: &Band) -> String {
    let mut text = String::new();
    if band.causal {
        text += " causal";
    }
    if let Some(window) = band.window {
        text += &format!(" window {window}");
    }
    if let Some(offset) = &band.offset {
        text += &format!(" offset {}", print::arg(offset));
    }
    text
}

fn moved(place: &str, [batch, head, row, column]: [i64; 4]) -> String {
    format!("{place} [{batch}, {head}, {row}, {column}]")
}

fn kernel(name: &str, kernel: &TileKernel) -> String {
    let arg = |arg: &TileArg| match arg {
        TileArg::Scratch(scratch) => word(*scratch).to_owned(),
        TileArg::Origin => "origin".to_owned(),
        TileArg::Global { arg, strides } => moved(&print::arg(arg), *strides),
    };
    let args: Vec<String> = kernel.args.iter().map(arg).collect();
    format!("{name} c{}({})", kernel.code, args.join(", "))
}

fn word(scratch: Scratch) -> &'static str {
    match scratch {
        Scratch::Scores => "scores",
        Scratch::Grads => "grads",
        Scratch::Top => "top",
        Scratch::Sum => "sum",
        Scratch::Factor => "factor",
        Scratch::Acc => "acc",
    }
}

/// Reads what is behind `attention`, and the lines that follow.
pub(super) fn parse(r: &mut Reader<'_>, head: &mut Line) -> Result<Step, ParseError> {
    let (batch, heads) = (field(head, "batch")?, field(head, "heads")?);
    let (groups, rows) = (field(head, "groups")?, field(head, "rows")?);
    let (keys, width) = (field(head, "keys")?, field(head, "width")?);
    let value_width = field(head, "value_width")?;
    head.name("tile")?;
    let [row_tile, key_tile] = head.array()?;
    let causal = head.accept_name("causal");
    let window = if head.accept_name("window") { Some(head.number()?) } else { None };
    let offset = if head.accept_name("offset") { Some(arg(head)?) } else { None };
    let band = Band { causal, window, offset };
    let origin = origin(head)?;
    head.mark('{')?;
    head.end()?;
    let (q, k, v) = (parse_operand(r, "q")?, parse_operand(r, "k")?, parse_operand(r, "v")?);
    let pass = if r.follows("score") {
        Pass::Forward { score: parse_kernel(r, "score")?, finish: parse_kernel(r, "finish")? }
    } else {
        let (dout, dq) = (parse_operand(r, "dout")?, parse_operand(r, "dq")?);
        let (dk, dv) = (parse_operand(r, "dk")?, parse_operand(r, "dv")?);
        Pass::Backward { dout, dq, dk, dv, weights: parse_kernel(r, "weights")? }
    };
    parse::close(r)?;
    let attention = Attention {
        batch,
        heads,
        groups,
        rows,
        keys,
        width,
        value_width,
        row_tile,
        key_tile,
        band,
        q,
        k,
        v,
        pass,
    };
    Ok(Step::Attention { attention, origin })
}

fn parse_operand(r: &mut Reader<'_>, name: &str) -> Result<Strided, ParseError> {
    let mut line = r.line()?;
    line.name(name)?;
    let operand = Strided { arg: arg(&mut line)?, strides: line.array()? };
    line.end()?;
    Ok(operand)
}

fn parse_kernel(r: &mut Reader<'_>, name: &str) -> Result<TileKernel, ParseError> {
    let mut line = r.line()?;
    line.name(name)?;
    let code = line.id('c')?;
    let mut args = Vec::new();
    line.mark('(')?;
    while !line.accept(')') {
        if !args.is_empty() {
            line.mark(',')?;
        }
        args.push(parse_arg(&mut line)?);
    }
    line.end()?;
    Ok(TileKernel { code, args })
}

fn parse_arg(line: &mut Line) -> Result<TileArg, ParseError> {
    if line.accept_name("origin") {
        return Ok(TileArg::Origin);
    }
    match Scratch::ALL.into_iter().find(|&scratch| line.accept_name(word(scratch))) {
        Some(scratch) => Ok(TileArg::Scratch(scratch)),
        None => Ok(TileArg::Global { arg: arg(line)?, strides: line.array()? }),
    }
}
