//! Numbers with units, and strings with escapes and interpolation.

use crate::ast::{Number, StrLit, StrPart, Unit};
use diag::{Code, Diagnostic, FileId, Span};

/// How a unit scales the number it touches.
#[derive(Clone, Copy)]
enum Scale {
    /// A power of ten, applied to the decimal exponent so that `10%` is exactly `0.1`.
    Ten(i32),
    /// A whole factor.
    Times(i64),
}

const UNITS: &[(&str, Unit, Scale)] = &[
    ("k", Unit::Count, Scale::Ten(3)),
    ("M", Unit::Count, Scale::Ten(6)),
    ("B", Unit::Count, Scale::Ten(9)),
    ("T", Unit::Count, Scale::Ten(12)),
    ("Ki", Unit::Count, Scale::Times(1 << 10)),
    ("Mi", Unit::Count, Scale::Times(1 << 20)),
    ("Gi", Unit::Count, Scale::Times(1 << 30)),
    ("%", Unit::Percent, Scale::Ten(-2)),
    ("KB", Unit::Bytes, Scale::Ten(3)),
    ("MB", Unit::Bytes, Scale::Ten(6)),
    ("GB", Unit::Bytes, Scale::Ten(9)),
    ("TB", Unit::Bytes, Scale::Ten(12)),
    ("KiB", Unit::Bytes, Scale::Times(1 << 10)),
    ("MiB", Unit::Bytes, Scale::Times(1 << 20)),
    ("GiB", Unit::Bytes, Scale::Times(1 << 30)),
    ("TiB", Unit::Bytes, Scale::Times(1 << 40)),
    ("ms", Unit::Time, Scale::Ten(-3)),
    ("s", Unit::Time, Scale::Times(1)),
    ("min", Unit::Time, Scale::Times(60)),
    ("h", Unit::Time, Scale::Times(3600)),
    ("day", Unit::Time, Scale::Times(86400)),
];

