//! What crosses a link in an entry, held against what its flight and the drift of clocks may be at most.

use lockstep_machine::access::{drift_slack, exchange_cycles};
use lockstep_machine::geometry::Queue;
use lockstep_machine::spec::MachineSpec;

use crate::fault::{FaultKind, LocalFault};

/// Vectors that cross one link, and when the clocks at its ends are aligned.
#[derive(Default)]
pub(crate) struct Traffic {
    /// Cycles of the sends' issues, as they are found at the receiving side.
    pub(crate) sent: Vec<u64>,
    pub(crate) received: Vec<(u64, Queue)>,
    /// Cycles from which on the sender's clock is in line, beside the entry's start.
    pub(crate) sender: Vec<u64>,
    /// The same of the receiver's.
    pub(crate) receiver: Vec<u64>,
}

/// Cycles since the last alignment.
fn since(aligned: &[u64], cycle: u64) -> u64 {
    cycle - aligned.iter().rev().find(|end| **end <= cycle).unwrap_or(&0)
}

impl Traffic {
    /// Every vector is there when it is taken, and never are more waiting than the receiver holds; `same` where the link
    /// leads back to its chip.
    pub(crate) fn check(&self, spec: &MachineSpec, same: bool) -> Result<(), LocalFault> {
        let fault = |kind, (cycle, queue): (u64, Queue), message: String| LocalFault::new(kind, cycle, queue, message);
        let late = |at, nth: usize, what: &str| {
            Err(fault(FaultKind::LinkLate, at, format!("vector {nth} of the link {what}")))
        };
        for (nth, &(cycle, queue)) in self.received.iter().enumerate() {
            let Some(&sent) = self.sent.get(nth) else { return late((cycle, queue), nth, "is never sent") };
            let (aligned, slack) = self.slack(spec, same, sent, cycle);
            if !same && slack > spec.c2c.slack_max_cycles.into() {
                let message = format!("vector {nth} of the link: its chips were aligned {aligned} cycles ago");
                return Err(fault(FaultKind::Unaligned, (cycle, queue), message));
            }
            if sent + u64::from(exchange_cycles(spec)) + slack > cycle {
                return late((cycle, queue), nth, "may still be on its way");
            }
        }
        self.check_room(spec, same)
    }

    fn check_room(&self, spec: &MachineSpec, same: bool) -> Result<(), LocalFault> {
        let shortest = u64::from(spec.c2c.send_delay + spec.c2c.vector_cycles + spec.c2c.latency_min_cycles);
        let holds = spec.c2c.fifo_vectors as usize;
        for (nth, &sent) in self.sent.iter().enumerate() {
            let arrives = sent + shortest;
            let is_taken = |&(cycle, _): &(u64, Queue)| cycle + self.slack(spec, same, sent, cycle).1 < arrives;
            // All that fit beside it were taken if the one so many places before it was.
            if nth.checked_sub(holds).is_none_or(|before| self.received.get(before).is_some_and(is_taken)) {
                continue;
            }
            let waiting = nth + 1 - self.received.iter().filter(|taken| is_taken(taken)).count().min(nth + 1);
            let queue = self.received.last().map_or(Queue::Receive(0), |(_, queue)| *queue);
            let message = format!("{waiting} vectors may wait at once, the receiver holds {holds}");
            return Err(LocalFault::new(FaultKind::LinkOverflow, arrives, queue, message));
        }
        Ok(())
    }

    /// How long ago the clocks of a send and a receive were aligned, and the cycles by which they may differ.
    fn slack(&self, spec: &MachineSpec, same: bool, sent: u64, received: u64) -> (u64, u64) {
        let ago = since(&self.sender, sent).max(since(&self.receiver, received));
        (ago, if same { 0 } else { drift_slack(spec, ago) })
    }
}
