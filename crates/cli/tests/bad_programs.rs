//! Whole-path tests of what is wrong with programs, texts and descriptions: each is a clear error that names the thing,
//! with an exit code that is not 0, and leaves nothing half-written.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Folder, errors_of, failure, fixture, success};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;

fn filetest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filetests").join(format!("{name}.lka"))
}

/// A filetest's program, with some bytes changed.
fn damaged(folder: &Folder, change: impl FnOnce(&mut Vec<u8>)) -> PathBuf {
    let path = folder.join("damaged.lks");
    success(folder.lockstep().arg("asm").arg(filetest("vector-add")).arg("-o").arg(&path));
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// What every command that opens a program says of this file: one and the same error.
fn refused(folder: &Folder, path: &Path) -> String {
    let verify = failure(folder.lockstep().arg("verify").arg(path), 1);
    assert_eq!(failure(folder.lockstep().arg("disasm").arg(path), 1), verify);
    assert_eq!(failure(folder.lockstep().arg("simulate").arg(path), 1), verify);
    assert!(verify.contains(path.file_name().unwrap().to_str().unwrap()), "it names the file: {verify}");
    verify
}

#[test]
fn an_assembler_says_all_mistakes_with_line_column_and_hint() {
    let folder = Folder::new("mistakes");
    let (text, program) = (folder.join("broken.lka"), folder.join("broken.lks"));
    let lines = [
        "lockstep 1",
        "machine lockstep1",
        "input \"a\" f32 320 at 0:w0-3.0.0",
        "block \"add\"",
        "queue mem.x0",
        "queue mem.w1",
        "  @0 mem bank0=read:0+b0:e0",
        "  @4 mum bank0=read:0+b0:e0",
        "queue alu.0",
        "  @7 alu op=plus a=e0:f32",
        "entry \"main\"",
        "  run \"ad\" chip 0 at 0",
    ];
    std::fs::write(&text, lines.join("\n")).unwrap();
    let asm = |more: &[&str]| -> Output {
        folder.lockstep().arg("asm").arg(&text).arg("-o").arg(&program).args(more).output().unwrap()
    };
    let output = asm(&[]);
    let errors = errors_of(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty() && !program.exists(), "nothing is written");
    let last = format!("error: {0}: 4 mistakes in the text, nothing is written", text.display());
    assert_eq!(errors.lines().last(), Some(last.as_str()), "{errors}");
    for (place, word) in [("5:7", "mem.x0"), ("8:6", "mum"), ("10:13", "plus"), ("12:7", "ad")] {
        let prefix = format!("{}:{place}: ", text.display());
        assert!(
            errors.lines().any(|line| line.starts_with(&prefix) && line.contains(word)),
            "{place} {word}: {errors}"
        );
    }

    let output = asm(&["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    let listed = value["errors"].as_array().unwrap();
    let places: Vec<_> = listed.iter().map(|error| (error["line"].as_u64(), error["column"].as_u64())).collect();
    assert_eq!(places, [(5, 7), (8, 6), (10, 13), (12, 7)].map(|(line, column)| (Some(line), Some(column))));
    assert!(
        listed.iter().all(|error| error["message"].is_string() && error["hint"].as_str().unwrap() != ""),
        "{value}"
    );
    // The other commands that read texts say the same.
    for command in ["verify", "simulate"] {
        let output = folder.lockstep().arg(command).arg(&text).arg("--json").output().unwrap();
        assert_eq!(serde_json::from_slice::<Value>(&output.stdout).unwrap(), value, "{command}");
        assert_eq!(output.status.code(), Some(1));
        let message = failure(folder.lockstep().arg(command).arg(&text), 1);
        assert!(message.ends_with("broken.lka: 4 mistakes in the text"), "{message}");
    }
}

#[test]
fn asm_leaves_nothing_half_written() {
    let folder = Folder::new("half");
    let (text, program) = (folder.join("text.lka"), folder.join("add.lks"));
    let asm = |output: &Path| {
        let mut command = folder.lockstep();
        command.arg("asm").arg(&text).arg("-o").arg(output);
        command
    };
    std::fs::copy(filetest("vector-add"), &text).unwrap();
    success(&mut asm(&program));
    let before = std::fs::read(&program).unwrap();
    std::fs::write(&text, "lockstep 1\nmachine lockstep1\nnonsense\n").unwrap();
    failure(&mut asm(&program), 1);
    std::fs::copy(filetest("fault-early-drain"), &text).unwrap();
    assert!(failure(&mut asm(&program), 1).ends_with("1 violation, nothing is written"));
    assert!(std::fs::read(&program).unwrap() == before, "what was there is kept");

    std::fs::copy(filetest("vector-add"), &text).unwrap();
    let missing = failure(&mut asm(&folder.join("nowhere/add.lks")), 1);
    assert!(missing.contains("nowhere/add.lks: cannot be written"), "{missing}");
    let taken = folder.join("taken");
    std::fs::create_dir(&taken).unwrap();
    assert!(failure(&mut asm(&taken), 1).contains("taken: cannot be written"));
    assert!(failure(&mut asm(&program.join("below.lks")), 1).contains("below.lks: cannot be written"));
    let mut names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["add.lks", "taken", "text.lka"], "no temporary file is left");
    assert_eq!(std::fs::read_dir(&taken).unwrap().count(), 0);
}

/// A link stays a link, and what is no file is written to, not replaced.
#[cfg(unix)]
#[test]
fn an_output_that_is_no_file_is_not_replaced() {
    let folder = Folder::new("devices");
    let asm = |output: &Path| success(folder.lockstep().arg("asm").arg(filetest("vector-add")).arg("-o").arg(output));
    let (null, link, program) = (folder.join("null"), folder.join("link.lks"), folder.join("add.lks"));
    std::os::unix::fs::symlink("/dev/null", &null).unwrap();
    asm(&null);
    assert_eq!(std::fs::read_link(&null).unwrap(), Path::new("/dev/null"));
    std::fs::write(&program, "old").unwrap();
    std::os::unix::fs::symlink(&program, &link).unwrap();
    asm(&link);
    assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(std::fs::read(&program).unwrap().starts_with(b"LKSTEP01"));
}

#[test]
fn a_truncated_program_is_refused() {
    let folder = Folder::new("cut");
    let whole = std::fs::read(damaged(&folder, |_| ())).unwrap().len();
    for length in [1, 7, 8, 20, 63, 64, 700, whole / 2, whole - 1] {
        refused(&folder, &damaged(&folder, |bytes| bytes.truncate(length)));
    }
    let longer = refused(&folder, &damaged(&folder, |bytes| bytes.push(0)));
    assert!(longer.contains(&format!("the file has {} bytes, its header says {whole}", whole + 1)), "{longer}");
}

#[test]
fn every_flipped_bit_is_refused() {
    let folder = Folder::new("flipped-programs");
    let whole = std::fs::read(damaged(&folder, |_| ())).unwrap().len();
    for step in 0..48 {
        // The header at every byte, the rest here and there.
        let at = if step < 24 { step } else { 64 + (step - 24) * (whole - 65) / 23 };
        let path = damaged(&folder, |bytes| bytes[at] ^= 1 << (step % 8));
        let message = failure(folder.lockstep().arg("verify").arg(&path), 1);
        assert!(message.contains("damaged.lks"), "{at}: {message}");
    }
}

#[test]
fn another_version_is_named() {
    let folder = Folder::new("versions");
    let format = refused(&folder, &damaged(&folder, |bytes| bytes[8] = 9));
    assert!(format.contains("made for format version 9, this reads version 1"), "{format}");
    let magic = refused(&folder, &damaged(&folder, |bytes| bytes[7] = b'2'));
    assert!(magic.contains("not a program file: it does not begin with LKSTEP01"), "{magic}");
    // The arithmetic's version is the first number after the header; the hash is made anew, as another writer would.
    let arithmetic = refused(
        &folder,
        &damaged(&folder, |bytes| {
            bytes[64] = 7;
            let hash = *blake3::hash(&bytes[64..]).as_bytes();
            bytes[32..64].copy_from_slice(&hash);
        }),
    );
    assert!(arithmetic.contains("made for arithmetic version 7, this computes version 1"), "{arithmetic}");
    let text = folder.join("newer.lka");
    std::fs::write(&text, "lockstep 2\nmachine lockstep1\n").unwrap();
    let output = folder.lockstep().arg("verify").arg(&text).output().unwrap();
    assert!(errors_of(&output).contains("newer.lka:1:10: made for format version 2, this reads version 1"));
}

#[test]
fn what_is_no_program_is_named() {
    let folder = Folder::new("no-program");
    assert!(refused(&folder, &folder.join("absent.lks")).contains("absent.lks: cannot be read: check the path"));
    let below = folder.join("below");
    std::fs::create_dir(&below).unwrap();
    assert!(refused(&folder, &below).contains("below: a folder, not a program"));
    assert!(refused(&folder, &fixture("smollm2/model.gguf")).contains("model.gguf: a model, not a program"));
    let bytes = folder.join("bytes");
    std::fs::write(&bytes, [0xff, 0xfe, 0, 1]).unwrap();
    assert!(refused(&folder, &bytes).contains("bytes: neither a program file nor a text"));
    std::fs::write(&bytes, "\u{feff}lockstep 1\r\nmachine lockstep1\r\n").unwrap();
    assert!(success(folder.lockstep().arg("verify").arg(&bytes)).ends_with("sound; no entries\n"));
    assert!(failure(folder.lockstep().arg("simulate").arg(&bytes), 1).contains("the program has no entry to run"));
    std::fs::write(&bytes, "").unwrap();
    assert!(refused(&folder, &bytes).ends_with("bytes: 1 mistake in the text"));
    let output = folder.lockstep().arg("simulate").arg(&bytes).output().unwrap();
    assert!(errors_of(&output).contains("bytes:1:1: the machine is missing; write `machine lockstep1`"));
}

#[test]
fn a_value_fault_names_cycle_unit_instruction_and_lane() {
    let folder = Folder::new("values");
    let overflow = |more: &[&str]| {
        let mut command = folder.lockstep();
        command
            .arg("simulate")
            .arg(filetest("fault-overflow"))
            .args(["--input", "x=0 0 2147483647; fill 0"])
            .args(more);
        command
    };
    let trace = folder.join("trace");
    let message = failure(&mut overflow(&[]), 1);
    let text = "error: Overflow at cycle 6, chip 0, alu.0: `alu op=iadd a=e0:i32 b=imm imm=0x1 to=e0:i32` (instruction 1, \
        issue 0): iadd overflows in lane 2";
    assert_eq!(message, text);
    let output = overflow(&["--json", "--trace", trace.to_str().unwrap()]).output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), value["fault"]["kind"].as_str()), (Some(1), Some("Overflow")));
    assert!(output.stderr.is_empty() && trace.exists(), "what led there can be looked at");
    success(folder.lockstep().arg("verify").arg(filetest("fault-overflow")));
    let output = folder.join("y");
    let named = format!("y={}", output.display());
    failure(&mut overflow(&["--output", &named]), 1);
    assert!(!output.exists(), "a run that failed has no output");
}

