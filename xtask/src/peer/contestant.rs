//! One program with one file, and what a run of it measures.

use crate::command;
use anyhow::{Context, Result};
use clap::Args;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What every contestant does.
#[derive(Clone, Debug, Args)]
pub(crate) struct Workload {
    /// Workers
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) threads: u32,
    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub(crate) prompt_tokens: u32,
    /// Tokens to generate
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub(crate) generate: u32,
}

/// What a run measures, in tokens a second. Lockstep generates after the prompt, as a user's request does; llama-bench
/// generates into an empty context unless told otherwise, so it is measured both ways.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Speeds {
    pub(crate) prefill: f64,
    /// Generation after the prompt.
    pub(crate) decode: f64,
    /// Generation into an empty context, where it was measured.
    pub(crate) decode_from_empty: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    Lockstep,
    Llama,
}

#[derive(Clone, Debug)]
pub(crate) struct Contestant {
    program: Program,
    path: PathBuf,
    file: PathBuf,
}

impl Contestant {
    pub(crate) fn lockstep(path: PathBuf, file: PathBuf) -> Self {
        Self { program: Program::Lockstep, path, file }
    }

    pub(crate) fn llama(path: PathBuf, file: PathBuf) -> Self {
        Self { program: Program::Llama, path, file }
    }

    /// How a table calls it: the program by its path, since there may be several builds.
    pub(crate) fn name(&self) -> String {
        let file = self.file.file_name().unwrap_or_default().to_string_lossy();
        match self.program {
            Program::Lockstep => format!("lockstep, {file}"),
            Program::Llama => format!("{}, {file}", build_name(&self.path)),
        }
    }

    pub(crate) fn measure(&self, workload: &Workload) -> Result<Speeds> {
        match self.program {
            Program::Lockstep => {
                let text = command::read(&mut lockstep_command(&self.path, &self.file, workload))?;
                parse_lockstep(&text).with_context(|| format!("{}: its --json", self.path.display()))
            }
            Program::Llama => {
                let usual = command::read(&mut llama_command(&self.path, &self.file, workload, false))?;
                let deep = command::read(&mut llama_command(&self.path, &self.file, workload, true))?;
                parse_llama(&usual, &deep).with_context(|| format!("{}: its -o json", self.path.display()))
            }
        }
    }
}

/// The end of a path: enough to tell builds apart, and nothing of the machine.
fn build_name(path: &Path) -> String {
    let parts: Vec<_> = path.iter().map(|part| part.to_string_lossy()).collect();
    parts[parts.len().saturating_sub(3)..].join("/")
}

fn lockstep_command(path: &Path, file: &Path, workload: &Workload) -> Command {
    let mut command = Command::new(path);
    command.arg("bench").arg("--model").arg(file).args(["--repeat", "1", "--json"]);
    command.arg("--threads").arg(workload.threads.to_string());
    command.arg("--prompt-tokens").arg(workload.prompt_tokens.to_string());
    command.arg("--generate").arg(workload.generate.to_string());
    command
}

/// `deep` generates after a context as long as the prompt.
fn llama_command(path: &Path, file: &Path, workload: &Workload, deep: bool) -> Command {
    let mut command = Command::new(path);
    command.arg("-m").arg(file).args(["-o", "json", "-r", "1"]);
    command.arg("-t").arg(workload.threads.to_string()).arg("-n").arg(workload.generate.to_string());
    let prompt = workload.prompt_tokens.to_string();
    if deep {
        command.args(["-p", "0", "-d", &prompt])
    } else {
        command.args(["-p", &prompt])
    };
    command
}

fn parse_lockstep(text: &str) -> Result<Speeds> {
    let value: Value = serde_json::from_str(text)?;
    let number = |key: &str| value[key].as_f64().with_context(|| format!("no number {key}"));
    Ok(Speeds {
        prefill: number("prefill_tokens_per_second")?,
        decode: number("decode_tokens_per_second")?,
        decode_from_empty: None,
    })
}

fn parse_llama(usual: &str, deep: &str) -> Result<Speeds> {
    let (usual, deep): (Value, Value) = (serde_json::from_str(usual)?, serde_json::from_str(deep)?);
    Ok(Speeds {
        prefill: llama_speed(&usual, "n_prompt")?,
        decode: llama_speed(&deep, "n_gen")?,
        decode_from_empty: Some(llama_speed(&usual, "n_gen")?),
    })
}

/// The speed of the test that does only `kind`.
fn llama_speed(tests: &Value, kind: &str) -> Result<f64> {
    let other = if kind == "n_gen" { "n_prompt" } else { "n_gen" };
    let mut tests = tests.as_array().context("not a list")?.iter();
    let test = tests.find(|test| test[kind].as_u64() > Some(0) && test[other].as_u64() == Some(0));
    test.and_then(|test| test["avg_ts"].as_f64()).with_context(|| format!("no test with only {kind}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn llama_tests_are_told_apart_by_what_they_do() {
        let usual = r#"[{"n_prompt":512,"n_gen":0,"avg_ts":230.5},{"n_prompt":0,"n_gen":128,"avg_ts":114.0}]"#;
        let deep = r#"[{"n_prompt":0,"n_gen":128,"n_depth":512,"avg_ts":99.0}]"#;
        let found = parse_llama(usual, deep).unwrap();
        assert_eq!(found, Speeds { prefill: 230.5, decode: 99.0, decode_from_empty: Some(114.0) });
        let error = parse_llama(deep, deep).unwrap_err();
        assert_eq!(error.to_string(), "no test with only n_prompt");
    }

    #[test]
    fn builds_are_named_by_the_end_of_their_path() {
        assert_eq!(build_name(Path::new("/a/b/build-avx2/bin/llama-bench")), "build-avx2/bin/llama-bench");
        assert_eq!(build_name(Path::new("llama-bench")), "llama-bench");
    }

    #[test]
    fn a_missing_key_is_named() {
        let error = parse_lockstep(r#"{"prefill_tokens_per_second": 5}"#).unwrap_err();
        assert_eq!(error.to_string(), "no number decode_tokens_per_second");
    }

    #[test]
    fn commands_carry_the_whole_workload() {
        let workload = Workload { threads: 2, prompt_tokens: 512, generate: 128 };
        let shown = |command: &Command| command::shown(command);
        let path = Path::new("x");
        let file = Path::new("m.gguf");
        assert_eq!(
            shown(&lockstep_command(path, file, &workload)),
            "x bench --model m.gguf --repeat 1 --json --threads 2 --prompt-tokens 512 --generate 128"
        );
        assert_eq!(shown(&llama_command(path, file, &workload, false)), "x -m m.gguf -o json -r 1 -t 2 -n 128 -p 512");
        assert_eq!(
            shown(&llama_command(path, file, &workload, true)),
            "x -m m.gguf -o json -r 1 -t 2 -n 128 -p 0 -d 512"
        );
    }
}
