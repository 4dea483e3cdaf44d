//! How large a text, a line, a name and a tree may be.

use crate::token::Lexed;
use diag::{Code, Diagnostic, FileId, Span};

/// Of one file.
pub const FILE_BYTES: usize = 1 << 20;
/// Of one line.
pub const LINE_BYTES: usize = 64 << 10;
/// Of one name.
pub const NAME_BYTES: usize = 256;
/// Brackets inside each other.
pub const NESTING: usize = 64;
/// Lines of one block.
pub const BLOCK_LINES: usize = 4096;
/// Operators between a statement and any value in it; a tree is no deeper than this allows.
pub const OPERATORS: u32 = 256;

/// Checks size and encoding; returns where to stop reading, or `None` to read nothing.
pub(crate) fn check_text(file: FileId, text: &str, out: &mut Lexed) -> Option<usize> {
    if text.len() > FILE_BYTES {
        let at = Span::new(file, 0, 0);
        let message = format!("the file has {} bytes, more than 1 MiB", text.len());
        let help = "split it and join the parts with `use`";
        out.diags.push(Diagnostic::new(Code::E0005, at, message).help(help));
        return None;
    }
    check_characters(file, text, out);
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.len() > LINE_BYTES {
            let mut end = start + LINE_BYTES;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            let span = Span::new(file, end as u32, end as u32);
            let message = format!("the line has {} bytes, more than 64 KiB", line.len());
            out.diags.push(Diagnostic::new(Code::E0005, span, message).help("break the line"));
            out.patched.push((start as u32, u32::MAX));
            return Some(end);
        }
        start += line.len();
    }
    Some(text.len())
}

/// Whether a character changes the direction of the text around it.
pub(crate) fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Rejects what a reader cannot see: NUL, and marks that reorder the text on screen.
fn check_characters(file: FileId, text: &str, out: &mut Lexed) {
    if let Some(at) = text.find('\0') {
        let span = Span::new(file, at as u32, at as u32 + 1);
        let d = Diagnostic::new(Code::E0005, span, "the file holds a NUL byte");
        out.diags.push(d.help("save it as UTF-8 text"));
    }
    if let Some((at, c)) = text.char_indices().find(|(_, c)| is_bidi(*c)) {
        let span = Span::new(file, at as u32, (at + c.len_utf8()) as u32);
        let message = format!("the file holds the text direction mark U+{:04X}", u32::from(c));
        let d = Diagnostic::new(Code::E0005, span, message)
            .note("such marks can make a line look different from what it does")
            .fix("remove it", span, "");
        out.diags.push(d);
    }
}

pub(crate) fn long_name(span: Span, n_bytes: usize) -> Diagnostic {
    let message = format!("the name has {n_bytes} bytes, more than {NAME_BYTES}");
    Diagnostic::new(Code::E0005, span, message).help("shorten it")
}

pub(crate) fn long_block(span: Span) -> Diagnostic {
    let message = format!("the block has more than {BLOCK_LINES} lines");
    Diagnostic::new(Code::E0005, span, message)
        .primary("one too many")
        .help("keep the lines that are meant; those of a layer can be layers of their own")
}

pub(crate) fn deep_nesting(span: Span) -> Diagnostic {
    let message = format!("brackets are nested deeper than {NESTING}");
    Diagnostic::new(Code::E0106, span, message)
        .primary("one too many")
        .help("name a part of it on a line of its own")
}

pub(crate) fn long_chain(span: Span) -> Diagnostic {
    let message = format!("more than {OPERATORS} operators in one expression");
    Diagnostic::new(Code::E0106, span, message)
        .primary("one too many")
        .help("name a part of it on a line of its own")
}
