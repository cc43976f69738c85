//! Bad input and small models: one-line errors that name the thing, exit codes, JSON keys.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Folder, failure, fixture, success};
use serde_json::Value;
use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;

const TINY: &str = "smollm2/model.gguf";

/// A tiny model with some bytes changed, in a folder of the test's own.
fn damaged(folder: &Folder, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let mut bytes = std::fs::read(fixture(TINY)).unwrap();
    change(&mut bytes);
    let path = folder.join("damaged.gguf");
    std::fs::write(&path, bytes).unwrap();
    path
}

fn digest(folder: &Folder, model: &str, more: &[&str]) -> String {
    let mut command = folder.lockstep();
    command.args(["digest", "--prompt", "Hello there, hello there", "--generate", "12", "-m"]);
    success(command.arg(fixture(model)).args(more))
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let folder = Folder::new("usage");
    for line in [
        &["run", "--seed", "minus one", "x"][..],
        &["run", "--seed", "-1", "x"],
        &["run", "--temperature", "2.5", "x"],
        &["run", "--top-p", "0", "x"],
        &["run", "--max-tokens", "0", "x"],
        &["run", "--threads", "0", "x"],
        &["run", "--raw", "--system", "a", "x"],
        &["run", "--no-such-flag", "x"],
        &["digest", "--prompt", "x", "--kernels", "neon"],
        &["digest", "--prompt", "x", "--speculate", "maybe"],
        &["digest"],
        &["eval", "perplexity"],
        &["completions", "tcsh"],
        &["no-such-command"],
    ] {
        let message = failure(folder.lockstep().args(line), 2);
        assert!(message.contains("--help`"), "{message}");
    }
}

#[test]
fn a_parameter_that_only_the_engine_knows_is_exit_code_2_too() {
    let folder = Folder::new("parameter");
    let mut command = folder.lockstep();
    command.args(["run", "--raw", "x", "-m"]).arg(fixture(TINY)).args(["--stop=a"; 5]);
    assert!(failure(&mut command, 2).contains("stop is 5"));
}

#[test]
fn help_and_completions_are_complete() {
    let folder = Folder::new("help");
    let help = success(folder.lockstep().arg("--help"));
    for word in ["run", "pull", "bench", "eval", "info", "digest", "cache", "completions", "Examples:", "LOCKSTEP_HOME"]
    {
        assert!(help.contains(word), "{word} is in the help");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(success(folder.lockstep().args(["completions", shell])).contains("prefill-chunk"), "{shell}");
    }
}

#[test]
fn a_model_that_is_not_there_is_named() {
    let folder = Folder::new("absent");
    let run = |model: &str| failure(folder.lockstep().args(["run", "-m", model, "x"]), 1);
    assert!(run("nothing").contains("no model named nothing"));
    assert!(run("./nothing.gguf").contains("./nothing.gguf: no such file"));
    let empty = folder.join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(run(empty.to_str().unwrap()).contains("no model in it"));
    let text = folder.join("notes.gguf");
    std::fs::write(&text, "these are notes").unwrap();
    assert!(run(text.to_str().unwrap()).contains("not a GGUF file"));
    std::fs::write(&text, "").unwrap();
    assert!(run(text.to_str().unwrap()).contains("notes.gguf"));
}

#[test]
fn truncated_files_are_refused() {
    let folder = Folder::new("truncated");
    let whole = std::fs::read(fixture(TINY)).unwrap().len();
    for length in [3, 11, 40, 700, whole / 2, whole - 1] {
        let path = damaged(&folder, |bytes| bytes.truncate(length));
        for command in ["info", "run"] {
            let mut line = folder.lockstep();
            let message = failure(line.args([command, "-m"]).arg(&path).args((command == "run").then_some("x")), 1);
            assert!(message.contains("damaged.gguf"), "{length}: {message}");
        }
    }
    assert!(!folder.join("cache").exists() || packed_files(&folder) == 0, "nothing was written for a bad file");
}

