//! Links between chips: every vector leads somewhere, is there when it is taken, and finds room when it comes, however
//! far the clocks of both chips have drifted since they were aligned.
//!
//! # Why the bound on drift holds
//!
//! A chip's clock is in line with program time at the entry's start and where a `runtime_deskew` ends, but for its phase,
//! less than a cycle. From there on an edge that program time puts n cycles later comes up to `n x ppm` millionths of a
//! cycle early or late. What leaves n cycles after its chip's alignment and is taken m cycles after that of the other
//! chip is nearer together or farther apart than program time says by less than `(n + m) x ppm` millionths of a cycle,
//! and one cycle for the phases: [`Clocks::slack`] has `2 max(n, m)` in place of `n + m`. The time on the cable has no
//! clock.
//!
//! A chip that sends to itself counts both by one clock, and the cable is part of the chip: there is no drift, unless the
//! clock was aligned in between.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_machine::network::Cable;
use lockstep_machine::spec::MachineSpec;

use super::facts::{Facts, Site};
use super::report::{Report, Violation, ViolationKind};
use super::state::Crossing;
use crate::program::Program;

/// What crossed the links of an entry, by chip and link, and when chips were aligned, each in the order of time.
#[derive(Default)]
pub(super) struct Crossings {
    pub(super) sent: BTreeMap<(u32, u8), Vec<Crossing>>,
    pub(super) received: BTreeMap<(u32, u8), Vec<Crossing>>,
    pub(super) aligned: BTreeMap<u32, Vec<u64>>,
}

/// Everything that is wrong with what crosses the links.
pub(super) fn check(program: &Program<'_>, facts: &[Facts], crossings: &Crossings, report: &mut Report) {
    let out: BTreeSet<(u32, u8)> = program.links.iter().map(|link| (link.from_chip, link.from_link)).collect();
    let into: BTreeSet<(u32, u8)> = program.links.iter().map(|link| (link.to_chip, link.to_link)).collect();
    for (lists, connected) in [(&crossings.sent, &out), (&crossings.received, &into)] {
        for ((chip, link), list) in lists.iter().filter(|(side, _)| !connected.contains(side)) {
            let message = format!("link {link} of chip {chip} is not connected on this side");
            report.add(|| crossing(facts, ViolationKind::Unconnected, *chip, &list[0], message));
        }
    }
    for link in &program.links {
        let wire = Wire {
            spec: &program.machine,
            facts,
            chip: link.to_chip,
            clocks: Clocks::new(&program.machine, link, &crossings.aligned),
            sent: of_side(&crossings.sent, (link.from_chip, link.from_link)),
            received: of_side(&crossings.received, (link.to_chip, link.to_link)),
        };
        wire.late(report);
        wire.overflow(report);
    }
}

fn crossing(facts: &[Facts], kind: ViolationKind, chip: u32, crossing: &Crossing, message: String) -> Violation {
    let site = Site { chip, start: 0 };
    facts[crossing.block as usize].violation(kind, site, crossing.cycle, crossing.issue, message)
}

/// The clocks at the two ends of a link.
struct Clocks<'a> {
    spec: &'a MachineSpec,
    /// There is one clock at both ends.
    same: bool,
    /// When they are aligned, beside the entry's start.
    sender: &'a [u64],
    receiver: &'a [u64],
}

impl<'a> Clocks<'a> {
    fn new(spec: &'a MachineSpec, link: &Cable, aligned: &'a BTreeMap<u32, Vec<u64>>) -> Self {
        let of = |chip| aligned.get(&chip).map_or(&[][..], Vec::as_slice);
        Self { spec, same: link.from_chip == link.to_chip, sender: of(link.from_chip), receiver: of(link.to_chip) }
    }

