//! Vectors on their way between chips. A program that was linked says for each receive which send it takes, so queues
//! without times are enough, and no order of threads can change a value.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use lockstep_program::Program;

use crate::chip::Ports;
use crate::conditions::{Arrival, Conditions};
use crate::value::Bytes;

#[derive(Default)]
struct Wire {
    vectors: VecDeque<Bytes>,
    /// Vectors that were taken.
    taken: usize,
    /// Of them, those with an error that was corrected.
    corrected: u64,
    /// The sender has ended: nothing more will come.
    closed: bool,
}

/// All links of a run.
pub(crate) struct Exchange<'a> {
    wires: Mutex<Vec<Wire>>,
    changed: Condvar,
    /// By chip and link, the wire that leaves there, and the one that ends there.
    leaving: Vec<Option<usize>>,
    ending: Vec<Option<usize>>,
    /// Links of a chip.
    links: usize,
    conditions: &'a Conditions,
    /// Which run it is.
    run: u64,
}

impl<'a> Exchange<'a> {
    pub(crate) fn new(program: &Program<'_>, conditions: &'a Conditions, run: u64) -> Self {
        let links = program.machine.c2c.links as usize;
        let mut leaving = vec![None; program.chips as usize * links];
        let mut ending = leaving.clone();
        for (wire, link) in program.links.iter().enumerate() {
            leaving[link.from_chip as usize * links + usize::from(link.from_link)].get_or_insert(wire);
            ending[link.to_chip as usize * links + usize::from(link.to_link)].get_or_insert(wire);
        }
        let wires = Mutex::new(program.links.iter().map(|_| Wire::default()).collect());
        Self { wires, changed: Condvar::new(), leaving, ending, links, conditions, run }
    }

    /// The wire by which a link of a chip receives.
    fn receiving(&self, chip: u32, link: u8) -> Option<usize> {
        self.ending[chip as usize * self.links + usize::from(link)]
    }

    /// Vectors with an error that was corrected.
    pub(crate) fn corrected(&self) -> u64 {
        self.wires().iter().map(|wire| wire.corrected).sum()
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
    fn ready(&self, wires: &[Wire], (chip, link): (u32, u8)) -> bool {
        self.receiving(chip, link).is_none_or(|at| !wires[at].vectors.is_empty() || wires[at].closed)
    }

    /// Waits until one of these receiving sides has a vector or is closed.
    pub(crate) fn wait(&self, blocked: &[(u32, u8)]) {
        let mut wires = self.wires();
        while !blocked.iter().any(|side| self.ready(&wires, *side)) {
            wires = self.changed.wait(wires).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether the sender of a link has ended and nothing is left.
    pub(crate) fn is_dead(&self, chip: u32, link: u8) -> bool {
        let wires = self.wires();
        self.receiving(chip, link).is_none_or(|at| wires[at].vectors.is_empty() && wires[at].closed)
    }
}

/// One chip's view of the links.
pub(crate) struct ChipPorts<'a> {
    pub(crate) exchange: &'a Exchange<'a>,
    pub(crate) program: &'a Program<'a>,
    pub(crate) chip: u32,
    /// The number of the vector just taken, if it was lost: what was handed on is not what was sent.
    pub(crate) lost: Option<usize>,
}

impl Ports for ChipPorts<'_> {
    fn send(&mut self, link: u8, vector: &Bytes) {
        let Exchange { leaving, links, .. } = self.exchange;
        if let Some(wire) = leaving[self.chip as usize * links + usize::from(link)] {
            self.exchange.wires()[wire].vectors.push_back(*vector);
            self.exchange.changed.notify_all();
        }
    }

    fn receive(&mut self, link: u8) -> Option<Bytes> {
        let Exchange { conditions, run, .. } = *self.exchange;
        let index = self.exchange.receiving(self.chip, link)?;
        let wire = &mut self.exchange.wires()[index];
        let mut vector = wire.vectors.pop_front()?;
        let nth = wire.taken;
        wire.taken += 1;
        match conditions.arrival(run, index, nth) {
            Arrival::Sound => {}
            Arrival::Corrected => wire.corrected += 1,
            Arrival::Lost => {
                conditions.damage(run, index, nth, &mut vector[..self.program.machine.lanes() as usize]);
                self.lost = Some(nth);
            }
        }
        Some(vector)
    }
}
