//! Models on a simulated chip: the digest of the host, in the predicted cycles; and what `compile` says.
//!
//! The default model is kept in the user's own models folder; what is made of it goes to the folder of the other tests.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::default_model::{lockstep, model};

use common::{Folder, failure, fixture, success};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

const SYSTEM: &str = "lockstep1:1";
const TINY: &str = "smollm2/model.gguf";
/// 20 tokens of the default model.
const PROMPT: &str = "The sky is blue because the sunlight is scattered by the air, and the air scatters blue light";

fn json(command: &mut Command) -> Value {
    serde_json::from_str(&success(command.arg("--json"))).unwrap()
}

/// The cycles of all steps, each of which takes what is predicted.
fn cycles(answer: &Value) -> Vec<u64> {
    let step = |step: &Value| {
        let cycles = step["cycles"].as_u64().unwrap();
        assert!(cycles > 0 && step["cycles_predicted"] == cycles, "{step}");
        assert!(step["seconds"].as_f64().unwrap() > 0.0, "{step}");
        cycles
    };
    answer["steps"].as_array().unwrap().iter().map(step).collect()
}

/// The entry of each step, and how many tokens it took.
fn entries(answer: &Value) -> Vec<(&str, u64)> {
    let steps = answer["steps"].as_array().unwrap();
    steps.iter().map(|step| (step["entry"].as_str().unwrap(), step["tokens"].as_u64().unwrap())).collect()
}

#[test]
fn the_default_model_has_the_digest_of_the_host() {
    let digest = |on: &str| {
        let mut command = lockstep();
        command.args(["digest", "-m", model(), "--on", on, "--prompt", PROMPT, "--generate", "32"]);
        success(&mut command)
    };
    assert_eq!(digest(SYSTEM), digest("host"));
}

#[test]
fn several_chips_have_the_digest_of_the_host() {
    let digest = |on: &[&str]| {
        let mut command = lockstep();
        command.args(["digest", "-m", model(), "--prompt", "The sky", "--generate", "2", "--on"]);
        success(command.args(on))
    };
    let want = digest(&["host"]);
    for on in [["lockstep1:8", "--split", "tensor"], ["lockstep1:3", "--split", "pipeline"]] {
        assert_eq!(digest(&on), want, "{on:?}");
    }
}

/// Clocks that drift as far as a description says, flights between the shortest and the longest, and an error in one of a
/// hundred vectors, which the link's code corrects.
const HARSH: [&str; 7] = ["--drift-ppm", "100", "--link-jitter", "--link-error-rate", "0.01", "--seed", "5"];

#[test]
fn conditions_change_neither_bits_nor_cycles_of_the_default_model() {
    let call = |command: &str, more: &[&str]| {
        let mut call = lockstep();
        call.args([command, "-m", model()]).args(more);
        call
    };
    let digest =
        |more: &[&str]| success(&mut call("digest", &[&["--prompt", "The sky", "--generate", "2"], more].concat()));
    let run = |more: &[&str]| json(&mut call("run", &[&["--raw", "--max-tokens", "2", "The sky"], more].concat()));
    let want = digest(&[]);
    // Chips that share layers exchange thousands of vectors in a step, those of a pipeline a few.
    let systems = [("lockstep1:8", "tensor", 100), ("lockstep1:5", "pipeline", 0)];
    for (system, split, corrected) in systems {
        let on = ["--on", system, "--split", split];
        let harsh = [&on[..], &HARSH].concat();
        assert_eq!(digest(&harsh), want, "{on:?}");
        let (nominal, harsh) = (run(&[&on[..], &["--seed", "5"]].concat()), run(&harsh));
        assert_eq!(nominal["token_ids"], harsh["token_ids"], "{on:?}");
        assert_eq!(cycles(&nominal), cycles(&harsh), "{on:?}");
        let chip = &harsh["chip"];
        assert!(chip["corrected_vectors"].as_u64().unwrap() >= corrected && chip["replays"] == 0, "{chip}");
    }
}

#[test]
fn chunks_of_a_prompt_have_one_digest() {
    let digest = |on: &str, chunk: &str| {
        let mut command = lockstep();
        command.args(["digest", "-m", model(), "--on", on, "--prompt", PROMPT, "--generate", "2", "--answer"]);
        success(command.args(["--prefill-chunk", chunk]))
    };
    let want = digest("host", "512");
    for chunk in ["512", "7"] {
        assert_eq!(digest(SYSTEM, chunk), want, "chunks of {chunk}");
    }
}

