//! Streamed supply: an instruction must have arrived before it is issued, and a queue must not be given more than it
//! holds. Each queue starts a block with the first bytes of its text; an `ifetch` brings a granule, which is there from
//! the cycle after its last vector was read.

use std::collections::BTreeMap;

use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::{INST_BYTES, Inst};
use lockstep_machine::spec::{InstructionSupply, MachineSpec};
use lockstep_program::issues::Issues;

use crate::fault::{FaultKind, LocalFault};
use crate::link::issue_fault;

/// What a queue holds of its text.
struct Supply {
    arrived: u64,
    /// Granules on their way: from which cycle on they are there.
    coming: Vec<u64>,
    issued: u64,
}

/// Checks all queues of a block; `issues` are in the order of time.
pub(crate) fn check(issues: &Issues, spec: &MachineSpec) -> Result<(), LocalFault> {
    if spec.instruction.supply == InstructionSupply::Resident {
        return Ok(());
    }
    let holds = u64::from(spec.instruction.queue_bytes);
    let vectors = u64::from(spec.instruction.fetch_bytes.div_ceil(spec.lanes()));
    let mut queues: BTreeMap<Queue, Supply> = BTreeMap::new();
    for issue in issues.iter() {
        let supply = queues.entry(issue.id.queue).or_insert(Supply { arrived: holds, coming: Vec::new(), issued: 0 });
        let granule = u64::from(spec.instruction.fetch_bytes);
        let there = supply.coming.iter().filter(|from| **from <= issue.cycle).count();
        for _ in supply.coming.drain(..there) {
            supply.arrived += granule;
            if supply.arrived - supply.issued > holds {
                let message = format!("its queue is given more than the {holds} bytes it holds");
                return Err(issue_fault(&issue, FaultKind::Starved, issue.cycle, &message));
            }
        }
        // A repetition is issued by the `repeat` that follows its instruction.
        let needed = INST_BYTES as u64 * (u64::from(issue.id.inst) + 1 + u64::from(issue.id.issue > 0));
        if needed > supply.arrived {
            let message = format!("byte {needed} of its queue's text is needed, {} have arrived", supply.arrived);
            return Err(issue_fault(&issue, FaultKind::Starved, issue.cycle, &message));
        }
        supply.issued = supply.issued.max(needed);
        if matches!(issue.what.inst, Inst::Fetch { .. }) {
            supply.coming.push(issue.cycle + vectors);
        }
    }
    Ok(())
}
