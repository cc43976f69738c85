//! From logits to a token, with the same bits on every machine.
//!
//! For the token at position `p` (counted from the prompt's start), from the logits `l` of position `p - 1`, each
//! arithmetic step one rounding to f32:
//!
//! 1. *Bias*: `l = l + bias` of the ids that have one.
//! 2. *Repetition*, for ids in the prompt or the answer: `l = l / penalty` where `l > 0`, else `l = l * penalty`
//!    (Keskar et al., "CTRL", 2019, with the sign rule that is in common use).
//! 3. *Frequency*, for generated ids: `l = l - frequency * count`, the product rounded first.
//! 4. *Presence*, for generated ids: `l = l - presence`.
//! 5. End tokens are left out while fewer than `min_tokens` were generated; with a constraint, what it does not allow
//!    is left out, and end tokens only where that leaves something. Where a constraint lets the answer end (and
//!    `min_tokens` were generated), nothing is left out: instead, a token that is not allowed becomes the end token, for
//!    what the model goes on with is no part of the form.
//! 6. Temperature below 1e-6: the largest `l`, the lowest id among equals. The rest does not apply.
//! 7. `P = round_even(exp32((l - max) * (1 / temperature)) * 2^30)`, by falling P, then rising id.
//! 8. *Top-k* keeps the first k of this order; *top-p* the fewest of those whose sum reaches its share of their sum;
//!    *min-p* those with `P >= min_p * 2^30`. Shares are rounded to 32 fraction bits, comparisons are exact integers,
//!    and at least one token stays.
//! 9. With `Z` the kept sum, the token at the point `(random(seed, p) * Z) >> 64` of the kept order.
//!
//! Log-probabilities are those of the model: raw logits, temperature 1, `(l - max) - ln(Z / 2^30)` in f64 with a
//! pure-Rust logarithm. Weights are rounded to 2^-30, so they are off by at most `vocabulary * 2^-31` (2.3e-5 for
//! 49 thousand tokens).

mod logprobs;
mod observed;
mod peaks;
mod random;
mod sampler;
mod weights;

pub use observed::token_logprobs;
pub use random::random;
pub(crate) use sampler::{Answered, Sampler, Scratch};
