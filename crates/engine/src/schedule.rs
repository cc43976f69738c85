//! Chooses the tokens of a step.

use crate::speculation::{price, step_cost};
use crate::task::Task;

/// What bounds a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    /// Most tokens over all requests.
    pub(crate) tokens: usize,
    /// Of them, most that only read prompts.
    pub(crate) prefill: usize,
    /// Where other requests generate, most that these add to what the step costs without them, in percent.
    pub(crate) prefill_percent: u64,
    /// Most guesses per request.
    pub(crate) guesses: usize,
    /// Cost of a further token, in 1/1024 of a one-token step.
    pub(crate) token_cost: u64,
}

impl Budget {
    /// Most tokens that only read prompts, beside so many requests that generate. One at least, so that prompts come to
    /// an end. It is counted in work, not in time: who shares a step depends on who came when, on no clock.
    fn prefill_beside(&self, generating: usize) -> usize {
        if generating == 0 {
            return self.prefill;
        }
        let added = step_cost(self.token_cost, generating).saturating_mul(self.prefill_percent) / 100;
        let tokens = usize::try_from(added / self.token_cost.max(1)).unwrap_or(usize::MAX);
        self.prefill.min(tokens.max(1))
    }
}

/// Fills each task's `feed`: first the one token of those that generate, then prompts, then guesses where room is
/// left. There are no more tasks than `budget.tokens`.
pub(crate) fn plan(tasks: &mut [Task], budget: Budget) {
    let mut left = budget.tokens;
    for task in tasks.iter_mut() {
        let count = usize::from(task.is_decoding());
        task.take(count);
        left = left.saturating_sub(count);
    }
    let prefill = budget.prefill_beside(budget.tokens - left);
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
    fn prompts_add_a_bounded_part_to_a_step() {
        let budget = Budget { tokens: 512, prefill: 128, prefill_percent: 200, guesses: 0, token_cost: 128 };
        let beside = |budget: Budget| [0, 1, 8, 100].map(|generating| budget.prefill_beside(generating));
        // A token costs an eighth: 8, 15 and 107 of them are a step without prompts.
        assert_eq!(beside(budget), [128, 16, 30, 128]);
        assert_eq!(beside(Budget { prefill_percent: 0, ..budget }), [128, 1, 1, 1]);
        assert_eq!(beside(Budget { token_cost: 0, ..budget }), [128; 4]);
        assert_eq!(beside(Budget { token_cost: u64::MAX, ..budget })[1], 1);
    }

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
