//! The engine: takes requests, makes steps, reports events.

use std::collections::VecDeque;

use crate::backend::{Backend, BackendError, SequenceId, StepItem};
use crate::clock::Clock;
use crate::event::{Event, FinishReason};
use crate::options::{EngineOptions, Load};
use crate::prefix::PrefixCache;
use crate::request::{RequestId, ServiceTier};
use crate::sampling::Scratch;
use crate::schedule::{Budget, plan};
use crate::task::{Absorbed, Reading, Task};
use crate::text::Detokenizer;

/// Serves requests over a backend, one step at a time. What it does depends only on the calls made to it, in their
/// order, and on the backend's answers; the clock's readings are only reported.
pub struct Engine<B: Backend> {
    pub(crate) backend: B,
    pub(crate) options: EngineOptions,
    pub(crate) clock: Box<dyn Clock + Send>,
    pub(crate) detokenizer: Box<dyn Detokenizer + Send>,
    pub(crate) waiting: VecDeque<Task>,
    /// In order of admission; each has a sequence.
    pub(crate) running: Vec<Task>,
    pub(crate) cache: PrefixCache,
    /// Longest sequence that the backend and the budget allow, in tokens.
    pub(crate) context: usize,
    events: Vec<Event>,
    scratch: Scratch,
    pub(crate) next_id: u64,
}

impl<B: Backend> Engine<B> {
    /// An engine without requests.
    pub fn new(
        backend: B,
        options: EngineOptions,
        clock: Box<dyn Clock + Send>,
        detokenizer: Box<dyn Detokenizer + Send>,
    ) -> Self {
        let context = longest_within(&backend, options.kv_bytes_max);
        let scratch = Scratch::new(options.kernels);
        Self {
            backend,
            options,
            clock,
            detokenizer,
            waiting: VecDeque::new(),
            running: Vec::new(),
            cache: PrefixCache::default(),
            context,
            events: Vec::new(),
            scratch,
            next_id: 0,
        }
    }

    /// The backend, to look at.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Requests that wait, and requests that run.
    pub fn counts(&self) -> (usize, usize) {
        (self.waiting.len(), self.running.len())
    }

    /// Requests, and memory for keys and values.
    pub fn load(&self) -> Load {
        let (cached_sequences, cached_tokens) = self.cache.counts();
        let most = self.backend.sequence_bytes(self.context).saturating_mul(self.running_max() as u64);
        Load {
            kv_bytes_max: most.min(self.options.kv_bytes_max),
            waiting: self.waiting.len(),
            running: self.running.len(),
            reserved_bytes: self.reserved(false),
            cached_sequences,
            cached_tokens,
            cached_bytes: self.cache.bytes(),
        }
    }

    /// Longest sequence (prompt and answer), in tokens: the backend's, or less where the budget holds less.
    pub fn context_length(&self) -> usize {
        self.context
    }

    /// Forgets all kept sequences.
    pub fn clear_cache(&mut self) {
        while self.forget_oldest() {}
    }

