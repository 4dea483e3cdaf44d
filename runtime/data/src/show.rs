//! A row as people read it: each token with its text, its target and its document.

use plan::Task;

use crate::{corpus::Corpus, error::Error, order::Sequences};

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its tokens.
    pub tokens: Vec<Token>,
    /// The name of its class, where the task is one.
    pub class: Option<String>,
}

/// A token of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// Its text; bytes that are no character are U+FFFD.
    pub text: String,
    /// What is to be predicted at its place.
    pub target: Option<u32>,
    /// The document that it belongs to, counted from 0 in the row.
    pub document: u64,
    /// Whether it only fills the row.
    pub is_pad: bool,
}

impl Sequences {
    /// Row `number` of training.
    pub fn show(&self, corpus: &Corpus, number: u64, context: usize) -> Result<Shown, Error> {
        let is_class = matches!(corpus.data.task, Task::Classes { .. });
        let mut ids = vec![0; context];
        let mut targets = vec![-1; if is_class { 1 } else { context }];
        self.fill_train(corpus, number, &mut ids, &mut targets)?;
        let vocabulary = corpus.vocabulary();
        let (end, pad) = (vocabulary.end(), vocabulary.pad());
        // The end is the padding of some vocabularies: what counts is that nothing else follows.
        let is_filler = |id: &i32| pad.is_some_and(|pad| i64::from(*id) == i64::from(pad));
        let mut used = ids.len() - ids.iter().rev().take_while(|id| is_filler(id)).count();
        if used < ids.len() && pad == end {
            used += 1;
        }
        let mut document = 0;
        let mut tokens = Vec::with_capacity(context);
        for (place, &id) in ids.iter().enumerate() {
            let id = u32::try_from(id).unwrap_or_default();
            let target = if is_class { None } else { u32::try_from(targets[place]).ok() };
            let text = String::from_utf8_lossy(&vocabulary.decode(&[id])).into_owned();
            let is_pad = place >= used;
            tokens.push(Token { id, text, target, document, is_pad });
            document += u64::from(end == Some(id) && !is_pad);
        }
        let class = if is_class { usize::try_from(targets[0]).ok() } else { None };
        let class = class.and_then(|class| corpus.classes().get(class).cloned());
        Ok(Shown { tokens, class })
    }
}