    /// How long ago the clocks were aligned, the one for which that is longer, and the cycles by which they may differ.
    fn slack(&self, send: u64, receive: u64) -> (u64, u64) {
        let last = |aligned: &[u64], cycle: u64| {
            let before = aligned.partition_point(|end| *end <= cycle);
            before.checked_sub(1).map_or(0, |last| aligned[last])
        };
        let (since_send, since_receive) = (last(self.sender, send), last(self.receiver, receive));
        let left = send + u64::from(self.spec.c2c.send_delay) + u64::from(self.spec.c2c.vector_cycles);
        let age = (left - since_send).max(receive - since_receive);
        if self.same && since_send == since_receive {
            return (age, 0);
        }
        let drift = (2 * u128::from(self.spec.time.drift_ppm_max) * u128::from(age)).div_ceil(1_000_000);
        (age, u64::try_from(drift).unwrap_or(u64::MAX).saturating_add(1))
    }
}

/// A link and all that crosses it.
struct Wire<'a> {
    spec: &'a MachineSpec,
    facts: &'a [Facts],
    /// The receiving chip.
    chip: u32,
    clocks: Clocks<'a>,
    sent: &'a [Crossing],
    received: &'a [Crossing],
}

fn of_side(lists: &BTreeMap<(u32, u8), Vec<Crossing>>, side: (u32, u8)) -> &[Crossing] {
    lists.get(&side).map_or(&[], Vec::as_slice)
}

impl Wire<'_> {
    /// Cycles from the issue of a send to its vector's arrival, by the same clock.
    fn flight(&self, latency: u32) -> u64 {
        u64::from(self.spec.c2c.send_delay) + u64::from(self.spec.c2c.vector_cycles) + u64::from(latency)
    }

    /// What is taken has come, and its clocks were aligned not long ago.
    fn late(&self, report: &mut Report) {
        let longest = self.flight(self.spec.c2c.latency_max_cycles);
        let most = u64::from(self.spec.c2c.slack_max_cycles);
        for (nth, taken) in self.received.iter().enumerate() {
            let Some(send) = self.sent.get(nth) else {
                let message = format!("vector {nth} of the link is never sent");
                report.add(|| crossing(self.facts, ViolationKind::LinkLate, self.chip, taken, message));
                continue;
            };
            let (age, slack) = self.clocks.slack(send.cycle, taken.cycle);
            let (kind, message) = if slack > most {
                let message = format!(
                    "vector {nth} of the link: the chips were aligned too long ago, {age} cycles: they may differ by \
                     {slack}, at most {most} are allowed; align them before"
                );
                (ViolationKind::Unaligned, message)
            } else if taken.cycle < (send.cycle + longest).saturating_add(slack) {
                let at = send.cycle + longest + slack;
                let message = format!("vector {nth} of the link may come at {at} only, {slack} of it for drift");
                (ViolationKind::LinkLate, message)
            } else {
                continue;
            };
            report.add(|| {
                let mut violation = crossing(self.facts, kind, self.chip, taken, message);
                violation.other = Some(self.facts[send.block as usize].other(send.issue));
                violation
            });
        }
    }

    /// Vectors that may wait at once: those that may have come, less those taken before this one can come.
    fn overflow(&self, report: &mut Report) {
        let shortest = self.flight(self.spec.c2c.latency_min_cycles);
        for (nth, send) in self.sent.iter().enumerate() {
            let arrives = send.cycle + shortest;
            // An alignment takes longer than what it takes away of the slack, so the order of time is kept.
            let is_taken = |taken: &Crossing| {
                let (_, slack) = self.clocks.slack(send.cycle, taken.cycle);
                taken.cycle.saturating_add(slack) < arrives
            };
            let taken = self.received.partition_point(is_taken).min(nth + 1);
            let waiting = nth + 1 - taken;
            if waiting > self.spec.c2c.fifo_vectors as usize {
                let holds = self.spec.c2c.fifo_vectors;
                let message = format!("{waiting} vectors may wait at once, the receiver holds {holds}");
                report.add(|| {
                    let mut violation = crossing(self.facts, ViolationKind::LinkOverflow, self.chip, send, message);
                    violation.cycle = arrives;
                    violation
                });
            }
        }
    }
}
