//! Whole-path tests of programs: from text to file and back, checked, and run on simulated chips.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Folder, errors_of, failure, success};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn filetest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filetests").join(format!("{name}.lka"))
}

/// Assembles a filetest.
fn assembled(folder: &Folder, name: &str) -> PathBuf {
    let path = folder.join(&format!("{name}.lks"));
    success(folder.lockstep().arg("asm").arg(filetest(name)).arg("-o").arg(&path));
    path
}

/// Runs to the end; the one JSON object of standard output, and the exit code.
fn json(command: &mut Command) -> (Value, i32) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    let value =
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{command:?}: {e}: {text}{}", errors_of(&output)));
    (value, output.status.code().unwrap())
}

fn simulate(folder: &Folder, program: &Path, more: &[&str]) -> (Value, i32) {
    json(folder.lockstep().arg("simulate").arg(program).args(more).arg("--json"))
}

#[test]
fn a_text_and_its_disassembly_make_equal_files() {
    let folder = Folder::new("round");
    let [first, text, second] = ["first.lks", "printed.lka", "second.lks"].map(|name| folder.join(name));
    let (mut sound, mut faulty) = (0, 0);
    for entry in std::fs::read_dir(filetest("x").parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        let asm = folder.lockstep().arg("asm").arg(&path).arg("-o").arg(&first).output().unwrap();
        if !asm.status.success() {
            // It cannot run, so that there is no flow to derive: nothing may be left behind.
            assert!(!first.exists() && errors_of(&asm).contains("nothing is written"), "{}", errors_of(&asm));
            faulty += 1;
            continue;
        }
        sound += 1;
        std::fs::write(&text, success(folder.lockstep().arg("disasm").arg(&first))).unwrap();
        success(folder.lockstep().arg("asm").arg(&text).arg("-o").arg(&second));
        assert!(std::fs::read(&first).unwrap() == std::fs::read(&second).unwrap(), "{}", path.display());
        std::fs::remove_file(&first).unwrap();
    }
    assert!(sound > 20 && faulty > 10, "{sound} {faulty}");
}

#[test]
fn verify_says_all_violations_with_their_keys() {
    let folder = Folder::new("verify");
    let program = assembled(&folder, "vector-add");
    let line = success(folder.lockstep().arg("verify").arg(&program));
    assert!(line.ends_with("vector-add.lks: sound; main 12 cycles\n"), "{line}");
    let (sound, code) = json(folder.lockstep().arg("verify").arg(&program).arg("--json"));
    assert_eq!((code, &sound["sound"], &sound["violations"]), (0, &Value::Bool(true), &Value::Array(Vec::new())));
    assert_eq!(
        (sound["entries"][0]["name"].as_str(), sound["entries"][0]["cycles"].as_u64()),
        (Some("main"), Some(12))
    );
    assert!(sound["bytes_used"][0].as_u64().unwrap() > 12 * 320, "{sound}");

    let text = success(folder.lockstep().arg("disasm").arg(&program)).replace("@7 alu", "@8 alu");
    let late = folder.join("late.lka");
    std::fs::write(&late, text).unwrap();
    let output = folder.lockstep().arg("verify").arg(&late).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(errors_of(&output), format!("error: {}: 12 violations\n", late.display()));
    let lines = String::from_utf8(output.stdout).unwrap();
    let (value, code) = json(folder.lockstep().arg("verify").arg(&late).arg("--json"));
    let violations = value["violations"].as_array().unwrap();
    assert_eq!((code, lines.lines().count(), violations.len()), (1, 12, 12), "{lines}");
    assert_eq!(value["sound"], Value::Bool(false));
    let first = &violations[0];
    for (key, text) in [("kind", "EmptyRead"), ("unit", "alu.0")] {
        assert_eq!(first[key].as_str(), Some(text), "{first}");
    }
    assert_eq!((first["cycle"].as_u64(), first["chip"].as_u64()), (Some(8), Some(0)));
    assert!(first["instruction"].as_str().unwrap().contains("alu op=add") && first["message"].is_string(), "{first}");

    let (clash, code) = json(folder.lockstep().arg("verify").arg(filetest("fault-stream-clash")).arg("--json"));
    let clash = &clash["violations"][0];
    assert_eq!((code, clash["other_unit"].as_str()), (1, Some("mem.w0")), "both instructions: {clash}");
    assert!(clash["other_instruction"].as_str().unwrap().contains("read:0+b0:e7"), "{clash}");
}

