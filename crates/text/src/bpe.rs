//! Byte-pair encoding: neighbours are merged, the best pair of the whole word first, the leftmost among equals.
//!
//! A heap holds every pair that could merge; an entry whose neighbours have since changed is dropped when it comes up.
//! So a word of n symbols takes O(n log n), also where the whole text is one word, as in SentencePiece.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use foldhash::fast::RandomState;

use crate::Error;
use crate::table::TokenTable;

/// Lower is merged earlier. For merges `[rank, 0, 0, 0]`.
///
/// Of scores `transformers` makes a list of merges: by falling score, then the longer left part, then the longer right
/// part, then the lower id. The key compares the same way, so the list need not be made.
type Priority = [u32; 4];

/// Which neighbours merge, into what, and how early.
pub(crate) enum MergeRule {
    /// `pair_key` -> (rank, merged).
    Merges(HashMap<u64, (u32, u32), RandomState>),
    /// The score of each token, as a number that is lower for a better score.
    Scores(Vec<u32>),
}

impl MergeRule {
    /// From texts of pairs, best first; None stands for an entry that is not a pair.
    pub(crate) fn from_merges<'a>(
        table: &TokenTable,
        merges: impl ExactSizeIterator<Item = Option<(&'a str, &'a str)>>,
    ) -> Result<Self, Error> {
        let mut ranks = HashMap::with_capacity_and_hasher(merges.len(), RandomState::default());
        let mut joined = String::new();
        for (index, merge) in merges.enumerate() {
            let (left, right) = merge.ok_or_else(|| Error::BadMerge {
                index,
                merge: String::new(),
                problem: "it is not two tokens with a space between".to_owned(),
            })?;
            joined.clear();
            joined.push_str(left);
            joined.push_str(right);
            let find = |text: &str| {
                table.id(text).ok_or_else(|| Error::BadMerge {
                    index,
                    merge: format!("{left} {right}"),
                    problem: format!("{text:?} is not in the vocabulary"),
                })
            };
            let ids = [find(left)?, find(right)?, find(&joined)?];
            // A merge that would spell a control token is left out: text must never become one by itself.
            if ids.iter().any(|&id| table.is_special(id)) {
                continue;
            }
            // Of a pair that stands twice the later one counts, as in transformers.
            ranks.insert(pair_key(ids[0], ids[1]), (index as u32, ids[2]));
        }
        Ok(Self::Merges(ranks))
    }

    /// From SentencePiece's scores, one a token.
    pub(crate) fn from_scores(table: &TokenTable, scores: &[f32]) -> Result<Self, Error> {
        if scores.len() != table.len() {
            return Err(Error::LengthMismatch { field: "scores", found: scores.len(), tokens: table.len() });
        }
        if let Some(id) = scores.iter().position(|score| score.is_nan()) {
            return Err(Error::BadScore { id });
        }
        Ok(Self::Scores(scores.iter().map(|&score| falling_order(score)).collect()))
    }
}

/// Two ids as one number, which hashes faster than a pair.
fn pair_key(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

/// An integer that rises where the score falls. -0 counts as 0.
fn falling_order(score: f32) -> u32 {
    let bits = (score + 0.0).to_bits();
    if bits >> 31 == 1 { bits } else { !bits & 0x7fff_ffff }
}

/// One way of making tokens of words.
pub(crate) struct Bpe {
    pub(crate) rule: MergeRule,
    /// A word that is a token is taken whole, whatever the merges say (Llama 3's `ignore_merges`).
    pub(crate) whole_words: bool,
    /// Tokens of single bytes: the first symbols if `by_bytes`, else the fallback for characters without a token.
    pub(crate) bytes: [Option<u32>; 256],
    /// Stands for what has no token; without it such text is dropped, as `transformers` does.
    pub(crate) unk: Option<u32>,
    /// Neighbouring unknowns become one.
    pub(crate) fuse_unk: bool,
    /// Words are bytes and not characters.
    pub(crate) by_bytes: bool,
}

/// Working memory of [`Bpe::encode`], kept between words.
#[derive(Default)]
pub(crate) struct Scratch {
    symbols: Vec<Symbol>,
    heap: BinaryHeap<Reverse<Candidate>>,
    spelled: String,
}

/// A stretch `start..end` of the word; `previous` and `next` are its neighbours' positions in the list.
struct Symbol {
    start: usize,
    end: usize,
    characters: u32,
    id: u32,
    /// Can merge: not a fallback byte or an unknown.
    mergeable: bool,
    previous: usize,
    next: usize,
}

/// No neighbour; as an `end`, that of a symbol which was merged into another.
const NONE: usize = usize::MAX;

/// Merge of the symbol at `position` with its next one; good as long as the two still end where they did.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    priority: Priority,
    position: usize,
    merged: u32,
    left_end: usize,
    right_end: usize,
}

