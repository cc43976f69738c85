//! What crosses the links in an entry: held against what flights and the drift of clocks may be at most, once, and
//! against what they are under given conditions.

use lockstep_machine::access::{drift_slack, exchange_cycles};
use lockstep_machine::geometry::Queue;
use lockstep_machine::network::Cable;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::Program;
use lockstep_program::program::Entry;

use crate::clock::{Clock, Elapsed};
use crate::conditions::{Conditions, MILLION};
use crate::fault::{Fault, FaultKind, LocalFault, Unit};

/// All that crosses the links of an entry.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// By link of the program.
    links: Vec<Crossings>,
    /// By chip: cycles from which on its clock is in line, beside the entry's start.
    aligned: Vec<Vec<u64>>,
}

/// What crosses the links of one chip, and when its clock is in line.
#[derive(Debug)]
pub(crate) struct Ends {
    /// By link, the cycles of the sends' issues.
    pub(crate) sent: Vec<Vec<u64>>,
    /// By link, the cycles of the receives.
    pub(crate) received: Vec<Vec<(u64, Queue)>>,
    pub(crate) aligned: Vec<u64>,
}

impl Ends {
    pub(crate) fn new(links: usize) -> Self {
        Self { sent: vec![Vec::new(); links], received: vec![Vec::new(); links], aligned: Vec::new() }
    }
}

/// Vectors cross only links that lead somewhere.
pub(crate) fn check_connected(program: &Program<'_>, chips: &[Ends]) -> Result<(), Fault> {
    let links = program.machine.c2c.links as usize;
    let (mut out, mut into) = (vec![false; chips.len() * links], vec![false; chips.len() * links]);
    for link in &program.links {
        out[link.from_chip as usize * links + usize::from(link.from_link)] = true;
        into[link.to_chip as usize * links + usize::from(link.to_link)] = true;
    }
    for (at, (out, into)) in out.into_iter().zip(into).enumerate() {
        let (chip, link) = (at / links, at % links);
        let sent = chips[chip].sent[link].first().filter(|_| !out).map(|cycle| (*cycle, Queue::Send(link as u8)));
        let received = chips[chip].received[link].first().filter(|_| !into).copied();
        if let Some(at) = sent.or(received) {
            let message = format!("link {link} is not connected on this side");
            return Err(fault(FaultKind::Unconnected, at, message).at(chip as u32, 0));
        }
    }
    Ok(())
}

/// Vectors that cross one link.
#[derive(Debug, Default)]
struct Crossings {
    /// Cycles of the sends' issues, as they are found at the receiving side.
    sent: Vec<u64>,
    received: Vec<(u64, Queue)>,
}

/// A link with what crosses it and the clocks at its ends.
struct Wire<'a> {
    spec: &'a MachineSpec,
    link: &'a Cable,
    crossings: &'a Crossings,
    /// The sender's alignments and the receiver's.
    aligned: [&'a [u64]; 2],
}

impl Traffic {
    pub(crate) fn new(program: &Program<'_>, chips: Vec<Ends>) -> Self {
        let crossings = |link: &Cable| Crossings {
            sent: chips[link.from_chip as usize].sent[usize::from(link.from_link)].clone(),
            received: chips[link.to_chip as usize].received[usize::from(link.to_link)].clone(),
        };
        let links = program.links.iter().map(crossings).collect();
        Self { links, aligned: chips.into_iter().map(|chip| chip.aligned).collect() }
    }

