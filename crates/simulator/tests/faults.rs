//! A thousand seeded runs under faults of all kinds: each gives the right bits in the predicted cycles, or says what
//! failed.
//!
//! `docs/reliability.md` holds the table; `LOCKSTEP_BLESS=1` writes it anew.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

#[path = "support/random.rs"]
mod random;
#[path = "support/ring.rs"]
mod ring;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use lockstep_kernels::Kernels;
use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::system::SystemSpec;
use lockstep_program::program::Word;
use lockstep_simulator::{BILLION, Conditions, Drift, Error, Fault, FaultKind, Linked, Report, Simulator};

use random::Random;
use ring::{Numbers, Ring};

/// Chips of the program.
const CHIPS: u32 = 4;

/// Seeded runs, each of [`ENTRIES`] runs of the entry over one memory.
const SEEDS: u64 = 1000;
const ENTRIES: usize = 3;

/// How often a run is made again at most.
const REPLAYS: u32 = 4;

/// What is done to a seeded run.
#[derive(Debug, Default)]
struct Plan {
    conditions: Conditions,
    /// Before each run of the entry: words, superlanes, and bits that flip there.
    flips: Vec<Vec<Flip>>,
    /// The kinds of faults that may strike.
    kinds: Vec<&'static str>,
}

type Flip = (Word, u8, Vec<u8>);

/// Kinds of faults, as the table names them.
const KINDS: [&str; 8] = [
    "link errors, corrected by the link's code",
    "vectors lost on links",
    "single bits of memory flipped",
    "two bits of a codeword flipped",
    "a dead cable",
    "a dead chip, no spare",
    "a dead chip, a spare node takes over",
    "clocks 150 to 750 ppm off",
];

impl Plan {
    fn new(seed: u64, system: &SystemSpec, ring: &Ring) -> Self {
        let random = &mut Random(seed);
        let mut plan = Self { conditions: Conditions { seed, ..Conditions::default() }, ..Self::default() };
        plan.links(random, ring);
        plan.clocks(random);
        plan.chips(random, system, ring);
        plan.memory(random);
        plan
    }

    fn strikes(&mut self, kind: usize) {
        self.kinds.push(KINDS[kind]);
    }

    fn links(&mut self, random: &mut Random, ring: &Ring) {
        self.conditions.link_jitter = random.one_in(2);
        if random.one_in(2) {
            self.conditions.link_errors = 1 + random.below(u64::from(BILLION) / 10) as u32;
            self.strikes(0);
        }
        if random.one_in(3) {
            self.conditions.link_losses = 1 + random.below(u64::from(BILLION) / 40) as u32;
            self.strikes(1);
        }
        if random.one_in(20) {
            let cables = &ring.program.links;
            let cable = cables[random.below(cables.len() as u64) as usize];
            self.conditions.outage.links.insert((cable.from_chip, cable.from_link));
            self.strikes(4);
        }
    }

    /// Within the description but for one of twelve.
    fn clocks(&mut self, random: &mut Random) {
        let mut ppm = random.below(101) as u32;
        if random.one_in(12) {
            ppm = 150 + random.below(601) as u32;
            self.strikes(7);
        }
        self.conditions.drift = if random.one_in(3) { Drift::Extremes(ppm) } else { Drift::Drawn(ppm) };
    }

    fn chips(&mut self, random: &mut Random, system: &SystemSpec, ring: &Ring) {
        if !random.one_in(10) {
            return;
        }
        self.conditions.outage.chips.insert(random.below(CHIPS.into()) as u32);
        if random.one_in(2) {
            self.conditions.placement = system.place(CHIPS, &ring.program.links, &self.conditions.outage).unwrap();
            // A dead cable of the node that is left is of no account.
            self.kinds.retain(|kind| *kind != KINDS[4]);
            self.strikes(6);
        } else {
            self.strikes(5);
        }
    }

