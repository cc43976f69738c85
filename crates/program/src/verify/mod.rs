//! The verifier: it trusts nobody, and finds everything that is wrong with a program before a run.
//!
//! # What is proved
//!
//! If [`verify`] finds nothing, then in every run of every entry, whatever the values:
//! 1. no unit, bank, stream register or link is asked for two things at once;
//! 2. every operand is one value, and the instruction that the program names produced it;
//! 3. every vector that a link carries is there when it is taken, and finds room when it comes, at any drift within the
//!    machine's description;
//! 4. every output holds something at the end, which some entry writes, and every prediction of cycles is exact.
//!
//! What is left to a run are faults of values (an overflow, an index outside its table) and of the hardware.
//!
//! # Why the checks suffice
//!
//! Timing never depends on values. So a program is a finite set of accesses (place, cycle, effect), which
//! `machine::access` lists for each issue, and everything above is a statement about that set:
//!
//! - *Units, banks, outputs* (`flight`): accesses are sorted by place and cycle; a clash is two neighbours that are
//!   equal. An output lives for one cycle, so its producer is the write of the cycle before: one look-up.
//! - *Streams* (`flight`): a value moves one register a cycle, so `cycle - position` (eastward; `cycle + position`
//!   westward) stays the same along its way, and values of different keys never meet. On one diagonal time is position: a
//!   reader sees the last producer that is strictly upstream of it, whatever happens elsewhere. Producers are sorted by
//!   (direction, stream, key, position along the flow); the one that a reader sees is found by binary search. Two producers
//!   at one point are neighbours in that order.
//! - *What outlives a block* (`state`): blocks of a chip do not overlap (`entries`) and end quiet, so a chip's memory,
//!   buffers, arrays, accumulators and links are a sequence of reads and writes in the order of time, in which reads of a
//!   cycle come before its writes. Going through it once gives the writer of each place at each read. Words of which an
//!   instruction may touch any count as all touched, so the result holds for all indices.
//! - *Links* (`links`): vectors of a link stay in order; the n-th taken is the n-th sent, and the two bounds on its
//!   flight give the latest and the earliest arrival, the bound on drift how far the clocks of its ends may differ.
//! - *Flow* (`flow`): the producers found are compared with the program's flow edges, one by one: each operand has one
//!   edge, and each edge is about operands that are there. A shifted, dropped or changed instruction changes who produces
//!   what, and that differs from the claim even where the machine would run without a fault.
//!
//! The simulator reaches the same verdicts by stepping through cycles with rings of streams; it shares no code with this.

mod entries;
pub(crate) mod facts;
mod flight;
mod flow;
mod layout;
mod links;
mod report;
mod state;
mod supply;

pub use layout::{bytes_used, text_bytes};
pub use report::{VIOLATIONS_LISTED, Violation, ViolationKind};

pub(crate) use entries::run as run_entry;
pub(crate) use report::Report;
pub(crate) use state::Found;

use lockstep_machine::spec::InstructionSupply;

use crate::program::Program;
use facts::{Facts, Site};

/// Everything that is wrong with a program, sorted by cycle, chip and unit; nothing if it is sound. At most
/// [`VIOLATIONS_LISTED`] violations are listed, and then one of kind [`ViolationKind::More`] counts the others.
///
/// Checks build on one another: where instructions are not lawful or references lead nowhere, what would follow is not
/// looked into.
pub fn verify(program: &Program<'_>) -> Vec<Violation> {
    let mut report = Report::default();
    if let Some(facts) = gather(program, &mut report) {
        layout::check_text(program, &mut report);
        check_blocks(program, &facts, &mut report);
    }
    report.finish()
}

/// What the blocks do; `None` if that cannot be told, which is then reported.
pub(crate) fn gather(program: &Program<'_>, report: &mut Report) -> Option<Vec<Facts>> {
    layout::check(program, report);
    if !report.is_clean() {
        return None;
    }
    let spec = &program.machine;
    let mut all = Vec::new();
    let mut issues_left = facts::ISSUES_MAX;
    for (index, (block, site)) in program.blocks.iter().zip(sites(program)).enumerate() {
        let gathered = facts::gather(block, index as u32, site, spec, issues_left, report);
        let Some((mut facts, passing)) = gathered else { continue };
        issues_left -= facts.issues.len();
        flight::resolve(&mut facts, passing, report);
        if spec.instruction.supply == InstructionSupply::Streamed {
            supply::check(block, &facts, spec, report);
        }
        all.push(facts);
    }
    (all.len() == program.blocks.len()).then_some(all)
}

/// Where each block is run first, in the order of entries.
fn sites(program: &Program<'_>) -> Vec<Option<Site>> {
    let mut sites = vec![None; program.blocks.len()];
    for instance in program.entries.iter().flat_map(|entry| &entry.instances) {
        if let Some(site) = sites.get_mut(instance.block as usize) {
            site.get_or_insert(Site { chip: instance.chip, start: instance.start });
        }
    }
    sites
}

/// Compares what the program claims with what its blocks and entries do.
fn check_blocks(program: &Program<'_>, facts: &[Facts], report: &mut Report) {
    let mut claims = Vec::new();
    for (block, facts) in program.blocks.iter().zip(facts) {
        if block.cycles != facts.cycles {
            let message = format!("block {} takes {} cycles, predicted are {}", block.name, facts.cycles, block.cycles);
            let (chip, cycle) = (facts.site.chip, facts.site.start + facts.cycles);
            report.add(|| Violation::whole(ViolationKind::CycleMismatch, chip, cycle, message));
        }
        let of_block = flow::Claims::new(block, facts, report);
        of_block.check_passing(facts, report);
        claims.push(of_block);
    }
    for entry in &program.entries {
        for instance in &entry.instances {
            let wanted = program.blocks[instance.block as usize].imports as usize;
            if instance.imports.len() != wanted {
                let message = format!("the instance binds {} imports, its block has {wanted}", instance.imports.len());
                let kind = ViolationKind::WrongProducer;
                report.add(|| Violation::whole(kind, instance.chip, instance.start, message));
            }
        }
        let end = entries::run(program, facts, entry, report, &mut |report, place, access, Found { origin, .. }| {
            let instance = &entry.instances[place];
            let block = instance.block as usize;
            claims[block].check_lasting(&facts[block], access, instance, origin, report);
        });
        entries::check_cycles(entry, end, report);
    }
    entries::check_written(program, facts, report);
}
