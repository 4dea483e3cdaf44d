//! Attention tasks as text: sizes, then a line for each operand and kernel.

use super::super::lexer::{Cursor, TextError, list};
use super::{arg, named, print_arg, strides};
use crate::schedule::attention::{Attention, Band, Pass, Scratch, Strided, TileArg, TileKernel};

/// The text of a task, without the indent of its first line.
pub(super) fn print(a: &Attention, origin: &str) -> String {
    let Attention { batch, heads, groups, rows, keys, width, value_width, .. } = a;
    let sizes = format!("batch {batch} heads {heads} groups {groups} rows {rows} keys {keys}");
    let widths = format!("width {width} value_width {value_width}");
    let tile = list(&[a.row_tile, a.key_tile]);
    let mut text = format!("attention {sizes} {widths} tile {tile}{} {{", print_band(&a.band));
    let mut add = |name: &str, what: String| text += &format!("\n    {name} {what}");
    add("q", print_strided(&a.q));
    add("k", print_strided(&a.k));
    add("v", print_strided(&a.v));
    match &a.pass {
        Pass::Forward { score, finish } => {
            add("score", print_kernel(score));
            add("finish", print_kernel(finish));
        }
        Pass::Backward { dout, dq, dk, dv, weights } => {
            add("dout", print_strided(dout));
            add("dq", print_strided(dq));
            add("dk", print_strided(dk));
            add("dv", print_strided(dv));
            add("weights", print_kernel(weights));
        }
    }
    format!("{text}\n  }}{origin}")
}

fn print_band(band: &Band) -> String {
    let causal = if band.causal { " causal" } else { "" };
    let window = band.window.map_or(String::new(), |window| format!(" window {window}"));
    let offset = band.offset.map_or(String::new(), |arg| format!(" offset {}", print_arg(arg)));
    format!("{causal}{window}{offset}")
}

fn print_strided(x: &Strided) -> String {
    format!("{}{}", print_arg(x.arg), list(&x.strides))
}

fn print_kernel(kernel: &TileKernel) -> String {
    let arg = |arg: &TileArg| match arg {
        TileArg::Scratch(scratch) => word(*scratch).to_owned(),
        TileArg::Origin => "origin".to_owned(),
        TileArg::Global { arg, strides } => format!("{}{}", print_arg(*arg), list(strides)),
    };
    let args: Vec<String> = kernel.args.iter().map(arg).collect();
    format!("{} ({})", kernel.kernel, args.join(", "))
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

/// Reads what is behind `attention`.
pub(super) fn parse(c: &mut Cursor) -> Result<Attention, TextError> {
    let (batch, heads) = (named(c, "batch")?, named(c, "heads")?);
    let (groups, rows) = (named(c, "groups")?, named(c, "rows")?);
    let (keys, width) = (named(c, "keys")?, named(c, "width")?);
    let value_width = named(c, "value_width")?;
    c.keyword("tile")?;
    let error = c.error("rows and keys");
    let [row_tile, key_tile] = c.list()?.try_into().map_err(|_| error)?;
    let band = parse_band(c)?;
    c.sign('{')?;
    let (q, k, v) = (strided(c, "q")?, strided(c, "k")?, strided(c, "v")?);
    let pass = if c.is_word("score") {
        Pass::Forward { score: parse_kernel(c, "score")?, finish: parse_kernel(c, "finish")? }
    } else {
        let (dout, dq) = (strided(c, "dout")?, strided(c, "dq")?);
        let (dk, dv) = (strided(c, "dk")?, strided(c, "dv")?);
        Pass::Backward { dout, dq, dk, dv, weights: parse_kernel(c, "weights")? }
    };
    c.sign('}')?;
    Ok(Attention {
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
    })
}

fn parse_band(c: &mut Cursor) -> Result<Band, TextError> {
    let causal = c.takes_word("causal");
    let window = if c.takes_word("window") { Some(c.parsed()?) } else { None };
    let offset = if c.takes_word("offset") { Some(arg(c)?) } else { None };
    Ok(Band { causal, window, offset })
}

fn strided(c: &mut Cursor, name: &str) -> Result<Strided, TextError> {
    c.keyword(name)?;
    Ok(Strided { arg: arg(c)?, strides: strides(c)? })
}

fn parse_kernel(c: &mut Cursor, name: &str) -> Result<TileKernel, TextError> {
    c.keyword(name)?;
    let kernel = c.parsed()?;
    let mut args = vec![];
    c.sign('(')?;
    while !c.takes(')') {
        if !args.is_empty() {
            c.sign(',')?;
        }
        args.push(parse_arg(c)?);
    }
    Ok(TileKernel { kernel, args })
}

fn parse_arg(c: &mut Cursor) -> Result<TileArg, TextError> {
    if c.takes_word("origin") {
        return Ok(TileArg::Origin);
    }
    match Scratch::ALL.into_iter().find(|&scratch| c.takes_word(word(scratch))) {
        Some(scratch) => Ok(TileArg::Scratch(scratch)),
        None => Ok(TileArg::Global { arg: arg(c)?, strides: strides(c)? }),
    }
}