#[test]
fn faults_and_violations_speak_plainly() {
    let folder = Folder::new("plain");
    let mut faults = 0;
    for entry in std::fs::read_dir(filetest("x").parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        for line in std::fs::read_to_string(&path).unwrap().lines().filter(|line| line.starts_with("#= ")) {
            faults += usize::from(line.starts_with("#= fault"));
            let debug = ["Some(", "None", " { ", "::"].iter().any(|sign| line.contains(sign));
            assert!(!debug, "{}: {line}", path.display());
        }
    }
    assert!(faults > 20, "{faults}");
    let text =
        success(folder.lockstep().arg("disasm").arg(filetest("vector-add"))).replace("write:0+b0:e3", "write:0+b0:e2");
    let wrong = folder.join("wrong.lka");
    std::fs::write(&wrong, text).unwrap();
    let message = failure(folder.lockstep().arg("simulate").arg(&wrong).args(["--input", "a=fill 1"]), 1);
    assert!(message.contains("the program says result "), "{message}");
    assert!(!message.contains(" { "), "{message}");
    // Both name the stream that is empty, and where.
    let text = std::fs::read_to_string(filetest("matmul-int8")).unwrap().replace("@69 mem", "@68 mem");
    std::fs::write(&wrong, text).unwrap();
    let output = folder.lockstep().arg("verify").arg(&wrong).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(lines.contains("operand 0: nothing is on w0 at register 19"), "{lines}");
}

