//! A spec in a file with a shape error.

fn main() {
    let _ = macros::include_spec!("broken.lt");
}
