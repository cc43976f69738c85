//! Who asks, and how much they may ask for.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, header};

use crate::error::ApiError;
use crate::keys::{Key, KeyHash, KeyLimits, KeyStore, KeysError, Note};
use crate::served::Access;

/// How long a key's record is trusted before the file is asked again: the longest that a revoked key still works.
const FRESH: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Whoever sent a request.
#[derive(Debug, Default)]
pub(crate) struct Caller {
    key: Option<i64>,
    /// Cached prefixes are shared within it alone.
    pub(crate) scope: u64,
    limits: KeyLimits,
}

/// Lets requests in.
pub(crate) enum Gate {
    Open(Arc<Caller>),
    One { hash: KeyHash, caller: Arc<Caller> },
    Store(Box<Store>),
}

/// Keys of a file, with what each has used of its limits.
pub(crate) struct Store {
    file: Mutex<KeyStore>,
    states: Mutex<BTreeMap<i64, State>>,
    known: Mutex<Known>,
    /// What was used, on its way to the file.
    notes: Option<mpsc::Sender<Note>>,
    writer: Option<JoinHandle<()>>,
}

/// Keys that work, and when the file was asked for them.
type Known = Option<(Instant, Vec<(KeyHash, Arc<Caller>)>)>;

/// What a key has used in the minute that runs.
#[derive(Debug)]
struct State {
    since: Instant,
    requests: u64,
    tokens: u64,
    running: u64,
}

/// A request that was let in, with its place among its key's requests at once, which is given back when it is dropped.
pub(crate) struct Ticket {
    pub(crate) caller: Arc<Caller>,
    gate: Arc<Gate>,
}

impl Gate {
    pub(crate) fn new(access: &Access) -> Result<Self, KeysError> {
        Ok(match access {
            Access::Open => Self::Open(Arc::default()),
            Access::Key(key) => Self::One { hash: KeyHash::of(key), caller: Arc::default() },
            Access::File(path) => Self::Store(Box::new(Store::open(path)?)),
        })
    }

    /// Who sent these headers. May read a file.
    pub(crate) fn caller(&self, headers: &HeaderMap) -> Result<Arc<Caller>, ApiError> {
        let refuse = |message| Err(ApiError::new(401, "invalid_request_error", "invalid_api_key", message));
        if let Self::Open(caller) = self {
            return Ok(Arc::clone(caller));
        }
        let Some(hash) = bearer(headers).map(KeyHash::of) else {
            return refuse("no key was sent: send the header `authorization: Bearer KEY`");
        };
        let found = match self {
            Self::Open(caller) => Some(Arc::clone(caller)),
            Self::One { hash: known, caller } => known.is(&hash).then(|| Arc::clone(caller)),
            Self::Store(store) => store.find(&hash).map_err(|error| {
                tracing::error!(%error, "the keys cannot be read");
                ApiError::unavailable("keys_unavailable", "the keys cannot be read at the moment: try again")
            })?,
        };
        found.map_or_else(|| refuse("this key is not known here, or was revoked: ask for another one"), Ok)
    }

    /// Takes a place for a request, where its key's limits leave one.
    pub(crate) fn enter(self: &Arc<Self>, caller: &Arc<Caller>) -> Result<Arc<Ticket>, ApiError> {
        self.take_place(caller)?;
        Ok(Arc::new(Ticket { caller: Arc::clone(caller), gate: Arc::clone(self) }))
    }

    fn take_place(&self, caller: &Caller) -> Result<(), ApiError> {
        let (Self::Store(store), Some(key)) = (self, caller.key) else { return Ok(()) };
        let mut states = store.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = states.entry(key).or_insert_with(State::new);
        state.turn();
        let limits = caller.limits;
        let wait = MINUTE.saturating_sub(state.since.elapsed()).as_secs() + 1;
        let over = |used: u64, limit: Option<u64>| limit.is_some_and(|limit| used >= limit);
        if over(state.requests, limits.requests_per_minute) {
            let message = "this key has made all its requests of this minute: wait";
            return Err(ApiError::busy("rate_limit_exceeded", message, wait));
        }
        if over(state.tokens, limits.tokens_per_minute) {
            let message = "this key has used all its tokens of this minute: wait";
            return Err(ApiError::busy("rate_limit_exceeded", message, wait));
        }
        if over(state.running, limits.concurrent) {
            let message = "this key has as many requests running as it may: wait for one to end";
            return Err(ApiError::busy("rate_limit_exceeded", message, 1));
        }
        state.requests += 1;
        state.running += 1;
        Ok(())
    }

