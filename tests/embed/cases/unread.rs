//! Text that is no language at all, on two lines.

fn main() {
    let _ = macros::spec! {
        train {
          batch = 8 8 =
          steps 10 =
        }
    };
}