    /// Whether a step would do nothing and report nothing.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty() && self.events.is_empty()
    }

    /// Ends a request and releases what it holds, at once; the next step reports its end. False where it was over.
    pub fn cancel(&mut self, id: RequestId) -> bool {
        let waiting = self.waiting.iter().position(|task| task.id == id).and_then(|at| self.waiting.remove(at));
        let task = waiting.or_else(|| {
            let at = self.running.iter().position(|task| task.id == id)?;
            Some(self.running.remove(at))
        });
        match task {
            Some(task) => {
                self.end(task, FinishReason::Cancelled);
                true
            }
            None => false,
        }
    }

    /// Ends the requests whose deadline has passed, in order of their numbers.
    fn end_overdue(&mut self) {
        if !self.waiting.iter().chain(&self.running).any(|task| task.rules.deadline.is_some()) {
            return;
        }
        let now = self.clock.now();
        let overdue = |task: &Task| task.rules.deadline.is_some_and(|deadline| deadline <= now);
        let mut over: Vec<Task> = self.running.extract_if(.., |task| overdue(task)).collect();
        let (late, waiting) = std::mem::take(&mut self.waiting).into_iter().partition::<Vec<_>, _>(overdue);
        self.waiting = waiting.into();
        over.extend(late);
        over.sort_unstable_by_key(|task| task.id);
        for task in over {
            self.end(task, FinishReason::Deadline);
        }
    }

    /// Makes one step and reports what came of it, and of cancellations before it.
    ///
    /// On an error nothing is lost: requests and events are kept, and the caller may step again or give up.
    pub fn step(&mut self) -> Result<Vec<Event>, BackendError> {
        self.end_overdue();
        self.admit()?;
        while !self.running.is_empty() {
            let budget = self.budget();
            plan(&mut self.running, budget);
            match self.advance() {
                Ok(()) => break,
                Err(error @ BackendError::OutOfMemory { .. }) => self.make_room(&error),
                Err(error) => return Err(error),
            }
        }
        Ok(std::mem::take(&mut self.events))
    }

    /// Most requests that share a step.
    pub(crate) fn running_max(&self) -> usize {
        self.options.running_max.clamp(1, self.backend.step_tokens_max().max(1))
    }

    fn budget(&self) -> Budget {
        let tokens = self.backend.step_tokens_max().max(1);
        Budget {
            tokens,
            prefill: self.options.prefill_chunk.unwrap_or(tokens).clamp(1, tokens),
            prefill_percent: u64::from(self.options.prefill_percent_shared),
            guesses: self.options.guesses_max,
            token_cost: u64::from(self.options.token_cost_percent) * 1024 / 100,
        }
    }

    /// Makes the planned step and reads its logits.
    fn advance(&mut self) -> Result<(), BackendError> {
        let mut items = Vec::with_capacity(self.running.len());
        for task in &self.running {
            if let Some(sequence) = task.sequence.filter(|_| !task.feed.is_empty()) {
                items.push(StepItem { sequence, tokens: &task.feed, logits: task.rows });
            }
        }
        let output = self.backend.step(&items)?;
        drop(items);
        let now = self.clock.now();
        let mut absorbed = Vec::with_capacity(self.running.len());
        let mut item = 0;
        for task in &mut self.running {
            if task.feed.is_empty() {
                absorbed.push(Absorbed::Kept);
            } else {
                let (scratch, events) = (&mut self.scratch, &mut self.events);
                absorbed.push(task.absorb(Reading { output, item, scratch, now, events }));
                item += 1;
            }
        }
        self.settle(absorbed);
        Ok(())
    }

    /// Cuts, ends or restarts sequences as the step's reading asks.
    fn settle(&mut self, absorbed: Vec<Absorbed>) {
        let mut restarted = Vec::new();
        for (mut task, absorbed) in std::mem::take(&mut self.running).into_iter().zip(absorbed) {
            if let (Absorbed::CutTo(length), Some(sequence)) = (&absorbed, task.sequence) {
                self.backend.truncate_sequence(sequence, *length);
            }
            if let Some(reason) = task.outcome.take() {
                self.end(task, reason);
            } else if absorbed == Absorbed::Retry {
                self.release(task.restart());
                restarted.push(task);
            } else {
                self.running.push(task);
            }
        }
        for task in restarted.into_iter().rev() {
            self.waiting.push_front(task);
        }
    }

    /// Gives up a kept sequence, or that of the request admitted last (of the flex tier, where one is), which then
    /// waits; a request alone has no one to wait for.
    fn make_room(&mut self, error: &BackendError) {
        if self.forget_oldest() {
            return;
        }
        let flex = self.running.iter().rposition(|task| task.rules.tier == ServiceTier::Flex);
        let Some(last) = self.running.len().checked_sub(1) else { return };
        let mut task = self.running.remove(flex.unwrap_or(last));
        if self.running.is_empty() {
            self.end(task, FinishReason::Fault(error.to_string()));
        } else {
            self.release(task.restart());
            self.waiting.push_front(task);
        }
    }

    /// Reports a request's end and lets go of its sequence; what a fault left in it is of no use.
    pub(crate) fn end(&mut self, mut task: Task, reason: FinishReason) {
        match task.sequence.take() {
            Some(sequence) if !matches!(reason, FinishReason::Fault(_)) => self.keep(sequence, &task),
            sequence => self.release(sequence),
        }
        let now = self.clock.now();
        self.events.push(task.finish(reason, now));
    }

    fn release(&mut self, sequence: Option<SequenceId>) {
        if let Some(sequence) = sequence {
            self.backend.release_sequence(sequence);
        }
    }
}

/// The most tokens of a sequence within a budget of bytes; the backend's context where that is less.
fn longest_within(backend: &impl Backend, bytes: u64) -> usize {
    let (mut fits, mut over) = (0, backend.context_length() + 1);
    while over - fits > 1 {
        let middle = fits + (over - fits) / 2;
        if backend.sequence_bytes(middle) <= bytes { fits = middle } else { over = middle }
    }
    fits
}
