//! Models from a config.json alone: compiled and timed, not run.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Folder, failure, fixture, success};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&success(command.arg("--json"))).unwrap()
}

/// A model's facts among the data of tests.
fn facts(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/models").join(name)
}

/// A configuration of the size of a test.
fn tiny() -> PathBuf {
    fixture("smollm2").join("config.json")
}

#[test]
fn a_configuration_is_compiled_and_timed() {
    let folder = Folder::new("shapes");
    let path = folder.join("tiny.lks");
    for (system, chips) in [("lockstep1:1", 1), ("lockstep1:2", 2)] {
        let mut command = folder.lockstep();
        command.args(["compile", "--system", system, "--split", "pipeline", "--context", "200", "--config"]);
        let value = json(command.arg(tiny()).arg("-o").arg(&path));
        assert_eq!((&value["weight_format"], &value["bits_per_weight"]), (&"lb4".into(), &4.5.into()), "{value}");
        assert_eq!(value["chips"], chips, "{value}");
        assert!(value["bound"].is_string() && value["bound_cycles"].as_u64().unwrap() > 0, "{value}");
        let mut phases = value["phases"].as_array().unwrap().iter();
        let decode = phases.find(|phase| phase["name"] == "decode").unwrap();
        assert_eq!(decode["context"], 320, "{value}");
        let cycles = decode["cycles"].as_u64().unwrap();
        assert_eq!(value["tokens_per_second_one_user"].as_f64().unwrap(), 9e8 / cycles as f64);
        assert!(value["tokens_per_second_pipelined"].as_f64() >= value["tokens_per_second_one_user"].as_f64());
        success(folder.lockstep().arg("verify").arg(&path));
        let timed = json(folder.lockstep().args(["simulate", "--timing-only", "--entry", "decode.320"]).arg(&path));
        assert_eq!(timed["cycles"].as_u64(), Some(cycles), "{timed}");
        let mut command = folder.lockstep();
        command.args(["simulate", "--entry", "decode.320"]).arg(&path);
        let error = failure(&mut command, 1);
        assert!(error.contains("--timing-only") && error.contains("shapes alone"), "{error}");
    }
}

/// Eight bits take more memory than four, and nothing is written where no file is named.
#[test]
fn weights_have_the_format_that_is_asked_for() {
    let (folder, source) = (Folder::new("shapes-format"), Folder::new("shapes-format-source"));
    // A row of two vectors of 8 bits is one of 4, and there are enough of them to outweigh the text.
    let mut config: Value = serde_json::from_str(&std::fs::read_to_string(tiny()).unwrap()).unwrap();
    for (key, value) in [("hidden_size", 640), ("intermediate_size", 1280), ("num_hidden_layers", 8)] {
        config[key] = value.into();
    }
    (config["num_attention_heads"], config["num_key_value_heads"]) = (10.into(), 2.into());
    let path = source.join("config.json");
    std::fs::write(&path, config.to_string()).unwrap();
    let used = |format: &str| {
        let mut command = folder.lockstep();
        command.args(["compile", "--weights", format, "--config"]).arg(&path);
        let value = json(&mut command);
        assert_eq!(value["weight_format"], format);
        value["bytes_used"].as_u64().unwrap()
    };
    assert!(used("lb4") < used("lb8"));
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
}

#[test]
fn what_does_not_fit_is_told_in_bytes() {
    let folder = Folder::new("shapes-room");
    for (system, cause, account) in [
        ("lockstep1:8", "weights fit no fewer than 5 groups of 8 chips, there are 1", "weights take 4620.7 MiB"),
        ("lockstep1:24", "weights fit no fewer than 5 groups of 8 chips, there are 3", "of 5280.0 MiB on 24 chips"),
    ] {
        let mut command = folder.lockstep();
        command.args(["compile", "--split", "tensor", "--system", system, "--config"]).arg(facts("llama-3-8b.json"));
        let error = failure(&mut command, 1);
        for part in [cause, account, "use more chips"] {
            assert!(error.contains(part), "no {part:?} in: {error}");
        }
    }
}

/// A group has chips of one node. Those that are in none are told by their numbers in the whole system.
#[test]
fn chips_that_are_in_no_group_are_named() {
    let folder = Folder::new("shapes-unused");
    for (system, chips, unused, named) in [
        (&["lockstep1:16", "--without", "3"][..], 14, &[15][..], "not used: chip 15\n"),
        (&["lockstep1:12"], 8, &[8, 9, 10, 11], "not used: chips 8 to 11\n"),
    ] {
        let compile = || {
            let mut command = folder.lockstep();
            command.args(["compile", "--split", "tensor", "--config"]).arg(tiny()).arg("--system").args(system);
            command
        };
        let value = json(&mut compile());
        assert_eq!((&value["chips"], &value["chips_unused"]), (&chips.into(), &unused.into()), "{value}");
        let text = success(&mut compile());
        assert!(text.contains(named), "{text}");
    }
}

#[test]
fn a_configuration_that_is_none_is_named() {
    let folder = Folder::new("shapes-errors");
    let compile = |path: &Path| {
        let mut command = folder.lockstep();
        command.args(["compile", "--config"]).arg(path);
        command
    };
    let error = failure(&mut compile(&folder.join("config.json")), 1);
    assert!(error.contains("config.json: not there"), "{error}");
    let path = folder.join("other.json");
    std::fs::write(&path, r#"{"architectures": ["OtherForCausalLM"]}"#).unwrap();
    let error = failure(&mut compile(&path), 1);
    assert!(error.contains("other.json: architecture `OtherForCausalLM` is not known"), "{error}");
    let error = failure(compile(&tiny()).args(["--context", "257"]), 1);
    assert!(error.contains("--context 257 is above the 256 tokens of the model"), "{error}");
    let error = failure(compile(&tiny()).args(["-m", "smollm2"]), 2);
    assert!(error.contains("cannot be used with"), "{error}");
}