    fn wires<'a>(&'a self, program: &'a Program<'_>) -> impl Iterator<Item = Wire<'a>> {
        program.links.iter().zip(&self.links).map(|(link, crossings)| Wire {
            spec: &program.machine,
            link,
            crossings,
            aligned: [link.from_chip, link.to_chip].map(|chip| self.aligned[chip as usize].as_slice()),
        })
    }

    /// Every vector is there when it is taken, and never are more waiting than the receiver holds.
    pub(crate) fn check(&self, program: &Program<'_>) -> Result<(), Fault> {
        self.wires(program).try_for_each(|wire| {
            let checked = wire.check_late().and_then(|()| wire.check_room());
            checked.map_err(|fault| fault.at(wire.link.to_chip, 0))
        })
    }

    /// When an entry ends on its chips, in the so manieth run under conditions; a fault, of several the earliest, if
    /// something comes too late then, too early, or not at all.
    pub(crate) fn elapsed(
        &self,
        program: &Program<'_>,
        entry: &Entry,
        conditions: &Conditions,
        run: u64,
    ) -> Result<Elapsed, Fault> {
        if conditions.is_nominal() {
            // The check has looked at the worst that may come.
            return Ok(Elapsed::nominal(entry.cycles));
        }
        let mut chips: Vec<u32> = entry.instances.iter().map(|instance| instance.chip).collect();
        chips.dedup();
        if let Some(chip) = chips.iter().find(|chip| conditions.outage.chips.contains(&conditions.place(**chip))) {
            let message =
                format!("chip {} of the system is out of order: place the program elsewhere", conditions.place(*chip));
            return Err(Fault { kind: FaultKind::ChipDead, cycle: 0, chip: *chip, unit: Unit(None), message });
        }
        let clock = |chip: u32| Clock::new(conditions, chip, &self.aligned[chip as usize]);
        let faults = self.wires(program).enumerate().filter_map(|(index, wire)| {
            let clocks = [clock(wire.link.from_chip), clock(wire.link.to_chip)];
            let fault = wire.under(conditions, &clocks, run, index).err()?;
            Some(fault.at(wire.link.to_chip, 0))
        });
        match faults.min_by_key(|fault| (fault.cycle, fault.chip)) {
            Some(fault) => Err(fault),
            None => Ok(Elapsed::of(chips.into_iter().map(clock), entry.cycles)),
        }
    }
}

fn fault(kind: FaultKind, (cycle, queue): (u64, Queue), message: String) -> LocalFault {
    LocalFault::new(kind, cycle, queue, message)
}

fn too_many(waiting: usize, holds: usize, at: (u64, Queue)) -> LocalFault {
    let message = format!("{waiting} vectors may wait at once, the receiver holds {holds}");
    fault(FaultKind::LinkOverflow, at, message)
}

