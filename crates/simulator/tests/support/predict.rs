//! Predictions anew.

use lockstep_machine::access::duration;
use lockstep_program::Program;
use lockstep_program::issues::{Issue, block_issues};
use lockstep_program::program::Instance;

/// Predicts the cycles of a program whose flow cannot be derived, so that the simulator finds what else is wrong
/// with it.
pub(crate) fn predict(program: &mut Program<'_>) {
    let spec = &program.machine;
    for block in &mut program.blocks {
        let issues = block_issues(block, spec, 1 << 20).ok().flatten().unwrap_or_default();
        let end = |issue: &Issue| issue.cycle + u64::from(duration(&issue.what, issue.id.queue, spec));
        block.cycles = issues.iter().map(end).max().unwrap_or(0);
    }
    for entry in &mut program.entries {
        let end = |instance: &Instance| instance.start + program.blocks[instance.block as usize].cycles;
        entry.cycles = entry.instances.iter().map(end).max().unwrap_or(0);
    }
}
