//! What the engine needs from whatever computes logits.

/// Names one sequence (its keys and values) inside a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SequenceId(pub u32);

/// New tokens of one sequence in a step.
#[derive(Clone, Copy, Debug)]
pub struct StepItem<'a> {
    /// The sequence that grows.
    pub sequence: SequenceId,
    /// Its next tokens, at least one.
    pub tokens: &'a [u32],
    /// For how many of the last of these tokens logits are wanted. The engine always asks for at least one, and reads
    /// it: that is how it learns in the same step that a token of this item left the number range.
    pub logits: usize,
}

/// Why a backend could not do what was asked. The step changed nothing then.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// No room for another sequence of this length.
    #[error("no memory for a sequence of {capacity} tokens: {remedy}")]
    OutOfMemory {
        /// Tokens asked for.
        capacity: usize,
        /// What the user can do.
        remedy: String,
    },
    /// Any other failure of the backend as a whole.
    #[error("{0}")]
    Failed(String),
}

/// Logits of one step.
pub trait StepOutput {
    /// Logits of the `row`-th of the last tokens for which item `item` asked, or why this sequence's values left the
    /// number range at any of the item's tokens (the others go on; this one must be released).
    fn logits(&self, item: usize, row: usize) -> Result<&[f32], String>;
}

/// Computes logits, one step at a time, synchronously.
pub trait Backend {
    /// Number of logits.
    fn vocab_size(&self) -> usize;
    /// Longest sequence, in tokens.
    fn context_length(&self) -> usize;
    /// Most tokens in one step, over all items.
    fn step_tokens_max(&self) -> usize;
    /// Starts an empty sequence that can hold `capacity` tokens.
    fn create_sequence(&mut self, capacity: usize) -> Result<SequenceId, BackendError>;
    /// Starts a sequence that can hold `capacity` tokens and begins with the first `length` tokens of `from`, which
    /// stays as it is. `None` from a backend that cannot copy.
    fn copy_prefix(
        &mut self,
        _from: SequenceId,
        _length: usize,
        _capacity: usize,
    ) -> Result<Option<SequenceId>, BackendError> {
        Ok(None)
    }
    /// Most memory that a sequence of `capacity` tokens takes, in bytes; never falls with the capacity. 0 from a backend
    /// that does not tell: no budget binds it then, and no sequence is kept for its prefix.
    fn sequence_bytes(&self, _capacity: usize) -> u64 {
        0
    }
    /// Forgets a sequence.
    fn release_sequence(&mut self, sequence: SequenceId);
    /// Forgets all but the first `length` tokens of a sequence (drops rejected speculation).
    fn truncate_sequence(&mut self, sequence: SequenceId, length: usize);
    /// Appends each item's tokens and computes the logits that were asked for.
    fn step(&mut self, items: &[StepItem<'_>]) -> Result<&dyn StepOutput, BackendError>;
}
