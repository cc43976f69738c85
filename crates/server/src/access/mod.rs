//! Who asks, and how much they may ask for.
//!
//! A request with a key is looked up in memory; the file of keys is read and written by a thread of its own ([`book`]),
//! so that a slow or locked file holds nobody up. `account` keeps what a key has used of its limits, `bucket` is one
//! limit.

mod account;
mod book;
mod bucket;
mod headers;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, header};

use crate::error::ApiError;
use crate::keys::{KeyHash, KeysError, Note};
use crate::served::Access;
use account::Account;
use book::Book;

/// Whoever sent a request, and what it has used so far.
pub(crate) struct Caller {
    account: Option<Arc<Account>>,
    /// Cached prefixes are shared within it alone.
    pub(crate) scope: u64,
    /// When the request came.
    pub(crate) arrival: Instant,
    prompt_tokens: AtomicU64,
    completion_tokens: AtomicU64,
    /// How long it waited for its first token.
    first_token: OnceLock<Duration>,
}

/// Lets requests in.
pub(crate) enum Gate {
    Open,
    One(KeyHash),
    Book(Book),
}

/// A request that was let in, with its place among its key's requests at once, which is given back when it is dropped.
pub(crate) struct Ticket {
    pub(crate) caller: Arc<Caller>,
    gate: Arc<Gate>,
}

impl Gate {
    pub(crate) fn new(access: &Access) -> Result<Self, KeysError> {
        Ok(match access {
            Access::Open => Self::Open,
            Access::Key(key) => Self::One(KeyHash::of(key)),
            Access::File(path) => Self::Book(Book::open(path)?),
        })
    }

    /// Who sent these headers.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Arc<Caller>, ApiError> {
        let refuse = |message| Err(ApiError::new(401, "invalid_request_error", "invalid_api_key", message));
        if matches!(self, Self::Open) {
            return Ok(Caller::anyone());
        }
        let Some(hash) = bearer(headers).map(KeyHash::of) else {
            return refuse("no key was sent: send the header `authorization: Bearer KEY`");
        };
        let found = match self {
            Self::Open => Some(Caller::anyone()),
            Self::One(known) => known.is(&hash).then(Caller::anyone),
            Self::Book(book) => book.find(&hash).map(|account| Caller::new(Some(account))),
        };
        found.map_or_else(|| refuse("this key is not known here, or was revoked: ask for another one"), Ok)
    }

    /// Takes a place for a request, where its key's limits leave one.
    pub(crate) fn enter(self: &Arc<Self>, caller: &Arc<Caller>) -> Result<Arc<Ticket>, ApiError> {
        if let Some(account) = &caller.account {
            account.enter(Instant::now())?;
        }
        Ok(Arc::new(Ticket { caller: Arc::clone(caller), gate: Arc::clone(self) }))
    }

    /// Waits until what was used is in the file, or cannot be written. Not for the runtime's threads.
    pub(crate) fn settle(&self) {
        if let Self::Book(book) = self {
            book.settle();
        }
    }
}

impl Caller {
    fn new(account: Option<Arc<Account>>) -> Arc<Self> {
        let scope = account.as_ref().map_or(0, |account| account.key.id as u64);
        Arc::new(Self {
            account,
            scope,
            arrival: Instant::now(),
            prompt_tokens: AtomicU64::new(0),
            completion_tokens: AtomicU64::new(0),
            first_token: OnceLock::new(),
        })
    }

    /// Somebody of whom nothing is known.
    pub(crate) fn anyone() -> Arc<Self> {
        Self::new(None)
    }

    /// The name of its key.
    pub(crate) fn name(&self) -> Option<&str> {
        self.account.as_ref().map(|account| account.key.name.as_str())
    }

    /// Tokens of its prompts and of its answers so far.
    pub(crate) fn tokens(&self) -> (u64, u64) {
        (self.prompt_tokens.load(Ordering::Relaxed), self.completion_tokens.load(Ordering::Relaxed))
    }

    /// How long it waited for its first token.
    pub(crate) fn first_token(&self) -> Option<Duration> {
        self.first_token.get().copied()
    }

    /// Says in an answer's headers what is left of its key's limits.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        if let Some(account) = &self.account {
            headers::tell(&account.left(Instant::now()), headers);
        }
    }
}

impl Ticket {
    /// A prompt was taken.
    pub(crate) fn prompt(&self, tokens: usize) {
        self.caller.prompt_tokens.fetch_add(tokens as u64, Ordering::Relaxed);
        self.charge(tokens);
    }

    /// A token was generated; its answer waited so long for the first one.
    pub(crate) fn token(&self, first_token: Option<Duration>) {
        if let Some(time) = first_token {
            self.caller.first_token.get_or_init(|| time);
        }
        self.caller.completion_tokens.fetch_add(1, Ordering::Relaxed);
        self.charge(1);
    }

    fn charge(&self, tokens: usize) {
        if let Some(account) = &self.caller.account {
            account.charge(tokens, Instant::now());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let (Some(account), Gate::Book(book)) = (&self.caller.account, &*self.gate) else { return };
        account.leave();
        let (prompt_tokens, completion_tokens) = self.caller.tokens();
        // Without a prompt the engine has done nothing.
        if prompt_tokens > 0 {
            book.note(Note { key: account.key.id, requests: 1, prompt_tokens, completion_tokens });
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim()).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use axum::http::HeaderValue;

    fn with(authorization: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::from_static(authorization))])
    }

    #[test]
    fn only_the_key_opens() {
        let gate = Gate::new(&Access::Key("right".into())).unwrap();
        for good in ["Bearer right", "bearer right", "Bearer  right "] {
            assert!(gate.caller(&with(good)).is_ok(), "{good}");
        }
        for bad in ["Bearer wrong", "Bearer right2", "Bearer", "Bearer ", "Basic right", "right", ""] {
            let error = gate.caller(&with(bad)).map(|_| ()).unwrap_err();
            assert_eq!((error.status.as_u16(), error.body.code), (401, Some("invalid_api_key")), "{bad}");
        }
        assert!(gate.caller(&HeaderMap::new()).is_err());
        assert!(Gate::new(&Access::Open).unwrap().caller(&HeaderMap::new()).is_ok());
    }
}