fn packed_files(folder: &Folder) -> usize {
    let entries = std::fs::read_dir(folder.join("cache")).unwrap();
    entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|kind| kind == "packed")).count()
}

#[test]
fn flipped_bits_never_panic() {
    let folder = Folder::new("flipped");
    let mut refused = 0;
    // The header holds counts, types, lengths and offsets; the data after it only numbers.
    for index in 0..64 {
        let path = damaged(&folder, |bytes| bytes[4 + index * 61] ^= 1 << (index % 8));
        let output = folder.lockstep().args(["run", "--max-tokens", "1", "-m"]).arg(&path).arg("x").output().unwrap();
        let errors = common::errors_of(&output);
        assert!(!errors.contains("panicked"), "{index}: {errors}");
        match output.status.code() {
            Some(0) => {}
            Some(1) => {
                refused += 1;
                let line = errors.lines().last().unwrap_or_default();
                assert!(line.starts_with("error: ") && line.contains("damaged.gguf"), "{index}: {errors}");
            }
            other => panic!("{index}: {other:?} {errors}"),
        }
    }
    assert!(refused > 10, "some flips must matter: {refused}");
}

#[test]
fn an_unknown_architecture_is_described_but_not_run() {
    let folder = Folder::new("unknown");
    let path = damaged(&folder, |bytes| {
        let at = bytes.windows(5).position(|window| window == b"llama").unwrap();
        bytes[at..at + 5].copy_from_slice(b"lorem");
    });
    let message = failure(folder.lockstep().args(["run", "-m"]).arg(&path).arg("x"), 1);
    assert!(message.contains("architecture `lorem` is not known"), "{message}");
    let info = success(folder.lockstep().arg("info").arg(&path));
    assert!(info.contains("cannot be run: architecture `lorem`") && info.contains("blk.0.attn_q.weight"), "{info}");
}

#[test]
fn a_weight_that_is_not_a_number_is_refused() {
    let folder = Folder::new("nan");
    let path = damaged(&folder, |bytes| {
        let end = bytes.len();
        bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    let message = failure(folder.lockstep().args(["run", "-m"]).arg(&path).arg("x"), 1);
    assert!(message.contains("tensor ") && message.contains("finite"), "{message}");
    assert_eq!(packed_files(&folder), 0, "nothing half-written");
}

#[test]
fn a_prompt_beyond_the_context_names_the_numbers() {
    let folder = Folder::new("context");
    let long = "word ".repeat(40);
    let mut command = folder.lockstep();
    let message = failure(command.args(["run", "--context", "16", "--raw", "-m"]).arg(fixture(TINY)).arg(&long), 1);
    assert!(message.contains("context of 16 holds at most 15"), "{message}");
    let mut command = folder.lockstep();
    let message = failure(command.args(["run", "--context", "1000000", "-m"]).arg(fixture(TINY)).arg("x"), 1);
    assert!(message.contains("--context 1000000 is above"), "{message}");
}

#[test]
fn an_unwritable_cache_folder_is_named() {
    let folder = Folder::new("unwritable");
    std::fs::write(folder.join("cache"), "a file where a folder should be").unwrap();
    let message = failure(folder.lockstep().args(["run", "-m"]).arg(fixture(TINY)).arg("x"), 1);
    assert!(message.contains("cache") && message.contains("LOCKSTEP_CACHE"), "{message}");
}

#[test]
fn a_full_disk_is_an_error_and_leaves_nothing() {
    // The tiny model packs to more than this limit of the shell, in blocks of 512 bytes or of 1 kB.
    let folder = Folder::new("full");
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" run --max-tokens 1 -m \"$1\" x";
    let mut command = std::process::Command::new("sh");
    let envs = [("LOCKSTEP_HOME", folder.join("home")), ("LOCKSTEP_CACHE", folder.join("cache"))];
    command.args(["-c", script, env!("CARGO_BIN_EXE_lockstep")]).arg(fixture(TINY)).envs(envs);
    let message = failure(&mut command, 1);
    assert!(message.contains("LOCKSTEP_CACHE"), "{message}");
    let left = common_names(&folder, "cache");
    assert!(left.iter().all(|name| name.contains(".hash")), "{left:?}");
}

fn common_names(folder: &Folder, inside: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join(inside)).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let folder = Folder::new("tokenizer");
    let model = folder.join("model");
    std::fs::create_dir(&model).unwrap();
    for entry in std::fs::read_dir(fixture("smollm2")).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, model.join(path.file_name().unwrap())).unwrap();
    }
    std::fs::remove_file(model.join("model.gguf")).unwrap();
    for name in ["model-q4_0.gguf", "model-q8_0.gguf"] {
        std::fs::remove_file(model.join(name)).unwrap();
    }
    success(folder.lockstep().args(["run", "--max-tokens", "2", "-m"]).arg(&model).arg("x"));
    let json = std::fs::read_to_string(model.join("tokenizer.json")).unwrap();
    let mut json: Value = serde_json::from_str(&json).unwrap();
    let vocabulary = json["model"]["vocab"].as_object_mut().unwrap();
    for extra in 0..400 {
        vocabulary.insert(format!("extra{extra}"), Value::from(1000 + extra));
    }
    std::fs::write(model.join("tokenizer.json"), json.to_string()).unwrap();
    failure(folder.lockstep().args(["run", "-m"]).arg(&model).arg("x"), 1);
    std::fs::remove_file(model.join("tokenizer.json")).unwrap();
    let message = failure(folder.lockstep().args(["run", "-m"]).arg(&model).arg("x"), 1);
    assert!(message.contains("tokenizer.json: cannot be read: get it beside the weights"), "{message}");
}