#[test]
fn an_answer_of_the_default_model_takes_the_predicted_cycles() {
    let run = |on: &str| {
        let mut command = lockstep();
        command.args(["run", "-m", model(), "--on", on, "--raw", "--temperature", "0", "--max-tokens", "3", PROMPT]);
        json(&mut command)
    };
    let (chip, host) = (run(SYSTEM), run("host"));
    assert_eq!(chip["prompt_tokens"], 20, "{chip}");
    assert_eq!(chip["token_ids"], host["token_ids"]);
    let steps = cycles(&chip);
    // The prompt in one step; the last token of an answer is drawn, not computed with.
    assert_eq!(steps.len(), 1 + 3 - 1);
    assert_eq!(entries(&chip), [("prefill.320", 20), ("decode.320", 1), ("decode.320", 1)]);
    assert!(steps[0] > steps[1] && steps[0] < 20 * steps[1], "{steps:?}");
    assert_eq!(chip["chip"]["cycles"].as_u64(), Some(steps.iter().sum()));
    // What the host says of the chip is what the chip takes.
    assert_eq!(host["compiled"]["cycles"], chip["chip"]["cycles"], "{host}");
    assert_eq!(host["compiled"]["system"], SYSTEM);
    assert!(host["steps"].is_null() && chip["compiled"].is_null(), "{host} {chip}");
}

#[test]
fn conditions_of_a_system_change_no_bit() {
    let folder = Folder::new("chip-conditions");
    let tiny = |command: &str, on: &[&str]| {
        let mut tiny = folder.lockstep();
        tiny.args([command, "--context", "64", "-m"]).arg(fixture(TINY)).args(on);
        tiny
    };
    let digest = |on: &[&str]| success(tiny("digest", on).args(["--prompt", "the quick brown fox", "--generate", "4"]));
    let chips = ["--on", "lockstep1:2", "--split", "tensor"];
    let node = ["--on", "lockstep1:8", "--split", "tensor"];
    let harsh = ["--drift-ppm", "100", "--link-jitter", "--link-error-rate", "0.018", "--link-loss-rate", "0.002"];
    let harsh = [&harsh[..], &["--replays", "100", "--seed", "5"]].concat();
    let want = digest(&["--on", "host"]);
    assert_eq!(digest(&chips), want);
    assert_eq!(digest(&[&chips[..], &harsh].concat()), want);
    assert_eq!([digest(&node), digest(&[&node[..], &HARSH].concat())], [want.clone(), want.clone()]);
    // Without a chip, or without a cable.
    let three = |without: &'static str| ["--on", "lockstep1:3", "--split", "tensor", "--without", without];
    assert_eq!([digest(&three("1")), digest(&three("0.1"))], [want.clone(), want]);

    let run = |on: &[&str]| json(tiny("run", on).args(["--raw", "--max-tokens", "6", "the quick brown fox"]));
    // What is left has a time of its own, as exact as the whole's.
    let [whole, less] = [cycles(&run(&three("0.1")[..4])), cycles(&run(&three("0.1")))];
    assert!(whole.len() == less.len() && whole[0] < less[0], "{whole:?} {less:?}");
    let (nominal, harsh) = (run(&[&chips[..], &["--seed", "5"]].concat()), run(&[&chips[..], &harsh].concat()));
    assert_eq!(nominal["token_ids"], harsh["token_ids"]);
    assert_eq!(cycles(&nominal), cycles(&harsh));
    let sum =
        |key: &str| -> u64 { harsh["steps"].as_array().unwrap().iter().map(|step| step[key].as_u64().unwrap()).sum() };
    let chip = &harsh["chip"];
    assert!(sum("replays") > 0 && chip["replays"] == sum("replays"), "{chip}");
    assert!(sum("corrected_vectors") > 0 && chip["corrected_vectors"] == sum("corrected_vectors"), "{chip}");
    let again: u64 = cycles(&harsh).iter().sum::<u64>() + sum("replays") * cycles(&harsh)[0];
    assert_eq!(chip["cycles"], again, "runs made again take their time too");
    let failed = failure(tiny("run", &chips).args(["--raw", "--link-loss-rate", "0.1", "--replays", "1", "x"]), 1);
    assert!(failed.contains("LinkLost"), "{failed}");
}

