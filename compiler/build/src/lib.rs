//! Specs written in Rust: directives are calls, and messages point at those calls.
//!
//! A [`Spec`] collects lines and writes them as text of the language, so that whatever is built
//! reads back to the tree that the same `.lt` file has. Beside the text it keeps the place in the
//! Rust source of every line and argument ([`Places`]).
//!
//! ```
//! use build::{Spec, call, epochs, k, percent, string};
//!
//! let spec = Spec::new()
//!     .model(call("gpt").with("layers", 2).with("width", 128).with("heads", 4))
//!     .data(call("text").arg(string("data/*.txt")))
//!     .train(|t| {
//!         t.set("batch", 16)
//!             .set("lr", 3e-3)
//!             .set("warmup", percent(5))
//!             .set("optimizer", "muon() on matrices, adamw() on rest")
//!             .set("steps", epochs(2))
//!             .set("eval", ("every", k(1)))
//!     });
//! assert!(spec.text().starts_with("model gpt(layers: 2, width: 128, heads: 4)\n"));
//! ```

mod block;
mod call;
mod declaration;
mod emit;
mod locate;
mod marked;
mod rust_source;
mod spec;
mod units;
mod value;

pub use block::Block;
pub use call::{Call, call};
pub use declaration::{Declaration, function, layer, rule};
pub use emit::Built;
pub use locate::Places;
pub use spec::Spec;
pub use units::{
    days, epochs, gb, gi, gib, hours, k, kb, ki, kib, m, mb, mi, mib, minutes, percent, samples,
    seconds, steps, tokens,
};
pub use value::{Value, several, string};
