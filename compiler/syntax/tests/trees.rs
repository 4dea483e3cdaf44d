//! What the tree holds: values of numbers, line ends, signs, comments, places.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use diag::SourceMap;
use syntax::ast::{ExprKind, Spec, StmtKind, StrPart, Unit};

fn parse(text: &str) -> (SourceMap, Arc<Spec>) {
    let mut map = SourceMap::new();
    let file = map.add("spec.lt", text);
    let (spec, diags) = syntax::parse(&map, file);
    let messages: Vec<_> = diags.iter().map(|d| &d.message).collect();
    assert!(messages.is_empty(), "{text}: {messages:?}");
    (map, spec)
}

fn printed(text: &str) -> String {
    syntax::print_spec(&parse(text).1)
}

#[test]
fn what_stands_behind_a_block_does_not_open_it_again() {
    for closed in ["a {\n  b\n}", "fn f() {\n  b\n}", "for i in x {\n  b\n}", ") {\n  b\n}"] {
        let mut map = SourceMap::new();
        let file = map.add("spec.lt", format!("{closed} c d\ne\n"));
        let (spec, diags) = syntax::parse(&map, file);
        assert_eq!(spec.body.len(), 2, "{closed}: {spec:?}");
        let last: Vec<&str> = diags.iter().map(|d| map.text(d.span())).collect();
        assert_eq!(last.last(), Some(&"c"), "{closed}");
    }
}

#[test]
fn numbers_have_exact_values() {
    let cases: &[(&str, f64, Option<i64>, Unit)] = &[
        ("8", 8.0, Some(8), Unit::None),
        ("1.0", 1.0, Some(1), Unit::None),
        (".001", 0.001, None, Unit::None),
        ("3e-4", 3e-4, None, Unit::None),
        ("50_257", 50257.0, Some(50257), Unit::None),
        ("1e3", 1000.0, Some(1000), Unit::None),
        ("1_000e-3", 1.0, Some(1), Unit::None),
        ("2k", 2000.0, Some(2000), Unit::Count),
        ("512Ki", 524_288.0, Some(524_288), Unit::Count),
        ("1.5B", 1.5e9, Some(1_500_000_000), Unit::Count),
        ("0.5Ki", 512.0, Some(512), Unit::Count),
        ("9223372036854775807", 9_223_372_036_854_775_807_f64, Some(i64::MAX), Unit::None),
        ("9223372036854775808", 9_223_372_036_854_775_808_f64, None, Unit::None),
        ("1e300", 1e300, None, Unit::None),
        ("1e-400", 0.0, None, Unit::None),
        ("0e999", 0.0, Some(0), Unit::None),
        ("10%", 0.1, None, Unit::Percent),
        ("0.05%", 0.0005, None, Unit::Percent),
        ("30min", 1800.0, Some(1800), Unit::Time),
        ("5ms", 0.005, None, Unit::Time),
        ("4GiB", 4_294_967_296.0, Some(4_294_967_296), Unit::Bytes),
        ("80GB", 8e10, Some(80_000_000_000), Unit::Bytes),
    ];
    for &(text, value, int, unit) in cases {
        let (_, spec) = parse(text);
        let ExprKind::Number(n) = &spec.exprs[0].kind else { panic!("{text}") };
        assert_eq!((n.text.as_str(), n.value, n.int, n.unit), (text, value, int, unit));
    }
}

#[test]
fn line_ends() {
    assert_eq!(printed("a\n\n# c\nb;c"), "a\nb\nc\n");
    assert_eq!(printed("x = f(a,\n  b\n)\ny"), "x = f(a, b)\ny\n");
    assert_eq!(printed("split 90% train,\n  10% val"), "split 90% train, 10% val\n");
    assert_eq!(printed("a\n  # why\n  |> b\n  |> c"), "a |> b |> c\n");
    assert_eq!(printed("fn f(x: [b])\n  -> [b] {\n x }"), "fn f(x: [b]) -> [b] {\n  x\n}\n");
    assert_eq!(printed("y = if c { a }\n# no\nelse { b }"), "y = if c {\n  a\n} else {\n  b\n}\n");
    assert_eq!(printed("x = f(if c { a\n b\n} else { d })"), printed("x = f(if c {a;b} else {d})"));
}

