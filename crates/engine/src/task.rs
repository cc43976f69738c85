//! One request on its way: what is known of its text, and what its sequence in the backend holds.

use std::time::Duration;

use crate::backend::{SequenceId, StepOutput};
use crate::constraint::Constraint;
use crate::digest::LogitsObserver;
use crate::event::{Event, FinishReason, Usage};
use crate::request::{Attached, RequestId, ServiceTier};
use crate::sampling::{Answered, Sampler, Scratch};
use crate::speculation::Speculator;
use crate::stop::StopMatcher;
use crate::text::TextStream;

/// Limits and marks of a request that never change.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) prompt_tokens: usize,
    /// Most tokens of prompt and answer together.
    pub(crate) tokens_max: usize,
    pub(crate) ends: Vec<u32>,
    pub(crate) logprobs: Option<usize>,
    pub(crate) tier: ServiceTier,
    pub(crate) scope: u64,
    pub(crate) deadline: Option<Duration>,
}

/// A request, waiting or running.
///
/// `tokens` is the truth. A sequence only caches what the model computed of `tokens[..fed]`; it can be dropped and
/// built again at any time, because the same tokens give the same bits.
pub(crate) struct Task {
    pub(crate) id: RequestId,
    pub(crate) rules: Rules,
    pub(crate) tokens: Vec<u32>,
    pub(crate) sequence: Option<SequenceId>,
    /// Tokens that the sequence can hold, and the bytes reserved for them.
    pub(crate) capacity: usize,
    pub(crate) bytes: u64,
    /// Tokens that the sequence holds; at most those known.
    pub(crate) fed: usize,
    /// Tokens of this step: known ones from `fed` on, then guesses.
    pub(crate) feed: Vec<u32>,
    /// For how many of the last tokens of `feed` logits are wanted.
    pub(crate) rows: usize,
    /// The next position whose logits are looked at.
    next_row: usize,
    pub(crate) speculator: Option<Speculator>,
    sampler: Sampler,
    text: Box<dyn TextStream + Send>,
    stops: StopMatcher,
    observer: Option<Box<dyn LogitsObserver + Send>>,
    constraint: Option<Box<dyn Constraint>>,
    pub(crate) outcome: Option<FinishReason>,
    submitted: Duration,
    pub(crate) started: Option<Duration>,
    /// Prompt tokens that were cached when it first started.
    pub(crate) cached: usize,
    token_times: Vec<Duration>,
}

/// What a task is made of.
pub(crate) struct Parts {
    pub(crate) id: RequestId,
    pub(crate) rules: Rules,
    pub(crate) prompt: Vec<u32>,
    pub(crate) all_logits: bool,
    pub(crate) speculate: bool,
    pub(crate) sampler: Sampler,
    pub(crate) text: Box<dyn TextStream + Send>,
    pub(crate) stops: StopMatcher,
    pub(crate) attached: Attached,
    pub(crate) submitted: Duration,
}

/// The step's output for one item, the buffers to read it with, and when it came.
pub(crate) struct Reading<'a> {
    pub(crate) output: &'a dyn StepOutput,
    pub(crate) item: usize,
    pub(crate) scratch: &'a mut Scratch,
    pub(crate) now: Duration,
    pub(crate) events: &'a mut Vec<Event>,
}

impl Task {
    pub(crate) fn new(parts: Parts) -> Self {
        let Attached { observer, constraint, .. } = parts.attached;
        let from_start = parts.all_logits && observer.is_some();
        Self {
            id: parts.id,
            next_row: if from_start { 0 } else { parts.prompt.len() - 1 },
            rules: parts.rules,
            tokens: parts.prompt,
            sequence: None,
            capacity: 0,
            bytes: 0,
            fed: 0,
            feed: Vec::new(),
            rows: 0,
            speculator: parts.speculate.then(Speculator::new),
            sampler: parts.sampler,
            text: parts.text,
            stops: parts.stops,
            observer,
            constraint,
            outcome: None,
            submitted: parts.submitted,
            started: None,
            cached: 0,
            token_times: Vec::new(),
        }
    }

    /// Known tokens that the sequence lacks.
    pub(crate) fn missing(&self) -> usize {
        self.tokens.len() - self.fed
    }

    /// The first position whose logits are needed: what comes before it may be in the sequence already.
    pub(crate) fn first_row(&self) -> usize {
        self.next_row.min(self.tokens.len() - 1)
    }

    /// Whether the next step only adds the token generated last.
    pub(crate) fn is_decoding(&self) -> bool {
        self.missing() == 1 && self.tokens.len() > self.rules.prompt_tokens
    }

    /// Puts the next `count` known tokens into this step.
    pub(crate) fn take(&mut self, count: usize) {
        self.feed.clear();
        self.feed.extend_from_slice(&self.tokens[self.fed..self.fed + count]);
        let wanted = (self.fed + count).saturating_sub(self.next_row.max(self.fed));
        // One row even if none is wanted, to see a fault in the step in which it happens.
        self.rows = wanted.max(1).min(count);
    }

