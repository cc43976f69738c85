#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use super::*;
use crate::keys::KeyLimits;

/// A file that goes when the test ends.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("lockstep-book-{name}-{}.db", std::process::id())))
    }

    /// Requests and tokens of the first key.
    fn used(&self) -> Option<(u64, u64, u64)> {
        let usage = KeyStore::open(&self.0).unwrap().usage().unwrap();
        usage.first().map(|used| (used.requests, used.prompt_tokens, used.completion_tokens))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", self.0.display()));
        }
    }
}

fn note() -> Note {
    Note { key: 1, requests: 1, prompt_tokens: 10, completion_tokens: 2 }
}

#[test]
fn what_was_used_is_in_the_file_after_settling_and_after_the_end() {
    let file = File::new("settle");
    let key = KeyStore::create(&file.0).unwrap().add("ada", KeyLimits::default()).unwrap();
    let book = Book::open(&file.0).unwrap();
    assert_eq!(book.find(&KeyHash::of(&key)).unwrap().key.name, "ada");
    assert!(book.find(&KeyHash::of("other")).is_none());
    book.note(note());
    book.settle();
    assert_eq!(file.used(), Some((1, 10, 2)));
    book.note(note());
    book.note(note());
    drop(book);
    assert_eq!(file.used(), Some((3, 30, 6)));
}

#[test]
fn a_locked_file_holds_nobody_up_and_loses_nothing() {
    let file = File::new("locked");
    let key = KeyStore::create(&file.0).unwrap().add("ada", KeyLimits::default()).unwrap();
    let (mut keeper, book) = Keeper::open(&file.0, FRESH).unwrap();
    keeper.store.wait_for_nobody().unwrap();
    let other = rusqlite::Connection::open(&file.0).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Nobody keeps the book meanwhile: were anything waited for, it would not come.
    for _ in 0..100 {
        book.note(note());
        assert!(book.find(&KeyHash::of(&key)).is_some());
    }
    assert!(keeper.turn());
    assert_eq!((keeper.is_failing, file.used()), (true, None), "the file is locked");
    other.execute_batch("ROLLBACK").unwrap();
    book.note(note());
    assert!(keeper.turn());
    assert_eq!((keeper.is_failing, file.used()), (false, Some((101, 1010, 202))));
    drop(book);
    assert!(!keeper.turn());
    assert_eq!(file.used(), Some((101, 1010, 202)), "written once");
}

#[test]
fn other_processes_are_noticed_and_what_was_used_of_limits_stays() {
    let file = File::new("noticed");
    let store = KeyStore::create(&file.0).unwrap();
    let ada = store.add("ada", KeyLimits { concurrent: Some(1), ..KeyLimits::default() }).unwrap();
    let (mut keeper, book) = Keeper::open(&file.0, Duration::ZERO).unwrap();
    book.find(&KeyHash::of(&ada)).unwrap().enter(Instant::now()).unwrap();
    let bob = store.add("bob", KeyLimits::default()).unwrap();
    assert!(keeper.turn() && book.find(&KeyHash::of(&bob)).is_some(), "a new key");
    assert!(book.find(&KeyHash::of(&ada)).unwrap().enter(Instant::now()).is_err(), "its place is taken");
    store.revoke("ada").unwrap();
    assert!(keeper.turn() && book.find(&KeyHash::of(&ada)).is_none(), "a revoked key");
}
