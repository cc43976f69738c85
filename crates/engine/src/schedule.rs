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
    /// Most guesses per request.
    pub(crate) guesses: usize,
    /// Cost of a further token, in 1/1024 of a one-token step.
    pub(crate) token_cost: u64,
}

/// Fills each task's `feed`: first the one token of those that generate, then prompts in order of arrival, then
/// guesses where room is left. There are no more tasks than `budget.tokens`.
pub(crate) fn plan(tasks: &mut [Task], budget: Budget) {
    let mut left = budget.tokens;
    let mut prefill = budget.prefill;
    for task in tasks.iter_mut() {
        task.take(0);
        if task.is_decoding() {
            task.take(1);
            left = left.saturating_sub(1);
        }
    }
    for task in tasks.iter_mut().filter(|task| !task.is_decoding()) {
        let count = task.missing().min(prefill).min(left);
        task.take(count);
        prefill -= count;
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
