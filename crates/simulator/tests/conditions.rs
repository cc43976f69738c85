//! Clocks that drift, flights that differ, and what fails: what is proved before a run holds in it, and what is beyond
//! the proof is found.
#![allow(missing_docs, clippy::unwrap_used)]

#[allow(dead_code, reason = "only the faults are one of so many")]
#[path = "support/random.rs"]
mod random;

use std::fmt::Write as _;

use lockstep_kernels::Kernels;
use lockstep_machine::access::{drift_slack, exchange_cycles};
use lockstep_machine::network::Cable;
use lockstep_machine::outage::Outage;
use lockstep_machine::spec::MachineSpec;
use lockstep_machine::system::SystemSpec;
use lockstep_program::{Program, derive, text};
use lockstep_simulator::{BILLION, Conditions, Drift, Error, FaultKind, Linked, Simulator};

use random::Random;

/// Vectors from chip 0 to chip 1, each with the cycles of its send and its receive; each chip aligns at the times given.
fn exchanges(vectors: &[(u64, u64)], aligned: &[Vec<u64>; 2]) -> Option<Program<'static>> {
    let mut source = "lockstep 1
name drift
machine lockstep1
chips 2
link 0.0 -> 1.8
input \"x\" u8 320 at 0:w36.0.0
output \"y\" u8 320 at 1:e37.0.0
block \"go\"
queue mem.w36
  @0 mem bank0=read:0+b0:w0
queue send.0
  @7 send from=w0
block \"come\"
queue mem.e37
  @20 mem bank0=write:0+b0:w3
queue receive.8
  @0 receive to=w3
block \"align\"
queue send.3
  @0 runtime_deskew cycles=252
entry \"main\"
"
    .to_owned();
    for chip in [0, 1] {
        let own = |(send, receive): &(u64, u64)| if chip == 0 { ("go", send - 7) } else { ("come", *receive) };
        let mut runs: Vec<_> = vectors.iter().map(own).chain(aligned[chip].iter().map(|at| ("align", *at))).collect();
        runs.sort_by_key(|(_, at)| *at);
        for (name, at) in runs {
            writeln!(source, "  run \"{name}\" chip {chip} at {at}").unwrap();
        }
    }
    let mut program = text::parse(&source).unwrap().program;
    derive(&mut program).ok().map(|()| program)
}

/// A program with up to eight exchanges, each as early or as late as it may be, or a cycle more; most are refused.
fn tight(random: &mut Random, spec: &MachineSpec) -> Option<Program<'static>> {
    let ends = [0, 1].map(|_| if random.below(2) == 0 { Vec::new() } else { vec![200 + random.below(30_000)] });
    let (mut vectors, mut at): (Vec<(u64, u64)>, u64) = (Vec::new(), 7 + random.below(34_000));
    for _ in 0..=random.below(8) {
        let earliest = at + u64::from(exchange_cycles(spec));
        let since = |ends: &[u64], cycle: u64| {
            cycle - ends.iter().map(|at| at + 252).filter(|end| *end <= cycle).max().unwrap_or(0)
        };
        let age = since(&ends[0], at).max(since(&ends[1], earliest));
        let slack = drift_slack(spec, age);
        // Or when the third vector from now on may just be there, and finds room if this one was taken.
        let receive = match random.below(2) {
            0 => earliest + slack + random.below(2) - 1,
            _ => at + 3 * 60 + 256 - slack - random.below(2),
        };
        let after = vectors.last().map_or(0, |(_, before)| before + 21);
        vectors.push((at, receive.max(after)));
        at += 60;
    }
    exchanges(&vectors, &ends)
}

