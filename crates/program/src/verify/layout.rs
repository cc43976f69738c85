//! What lies where: references, links, images, bindings and text.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_machine::access::{Place, accesses};
use lockstep_machine::geometry::{Hemisphere, Queue};
use lockstep_machine::inst::INST_BYTES;
use lockstep_machine::spec::{InstructionSupply, MachineSpec};

use super::facts::{CYCLES_MAX, ISSUES_MAX};
use super::report::{Report, Violation, ViolationKind};
use crate::issues::block_issues;
use crate::program::{Binding, BindingKind, Content, Image, Program, Word};

/// Checks everything that needs no instruction to be understood; the other checks rely on it.
pub(crate) fn check(program: &Program<'_>, report: &mut Report) {
    let spec = &program.machine;
    if spec.superlanes == 0 || spec.mem.slices_per_register == 0 || spec.positions() > 255 {
        let message = "the machine needs lanes, stream registers, and at most 255 of these in a row".to_owned();
        add(report, ViolationKind::Illegal, 0, message);
        return;
    }
    references(program, report);
    links(program, report);
    images(program, report);
    bindings(program, report);
}

fn add(report: &mut Report, kind: ViolationKind, chip: u32, message: String) {
    report.add(|| Violation::whole(kind, chip, 0, message));
}

fn references(program: &Program<'_>, report: &mut Report) {
    for entry in &program.entries {
        for instance in &entry.instances {
            let message = if instance.block as usize >= program.blocks.len() {
                format!("entry {} runs block {}, there are {}", entry.name, instance.block, program.blocks.len())
            } else if instance.chip >= program.chips {
                format!("entry {} runs on chip {}, there are {}", entry.name, instance.chip, program.chips)
            } else if instance.start > CYCLES_MAX {
                format!("entry {} starts a block at {}, at most {CYCLES_MAX}", entry.name, instance.start)
            } else {
                continue;
            };
            add(report, ViolationKind::Illegal, instance.chip, message);
        }
        let order = |pair: &[crate::program::Instance]| (pair[0].chip, pair[0].start) <= (pair[1].chip, pair[1].start);
        if !entry.instances.windows(2).all(order) {
            let message = format!("instances of entry {} are not in the order of chip and start", entry.name);
            add(report, ViolationKind::Layout, 0, message);
        }
    }
}

fn links(program: &Program<'_>, report: &mut Report) {
    let known = |chip: u32, link: u8| chip < program.chips && u32::from(link) < program.machine.c2c.links;
    let (mut out, mut into) = (BTreeSet::new(), BTreeSet::new());
    for link in &program.links {
        let (from, to) = ((link.from_chip, link.from_link), (link.to_chip, link.to_link));
        if !known(from.0, from.1) || !known(to.0, to.1) {
            add(report, ViolationKind::Layout, from.0, format!("{link:?} joins sides that are not there"));
        }
        if !out.insert(from) || !into.insert(to) {
            add(report, ViolationKind::Layout, from.0, format!("{link:?} joins a side that is joined already"));
        }
    }
}

fn is_word(program: &Program<'_>, at: Word) -> bool {
    let mem = &program.machine.mem;
    at.chip < program.chips
        && u32::from(at.slice) < mem.slices_per_hemisphere
        && at.bank < 2
        && u32::from(at.word) < program.machine.words_per_bank()
}

