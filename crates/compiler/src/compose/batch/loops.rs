//! Loops: the shortest interval at which a body's turns can begin.

use std::cell::RefCell;

use lockstep_machine::spec::MachineSpec;
use lockstep_program::builder::BlockBuilder;

use crate::compose::Composer;
use crate::compose::timeline::Timeline;
use crate::error::Error;
use crate::place::layout::{Layout, Run};

/// Intervals above this are given up.
const INTERVAL_MAX: u64 = 2000;

/// How many identities may keep an output: what is tried for each interval.
const KEPT: [usize; 3] = [5, 3, 2];
/// From how many near slices the search for words begins.
const TURNS: u32 = 5;

/// What all loops need.
#[derive(Clone, Copy)]
pub(crate) struct Loops<'s, 'b, 'l> {
    pub(crate) spec: &'s MachineSpec,
    pub(crate) layout: &'l Layout,
    pub(crate) codebooks: &'b [([i8; 16], Vec<Run>)],
    pub(crate) turns: u32,
    pub(crate) name: &'l str,
}

/// Where loops of one kind were found to fit: others begin the search there.
pub(crate) type Found = RefCell<Vec<Option<Try>>>;

/// One way to schedule a loop's body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Try {
    interval: u64,
    /// Identities that may keep an output.
    identities: usize,
    /// Where near words are sought first.
    turn: u32,
}

impl<'s, 'b> Loops<'s, 'b, '_> {
    /// Schedules a loop with the shortest interval that is found.
    pub(super) fn schedule<T>(
        &self,
        found: &mut Option<Try>,
        body: impl Fn(&mut Composer<'s, 'b>) -> Result<T, Error>,
    ) -> Result<(Composer<'s, 'b>, T), Error> {
        let composer = |interval| {
            let mut c = Composer::new(self.name, self.spec, self.layout, self.codebooks, interval);
            c.layout.set_turns(self.turns);
            c.layout.widen();
            c
        };
        let attempt = |what: Try| {
            let mut c = composer(Some(what.interval));
            c.identities = what.identities;
            c.layout.turn_by(what.turn);
            match body(&mut c) {
                Ok(made) => Ok(Some((c, made))),
                Err(Error::NoSlot { .. }) if what.interval < INTERVAL_MAX => Ok(None),
                Err(error) => Err(error),
            }
        };
        let mut interval = if let Some(what) = *found {
            if let Some(done) = attempt(what)? {
                return Ok(done);
            }
            what.interval
        } else {
            let mut once = composer(None);
            body(&mut once)?;
            once.taken.least_interval().max(1)
        };
        loop {
            for turn in 0..TURNS {
                for identities in KEPT {
                    let what = Try { interval, identities, turn };
                    if let Some(done) = attempt(what)? {
                        *found = Some(what);
                        return Ok(done);
                    }
                }
            }
            interval += (interval / 24).max(1);
        }
    }

    /// A block of one loop.
    pub(crate) fn block(
        &self,
        body: impl Fn(&mut Composer<'s, 'b>) -> Result<(), Error>,
    ) -> Result<BlockBuilder<'s>, Error> {
        let (c, ()) = self.schedule(&mut None, body)?;
        let mut timeline = Timeline::new(self.name, self.spec);
        timeline.looped(c, self.turns);
        timeline.finish()
    }
}
