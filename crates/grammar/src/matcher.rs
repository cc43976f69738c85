use llguidance::TokenParser;
use toktrie::{SimpleVob, TokTrie};

use crate::error::one_line;

/// Follows one answer through its grammar.
pub struct Matcher {
    inner: llguidance::Matcher,
    ends: SimpleVob,
    /// What may come next, once it was asked for.
    allowed: Option<SimpleVob>,
    words: usize,
}

impl std::fmt::Debug for Matcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Matcher").field("stopped", &self.inner.is_stopped()).finish_non_exhaustive()
    }
}

impl Matcher {
    pub(crate) fn new(parser: TokenParser, trie: &TokTrie) -> Self {
        Self {
            inner: llguidance::Matcher::new(Ok(parser)),
            ends: trie.eos_token_set(),
            allowed: None,
            words: trie.vocab_size().div_ceil(32),
        }
    }

    /// The tokens that may come next: bit `id % 32` of word `id / 32` is set for each. End tokens are among them where
    /// the answer may end, and alone where it must. Always a set here; `None` would be: all.
    pub fn allowed(&mut self) -> Result<Option<&[u32]>, String> {
        if self.allowed.is_none() {
            let mask = self.inner.compute_mask_or_eos().map_err(|error| fault(&error.to_string()))?;
            self.allowed = Some(mask);
        }
        let mask = self.allowed.as_ref().unwrap_or(&self.ends).as_slice();
        Ok(Some(&mask[..self.words.min(mask.len())]))
    }

    /// The answer goes on with `id`. An end token where the answer may end changes nothing: what follows it is no part
    /// of the answer.
    pub fn accept(&mut self, id: u32) -> Result<(), String> {
        if self.ends.is_allowed(id) && self.may_end()? {
            self.allowed = Some(self.ends.clone());
            return Ok(());
        }
        self.allowed = None;
        self.inner.consume_token(id).map_err(|error| fault(&error.to_string()))
    }

    /// Whether the answer may end here.
    pub fn may_end(&mut self) -> Result<bool, String> {
        if self.inner.is_stopped() && !self.inner.is_error() {
            return Ok(true);
        }
        self.inner.is_accepting().map_err(|error| fault(&error.to_string()))
    }
}

fn fault(message: &str) -> String {
    format!("constrained decoding: {}; simplify the schema", one_line(message))
}

/// An answer moves between threads with its request.
const _: () = {
    const fn assert_send<T: Send>() {}
    const fn assert_shared<T: Send + Sync>() {}
    assert_send::<Matcher>();
    assert_shared::<crate::Vocabulary>();
};
