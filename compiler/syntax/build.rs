//! Generates the LALR(1) tables of `grammar.lalrpop`.

fn main() {
    lalrpop::process_src().expect("grammar.lalrpop has no conflicts");
}