#[test]
fn simulate_has_the_keys_that_scripts_rely_on() {
    let folder = Folder::new("simulate");
    let program = assembled(&folder, "vector-add");
    let (run, code) = simulate(&folder, &program, &["--input", "a=ramp start=0 step=1"]);
    assert_eq!(code, 0);
    assert_eq!((run["cycles_predicted"].as_u64(), run["cycles"].as_u64()), (Some(12), Some(12)));
    assert_eq!(run["trace_digest"].as_str().unwrap().len(), 64);
    assert!(run["chip_cycles_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(run["outputs"]["sum"].as_array().unwrap().len(), 320);
    assert!(run["outputs"]["sum"].as_array().unwrap().iter().all(|number| number.as_f64() == Some(100.0)));
    assert_eq!((run["issues"]["mem"].as_u64(), run["issues"]["vxm"].as_u64()), (Some(12), Some(1)));
    assert_eq!((run["vectors_read"].as_u64(), run["vectors_written"].as_u64()), (Some(8), Some(4)));
    for key in ["sram_bandwidth_used", "stream_bandwidth_used", "seconds_on_chip", "link_seconds"] {
        assert!(run[key].as_f64().unwrap() > 0.0, "{key}: {run}");
    }
    assert!(run["energy_estimate_joules"]["total"].as_f64().unwrap() > 0.0, "{run}");

    let (timed, code) = simulate(&folder, &program, &["--timing-only"]);
    assert_eq!((code, timed["cycles"].as_u64(), timed["values"].as_bool()), (0, Some(12), Some(false)));
    assert_eq!(timed["cycles_predicted"], timed["cycles"]);
    assert_eq!(timed["outputs"].as_object().unwrap().len(), 0, "there are no values");
    let (nan, _) = simulate(&folder, &program, &["--input", "a=nan inf; fill 0"]);
    assert_eq!((&nan["outputs"]["sum"][0], &nan["outputs"]["sum"][1]), (&Value::from("NaN"), &Value::from("inf")));
    let text = success(folder.lockstep().arg("simulate").arg(&program).args(["--input", "a=fill 0.1"]));
    assert!(
        text.starts_with("sum: 100.1 99.1 98.1 97.1 96.1 95.1 94.1 93.1 ... (320 f32)\nmain: 12 cycles, "),
        "{text}"
    );
}

#[test]
fn one_digest_on_any_number_of_threads_and_every_time() {
    let folder = Folder::new("threads");
    let program = assembled(&folder, "exchange");
    let inputs = ["--input", "x=fill 7 count=320; fill 8", "--input", "z=random seed=3 min=0 max=255"];
    let digest = |more: &[&str]| {
        let (run, code) = simulate(&folder, &program, &[&inputs, more].concat());
        assert_eq!((code, run["cycles"].as_u64(), run["chips"].as_u64()), (0, Some(329), Some(2)));
        run["trace_digest"].as_str().unwrap().to_owned()
    };
    let one = digest(&[]);
    for threads in ["1", "2", "4"] {
        assert_eq!(digest(&["--threads", threads]), one, "{threads}");
        assert_eq!(digest(&["--threads", threads, "--repeat", "3"]), one, "{threads}, and again");
    }
    let (other, _) = simulate(&folder, &program, &["--input", "x=fill 7", "--input", "z=fill 1"]);
    assert_ne!(other["trace_digest"].as_str(), Some(one.as_str()), "other values, another digest");

    // Without values there is a digest of the schedule, in whatever way it was found.
    let timed = digest(&["--timing-only"]);
    for threads in ["1", "2"] {
        assert_eq!(digest(&["--timing-only", "--threads", threads]), timed, "{threads}");
        assert_eq!(digest(&["--timing-only", "--expand", "--threads", threads, "--repeat", "2"]), timed, "{threads}");
    }
    let mut command = folder.lockstep();
    let text = success(command.arg("simulate").arg(&program).args(["--timing-only", "--expand"]));
    for line in ["instanced: 2 blocks linked once, 2 instances checked", "expanded: each of 2 instances linked anew"] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn conditions_change_neither_values_nor_program_time() {
    let folder = Folder::new("conditions");
    let program = assembled(&folder, "exchange");
    let inputs = ["--input", "x=fill 7", "--input", "z=random seed=3 min=0 max=255"];
    let under = |line: &str| {
        let more: Vec<&str> = line.split_ascii_whitespace().collect();
        simulate(&folder, &program, &[&inputs[..], &more].concat())
    };
    let (nominal, _) = under("");
    assert_eq!([&nominal["elapsed_min"], &nominal["elapsed_max"]], [&Value::from(329.0); 2]);
    let zero =
        |value: &Value| ["replays", "corrected_vectors", "corrected_words"].map(|key| value[key].as_u64().unwrap());
    assert_eq!(zero(&nominal), [0; 3]);
    let line = "--drift-ppm 100 --link-jitter --link-error-rate 0.8 --link-loss-rate 0.1 --replays 1000 --seed 11";
    let (harsh, code) = under(line);
    assert_eq!(code, 0, "{harsh}");
    for key in ["cycles", "trace_digest", "outputs"] {
        assert_eq!(harsh[key], nominal[key], "{key}");
    }
    let [least, most] = ["elapsed_min", "elapsed_max"].map(|key| harsh[key].as_f64().unwrap());
    assert!(least < most && (least - 329.0).abs() < 1.1 && (most - 329.0).abs() < 1.1, "{least} {most}");
    let again = under(&format!("{line} --threads 2")).0;
    assert_eq!(zero(&again), zero(&harsh));
    assert_eq!([&again["elapsed_min"], &again["elapsed_max"]], [&harsh["elapsed_min"], &harsh["elapsed_max"]]);
    assert!(zero(&harsh)[1] > 0, "{harsh}");
    let text = success(folder.lockstep().arg("simulate").arg(&program).args(inputs).args(line.split(' ')));
    let told = |what: &str| assert!(text.contains(what), "{what}: {text}");
    told(&format!("{} vector", zero(&harsh)[1]));
    told(&format!("{} run", zero(&harsh)[0]));
    told("cycles of reference time after the start");

    let kind = |line: &str| under(line).0["fault"]["kind"].as_str().unwrap_or("none").to_owned();
    let kinds: BTreeSet<_> = (0..20)
        .map(|seed| kind(&format!("--link-error-rate 1 --link-loss-rate 0.1 --replays 0 --seed {seed}")))
        .collect();
    assert_eq!(kinds, ["LinkLost", "none"].map(str::to_owned).into());
    assert_eq!(kind("--link-error-rate 1 --replays 0"), "none", "what is corrected costs nothing");
    assert_eq!(under("--dead 0.0").1, 1);
    assert_eq!(kind("--dead 0.0"), "LinkDead");
    assert_eq!(kind("--dead 1"), "ChipDead");
    assert_eq!(kind("--drift-ppm 50000 --drift-extremes"), "LinkLate");
    assert_eq!(kind("--drift-ppm 50000 --drift-extremes --timing-only"), "LinkLate");
    let lines = |line: &str| failure(folder.lockstep().arg("simulate").arg(&program).args(line.split(' ')), 2);
    assert!(lines("--dead x").contains("neither a chip"));
    assert!(lines("--link-error-rate 2").contains("must be from 0 to 1"));
}

#[test]
fn chips_that_are_wired_alike_stand_in_for_dead_ones() {
    let folder = Folder::new("spare");
    let text = folder.join("along.lka");
    let source = "lockstep 1
name along
machine lockstep1
chips 2
link 0.8 -> 1.0
input \"x\" u8 320 at 0:e36.0.0
output \"y\" u8 320 at 1:w37.0.0
block \"go\"
queue mem.e36
  @0 mem bank0=read:0+b0:e5
queue send.8
  @7 send from=e5
block \"come\"
queue receive.0
  @0 receive to=e0
queue mem.w37
  @20 mem bank0=write:0+b0:e0
entry \"main\"
  run \"go\" chip 0 at 0
  run \"come\" chip 1 at 284
";
    std::fs::write(&text, source).unwrap();
    let run = |more: &[&str]| simulate(&folder, &text, &[&["--input", "x=fill 5"], more].concat());
    let (alone, code) = run(&[]);
    assert_eq!(code, 0, "{alone}");
    assert_eq!(run(&["--dead", "1"]).0["fault"]["kind"], "ChipDead");
    // Along a ring of four, chips 2 and 3 are linked like 0 and 1.
    let (moved, code) = run(&["--dead", "1", "--system", "lockstep1:ring4"]);
    assert_eq!((code, &moved["trace_digest"]), (0, &alone["trace_digest"]));
    assert_eq!(run(&["--dead", "0.8", "--system", "lockstep1:ring4"]).1, 0);
    assert_eq!(run(&["--dead", "1,3", "--system", "lockstep1:ring4"]).0["fault"]["kind"], "ChipDead");
    let absent = ["simulate", "--input", "x=fill 5", "--dead", "4", "--system", "lockstep1:ring4"];
    assert!(failure(folder.lockstep().args(absent).arg(&text), 1).contains("has no chip 4"));
}

#[test]
fn inputs_and_outputs_are_files_too() {
    let folder = Folder::new("files");
    let program = assembled(&folder, "vector-add");
    let (a, sum) = (folder.join("a.f32"), folder.join("sum.f32"));
    let bytes: Vec<u8> = (0..320_u16).flat_map(|lane| (f32::from(lane) + 0.5).to_le_bytes()).collect();
    std::fs::write(&a, &bytes).unwrap();
    let mut command = folder.lockstep();
    command.arg("simulate").arg(&program).arg("--input").arg(format!("a=@{}", a.display()));
    success(command.arg("--output").arg(format!("sum={}", sum.display())));
    let hundred: Vec<u8> = (0..320).flat_map(|_| 100.5_f32.to_le_bytes()).collect();
    assert!(std::fs::read(&sum).unwrap() == hundred);

    let run = |inputs: &[&str]| failure(folder.lockstep().arg("simulate").arg(&program).args(inputs), 1);
    assert!(run(&[]).contains("inputs without numbers: a (320 x f32)"));
    assert!(run(&["--input", "b=fill 1"]).contains("no input \"b\"; it has: a (320 x f32)"));
    assert!(run(&["--input", "a=1 2 3"]).contains("317 of 320 numbers are missing"));
    assert!(run(&["--input", "a=fill 1", "--input", "a=fill 2"]).contains("input a is given twice"));
    assert!(run(&["--input", "a=one"]).contains("\"one\" is not a number of f32"));
    assert!(run(&["--input", "a"]).contains("write --input 'NAME=NUMBERS'"));
    assert!(run(&["--input", "a=random seed=1 min=5 max=1"]).contains("input a: "));
    assert!(run(&["--input", "a=@nothing.f32"]).contains("input a: nothing.f32: No such file"));
    std::fs::write(&a, &bytes[4..]).unwrap();
    let short = format!("a=@{}", a.display());
    assert!(run(&["--input", &short]).contains("320 numbers of f32 are 1280 bytes, the file has 1276"));
    assert!(run(&["--input", "a=fill 1", "--entry", "other"]).contains("no entry \"other\"; it has: main"));
    let unknown = run(&["--input", "a=fill 1", "--output", "total=x", "--trace", folder.join("t").to_str().unwrap()]);
    assert!(unknown.contains("no output \"total\"; it has: sum (320 x f32)"), "{unknown}");
    assert!(!folder.join("t").exists(), "known before anything runs");
}

/// The fields of a protobuf message: numbers with their bytes, or with the value of a number.
fn fields(mut bytes: &[u8]) -> Vec<(u64, u64, &[u8])> {
    let mut found = Vec::new();
    let varint = |bytes: &mut &[u8]| {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (first, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= u64::from(first & 127) << shift;
            if first & 128 == 0 {
                break;
            }
        }
        value
    };
    while !bytes.is_empty() {
        let tag = varint(&mut bytes);
        let (value, length) = match tag & 7 {
            0 => (varint(&mut bytes), 0),
            1 => (0, 8),
            2 => (0, varint(&mut bytes) as usize),
            5 => (0, 4),
            other => panic!("wire type {other}"),
        };
        let (inside, rest) = bytes.split_at(length);
        found.push((tag >> 3, value, inside));
        bytes = rest;
    }
    found
}

#[test]
fn a_trace_is_packets_of_tracks_and_slices() {
    let folder = Folder::new("trace");
    let (program, trace) = (assembled(&folder, "vector-add"), folder.join("add.perfetto-trace"));
    let (_, code) = simulate(&folder, &program, &["--timing-only", "--trace", trace.to_str().unwrap()]);
    assert_eq!(code, 0);
    let bytes = std::fs::read(&trace).unwrap();
    let packets = fields(&bytes);
    assert!(packets.iter().all(|(field, ..)| *field == 1), "a trace is packets");
    let packets: Vec<_> = packets.iter().map(|(.., packet)| fields(packet)).collect();
    let inside = |number: u64| packets.iter().flatten().filter(move |(field, ..)| *field == number);
    // Field 60 describes a track, whose field 2 is its name; field 11 is an event, whose field 9 is 1 for a begin.
    let names: Vec<_> = inside(60).flat_map(|(.., track)| fields(track)).filter(|field| field.0 == 2).collect();
    for queue in ["alu.0", "mem.w0", "mem.e3"] {
        assert!(names.iter().any(|(.., name)| *name == queue.as_bytes()), "{queue}");
    }
    let begins = inside(11).filter(|(.., event)| fields(event).iter().any(|field| (field.0, field.1) == (9, 1)));
    assert_eq!(begins.count(), 13, "a slice an instruction");
}

#[test]
fn one_flipped_bit_is_corrected_and_many_are_a_fault() {
    let folder = Folder::new("flips");
    let program = assembled(&folder, "matmul-int8");
    let (clean, _) = simulate(&folder, &program, &[]);
    assert_eq!(clean["corrected_words"].as_u64(), Some(0));
    let (one, code) = simulate(&folder, &program, &["--flip-bits", "1", "--seed", "5"]);
    assert_eq!((code, one["corrected_words"].as_u64()), (0, Some(1)), "all words are read");
    assert_eq!((&one["outputs"], &one["trace_digest"]), (&clean["outputs"], &clean["trace_digest"]));
    let mut command = folder.lockstep();
    let text = success(command.arg("simulate").arg(&program).args(["--flip-bits", "1", "--seed", "5"]));
    assert!(text.contains("\n1 word corrected\n"), "{text}");
    let many = ["--flip-bits", "100000", "--seed", "5"];
    let (fault, code) = simulate(&folder, &program, &many);
    assert_eq!((code, fault["fault"]["kind"].as_str()), (1, Some("EccUncorrectable")), "{fault}");
    for key in ["cycle", "chip", "unit", "message"] {
        assert!(!fault["fault"][key].is_null(), "{key}: {fault}");
    }
    let message = failure(folder.lockstep().arg("simulate").arg(&program).args(many), 1);
    assert!(message.contains("EccUncorrectable at cycle") && message.contains("flipped bits"), "{message}");
}

#[test]
fn a_program_is_assembled_for_another_machine() {
    let folder = Folder::new("system");
    let (description, program) = (folder.join("my.toml"), folder.join("my.lks"));
    let preset = success(folder.lockstep().args(["machine", "show", "lockstep1", "--toml"]));
    std::fs::write(&description, preset.replace("name = \"lockstep1\"", "name = \"mine\"")).unwrap();
    let text = filetest("vector-add");
    success(folder.lockstep().arg("asm").arg(&text).arg("-o").arg(&program).arg("--system").arg(&description));
    success(folder.lockstep().arg("verify").arg(&program).arg("--system").arg(&description));
    let message = failure(folder.lockstep().arg("verify").arg(&program).args(["--system", "lockstep1"]), 1);
    assert!(message.contains("another machine, called \"mine\", than lockstep1"), "{message}");
    let message = failure(folder.lockstep().arg("simulate").arg(&program).args(["--system", "tsp2020"]), 1);
    assert!(message.contains("vxm.reduce_units is 4 there and 0 here, and "), "{message}");

    let slower = preset.replace("read_delay = { value = 5", "read_delay = { value = 7");
    std::fs::write(&description, slower).unwrap();
    let output =
        folder.lockstep().arg("asm").arg(&text).arg("-o").arg(&program).arg("--system").arg(&description).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(errors_of(&output).contains("EmptyRead at cycle 7"), "{}", errors_of(&output));
    let message = failure(folder.lockstep().arg("asm").arg(&program).args(["-o", "x", "--system", "lockstep1"]), 1);
    assert!(message.contains("give its text"), "{message}");
    let two = failure(folder.lockstep().arg("verify").arg(filetest("exchange")).args(["--system", "lockstep1:1"]), 1);
    assert!(two.contains("the program takes 2 chips, lockstep1:1 has 1"), "{two}");
    let mut asm = folder.lockstep();
    let asm = asm.arg("asm").arg(filetest("exchange")).args(["--system", "lockstep1", "-o"]).arg(folder.join("two"));
    assert!(failure(asm, 1).contains("the program takes 2 chips") && !folder.join("two").exists());
}

/// Printed cables are a table for a description, and make the same system again.
#[test]
fn printed_cables_read_back() {
    let folder = Folder::new("cables");
    let description = success(folder.lockstep().args(["machine", "show", "lockstep1", "--toml"]));
    let own = folder.join("own.toml");
    for name in ["lockstep1:9", "lockstep1:ring5"] {
        let cables = success(folder.lockstep().args(["machine", "show", name, "--cables"]));
        std::fs::write(&own, format!("{description}\n{cables}")).unwrap();
        let show =
            |system: &Path| json(folder.lockstep().args(["machine", "show", "--json"]).arg(system)).0["wiring"].clone();
        let (listed, shape) = (show(&own), show(name.as_ref()));
        assert_eq!(listed["topology"], "listed");
        for key in ["cables", "cables_between_halves", "pairs_by_hops"] {
            assert_eq!(listed[key], shape[key], "{name}: {key}");
        }
        let again = success(folder.lockstep().args(["machine", "show"]).arg(&own).arg("--cables"));
        let rows =
            |text: &str| text.lines().filter(|line| line.starts_with("  [")).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(rows(&again), rows(&cables), "{name}");
    }
    let broken = "[topology]\nkind = \"listed\"\nchips = 3\nsource = \"chosen: a test\"\ncables = [[0, 1, 1, 16]]\n";
    std::fs::write(&own, format!("{description}\n{broken}")).unwrap();
    let error = failure(folder.lockstep().args(["machine", "check"]).arg(&own), 1);
    assert!(error.contains("chip 0 link 1 to chip 1 link 16: a chip has 16 links"), "{error}");
}

#[test]
fn machine_show_has_its_keys() {
    let folder = Folder::new("show");
    let (node, code) = json(folder.lockstep().args(["machine", "show", "lockstep1:8", "--json"]));
    assert_eq!((code, node["name"].as_str(), node["machine"].as_str()), (0, Some("lockstep1:8"), Some("lockstep1")));
    assert_eq!((node["chips"].as_u64(), node["figures"]["chips"].as_u64()), (Some(8), Some(8)));
    for (figure, value) in [
        ("stream_bytes_per_cycle", 20_480),
        ("sram_bytes_per_cycle", 56_320),
        ("instruction_bytes_per_cycle", 2_304),
        ("int8_multiply_adds_per_cycle", 409_600),
        ("fp16_multiply_adds_per_cycle", 102_400),
        ("sram_bytes_per_chip", 220 << 20),
        ("vector_cycles_per_link", 24),
    ] {
        assert_eq!(node["figures"][figure].as_u64(), Some(value), "{figure}");
    }
    let wiring = &node["wiring"];
    assert_eq!((wiring["topology"].as_str(), wiring["cables"].as_u64()), (Some("node"), Some(28)));
    assert_eq!((&wiring["pairs_by_hops"], wiring["mean_hops"].as_f64()), (&serde_json::json!([0, 56]), Some(1.0)));
    let clock = &node["values"]["clock.hertz"];
    assert_eq!((clock["value"].as_u64(), clock["unit"].as_str()), (Some(900_000_000), Some("Hz")));
    for (key, entry) in node["values"].as_object().unwrap() {
        let source = entry["source"].as_str().unwrap();
        assert!(
            ["published: ", "derived: ", "chosen: "].iter().any(|kind| source.starts_with(kind)),
            "{key}: {source}"
        );
        assert!(!entry["doc"].as_str().unwrap().is_empty(), "{key}");
    }
    let list = success(folder.lockstep().args(["machine", "list"]));
    assert!(list.contains("lockstep1  ") && list.contains("tsp2020  "), "{list}");
    for preset in ["lockstep1", "tsp2020"] {
        let toml = folder.join("preset.toml");
        std::fs::write(&toml, success(folder.lockstep().args(["machine", "show", preset, "--toml"]))).unwrap();
        assert!(success(folder.lockstep().args(["machine", "check"]).arg(&toml)).contains("is sound"));
        let of_file =
            success(folder.lockstep().args(["machine", "show", "--json"]).arg(format!("{}:2", toml.display())));
        let of_name = success(folder.lockstep().args(["machine", "show", "--json", &format!("{preset}:2")]));
        assert_eq!(of_file, of_name);
    }
}

#[test]
fn help_and_completions_know_these_commands() {
    let folder = Folder::new("help-programs");
    let help = success(folder.lockstep().arg("--help"));
    for command in ["asm", "disasm", "verify", "simulate", "machine", "layer"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
        let own = success(folder.lockstep().args([command, "--help"]));
        assert!(own.contains("Examples:\n  lockstep ") && own.lines().all(|line| line.len() <= 100), "{own}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = success(folder.lockstep().args(["completions", shell]));
        for word in ["asm", "disasm", "verify", "simulate", "machine", "timing-only", "flip-bits", "toml"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}
