//! Specs inside Rust code, checked while that code is compiled.
//!
//! In: the text between the braces, or a file. Out: an expression that makes an `llmc::Spec`, or
//! errors at the places that the messages are about. Data are not opened: what depends on them is
//! checked when the program runs.

mod check;
mod errors;
mod invocation;

use proc_macro::{Delimiter, Group, Literal, Span, TokenStream, TokenTree};

use invocation::Invocation;

/// A spec written in place; its value is an `llmc::Spec`.
///
/// The text is that of a `.lt` file, line ends included. Rust's own lexer reads it first, so a
/// `#` comment must not hold a lone `"` or `'`; `//` comments may hold anything.
#[proc_macro]
pub fn spec(input: TokenStream) -> TokenStream {
    match written(input) {
        Ok(text) => {
            let text = Literal::string(&text);
            expression(&format!(
                "::llmc::Spec::built(\"spec\", &::llmc::build::Spec::new().text_of({text}))"
            ))
        }
        Err(errors) => errors,
    }
}

/// The text of an invocation that has no fault.
fn written(input: TokenStream) -> Result<String, TokenStream> {
    let here = Span::call_site();
    let Some(invocation) = Invocation::read(here, input) else {
        let why = "the text of this invocation cannot be read: write it where it is used, not \
                   through another macro";
        return Err(errors::at(here, here, why));
    };
    let found = check::check(&invocation.name, invocation.text.clone());
    let errors: TokenStream = found
        .errors()
        .map(|d| {
            let span = d.span();
            let (first, last) = invocation.tokens(span.start as usize, span.end as usize);
            errors::at(first, last, &errors::message(&found.map, &invocation, d))
        })
        .collect();
    // Several errors are no expression, a block of them is.
    let all = || TokenTree::Group(Group::new(Delimiter::Brace, errors.clone()));
    if errors.is_empty() { Ok(invocation.text) } else { Err(all().into()) }
}

/// The spec of a file, by its path from the file of this invocation; its value is an `llmc::Spec`
/// whose data are looked for from the folder of that file.
///
/// The program is compiled again when the file changes.
#[proc_macro]
pub fn include_spec(input: TokenStream) -> TokenStream {
    match included(input) {
        Ok(expression) => expression,
        Err((at, why)) => errors::at(at, at, &why),
    }
}

fn included(input: TokenStream) -> Result<TokenStream, (Span, String)> {
    let here = Span::call_site();
    let mut tokens = input.into_iter();
    let (Some(TokenTree::Literal(literal)), None) = (tokens.next(), tokens.next()) else {
        return Err((here, "write the path of a spec: `include_spec!(\"hello.lt\")`".to_owned()));
    };
    let at = literal.span();
    let quoted = literal.to_string();
    let path = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(path) = path.filter(|path| !path.contains('\\')) else {
        return Err((at, "a path is a plain string".to_owned()));
    };
    let source = here.local_file().ok_or((at, "this source is no file".to_owned()))?;
    let file = source.parent().unwrap_or(&source).join(path);
    let shown = file.display().to_string();
    let text =
        std::fs::read_to_string(&file).map_err(|e| (at, format!("cannot read {shown}: {e}")))?;
    let found = check::check(&shown, text);
    if found.errors().next().is_some() {
        return Err((at, format!("{shown} is not a spec that can run\n{}", found.rendered())));
    }
    let folder = file.parent().and_then(|folder| folder.canonicalize().ok()).unwrap_or_default();
    let folder = Literal::string(&folder.to_string_lossy());
    let name = Literal::string(&shown);
    // With the place of the caller's literal, so that its path starts at the caller's file.
    let text = expression("::core::include_str!(PATH)");
    let text = errors::with(text, "PATH", &TokenTree::Literal(literal));
    let made = expression(&format!("::llmc::Spec::from_text({name}, TEXT).relative_to({folder})"));
    Ok(errors::with_all(made, "TEXT", &text))
}

/// Tokens of a Rust expression.
fn expression(text: &str) -> TokenStream {
    text.parse().expect("it is a Rust expression")
}
