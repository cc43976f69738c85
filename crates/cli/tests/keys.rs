//! `lockstep keys` against a real file, as an operator uses it.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Folder, failure, success};
use serde_json::Value;

fn keys(folder: &Folder, line: &str) -> std::process::Command {
    let mut command = folder.lockstep();
    command.arg("keys").args(line.split(' ')).arg("--keys").arg(folder.join("keys.db"));
    command
}

fn json(folder: &Folder, line: &str) -> Value {
    serde_json::from_str(&success(&mut keys(folder, line))).unwrap()
}

#[test]
fn keys_are_added_listed_and_revoked() {
    let folder = Folder::new("keys");
    let key = success(&mut keys(&folder, "add ada --requests-per-minute 60 --tokens-per-minute 1000 --concurrent 2"));
    let key = key.trim();
    assert!(key.starts_with("lsk_") && key.len() == 68, "{key}");
    assert_ne!(success(&mut keys(&folder, "add bob")).trim(), key);
    let list = success(&mut keys(&folder, "list"));
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[1..], [vec!["ada", "60", "1000", "2", "works"], vec!["bob", "-", "-", "-", "works"]]);
    assert!(!list.contains(&key[4..]));
    assert!(failure(&mut keys(&folder, "add ada"), 1).contains("already"));
    success(&mut keys(&folder, "revoke ada"));
    assert!(failure(&mut keys(&folder, "revoke ada"), 1).contains("no key named \"ada\""));
    let list = json(&folder, "list --json");
    assert_eq!(list[0]["requests_per_minute"], 60);
    assert!(list[0]["revoked"].is_i64() && list[1]["revoked"].is_null(), "{list}");
    assert_eq!(json(&folder, "usage --json"), serde_json::json!([]));
    // Whoever reads the folder learns no key.
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(!bytes.windows(64).any(|window| window == &key.as_bytes()[4..]), "{}", path.display());
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(folder.join("keys.db")).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "others can read it");
    }
}

#[test]
fn mistakes_say_what_to_do() {
    let folder = Folder::new("keys-mistakes");
    assert!(failure(&mut keys(&folder, "list"), 1).contains("keys add"));
    assert!(failure(&mut keys(&folder, "add ada --concurrent 0"), 2).contains("--concurrent"));
    assert!(failure(folder.lockstep().args(["keys", "add", "ada"]), 2).contains("--keys"));
    std::fs::write(folder.join("keys.db"), "something that is not a database, and longer than nothing").unwrap();
    assert!(failure(&mut keys(&folder, "add ada"), 1).contains("not a file of keys"));
}
