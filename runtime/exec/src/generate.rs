//! Text from a model, token by token, by the plan's `prefill` and `decode`.
//!
//! In: the ids of a prompt. Out: text, given away as it becomes certain. The choice of token `n`
//! depends on the text before it, the seed and `n` only.
//!
//! `prefill` reads the prompt at once and fills the caches of keys and values; `decode` reads one
//! token more. A plan without `decode` takes `prefill` for every token, to the same logits.
//! The model sees a window of at most `context` tokens; a token that has no room left pushes the
//! older half out, and what is left is read again, at its new places.

mod sampler;
mod stream;

use data::Vocabulary;
use plan::{BufferId, FunctionId, Plan, Yield};
use serde::Serialize;

use crate::{
    device::cpu::Memory,
    error::Error,
    executor::{Executor, Host},
};
use sampler::Sampler;
pub use sampler::Sampling;
use stream::{Flow, Stream};

/// More than this part of a context is read by `prefill`, not token by token.
const MANY: usize = 8;

/// What is to be written.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// Tokens at most.
    pub length: u64,
    /// How they are chosen.
    pub sampling: Sampling,
    /// The text ends before the first of these; none of them is empty.
    pub stops: Vec<String>,
    /// It ends before the first of these ids, too.
    pub ends: Vec<u32>,
}

/// Why a text ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// It has its length.
    Length,
    /// A stop string came, or an id that ends a text.
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
        Ok(Prefill {
            function: plan.function("prefill").ok_or_else(|| missing("prefill"))?,
            ids: buffer(plan, "prefill.ids")?,
            last: buffer(plan, "prefill.last")?,
            logits: buffer(plan, "prefill.logits")?,
        })
    }
}

/// The buffers of `decode`, which stores the same logits.
#[derive(Debug, Clone, Copy)]
struct Decode {
    function: FunctionId,
    id: BufferId,
    position: BufferId,
}

impl Decode {
    /// None where the model has to be computed for the whole text.
    fn of(plan: &Plan) -> Result<Option<Decode>, Error> {
        let Some(function) = plan.function("decode") else { return Ok(None) };
        let (id, position) = (buffer(plan, "decode.id")?, buffer(plan, "decode.position")?);
        Ok(Some(Decode { function, id, position }))
    }
}

/// How many ids a text is written with.
fn ids_of(plan: &Plan) -> usize {
    usize::try_from(plan.run.vocab).expect("a vocabulary that was loaded")
}

fn missing(name: &str) -> Error {
    Error::BadPlan(format!("it has no `{name}` to generate with"))
}

fn buffer(plan: &Plan, name: &str) -> Result<BufferId, Error> {
    plan.buffer(name).ok_or_else(|| missing(name))
}

/// A text under way: what the model has read and written.
#[derive(Debug)]
pub struct Session<'s> {
    executor: &'s mut Executor,
    vocabulary: &'s Vocabulary,
    prefill: Prefill,
    decode: Option<Decode>,
    /// The tokens that the model sees, `context` at most.
    window: Vec<i32>,
    context: usize,
    /// The first so many of the window are in the caches, and the logits are those after them.
    cached: usize,
    sampler: Sampler,
}

/// A place in a text to go back to.
#[derive(Debug, Clone)]
pub struct Mark {
    window: Vec<i32>,
    sampler: Sampler,
    /// After the window.
    logits: Vec<f32>,
}

