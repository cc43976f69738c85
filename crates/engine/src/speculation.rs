//! How far to guess ahead.
//!
//! A guessed token is verified in the step that would have been made anyway, so it costs only what one more token in
//! a step costs, and it is worth that cost if it is likely enough to be right. The likelihood `a` of one guess is a
//! running mean over this request's own past guesses; the n-th guess of a row is right with `a^n`. Where guessing does
//! not pay, the first guess is still compared with what came (that costs nothing), so a text that turns repetitive is
//! noticed. All of it is integer arithmetic on the request's tokens and on the number of tokens in the step: no clock.

use crate::lookup::Lookup;

/// Likelihoods in 1/1024.
const ONE: u64 = 1024;
/// Before anything is known: three runs in a row that agree are usually a quotation.
const FIRST: u64 = 7 * ONE / 10;

/// One request's guesses.
#[derive(Debug)]
pub(crate) struct Speculator {
    lookup: Lookup,
    likelihood: u64,
    guess: Vec<u32>,
    /// How many of `guess` are verified in this step.
    tried: usize,
    stopped: bool,
    /// All so far.
    pub(crate) proposed: usize,
    /// Of them, those that were right.
    pub(crate) accepted: usize,
}

impl Speculator {
    pub(crate) fn new() -> Self {
        Self {
            lookup: Lookup::default(),
            likelihood: FIRST,
            guess: Vec::new(),
            tried: 0,
            stopped: false,
            proposed: 0,
            accepted: 0,
        }
    }

    /// The guesses worth trying after `tokens`, at most `limit`, where each costs `price`/1024 of what a token of
    /// this step yields.
    pub(crate) fn propose(&mut self, tokens: &[u32], limit: usize, price: u64) -> &[u32] {
        if self.stopped {
            return &[];
        }
        self.lookup.guess(tokens, limit.max(1), &mut self.guess);
        let worth = worthwhile(self.likelihood, price);
        self.tried = worth.min(limit).min(self.guess.len());
        self.proposed += self.tried;
        &self.guess[..self.tried]
    }

    /// Learns that the `at`-th token after those given to `propose` is `id`.
    pub(crate) fn judge(&mut self, at: usize, id: u32) {
        let verified = at < self.tried;
        if let Some(&guess) = self.guess.get(at).filter(|_| verified || at == 0) {
            let right = guess == id;
            self.accepted += usize::from(right && verified);
            let target = if right { ONE } else { 0 };
            // Weight 1/8; rounded so that it can reach both ends.
            self.likelihood = (self.likelihood * 7 + target + if right { 7 } else { 0 }) / 8;
        }
    }

    /// Makes no guesses any more.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        self.pass();
    }

    /// Forgets the guesses of the last step (none were made in this one).
    pub(crate) fn pass(&mut self) {
        self.guess.clear();
        self.tried = 0;
    }
}

/// The most guesses of which even the last is right more often than its price.
fn worthwhile(likelihood: u64, price: u64) -> usize {
    let mut right = likelihood;
    let mut count = 0;
    while right > price.max(1) && count < 64 {
        count += 1;
        right = right * likelihood / ONE;
    }
    count
}

/// What a step of so many tokens, at least one, costs, in 1/1024 of a one-token step, where each further token costs
/// `cost`/1024 of it.
pub(crate) fn step_cost(cost: u64, tokens: usize) -> u64 {
    ONE.saturating_add(cost.saturating_mul(tokens.saturating_sub(1) as u64))
}

/// What one more token in a step costs, in 1/1024 of what a token of that step yields: with `others` tokens in the
/// step, which yields as many.
pub(crate) fn price(cost: u64, others: usize) -> u64 {
    let step = step_cost(cost, others);
    (cost.saturating_mul(others.max(1) as u64).saturating_mul(ONE) / step.max(1)).min(ONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_price_rises_with_the_batch() {
        assert_eq!(price(460, 1), 460);
        let prices: Vec<u64> = [1, 2, 4, 8, 512].map(|others| price(460, others)).to_vec();
        assert!(prices.windows(2).all(|pair| pair[0] < pair[1]), "{prices:?}");
        assert!(prices[4] <= ONE);
        assert_eq!(price(0, 8), 0);
        assert_eq!(price(u64::MAX, usize::MAX), 1);
    }

    #[test]
    fn more_likely_guesses_go_further() {
        assert_eq!(worthwhile(ONE / 2, 460), 1);
        assert_eq!(worthwhile(ONE * 4 / 10, 460), 0);
        assert!(worthwhile(ONE * 9 / 10, 460) >= 7);
        assert_eq!(worthwhile(ONE, 0), 64);
        assert_eq!(worthwhile(ONE, ONE), 0);
    }

    /// Guesses tried in each step while `tokens` is generated one token at a time.
    fn tries(tokens: &[u32]) -> Vec<usize> {
        let mut speculator = Speculator::new();
        let mut tries = Vec::new();
        for at in 1..tokens.len() {
            tries.push(speculator.propose(&tokens[..at], 8, 460).len());
            speculator.judge(0, tokens[at]);
        }
        tries
    }

    #[test]
    fn it_backs_off_where_guesses_fail_and_returns_where_they_hold() {
        // Runs of three that are always continued otherwise than before, then a plain repetition.
        let mut tokens: Vec<u32> = (0..60).flat_map(|i| [1, 2, 3, 100 + i]).collect();
        let misleading = tokens.len();
        tokens.extend(std::iter::repeat_n([50, 51, 52, 53, 54], 12).flatten());
        let tries = tries(&tokens);
        assert!(tries[..12].iter().sum::<usize>() > 0);
        // 1 2 3 after a novel token is guessed rightly from `novel`? Never: `novel` occurs once.
        assert!(tries[60..misleading].iter().all(|&count| count == 0), "{tries:?}");
        assert!(tries[tries.len() - 5..].iter().all(|&count| count >= 4), "{tries:?}");
    }
}
