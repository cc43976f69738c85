//! Keeping the clocks of several chips in line: when they align, and how long that takes.

use std::collections::BTreeMap;

use lockstep_machine::access::{align_cycles, aligned_cycles_max};
use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::Uint;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::builder::BlockBuilder;

use crate::chips::Chips;
use crate::error::Error;
use crate::team::Team;

/// The clocks of a program's chips.
pub(crate) struct Clock<'a> {
    spec: &'a MachineSpec,
    /// The chips that run anything.
    chips: Vec<u32>,
    /// Hops from the first of them to the farthest.
    height: u32,
}

impl<'a> Clock<'a> {
    pub(crate) fn new(chips: Chips<'a>, teams: &[Team<'_>]) -> Self {
        Self::of(chips, teams.iter().flat_map(|team| team.group.chips.iter().copied()).collect())
    }

    /// The clocks of those chips that run anything.
    pub(crate) fn of(chips: Chips<'a>, used: Vec<u32>) -> Self {
        Self { spec: chips.machine(), height: height(&used, chips), chips: used }
    }

    /// An epoch: what it takes to align chips again.
    pub(crate) fn epoch(&self) -> u64 {
        self.spec.time.epoch_cycles.into()
    }

    /// The chips that align when an entry starts, none where there is one chip, and how long that takes.
    pub(crate) fn start(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        let cycles = align_cycles(self.spec, self.height);
        self.chips.iter().filter(move |_| cycles > 0).map(move |chip| (*chip, cycles))
    }

    /// How long after an alignment chips may exchange vectors, for a block of so many cycles.
    fn aligned_cycles_max(&self, block: u64) -> Result<u64, Error> {
        let most = aligned_cycles_max(self.spec).unwrap_or_default();
        if block > most {
            return Err(Error::shape(
                "cycles of a block of several chips",
                block,
                format!("at most {most}: use other chips, or --split pipeline"),
            ));
        }
        Ok(most)
    }

    /// When a step of so many cycles on some chips can begin, not before `now`, and which of the chips align until
    /// then. None does that remains in line until the step's end; if one has to, so do all that have the time. Where a
    /// chip is free long before the step, its alignment takes none of the step's.
    pub(crate) fn align<'c>(
        &self,
        chips: impl Iterator<Item = &'c u32> + Clone,
        mut now: u64,
        cycles: u64,
        (free, aligned): (&BTreeMap<u32, u64>, &BTreeMap<u32, u64>),
    ) -> Result<(u64, Vec<u32>), Error> {
        let most = self.aligned_cycles_max(cycles)?;
        let of = |known: &BTreeMap<u32, u64>, chip: &u32| known.get(chip).copied().unwrap_or_default();
        let done = |chip: &u32| of(free, chip) + self.epoch();
        loop {
            let old = chips.clone().filter(|chip| now + cycles - of(aligned, chip) > most);
            match old.map(done).max() {
                None => return Ok((now, Vec::new())),
                Some(done_all) if done_all <= now => break,
                Some(done_all) => now = done_all,
            }
        }
        Ok((now, chips.filter(|chip| done(chip) <= now).copied().collect()))
    }

    /// A block that aligns a chip.
    pub(crate) fn block(&self, cycles: u64) -> Result<BlockBuilder<'a>, Error> {
        let mut block = BlockBuilder::new("align", self.spec);
        let shown = || Error::shape("cycles of an alignment", cycles, "fewer: a smaller system, or shorter epochs");
        let cycles = u32::try_from(cycles).ok().and_then(Uint::new).ok_or_else(shown)?;
        block.issue(0, Queue::Send(0), Inst::RuntimeDeskew { cycles })?;
        Ok(block)
    }
}

/// Hops from the first of some chips to the farthest of them.
fn height(used: &[u32], chips: Chips<'_>) -> u32 {
    let Some((network, first)) = chips.network().zip(used.first()) else { return 0 };
    let hops = network.distances(*first);
    used.iter().map(|chip| hops[*chip as usize]).max().unwrap_or_default()
}
