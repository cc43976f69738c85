//! The file of keys.

use std::fs::OpenOptions;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Row, TransactionBehavior, params};

use super::{Key, KeyHash, KeyLimits, KeyUsage, KeysError, Note, draw, require_name};

/// For another process that writes the same file.
const BUSY_TIME: Duration = Duration::from_secs(5);
/// Marks the file as ours: `LkKy`.
const APPLICATION: i32 = 0x4c6b_4b79;
/// Of the schema.
const VERSION: i32 = 1;

/// A name is free again once its key is revoked; the old key keeps its number and its usage.
const SCHEMA: &str = "
    CREATE TABLE keys (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        hash BLOB NOT NULL UNIQUE,
        requests_per_minute INTEGER,
        tokens_per_minute INTEGER,
        concurrent INTEGER,
        created INTEGER NOT NULL DEFAULT (unixepoch()),
        revoked INTEGER
    ) STRICT;
    CREATE UNIQUE INDEX names ON keys (name) WHERE revoked IS NULL;
    CREATE TABLE usage (
        key INTEGER NOT NULL REFERENCES keys (id),
        day TEXT NOT NULL,
        requests INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL,
        completion_tokens INTEGER NOT NULL,
        PRIMARY KEY (key, day)
    ) STRICT, WITHOUT ROWID;";

const COLUMNS: &str = "id, name, requests_per_minute, tokens_per_minute, concurrent, created, revoked, hash";

/// A file of keys. Several processes may have it open; what one writes, the others see.
#[derive(Debug)]
pub struct KeyStore {
    connection: Connection,
}

impl KeyStore {
    /// Opens a file that is there.
    pub fn open(path: &Path) -> Result<Self, KeysError> {
        if !path.is_file() {
            return Err(KeysError::Missing(path.to_owned()));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        Self::prepare(path, Connection::open_with_flags(path, flags)?)
    }

    /// Opens a file, which is made where it is not there; only its owner may read it.
    pub fn create(path: &Path) -> Result<Self, KeysError> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map_err(|error| KeysError::Make { path: path.to_owned(), error })?;
        Self::open(path)
    }

    /// Fails at once where another process writes, instead of waiting for it.
    #[cfg(test)]
    pub(crate) fn wait_for_nobody(&self) -> Result<(), KeysError> {
        Ok(self.connection.busy_timeout(Duration::ZERO)?)
    }

    /// With a write-ahead log a killed process loses nothing that it had committed, and readers never wait for writers.
    fn prepare(path: &Path, mut connection: Connection) -> Result<Self, KeysError> {
        connection.busy_timeout(BUSY_TIME)?;
        let not_ours = |error: rusqlite::Error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase) => KeysError::Foreign(path.to_owned()),
            _ => error.into(),
        };
        if is_empty(&connection).map_err(not_ours)? {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Another process may have been quicker.
            if is_empty(&transaction)? {
                transaction.execute_batch(SCHEMA)?;
                transaction.pragma_update(None, "application_id", APPLICATION)?;
                transaction.pragma_update(None, "user_version", VERSION)?;
            }
            transaction.commit()?;
        }
        let mark = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        if (mark("application_id")?, mark("user_version")?) != (APPLICATION, VERSION) {
            return Err(KeysError::Foreign(path.to_owned()));
        }
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        Ok(Self { connection })
    }

    /// Makes a key and returns it: nobody can read it again.
    pub fn add(&self, name: &str, limits: KeyLimits) -> Result<String, KeysError> {
        require_name(name)?;
        let key = draw()?;
        let added = self.connection.execute(
            "INSERT INTO keys (name, hash, requests_per_minute, tokens_per_minute, concurrent)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (name) WHERE revoked IS NULL DO NOTHING",
            params![
                name,
                &KeyHash::of(&key).0[..],
                limits.requests_per_minute.map(signed),
                limits.tokens_per_minute.map(signed),
                limits.concurrent.map(signed),
            ],
        )?;
        if added == 0 { Err(KeysError::Taken(name.to_owned())) } else { Ok(key) }
    }

    /// All keys, in the order in which they were made.
    pub fn list(&self) -> Result<Vec<Key>, KeysError> {
        let mut statement = self.connection.prepare_cached(&format!("SELECT {COLUMNS} FROM keys ORDER BY id"))?;
        let keys = statement.query_map([], read)?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// Makes a key useless, for good.
    pub fn revoke(&self, name: &str) -> Result<(), KeysError> {
        let update = "UPDATE keys SET revoked = unixepoch() WHERE name = ?1 AND revoked IS NULL";
        let changed = self.connection.execute(update, [name])?;
        if changed == 0 { Err(KeysError::Unknown(name.to_owned())) } else { Ok(()) }
    }

    /// What was used, by key and day.
    pub fn usage(&self) -> Result<Vec<KeyUsage>, KeysError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT name, day, requests, prompt_tokens, completion_tokens
             FROM usage JOIN keys ON keys.id = usage.key ORDER BY keys.id, day",
        )?;
        let rows = statement.query_map([], |row| {
            let count = |index| row.get::<_, i64>(index).map(|count| count.max(0) as u64);
            Ok(KeyUsage {
                name: row.get(0)?,
                day: row.get(1)?,
                requests: count(2)?,
                prompt_tokens: count(3)?,
                completion_tokens: count(4)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The keys that work, with their hashes.
    pub(crate) fn working(&self) -> Result<Vec<(KeyHash, Key)>, KeysError> {
        let select = format!("SELECT {COLUMNS} FROM keys WHERE revoked IS NULL ORDER BY id");
        let mut statement = self.connection.prepare_cached(&select)?;
        let keys = statement.query_map([], |row| Ok((KeyHash(row.get(7)?), read(row)?)))?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// A number that is another one once another process has written.
    pub(crate) fn version(&self) -> Result<i64, KeysError> {
        Ok(self.connection.pragma_query_value(None, "data_version", |row| row.get(0))?)
    }

    /// Adds to what keys used today: all of it or nothing. Notes of keys that are not there are dropped.
    pub(crate) fn record<'a>(&mut self, notes: impl IntoIterator<Item = &'a Note>) -> Result<(), KeysError> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for note in notes {
            let mut insert = transaction.prepare_cached(
                "INSERT INTO usage SELECT id, date('now'), ?2, ?3, ?4 FROM keys WHERE id = ?1
                 ON CONFLICT (key, day) DO UPDATE SET requests = requests + ?2,
                 prompt_tokens = prompt_tokens + ?3, completion_tokens = completion_tokens + ?4",
            )?;
            let counts = [note.requests, note.prompt_tokens, note.completion_tokens].map(signed);
            insert.execute(params![note.key, counts[0], counts[1], counts[2]])?;
        }
        Ok(transaction.commit()?)
    }
}

/// Whether nothing was ever written to it.
fn is_empty(connection: &Connection) -> rusqlite::Result<bool> {
    connection.query_row("SELECT count(*) = 0 FROM sqlite_schema", [], |row| row.get(0))
}

fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Key> {
    let limit = |index| row.get::<_, Option<i64>>(index).map(|limit| limit.map(|limit| limit.max(0) as u64));
    let limits = KeyLimits { requests_per_minute: limit(2)?, tokens_per_minute: limit(3)?, concurrent: limit(4)? };
    Ok(Key { id: row.get(0)?, name: row.get(1)?, limits, created: row.get(5)?, revoked: row.get(6)? })
}
