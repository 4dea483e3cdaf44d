//! Text from a model: one token after the other, by the plan's `prefill`.
//!
//! In: the ids of a prompt. Out: text, given away as it becomes certain. The choice of token `n`
//! depends on the text before it, the seed and `n` only. The window is the last `context` tokens.

mod sampler;
mod stream;

use plan::{BufferId, FunctionId, Plan, Yield};
use serde::Serialize;

use crate::{
    data::tokenizer::Vocabulary,
    device::cpu::Memory,
    error::Error,
    executor::{Executor, Host},
};
use sampler::Sampler;
pub use sampler::Sampling;
use stream::{Flow, Stream};

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Tokens at most.
    pub length: u64,
    /// How they are chosen.
    pub sampling: Sampling,
    /// The text ends before the first of these; none of them is empty.
    pub stops: Vec<String>,
}

/// Why a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It has its length.
    Length,
    /// A stop string came.
    Stop,
    /// Who reads it wants no more.
    Refused,
}

/// A text that was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sampled {
    /// What was given.
    pub prompt: String,
    /// What followed.
    pub text: String,
    /// Tokens that were made, those of a stop string too.
    pub tokens: u64,
    /// Of the choices.
    pub seed: u64,
    /// Why it ended.
    pub end: End,
}

impl Sampled {
    /// One line of JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers have a JSON form")
    }
}

/// A host for functions that never yield.
#[derive(Debug)]
pub(crate) struct Silent;

impl Host for Silent {
    fn turn(&mut self, what: Yield, _: &mut Memory) -> Result<(), Error> {
        Err(Error::BadPlan(format!("a function without data yields {what:?}")))
    }
}

/// The buffers of `prefill`.
#[derive(Debug, Clone, Copy)]
struct Prefill {
    function: FunctionId,
    ids: BufferId,
    last: BufferId,
    logits: BufferId,
}

impl Prefill {
    fn of(plan: &Plan) -> Result<Prefill, Error> {
        let missing = |name: &str| Error::BadPlan(format!("it has no `{name}` to generate with"));
        let buffer = |name: &str| plan.buffer(name).ok_or_else(|| missing(name));
        Ok(Prefill {
            function: plan.function("prefill").ok_or_else(|| missing("prefill"))?,
            ids: buffer("prefill.ids")?,
            last: buffer("prefill.last")?,
            logits: buffer("prefill.logits")?,
        })
    }
}

/// A text under way: what the model has read and written.
#[derive(Debug)]
pub struct Session<'s> {
    executor: &'s mut Executor,
    vocabulary: &'s Vocabulary,
    prefill: Prefill,
    /// The last tokens, `context` at most.
    window: Vec<i32>,
    context: usize,
    sampler: Sampler,
}

/// A place in a text to go back to.
#[derive(Debug, Clone)]
pub struct Mark {
    window: Vec<i32>,
    sampler: Sampler,
}

impl<'s> Session<'s> {
    /// An empty text.
    pub fn new(executor: &'s mut Executor, vocabulary: &'s Vocabulary) -> Result<Self, Error> {
        let prefill = Prefill::of(executor.plan())?;
        let context = executor.memory().i32(prefill.ids).len();
        let sampler = Sampler::new(executor.memory().f32(prefill.logits).len());
        let window = Vec::with_capacity(context + 1);
        Ok(Self { executor, vocabulary, prefill, window, context, sampler })
    }

    /// Goes on with a text that is given.
    pub fn read(&mut self, ids: &[u32]) -> Result<(), Error> {
        let vocab = self.executor.plan().run.vocab;
        if let Some(id) = ids.iter().find(|&&id| u64::from(id) >= vocab) {
            return Err(Error::BadData(format!("token {id} is not in the vocabulary")));
        }
        for &id in ids {
            self.push(id);
        }
        Ok(())
    }

    fn push(&mut self, id: u32) {
        if self.window.len() == self.context {
            self.window.remove(0);
        }
        self.window.push(i32::try_from(id).expect("a vocabulary fits an i32"));
        self.sampler.note(id);
    }

    /// Writes on; `give` gets the text of each token, empty while nothing is certain, and says
    /// whether to go on.
    ///
    /// An empty text starts from token 0. Gives the number of tokens and why the text ended.
    pub fn write(
        &mut self,
        request: &Request,
        give: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(u64, End), Error> {
        let mut stream = Stream::new(&request.stops);
        let (mut bytes, mut text) = (Vec::new(), String::new());
        if self.window.is_empty() {
            self.window.push(0);
        }
        for n in 0..request.length {
            self.run()?;
            let logits = self.executor.memory().f32(self.prefill.logits);
            let token = self.sampler.choose(logits, &request.sampling, n)?;
            self.push(token);
            bytes.clear();
            text.clear();
            self.vocabulary.decode_one(token, &mut bytes);
            let flow = stream.push(&bytes, &mut text);
            let goes_on = give(&text);
            match (flow, goes_on) {
                (Flow::Open, true) => {}
                (Flow::Open, false) => return Ok((n + 1, End::Refused)),
                (Flow::Stopped, _) => return Ok((n + 1, End::Stop)),
            }
        }
        text.clear();
        stream.end(&mut text);
        give(&text);
        Ok((request.length, End::Length))
    }

    /// The logits after the last token of the window.
    fn run(&mut self) -> Result<(), Error> {
        let memory = self.executor.memory_mut();
        let ids = memory.i32_mut(self.prefill.ids);
        ids.fill(0);
        ids[..self.window.len()].copy_from_slice(&self.window);
        let last = i32::try_from(self.window.len() - 1).expect("a context fits an i32");
        memory.i32_mut(self.prefill.last)[0] = last;
        self.executor.call(self.prefill.function, &mut Silent)
    }

    /// The place where the text ends now.
    pub fn mark(&self) -> Mark {
        Mark { window: self.window.clone(), sampler: self.sampler.clone() }
    }

    /// Forgets what came after a mark.
    pub fn rewind(&mut self, mark: &Mark) {
        self.window.clone_from(&mark.window);
        self.sampler.clone_from(&mark.sampler);
    }
}
