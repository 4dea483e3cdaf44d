//! What the data of a spec is taken to hold, where no file is read.

use llmc::Front;
use sema::{Facts, Tokenizer};

/// Bytes and distinct characters of the play that specs are checked with.
const PLAY: (f64, u64) = (1_115_394.0, 65);

/// The facts of the play for the data that a spec asks for.
pub(crate) fn made_up(front: &Front) -> Facts {
    let (bytes, n_chars) = PLAY;
    let Some(request) = front.data_request() else { return Facts::default() };
    let share = |share: f64| (bytes * share) as u64;
    Facts {
        vocab: Some(match request.tokenizer {
            Tokenizer::Bytes | Tokenizer::File(_) => 256,
            Tokenizer::Chars => n_chars,
            Tokenizer::Words(n)
            | Tokenizer::Bpe(n)
            | Tokenizer::Wordpiece(n)
            | Tokenizer::Ids(n) => n,
            Tokenizer::Gpt2 => 50257,
        }),
        classes: request.has_labels().then_some(5),
        pad: Some(0),
        tokens: request.splits.iter().map(|(name, s)| (name.clone(), share(*s))).collect(),
        documents: request.splits.iter().map(|(name, s)| (name.clone(), share(*s) / 256)).collect(),
        hash: Some("made up".to_owned()),
        ..Facts::default()
    }
}