    fn memory(&mut self, random: &mut Random) {
        let (single, double) = (random.one_in(2), random.one_in(20));
        self.flips = (0..ENTRIES)
            .map(|_| {
                let mut flips = Vec::new();
                let bit = random.below(137);
                if single {
                    flips.push((place(random), random.below(20) as u8, vec![bit as u8]));
                }
                if double {
                    let other = (bit + 1 + random.below(136)) % 137;
                    flips.push((place(random), random.below(20) as u8, vec![bit as u8, other as u8]));
                }
                flips
            })
            .collect();
        for (kind, _) in [(2, single), (3, double)].into_iter().filter(|(_, strikes)| *strikes) {
            self.strikes(kind);
        }
    }

    fn beyond(&self) -> bool {
        self.kinds.contains(&KINDS[7])
    }
}

/// A word that the program reads.
fn place(random: &mut Random) -> Word {
    let places = [(Hemisphere::West, 0), (Hemisphere::East, 0), (Hemisphere::East, 1)];
    let (hemisphere, slice) = places[random.below(3) as usize];
    Word { chip: random.below(CHIPS.into()) as u32, hemisphere, slice, bank: 0, word: 0 }
}

/// What a seeded run came to.
#[derive(Debug, PartialEq)]
struct Outcome {
    reports: Vec<(u64, [u8; 32], u128, u128)>,
    counts: BTreeMap<&'static str, u64>,
    fault: Option<Fault>,
    /// What is wrong although nothing was reported.
    wrong: Option<String>,
}

fn bytes(numbers: &[Numbers]) -> Vec<u8> {
    numbers.iter().flatten().map(|number| *number as u8).collect()
}

fn run(ring: &Ring, linked: &Linked<'_>, plan: &Plan, threads: usize) -> Outcome {
    let mut simulator = Simulator::new(linked, Kernels::detect(), threads).unwrap();
    simulator.set_conditions(plan.conditions.clone());
    let lanes = ring.program.machine.lanes();
    let mut states: Vec<Numbers> =
        (0..CHIPS).map(|chip| (0..lanes).map(|lane| ((lane + chip) % 7) as i8).collect()).collect();
    let mut totals: Vec<Numbers> = vec![vec![0; lanes as usize]; CHIPS as usize];
    simulator.write("x", &bytes(&states)).unwrap();
    let mut outcome = Outcome { reports: Vec::new(), counts: BTreeMap::new(), fault: None, wrong: None };
    for flips in &plan.flips {
        for (word, superlane, bits) in flips {
            for bit in bits {
                simulator.flip(*word, *superlane, *bit);
            }
        }
        ring.expect(&mut states, &mut totals);
        match once(ring, &mut simulator, &states, &totals, &mut outcome.wrong) {
            Ok(report) => {
                let Report { cycles, trace_digest, elapsed, corrected, link_corrected, replays, .. } = report;
                outcome.reports.push((cycles, trace_digest, elapsed.least, elapsed.most));
                let counts = [
                    ("reads of memory corrected", corrected),
                    ("vectors corrected", link_corrected),
                    ("runs made again", replays.into()),
                ];
                for (what, count) in counts {
                    *outcome.counts.entry(what).or_default() += count;
                }
            }
            Err(Error::Fault(fault)) => {
                outcome.fault = Some(fault);
                break;
            }
            Err(error) => panic!("{error}"),
        }
    }
    outcome
}

/// One run of the entry, and its outputs held against what they must be.
fn once(
    ring: &Ring,
    simulator: &mut Simulator<'_>,
    states: &[Numbers],
    totals: &[Numbers],
    wrong: &mut Option<String>,
) -> Result<Report, Error> {
    let report = simulator.run_replaying("main", REPLAYS)?;
    let read = [("y", simulator.read("y")?, bytes(states)), ("total", simulator.read("total")?, bytes(totals))];
    for (name, found, expected) in read {
        if found != expected {
            *wrong = Some(format!("output {name} differs and nothing was said"));
        }
    }
    if report.cycles != ring.program.entries[0].cycles {
        *wrong = Some(format!("{} cycles", report.cycles));
    }
    Ok(report)
}