fn images(program: &Program<'_>, report: &mut Report) {
    let per_bank = program.machine.words_per_bank();
    let mut sorted: Vec<&Image<'_>> = Vec::new();
    for image in &program.images {
        let end = u64::from(image.first.word) + u64::from(image.vectors);
        if !is_word(program, image.first) || end > u64::from(per_bank) {
            let message = format!("image {}: {} words from {:?} are not there", image.name, image.vectors, image.first);
            add(report, ViolationKind::Layout, image.first.chip, message);
            continue;
        }
        let bytes = u64::from(image.vectors) * u64::from(program.machine.lanes());
        if let Content::Bytes(held) = &image.content
            && held.len() as u64 != bytes
        {
            let message = format!("image {}: {} bytes, its words have {bytes}", image.name, held.len());
            add(report, ViolationKind::Layout, image.first.chip, message);
        }
        sorted.push(image);
    }
    sorted.sort_by_key(|image| image.first);
    for pair in sorted.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let bank = |image: &Image<'_>| Word { word: 0, ..image.first };
        let end = u32::from(before.first.word) + before.vectors;
        if bank(before) == bank(after) && end > u32::from(after.first.word) {
            let message = format!("images {} and {} lie upon each other", before.name, after.name);
            add(report, ViolationKind::Layout, after.first.chip, message);
        }
    }
}

fn bindings(program: &Program<'_>, report: &mut Report) {
    let mut inputs = BTreeSet::new();
    for binding in &program.bindings {
        let Binding { name, elements, words, .. } = binding;
        let wanted = u64::from(elements.div_ceil(program.machine.lanes())) * u64::from(binding.format.streams());
        let chip = words.first().map_or(0, |word| word.chip);
        if words.len() as u64 != wanted {
            let message = format!("binding {name}: {} words, {elements} numbers take {wanted}", words.len());
            add(report, ViolationKind::Layout, chip, message);
        }
        for word in words {
            if !is_word(program, *word) {
                add(report, ViolationKind::Layout, word.chip, format!("binding {name}: {word:?} is not there"));
            } else if binding.kind == BindingKind::Input && !inputs.insert(*word) {
                let message = format!("binding {name}: {word:?} is an input's already");
                add(report, ViolationKind::Layout, word.chip, message);
            }
        }
    }
}

/// Bytes of text that a chip keeps in its western and in its eastern hemisphere (resident supply): each block that runs
/// on it once. A queue's text lies in the queue's hemisphere; queues of the vector unit, which stands between the two,
/// have theirs in the west if their number is even and in the east if it is odd.
pub fn text_bytes(program: &Program<'_>, chip: u32) -> [u64; 2] {
    let spec = &program.machine;
    let mut bytes = [0; 2];
    if spec.instruction.supply == InstructionSupply::Streamed {
        return bytes;
    }
    let instances = program.entries.iter().flat_map(|entry| &entry.instances);
    let blocks: BTreeSet<u32> = instances.filter(|instance| instance.chip == chip).map(|i| i.block).collect();
    for text in blocks.iter().filter_map(|block| program.blocks.get(*block as usize)).flat_map(|block| &block.queues) {
        let side = match text.queue {
            Queue::Mem(side, _) | Queue::Sxm(side, _) => side,
            Queue::Load(plane) | Queue::Activate(plane) | Queue::Drain(plane) => spec.plane_hemisphere(plane),
            Queue::Send(link) | Queue::Receive(link) => spec.link_hemisphere(link),
            Queue::Alu(index) | Queue::Reduce(index) if index % 2 == 0 => Hemisphere::West,
            Queue::Alu(_) | Queue::Reduce(_) => Hemisphere::East,
        };
        bytes[usize::from(side == Hemisphere::East)] += (text.insts.len() * INST_BYTES) as u64;
    }
    bytes
}

/// Words of text in each hemisphere: from bank 0 of the first text slice on, then bank 1, then the next slice.
pub(crate) fn text_words(program: &Program<'_>, chip: u32) -> [u64; 2] {
    text_bytes(program, chip).map(|bytes| bytes.div_ceil(u64::from(program.machine.lanes())))
}

/// Whether a word holds text, where so many words of its hemisphere do.
fn holds_text(spec: &MachineSpec, at: Word, text: [u64; 2]) -> bool {
    let Some(slice) = u64::from(at.slice).checked_sub(u64::from(spec.instruction.text_first_slice)) else {
        return false;
    };
    let before = (slice * 2 + u64::from(at.bank)) * u64::from(spec.words_per_bank());
    before + u64::from(at.word) < text[usize::from(at.hemisphere == Hemisphere::East)]
}