#[test]
fn a_description_names_every_key_that_is_wrong() {
    let folder = Folder::new("descriptions");
    let preset = success(folder.lockstep().args(["machine", "show", "lockstep1", "--toml"]));
    let path = folder.join("my.toml");
    let check = |changes: &[(&str, &str)]| -> String {
        let mut text = preset.clone();
        for (from, to) in changes {
            assert!(text.contains(from), "{from}");
            text = text.replace(from, to);
        }
        std::fs::write(&path, text).unwrap();
        let output = folder.lockstep().args(["machine", "check"]).arg(&path).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{changes:?}");
        assert!(output.stdout.is_empty());
        let shown = failure(folder.lockstep().args(["machine", "show"]).arg(&path), 1);
        assert!(shown.contains("my.toml"), "{shown}");
        let errors = errors_of(&output);
        assert!(errors.lines().all(|line| line.contains("my.toml: ")), "{errors}");
        errors
    };
    let three = check(&[
        ("read_delay = { value = 5", "read_delay = { value = -5"),
        ("write_delay = { value = 1", "write_day = { value = 1"),
        ("alus = { value = 16, source = \"published", "alus = { value = 16, source = \"rumoured"),
    ]);
    for key in ["mem.read_delay", "mem.write_delay is missing", "mem.write_day is not known", "vxm.alus"] {
        assert!(three.contains(key), "{key}: {three}");
    }
    assert!(three.ends_with("my.toml: 4 mistakes\n"), "{three}");
    let least = check(&[("latency_min_cycles = { value = 209", "latency_min_cycles = { value = 400")]);
    assert!(least.contains("c2c.latency_min_cycles") && least.contains("c2c.latency_max_cycles"), "{least}");
    let text = check(&[("[mem]", "[mem")]);
    assert!(text.contains("line ") && text.ends_with("my.toml: 1 mistake\n"), "{text}");

    let run = |arguments: &[&str]| failure(folder.lockstep().args(arguments), 1);
    assert!(run(&["machine", "check", "absent.toml"]).contains("\"absent.toml\" is neither a preset"));
    assert!(
        run(&["machine", "check", folder.path().to_str().unwrap()]).contains("a folder, not a machine description")
    );
    assert!(run(&["machine", "show", "lockstep2"]).contains("\"lockstep2\" is neither a preset (lockstep1, tsp2020)"));
    assert!(run(&["machine", "show", "lockstep1:0"]).contains("0 chips; its links join 1 to 10440"));
    assert!(run(&["machine", "check", "lockstep1:0"]).contains("0 chips"));
    assert!(run(&["machine", "show", "lockstep1:x"]).contains("a number of chips follows the colon"));
    let text = filetest("vector-add");
    assert!(run(&["verify", text.to_str().unwrap(), "--system", "my.tml"]).contains("\"my.tml\" is neither a preset"));
}
