//! Within a block: units, banks, outputs and streams. Everything here is decided by sorting and looking up.

use super::facts::{Facts, Moment, Passing, Producer};
use super::report::{Report, ViolationKind};

/// Finds who produced each value in flight, and everything that two instructions want at once.
pub(crate) fn resolve(facts: &mut Facts, mut passing: Passing, report: &mut Report) {
    clashes(facts, &mut passing.ports, ViolationKind::PortClash, "the unit is still busy", report);
    clashes(facts, &mut passing.banks, ViolationKind::BankClash, "the bank is accessed in this cycle already", report);
    clashes(facts, &mut passing.output_writes, ViolationKind::PortClash, "two results appear in one cycle", report);
    outputs(facts, &passing, report);
    streams(facts, passing, report);
}

/// Sorts moments by place and cycle and reports each pair of issues that want one of them both.
fn clashes<P: Copy + Ord>(
    facts: &Facts,
    moments: &mut [Moment<P>],
    kind: ViolationKind,
    message: &str,
    report: &mut Report,
) {
    moments.sort_unstable();
    let mut reported = None;
    for pair in moments.windows(2) {
        let [first, second] = [pair[0], pair[1]];
        let same = first.place == second.place && first.cycle == second.cycle && first.issue != second.issue;
        // Two issues that meet for several cycles are one clash.
        if same && reported.replace((first.issue, second.issue)) != Some((first.issue, second.issue)) {
            let mut violation = facts.violation(kind, facts.site, second.cycle, second.issue, message.to_owned());
            violation.other = Some(facts.other(first.issue));
            report.add(|| violation);
        }
    }
}

/// An output is read in exactly the cycle after the one in which it was written.
fn outputs(facts: &mut Facts, passing: &Passing, report: &mut Report) {
    for read in &passing.output_reads {
        let wanted = (read.place, read.cycle.wrapping_sub(1));
        let found = passing.output_writes.binary_search_by_key(&wanted, |write| (write.place, write.cycle));
        facts.producers[read.number as usize] = if let Ok(at) = found {
            let write = &passing.output_writes[at];
            Producer::Issue(write.issue, write.number as u8)
        } else {
            let message = format!("{} has no output in this cycle", read.place);
            report.add(|| facts.violation(ViolationKind::EmptyRead, facts.site, read.cycle, read.issue, message));
            Producer::Unknown
        };
    }
}

fn streams(facts: &mut Facts, passing: Passing, report: &mut Report) {
    let Passing { stream_writes: mut writes, stream_reads: reads, .. } = passing;
    writes.sort_unstable_by_key(|write| (write.point, write.issue, write.result));
    for (at, write) in writes.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| &writes[at]).filter(|before| before.point.same_diagonal(write.point));
        if let Some(before) = before.filter(|before| before.point == write.point)
            && !(before.under.is_some() && write.under.is_some())
        {
            report.add(|| {
                let message = format!("two values enter {} in one cycle", write.point);
                let kind = ViolationKind::StreamClash;
                let mut violation = facts.violation(kind, facts.site, write.cycle, write.issue, message);
                violation.other = Some(facts.other(before.issue));
                violation
            });
        }
        if let Some(under) = write.under {
            let producer = before.map_or(Producer::Nobody, |before| Producer::Issue(before.issue, before.result));
            facts.producers[under as usize] = producer;
        }
    }
    for read in &reads {
        // The last producer strictly upstream on the reader's diagonal.
        let upstream = writes.partition_point(|write| write.point < read.point);
        let before = upstream.checked_sub(1).map(|at| &writes[at]).filter(|b| b.point.same_diagonal(read.point));
        facts.producers[read.operand as usize] = if let Some(before) = before {
            Producer::Issue(before.issue, before.result)
        } else {
            report.add(|| {
                let operand = facts.ordinal(read.issue, read.operand);
                let message = format!("operand {operand}: nothing is on {}", read.point);
                facts.violation(ViolationKind::EmptyRead, facts.site, read.cycle, read.issue, message)
            });
            Producer::Unknown
        };
    }
}