/// The tiny model, made to take longer texts.
fn longer(folder: &Folder) -> PathBuf {
    let model = folder.join("model");
    std::fs::create_dir(&model).unwrap();
    for entry in std::fs::read_dir(fixture("smollm2")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|kind| kind != "gguf") {
            std::fs::copy(&path, model.join(path.file_name().unwrap())).unwrap();
        }
    }
    let config = std::fs::read_to_string(model.join("config.json")).unwrap();
    let longer = config.replace("\"max_position_embeddings\": 256", "\"max_position_embeddings\": 1024");
    assert_ne!(longer, config);
    std::fs::write(model.join("config.json"), longer).unwrap();
    model
}

#[test]
fn a_sequence_goes_on_in_the_next_context() {
    let folder = Folder::new("chip-contexts");
    let (model, prompt) = (longer(&folder), "the quick brown fox ".repeat(19));
    let tiny = |command: &str, on: &str| {
        let mut tiny = folder.lockstep();
        tiny.args([command, "--on", on, "--context", "500", "-m"]).arg(&model);
        tiny
    };
    let digest = |on: &str, batch: &str| {
        success(tiny("digest", on).args(["--generate", "8", "--batch", batch, "--prompt", &prompt]))
    };
    let want = digest("host", "1");
    assert_eq!(digest(SYSTEM, "1"), want);
    assert_eq!(digest(SYSTEM, "4"), want, "one sequence after the other, over what was left of the one before");
    let run = |on: &str| json(tiny("run", on).args(["--raw", "--temperature", "0", "--max-tokens", "8", &prompt]));
    let (answer, host) = (run(SYSTEM), run("host"));
    assert_eq!(answer["token_ids"], host["token_ids"]);
    assert_eq!(host["compiled"]["cycles"], answer["chip"]["cycles"], "{host}");
    cycles(&answer);
    // Steps of many tokens end with the first context.
    let mut many = entries(&answer);
    let single = many.split_off(3);
    assert_eq!(many, [("prefill.320", 128), ("prefill.320", 128), ("prefill.320", 64)]);
    let prompt_tokens = answer["prompt_tokens"].as_u64().unwrap() as usize;
    assert_eq!(single, vec![("decode.640", 1); prompt_tokens - 320 + 8 - 1]);
}

