//! Messages as tokens: `compile_error!` at a place.

use diag::{Diagnostic, LabelStyle, SourceMap};
use proc_macro::{Delimiter, Group, Ident, Literal, Punct, Spacing, Span, TokenStream, TokenTree};

use crate::invocation::Invocation;

/// An error from one token to another.
pub(crate) fn at(first: Span, last: Span, message: &str) -> TokenStream {
    let mut text = Literal::string(message);
    text.set_span(last);
    let mut mark = Punct::new('!', Spacing::Alone);
    mark.set_span(last);
    let text = TokenStream::from(TokenTree::Literal(text));
    let mut group = Group::new(Delimiter::Brace, text);
    group.set_span(last);
    let name = Ident::new("compile_error", first);
    [TokenTree::Ident(name), TokenTree::Punct(mark), TokenTree::Group(group)].into_iter().collect()
}

/// What a diagnostic says beside its place.
pub(crate) fn message(map: &SourceMap, invocation: &Invocation, d: &Diagnostic) -> String {
    let mut out = format!("{}: {}", d.code.name(), d.message);
    for label in d.labels.iter().filter(|label| !label.message.is_empty()) {
        let is_here = label.span.file == d.span().file;
        let (line, _) = if is_here {
            invocation.place(label.span.start as usize)
        } else {
            map.line_col(label.span.file, label.span.start)
        };
        let name = &map.file(label.span.file).name;
        match label.style {
            LabelStyle::Primary => out += &format!("\n  {}", label.message),
            LabelStyle::Secondary => out += &format!("\n  {name}:{line}: {}", label.message),
        }
    }
    let notes = d.notes.iter().map(|note| format!("\n  note: {note}"));
    out.extend(notes.chain(d.help.iter().map(|help| format!("\n  help: {help}"))));
    out
}

/// Tokens with the name `from` replaced by a token.
pub(crate) fn with(tokens: TokenStream, from: &str, to: &TokenTree) -> TokenStream {
    with_all(tokens, from, &TokenStream::from(to.clone()))
}

/// Tokens with the name `from` replaced by others.
pub(crate) fn with_all(tokens: TokenStream, from: &str, to: &TokenStream) -> TokenStream {
    let replaced = |tree: TokenTree| match tree {
        TokenTree::Ident(name) if name.to_string() == from => to.clone(),
        TokenTree::Group(group) => {
            let stream = with_all(group.stream(), from, to);
            TokenStream::from(TokenTree::Group(Group::new(group.delimiter(), stream)))
        }
        tree @ (TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_)) => tree.into(),
    };
    tokens.into_iter().flat_map(replaced).collect()
}
