//! What is done to documents before they become ids.

use plan::{Clean, Filter, Normalize};
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

use crate::source::{Document, Role};

/// Changes the characters of a document.
pub(crate) fn normalize(document: &mut Document, clean: &Clean) {
    for part in &mut document.parts {
        for step in &clean.normalize {
            part.text = normalized(&part.text, *step);
        }
    }
}

/// A text after one step.
pub(crate) fn normalized(text: &str, step: Normalize) -> String {
    match step {
        Normalize::Nfc => text.nfc().collect(),
        Normalize::Nfkc => text.nfkc().collect(),
        Normalize::Lowercase => text.to_lowercase(),
        Normalize::Whitespace => whitespace(text),
    }
}

/// One space, or one line end where there was any, for each run of white space; none at the ends.
fn whitespace(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut gap = None;
    for c in text.chars() {
        if c.is_whitespace() {
            gap = Some(if c == '\n' { '\n' } else { gap.unwrap_or(' ') });
            continue;
        }
        if let Some(gap) = gap.take()
            && !out.is_empty()
        {
            out.push(gap);
        }
        out.push(c);
    }
    out
}

/// Whether a document passes all filters.
pub(crate) fn passes(document: &Document, clean: &Clean) -> bool {
    let chars = || document.parts.iter().map(|p| p.text.chars().count() as u64).sum::<u64>();
    let has = |text: &str| document.parts.iter().any(|part| part.text.contains(text));
    clean.filters.iter().all(|filter| match filter {
        Filter::MinChars(n) => chars() >= *n,
        Filter::MaxChars(n) => chars() <= *n,
        Filter::Has(text) => has(text),
        Filter::Lacks(text) => !has(text),
    })
}

/// What tells a document from all others: its roles and texts.
pub(crate) fn hash(document: &Document) -> u128 {
    let mut hasher = Sha256::new();
    for part in &document.parts {
        hasher.update(part.role.map_or("", Role::name));
        hasher.update((part.text.len() as u64).to_le_bytes());
        hasher.update(&part.text);
    }
    let digest: [u8; 32] = hasher.finalize().into();
    u128::from_le_bytes(*digest.first_chunk().expect("a digest has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_does_what_it_says() {
        let steps = [
            (Normalize::Nfc, "e\u{301}", "é"),
            (Normalize::Nfc, "ﬁ", "ﬁ"),
            (Normalize::Nfkc, "ﬁ Ａ", "fi A"),
            (Normalize::Lowercase, "ÄİB", "äi\u{307}b"),
            (Normalize::Whitespace, " \t a  b \n\n c\u{3000}", "a b\nc"),
        ];
        for (step, text, wanted) in steps {
            assert_eq!(normalized(text, step), wanted, "{step:?}");
        }
    }
}
