//! `lockstep explain`: tables, JSON, traces and pages of whole programs.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Folder, failure, success};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn filetest(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filetests").join(format!("{name}.lka"))
}

fn json(folder: &Folder, name: &str) -> Value {
    let text = success(folder.lockstep().arg("explain").arg(filetest(name)).arg("--json"));
    serde_json::from_str(&text).unwrap()
}

const VECTOR_ADD: &str = "\
vector-add for lockstep1, 1 chip

entry main: 12 cycles, 0.01 us
  phase  runs  cycles   share  bound    cycles  times it
  add       1      12  100.0%  latency      12      1.00
  all              12  100.0%  latency      12      1.00

lower bounds, in cycles
  alu                 1    8.3%
  memory              1    8.3%
  latency            12  100.0%

the critical chain, in cycles
  alu                 3   25.0%
  memory              6   50.0%
  travel              3   25.0%

issues, and the share of the units' cycles
  mem                12    1.1%
  vxm                 1    0.5%

blocks
  name  cycles  bound    cycles  times it
  add       12  latency      12      1.00
";

#[test]
fn a_text_says_all_of_a_small_program() {
    let folder = Folder::new("explain-text");
    assert_eq!(success(folder.lockstep().arg("explain").arg(filetest("vector-add"))), VECTOR_ADD);
}

#[test]
fn json_has_the_same_numbers_as_the_simulator() {
    let folder = Folder::new("explain-json");
    let simulate =
        folder.lockstep().arg("simulate").arg(filetest("softmax")).args(["--timing-only", "--json"]).output();
    let simulated: Value = serde_json::from_slice(&simulate.unwrap().stdout).unwrap();
    let explained = json(&folder, "softmax");
    let entry = &explained["entries"][0];
    assert_eq!(entry["cycles"], simulated["cycles"]);
    assert_eq!((&entry["issues"], &entry["utilisation"]), (&simulated["issues"], &simulated["utilisation"]));
    let sum = |value: &Value| value.as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum(&entry["chain"]), entry["cycles"].as_u64().unwrap());
    let largest = entry["bounds"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).max();
    assert_eq!(entry["bound_cycles"].as_u64(), largest);
    assert_eq!(entry["bounds"][entry["bound"].as_str().unwrap()], entry["bound_cycles"]);
    let phases = entry["phases"].as_array().unwrap();
    assert_eq!(phases.iter().map(|phase| phase["cycles"].as_u64().unwrap()).sum::<u64>(), entry["cycles"]);
    assert!(explained["blocks"][0]["chain_steps"].as_u64().unwrap() > 3, "{explained}");
}

#[test]
fn a_trace_is_that_of_the_simulator() {
    let folder = Folder::new("explain-trace");
    let [ours, theirs] = ["ours", "theirs"].map(|name| folder.join(name));
    success(folder.lockstep().arg("explain").arg(filetest("matmul-int8")).arg("--trace").arg(&ours));
    let mut simulate = folder.lockstep();
    success(simulate.arg("simulate").arg(filetest("matmul-int8")).args(["--timing-only", "--trace"]).arg(&theirs));
    assert!(std::fs::read(ours).unwrap() == std::fs::read(theirs).unwrap());
}

#[test]
fn a_page_needs_nothing_else_and_is_the_same_each_time() {
    let folder = Folder::new("explain-page");
    let [first, second] = ["first.html", "second.html"].map(|name| folder.join(name));
    for page in [&first, &second] {
        success(folder.lockstep().arg("explain").arg(filetest("matmul-lb8")).arg("--html").arg(page));
    }
    let page = std::fs::read_to_string(&first).unwrap();
    assert!(page == std::fs::read_to_string(&second).unwrap());
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<title>matmul-lb8 - schedule</title>"));
    for outside in ["http:", "https:", "src=", "@import", "url(", "{{"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

#[test]
fn what_is_wrong_is_said_as_by_the_other_commands() {
    let folder = Folder::new("explain-wrong");
    let late = folder.join("late.lka");
    let program = folder.join("add.lks");
    success(folder.lockstep().arg("asm").arg(filetest("vector-add")).arg("-o").arg(&program));
    let text = success(folder.lockstep().arg("disasm").arg(&program)).replace("@7 alu", "@8 alu");
    std::fs::write(&late, text).unwrap();
    let page = folder.join("page.html");
    let line = failure(folder.lockstep().arg("explain").arg(&late).arg("--html").arg(&page), 1);
    assert!(line.ends_with("late.lka: 12 violations") && !page.exists(), "{line}");
    let output = folder.lockstep().arg("explain").arg(&late).arg("--json").output().unwrap();
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), value["violations"].as_array().unwrap().len()), (Some(1), 12));
    let line = failure(folder.lockstep().arg("explain").arg(filetest("vector-add")).args(["--entry", "prefill"]), 1);
    assert!(line.ends_with("the program has no entry \"prefill\"; it has: main"), "{line}");
    let line = failure(folder.lockstep().arg("explain").arg(filetest("none-such")), 1);
    assert!(line.contains("none-such.lka"), "{line}");
}
