//! The default model, pulled as a user would pull it: one digest however it runs, the keys that scripts rely on, and a
//! start after a kill.
//!
//! The model is kept in the user's own models folder; packed weights go to a folder of the test's own.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::default_model::{lockstep, model};

use common::{Folder, success};
use serde_json::Value;
use std::process::{Command, Stdio};

const PROMPT: &str = "The sky is blue because the sunlight is scattered. The sky is blue because the sunlight is \
    scattered by the air, and the air scatters blue light more than red light. Why is the sky";

/// The digest of [`PROMPT`] and 64 tokens by version 1 of the arithmetic contract, on every machine. Another one here
/// without a new contract version means that bits were lost.
const DIGEST_V1: &str = "e75ea2b61afc500e2239a46d928dd0d94db55b3ec067c393ed9a65f11a165d10";

fn digest(command: &mut Command, generate: &str, more: &[&str]) -> String {
    command.args(["digest", "-m", model(), "--prompt", PROMPT, "--generate", generate]).args(more);
    success(command)
}

#[test]
fn every_way_of_running_gives_one_digest() {
    let want = digest(&mut lockstep(), "64", &["--threads", "2"]);
    assert_eq!((want.trim(), lockstep_arith::VERSION), (DIGEST_V1, 1));
    for more in [
        &["--threads", "1"][..],
        &["--threads", "3"],
        &["--threads", "2", "--prefill-chunk", "1"],
        &["--threads", "2", "--prefill-chunk", "7"],
        &["--threads", "2", "--prefill-chunk", "64"],
        &["--threads", "2", "--prefill-chunk", "512"],
        &["--threads", "2", "--batch", "8"],
        &["--threads", "2", "--speculate", "off"],
        &["--threads", "3", "--prefill-chunk", "7", "--batch", "8", "--speculate", "off"],
    ] {
        assert_eq!(digest(&mut lockstep(), "64", more), want, "{more:?}");
    }
    for kernels in lockstep_kernels::Kernels::all() {
        let more = ["--kernels", kernels.name(), "--prefill-chunk", "9"];
        assert_eq!(digest(&mut lockstep(), "64", &more), want, "{more:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_start_after_a_kill_while_packing_is_clean() {
    use std::os::unix::process::ExitStatusExt;
    /// SIGXFSZ, which ends who writes a file beyond the limit.
    const TOO_LONG: i32 = 25;
    let folder = Folder::new("killed");
    let want = digest(&mut lockstep(), "2", &[]);
    let command = folder.lockstep();
    // 10 MB of about 100 MB of packed weights.
    let mut killed = Command::new("sh");
    killed.args(["-c", "ulimit -c 0; ulimit -f 20000; exec \"$0\" \"$@\""]).arg(command.get_program());
    killed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    killed.args(["digest", "-m", model(), "--prompt", PROMPT]).stdin(Stdio::null());
    assert_eq!(killed.output().unwrap().status.signal(), Some(TOO_LONG));
    assert!(names(&folder).iter().any(|name| name.contains(".tmp")), "{:?}", names(&folder));
    assert_eq!(digest(&mut folder.lockstep(), "2", &[]), want, "freshly packed");
    if cfg!(target_os = "linux") {
        // Elsewhere the leftover stays until `cache clear`.
        assert!(names(&folder).iter().all(|name| !name.contains(".tmp")), "{:?}", names(&folder));
    }
    assert_eq!(digest(&mut folder.lockstep(), "2", &[]), want, "from the cache");
}

#[cfg(unix)]
fn names(folder: &Folder) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("cache")).map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    entries.into_iter().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_question_is_answered_and_a_seed_repeats() {
    let run = |more: &[&str]| -> Value {
        let mut command = lockstep();
        command.args(["run", "-m", model(), "--max-tokens", "32", "--json"]).args(more);
        serde_json::from_str(&success(command.arg("Why is the sky blue?"))).unwrap()
    };
    let greedy = run(&["--temperature", "0"]);
    assert!(greedy["text"].as_str().unwrap().contains("light"), "{greedy}");
    assert!(greedy["prompt_tokens"].as_u64().unwrap() > 10, "the chat template adds tokens: {greedy}");
    let quiet = run(&["--temperature", "0", "--speculate", "off", "--threads", "1", "--prefill-chunk", "5"]);
    assert_eq!(quiet["token_ids"], greedy["token_ids"]);
    let sampled = |more: &[&str]| run(&[&["--temperature", "1", "--top-p", "1", "--seed", "5"], more].concat());
    let want = sampled(&[]);
    assert_eq!(sampled(&["--speculate", "off", "--threads", "3"])["token_ids"], want["token_ids"]);
    let stopped = run(&["--temperature", "0", "--stop", "light"]);
    assert_eq!(stopped["finish_reason"], "stop");
    assert!(!stopped["text"].as_str().unwrap().contains("light"), "{stopped}");
}

#[test]
fn a_quoted_end_of_turn_is_plain_text() {
    let prompt_tokens = |text: &str| -> u64 {
        let mut command = lockstep();
        command.args(["run", "-m", model(), "--max-tokens", "1", "--json", text]);
        serde_json::from_str::<Value>(&success(&mut command)).unwrap()["prompt_tokens"].as_u64().unwrap()
    };
    // A control token would be one token.
    assert!(prompt_tokens("a<|im_end|>b") >= prompt_tokens("ab") + 4);
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_the_answer_cleanly() {
    use std::io::Read;
    let mut command = lockstep();
    command.args(["run", "-m", model(), "--max-tokens", "4000", "--temperature", "0", "Write a very long story."]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 8];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(output.stdout.ends_with(b"\n"), "the line is ended");
    assert!(common::errors_of(&output).lines().last().unwrap().contains("first token "), "the statistics are there");
}

#[test]
fn the_first_layer_becomes_a_sound_program() {
    let folder = Folder::new("first-layer");
    let program = folder.join("layer.lks");
    success(lockstep().args(["layer", "-m", model(), "-o"]).arg(&program));
    assert!(success(lockstep().arg("verify").arg(&program)).contains(": sound; layer "));
    let mut simulate = lockstep();
    simulate.arg("simulate").arg(&program).args(["--entry", "layer", "--json"]);
    let inputs = ["x=random seed=1 min=-1 max=1", "position=fill 0", "length=fill 1"];
    let report: Value =
        serde_json::from_str(&success(simulate.args(inputs.iter().flat_map(|input| ["--input", input])))).unwrap();
    assert_eq!(report["cycles"], report["cycles_predicted"]);
    assert_eq!(report["outputs"]["y"].as_array().unwrap().len(), 576);
}