impl Bpe {
    /// Appends the tokens of one word. `alphabet` spells the bytes of whole words.
    pub(crate) fn encode(
        &self,
        table: &TokenTable,
        alphabet: &[char; 256],
        word: &str,
        scratch: &mut Scratch,
        out: &mut Vec<u32>,
    ) {
        if self.whole_words {
            let spelled = &mut scratch.spelled;
            spelled.clear();
            if self.by_bytes {
                spelled.extend(word.bytes().map(|byte| alphabet[byte as usize]));
            } else {
                spelled.push_str(word);
            }
            if let Some(id) = table.plain_id(spelled) {
                out.push(id);
                return;
            }
        }
        scratch.symbols.clear();
        if self.by_bytes {
            self.push_bytes(word, scratch);
        } else {
            self.push_characters(table, word, scratch);
        }
        self.merge_all(table, word, scratch);
        let mut position = 0;
        while let Some(symbol) = scratch.symbols.get(position) {
            out.push(symbol.id);
            position = symbol.next;
        }
    }

    fn push_bytes(&self, word: &str, scratch: &mut Scratch) {
        for (start, byte) in word.bytes().enumerate() {
            match self.bytes[byte as usize] {
                Some(id) => scratch.push(start, start + 1, id, true),
                None => self.push_unknown(start, start + 1, scratch),
            }
        }
    }

    fn push_characters(&self, table: &TokenTable, word: &str, scratch: &mut Scratch) {
        for (start, character) in word.char_indices() {
            let end = start + character.len_utf8();
            let text = &word[start..end];
            if let Some(id) = table.plain_id(text) {
                scratch.push(start, end, id, true);
            } else if text.bytes().all(|byte| self.bytes[byte as usize].is_some()) {
                for (offset, id) in text.bytes().filter_map(|byte| self.bytes[byte as usize]).enumerate() {
                    scratch.push(start + offset, start + offset + 1, id, false);
                }
            } else {
                self.push_unknown(start, end, scratch);
            }
        }
    }

    fn push_unknown(&self, start: usize, end: usize, scratch: &mut Scratch) {
        let Some(unk) = self.unk else { return };
        match scratch.symbols.last_mut() {
            Some(last) if self.fuse_unk && last.id == unk && !last.mergeable => last.end = end,
            _ => scratch.push(start, end, unk, false),
        }
    }

    fn merge_all(&self, table: &TokenTable, word: &str, scratch: &mut Scratch) {
        let Scratch { symbols, heap, .. } = scratch;
        heap.clear();
        for position in 0..symbols.len() {
            heap.extend(self.candidate(table, word, symbols, position).map(Reverse));
        }
        while let Some(Reverse(best)) = heap.pop() {
            let left = &symbols[best.position];
            let next = left.next;
            if left.end != best.left_end || next == NONE || symbols[next].end != best.right_end {
                continue;
            }
            let (end, characters, after) = (symbols[next].end, symbols[next].characters, symbols[next].next);
            symbols[next].end = NONE;
            let left = &mut symbols[best.position];
            left.id = best.merged;
            left.end = end;
            left.characters += characters;
            left.next = after;
            let previous = left.previous;
            if after != NONE {
                symbols[after].previous = best.position;
            }
            if previous != NONE {
                heap.extend(self.candidate(table, word, symbols, previous).map(Reverse));
            }
            heap.extend(self.candidate(table, word, symbols, best.position).map(Reverse));
        }
    }

    /// The merge of the symbol at `position` with the one after it, if there is one.
    fn candidate(&self, table: &TokenTable, word: &str, symbols: &[Symbol], position: usize) -> Option<Candidate> {
        let left = &symbols[position];
        let right = symbols.get(left.next)?;
        if !left.mergeable || !right.mergeable {
            return None;
        }
        let (priority, merged) = match &self.rule {
            MergeRule::Merges(ranks) => {
                let &(rank, merged) = ranks.get(&pair_key(left.id, right.id))?;
                ([rank, 0, 0, 0], merged)
            }
            MergeRule::Scores(scores) => {
                if right.end - left.start > table.longest() {
                    return None;
                }
                let merged = table.plain_id(&word[left.start..right.end])?;
                ([scores[merged as usize], !left.characters, !right.characters, merged], merged)
            }
        };
        Some(Candidate { priority, position, merged, left_end: left.end, right_end: right.end })
    }
}

impl Scratch {
    fn push(&mut self, start: usize, end: usize, id: u32, mergeable: bool) {
        let position = self.symbols.len();
        if let Some(last) = self.symbols.last_mut() {
            last.next = position;
        }
        let previous = position.checked_sub(1).unwrap_or(NONE);
        self.symbols.push(Symbol { start, end, characters: 1, id, mergeable, previous, next: NONE });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_order_from_high_to_low() {
        let scores = [f32::INFINITY, 3.5, 0.0, -1e-40, -2.0, -1000.0, f32::NEG_INFINITY];
        assert!(scores.windows(2).all(|pair| falling_order(pair[0]) < falling_order(pair[1])));
        assert_eq!(falling_order(0.0), falling_order(-0.0));
    }
}
