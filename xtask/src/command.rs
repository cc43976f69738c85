//! Running other programs.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The checkout's root, wherever `cargo xtask` was started.
pub(crate) fn root() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    root.map(Path::to_path_buf).context("xtask lies in no checkout")
}

/// The Cargo that started this task.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The line that repeats a command, for messages.
pub(crate) fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| {
        let word = word.to_string_lossy();
        if word.contains([' ', '"', '\'']) { format!("{word:?}") } else { word.into_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Runs to the end with no input; what it prints passes through.
pub(crate) fn pass(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("{} cannot be run", shown(command)))?;
    ensure!(status.success(), "failed ({status}): {}", shown(command));
    Ok(())
}

/// Runs to the end with no input and returns its standard output; standard error is shown if it fails.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("{} cannot be run: check the path", shown(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("failed ({}): {}\n{}", output.status, shown(command), said.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{}: prints bytes that are not UTF-8", shown(command)))
}

/// The `lockstep` binary: the given one, or this checkout's, built now.
pub(crate) fn lockstep(given: Option<&Path>) -> Result<PathBuf> {
    if let Some(path) = given {
        ensure!(path.is_file(), "{}: no such file: check --lockstep", path.display());
        return Ok(path.to_path_buf());
    }
    // Of the whole workspace, so that no crate is built with other features than for its tests.
    pass(cargo().args(["build", "--release", "--bin", "lockstep"]).current_dir(root()?))?;
    // Both binaries are built into the same folder, wherever CARGO_TARGET_DIR has it.
    let path = std::env::current_exe()?.with_file_name(format!("lockstep{}", std::env::consts::EXE_SUFFIX));
    ensure!(path.is_file(), "{}: not built there: give --lockstep", path.display());
    Ok(path)
}

/// The model file: the given one, or the default model's, pulled now if need be.
pub(crate) fn model(given: Option<&Path>, lockstep: &Path) -> Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_path_buf(),
        None => read(Command::new(lockstep).args(["pull", "smollm2"]))?.trim_end().into(),
    };
    ensure!(path.is_file(), "{}: no such file: give the model by --model FILE", path.display());
    Ok(path)
}
