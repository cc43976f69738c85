//! What computes logits: the host as the engine's backend (a newtype, since neither crate knows the other), or a
//! simulated chip.

use crate::simulated::SimulatedBackend;
use lockstep_engine::{Backend, BackendError, SequenceId, StepItem, StepOutput};
use lockstep_host::{Error, Host, Item};

/// A host with the longest sequence that it may start, in tokens.
#[derive(Debug)]
pub struct HostBackend {
    host: Host,
    context: usize,
}

impl HostBackend {
    /// Sequences of at most `context` tokens on `host`.
    pub fn new(host: Host, context: usize) -> Self {
        Self { host, context }
    }
}

fn translated(error: Error) -> BackendError {
    match error {
        Error::Memory(capacity) => {
            BackendError::OutOfMemory { capacity, remedy: "choose a shorter --context or fewer --max-tokens".into() }
        }
        other => BackendError::Failed(other.to_string()),
    }
}

impl StepOutput for HostBackend {
    fn logits(&self, item: usize, row: usize) -> Result<&[f32], String> {
        self.host.logits(item, row)
    }
}

impl Backend for HostBackend {
    fn vocab_size(&self) -> usize {
        self.host.vocab_size()
    }

    fn context_length(&self) -> usize {
        self.context
    }

    fn step_tokens_max(&self) -> usize {
        self.host.step_tokens()
    }

    fn create_sequence(&mut self, capacity: usize) -> Result<SequenceId, BackendError> {
        self.host.create_sequence(capacity).map(SequenceId).map_err(translated)
    }

    fn copy_prefix(
        &mut self,
        from: SequenceId,
        length: usize,
        capacity: usize,
    ) -> Result<Option<SequenceId>, BackendError> {
        let copy = self.host.copy_prefix(from.0, length, capacity).map_err(translated)?;
        Ok(copy.map(SequenceId))
    }

    fn sequence_bytes(&self, capacity: usize) -> u64 {
        self.host.sequence_bytes(capacity)
    }

    fn release_sequence(&mut self, sequence: SequenceId) {
        self.host.release_sequence(sequence.0);
    }

    fn truncate_sequence(&mut self, sequence: SequenceId, length: usize) {
        self.host.truncate_sequence(sequence.0, length);
    }

    fn step(&mut self, items: &[StepItem<'_>]) -> Result<&dyn StepOutput, BackendError> {
        let items: Vec<Item<'_>> = items
            .iter()
            .map(|item| Item { sequence: item.sequence.0, tokens: item.tokens, logits: item.logits })
            .collect();
        self.host.step(&items).map_err(translated)?;
        Ok(self)
    }
}

/// Where a model runs.
pub enum AnyBackend {
    /// On this computer.
    Host(Box<HostBackend>),
    /// On a simulated chip.
    Simulated(Box<SimulatedBackend>),
}

impl AnyBackend {
    /// The simulated chip, where it is one.
    pub fn simulated(&self) -> Option<&SimulatedBackend> {
        match self {
            Self::Host(_) => None,
            Self::Simulated(chip) => Some(chip),
        }
    }

    fn inner(&self) -> &dyn Backend {
        match self {
            Self::Host(host) => &**host,
            Self::Simulated(chip) => &**chip,
        }
    }

    fn inner_mut(&mut self) -> &mut dyn Backend {
        match self {
            Self::Host(host) => &mut **host,
            Self::Simulated(chip) => &mut **chip,
        }
    }
}

impl Backend for AnyBackend {
    fn vocab_size(&self) -> usize {
        self.inner().vocab_size()
    }

    fn context_length(&self) -> usize {
        self.inner().context_length()
    }

    fn step_tokens_max(&self) -> usize {
        self.inner().step_tokens_max()
    }

    fn create_sequence(&mut self, capacity: usize) -> Result<SequenceId, BackendError> {
        self.inner_mut().create_sequence(capacity)
    }

    fn copy_prefix(
        &mut self,
        from: SequenceId,
        length: usize,
        capacity: usize,
    ) -> Result<Option<SequenceId>, BackendError> {
        self.inner_mut().copy_prefix(from, length, capacity)
    }

    fn sequence_bytes(&self, capacity: usize) -> u64 {
        self.inner().sequence_bytes(capacity)
    }

    fn release_sequence(&mut self, sequence: SequenceId) {
        self.inner_mut().release_sequence(sequence);
    }

    fn truncate_sequence(&mut self, sequence: SequenceId, length: usize) {
        self.inner_mut().truncate_sequence(sequence, length);
    }

    fn step(&mut self, items: &[StepItem<'_>]) -> Result<&dyn StepOutput, BackendError> {
        self.inner_mut().step(items)
    }
}

#[cfg(test)]
mod tests;
