//! `cargo xtask ci`: all that must hold before a change is kept.

use crate::command::{cargo, pass, root, shown};
use crate::machine;
use anyhow::{Context, Result};
use clap::Args;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Leave out the answer of the README's run command, which gets the default model from the network
    #[arg(long)]
    without_answer: bool,
}

/// Runs each step in order and stops at the first that fails.
pub(crate) fn run(options: &Options) -> Result<()> {
    let root = root()?;
    let whole = Times::start();
    for mut step in steps(options, &root)? {
        println!("==> {}", shown(&step));
        let times = Times::start();
        pass(step.current_dir(&root))?;
        println!("    {times}");
    }
    println!("ci: all held, {whole}");
    Ok(())
}

/// What has gone by since a moment.
struct Times {
    begun: Instant,
    worked: Option<f64>,
}

impl Times {
    fn start() -> Self {
        Self { begun: Instant::now(), worked: machine::seconds_of_children() }
    }
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0} s", self.begun.elapsed().as_secs_f64())?;
        match (self.worked, machine::seconds_of_children()) {
            (Some(before), Some(after)) => write!(f, ", {:.0} s of processors", after - before),
            _ => Ok(()),
        }
    }
}

/// The one feature: it is off by default.
const TRACES: &str = "lockstep-cli/otel";

/// All in the release profile, so that procedural macros, build scripts and checked dependencies are compiled once.
fn steps(options: &Options, root: &Path) -> Result<Vec<Command>> {
    let mut document = cargo();
    document.args(["doc", "--release", "--workspace", "--no-deps", "--document-private-items"]);
    document.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private-intra-doc-links");
    let mut lint = cargo();
    lint.args(["clippy", "--release", "--workspace", "--all-targets", "--features", TRACES, "--", "-D", "warnings"]);
    let mut steps = vec![with(&["fmt", "--all", "--check"])];
    steps.extend(python(root)?);
    steps.extend([lint, document]);
    if !options.without_answer {
        steps.push(with(&["run", "--release", "--", "run", "Why is the sky blue?", "--max-tokens", "16"]));
    }
    // Only who changes the playground needs npm.
    if crate::web::installed() {
        steps.push(with(&["xtask", "web"]));
    }
    // A browser comes from the system, not from a registry: without one `cargo xtask viewer` says how to get it.
    if crate::viewer::installed().is_some() {
        steps.push(with(&["xtask", "viewer"]));
        // The model is the one that the answer was made with.
        if crate::web::installed() && !options.without_answer {
            steps.push(with(&["xtask", "playground"]));
        }
    }
    if !options.without_answer {
        steps.push(with(&["xtask", "load", "--minutes", "0.5"]));
        steps.push(with(&["xtask", "clients"]));
    }
    // Last, and as the README has it.
    steps.push(with(&["test", "--release"]));
    Ok(steps)
}

fn with(arguments: &[&str]) -> Command {
    let mut command = cargo();
    command.args(arguments);
    command
}

/// Most programs need packages that are not here yet; that they parse, and what needs no package, is checked.
fn python(root: &Path) -> Result<Vec<Command>> {
    let mut scripts = Vec::new();
    for folder in ["tools", "tests"] {
        find_scripts(&root.join(folder), &mut scripts)?;
    }
    scripts.sort();
    let parse = "import ast, sys; [ast.parse(open(p, encoding='utf-8').read(), p) for p in sys.argv[1:]]";
    let mut parses = Command::new("python3");
    parses.args(["-B", "-c", parse]);
    parses.args(scripts.iter().map(|path| path.strip_prefix(root).unwrap_or(path)));
    let tests = ["quality", "simulators"].map(|folder| {
        let mut tests = Command::new("python3");
        tests.args(["-B", "-m", "unittest", "discover", &format!("tools/reference/{folder}")]);
        tests
    });
    Ok(std::iter::once(parses).chain(tests).collect())
}

fn find_scripts(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable = || format!("{}: cannot be listed", folder.display());
    for entry in std::fs::read_dir(folder).with_context(unreadable)? {
        let path = entry.with_context(unreadable)?.path();
        if path.is_dir() {
            find_scripts(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "py") {
            found.push(path);
        }
    }
    Ok(())
}