#[test]
fn json_has_its_keys_and_a_seed_repeats() {
    let folder = Folder::new("json");
    let run = |more: &[&str]| -> Value {
        let mut command = folder.lockstep();
        command.args(["run", "--max-tokens", "12", "--json", "--raw", "-m"]).arg(fixture(TINY));
        serde_json::from_str(&success(command.args(more).arg("one two three"))).unwrap()
    };
    let greedy = run(&["--temperature", "0"]);
    for key in
        ["text", "token_ids", "prompt_tokens", "completion_tokens", "finish_reason", "seed", "system_fingerprint"]
    {
        assert!(!greedy[key].is_null(), "{key}: {greedy}");
    }
    assert_eq!(greedy["token_ids"].as_array().unwrap().len() as u64, greedy["completion_tokens"].as_u64().unwrap());
    let sampled = |seed: &str| run(&["--temperature", "1.5", "--top-p", "1", "--seed", seed])["token_ids"].clone();
    assert_eq!(sampled("7"), sampled("7"));
    assert_ne!(sampled("7"), sampled("8"));
}

#[test]
fn a_piped_prompt_is_read() {
    let folder = Folder::new("piped");
    let run = |arguments: &[&str], input: Option<&str>| {
        let mut command = folder.lockstep();
        command.args(["run", "--max-tokens", "6", "--temperature", "0", "-m"]).arg(fixture(TINY)).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.unwrap_or_default().as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let errors = common::errors_of(&output);
        assert!(errors.lines().any(|line| line.contains("first token ")), "statistics: {errors}");
        output.stdout
    };
    let given = run(&["one two"], None);
    assert_eq!(run(&[], Some("one two\n")), given);
    assert_eq!(run(&["-"], Some("one two")), given);
}