#[test]
fn what_is_proved_holds_under_all_conditions_of_the_description() {
    let spec = MachineSpec::preset("lockstep1").unwrap();
    let (mut random, mut accepted, mut close) = (Random(1), 0, 0);
    for _ in 0..4000 {
        let Some(program) = tight(&mut random, &spec) else { continue };
        accepted += 1;
        let linked = Linked::new(&program).unwrap();
        let cycles = program.entries[0].cycles;
        for seed in 0..24 {
            let drift = if seed % 3 == 0 { Drift::Drawn(100) } else { Drift::Extremes(100) };
            let placement = if seed % 2 == 0 { vec![0, 1] } else { vec![1, 0] };
            let link_jitter = seed % 4 < 3;
            let conditions = Conditions { seed, drift, link_jitter, placement, ..Conditions::default() };
            let report = linked.time_under("main", &conditions).unwrap();
            assert_eq!(report.cycles, cycles);
            // Reference time is program time, but for the drift.
            let (time, off) = (u128::from(cycles) * 1_000_000, u128::from(cycles) * 100 + 1_000_000);
            assert!(report.elapsed.least >= time - off && report.elapsed.most <= time + off, "{:?}", report.elapsed);
            // Three times as much is too much for some.
            let far = Conditions { drift: Drift::Extremes(300), ..conditions };
            close += u32::from(linked.time_under("main", &far).is_err());
        }
    }
    assert!(accepted > 500 && close > 100, "{accepted} programs, {close} times too far");
}

#[test]
fn clocks_beyond_the_description_are_found_where_they_have_drifted_long_enough() {
    let at = |age: u64, ppm: u32| {
        let slack = drift_slack(&MachineSpec::preset("lockstep1").unwrap(), age);
        let program = exchanges(&[(age - 275 - slack, age)], &[Vec::new(), Vec::new()]).unwrap();
        let linked = Linked::new(&program).unwrap();
        // Chip 0, which sends, is slow when it stands on a chip of odd number.
        let placement = vec![1, 2];
        let conditions = Conditions { drift: Drift::Extremes(ppm), placement, ..Conditions::default() };
        linked.time_under("main", &conditions).map(|report| report.cycles)
    };
    for age in [300, 5_000, 20_000, 35_000] {
        assert_eq!(at(age, 100), Ok(age + 21));
    }
    // At 150 ppm the two are 10.5 cycles apart after 35,000, and 8 were allowed for; after 300, 2 are.
    assert_eq!(at(300, 150), Ok(300 + 21));
    let Err(Error::Fault(fault)) = at(35_000, 150) else { panic!("no fault") };
    assert_eq!((fault.kind, fault.chip, fault.cycle), (FaultKind::LinkLate, 1, 35_000));
    assert!(fault.message.contains("late"), "{fault}");
}

fn run(program: &Program<'_>, conditions: Conditions, replays: u32) -> (Result<u32, Error>, Result<Vec<u8>, Error>) {
    let linked = Linked::new(program).unwrap();
    let mut simulator = Simulator::new(&linked, Kernels::detect(), 1).unwrap();
    simulator.write("x", &[9; 320]).unwrap();
    simulator.set_conditions(conditions);
    let ran = simulator.run_replaying("main", replays).map(|report| report.replays);
    (ran, simulator.read("y"))
}

#[test]
fn a_run_that_failed_has_no_outputs() {
    let program = exchanges(&[(7, 300)], &[Vec::new(), Vec::new()]).unwrap();
    assert_eq!(run(&program, Conditions::default(), 0), (Ok(0), Ok(vec![9; 320])));
    let kind = |result: &Result<Vec<u8>, Error>| match result {
        Err(Error::Fault(fault)) => fault.kind,
        other => panic!("{other:?}"),
    };
    let dead = |text: &str| Conditions { outage: text.parse().unwrap(), ..Conditions::default() };
    let lost = Conditions { link_losses: BILLION, ..Conditions::default() };
    for (conditions, expected) in
        [(lost, FaultKind::LinkLost), (dead("0.0"), FaultKind::LinkDead), (dead("1"), FaultKind::ChipDead)]
    {
        let (ran, read) = run(&program, conditions, 3);
        assert!(ran.is_err());
        assert_eq!(kind(&read), expected);
    }
    // What nothing goes over may be dead.
    assert_eq!(run(&program, dead("0.1,2"), 0), (Ok(0), Ok(vec![9; 320])));
    // Other chips stand in for dead ones.
    let moved = Conditions { placement: vec![8, 9], ..dead("0") };
    assert_eq!(run(&program, moved, 0), (Ok(0), Ok(vec![9; 320])));
}

