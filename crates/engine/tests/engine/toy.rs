//! A deterministic backend, text and clock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lockstep_engine::sampling::random;
use lockstep_engine::{Backend, BackendError, Clock, Detokenizer, SequenceId, StepItem, StepOutput, TextStream};

/// Tokens of the toy model.
pub(crate) const VOCABULARY: usize = 24;
/// A token that drives its sequence out of the number range where it is fed, unless a test moves the place.
pub(crate) const POISON: u32 = 23;
/// The model's end token.
pub(crate) const END: u32 = 0;
/// Bytes of each token: among them halves of a two-byte and thirds of a three-byte character.
const PIECES: [&[u8]; VOCABULARY] = [
    b"<end>",
    b"a",
    b"b",
    b"ab",
    b"ba",
    b" ",
    b"\xC3",
    b"\xA9",
    b"\xE2\x82",
    b"\xAC",
    b"c",
    b"abc",
    b"d",
    b"e",
    b"f",
    b"g",
    b"h",
    b"i",
    b"j",
    b"k",
    b"\n",
    b"stop",
    b"\xE2",
    b"poison",
];

/// What goes wrong, decided by (seed, number of the call).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Trouble {
    pub(crate) seed: u64,
    /// One of this many steps with several items has no memory; 0 for never.
    pub(crate) step_memory: u64,
    /// One of this many calls fails altogether; 0 for never.
    pub(crate) failures: u64,
}

/// The toy model's sequences.
#[derive(Debug)]
pub(crate) struct Toy {
    pub(crate) context: usize,
    pub(crate) step_tokens: usize,
    /// Most tokens reserved by all sequences together.
    pub(crate) memory: usize,
    pub(crate) trouble: Trouble,
    /// A token, and the position from which on it is poison.
    pub(crate) poison: (u32, usize),
    pub(crate) sequences: BTreeMap<u32, (usize, Vec<u32>)>,
    /// (sequence, tokens) of each item of each step.
    pub(crate) steps: Vec<Vec<(u32, usize)>>,
    pub(crate) truncations: usize,
    /// Whether it copies prefixes, and how often it did.
    pub(crate) copies: bool,
    pub(crate) copied: usize,
    pub(crate) token_bytes: u64,
    calls: u64,
    next: u32,
    output: Rows,
}

#[derive(Debug, Default)]
struct Rows(Vec<Result<Vec<Vec<f32>>, String>>);

impl StepOutput for Rows {
    fn logits(&self, item: usize, row: usize) -> Result<&[f32], String> {
        self.0[item].as_ref().map(|rows| rows[row].as_slice()).map_err(Clone::clone)
    }
}

impl Toy {
    pub(crate) fn new(context: usize, step_tokens: usize) -> Self {
        Self {
            context,
            step_tokens,
            memory: usize::MAX,
            trouble: Trouble::default(),
            poison: (POISON, 0),
            sequences: BTreeMap::new(),
            steps: Vec::new(),
            truncations: 0,
            copies: true,
            copied: 0,
            token_bytes: 10,
            calls: 0,
            next: 0,
            output: Rows::default(),
        }
    }

    fn strikes(&mut self, one_of: u64) -> bool {
        self.calls += 1;
        one_of > 0 && random(self.trouble.seed, self.calls).is_multiple_of(one_of)
    }
}

/// Logits after `text`: noise from all of it, and a liking for what the last two tokens call for, so that texts fall
/// into repetitions that can be guessed, and leave them again.
pub(crate) fn logits_after(text: &[u32]) -> Vec<f32> {
    let hash = |tokens: &[u32]| tokens.iter().fold(0u64, |hash, &token| random(hash, u64::from(token)));
    let all = hash(text);
    // Of the token before the last only a bit: few states, so short periods.
    let called = match text {
        [.., before, last] => hash(&[before & 1, *last]),
        _ => all,
    };
    let liked = called % u64::from(POISON);
    let strength = if (called >> 32).is_multiple_of(8) { 1.0 } else { 6.0 };
    let noise = |id: u64| (random(all, id) >> 40) as f32 / 16_777_216.0;
    let mut logits: Vec<f32> =
        (0..VOCABULARY as u64).map(|id| noise(id) * 4.0 + if id == liked { strength } else { 0.0 }).collect();
    // Poison is drawn, but seldom.
    logits[POISON as usize] -= 1.5;
    logits
}

impl Backend for Toy {
    fn vocab_size(&self) -> usize {
        VOCABULARY
    }

    fn context_length(&self) -> usize {
        self.context
    }

    fn step_tokens_max(&self) -> usize {
        self.step_tokens
    }

