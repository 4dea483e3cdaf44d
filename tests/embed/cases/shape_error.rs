//! A layer whose matrix is the wrong way round, and a misspelt word.

fn main() {
    let _ = macros::spec! {
        layer twice(d: dim)(x: [.., d]) -> [.., d] {
          up   = linear(d, 2 * d)
          down = linear(d, 2 * d)
          x |> up |> down   // the mistake
        }

        model gpt(layers: 1, width: 16, heads: 2)
        data  text("no such file.txt")   # found when the program runs

        train {
          acumulate 8
          steps 10
        }
    };
}
