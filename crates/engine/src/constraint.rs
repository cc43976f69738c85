//! Which tokens may come next, decided from outside: a grammar, a schema, a list of choices.

/// Follows one answer token by token and says which tokens may continue it.
///
/// It holds before every filter: a token that is not allowed has no probability, and a greedy answer takes the best of
/// those that are. Where the answer may end, such a token ends it instead: a model that would rather say something else
/// is not made to go on. Log-probabilities stay the model's own. An error ends the request as a fault, and no other.
pub trait Constraint: Send {
    /// The tokens that may come next: bit `id % 32` of word `id / 32` is set for each of them, and tokens beyond the
    /// last word are not among them. `None` where all may.
    ///
    /// Once the answer may end here, this must include an end token of the request. Where only end tokens are left,
    /// they are drawn even before `min_tokens`.
    fn allowed(&mut self) -> Result<Option<&[u32]>, String>;
    /// Takes note that the answer goes on with `id`. Not called for a token that ends the answer.
    fn accept(&mut self, id: u32) -> Result<(), String>;
}

/// Whether `allowed` has the token.
pub(crate) fn allows(allowed: &[u32], id: u32) -> bool {
    allowed.get(id as usize / 32).is_some_and(|word| word >> (id % 32) & 1 == 1)
}

/// Gives every logit whose token is not allowed no chance.
pub(crate) fn ban_others(logits: &mut [f32], allowed: &[u32]) {
    for (index, part) in logits.chunks_mut(32).enumerate() {
        let word = allowed.get(index).copied().unwrap_or(0);
        if word == u32::MAX {
            continue;
        }
        if word == 0 {
            part.fill(f32::NEG_INFINITY);
            continue;
        }
        for (bit, logit) in part.iter_mut().enumerate() {
            if word >> bit & 1 == 0 {
                *logit = f32::NEG_INFINITY;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_allowed_stays() {
        for length in [1, 31, 32, 33, 100, 129] {
            let allowed = [0b101, u32::MAX, 0, 1 << 31];
            let mut logits = vec![1.5; length];
            ban_others(&mut logits, &allowed);
            for (id, &logit) in logits.iter().enumerate() {
                let expected = id == 0 || id == 2 || (32..64).contains(&id) || id == 127;
                assert_eq!(logit == 1.5, expected, "{id} of {length}");
                assert_eq!(allows(&allowed, id as u32), expected, "{id}");
            }
        }
    }
}
