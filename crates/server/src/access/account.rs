//! What a key has used of its limits.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::bucket::Bucket;
use crate::error::ApiError;
use crate::keys::Key;

/// Longest time that a client is told to wait, in seconds.
const RETRY_MAX: u64 = 3600;

/// A key that works.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) key: Key,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    running: u64,
}

/// Of requests and of tokens: the limit, what is left of it, and the time until all of it is.
pub(super) struct Left {
    pub(super) requests: Option<(u64, u64, Duration)>,
    pub(super) tokens: Option<(u64, u64, Duration)>,
}

impl Account {
    pub(super) fn new(key: Key, now: Instant) -> Self {
        let bucket = |limit: Option<u64>| limit.map(|limit| Bucket::new(limit, now));
        let (requests, tokens) = (bucket(key.limits.requests_per_minute), bucket(key.limits.tokens_per_minute));
        Self { key, state: Mutex::new(State { requests, tokens, running: 0 }) }
    }

    /// Takes a place for a request: all of what it needs, or nothing.
    pub(super) fn enter(&self, now: Instant) -> Result<(), ApiError> {
        let mut state = self.state(now);
        if self.key.limits.concurrent.is_some_and(|most| state.running >= most) {
            let message = "this key has as many requests running as it may: wait for one to end";
            return Err(ApiError::busy("rate_limit_exceeded", message, 1));
        }
        for (bucket, what) in [(&state.requests, "requests"), (&state.tokens, "tokens")] {
            if let Some(wait) = bucket.as_ref().and_then(Bucket::wait) {
                let seconds = wait.as_secs().saturating_add(1).min(RETRY_MAX);
                let message = format!("this key has used its {what} of this minute: try again in {seconds} s");
                return Err(ApiError::busy("rate_limit_exceeded", message, seconds));
            }
        }
        if let Some(requests) = &mut state.requests {
            requests.take(1);
        }
        state.running += 1;
        Ok(())
    }

    /// Gives the place back.
    pub(super) fn leave(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running = state.running.saturating_sub(1);
    }

    pub(super) fn charge(&self, tokens: usize, now: Instant) {
        if let Some(bucket) = &mut self.state(now).tokens {
            bucket.take(tokens);
        }
    }

    pub(super) fn left(&self, now: Instant) -> Left {
        let state = self.state(now);
        let of = |bucket: &Option<Bucket>| bucket.as_ref().map(Bucket::left);
        Left { requests: of(&state.requests), tokens: of(&state.tokens) }
    }

    /// As of now.
    fn state(&self, now: Instant) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { requests, tokens, .. } = &mut *state;
        for bucket in [requests, tokens].into_iter().flatten() {
            bucket.fill(now);
        }
        state
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::keys::KeyLimits;

    fn account(requests: Option<u64>, tokens: Option<u64>, concurrent: Option<u64>, now: Instant) -> Account {
        let limits = KeyLimits { requests_per_minute: requests, tokens_per_minute: tokens, concurrent };
        Account::new(Key { id: 1, name: "ada".into(), limits, created: 0, revoked: None }, now)
    }

    #[test]
    fn a_place_is_free_again_once_a_request_is_over() {
        let now = Instant::now();
        let account = account(None, None, Some(2), now);
        account.enter(now).unwrap();
        account.enter(now).unwrap();
        assert_eq!(account.enter(now).unwrap_err().status.as_u16(), 429);
        account.leave();
        account.enter(now).unwrap();
    }

    #[test]
    fn who_is_refused_uses_nothing_and_is_told_when_to_come_back() {
        let now = Instant::now();
        let account = account(Some(2), Some(60), None, now);
        account.enter(now).unwrap();
        account.charge(70, now);
        let error = account.enter(now).unwrap_err();
        assert_eq!((error.status.as_u16(), error.retry_after), (429, Some(12)));
        assert_eq!(account.left(now).requests.unwrap().1, 1, "the refused request was counted");
        let later = now + Duration::from_secs(12);
        account.enter(later).unwrap();
        assert_eq!(account.enter(later).unwrap_err().retry_after, Some(19));
    }
}