    /// Adds guesses to a step that already has all known tokens: at most `limit`.
    pub(crate) fn guess(&mut self, limit: usize, price: u64) -> usize {
        let Some(speculator) = &mut self.speculator else { return 0 };
        // The token that follows the last guess must still be allowed.
        let room = self.rules.tokens_max.saturating_sub(self.tokens.len() + 1);
        let guesses = speculator.propose(&self.tokens, limit.min(room), price);
        self.feed.extend_from_slice(guesses);
        self.rows += guesses.len();
        guesses.len()
    }

    /// Forgets what the sequence held; it is computed again. Returns the sequence, to be released.
    pub(crate) fn restart(&mut self) -> Option<SequenceId> {
        self.fed = 0;
        self.feed.clear();
        self.sequence.take()
    }

    /// Reads the step's logits: draws tokens until a guess was wrong, the request is over, or the rows end. Returns
    /// the length to which the sequence must be cut, if it holds wrong guesses.
    pub(crate) fn absorb(&mut self, mut reading: Reading<'_>) -> Absorbed {
        let start = self.fed;
        let known = self.tokens.len();
        let held = start + self.feed.len();
        for row in 0..self.rows {
            let position = held - self.rows + row;
            let logits = match reading.output.logits(reading.item, row) {
                Ok(logits) => logits,
                Err(fault) => return self.fault(held > known, fault),
            };
            if position < self.next_row {
                continue;
            }
            if let Some(observer) = &mut self.observer {
                observer.observe(position, logits);
            }
            self.next_row = position + 1;
            if position + 1 < self.tokens.len() {
                continue;
            }
            if let Err(why) = self.draw(logits, position + 1, &mut reading) {
                return self.fault(false, why);
            }
            let id = self.tokens[position + 1];
            if let Some(speculator) = &mut self.speculator {
                speculator.judge(position + 1 - known, id);
            }
            if self.outcome.is_some() || self.feed.get(position + 1 - start) != Some(&id) {
                break;
            }
        }
        // The token drawn last was never fed.
        self.fed = held.min(self.tokens.len() - 1).max(start);
        if held > self.fed { Absorbed::CutTo(self.fed) } else { Absorbed::Kept }
    }

    /// A fault in a step with guesses may be the fault of a wrong guess: the step is made again without.
    fn fault(&mut self, guessed: bool, message: String) -> Absorbed {
        if guessed {
            if let Some(speculator) = &mut self.speculator {
                speculator.stop();
            }
            Absorbed::Retry
        } else {
            self.outcome = Some(FinishReason::Fault(message));
            Absorbed::Kept
        }
    }

    /// Draws the token at `position` and reports it.
    fn draw(&mut self, logits: &[f32], position: usize, reading: &mut Reading<'_>) -> Result<(), String> {
        let allowed = match &mut self.constraint {
            Some(constraint) => constraint.allowed()?,
            None => None,
        };
        let place = Answered { position, tokens: position - self.rules.prompt_tokens, allowed };
        let (id, logprobs) = self.sampler.choose(logits, &place, self.rules.logprobs, reading.scratch)?;
        self.sampler.accept(id);
        self.tokens.push(id);
        self.token_times.push(reading.now.saturating_sub(self.submitted));
        let mut text = String::new();
        if self.rules.ends.contains(&id) {
            self.outcome = Some(FinishReason::Stop);
        } else {
            let certain = self.stops.push(&self.text.push(id));
            text = certain.text;
            if certain.stopped {
                self.outcome = Some(FinishReason::StopString);
            } else if self.tokens.len() >= self.rules.tokens_max {
                self.outcome = Some(FinishReason::Length);
            }
        }
        reading.events.push(Event::Token { request: self.id, id, text, logprobs, time: reading.now });
        match &mut self.constraint {
            Some(constraint) if self.outcome.is_none() => constraint.accept(id),
            _ => Ok(()),
        }
    }

    /// The last event of this request.
    pub(crate) fn finish(mut self, reason: FinishReason, now: Duration) -> Event {
        let (mut text, mut reason) = (String::new(), reason);
        if reason != FinishReason::StopString {
            let certain = self.stops.push(&self.text.finish());
            text = certain.text + &self.stops.finish();
            if certain.stopped && reason == FinishReason::Length {
                reason = FinishReason::StopString;
            }
        }
        Event::Finished { request: self.id, text, reason, usage: self.usage(now) }
    }

    fn usage(self, now: Duration) -> Usage {
        let started = self.started.unwrap_or(now);
        let first = self.token_times.first().map_or(now, |&time| self.submitted + time);
        let last = self.token_times.last().map_or(first, |&time| self.submitted + time);
        Usage {
            prompt_tokens: self.rules.prompt_tokens,
            cached_tokens: self.cached,
            completion_tokens: self.token_times.len(),
            queue_time: started.saturating_sub(self.submitted),
            prompt_time: first.saturating_sub(started),
            completion_time: last.saturating_sub(first),
            proposed_tokens: self.speculator.as_ref().map_or(0, |s| s.proposed),
            accepted_tokens: self.speculator.as_ref().map_or(0, |s| s.accepted),
            token_times: self.token_times,
        }
    }
}

/// What becomes of a task's sequence after a step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Absorbed {
    /// It holds what it should.
    Kept,
    /// It must be cut to this length.
    CutTo(usize),
    /// It must be built again.
    Retry,
}