#[test]
fn every_way_of_running_gives_one_digest() {
    let folder = Folder::new("tiny-bits");
    let want = digest(&folder, TINY, &[]);
    assert_eq!(want.trim().len(), 64, "{want}");
    assert_eq!(want.lines().count(), 1);
    for more in [
        &["--threads", "1"][..],
        &["--threads", "3", "--prefill-chunk", "1"],
        &["--threads", "2", "--prefill-chunk", "7", "--batch", "8"],
        &["--kernels", "scalar", "--speculate", "off"],
        &["--batch", "3", "--speculate", "off", "--prefill-chunk", "5"],
    ] {
        assert_eq!(digest(&folder, TINY, more), want, "{more:?}");
    }
    success(folder.lockstep().args(["cache", "clear"]));
    assert_eq!(common_names(&folder, "cache"), [""; 0]);
    assert_eq!(digest(&folder, TINY, &[]), want, "freshly packed");
    assert!(success(folder.lockstep().args(["cache", "list"])).contains(".packed  "));
    // Another model, another digest.
    assert_ne!(digest(&folder, "smollm2/model-q8_0.gguf", &[]), want);
}

#[test]
fn bench_and_perplexity_have_their_keys() {
    let folder = Folder::new("bench");
    let mut command = folder.lockstep();
    command.args(["bench", "--prompt-tokens", "20", "--generate", "8", "--repeat", "2", "--threads", "2", "--json"]);
    let bench: Value = serde_json::from_str(&success(command.arg("-m").arg(fixture(TINY)))).unwrap();
    for key in [
        "prefill_tokens_per_second",
        "decode_tokens_per_second",
        "first_token_seconds",
        "inter_token_p50_seconds",
        "inter_token_p99_seconds",
    ] {
        assert!(bench[key].as_f64().is_some_and(|value| value > 0.0), "{key}: {bench}");
    }
    if cfg!(target_os = "linux") {
        assert!(bench["resident_bytes"].as_u64().unwrap() > 1_000_000);
    }
    let mut command = folder.lockstep();
    command.args(["bench", "--parallel", "4", "--prompt-tokens", "8", "--generate", "20", "--threads", "2", "--json"]);
    let bench: Value = serde_json::from_str(&success(command.arg("-m").arg(fixture(TINY)))).unwrap();
    assert_eq!(bench["parallel"], 4);
    for key in ["decode_tokens_per_second", "inter_token_p50_seconds", "inter_token_p99_seconds"] {
        assert!(bench[key].as_f64().is_some_and(|value| value > 0.0), "{key}: {bench}");
    }
    let text = folder.join("text.txt");
    std::fs::write(&text, "the quick brown fox jumps over the lazy dog ".repeat(20)).unwrap();
    let eval = |window: &str| {
        let mut command = folder.lockstep();
        command.args(["eval", "perplexity", "--json", "--window", window]).arg(&text).arg("-m").arg(fixture(TINY));
        command
    };
    let value: Value = serde_json::from_str(&success(&mut eval("32"))).unwrap();
    assert!(value["perplexity"].as_f64().unwrap() > 1.0, "{value}");
    assert_eq!(value["scored"].as_u64().unwrap(), value["windows"].as_u64().unwrap() * 16);
    let chunked: Value = serde_json::from_str(&success(eval("32").args(["--prefill-chunk", "3"]))).unwrap();
    assert_eq!(value, chunked, "the same bits in other steps");
    std::fs::write(&text, "short").unwrap();
    assert!(failure(&mut eval("32"), 1).contains("one window needs 32"));
}

#[test]
fn info_describes_and_prints_the_graph() {
    let folder = Folder::new("info");
    let quantised = fixture("smollm2/model-q4_0.gguf");
    let text = success(folder.lockstep().arg("info").arg(&quantised));
    assert!(text.contains("GGUF version 3") && text.contains("family llama") && text.contains("LB4"), "{text}");
    let json: Value =
        serde_json::from_str(&success(folder.lockstep().arg("info").arg(&quantised).arg("--json"))).unwrap();
    assert_eq!(json["model"]["family"], "llama");
    let tensors = json["tensors"].as_array().unwrap();
    assert!(tensors.iter().any(|tensor| tensor["import"]["rms_steps"].as_f64().is_some()));
    let graph = success(folder.lockstep().arg("info").arg(&quantised).arg("--graph"));
    lockstep_graph::parse_graph(&graph).unwrap();
    success(folder.lockstep().arg("info").arg(fixture("qwen3")));
}
