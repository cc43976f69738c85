//! Flow edges: what the program says about each operand, against what was found.

use super::facts::{Facts, Lasting, Producer, Site};
use super::report::{Report, Violation, ViolationKind};
use crate::program::{Block, FlowEdge, Instance, Origin};

const UNCLAIMED: u32 = u32::MAX;

/// A block's flow edges, spread out over its operands.
pub(crate) struct Claims<'a> {
    flow: &'a [FlowEdge],
    /// For each operand, its edge.
    edges: Vec<u32>,
}

impl<'a> Claims<'a> {
    /// Spreads the edges out and reports those that cannot be: each must be about operands that are there, and about none
    /// that another is about.
    pub(crate) fn new(block: &'a Block, facts: &Facts, report: &mut Report) -> Self {
        let mut claims = Self { flow: &block.flow, edges: vec![UNCLAIMED; facts.producers.len()] };
        let mut imported = vec![false; (block.imports as usize).min(block.flow.len())];
        for (index, edge) in block.flow.iter().enumerate() {
            if let Err(message) = claims.claim(index as u32, edge, facts, &mut imported, block.imports) {
                report.add(|| {
                    let mut violation = about(facts, message);
                    (violation.unit, violation.inst) = (Some(edge.reader.queue), Some(describe_reader(edge)));
                    violation
                });
            }
        }
        if !block.flow.is_sorted() {
            report
                .add(|| Violation { kind: ViolationKind::Layout, ..about(facts, "the flow is not sorted".to_owned()) });
        }
        let unused = block.imports as usize - imported.iter().filter(|used| **used).count();
        if unused > 0 {
            report.add(|| about(facts, format!("{unused} of {} imports are never used", block.imports)));
        }
        claims
    }

    fn claim(
        &mut self,
        index: u32,
        edge: &FlowEdge,
        facts: &Facts,
        imported: &mut [bool],
        imports: u32,
    ) -> Result<(), String> {
        match edge.origin {
            Origin::Image { .. } | Origin::Input { .. } | Origin::Sent { .. } => {
                return Err("a block's flow names what is older than the block by an import".to_owned());
            }
            Origin::Import { import, .. } => match imported.get_mut(import as usize) {
                Some(used) => *used = true,
                None => return Err(format!("the flow names import {import}, the block has {imports}")),
            },
            _ => {}
        }
        if edge.count == 0 {
            return Err("the flow has an edge about no issue".to_owned());
        }
        let issues = facts.issues_of(edge.reader.queue, edge.reader.inst);
        for past in 0..edge.count as usize {
            let Some(&issue) = issues.get(edge.reader.issue as usize + past) else {
                return Err(format!(
                    "the flow is about {} issues that the block does not have",
                    edge.count as usize - past
                ));
            };
            let operand = facts.operands[issue as usize] + u32::from(edge.operand);
            if operand >= facts.operands[issue as usize + 1] {
                return Err(format!("the flow is about operand {}, which is not there", edge.operand));
            }
            let claimed = &mut self.edges[operand as usize];
            if *claimed != UNCLAIMED {
                return Err(format!("the flow is about operand {} twice", edge.operand));
            }
            *claimed = index;
        }
        Ok(())
    }

    /// What the program says about an operand, in an instance if it is about one.
    fn expected(&self, facts: &Facts, issue: u32, operand: u32, instance: Option<&Instance>) -> Option<Origin> {
        let edge = self.flow.get(self.edges[operand as usize] as usize)?;
        let past = i64::from(facts.issues[issue as usize].id.issue) - i64::from(edge.reader.issue);
        let by = past * i64::from(edge.step);
        match (edge.origin, instance) {
            (Origin::Import { import, offset }, Some(instance)) => {
                instance.imports.get(import as usize)?.moved(by + i64::from(offset))
            }
            (origin, _) => origin.moved(by),
        }
    }

    /// Checks all operands that were produced within the block.
    pub(crate) fn check_passing(&self, facts: &Facts, report: &mut Report) {
        for (issue, operands) in facts.operands.windows(2).enumerate() {
            let issue = issue as u32;
            for operand in operands[0]..operands[1] {
                let found = match facts.producers[operand as usize] {
                    Producer::Lasting | Producer::Unknown => continue,
                    Producer::Nobody => Origin::Nothing,
                    Producer::Issue(by, result) => {
                        Origin::Issue { block: facts.block, id: facts.issues[by as usize].id, result }
                    }
                };
                let cycle = facts.issues[issue as usize].cycle;
                self.check(facts, (issue, operand), (facts.site, cycle), None, found, report);
            }
        }
    }

    /// Checks an operand that an instance reads from a lasting place.
    pub(crate) fn check_lasting(
        &self,
        facts: &Facts,
        access: &Lasting,
        instance: &Instance,
        found: Origin,
        report: &mut Report,
    ) {
        let site = Site { chip: instance.chip, start: instance.start };
        self.check(facts, (access.issue, access.number), (site, access.cycle), Some(instance), found, report);
    }

    fn check(
        &self,
        facts: &Facts,
        (issue, operand): (u32, u32),
        (site, cycle): (Site, u64),
        instance: Option<&Instance>,
        found: Origin,
        report: &mut Report,
    ) {
        let expected = self.expected(facts, issue, operand, instance);
        if expected == Some(found) {
            return;
        }
        report.add(|| {
            let says = expected.map_or_else(|| "nothing about it".to_owned(), |origin| describe(&origin));
            let ordinal = facts.ordinal(issue, operand);
            let message = format!("operand {ordinal} comes from {}, the program says {says}", describe(&found));
            let mut violation = facts.violation(ViolationKind::WrongProducer, site, cycle, issue, message);
            if let Origin::Issue { block, id, .. } = found
                && block == facts.block
                && let Some(&by) = facts.issues_of(id.queue, id.inst).get(id.issue as usize)
            {
                violation.other = Some(facts.other(by));
            }
            violation
        });
    }
}

fn about(facts: &Facts, message: String) -> Violation {
    Violation::whole(ViolationKind::WrongProducer, facts.site.chip, facts.site.start, message)
}

fn describe_reader(edge: &FlowEdge) -> String {
    format!("(instruction {}, issue {})", edge.reader.inst, edge.reader.issue)
}

/// An origin in words.
fn describe(origin: &Origin) -> String {
    match *origin {
        Origin::Nothing => "nothing".to_owned(),
        Origin::Issue { block, id, result } => {
            format!("result {result} of {} instruction {} issue {} of block {block}", id.queue, id.inst, id.issue)
        }
        Origin::Import { import, offset } => format!("import {import}, {offset} on"),
        Origin::Image { image, vector } => format!("vector {vector} of image {image}"),
        Origin::Input { binding, vector } => format!("word {vector} of input binding {binding}"),
        Origin::Sent { link, vector } => format!("vector {vector} of link {link}"),
        Origin::Many(hash) => format!("many (hash {hash:016x})"),
    }
}
