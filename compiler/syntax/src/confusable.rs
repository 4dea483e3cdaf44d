//! Characters that no token starts with, and letters that look like others.

use crate::limits::is_bidi;
use crate::token::Lexed;
use diag::{Code, Diagnostic, FileId, Span};

/// Letters of other scripts and the ASCII letter they look like.
const LETTERS: &[(char, char)] = &[
    ('а', 'a'),
    ('е', 'e'),
    ('о', 'o'),
    ('р', 'p'),
    ('с', 'c'),
    ('х', 'x'),
    ('у', 'y'),
    ('і', 'i'),
    ('ѕ', 's'),
    ('ј', 'j'),
    ('һ', 'h'),
    ('ԁ', 'd'),
    ('ԛ', 'q'),
    ('ԝ', 'w'),
    ('А', 'A'),
    ('В', 'B'),
    ('Е', 'E'),
    ('К', 'K'),
    ('М', 'M'),
    ('Н', 'H'),
    ('О', 'O'),
    ('Р', 'P'),
    ('С', 'C'),
    ('Т', 'T'),
    ('Х', 'X'),
    ('ο', 'o'),
    ('ν', 'v'),
    ('α', 'a'),
    ('ρ', 'p'),
    ('ι', 'i'),
    ('κ', 'k'),
    ('υ', 'u'),
    ('Α', 'A'),
    ('Β', 'B'),
    ('Ε', 'E'),
    ('Ζ', 'Z'),
    ('Η', 'H'),
    ('Ι', 'I'),
    ('Κ', 'K'),
    ('Μ', 'M'),
    ('Ν', 'N'),
    ('Ο', 'O'),
    ('Ρ', 'P'),
    ('Τ', 'T'),
    ('Υ', 'Y'),
    ('Χ', 'X'),
    ('ı', 'i'),
    ('ⅼ', 'l'),
];

/// Symbols that editors and slides put in place of ASCII.
const SYMBOLS: &[(char, &str)] = &[
    ('“', "\""),
    ('”', "\""),
    ('„', "\""),
    ('–', "-"),
    ('—', "-"),
    ('−', "-"),
    ('×', "*"),
    ('·', "*"),
    ('÷', "/"),
    ('→', "->"),
    ('≤', "<="),
    ('≥', ">="),
    ('≠', "!="),
    ('…', ".."),
    ('\u{a0}', " "),
    ('，', ","),
    ('：', ":"),
    ('（', "("),
    ('）', ")"),
];

/// Reports a character of ASCII that no token starts with.
pub(crate) fn report_symbol(file: FileId, text: &str, l: u32, r: u32, out: &mut Lexed) {
    let written = &text[l as usize..r as usize];
    if written == "\0" {
        return;
    }
    let span = Span::new(file, l, r);
    let shown: String = written
        .chars()
        .map(|c| if c.is_control() { format!("U+{:04X}", u32::from(c)) } else { c.to_string() })
        .collect();
    let d = Diagnostic::new(Code::E0001, span, format!("unexpected character `{shown}`"));
    out.diags.push(match written {
        "'" => d.help("write strings with `\"`"),
        "&" | "&&" => d.fix("write `and`", span, "and"),
        "||" => d.fix("write `or`", span, "or"),
        "|" => d.help("write `or`, or `|>` to pass a value on"),
        "%" => percent(d, text, l, r),
        "!" => d.help("write `not`, or `!=` to compare"),
        // What stands beside it may mean something else without it.
        _ => d.help("remove it"),
    });
    out.patched.push((l, r));
}

/// A percent sign, which belongs to the number before it.
fn percent(d: Diagnostic, text: &str, l: u32, r: u32) -> Diagnostic {
    let before = text[..l as usize].trim_end_matches([' ', '\t']);
    if !before.ends_with(|c: char| c.is_ascii_digit()) {
        return d.help("a share is a number and its sign: `5%`");
    }
    let gap = Span { start: before.len() as u32, end: r, ..d.span() };
    d.fix("write it without a space: `5%`", gap, "%")
}

/// Reports a string in other quotes; gives what stands between them.
pub(crate) fn report_quotes(file: FileId, text: &str, l: u32, r: u32, out: &mut Lexed) -> Span {
    let written = &text[l as usize..r as usize];
    let quote = written.chars().next().unwrap_or_default();
    let close = written.chars().next_back().unwrap_or_default();
    let inner = &written[quote.len_utf8()..written.len() - close.len_utf8()];
    let span = Span::new(file, l, r);
    let d = Diagnostic::new(Code::E0001, span, format!("unexpected character `{quote}`"));
    let help = "write strings with `\"`";
    let is_plain = !inner.contains(['"', '\\', '{']);
    out.diags.push(if is_plain { d.fix(help, span, format!("\"{inner}\"")) } else { d.help(help) });
    out.patched.push((l, r));
    let start = l + quote.len_utf8() as u32;
    Span::new(file, start, start + inner.len() as u32)
}

/// Reports a word with characters outside ASCII; true when it stands for a name.
pub(crate) fn report_word(file: FileId, text: &str, l: u32, r: u32, out: &mut Lexed) -> bool {
    let word = &text[l as usize..r as usize];
    out.patched.push((l, r));
    let is_word = word.chars().all(|c| c.is_alphanumeric() || c == '_');
    let Some((at, c)) =
        word.char_indices().find(|(_, c)| !c.is_ascii() && (is_word || !c.is_alphanumeric()))
    else {
        return false;
    };
    if is_bidi(c) {
        return false;
    }
    let l = l + at as u32;
    let span = Span::new(file, l, l + c.len_utf8() as u32);
    let shown = if c.is_control() || c.is_whitespace() || c == '\u{feff}' {
        format!("U+{:04X}", u32::from(c))
    } else {
        c.to_string()
    };
    let d = Diagnostic::new(Code::E0001, span, format!("unexpected character `{shown}`"));
    let whole = Span::new(file, l - at as u32, r);
    out.diags.push(match (skeleton(word), SYMBOLS.iter().find(|s| s.0 == c)) {
        (Some(ascii), _) => d
            .primary(format!("U+{:04X} in a word that looks like `{ascii}`", u32::from(c)))
            .fix(format!("write `{ascii}` in ASCII letters"), whole, ascii),
        (None, Some((_, "\""))) => d.help("write strings with `\"`"),
        (None, Some((_, ascii))) => d.fix(format!("write `{ascii}`"), span, *ascii),
        (None, None) if is_word => d.help("write names with ASCII letters, digits and `_`"),
        (None, None) => d.help("remove it"),
    });
    is_word
}

/// The ASCII word that `word` looks like, when all of its letters look like ASCII.
fn skeleton(word: &str) -> Option<String> {
    word.chars()
        .map(|c| match c {
            c if c.is_ascii() => Some(c),
            '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
            c => LETTERS.iter().find(|l| l.0 == c).map(|l| l.1),
        })
        .collect()
}
