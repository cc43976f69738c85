//! Chooses the tokens of a step.

use crate::speculation::price;
use crate::task::Task;

/// What bounds a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Most tokens over all requests.
    pub(crate) tokens: usize,
    /// Of them, most that only read prompts.
    pub(crate) prefill: usize,
    /// The same where other requests generate.
    pub(crate) prefill_shared: usize,
    /// Most guesses per request.
    pub(crate) guesses: usize,
    /// Cost of a further token, in 1/1024 of a one-token step.
    pub(crate) token_cost: u64,
}

/// Fills each task's `feed`: first the one token of those that generate, then prompts, then guesses where room is
/// left. There are no more tasks than `budget.tokens`.
pub(crate) fn plan(tasks: &mut [Task], budget: Budget) {
    let mut left = budget.tokens;
    let mut prefill = budget.prefill;
    for task in tasks.iter_mut() {
        task.take(0);
        if task.is_decoding() {
            task.take(1);
            left = left.saturating_sub(1);
            prefill = prefill.min(budget.prefill_shared);
        }
    }
    let prompts: Vec<usize> = (0..tasks.len()).filter(|&at| !tasks[at].is_decoding()).collect();
    let missing: Vec<usize> = prompts.iter().map(|&at| tasks[at].missing()).collect();
    for (&at, count) in prompts.iter().zip(shares(&missing, prefill.min(left))) {
        let task = &mut tasks[at];
        task.take(count);
        left -= count;
        if let Some(speculator) = &mut task.speculator {
            speculator.pass();
        }
    }
    for task in tasks.iter_mut().filter(|task| task.is_decoding()) {
        let used = budget.tokens - left;
        left -= task.guess(left.min(budget.guesses), price(budget.token_cost, used));
    }
}

/// How many tokens each prompt gets of a step, given what each lacks, in order of arrival. Half goes to the oldest, so
/// that it comes to an end whatever arrives after it; the rest to those that lack least, so that a short prompt does
/// not wait for a long one.
fn shares(missing: &[usize], tokens: usize) -> Vec<usize> {
    let mut shares = vec![0; missing.len()];
    let mut left = tokens;
    let mut give = |at: usize, most: usize| {
        let count = (missing[at] - shares[at]).min(most).min(left);
        shares[at] += count;
        left -= count;
    };
    if !missing.is_empty() {
        give(0, tokens.div_ceil(2));
    }
    let mut order: Vec<usize> = (0..missing.len()).collect();
    order.sort_by_key(|&at| missing[at]);
    for at in order {
        give(at, tokens);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_prompt_and_short_prompts_both_go_on() {
        assert_eq!(shares(&[], 8), []);
        assert_eq!(shares(&[100], 8), [8]);
        assert_eq!(shares(&[3], 8), [3]);
        assert_eq!(shares(&[100, 100], 8), [8, 0], "among equals the oldest");
        assert_eq!(shares(&[100, 50, 3, 2], 8), [4, 0, 2, 2]);
        assert_eq!(shares(&[100, 50, 3, 2], 16), [8, 3, 3, 2]);
        assert_eq!(shares(&[2, 50, 3], 60), [2, 50, 3]);
        assert_eq!(shares(&[9, 9], 1), [1, 0]);
        assert_eq!(shares(&[9, 9], 0), [0, 0]);
    }
}
