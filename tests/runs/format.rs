//! `llmc fmt`: files and the standard input.

use crate::folder::Folder;

const LOOSE: &str = "train{\n lr 1e-3 # fast\nsteps   5\n}\n";
const LAID_OUT: &str = "train {\n  lr    1e-3  # fast\n  steps 5\n}\n";

#[test]
fn files_are_laid_out_and_checked() {
    let folder = Folder::new("fmt");
    folder.write("a.lt", LOOSE);
    folder.write("b.lt", LAID_OUT);
    let ended = folder.llmc(&["fmt", "--check", "a.lt", "b.lt"]).exits(2);
    assert_eq!(ended.out, "a.lt is not laid out\n");
    assert_eq!(std::fs::read_to_string(folder.at("a.lt")).unwrap(), LOOSE);
    folder.shell("ln -s a.lt link.lt; chmod 640 a.lt; llmc fmt link.lt b.lt").exits(0);
    folder.shell("test -L link.lt && test \"$(stat -c %a a.lt)\" = 640").exits(0);
    assert_eq!(std::fs::read_to_string(folder.at("a.lt")).unwrap(), LAID_OUT);
    folder.llmc(&["fmt", "--check", "a.lt", "b.lt"]).exits(0);
}

#[test]
fn the_standard_input_goes_to_the_standard_output() {
    let folder = Folder::new("fmt-input");
    folder.write("a.lt", LOOSE);
    let ended = folder.shell("llmc fmt - < a.lt").exits(0);
    assert_eq!(ended.out, LAID_OUT);
    folder.shell("llmc fmt --check - < a.lt").exits(2);
}

#[test]
fn what_cannot_be_read_stays() {
    let folder = Folder::new("fmt-bad");
    let large = " ".repeat(2 << 20) + "x";
    folder.write("large.lt", &large);
    folder
        .llmc(&["fmt", "large.lt"])
        .exits(2)
        .says("large.lt stays as it is: the file has 2097153 bytes, more than 1 MiB");
    assert_eq!(std::fs::read_to_string(folder.at("large.lt")).unwrap(), large);
    folder.llmc(&["fmt", "absent.lt"]).exits(2).says("cannot read absent.lt");
}