    fn create_sequence(&mut self, capacity: usize) -> Result<SequenceId, BackendError> {
        assert!(capacity >= 1 && capacity <= self.context);
        if self.strikes(self.trouble.failures) {
            return Err(BackendError::Failed("injected".into()));
        }
        let used: usize = self.sequences.values().map(|(capacity, _)| capacity).sum();
        if used + capacity > self.memory {
            return Err(BackendError::OutOfMemory { capacity, remedy: "choose a smaller context".into() });
        }
        // Numbers are not used again, so that a stale one is noticed.
        self.next += 1;
        self.sequences.insert(self.next, (capacity, Vec::new()));
        Ok(SequenceId(self.next))
    }

    fn copy_prefix(
        &mut self,
        from: SequenceId,
        length: usize,
        capacity: usize,
    ) -> Result<Option<SequenceId>, BackendError> {
        let text = self.sequences[&from.0].1[..length].to_vec();
        assert!(length >= 1 && length <= capacity);
        if !self.copies {
            return Ok(None);
        }
        let sequence = self.create_sequence(capacity)?;
        self.sequences.get_mut(&sequence.0).expect("just made").1 = text;
        self.copied += 1;
        Ok(Some(sequence))
    }

    fn sequence_bytes(&self, capacity: usize) -> u64 {
        capacity as u64 * self.token_bytes
    }

    fn release_sequence(&mut self, sequence: SequenceId) {
        self.sequences.remove(&sequence.0).expect("a sequence is released once");
    }

    fn truncate_sequence(&mut self, sequence: SequenceId, length: usize) {
        let (_, tokens) = self.sequences.get_mut(&sequence.0).expect("a live sequence");
        assert!(length < tokens.len(), "cut to {length} of {}", tokens.len());
        tokens.truncate(length);
        self.truncations += 1;
    }

    fn step(&mut self, items: &[StepItem<'_>]) -> Result<&dyn StepOutput, BackendError> {
        assert!(!items.is_empty());
        assert!(items.iter().map(|item| item.tokens.len()).sum::<usize>() <= self.step_tokens);
        if self.strikes(self.trouble.failures) {
            return Err(BackendError::Failed("injected".into()));
        }
        if items.len() > 1 && self.strikes(self.trouble.step_memory) {
            return Err(BackendError::OutOfMemory { capacity: 1, remedy: "injected".into() });
        }
        self.steps.push(items.iter().map(|item| (item.sequence.0, item.tokens.len())).collect());
        self.output.0.clear();
        for item in items {
            assert!(!item.tokens.is_empty() && item.logits >= 1 && item.logits <= item.tokens.len());
            let (capacity, text) = self.sequences.get_mut(&item.sequence.0).expect("a live sequence");
            let before = text.len();
            text.extend_from_slice(item.tokens);
            assert!(text.len() <= *capacity, "more tokens than reserved");
            let (poison, from) = self.poison;
            self.output.0.push(if text.iter().skip(before.max(from)).any(|&token| token == poison) {
                Err("poisoned".into())
            } else {
                let first = text.len() - item.logits;
                assert!(first >= before);
                Ok((first..text.len()).map(|at| logits_after(&text[..=at])).collect())
            });
        }
        Ok(&self.output)
    }
}

/// Joins pieces; holds back the beginning of a character.
#[derive(Debug, Default)]
pub(crate) struct Pieces(Vec<u8>);

pub(crate) struct ToyText;

impl Detokenizer for ToyText {
    fn start(&self) -> Box<dyn TextStream + Send> {
        Box::new(Pieces::default())
    }
}

impl TextStream for Pieces {
    fn push(&mut self, id: u32) -> String {
        self.0.extend_from_slice(PIECES[id as usize]);
        // A proper decoder's rule: only an unfinished character at the end may wait.
        let open = match std::str::from_utf8(&self.0) {
            Ok(_) => 0,
            Err(_) => (1..=3.min(self.0.len())).find(|&open| unfinished(&self.0[self.0.len() - open..])).unwrap_or(0),
        };
        let rest = self.0.split_off(self.0.len() - open);
        String::from_utf8_lossy(&std::mem::replace(&mut self.0, rest)).into_owned()
    }

    fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.0)).into_owned()
    }
}

fn unfinished(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
}

/// The text of whole tokens.
pub(crate) fn text_of(ids: &[u32]) -> String {
    let mut pieces = Pieces::default();
    let mut text: String = ids.iter().map(|&id| pieces.push(id)).collect();
    text += &pieces.finish();
    text
}

/// Goes on by one millisecond with each reading.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ticks(Arc<AtomicU64>);

impl Clock for Ticks {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.fetch_add(1, Ordering::Relaxed))
    }
}
