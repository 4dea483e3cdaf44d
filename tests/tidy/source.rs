//! A file of the repository, and Rust text without its comments and strings.

/// A file by its path from the root.
#[derive(Debug)]
pub(crate) struct File {
    /// With `/` between folders.
    pub(crate) path: String,
    /// All of it.
    pub(crate) text: String,
}

impl File {
    /// A file with its text.
    pub(crate) fn new(path: impl Into<String>, text: String) -> Self {
        Self { path: path.into(), text }
    }

    /// Whether it is Rust.
    pub(crate) fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// The last part of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Lines of code, counted from 1, with comments and the insides of literals blanked.
    pub(crate) fn code(&self) -> Vec<(usize, String)> {
        let blanked = blank(&self.text);
        blanked.lines().enumerate().map(|(at, line)| (at + 1, line.to_owned())).collect()
    }
}

/// Where a word stands alone: no letter, digit or `_` touches it.
pub(crate) fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

/// Rust text with comments and the insides of strings and characters replaced by spaces.
fn blank(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = literal_or_comment(rest, out.chars().next_back());
        let length = if skipped == 0 { c.len_utf8() } else { skipped };
        let (taken, left) = rest.split_at(length);
        if skipped == 0 {
            out.push(c);
        } else {
            out.extend(taken.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        }
        rest = left;
    }
    out
}

/// Bytes of the comment or literal that `rest` starts with; 0 for anything else.
fn literal_or_comment(rest: &str, before: Option<char>) -> usize {
    let through = |from: usize, end: &str| {
        rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len())
    };
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return through(2, "*/");
    }
    let touches_a_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if !touches_a_name && (rest.starts_with("r\"") || rest.starts_with("r#")) {
        let hashes = rest[1..].chars().take_while(|&c| c == '#').count();
        if rest[1 + hashes..].starts_with('"') {
            return through(2 + hashes, &format!("\"{}", "#".repeat(hashes)));
        }
    }
    if let Some(inside) = rest.strip_prefix('"') {
        return 1 + escaped(inside, '"');
    }
    // `'a'` and `'\n'` are characters, `'a` alone is a lifetime.
    let mut chars = rest.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some('\''), Some('\\'), _) => 1 + escaped(&rest[1..], '\''),
        (Some('\''), Some(inner), Some('\'')) => 2 + inner.len_utf8(),
        _ => 0,
    }
}

/// Bytes up to and with the closing quote, over escapes.
fn escaped(rest: &str, quote: char) -> usize {
    let mut chars = rest.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == '\\' {
            chars.next();
        } else if c == quote {
            return at + quote.len_utf8();
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let text =
            "let a = \"un\\\"safe\"; // unsafe\nlet b = 'u'; /* unsafe */ f::<'a>(r#\"x\"y\"#);";
        let code = File::new("a.rs", text.to_owned()).code();
        assert_eq!(code.len(), 2);
        assert!(!code.iter().any(|(_, line)| has_word(line, "unsafe")));
        assert!(code[1].1.contains("f::<'a>("));
        assert!(!code[1].1.contains('y'));
    }

    #[test]
    fn words_stand_alone() {
        assert!(has_word("unsafe {", "unsafe"));
        assert!(!has_word("unsafe_code = \"deny\"", "unsafe"));
        assert!(!has_word("is_unsafe()", "unsafe"));
    }
}
