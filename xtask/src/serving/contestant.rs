//! A server with its flags, and how it is started.

use crate::server::Server;
use crate::serving::ask::MODEL;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The name of the one that the others are compared with.
pub(crate) const LOCKSTEP: &str = "lockstep";
/// Requests at once, of each server.
pub(crate) const PARALLEL: usize = 8;
/// Tokens that a request may come to; `llama-server` divides its context among its slots.
const CONTEXT: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Program {
    Lockstep(Vec<&'static str>),
    /// The same with a cache folder of its own, of which the compiled programs are removed before each start.
    Compiling(PathBuf),
    Llama,
}

/// One row of the tables.
#[derive(Clone, Debug)]
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    program: Program,
    path: PathBuf,
    model: PathBuf,
    threads: u32,
}

impl Contestant {
    /// The one that the others are compared with.
    pub(crate) fn lockstep(path: &Path, model: &Path, threads: u32) -> Self {
        let program = Program::Lockstep(vec!["--lpu", "off"]);
        Self { name: LOCKSTEP, program, path: path.into(), model: model.into(), threads }
    }

    /// No token is guessed, as in `llama-server` without further flags.
    pub(crate) fn without_speculation(&self) -> Self {
        let program = Program::Lockstep(vec!["--lpu", "off", "--speculate", "off"]);
        Self { name: "lockstep --speculate off", program, ..self.clone() }
    }

    /// The first start of all: a program is compiled in the background while it serves.
    pub(crate) fn compiling(&self, cache: PathBuf) -> Self {
        Self { name: "lockstep, compiling for --lpu", program: Program::Compiling(cache), ..self.clone() }
    }

    pub(crate) fn llama(&self, path: &Path) -> Self {
        Self { name: "llama-server", program: Program::Llama, path: path.into(), ..self.clone() }
    }

    /// Starts it; both servers have the same file, threads and requests at once.
    pub(crate) fn start(&self) -> Result<Server> {
        let mut command = Command::new(&self.path);
        let (threads, parallel) = (self.threads.to_string(), PARALLEL.to_string());
        match &self.program {
            Program::Lockstep(flags) => {
                self.serve(&mut command, &threads, &parallel).args(flags);
            }
            Program::Compiling(cache) => {
                remove_programs(cache)?;
                self.serve(&mut command, &threads, &parallel).env("LOCKSTEP_CACHE", cache);
            }
            Program::Llama => {
                command.arg("-m").arg(&self.model).args(["-t", &threads, "-np", &parallel, "--alias", MODEL]);
                command.args(["-c", &(CONTEXT * PARALLEL).to_string()]);
                command.stdout(Stdio::null()).stderr(Stdio::null());
                return Server::of(&mut command, "/health", |address| {
                    ["--host", &address.ip().to_string(), "--port", &address.port().to_string()]
                        .map(str::to_owned)
                        .to_vec()
                });
            }
        }
        command.stderr(Stdio::null());
        Server::of(&mut command, "/ready", |address| vec!["--addr".to_owned(), address.to_string()])
    }

    fn serve<'a>(&self, command: &'a mut Command, threads: &str, parallel: &str) -> &'a mut Command {
        command.arg("serve").arg("-m").arg(&self.model).args(["--log", "off", "--alias", MODEL]);
        command.args(["--threads", threads, "--parallel", parallel])
    }
}

/// Removes what was compiled; packed weights stay.
fn remove_programs(cache: &Path) -> Result<()> {
    let unreadable = || format!("{}: cannot be emptied", cache.display());
    std::fs::create_dir_all(cache).with_context(unreadable)?;
    for entry in std::fs::read_dir(cache).with_context(unreadable)? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind.to_string_lossy().starts_with("program-")) {
            std::fs::remove_file(&path).with_context(unreadable)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_programs_are_removed() {
        let folder = std::env::temp_dir().join(format!("lockstep-serving-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("a.program-12"), "x").unwrap();
        std::fs::write(folder.join("a.packed"), "x").unwrap();
        remove_programs(&folder).unwrap();
        let left: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(left, ["a.packed"]);
    }
}