    /// Writes down what a request used.
    pub(crate) fn record(&self, caller: &Caller, prompt_tokens: usize, completion_tokens: usize) {
        let (Self::Store(store), Some(key)) = (self, caller.key) else { return };
        let mut states = store.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get_mut(&key) {
            state.tokens += (prompt_tokens + completion_tokens) as u64;
        }
        drop(states);
        if let Some(notes) = &store.notes {
            // Without its thread there is nowhere to write to.
            let (prompt_tokens, completion_tokens) = (prompt_tokens as u64, completion_tokens as u64);
            let _ = notes.send(Note { key, prompt_tokens, completion_tokens });
        }
    }

    /// What is left of a key's limits, as headers.
    pub(crate) fn tell(&self, caller: &Caller, headers: &mut HeaderMap) {
        let (Self::Store(store), Some(key)) = (self, caller.key) else { return };
        let mut states = store.states.lock().unwrap_or_else(PoisonError::into_inner);
        let state = states.entry(key).or_insert_with(State::new);
        state.turn();
        let reset = MINUTE.saturating_sub(state.since.elapsed()).as_secs_f64();
        let of = [
            ("requests", caller.limits.requests_per_minute, state.requests),
            ("tokens", caller.limits.tokens_per_minute, state.tokens),
        ];
        for (what, limit, used) in of {
            let Some(limit) = limit else { continue };
            let values = [
                ("limit", limit.to_string()),
                ("remaining", limit.saturating_sub(used).to_string()),
                ("reset", format!("{reset:.3}s")),
            ];
            for (name, value) in values {
                let name = header::HeaderName::try_from(format!("x-ratelimit-{name}-{what}"));
                if let (Ok(name), Ok(value)) = (name, HeaderValue::try_from(value)) {
                    headers.insert(name, value);
                }
            }
        }
    }
}

impl Store {
    fn open(path: &Path) -> Result<Self, KeysError> {
        let (notes, inbox) = mpsc::channel();
        let mut writes = KeyStore::open(path)?;
        // A file may be locked for seconds; whoever answers does not wait for it.
        let writer = std::thread::spawn(move || {
            for note in inbox {
                // The answer was given; nothing is left but to say so.
                if let Err(error) = writes.record(&[note]) {
                    tracing::error!(%error, "the usage of a key was not written down");
                }
            }
        });
        Ok(Self {
            file: Mutex::new(KeyStore::open(path)?),
            states: Mutex::default(),
            known: Mutex::default(),
            notes: Some(notes),
            writer: Some(writer),
        })
    }

    fn find(&self, hash: &KeyHash) -> Result<Option<Arc<Caller>>, KeysError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|(read, _)| read.elapsed() >= FRESH) {
            let keys = self.file.lock().unwrap_or_else(PoisonError::into_inner).working()?;
            let of =
                |(hash, Key { id, limits, .. })| (hash, Arc::new(Caller { key: Some(id), scope: id as u64, limits }));
            *known = Some((Instant::now(), keys.into_iter().map(of).collect()));
        }
        let callers = known.iter().flat_map(|(_, callers)| callers);
        // All are compared, so that the time does not tell which one was close.
        Ok(callers.filter(|(known, _)| known.is(hash)).last().map(|(_, caller)| Arc::clone(caller)))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Closed, so that the thread ends once everything is written.
        self.notes = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl State {
    fn new() -> Self {
        Self { since: Instant::now(), requests: 0, tokens: 0, running: 0 }
    }

    /// Begins a new minute where the last one is over.
    fn turn(&mut self) {
        if self.since.elapsed() >= MINUTE {
            *self = Self { running: self.running, ..Self::new() };
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let (Gate::Store(store), Some(key)) = (&*self.gate, self.caller.key) else { return };
        let mut states = store.states.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = states.get_mut(&key) {
            state.running = state.running.saturating_sub(1);
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim()).filter(|key| !key.is_empty())
}