/// A description of the first machine with another value.
fn machine(folder: &Folder, key: &str, from: u32, to: u32) -> String {
    let text = success(folder.lockstep().args(["machine", "show", "lockstep1", "--toml"]));
    let changed = text.replace(&format!("{key} = {{ value = {from},"), &format!("{key} = {{ value = {to},"));
    assert_ne!(changed, text);
    let path = folder.join(&format!("{key}.toml"));
    std::fs::write(&path, changed).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn prompts_go_one_by_one_where_a_machine_has_no_code_or_room_for_more() {
    let folder = Folder::new("chip-single");
    // Heads that fill the vectors; memory with room for the text of single steps at least.
    let machines =
        [machine(&folder, "superlanes", 20, 2), machine(&folder, "words_per_slice", 8192, 1024), SYSTEM.to_owned()];
    let run = |on: &str| {
        let mut command = folder.lockstep();
        command.args(["run", "--on", on, "--context", "64", "--raw", "--temperature", "0", "--max-tokens", "4", "-m"]);
        json(command.arg(fixture(TINY)).arg("the quick brown fox ".repeat(2)))
    };
    let host = run("host");
    let [lanes, words, all] = machines.map(|on| run(&on));
    for answer in [&lanes, &words, &all] {
        assert_eq!(answer["token_ids"], host["token_ids"]);
        cycles(answer);
    }
    let tokens = host["prompt_tokens"].as_u64().unwrap();
    assert!(tokens >= 20, "{host}");
    assert!(entries(&lanes).iter().all(|(entry, tokens)| entry.starts_with("decode.") && *tokens == 1), "{lanes}");
    assert_eq!(entries(&all)[0], ("prefill.320", tokens));
}

#[test]
fn a_program_is_compiled_once() {
    let folder = Folder::new("chip-cache");
    let run = |on: &str| {
        let mut command = folder.lockstep();
        command.args(["run", "--on", on, "--max-tokens", "2", "--raw", "-m"]).arg(fixture(TINY)).arg("one");
        let output = command.output().unwrap();
        assert!(output.status.success());
        common::errors_of(&output)
    };
    let programs = || -> Vec<_> {
        let list = success(folder.lockstep().args(["cache", "list"]));
        list.lines().filter(|line| line.contains(".program-")).map(str::to_owned).collect()
    };
    let shown = run("host");
    let last = shown.lines().last().unwrap();
    assert!(last.starts_with("the same answer on lockstep1:1, compiled: exactly "), "{shown}");
    let kept = programs();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let path = folder.join("cache").join(kept[0].split(' ').next().unwrap());
    let made = std::fs::metadata(&path).unwrap().modified().unwrap();
    let shown = run(SYSTEM);
    assert!(shown.contains("(as predicted)") && shown.contains("with the host link"), "{shown}");
    assert_eq!(std::fs::metadata(&path).unwrap().modified().unwrap(), made, "not made again");
    assert_eq!(programs(), kept);
    // A damaged file is made anew.
    std::fs::write(&path, b"damaged").unwrap();
    run(SYSTEM);
    assert_eq!(programs(), kept);
    success(folder.lockstep().args(["cache", "clear"]));
    assert!(programs().is_empty());
}

#[test]
fn compile_writes_a_sound_program_and_its_times() {
    let folder = Folder::new("compile");
    let (model, path) = (longer(&folder), folder.join("tiny.lks"));
    let compile = |path: &std::path::Path| {
        let mut command = folder.lockstep();
        command.args(["compile", "--system", SYSTEM, "--context", "321", "-m"]).arg(&model).arg("-o").arg(path);
        json(&mut command)
    };
    let value = compile(&path);
    let phases = value["phases"].as_array().unwrap();
    let named = |name: &str, context: u64| {
        let found = phases.iter().find(|phase| phase["name"] == name && phase["context"] == context);
        found.unwrap_or_else(|| panic!("{name} {context}: {value}"))
    };
    let cycles = |phase: &Value| phase["cycles"].as_u64().unwrap();
    for (kind, context, tokens) in [("decode", 320, 1), ("decode", 640, 1), ("prefill", 320, 128)] {
        let whole = named(kind, context);
        let parts = ["embed", "layer", "head"].map(|part| named(&format!("{kind}.{part}"), context));
        assert_eq!(cycles(whole), parts.into_iter().map(cycles).sum::<u64>());
        assert_eq!(whole["tokens"], tokens);
        for phase in parts.into_iter().chain([whole]) {
            assert!(phase["bound_cycles"].as_u64().unwrap() <= cycles(phase), "{phase}");
            assert!(phase["bound"].is_string() && phase["seconds"].as_f64().unwrap() > 0.0, "{phase}");
        }
    }
    assert!(cycles(named("decode", 640)) > cycles(named("decode", 320)), "more positions take longer");
    assert!(value["bytes_used"].as_u64().unwrap() > 100_000, "{value}");
    assert!(value["compile_seconds"].as_f64().unwrap() > 0.0, "{value}");
    let sound = success(folder.lockstep().arg("verify").arg(&path));
    assert!(sound.contains(&format!("decode.640 {} cycles", named("decode", 640)["cycles"])), "{sound}");
    let again = folder.join("again.lks");
    compile(&again);
    assert!(std::fs::read(path).unwrap() == std::fs::read(again).unwrap(), "compiled twice, equal bytes");
}

#[test]
fn what_cannot_be_is_one_line() {
    let folder = Folder::new("chip-errors");
    let fail = |arguments: &[&str]| {
        let mut command = folder.lockstep();
        let message = failure(command.args(arguments).arg("-m").arg(fixture(TINY)), 1);
        assert!(!folder.join("x.lks").exists());
        message
    };
    let output = folder.join("x.lks");
    let output = output.to_str().unwrap();
    assert!(fail(&["run", "--on", "lockstep9:1", "x"]).contains("lockstep machine list"));
    assert!(fail(&["run", "--on", "lockstep1:20000", "x"]).contains("its links join 1 to 10440"));
    assert!(fail(&["run", "--on", "lockstep1:8", "--without", "9", "x"]).contains("has no chip 9"));
    assert!(fail(&["digest", "--on", "tsp2020", "--prompt", "x"]).contains("has no lane reducers"));
    assert!(fail(&["compile", "--system", "lockstep1:0", "-o", output]).contains("0 chips"));
    let apart = ["compile", "--system", "lockstep1:2", "--without", "0.0", "-o", output];
    assert!(fail(&apart).contains("no cables lead from chip 0 to chip 1"));
    assert!(fail(&["compile", "--context", "1000000", "-o", output]).contains("--context 1000000 is above"));
    let long = "word ".repeat(40);
    let short = ["run", "--on", SYSTEM, "--context", "16", "--raw", &long];
    assert!(fail(&short).contains("context of 16 holds at most 15"));
    let mut command = lockstep();
    command.args(["run", "--on", SYSTEM, "--context", "8192", "-m", model(), "x"]);
    let message = failure(&mut command, 1);
    assert!(message.contains("words are free") && message.contains("use a shorter --context"), "{message}");
}