#[test]
fn signs_and_brackets_by_touch() {
    let words = |text: &str| {
        let (_, spec) = parse(text);
        let StmtKind::Node(node) = &spec[spec.body[0]].kind else { panic!("{text}") };
        node.groups[0].len()
    };
    assert_eq!(words("seed -1"), 2);
    assert_eq!(words("a - 1"), 1);
    assert_eq!(words("a-1"), 1);
    assert_eq!(words("2^-1"), 1);
    assert_eq!(words("f(x)"), 1);
    assert_eq!(words("f (x)"), 2);
    assert_eq!(words("a[i]"), 1);
    assert_eq!(words("metric [i]"), 2);
    assert_eq!(words("every 250 keep 3 best val.loss"), 6);
    assert_eq!(printed("x in(1..2)"), "x in (1..2)\n");
}

#[test]
fn doc_comments_attach_to_the_next_line() {
    let (_, spec) =
        parse("## of the file\n\n## one\n# aside\n##  two\nlayer f(a: dim) { a }\nx ## no\ny");
    let docs: Vec<_> = spec.body.iter().map(|id| spec[*id].doc.as_deref()).collect();
    assert_eq!(docs, [Some("one\n two"), None, None]);
}

#[test]
fn strings() {
    let (map, spec) = parse(r#"x "a\t\u{e9}{{ {env.DATA:./d}/{name}}}""#);
    let ExprKind::Str(s) = &spec.exprs[1].kind else { panic!() };
    let StrPart::Name { path, default, span } = &s.parts[1] else { panic!() };
    assert_eq!(s.parts[0], StrPart::Text("a\té{ ".into()));
    assert_eq!((path.join("."), default.as_deref()), ("env.DATA".into(), Some("./d")));
    assert_eq!(map.text(*span), "{env.DATA:./d}");
    assert_eq!(s.parts.last(), Some(&StrPart::Text("}".into())));
}

#[test]
fn every_expression_covers_its_text() {
    let (map, spec) = parse("x = a + f(b, n: -c)[0].d |> g\n");
    let texts: Vec<_> = spec.exprs.iter().map(|e| map.text(e.span)).collect();
    let expect = [
        "x",
        "a",
        "f",
        "b",
        "c",
        "-c",
        "f(b, n: -c)",
        "0",
        "f(b, n: -c)[0]",
        "f(b, n: -c)[0].d",
        "a + f(b, n: -c)[0].d",
        "g",
        "a + f(b, n: -c)[0].d |> g",
    ];
    assert_eq!(texts, expect);
    assert_eq!(map.text(spec[spec.body[0]].span), "x = a + f(b, n: -c)[0].d |> g");
}

#[test]
fn words_of_a_setting() {
    let mut map = SourceMap::new();
    let file = map.add("<command line: --set>", "data.split=90% train, 10% val");
    let (spec, groups, diags) = syntax::parse_words(&map, file, 11);
    assert!(diags.is_empty());
    let texts: Vec<Vec<_>> =
        groups.iter().map(|g| g.iter().map(|e| map.text(spec[*e].span)).collect()).collect();
    assert_eq!(texts, [["90%", "train"], ["10%", "val"]]);
    for (text, n_diags) in
        [("cosine(to: 5%)", 0), ("", 1), ("1\n2", 1), ("a {", 2), (")", 1), ("1 +", 1)]
    {
        let file = map.add("<command line: --set>", text);
        let (_, _, diags) = syntax::parse_words(&map, file, 0);
        assert_eq!(diags.len(), n_diags, "{text}: {diags:?}");
    }
}
