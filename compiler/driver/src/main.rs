//! The command line of `llmc`.

fn main() {}