#[test]
fn a_thousand_seeded_runs_are_right_or_say_what_failed() {
    let system = ring::system(16);
    let ring = Ring::new(&system, CHIPS);
    let linked = Linked::new(&ring.program).unwrap();
    let nominal = run(&ring, &linked, &Plan { flips: vec![Vec::new(); ENTRIES], ..Plan::default() }, 1);
    assert_eq!(nominal.reports.len(), ENTRIES);
    let mut tally = Tally::default();
    for seed in 0..SEEDS {
        let plan = Plan::new(seed, &system, &ring);
        let outcome = run(&ring, &linked, &plan, 1);
        assert_eq!(outcome, run(&ring, &linked, &plan, 2), "seed {seed}: over threads");
        assert_eq!(outcome.wrong, None, "seed {seed}");
        for (report, nominal) in outcome.reports.iter().zip(&nominal.reports) {
            assert_eq!((report.0, report.1), (nominal.0, nominal.1), "seed {seed}: cycles and digest");
            let (cycles, time) = (u128::from(report.0), u128::from(report.0) * 1_000_000);
            let off = cycles * if plan.beyond() { 750 } else { 100 } + 1_000_000;
            assert!(report.2 >= time - off && report.3 <= time + off, "seed {seed}: elapsed {report:?}");
        }
        tally.add(&plan, &outcome);
    }
    let table = tally.table();
    println!("{table}");
    compare(&table);
}

/// What happened, and what came of it.
#[derive(Default)]
struct Tally {
    /// By kind of fault: seeded runs in which it may strike, and of these those that are right.
    kinds: BTreeMap<&'static str, (u64, u64)>,
    counts: BTreeMap<&'static str, u64>,
    faults: BTreeMap<String, u64>,
}

impl Tally {
    fn add(&mut self, plan: &Plan, outcome: &Outcome) {
        let right = u64::from(outcome.fault.is_none());
        for kind in plan.kinds.iter().chain(&["all"]) {
            let (strikes, rights) = self.kinds.entry(kind).or_default();
            (*strikes, *rights) = (*strikes + 1, *rights + right);
        }
        for (what, count) in &outcome.counts {
            *self.counts.entry(what).or_default() += count;
        }
        if let Some(fault) = &outcome.fault {
            assert!(fault.kind.is_of_hardware() || (fault.kind == FaultKind::LinkLate && plan.beyond()), "{fault}");
            *self.faults.entry(fault.kind.to_string()).or_default() += 1;
        }
    }

    fn table(&self) -> String {
        let mut text = format!("{HEAD}\n| --- | --- | --- | --- |\n");
        for kind in KINDS.iter().chain(&["all"]) {
            let (strikes, right) = self.kinds[kind];
            writeln!(text, "| {kind} | {strikes} | {right} | {} |", strikes - right).unwrap();
        }
        let faults = self.faults.iter().map(|(kind, count)| format!("{count} `{kind}`"));
        writeln!(text, "| reports | | | {} |", faults.collect::<Vec<_>>().join(", ")).unwrap();
        for (what, count) in &self.counts {
            writeln!(text, "| {what} | | {count} | |").unwrap();
        }
        text
    }
}

const HEAD: &str = "| what may strike | seeded runs | right in every bit and cycle | reported as failed |";

/// Holds the table against the one in the documentation.
fn compare(table: &str) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reliability.md");
    let text = std::fs::read_to_string(path).unwrap();
    let begin = text.find(HEAD).unwrap();
    let end = begin + text[begin..].find("\n\n").map_or(text.len() - begin, |end| end + 1);
    if text[begin..end] == *table {
        return;
    }
    assert!(std::env::var_os("LOCKSTEP_BLESS").is_some(), "docs/reliability.md has another table than\n{table}");
    std::fs::write(path, [&text[..begin], table, &text[end..]].concat()).unwrap();
}
