//! Guesses the next tokens by finding where the last ones stood before (prompt-lookup decoding).

use std::collections::HashMap;

/// Tokens that must agree before a place counts as a repetition.
pub(crate) const MATCH_MIN: usize = 3;
/// Agreement beyond this many tokens makes no place better.
const MATCH_MAX: usize = 32;
/// Places compared per lookup, the latest first: bounds the time on texts that repeat one phrase endlessly.
const PLACES_MAX: usize = 16;
const NONE: u32 = u32::MAX;

/// Where each run of [`MATCH_MIN`] tokens ended, latest first.
#[derive(Debug, Default)]
pub(crate) struct Lookup {
    latest: HashMap<[u32; MATCH_MIN], u32>,
    /// For each end, the end before it of the same run.
    earlier: Vec<u32>,
}

impl Lookup {
    /// Takes in all tokens that came since the last call; `tokens` only ever grows.
    fn extend(&mut self, tokens: &[u32]) {
        for end in self.earlier.len()..tokens.len() {
            let run = run_before(tokens, end);
            let before = run.and_then(|run| self.latest.insert(run, end as u32));
            self.earlier.push(before.unwrap_or(NONE));
        }
    }

    /// Writes to `guess` up to `count` tokens that followed the best earlier place of `tokens`' end: the place with
    /// the longest agreement, of equals the latest.
    pub(crate) fn guess(&mut self, tokens: &[u32], count: usize, guess: &mut Vec<u32>) {
        guess.clear();
        self.extend(tokens);
        let mut place = run_before(tokens, tokens.len()).and_then(|run| self.latest.get(&run).copied()).unwrap_or(NONE);
        let mut best = (0, 0);
        for _ in 0..PLACES_MAX {
            let Some(earlier) = self.earlier.get(place as usize) else { break };
            let end = place as usize;
            let length = agreement(&tokens[..end], tokens);
            if length > best.0 {
                best = (length, end);
            }
            if length == MATCH_MAX {
                break;
            }
            place = *earlier;
        }
        if best.0 >= MATCH_MIN {
            // What follows may run into the end itself: there it repeats with the period that was found.
            let period = tokens.len() - best.1;
            guess.extend((0..count).map(|at| tokens[best.1 + at % period]));
        }
    }
}

/// The run of tokens that ends before `end`.
fn run_before(tokens: &[u32], end: usize) -> Option<[u32; MATCH_MIN]> {
    tokens[..end].last_chunk().copied()
}

/// How many last tokens of both agree.
fn agreement(a: &[u32], b: &[u32]) -> usize {
    a.iter().rev().zip(b.iter().rev()).take(MATCH_MAX).take_while(|(a, b)| a == b).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guess(tokens: &[u32], count: usize) -> Vec<u32> {
        let mut guess = Vec::new();
        Lookup::default().guess(tokens, count, &mut guess);
        guess
    }

    #[test]
    fn three_tokens_must_agree() {
        assert_eq!(guess(&[1, 2, 3, 9, 8, 1, 2, 3], 2), [9, 8]);
        assert_eq!(guess(&[7, 2, 3, 9, 8, 1, 2, 3], 2), []);
        assert_eq!(guess(&[1, 2], 2), []);
        assert_eq!(guess(&[], 2), []);
    }

    #[test]
    fn the_longest_agreement_wins_then_the_latest() {
        assert_eq!(guess(&[5, 1, 2, 3, 10, 1, 2, 3, 11, 5, 1, 2, 3], 1), [10]);
        assert_eq!(guess(&[5, 1, 2, 3, 10, 5, 1, 2, 3, 11, 5, 1, 2, 3], 1), [11]);
    }

    #[test]
    fn a_period_is_continued() {
        assert_eq!(guess(&[4, 4, 4, 4], 5), [4; 5]);
        assert_eq!(guess(&[1, 2, 3, 1, 2, 3], 7), [1, 2, 3, 1, 2, 3, 1]);
    }

    #[test]
    fn growing_gives_what_starting_anew_gives() {
        let tokens: Vec<u32> = (0..400u64).map(|i| (crate::sampling::random(1, i) % 3) as u32).collect();
        let mut growing = Lookup::default();
        let mut found = Vec::new();
        for length in 0..tokens.len() {
            growing.guess(&tokens[..length], 4, &mut found);
            assert_eq!(found, guess(&tokens[..length], 4));
        }
    }
}