impl Wire<'_> {
    fn check_late(&self) -> Result<(), LocalFault> {
        let late = |at, nth: usize, what: &str| {
            Err(fault(FaultKind::LinkLate, at, format!("vector {nth} of the link {what}")))
        };
        for (nth, &(cycle, queue)) in self.crossings.received.iter().enumerate() {
            let Some(&sent) = self.crossings.sent.get(nth) else { return late((cycle, queue), nth, "is never sent") };
            let (age, slack) = self.slack(sent, cycle);
            if slack > self.spec.c2c.slack_max_cycles.into() {
                let message = format!("vector {nth} of the link: its chips were aligned {age} cycles ago");
                return Err(fault(FaultKind::Unaligned, (cycle, queue), message));
            }
            if sent + u64::from(exchange_cycles(self.spec)) + slack > cycle {
                return late((cycle, queue), nth, "may still be on its way");
            }
        }
        Ok(())
    }

    fn check_room(&self) -> Result<(), LocalFault> {
        let Crossings { sent, received } = self.crossings;
        let shortest = u64::from(self.sending() + self.spec.c2c.latency_min_cycles);
        for (nth, &sent) in sent.iter().enumerate() {
            let arrives = sent + shortest;
            let is_taken = |&(cycle, _): &(u64, Queue)| cycle + self.slack(sent, cycle).1 < arrives;
            if self.finds_room(nth, is_taken) {
                continue;
            }
            let waiting = nth + 1 - received.iter().filter(|taken| is_taken(taken)).count().min(nth + 1);
            return Err(too_many(waiting, self.holds(), (arrives, self.receiver())));
        }
        Ok(())
    }

    /// All that would not fit beside a vector was taken if the one so many places before it was.
    fn finds_room(&self, nth: usize, is_taken: impl Fn(&(u64, Queue)) -> bool) -> bool {
        nth.checked_sub(self.holds()).is_none_or(|before| self.crossings.received.get(before).is_some_and(is_taken))
    }

    fn holds(&self) -> usize {
        self.spec.c2c.fifo_vectors as usize
    }

    /// Cycles from a send's issue until the vector has left.
    fn sending(&self) -> u32 {
        self.spec.c2c.send_delay + self.spec.c2c.vector_cycles
    }

    fn receiver(&self) -> Queue {
        Queue::Receive(self.link.to_link)
    }

    /// How long ago the clocks of a send and a receive were aligned, and the cycles by which they may differ.
    fn slack(&self, sent: u64, received: u64) -> (u64, u64) {
        let last = |aligned: &[u64], cycle: u64| match aligned.partition_point(|end| *end <= cycle) {
            0 => 0,
            later => aligned[later - 1],
        };
        let (of_send, of_receive) = (last(self.aligned[0], sent), last(self.aligned[1], received));
        let age = (sent + u64::from(self.sending()) - of_send).max(received - of_receive);
        let same = self.link.from_chip == self.link.to_chip && of_send == of_receive;
        (age, if same { 0 } else { drift_slack(self.spec, age) })
    }

    /// Whether all vectors come in time and find room when clocks and flights are what they are.
    fn under(
        &self,
        conditions: &Conditions,
        clocks: &[Clock<'_>; 2],
        run: u64,
        index: usize,
    ) -> Result<(), LocalFault> {
        let Crossings { sent, received } = self.crossings;
        self.check_cable(conditions)?;
        let [sender, receiver] = clocks;
        let same = self.link.from_chip == self.link.to_chip;
        let mut before = i128::MIN;
        for (nth, &cycle) in sent.iter().enumerate() {
            let flight = conditions.flight(self.spec, run, index, nth);
            let flight = if same { sender.own(flight) } else { flight };
            // Vectors do not overtake each other.
            let arrives = (sender.edge(cycle, self.sending()) + flight).max(before);
            before = arrives;
            if let Some(&(taken, queue)) = received.get(nth)
                && receiver.edge(taken, 0) < arrives
            {
                let late = (arrives - receiver.edge(taken, 0)) as u128;
                let message = format!("vector {nth} of the link comes {} cycles late", in_cycles(late));
                return Err(fault(FaultKind::LinkLate, (taken, queue), message));
            }
            let is_taken = |&(cycle, _): &(u64, Queue)| receiver.edge(cycle, 0) < arrives;
            if !self.finds_room(nth, is_taken) {
                let waiting = nth + 1 - received.iter().filter(|taken| is_taken(taken)).count().min(nth + 1);
                let at = cycle + u64::from(self.sending()) + (flight / MILLION) as u64;
                return Err(too_many(waiting, self.holds(), (at, self.receiver())));
            }
        }
        Ok(())
    }

    /// Nothing comes over a cable that is out of order, or from a chip that is.
    fn check_cable(&self, conditions: &Conditions) -> Result<(), LocalFault> {
        let Cable { from_chip, from_link, to_chip, to_link } = *self.link;
        let (from_chip, to_chip) = (conditions.place(from_chip), conditions.place(to_chip));
        let cable = Cable { from_chip, from_link, to_chip, to_link };
        match self.crossings.received.first() {
            Some(at) if conditions.outage.cuts(&cable) => {
                let message = format!("nothing comes: the cable from {cable} is out of order; compile without it");
                Err(fault(FaultKind::LinkDead, *at, message))
            }
            _ => Ok(()),
        }
    }
}

/// A time in cycles, with its millionths.
fn in_cycles(millionths: u128) -> String {
    format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000)
}
