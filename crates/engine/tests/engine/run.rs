//! Runs requests and collects what came of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use lockstep_engine::{
    Attached, Engine, EngineOptions, Event, FinishReason, LogitsDigest, LogitsObserver, Request, RequestId,
    SubmitError, TokenLogprobs, Usage,
};

use crate::toy::{END, Ticks, Toy, ToyText};

/// Everything that one request gave.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Answer {
    pub(crate) ids: Vec<u32>,
    pub(crate) text: String,
    pub(crate) logprobs: Vec<Option<TokenLogprobs>>,
    pub(crate) reason: Option<FinishReason>,
    pub(crate) usage: Usage,
}

impl Answer {
    /// Without times and counts of guesses: what must not depend on anything but the request.
    pub(crate) fn essence(&self) -> (&[u32], &str, &[Option<TokenLogprobs>], Option<&FinishReason>) {
        (&self.ids, &self.text, &self.logprobs, self.reason.as_ref())
    }
}

/// Sorts events into answers and checks their order.
#[derive(Debug, Default)]
pub(crate) struct Answers(pub(crate) BTreeMap<RequestId, Answer>);

impl Answers {
    pub(crate) fn take(&mut self, events: Vec<Event>) {
        for event in events {
            match event {
                Event::Token { request, id, text, logprobs, .. } => {
                    let answer = self.0.entry(request).or_default();
                    assert_eq!(answer.reason, None, "a token after the end");
                    answer.ids.push(id);
                    answer.text += &text;
                    answer.logprobs.push(logprobs);
                }
                Event::Finished { request, text, reason, usage } => {
                    let answer = self.0.entry(request).or_default();
                    assert_eq!(answer.reason, None, "a second end");
                    assert_eq!(usage.completion_tokens, answer.ids.len());
                    assert_eq!(usage.token_times.len(), answer.ids.len());
                    answer.text += &text;
                    answer.reason = Some(reason);
                    answer.usage = usage;
                }
            }
        }
    }
}

/// Checks that positions come once and in order, and keeps the digest.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    pub(crate) digest: LogitsDigest,
    pub(crate) first: Option<usize>,
}

impl LogitsObserver for Watch {
    fn observe(&mut self, position: usize, logits: &[f32]) {
        let first = *self.first.get_or_insert(position);
        assert_eq!(position, first + self.digest.rows(), "positions come once, in order");
        self.digest.observe(position, logits);
    }
}

pub(crate) fn options() -> EngineOptions {
    EngineOptions { end_token_ids: vec![END], ..EngineOptions::default() }
}

pub(crate) fn engine(toy: Toy, options: EngineOptions) -> Engine<Toy> {
    Engine::new(toy, options, Box::new(Ticks::default()), Box::new(ToyText))
}

pub(crate) fn watched(engine: &mut Engine<Toy>, request: Request) -> (RequestId, Arc<Mutex<Watch>>) {
    try_watched(engine, request).unwrap()
}

pub(crate) fn try_watched(
    engine: &mut Engine<Toy>,
    request: Request,
) -> Result<(RequestId, Arc<Mutex<Watch>>), SubmitError> {
    let watch = Arc::new(Mutex::new(Watch::default()));
    let attached = Attached { observer: Some(Box::new(Arc::clone(&watch))), ..Attached::default() };
    Ok((engine.submit_with(request, attached)?, watch))
}

/// Steps until nothing is left.
pub(crate) fn drain(engine: &mut Engine<Toy>, answers: &mut Answers) {
    let mut steps = 0;
    while !engine.is_idle() {
        answers.take(engine.step().unwrap());
        steps += 1;
        assert!(steps < 100_000, "the engine does not come to an end");
    }
    engine.clear_cache();
    assert!(engine.backend().sequences.is_empty(), "every sequence is released");
}

/// The request alone, and the digest of its logits (and their number).
pub(crate) fn alone(request: Request, toy: Toy, options: EngineOptions) -> (Answer, String, usize) {
    let mut engine = engine(toy, options);
    let (id, watch) = watched(&mut engine, request);
    let mut answers = Answers::default();
    drain(&mut engine, &mut answers);
    let watch = watch.lock().unwrap();
    (answers.0.remove(&id).unwrap(), watch.digest.hex(), watch.digest.rows())
}