/// What people write for a unit of the table, where letter case does not lead to it.
const ALIASES: &[(&str, &str)] = &[
    ("d", "day"),
    ("days", "day"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("mins", "min"),
    ("minute", "min"),
    ("minutes", "min"),
    ("hr", "h"),
    ("hrs", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("bn", "B"),
    ("pct", "%"),
];

/// The unit that a word stands for, and what it is one of: `hours` is `h`, `gb` is `GB`.
pub fn unit_meant(word: &str) -> Option<(&'static str, Unit)> {
    let alias = ALIASES.iter().find(|a| a.0 == word.to_ascii_lowercase()).map(|a| a.1);
    let exact = UNITS.iter().find(|u| u.0 == alias.unwrap_or(word));
    let found = exact.or_else(|| UNITS.iter().find(|u| u.0.eq_ignore_ascii_case(word)));
    found.map(|u| (u.0, u.1))
}

/// Reads a number token, `50_257` or `1.5e3k`, with a diagnostic when its unit is unknown.
pub(crate) fn number(file: FileId, start: u32, text: &str) -> (Number, Option<Diagnostic>) {
    let (mantissa, exponent, unit) = split_number(text);
    let span = Span::new(file, start, start + text.len() as u32);
    let known = UNITS.iter().find(|u| u.0 == unit);
    let (kind, scale) = match known {
        Some(u) => (u.1, u.2),
        None => (Unit::None, Scale::Ten(0)),
    };
    let value = value_of(&mantissa, exponent, scale);
    let int = if kind == Unit::Percent { None } else { int_of(&mantissa, exponent, scale) };
    let value = int.map_or(value, |i| i as f64);
    let bare = &text[..text.len() - unit.len()];
    let problem = if known.is_none() && !unit.is_empty() {
        Some(unknown_unit(span, text, bare, unit))
    } else if !value.is_finite() {
        let message = format!("`{text}` is too large for a number");
        Some(Diagnostic::new(Code::E0306, span, message).help("the largest number is 1.8e308"))
    } else {
        None
    };
    let text = if known.is_none() { bare } else { text };
    (Number { text: text.to_owned(), value, int, unit: kind }, problem)
}

/// Mantissa without underscores, decimal exponent, unit. `1e` is `1` with the unit `e`.
fn split_number(text: &str) -> (String, i32, &str) {
    let bytes = text.as_bytes();
    let mut end =
        bytes.iter().take_while(|b| b.is_ascii_digit() || **b == b'_' || **b == b'.').count();
    let mantissa: String = text[..end].chars().filter(|c| *c != '_').collect();
    let mut exponent = 0;
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let from = end + 1 + sign;
        let digits = bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
        if digits > 0 {
            let e = &text[end + 1..from + digits];
            // Past this the value is zero or infinite either way.
            let far = if e.starts_with('-') { -99_999 } else { 99_999 };
            exponent = e.parse::<i32>().map_or(far, |e| e.clamp(-99_999, 99_999));
            end = from + digits;
        }
    }
    (mantissa, exponent, &text[end..])
}

fn value_of(mantissa: &str, exponent: i32, scale: Scale) -> f64 {
    let (exponent, factor) = match scale {
        Scale::Ten(e) => (exponent + e, 1.0),
        Scale::Times(f) => (exponent, f as f64),
    };
    let text = format!("{mantissa}e{exponent}");
    text.parse::<f64>().map_or(f64::NAN, |v| v * factor)
}

/// The exact value, where it is whole and below 2^63.
fn int_of(mantissa: &str, exponent: i32, scale: Scale) -> Option<i64> {
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    if digits == 0 {
        return Some(0);
    }
    let (ten, factor) = match scale {
        Scale::Ten(e) => (e, 1),
        Scale::Times(f) => (0, f),
    };
    let exponent = exponent + ten - i32::try_from(fraction.len()).ok()?;
    let scaled = digits.checked_mul(i128::from(factor))?;
    let power = 10i128.checked_pow(exponent.unsigned_abs())?;
    let value = if exponent >= 0 {
        scaled.checked_mul(power)?
    } else {
        (scaled % power == 0).then(|| scaled / power)?
    };
    i64::try_from(value).ok()
}

/// Words behind a number that say what it counts.
const COUNTED: [&str; 10] = [
    "step",
    "steps",
    "epoch",
    "epochs",
    "token",
    "tokens",
    "sample",
    "samples",
    "document",
    "documents",
];

fn unknown_unit(span: Span, text: &str, bare: &str, unit: &str) -> Diagnostic {
    let unit_span = Span { start: span.start + bare.len() as u32, ..span };
    let d = Diagnostic::new(Code::E0003, unit_span, format!("unknown unit `{unit}` in `{text}`"));
    let near = unit_meant(unit).map(|(ours, _)| ours);
    if COUNTED.contains(&unit) {
        return d.fix(format!("write `{bare} {unit}`"), unit_span, format!(" {unit}"));
    }
    match near {
        Some(near) if unit.len() == 1 => {
            d.help(format!("write `{bare}{near}`; to multiply, `{bare} * {unit}`"))
        }
        None if unit.eq_ignore_ascii_case("g") => {
            d.help(format!("bytes are `{bare}GB` or `{bare}GiB`, a thousand million is `{bare}B`"))
        }
        Some(near) => d.fix(format!("write `{bare}{near}`"), unit_span, near),
        None => d.help(format!("write `{bare} * {unit}` to multiply, or use a unit")).note(
            "the units are k M B T Ki Mi Gi, %, KB MB GB TB KiB MiB GiB TiB, and ms s min h day",
        ),
    }
}

/// Reads a string token; `text` has its opening quote, and its closing one where it is closed.
pub(crate) fn string(file: FileId, start: u32, text: &str) -> (StrLit, Vec<Diagnostic>) {
    let span = Span::new(file, start, start + text.len() as u32);
    let (quote, inner) = text.split_at(1);
    let closed = is_closed(inner, quote);
    let inner = if closed { &inner[..inner.len() - 1] } else { inner };
    let mut reader =
        StrReader { file, base: start + 1, text: inner, at: 0, parts: vec![], diags: vec![] };
    reader.read();
    (StrLit { parts: reader.parts, span }, reader.diags)
}

/// Whether the last quote is one like the first, and not itself escaped.
fn is_closed(inner: &str, quote: &str) -> bool {
    let Some(body) = inner.strip_suffix(quote) else { return false };
    body.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 0
}

struct StrReader<'a> {
    file: FileId,
    base: u32,
    text: &'a str,
    at: usize,
    parts: Vec<StrPart>,
    diags: Vec<Diagnostic>,
}

