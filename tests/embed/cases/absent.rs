//! A spec that is not there.

fn main() {
    let _ = macros::include_spec!("absent.lt");
}
