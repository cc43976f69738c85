//! Which requests run: starting them within the budgets of memory, and keeping what they leave behind.

use crate::backend::{Backend, BackendError, SequenceId};
use crate::engine::Engine;
use crate::event::FinishReason;
use crate::prefix::{Kept, common};
use crate::task::Task;

/// Fewest tokens of a beginning that are waited for: computing less takes no longer than a step.
const AWAITED_MIN: usize = 16;

/// A sequence for a request, and what it already holds.
struct Start {
    sequence: SequenceId,
    capacity: usize,
    held: usize,
}

/// Where the first tokens of a request are.
#[derive(Clone, Copy)]
enum Source {
    /// In a kept sequence: its place in the cache.
    Kept(usize),
    /// In the sequence of a request that runs.
    Running(SequenceId),
}

impl<B: Backend> Engine<B> {
    /// Starts waiting requests, in order, while there is room. One that waits for its beginning (see [`Self::awaits`])
    /// keeps its place and is promised its memory; those behind it go on. The first that finds no room waits for others
    /// to end; it fails only where there are no others.
    pub(crate) fn admit(&mut self) -> Result<(), BackendError> {
        let (mut at, mut promised) = (0, 0);
        while self.running.len() + at < self.running_max() {
            let Some(task) = self.waiting.get(at) else { break };
            if self.awaits(task) {
                promised += self.backend.sequence_bytes(task.rules.tokens_max);
                at += 1;
                continue;
            }
            let Some(mut task) = self.waiting.remove(at) else { break };
            match self.start(&task, promised) {
                Ok(start) => {
                    task.sequence = Some(start.sequence);
                    task.bytes = self.backend.sequence_bytes(start.capacity);
                    task.capacity = start.capacity;
                    task.fed = start.held;
                    if task.started.is_none() {
                        task.started = Some(self.clock.now());
                        task.cached = start.held;
                    }
                    self.running.push(task);
                }
                Err(error @ BackendError::OutOfMemory { .. }) if self.running.is_empty() => {
                    self.end(task, FinishReason::Fault(error.to_string()));
                }
                Err(error) => {
                    self.waiting.insert(at, task);
                    return if matches!(error, BackendError::OutOfMemory { .. }) { Ok(()) } else { Err(error) };
                }
            }
        }
        Ok(())
    }

    /// Whether a request that runs is about to compute first tokens of the task that no sequence holds yet. They are
    /// computed once then and copied; but only where the task would gain much, compared with what it waits for.
    fn awaits(&self, task: &Task) -> bool {
        if self.options.cache_bytes_max == 0 {
            return false;
        }
        let tokens = &task.tokens[..task.first_row()];
        let held = self.source(task).map_or(0, |(_, length)| length);
        self.running.iter().filter(|other| other.rules.scope == task.rules.scope).any(|other| {
            let gain = common(&other.tokens, tokens).saturating_sub(held.max(other.fed));
            gain >= AWAITED_MIN && 2 * gain >= other.missing()
        })
    }

    /// Bytes that requests have reserved: those that run, and with `waiting` those that wait.
    pub(crate) fn reserved(&self, waiting: bool) -> u64 {
        let wanted = |task: &Task| self.backend.sequence_bytes(task.rules.tokens_max);
        let running: u64 = self.running.iter().map(|task| task.bytes).sum();
        let waiting: u64 = if waiting { self.waiting.iter().map(wanted).sum() } else { 0 };
        running.saturating_add(waiting)
    }

    /// A sequence for the task, beside those that run and what is `promised` to others, in bytes. Kept sequences give
    /// way, the oldest first; the one that the task can use last.
    fn start(&mut self, task: &Task, promised: u64) -> Result<Start, BackendError> {
        let capacity = task.rules.tokens_max;
        let needed =
            self.reserved(false).saturating_add(promised).saturating_add(self.backend.sequence_bytes(capacity));
        let mut found = self.source(task);
        loop {
            let fits = needed.saturating_add(self.kept_beside(found, capacity)) <= self.options.kv_bytes_max;
            let tried = if fits { self.fill(found, capacity) } else { Err(self.over_budget(capacity)) };
            let Err(BackendError::OutOfMemory { .. }) = &tried else { return tried };
            let spared = if let Some((Source::Kept(at), _)) = found { Some(at) } else { None };
            match self.cache.oldest(spared).or(spared) {
                Some(at) => self.forget(at),
                None => return tried,
            }
            found = self.source(task);
        }
    }

