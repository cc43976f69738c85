//! Vectors on their way between chips. A program that was linked says for each receive which send it takes, so queues
//! without times are enough, and no order of threads can change a value.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use lockstep_program::Program;

use crate::chip::Ports;
use crate::value::Bytes;

#[derive(Default)]
struct Wire {
    vectors: VecDeque<Bytes>,
    /// The sender has ended: nothing more will come.
    closed: bool,
}

/// All links of a run.
pub(crate) struct Exchange {
    wires: Mutex<Vec<Wire>>,
    changed: Condvar,
}

impl Exchange {
    pub(crate) fn new(links: usize) -> Self {
        Self { wires: Mutex::new((0..links).map(|_| Wire::default()).collect()), changed: Condvar::new() }
    }

    fn wires(&self) -> MutexGuard<'_, Vec<Wire>> {
        self.wires.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the links by which a chip sends.
    pub(crate) fn close(&self, program: &Program<'_>, chip: u32) {
        let mut wires = self.wires();
        for (wire, link) in wires.iter_mut().zip(&program.links) {
            wire.closed |= link.from_chip == chip;
        }
        self.changed.notify_all();
    }

    /// Whether a vector is there for the chip's link, or will never be.
    fn ready(wires: &[Wire], program: &Program<'_>, (chip, link): (u32, u8)) -> bool {
        match receiving(program, chip, link) {
            Some(at) => !wires[at].vectors.is_empty() || wires[at].closed,
            None => true,
        }
    }

    /// Waits until one of these receiving sides has a vector or is closed.
    pub(crate) fn wait(&self, program: &Program<'_>, blocked: &[(u32, u8)]) {
        let mut wires = self.wires();
        while !blocked.iter().any(|side| Self::ready(&wires, program, *side)) {
            wires = self.changed.wait(wires).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the sender of a link has ended and nothing is left.
    pub(crate) fn is_dead(&self, program: &Program<'_>, chip: u32, link: u8) -> bool {
        let wires = self.wires();
        receiving(program, chip, link).is_none_or(|at| wires[at].vectors.is_empty() && wires[at].closed)
    }
}

fn receiving(program: &Program<'_>, chip: u32, link: u8) -> Option<usize> {
    program.links.iter().position(|l| (l.to_chip, l.to_link) == (chip, link))
}

/// One chip's view of the links.
pub(crate) struct ChipPorts<'a> {
    pub(crate) exchange: &'a Exchange,
    pub(crate) program: &'a Program<'a>,
    pub(crate) chip: u32,
}

impl Ports for ChipPorts<'_> {
    fn send(&mut self, link: u8, vector: &Bytes) {
        let to = self.program.links.iter().position(|l| (l.from_chip, l.from_link) == (self.chip, link));
        if let Some(wire) = to {
            self.exchange.wires()[wire].vectors.push_back(*vector);
            self.exchange.changed.notify_all();
        }
    }

    fn receive(&mut self, link: u8) -> Option<Bytes> {
        let wire = receiving(self.program, self.chip, link)?;
        self.exchange.wires()[wire].vectors.pop_front()
    }
}
