#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use super::*;

/// A file that goes when the test ends.
struct File(PathBuf);

impl File {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lockstep-keys-{name}-{}.db", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", self.0.display()));
        }
    }
}

fn works(store: &KeyStore, key: &str) -> Option<Key> {
    let hash = KeyHash::of(key);
    store.working().unwrap().into_iter().find(|(known, _)| known.is(&hash)).map(|(_, key)| key)
}

#[test]
fn a_key_works_until_it_is_revoked_and_its_text_is_not_kept() {
    let file = File::new("works");
    let store = KeyStore::create(&file.0).unwrap();
    let limits = KeyLimits { requests_per_minute: Some(3), ..KeyLimits::default() };
    let key = store.add("ada", limits).unwrap();
    assert_eq!(key.len(), PREFIX.len() + 2 * SECRET_BYTES);
    let found = works(&store, &key).unwrap();
    assert_eq!((found.name.as_str(), found.limits, found.revoked), ("ada", limits, None));
    assert!(works(&store, &format!("{key}0")).is_none());
    assert_ne!(key, store.add("bob", KeyLimits::default()).unwrap());
    assert!(matches!(store.add("ada", limits), Err(KeysError::Taken(_))));
    store.revoke("ada").unwrap();
    assert!(works(&store, &key).is_none());
    assert!(matches!(store.revoke("ada"), Err(KeysError::Unknown(_))));
    // The name is free; the old key stays in the list, for its usage.
    store.add("ada", limits).unwrap();
    let revoked: Vec<bool> = store.list().unwrap().iter().map(|key| key.revoked.is_some()).collect();
    assert_eq!(revoked, [true, false, false]);
    drop(store);
    let bytes = std::fs::read(&file.0).unwrap();
    let secret = &key.as_bytes()[PREFIX.len()..];
    assert!(bytes.windows(5).any(|window| window == b"names"), "the file is written");
    assert!(!bytes.windows(secret.len()).any(|window| window == secret), "the key is in the file");
}

#[test]
fn usage_adds_up_over_openings() {
    let file = File::new("usage");
    let note = |prompt_tokens, completion_tokens| Note { key: 1, requests: 1, prompt_tokens, completion_tokens };
    let mut store = KeyStore::create(&file.0).unwrap();
    store.add("ada", KeyLimits::default()).unwrap();
    // A note of a key that is not there does no harm to the others.
    store.record(&[note(10, 3), Note { key: 9, ..note(1, 1) }, note(5, 4)]).unwrap();
    drop(store);
    let mut store = KeyStore::open(&file.0).unwrap();
    store.record(&[note(100, 0)]).unwrap();
    let usage = store.usage().unwrap();
    assert_eq!(usage.len(), 1);
    assert_eq!((usage[0].requests, usage[0].prompt_tokens, usage[0].completion_tokens), (3, 115, 7));
}

#[test]
fn another_connection_is_noticed() {
    let file = File::new("noticed");
    let (ours, theirs) = (KeyStore::create(&file.0).unwrap(), KeyStore::open(&file.0).unwrap());
    let before = ours.version().unwrap();
    assert_eq!(ours.version().unwrap(), before);
    let key = theirs.add("ada", KeyLimits::default()).unwrap();
    assert_ne!(ours.version().unwrap(), before);
    assert!(works(&ours, &key).is_some());
}

#[test]
fn what_is_no_file_of_keys_is_refused() {
    let file = File::new("foreign");
    assert!(matches!(KeyStore::open(&file.0), Err(KeysError::Missing(_))));
    std::fs::write(&file.0, "plainly no database, and long enough to be looked at as one").unwrap();
    assert!(matches!(KeyStore::open(&file.0), Err(KeysError::Foreign(_))));
    std::fs::remove_file(&file.0).unwrap();
    let other = rusqlite::Connection::open(&file.0).unwrap();
    other.execute_batch("CREATE TABLE other (x)").unwrap();
    assert!(matches!(KeyStore::create(&file.0), Err(KeysError::Foreign(_))));
}

#[test]
fn names_are_plain() {
    for name in ["", "a\nb", &"x".repeat(101)] {
        assert!(matches!(require_name(name), Err(KeysError::Name(_))), "{name:?}");
    }
    assert!(require_name(&"ä".repeat(100)).is_ok());
}
