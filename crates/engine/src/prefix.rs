//! Sequences of finished requests, kept for later requests that begin with the same tokens.
//!
//! The same tokens give the same keys and values, so a kept beginning changes nothing but time. Each entry is a
//! sequence with its tokens. A lookup compares the new tokens with every entry of the scope from the start, which
//! stops at the first difference: it costs no more than reading the kept tokens once, and these are bounded by the
//! budget. A tree would save some of that and cost more than the copy of keys and values that follows.

use crate::backend::SequenceId;

/// A kept sequence.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) sequence: SequenceId,
    /// What it holds.
    pub(crate) tokens: Vec<u32>,
    pub(crate) scope: u64,
    /// Most tokens that it can hold.
    pub(crate) capacity: usize,
    pub(crate) bytes: u64,
}

/// Kept sequences, the one that was used longest ago first.
#[derive(Debug, Default)]
pub(crate) struct PrefixCache {
    entries: Vec<Kept>,
    bytes: u64,
}

/// The number of first tokens that both have.
pub(crate) fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl PrefixCache {
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Number of sequences and of their tokens.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.entries.len(), self.entries.iter().map(|kept| kept.tokens.len()).sum())
    }

    /// The entry that has the most first tokens of `tokens`, and how many; of equals the one used last.
    pub(crate) fn longest(&self, scope: u64, tokens: &[u32]) -> Option<(usize, usize)> {
        let of_scope = self.entries.iter().enumerate().filter(|(_, kept)| kept.scope == scope);
        let lengths = of_scope.map(|(at, kept)| (at, common(&kept.tokens, tokens)));
        lengths.max_by_key(|&(_, length)| length).filter(|&(_, length)| length > 0)
    }

    pub(crate) fn entry(&self, at: usize) -> &Kept {
        &self.entries[at]
    }

    /// Makes an entry the one used last.
    pub(crate) fn touch(&mut self, at: usize) {
        let kept = self.entries.remove(at);
        self.entries.push(kept);
    }

    pub(crate) fn remove(&mut self, at: usize) -> Kept {
        let kept = self.entries.remove(at);
        self.bytes -= kept.bytes;
        kept
    }

    /// The entry to give up first, `spared` excepted.
    pub(crate) fn oldest(&self, spared: Option<usize>) -> Option<usize> {
        (0..self.entries.len()).find(|&at| Some(at) != spared)
    }

    /// An entry of the scope that has all of `tokens`, so that keeping them again gains nothing.
    pub(crate) fn covering(&self, scope: u64, tokens: &[u32]) -> Option<usize> {
        self.entries.iter().position(|kept| kept.scope == scope && kept.tokens.starts_with(tokens))
    }

    /// An entry of the scope whose tokens `tokens` begin with.
    pub(crate) fn covered(&self, scope: u64, tokens: &[u32]) -> Option<usize> {
        self.entries.iter().position(|kept| kept.scope == scope && tokens.starts_with(&kept.tokens))
    }

    pub(crate) fn add(&mut self, kept: Kept) {
        self.bytes += kept.bytes;
        self.entries.push(kept);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(sequence: u32, scope: u64, tokens: &[u32]) -> Kept {
        let (sequence, tokens) = (SequenceId(sequence), tokens.to_vec());
        Kept { sequence, scope, capacity: tokens.len(), bytes: tokens.len() as u64, tokens }
    }

    #[test]
    fn the_longest_common_beginning_of_the_scope_counts() {
        let mut cache = PrefixCache::default();
        for entry in [kept(0, 1, &[1, 2, 3, 4]), kept(1, 1, &[1, 2, 9]), kept(2, 2, &[1, 2, 3, 4, 5])] {
            cache.add(entry);
        }
        assert_eq!(cache.longest(1, &[1, 2, 3, 4, 5]), Some((0, 4)));
        assert_eq!(cache.longest(1, &[1, 2, 7]), Some((1, 2)), "of equals the one used last");
        assert_eq!(cache.longest(2, &[1, 2, 7]), Some((2, 2)));
        assert_eq!(cache.longest(1, &[4]), None);
        assert_eq!(cache.longest(3, &[1]), None);
        assert_eq!((cache.covering(1, &[1, 2, 3]), cache.covering(2, &[1, 9])), (Some(0), None));
        assert_eq!((cache.covered(1, &[1, 2, 9, 9]), cache.covered(1, &[1, 2])), (Some(1), None));
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut cache = PrefixCache::default();
        (0..3).for_each(|at| cache.add(kept(at, 0, &[at, 5])));
        cache.touch(0);
        assert_eq!(cache.oldest(None), Some(0));
        assert_eq!(cache.oldest(Some(0)), Some(1));
        assert_eq!(cache.remove(0).sequence, SequenceId(1));
        assert_eq!(cache.remove(0).sequence, SequenceId(2));
        assert_eq!((cache.bytes(), cache.counts()), (2, (1, 2)));
        assert_eq!(cache.remove(0).sequence, SequenceId(0));
        assert_eq!(cache.oldest(None), None);
    }
}