#[test]
fn outputs_are_read_through_their_code() {
    let program = exchanges(&[(7, 300)], &[Vec::new(), Vec::new()]).unwrap();
    let linked = Linked::new(&program).unwrap();
    let mut simulator = Simulator::new(&linked, Kernels::detect(), 1).unwrap();
    simulator.write("x", &[9; 320]).unwrap();
    simulator.run("main").unwrap();
    let word = program.bindings[1].words[0];
    simulator.flip(word, 3, 17);
    assert_eq!(simulator.read("y"), Ok(vec![9; 320]));
    simulator.flip(word, 3, 90);
    let Err(Error::Fault(fault)) = simulator.read("y") else { panic!("two flipped bits went unnoticed") };
    assert_eq!((fault.kind, fault.chip), (FaultKind::EccUncorrectable, 1));
}

/// A vector from chip 0 of a system to chip 1 along the shortest route, from chip to chip through memory.
fn relayed(system: &SystemSpec) -> (Program<'static>, Vec<Cable>) {
    let (spec, route) = (system.machine(), system.network().routes_to(1).path(0));
    let mut source = format!("lockstep 1\nname route\nmachine lockstep1\nchips {}\n", system.chips);
    for Cable { from_chip, from_link, to_chip, to_link } in &route {
        writeln!(source, "link {from_chip}.{from_link} -> {to_chip}.{to_link}").unwrap();
    }
    source += "input \"x\" u8 320 at 0:w36.0.0\noutput \"y\" u8 320 at 1:w36.0.0\n";
    let mut entry = "entry \"main\"\n".to_owned();
    let mut now = 0;
    for Cable { from_chip, from_link, to_chip, to_link } in &route {
        assert!(u32::from(*from_link.max(to_link)) < spec.c2c.links / 2, "links of a node lead west");
        // From w36 to the western edge are 2 registers, as there are from there on.
        writeln!(source, "block \"go {from_chip}\"\nqueue mem.w36\n  @0 mem bank0=read:0+b0:w0").unwrap();
        writeln!(source, "queue send.{from_link}\n  @7 send from=w0").unwrap();
        writeln!(source, "block \"come {to_chip}\"\nqueue mem.w36\n  @20 mem bank0=write:0+b0:e0").unwrap();
        writeln!(source, "queue receive.{to_link}\n  @0 receive to=e0").unwrap();
        writeln!(entry, "  run \"go {from_chip}\" chip {from_chip} at {now}").unwrap();
        now += 7 + u64::from(exchange_cycles(spec));
        now += drift_slack(spec, now + 8);
        writeln!(entry, "  run \"come {to_chip}\" chip {to_chip} at {now}").unwrap();
        now += 21;
    }
    let mut runs: Vec<&str> = entry.lines().skip(1).collect();
    runs.sort_by_key(|line| line.split("chip ").nth(1).map(str::to_owned));
    writeln!(source, "entry \"main\"\n{}", runs.join("\n")).unwrap();
    let mut program = text::parse(&source).unwrap().program;
    derive(&mut program).unwrap_or_else(|violations| panic!("{violations:#?}\n{source}"));
    (program, route)
}

#[test]
fn a_program_made_without_a_dead_cable_has_a_new_exact_time() {
    let system = SystemSpec::preset("lockstep1:4").unwrap();
    let (direct, route) = relayed(&system);
    assert_eq!(route.len(), 1);
    let outage = Outage { links: [(0, route[0].from_link)].into(), ..Outage::default() };
    let broken = Conditions { outage: outage.clone(), ..Conditions::default() };
    assert!(run(&direct, broken.clone(), 0).0.is_err());
    let rest = system.without(&outage).unwrap();
    assert_eq!(rest.places(), [0, 1, 2, 3]);
    let (around, route) = relayed(&rest);
    assert_eq!(route.len(), 2);
    assert_eq!(run(&around, broken, 0), (Ok(0), Ok(vec![9; 320])));
    // 7 + 275 + 2 to arrive, 21 to be written; and that once more.
    assert_eq!([direct.entries[0].cycles, around.entries[0].cycles], [305, 610]);
}