impl<'s> Session<'s> {
    /// An empty text.
    pub fn new(executor: &'s mut Executor, vocabulary: &'s Vocabulary) -> Result<Self, Error> {
        let prefill = Prefill::of(executor.plan())?;
        let context = executor.memory().i32(prefill.ids).len();
        let sampler = Sampler::new(ids_of(executor.plan()));
        let (decode, window) = (Decode::of(executor.plan())?, Vec::with_capacity(context));
        Ok(Self { executor, vocabulary, prefill, decode, window, context, cached: 0, sampler })
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
            // Every place changes, so nothing of the caches holds; half of them makes it rare.
            self.window.drain(..self.context.div_ceil(2));
            self.cached = 0;
        }
        self.window.push(i32::try_from(id).expect("a vocabulary fits an i32"));
        self.sampler.note(id);
    }

    /// An empty text starts from token 0.
    fn start(&mut self) {
        if self.window.is_empty() {
            self.window.push(0);
        }
    }

    /// Writes on; `give` gets the text of each token, empty while nothing is certain, and says
    /// whether to go on.
    ///
    /// Gives the number of tokens and why the text ended.
    pub fn write(
        &mut self,
        request: &Request,
        give: &mut dyn FnMut(&str) -> bool,
    ) -> Result<(u64, End), Error> {
        let mut stream = Stream::new(&request.stops);
        let (mut bytes, mut text) = (Vec::new(), String::new());
        self.start();
        for n in 0..request.length {
            self.run()?;
            // A model may have more than there are ids: what pads its vocabulary is no text.
            let ids = ids_of(self.executor.plan());
            let logits = &self.executor.memory().f32(self.prefill.logits)[..ids];
            let token = self.sampler.choose(logits, &request.sampling, n)?;
            if request.ends.contains(&token) {
                text.clear();
                stream.end(&mut text);
                give(&text);
                return Ok((n + 1, End::Stop));
            }
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

    /// Makes the logits those after the last token of the window.
    fn run(&mut self) -> Result<(), Error> {
        let new = self.window.len() - self.cached;
        if new == 0 {
            return Ok(());
        }
        // Many tokens at once are faster together, though the rest of the window comes with them.
        let is_few = self.cached > 0 && new <= (self.context / MANY).max(1);
        match self.decode.filter(|_| is_few) {
            Some(decode) => {
                for at in self.cached..self.window.len() {
                    self.decode(decode, at)?;
                }
            }
            None => self.prefill()?,
        }
        self.cached = self.window.len();
        Ok(())
    }

    /// Runs the whole window.
    fn prefill(&mut self) -> Result<(), Error> {
        let memory = self.executor.memory_mut();
        let ids = memory.i32_mut(self.prefill.ids);
        ids.fill(0);
        ids[..self.window.len()].copy_from_slice(&self.window);
        memory.i32_mut(self.prefill.last)[0] = place(self.window.len() - 1);
        self.executor.call(self.prefill.function, &mut Silent)
    }

    /// Runs one token of the window; those before it are in the caches.
    fn decode(&mut self, decode: Decode, at: usize) -> Result<(), Error> {
        let memory = self.executor.memory_mut();
        memory.i32_mut(decode.id)[0] = self.window[at];
        memory.i32_mut(decode.position)[0] = place(at);
        self.executor.call(decode.function, &mut Silent)
    }

    /// The place where the text ends now.
    pub fn mark(&mut self) -> Result<Mark, Error> {
        self.start();
        self.run()?;
        let logits = self.executor.memory().f32(self.prefill.logits).to_vec();
        Ok(Mark { window: self.window.clone(), sampler: self.sampler.clone(), logits })
    }

    /// Forgets what came after a mark of this text.
    pub fn rewind(&mut self, mark: &Mark) -> Result<(), Error> {
        let is_cached = self.cached >= mark.window.len() && self.window.starts_with(&mark.window);
        self.window.clone_from(&mark.window);
        self.sampler.clone_from(&mark.sampler);
        if !is_cached {
            // The window moved on, and the caches with it.
            self.cached = 0;
            return self.run();
        }
        self.cached = mark.window.len();
        let logits = self.executor.memory_mut().f32_mut(self.prefill.logits);
        logits.copy_from_slice(&mark.logits);
        Ok(())
    }
}

fn place(at: usize) -> i32 {
    i32::try_from(at).expect("a context fits an i32")
}