    /// The most first tokens of the task that some sequence holds. The last token is always computed anew: its logits
    /// are needed.
    fn source(&self, task: &Task) -> Option<(Source, usize)> {
        if self.options.cache_bytes_max == 0 {
            return None;
        }
        let tokens = &task.tokens[..task.first_row()];
        let kept = self.cache.longest(task.rules.scope, tokens).map(|(at, length)| (Source::Kept(at), length));
        let of_scope = self.running.iter().filter(|other| other.rules.scope == task.rules.scope);
        let running = of_scope.filter_map(|other| {
            let length = common(&other.tokens[..other.fed], tokens);
            other.sequence.filter(|_| length > 0).map(|sequence| (Source::Running(sequence), length))
        });
        running.chain(kept).max_by_key(|&(_, length)| length)
    }

    /// Whether a request that needs `capacity` takes the kept sequence itself: where it has room, and nothing of it
    /// but a short end is lost for others.
    fn takes_over(&self, at: usize, length: usize, capacity: usize) -> bool {
        let kept = self.cache.entry(at);
        kept.capacity >= capacity && kept.tokens.len() - length <= length / 8
    }

    /// Bytes of kept sequences that stay when a request starts from `found`.
    fn kept_beside(&self, found: Option<(Source, usize)>, capacity: usize) -> u64 {
        match found {
            Some((Source::Kept(at), length)) if self.takes_over(at, length, capacity) => {
                self.cache.bytes() - self.cache.entry(at).bytes
            }
            _ => self.cache.bytes(),
        }
    }

    fn over_budget(&self, capacity: usize) -> BackendError {
        let remedy = format!("the budget of {} bytes for keys and values is used up", self.options.kv_bytes_max);
        BackendError::OutOfMemory { capacity, remedy }
    }

    fn fill(&mut self, found: Option<(Source, usize)>, capacity: usize) -> Result<Start, BackendError> {
        let copied = match found {
            Some((Source::Kept(at), held)) if self.takes_over(at, held, capacity) => {
                let kept = self.cache.remove(at);
                if held < kept.tokens.len() {
                    self.backend.truncate_sequence(kept.sequence, held);
                }
                return Ok(Start { sequence: kept.sequence, capacity: kept.capacity, held });
            }
            Some((Source::Kept(at), held)) => {
                let copy = self.backend.copy_prefix(self.cache.entry(at).sequence, held, capacity)?;
                self.cache.touch(at);
                copy.map(|sequence| (sequence, held))
            }
            Some((Source::Running(from), held)) => {
                self.backend.copy_prefix(from, held, capacity)?.map(|sequence| (sequence, held))
            }
            None => None,
        };
        match copied {
            Some((sequence, held)) => Ok(Start { sequence, capacity, held }),
            None => Ok(Start { sequence: self.backend.create_sequence(capacity)?, capacity, held: 0 }),
        }
    }

    /// Keeps the sequence of a request that is over, where the budget lets it, or releases it.
    pub(crate) fn keep(&mut self, sequence: SequenceId, task: &Task) {
        let (scope, held) = (task.rules.scope, &task.tokens[..task.fed]);
        let known = self.cache.covering(scope, held);
        if let Some(at) = known {
            self.cache.touch(at);
        }
        let bytes = self.backend.sequence_bytes(held.len());
        if known.is_some() || held.is_empty() || bytes == 0 || bytes > self.options.cache_bytes_max {
            self.backend.release_sequence(sequence);
            return;
        }
        while let Some(at) = self.cache.covered(scope, held) {
            self.forget(at);
        }
        let Some((sequence, capacity)) = self.shrunk(sequence, held.len(), task.capacity) else { return };
        let bytes = self.backend.sequence_bytes(capacity);
        self.cache.add(Kept { sequence, tokens: held.to_vec(), scope, capacity, bytes });
        // The budget of all memory needs no look: what is kept was reserved before.
        while self.cache.bytes() > self.options.cache_bytes_max && self.forget_oldest() {}
    }

    /// The sequence, or a shorter copy where most of it is empty, with its capacity.
    fn shrunk(&mut self, sequence: SequenceId, held: usize, capacity: usize) -> Option<(SequenceId, usize)> {
        let bytes = self.backend.sequence_bytes(capacity);
        if bytes <= self.backend.sequence_bytes(held).saturating_mul(2) && bytes <= self.options.cache_bytes_max {
            return Some((sequence, capacity));
        }
        let copy = self.backend.copy_prefix(sequence, held, held);
        self.backend.release_sequence(sequence);
        copy.ok().flatten().map(|copy| (copy, held))
    }

    /// Forgets the kept sequence that was used longest ago; false where there is none.
    pub(crate) fn forget_oldest(&mut self) -> bool {
        let oldest = self.cache.oldest(None);
        if let Some(at) = oldest {
            self.forget(at);
        }
        oldest.is_some()
    }

    fn forget(&mut self, at: usize) {
        let kept = self.cache.remove(at);
        self.backend.release_sequence(kept.sequence);
    }
}
