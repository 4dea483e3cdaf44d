//! GPT-2's byte pairs, out of the crate that carries them.

use std::sync::OnceLock;

use super::bpe::Bpe;

/// Ids of text; the one behind them ends a document.
const TOKENS: u32 = 50_256;

/// The id that ends a document.
pub(super) const END: u32 = TOKENS;

/// What the end is called.
pub(super) const END_NAME: &str = "<|endoftext|>";

/// The tokens, read out once.
pub(super) fn bpe() -> &'static Bpe {
    static BPE: OnceLock<Bpe> = OnceLock::new();
    BPE.get_or_init(|| {
        let core = tiktoken_rs::r50k_base_singleton();
        let token = |id| core.decode_bytes(&[id]).expect("all ranks below the end are tokens");
        let tokens = (0..TOKENS).map(|id| token(id).into()).collect();
        Bpe::new(tokens).expect("the published tokens are sound")
    })
}