impl StrReader<'_> {
    fn read(&mut self) {
        while let Some(c) = self.text[self.at..].chars().next() {
            match c {
                '\\' => self.escape(),
                '{' if self.text[self.at..].starts_with("{{") => self.push(2, "{"),
                '}' if self.text[self.at..].starts_with("}}") => self.push(2, "}"),
                '{' => self.interpolation(),
                _ => {
                    let mut buffer = [0; 4];
                    self.push(c.len_utf8(), c.encode_utf8(&mut buffer));
                }
            }
        }
    }

    /// Consumes `n_bytes` of source that stand for `text`.
    fn push(&mut self, n_bytes: usize, text: &str) {
        self.at += n_bytes;
        if let Some(StrPart::Text(last)) = self.parts.last_mut() {
            last.push_str(text);
        } else {
            self.parts.push(StrPart::Text(text.to_owned()));
        }
    }

    fn span(&self, from: usize, to: usize) -> Span {
        Span::new(self.file, self.base + from as u32, self.base + to as u32)
    }

    fn escape(&mut self) {
        let rest = &self.text[self.at + 1..];
        match rest.chars().next() {
            Some('n') => self.push(2, "\n"),
            Some('t') => self.push(2, "\t"),
            Some('"') => self.push(2, "\""),
            Some('\\') => self.push(2, "\\"),
            Some('u') if rest.starts_with("u{") => self.unicode_escape(),
            other => {
                let n_bytes = 1 + other.map_or(0, char::len_utf8);
                let span = self.span(self.at, self.at + n_bytes);
                let written = &self.text[self.at..self.at + n_bytes];
                let message = format!("unknown escape `{written}` in a string");
                let help = "the escapes are `\\n`, `\\t`, `\\\"`, `\\\\` and `\\u{..}`";
                self.diags.push(Diagnostic::new(Code::E0004, span, message).help(help));
                self.at += n_bytes;
            }
        }
    }

    fn unicode_escape(&mut self) {
        let body = &self.text[self.at + 3..];
        let end = body.find('}');
        let digits = &body[..end.unwrap_or(body.len())];
        let is_hex = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let value = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
        match value {
            Some(c) if end.is_some() && is_hex => {
                let mut buffer = [0; 4];
                self.push(4 + digits.len(), c.encode_utf8(&mut buffer));
            }
            _ => {
                let n_bytes = 3 + digits.len() + usize::from(end.is_some());
                let span = self.span(self.at, self.at + n_bytes);
                let message = "`\\u{..}` takes the hexadecimal number of a character";
                self.diags
                    .push(Diagnostic::new(Code::E0004, span, message).help("write `\\u{e9}`"));
                self.at += n_bytes;
            }
        }
    }

    fn interpolation(&mut self) {
        let body = &self.text[self.at + 1..];
        let end = body.find('}');
        let inner = &body[..end.unwrap_or(body.len())];
        let n_bytes = 1 + inner.len() + usize::from(end.is_some());
        let span = self.span(self.at, self.at + n_bytes);
        // No name holds a comma: these are the alternatives of a glob, `{wq,wv}`.
        if end.is_some() && inner.contains(',') {
            let alternatives = &self.text[self.at..self.at + n_bytes];
            return self.push(n_bytes, alternatives);
        }
        let (path, default) = match inner.split_once(':') {
            Some((path, default)) => (path, Some(default.to_owned())),
            None => (inner, None),
        };
        let names: Vec<String> = path.split('.').map(str::to_owned).collect();
        if end.is_some() && names.iter().all(|n| is_name(n)) {
            self.parts.push(StrPart::Name { path: names, default, span });
        } else {
            let message = match end {
                Some(_) => format!("`{{{inner}}}` is not a name that a string can hold"),
                None => "`{` is not closed in this string".to_owned(),
            };
            self.diags.push(
                Diagnostic::new(Code::E0004, span, message)
                    .note(
                        "a string can hold `{name}`, `{a.b}`, `{env.VAR}` and `{env.VAR:default}`",
                    )
                    .help("write `{{` for a brace"),
            );
        }
        self.at += n_bytes;
    }
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
