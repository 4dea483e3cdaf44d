//! Every diagnostic of the lexer and the parser, as a person sees it.

use diag::SourceMap;
use diag::render::{Style, render};

/// What is said of a text.
fn problems(text: &str) -> String {
    let mut map = SourceMap::new();
    let file = map.add("spec.lt", text);
    let (_, diags) = syntax::parse(&map, file);
    render(&map, &diags, Style::Human)
}

#[test]
fn stray_character() {
    insta::assert_snapshot!(problems("train {\n  lr $ 1\n  steps 1k\n}\n"), @r#"
    error[E0001]: unexpected character `$`
      ┌─ spec.lt:2:6
      │
    2 │   lr $ 1
      │      ^
      │
      = help: remove it
    "#);
}

#[test]
fn habits_of_other_languages() {
    insta::assert_snapshot!(problems("a = b && c\nd = b || c\ne = !b\nf = 'text'\n"), @r#"
    error[E0001]: unexpected character `&&`
      ┌─ spec.lt:1:7
      │
    1 │ a = b && c
      │       ^^
      │
      = help: write `and`

    error[E0001]: unexpected character `||`
      ┌─ spec.lt:2:7
      │
    2 │ d = b || c
      │       ^^
      │
      = help: write `or`

    error[E0001]: unexpected character `!`
      ┌─ spec.lt:3:5
      │
    3 │ e = !b
      │     ^
      │
      = help: write `not`, or `!=` to compare

    error[E0001]: unexpected character `'`
      ┌─ spec.lt:4:5
      │
    4 │ f = 'text'
      │     ^^^^^^
      │
      = help: write strings with `"`
    "#);
}

#[test]
fn letter_of_another_script() {
    insta::assert_snapshot!(problems("train {\n  сlip 1.0\n}\n"), @r#"
    error[E0001]: unexpected character `с`
      ┌─ spec.lt:2:3
      │
    2 │   сlip 1.0
      │   ^ U+0441 in a word that looks like `clip`
      │
      = help: write `clip` in ASCII letters
    "#);
}

#[test]
fn typographic_symbols() {
    insta::assert_snapshot!(problems("x = [a] → [b]\ny = “text”\nz = a × b\n"), @r#"
    error[E0001]: unexpected character `→`
      ┌─ spec.lt:1:9
      │
    1 │ x = [a] → [b]
      │         ^
      │
      = help: write `->`

    error[E0001]: unexpected character `“`
      ┌─ spec.lt:2:5
      │
    2 │ y = “text”
      │     ^^^^^^
      │
      = help: write strings with `"`

    error[E0001]: unexpected character `×`
      ┌─ spec.lt:3:7
      │
    3 │ z = a × b
      │       ^
      │
      = help: write `*`
    "#);
}

#[test]
fn open_string() {
    insta::assert_snapshot!(problems("train {\n  checkpoint f(\"runs/a)\n  steps 1k\n}\n"), @r#"
    error[E0002]: string is not closed before the end of the line
      ┌─ spec.lt:2:16
      │
    2 │   checkpoint f("runs/a)
      │                ^^^^^^^^ it begins here
      │
      = help: add `"`
    "#);
}

#[test]
fn units() {
    insta::assert_snapshot!(problems("budget 4d\nsteps 5K\nbatch 3foo\nx = 1e\n"), @r#"
    error[E0003]: unknown unit `d` in `4d`
      ┌─ spec.lt:1:9
      │
    1 │ budget 4d
      │         ^
      │
      = help: write `4day`; to multiply, `4 * d`

    error[E0003]: unknown unit `K` in `5K`
      ┌─ spec.lt:2:8
      │
    2 │ steps 5K
      │        ^
      │
      = help: write `5k`; to multiply, `5 * K`

    error[E0003]: unknown unit `foo` in `3foo`
      ┌─ spec.lt:3:8
      │
    3 │ batch 3foo
      │        ^^^
      │
      = note: the units are k M B T Ki Mi Gi, %, KB MB GB TB KiB MiB GiB TiB, and ms s min h day
      = help: write `3 * foo` to multiply, or use a unit

    error[E0003]: unknown unit `e` in `1e`
      ┌─ spec.lt:4:6
      │
    4 │ x = 1e
      │      ^
      │
      = note: the units are k M B T Ki Mi Gi, %, KB MB GB TB KiB MiB GiB TiB, and ms s min h day
      = help: write `1 * e` to multiply, or use a unit
    "#);
}

#[test]
fn number_out_of_range() {
    insta::assert_snapshot!(problems("lr 1e400\n"), @r#"
    error[E0306]: `1e400` is too large for a number
      ┌─ spec.lt:1:4
      │
    1 │ lr 1e400
      │    ^^^^^
      │
      = help: the largest number is 1.8e308
    "#);
}

#[test]
fn number_touches_a_value() {
    insta::assert_snapshot!(problems("x = a.5\n"), @r#"
    error[E0102]: unexpected `.5`
      ┌─ spec.lt:1:6
      │
    1 │ x = a.5
      │      ^^ a number cannot touch what stands before it
      │
      = help: put a space before it
      = help: one copy of a `repeat` is written `[5]`
    "#);
}

#[test]
fn interpolation() {
    insta::assert_snapshot!(problems("a \"runs/{a-b}\"\nb \"{\"\nc \"{}\"\nd \"{{ok}}\"\n"), @r#"
    error[E0004]: `{a-b}` is not a name that a string can hold
      ┌─ spec.lt:1:9
      │
    1 │ a "runs/{a-b}"
      │         ^^^^^
      │
      = note: a string can hold `{name}`, `{a.b}`, `{env.VAR}` and `{env.VAR:default}`
      = help: write `{{` for a brace

    error[E0004]: `{` is not closed in this string
      ┌─ spec.lt:2:4
      │
    2 │ b "{"
      │    ^
      │
      = note: a string can hold `{name}`, `{a.b}`, `{env.VAR}` and `{env.VAR:default}`
      = help: write `{{` for a brace

    error[E0004]: `{}` is not a name that a string can hold
      ┌─ spec.lt:3:4
      │
    3 │ c "{}"
      │    ^^
      │
      = note: a string can hold `{name}`, `{a.b}`, `{env.VAR}` and `{env.VAR:default}`
      = help: write `{{` for a brace
    "#);
}

#[test]
fn escapes() {
    insta::assert_snapshot!(problems("a \"\\q\"\nb \"\\u{110000}\"\nc \"\\u{\"\n"), @r#"
    error[E0004]: unknown escape `\q` in a string
      ┌─ spec.lt:1:4
      │
    1 │ a "\q"
      │    ^^
      │
      = help: the escapes are `\n`, `\t`, `\"`, `\\` and `\u{..}`

    error[E0004]: `\u{..}` takes the hexadecimal number of a character
      ┌─ spec.lt:2:4
      │
    2 │ b "\u{110000}"
      │    ^^^^^^^^^^
      │
      = help: write `\u{e9}`

    error[E0004]: `\u{..}` takes the hexadecimal number of a character
      ┌─ spec.lt:3:4
      │
    3 │ c "\u{"
      │    ^^^
      │
      = help: write `\u{e9}`
    "#);
}

#[test]
fn unclosed_paren_before_a_block() {
    insta::assert_snapshot!(problems("model gpt(layers: 2,\n  width: 8\n\ntrain {\n  steps 1k\n}\n"), @r#"
    error[E0101]: unclosed `(`
      ┌─ spec.lt:1:10
      │
    1 │ model gpt(layers: 2,
      │          ^ opened here and never closed
      │
      = help: insert `)`
    "#);
}

#[test]
fn unclosed_paren_in_a_block() {
    insta::assert_snapshot!(problems("train {\n  schedule cosine(to: 5%\n  steps 1k\n}\n"), @r#"
    error[E0101]: unclosed `(`
      ┌─ spec.lt:2:18
      │
    2 │   schedule cosine(to: 5%
      │                  ^ opened here and never closed
      │
      = help: insert `)`
    "#);
}

#[test]
fn wrong_closer() {
    insta::assert_snapshot!(problems("x = f(a]\n"), @r#"
    error[E0102]: unexpected `]`
      ┌─ spec.lt:1:8
      │
    1 │ x = f(a]
      │      - ^ expected `)`
      │      │  
      │      opened here
      │
      = help: write `)`
    "#);
}

#[test]
fn stray_closers() {
    insta::assert_snapshot!(problems("x = a)\ntrain {\n}\n}\n"), @r#"
    error[E0102]: unexpected `)`
      ┌─ spec.lt:1:6
      │
    1 │ x = a)
      │      ^ no `(` is open here
      │
      = help: remove it

    error[E0102]: unexpected `}`
      ┌─ spec.lt:4:1
      │
    4 │ }
      │ ^ no `{` is open here
      │
      = help: remove it
    "#);
}

#[test]
fn open_block_at_the_end() {
    insta::assert_snapshot!(problems("train {\n  steps 1k\n"), @r#"
    error[E0103]: unexpected end of file
      ┌─ spec.lt:2:11
      │
    1 │ train {
      │       - the open block began here
    2 │   steps 1k
      │           ^
      │
      = help: add `}`
    "#);
}

#[test]
fn open_paren_at_the_end() {
    insta::assert_snapshot!(problems("x = f([1, 2\n"), @r#"
    error[E0101]: unclosed `[`
      ┌─ spec.lt:1:7
      │
    1 │ x = f([1, 2
      │       ^ opened here and never closed
      │
      = help: insert `]`
    "#);
}

#[test]
fn spaced_call() {
    insta::assert_snapshot!(problems("layer f (d: dim) {\n  y = linear (d, d)\n  z = y [0]\n}\n"), @r#"
    error[E0104]: unexpected `(` after `f`
      ┌─ spec.lt:1:9
      │
    1 │ layer f (d: dim) {
      │         ^ here it starts a new value
      │
      = help: the `(` of a call must touch what it calls

    error[E0104]: unexpected `(` after `linear`
      ┌─ spec.lt:2:14
      │
    2 │   y = linear (d, d)
      │              ^ here it starts a new value
      │
      = help: the `(` of a call must touch what it calls

    error[E0104]: unexpected `[` after `y`
      ┌─ spec.lt:3:9
      │
    3 │   z = y [0]
      │         ^ here it starts a new value
      │
      = help: the `[` of an index must touch what it indexes
    "#);
}

#[test]
fn if_without_else() {
    insta::assert_snapshot!(problems("fn f(x: [b]) {\n  y = if (x) { 1 }\n  y\n}\n"), @r#"
    error[E0105]: an `if` value needs an `else`
      ┌─ spec.lt:2:7
      │
    2 │   y = if (x) { 1 }
      │       ^^         - expected `else` after this
      │
      = help: add `else { .. }`
    "#);
}

#[test]
fn nothing_after_an_operator() {
    insta::assert_snapshot!(problems("train {\n  lr 1e-3 +\n  steps 1k\n}\n"), @r#"
    error[E0102]: unexpected end of the line
      ┌─ spec.lt:2:12
      │
    2 │   lr 1e-3 +
      │            ^ expected a value
    "#);
}

#[test]
fn named_argument_with_equals() {
    insta::assert_snapshot!(problems("model gpt(layers=2, width: 8)\n"), @r#"
    error[E0102]: unexpected `=`
      ┌─ spec.lt:1:17
      │
    1 │ model gpt(layers=2, width: 8)
      │                 ^ expected `)` or `,`
      │
      = help: name an argument with `:`
    "#);
}

#[test]
fn sign_or_minus() {
    insta::assert_snapshot!(problems("x = f(a -b)\n"), @r#"
    error[E0102]: unexpected `-`
      ┌─ spec.lt:1:9
      │
    1 │ x = f(a -b)
      │         ^ expected `)` or `,`
      │
      = help: put a space on both sides to subtract
    "#);
}

#[test]
fn slashes() {
    insta::assert_snapshot!(problems("x = 1 // one\n"), @r#"
    error[E0102]: unexpected `/`
      ┌─ spec.lt:1:8
      │
    1 │ x = 1 // one
      │        ^ expected a value
      │
      = help: a comment starts with `#`
    "#);
}

#[test]
fn power() {
    insta::assert_snapshot!(problems("x = a ** b\n"), @r#"
    error[E0102]: unexpected `*`
      ┌─ spec.lt:1:8
      │
    1 │ x = a ** b
      │        ^ expected a value
      │
      = help: a power is written `a ^ b`
    "#);
}

#[test]
fn two_comparisons() {
    insta::assert_snapshot!(problems("x = a < b < c\n"), @r#"
    error[E0102]: unexpected `<`
      ┌─ spec.lt:1:11
      │
    1 │ x = a < b < c
      │           ^ expected the end of the line
      │
      = help: join two comparisons with `and`
    "#);
}

#[test]
fn reserved_word() {
    insta::assert_snapshot!(problems("layer in(d: dim) { d }\nx = rule\n"), @r#"
    error[E0102]: unexpected `in`
      ┌─ spec.lt:1:7
      │
    1 │ layer in(d: dim) { d }
      │       ^^ expected a name
      │
      = help: `in` is a reserved word; choose another name

    error[E0102]: unexpected `rule`
      ┌─ spec.lt:2:5
      │
    2 │ x = rule
      │     ^^^^ expected a value
      │
      = help: `rule` is a reserved word; choose another name
    "#);
}

#[test]
fn one_diagnostic_for_a_bad_header() {
    insta::assert_snapshot!(problems("train = = {\n  steps 1k\n  lr ) 1\n}\nmodel m\n"), @r#"
    error[E0102]: unexpected `=`
      ┌─ spec.lt:1:9
      │
    1 │ train = = {
      │         ^ expected a value
      │
      = help: write `==` to compare

    error[E0102]: unexpected `)`
      ┌─ spec.lt:3:6
      │
    3 │   lr ) 1
      │      ^ no `(` is open here
      │
      = help: remove it
    "#);
}

#[test]
fn each_bad_line_once() {
    insta::assert_snapshot!(problems("train {\n  steps = = 1\n  lr 1e-3\n  batch , 8\n  clip :\n}\n"), @r#"
    error[E0102]: unexpected `=`
      ┌─ spec.lt:2:11
      │
    2 │   steps = = 1
      │           ^ expected a value
      │
      = help: write `==` to compare

    error[E0102]: unexpected end of the line
      ┌─ spec.lt:5:9
      │
    5 │   clip :
      │         ^ expected a value
    "#);
}

#[test]
fn missing_name() {
    insta::assert_snapshot!(problems("for 3 in 4 {}\n"), @r#"
    error[E0102]: unexpected `3`
      ┌─ spec.lt:1:5
      │
    1 │ for 3 in 4 {}
      │     ^ expected a name
    "#);
}

#[test]
fn use_takes_a_string() {
    insta::assert_snapshot!(problems("use base\n"), @r#"
    error[E0102]: unexpected `base`
      ┌─ spec.lt:1:5
      │
    1 │ use base
      │     ^^^^ expected a string
    "#);
}

#[test]
fn semicolon_in_parentheses() {
    insta::assert_snapshot!(problems("x = f(a; b)\n"), @r#"
    error[E0102]: unexpected `;`
      ┌─ spec.lt:1:8
      │
    1 │ x = f(a; b)
      │        ^ a statement cannot end inside `(`
      │
      = help: separate values with `,`
    "#);
}

#[test]
fn nul_and_direction_marks() {
    insta::assert_snapshot!(problems("a\0 # \u{202e}\n"), @r#"
    error[E0005]: the file holds a NUL byte
      ┌─ spec.lt:1:2
      │
    1 │ a� # �
      │  ^
      │
      = help: save it as UTF-8 text

    error[E0005]: the file holds the text direction mark U+202E
      ┌─ spec.lt:1:6
      │
    1 │ a� # �
      │      ^
      │
      = note: such marks can make a line look different from what it does
      = help: remove it
    "#);
}

#[test]
fn long_name() {
    insta::assert_snapshot!(problems(&format!("{} 1\n", "x".repeat(300))), @r#"
    error[E0005]: the name has 300 bytes, more than 256
      ┌─ spec.lt:1:1
      │
    1 │ xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…
      │ ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
      │
      = help: shorten it
    "#);
}
