//! What the whole-path tests share: runs of the built binary in folders of their own.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

pub mod default_model;
pub mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder that goes when the test ends.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The binary with models and cache in this folder, and no way to the network.
    pub fn lockstep(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        command.env("LOCKSTEP_HOME", self.join("home")).env("LOCKSTEP_CACHE", self.join("cache"));
        command.env("HF_ENDPOINT", "http://127.0.0.1:9").env_remove("HF_TOKEN");
        command.stdin(std::process::Stdio::null());
        command
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Runs to the end; standard output where it succeeded.
pub fn success(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {:?}\n{errors}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Runs to the end, which must be a failure with exit code `code` and an `error:` line; returns that line.
pub fn failure(command: &mut Command, code: i32) -> String {
    let output = command.output().unwrap();
    let errors = errors_of(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {errors}");
    let lines: Vec<&str> = errors.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(lines.len(), 1, "{command:?}: one line: {errors}");
    assert!(!errors.contains("panicked"), "{errors}");
    assert_eq!(errors.lines().last(), Some(lines[0]), "the error is the last word: {errors}");
    lines[0].to_owned()
}

pub fn errors_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A tiny model of the models crate's fixtures.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tests/fixtures").join(name)
}
