//! `lockstep collective`: what it prints, what it writes, and what it refuses.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use common::{Folder, failure, success};
use serde_json::Value;

fn object(folder: &Folder, line: &str) -> Value {
    let mut command = folder.lockstep();
    command.arg("collective").args(line.split(' ')).arg("--json");
    serde_json::from_str(&success(&mut command)).unwrap()
}

#[test]
fn eight_chips_add_up() {
    let folder = Folder::new("collective");
    let path = folder.join("sum.lks");
    let line = format!("all-reduce --system lockstep1:8 --vectors 2 -o {}", path.display());
    let made = object(&folder, &line);
    assert_eq!([&made["chips"], &made["vectors"], &made["hops"]], [8, 2, 1]);
    // Two vectors of four byte planes from each chip to each of the others.
    assert_eq!([&made["vectors_sent"], &made["links_used"], &made["bytes_per_chip"]], [448, 56, 2560]);
    let cycles = |key: &str| made[key].as_u64().unwrap();
    let rate = made["bytes_per_second_per_chip"].as_f64().unwrap() * made["seconds"].as_f64().unwrap();
    assert!((rate - 2560.0).abs() < 1e-6, "{rate}");
    assert!(made["tried"].as_array().unwrap().iter().all(|way| way["cycles"].as_u64() >= Some(cycles("cycles"))));

    let verified = success(folder.lockstep().arg("verify").arg(&path));
    let all = cycles("cycles") + cycles("align_cycles");
    assert!(verified.contains(&format!("all-reduce {all} cycles")), "{verified}");
    let timed = success(folder.lockstep().arg("simulate").arg(&path).arg("--timing-only"));
    assert!(timed.contains(&format!("{all} cycles, {all} predicted")), "{timed}");

    let other = object(&folder, &format!("{line} --seed 9"));
    assert_eq!(other["cycles"], made["cycles"]);
    assert_ne!(other["trace_digest"], made["trace_digest"]);
    assert_eq!(object(&folder, &line), made);
    let text = success(folder.lockstep().arg("collective").args(line.split(' ')));
    assert!(text.contains(&format!("{} cycles", cycles("align_cycles"))), "{text}");
}

#[test]
fn others_end_well_too() {
    let folder = Folder::new("collectives");
    for (line, sent) in [
        ("all-gather --system lockstep1:3 --vectors 5", 30),
        ("broadcast --system lockstep1:ring4 --from 2 --vectors 2", 6),
        ("transfer --system lockstep1:12 --from 11 --vectors 1 --to 4", 2),
        ("all-reduce --system tsp2020:2", 8),
    ] {
        assert_eq!(object(&folder, line)["vectors_sent"], sent, "{line}");
    }
}

#[test]
fn what_cannot_be_is_said() {
    let folder = Folder::new("no-collective");
    for (line, said) in [
        ("all-reduce --system lockstep1", "chips: 1, expected 2 at least"),
        ("broadcast --system lockstep1:8 --from 8", "chip: 8, expected 0 to 7"),
        ("transfer --system lockstep1:8 --to 9", "chip: 9, expected 0 to 7"),
        ("transfer --system lockstep1:8 --to 0", "from chip 0 to itself"),
        ("transfer --system lockstep1:2 --vectors 1500", "use fewer vectors"),
        ("all-gather --system nothing:8", "neither a preset"),
    ] {
        let message = failure(folder.lockstep().arg("collective").args(line.split(' ')), 1);
        assert!(message.contains(said), "{line}: {message}");
    }
    failure(folder.lockstep().args(["collective", "all-reduce", "--system", "lockstep1:8", "--vectors", "0"]), 2);
    failure(folder.lockstep().args(["collective", "reduce", "--system", "lockstep1:8"]), 2);
}