/// Text fits into its slices, and no image or binding lies upon it.
pub(crate) fn check_text(program: &Program<'_>, report: &mut Report) {
    let spec = &program.machine;
    let chips: BTreeSet<u32> = program.entries.iter().flat_map(|e| &e.instances).map(|i| i.chip).collect();
    let text: BTreeMap<u32, [u64; 2]> = chips.into_iter().map(|chip| (chip, text_words(program, chip))).collect();
    let slices = spec.mem.slices_per_hemisphere.saturating_sub(spec.instruction.text_first_slice);
    let room = u64::from(slices) * u64::from(spec.mem.words_per_slice);
    for (chip, words) in &text {
        let most = words[0].max(words[1]);
        if most > room {
            let message = format!("{most} words of text in one hemisphere, its text slices have {room}");
            add(report, ViolationKind::TextOverflow, *chip, message);
        }
    }
    let upon = |word: Word| text.get(&word.chip).is_some_and(|text| holds_text(spec, word, *text));
    for image in &program.images {
        // Text fills banks from their first word on.
        if image.vectors > 0 && upon(image.first) {
            let message = format!("image {} lies upon text", image.name);
            add(report, ViolationKind::TextOverflow, image.first.chip, message);
        }
    }
    for binding in &program.bindings {
        if let Some(word) = binding.words.iter().find(|word| upon(**word)) {
            let message = format!("binding {} lies upon text", binding.name);
            add(report, ViolationKind::TextOverflow, word.chip, message);
        }
    }
}

/// Bytes of memory that a program takes on a chip: words of images and bindings, words that its instructions read or
/// write anywhere else, and text. What cannot be decoded or leaves its bank is not counted.
pub fn bytes_used(program: &Program<'_>, chip: u32) -> u64 {
    let spec = &program.machine;
    let per_bank = spec.words_per_bank() as usize;
    let mut used: BTreeMap<(Hemisphere, u8, u8), Vec<bool>> = BTreeMap::new();
    let mut mark = |side: Hemisphere, slice: u8, bank: u8, first: i64, words: u32| {
        if first >= 0 && first + i64::from(words) <= per_bank as i64 {
            let bank = used.entry((side, slice, bank)).or_insert_with(|| vec![false; per_bank]);
            bank[first as usize..first as usize + words as usize].fill(true);
        }
    };
    for image in program.images.iter().filter(|image| image.first.chip == chip) {
        let at = image.first;
        mark(at.hemisphere, at.slice, at.bank, at.word.into(), image.vectors);
    }
    for word in program.bindings.iter().flat_map(|b| &b.words).filter(|word| word.chip == chip) {
        mark(word.hemisphere, word.slice, word.bank, word.word.into(), 1);
    }
    let mut offsets: BTreeMap<u32, BTreeSet<&[i32]>> = BTreeMap::new();
    for instance in program.entries.iter().flat_map(|e| &e.instances).filter(|i| i.chip == chip) {
        offsets.entry(instance.block).or_default().insert(&instance.offsets);
    }
    for (block, offsets) in &offsets {
        let Some(Ok(Some(issues))) = program.blocks.get(*block as usize).map(|b| block_issues(b, spec, ISSUES_MAX))
        else {
            continue;
        };
        for issue in issues.iter().filter(|issue| matches!(issue.id.queue, Queue::Mem(..))) {
            accesses(&issue.what, issue.id.queue, spec, &mut |access| {
                let (side, slice, bank, address, words) = match access.place {
                    Place::Word(side, slice, bank, address) => (side, slice, bank, address, 1),
                    Place::Words(side, slice, bank, address, words) => (side, slice, bank, address, words),
                    _ => return,
                };
                for offset in offsets {
                    let first = i64::from(address.word) + i64::from(offset[usize::from(address.base)]);
                    mark(side, slice, bank, first, words);
                }
            });
        }
    }
    let words = used.values().flatten().filter(|used| **used).count() as u64;
    words * u64::from(spec.lanes()) + text_bytes(program, chip).iter().sum::<u64>()
}
