//! The keys of a file, in memory, and the thread that keeps both the same.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::account::Account;
use crate::keys::{KeyHash, KeyStore, KeysError, Note};

/// How often the file is looked at: the longest that a revoked key still works.
const FRESH: Duration = Duration::from_secs(1);
/// Longest wait for what was used to be written, once the server ends.
const SETTLE: Duration = Duration::from_secs(6);

type Accounts = Arc<RwLock<Vec<(KeyHash, Arc<Account>)>>>;

/// Keys that work.
pub(crate) struct Book {
    accounts: Accounts,
    /// The way to the thread; none once it has been told to end.
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

enum Command {
    Note(Note),
    /// Answered once all notes before it are in the file, or were given up.
    Settle(Sender<()>),
}

impl Book {
    pub(super) fn open(path: &Path) -> Result<Self, KeysError> {
        let (mut keeper, mut book) = Keeper::open(path, FRESH)?;
        let thread = std::thread::Builder::new().name("keys".into()).spawn(move || while keeper.turn() {});
        book.thread = Some(thread.map_err(|error| KeysError::Make { path: path.to_owned(), error })?);
        Ok(book)
    }

    /// The account of a key. All keys are compared, each in the same time, so that the time tells nothing.
    pub(super) fn find(&self, hash: &KeyHash) -> Option<Arc<Account>> {
        let accounts = self.accounts.read().unwrap_or_else(PoisonError::into_inner);
        accounts
            .iter()
            .fold(None, |found, (known, account)| if known.is(hash) { Some(account) } else { found })
            .cloned()
    }

    /// Writes down what a request used, soon.
    pub(super) fn note(&self, note: Note) {
        self.send(Command::Note(note));
    }

    pub(super) fn settle(&self) {
        let (reply, done) = channel();
        self.send(Command::Settle(reply));
        if done.recv_timeout(SETTLE).is_err() {
            tracing::error!("what was last used with keys may not have been written down");
        }
    }

    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // Without its thread there is nowhere to write to.
            let _ = commands.send(command);
        }
    }
}

impl Drop for Book {
    fn drop(&mut self) {
        // Closed, so that the thread ends once everything is written.
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread's.
struct Keeper {
    store: KeyStore,
    version: i64,
    accounts: Accounts,
    inbox: Receiver<Command>,
    /// What is not yet in the file, by key: a file that cannot be written does not fill the memory.
    used: BTreeMap<i64, Note>,
    is_failing: bool,
    /// How often the file is looked at, and when it last was.
    fresh: Duration,
    looked: Instant,
}

impl Keeper {
    /// The keeper of a file, and a book that it keeps.
    fn open(path: &Path, fresh: Duration) -> Result<(Self, Book), KeysError> {
        let store = KeyStore::open(path)?;
        let (version, accounts, looked) = (store.version()?, Accounts::default(), Instant::now());
        let (commands, inbox) = channel();
        let book = Book { accounts: Arc::clone(&accounts), commands: Some(commands), thread: None };
        let used = BTreeMap::new();
        let mut keeper = Self { store, version, accounts, inbox, used, is_failing: false, fresh, looked };
        keeper.read()?;
        Ok((keeper, book))
    }

    /// Waits for something to do, and does it; false once the book is gone and nothing is left.
    fn turn(&mut self) -> bool {
        let (mut settled, mut is_over) = (Vec::new(), false);
        match self.inbox.recv_timeout(self.fresh.saturating_sub(self.looked.elapsed())) {
            Ok(command) => self.take(command, &mut settled),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => is_over = true,
        }
        while let Ok(command) = self.inbox.try_recv() {
            self.take(command, &mut settled);
        }
        let mut result = self.write();
        if self.looked.elapsed() >= self.fresh {
            self.looked = Instant::now();
            result = result.and(self.look());
        }
        self.tell(result);
        for reply in settled {
            // Who asked may have stopped waiting.
            let _ = reply.send(());
        }
        !is_over
    }

    fn take(&mut self, command: Command, settled: &mut Vec<Sender<()>>) {
        match command {
            Command::Note(note) => {
                let used = self.used.entry(note.key).or_insert(Note { key: note.key, ..Note::default() });
                used.requests += note.requests;
                used.prompt_tokens += note.prompt_tokens;
                used.completion_tokens += note.completion_tokens;
            }
            Command::Settle(reply) => settled.push(reply),
        }
    }

    fn write(&mut self) -> Result<(), KeysError> {
        if !self.used.is_empty() {
            self.store.record(self.used.values())?;
            self.used.clear();
        }
        Ok(())
    }

    /// Reads the keys again where another process has written.
    fn look(&mut self) -> Result<(), KeysError> {
        let version = self.store.version()?;
        if version != self.version {
            self.read()?;
            self.version = version;
        }
        Ok(())
    }

    /// Takes over the file's keys. A key that is as it was keeps what it has used of its limits.
    fn read(&mut self) -> Result<(), KeysError> {
        let (keys, now) = (self.store.working()?, Instant::now());
        let mut accounts = self.accounts.write().unwrap_or_else(PoisonError::into_inner);
        let kept: BTreeMap<i64, Arc<Account>> =
            accounts.drain(..).map(|(_, account)| (account.key.id, account)).collect();
        accounts.extend(keys.into_iter().map(|(hash, key)| {
            let same = kept.get(&key.id).filter(|account| account.key == key).cloned();
            (hash, same.unwrap_or_else(|| Arc::new(Account::new(key, now))))
        }));
        Ok(())
    }

    /// Logs a failure once; what was known of the keys holds on.
    fn tell(&mut self, result: Result<(), KeysError>) {
        match result {
            Ok(()) => self.is_failing = false,
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::error!(%error, "the file of keys cannot be used: trying on");
                }
            }
        }
    }
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
