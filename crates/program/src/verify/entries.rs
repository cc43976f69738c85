//! Entries: instances in time, what they find on each chip, and the predicted cycles.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_machine::access::{Effect, Place};

use super::facts::{Facts, Lasting};
use super::layout::text_words;
use super::links::{self, Crossings};
use super::report::{Report, Violation, ViolationKind};
use super::state::{Chip, Found};
use crate::program::{BindingKind, Entry, Program};

/// Runs an entry on all chips; `found` is called with the place of an instance in the entry and each operand that it
/// reads from a lasting place. Returns the cycle after the last effect.
pub(crate) fn run(
    program: &Program<'_>,
    facts: &[Facts],
    entry: &Entry,
    report: &mut Report,
    found: &mut impl FnMut(&mut Report, usize, &Lasting, Found),
) -> u64 {
    let mut crossings = Crossings::default();
    let mut apart = true;
    let end_of = |place: usize| entry.instances[place].start + facts[entry.instances[place].block as usize].cycles;
    let end = (0..entry.instances.len()).map(end_of).max().unwrap_or(0);
    let chips: BTreeSet<u32> = entry.instances.iter().map(|instance| instance.chip).collect();
    for chip in chips {
        let on_chip = |place: &usize| entry.instances[*place].chip == chip;
        let places: Vec<usize> = (0..entry.instances.len()).filter(on_chip).collect();
        if overlap(program, entry, &places, end_of, report) {
            // In what order they touch memory is not known, so nothing can be said about what they find there.
            apart = false;
            continue;
        }
        let mut state = Chip::new(program, facts, chip, text_words(program, chip));
        for place in places {
            let instance = &entry.instances[place];
            if let Some(cycle) = facts[instance.block as usize].aligned {
                crossings.aligned.entry(chip).or_default().push(instance.start + cycle);
            }
            state.run(instance, report, &mut |report, access, origin| found(report, place, access, origin));
        }
        outputs(program, entry, &mut state, (chip, end), report);
        for (lists, list) in
            [(&mut crossings.sent, &state.traffic.sent), (&mut crossings.received, &state.traffic.received)]
        {
            for crossing in list {
                lists.entry((chip, crossing.link)).or_default().push(*crossing);
            }
        }
    }
    if apart {
        links::check(program, facts, &crossings, report);
    }
    end
}

/// Instances of a chip come one after the other, in time and in the entry.
fn overlap(
    program: &Program<'_>,
    entry: &Entry,
    places: &[usize],
    end_of: impl Fn(usize) -> u64,
    report: &mut Report,
) -> bool {
    let mut found = false;
    for pair in places.windows(2) {
        let (before, after) = (&entry.instances[pair[0]], &entry.instances[pair[1]]);
        let end = end_of(pair[0]);
        if after.start < end {
            found = true;
            let name = |block: u32| &program.blocks[block as usize].name;
            let message =
                format!("block {} starts here, {} before it ends at {end}", name(after.block), name(before.block));
            report.add(|| Violation::whole(ViolationKind::Overlap, after.chip, after.start, message));
        }
    }
    found
}

/// All words of outputs hold something when the entry ends.
fn outputs(program: &Program<'_>, entry: &Entry, state: &mut Chip<'_>, (chip, end): (u32, u64), report: &mut Report) {
    for binding in program.bindings.iter().filter(|binding| binding.kind == BindingKind::Output) {
        for (place, word) in binding.words.iter().enumerate().filter(|(_, word)| word.chip == chip) {
            if !state.is_written(*word) {
                let message = format!("nothing writes word {place} of output {} in entry {}", binding.name, entry.name);
                report.add(|| Violation::whole(ViolationKind::EmptyRead, chip, end, message));
            }
        }
    }
}

/// Each word of an output is written by an instruction of some entry. What it held before the first run hides a write to
/// another word from [`outputs`].
pub(crate) fn check_written(program: &Program<'_>, facts: &[Facts], report: &mut Report) {
    let mut missing = BTreeMap::new();
    for binding in program.bindings.iter().filter(|binding| binding.kind == BindingKind::Output) {
        for (place, word) in binding.words.iter().enumerate() {
            let bank = (word.chip, word.hemisphere, word.slice, word.bank);
            missing.insert((bank, i64::from(word.word)), (binding, place));
        }
    }
    for instance in program.entries.iter().flat_map(|entry| &entry.instances) {
        for access in &facts[instance.block as usize].lasting {
            let (side, slice, bank, address, words) = match access.place {
                _ if matches!(access.effect, Effect::Read { .. }) => continue,
                Place::Word(side, slice, bank, address) => (side, slice, bank, address, 1),
                Place::Words(side, slice, bank, address, words) => (side, slice, bank, address, words),
                _ => continue,
            };
            let bank = (instance.chip, side, slice, bank);
            let first = i64::from(address.word) + i64::from(instance.offsets[usize::from(address.base)]);
            for word in first..first + i64::from(words) {
                missing.remove(&(bank, word));
            }
        }
    }
    for (((chip, ..), _), (binding, place)) in missing {
        let message = format!("no entry writes word {place} of output {}", binding.name);
        report.add(|| Violation::whole(ViolationKind::EmptyRead, chip, 0, message));
    }
}

/// The predicted cycles of an entry and its phases.
pub(crate) fn check_cycles(entry: &Entry, end: u64, report: &mut Report) {
    let mut wrong = |cycle: u64, message: String| {
        report.add(|| Violation::whole(ViolationKind::CycleMismatch, 0, cycle, message));
    };
    if end != entry.cycles {
        wrong(end, format!("entry {} takes {end} cycles, predicted are {}", entry.name, entry.cycles));
        return;
    }
    let mut covered = 0_u64;
    for phase in &entry.phases {
        if phase.start != covered {
            wrong(phase.start, format!("phase {} starts here, the one before it ends at {covered}", phase.name));
        }
        covered = phase.start.saturating_add(phase.cycles);
    }
    if covered != end {
        wrong(covered, format!("the phases of entry {} end here, the entry at {end}", entry.name));
    }
}
