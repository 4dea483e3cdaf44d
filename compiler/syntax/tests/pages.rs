//! The examples on the pages of the codes, as far as the parser can judge them.

use diag::{Code, SourceMap};

fn codes(text: &str) -> Vec<Code> {
    let mut map = SourceMap::new();
    let file = map.add("spec.lt", text);
    let (_, diags) = syntax::parse(&map, file);
    diags.iter().map(|d| d.code).collect()
}

#[test]
fn failing_and_passing_examples() {
    for &code in Code::ALL {
        let (failing, passing) = code.examples();
        assert_eq!(codes(&passing), [], "{}", code.name());
        let is_syntax = code.name() < "E0200";
        let expect = if is_syntax { vec![code] } else { vec![] };
        assert_eq!(codes(&failing), expect, "{}", code.name());
    }
}
