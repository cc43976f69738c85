//! A block's flow edges, looked up in the order of its issues.

use std::collections::HashMap;

use lockstep_program::program::{FlowEdge, IssueId, Origin};

/// Edges by reading instruction and operand; each list is gone through once, as its instruction is issued again and again.
pub(crate) struct Edges<'a> {
    lists: HashMap<(lockstep_machine::geometry::Queue, u32, u8), (usize, Vec<&'a FlowEdge>)>,
    /// How many operands all edges are about.
    pub(crate) operands: u64,
}

impl<'a> Edges<'a> {
    pub(crate) fn new(flow: &'a [FlowEdge]) -> Self {
        let mut lists: HashMap<_, (usize, Vec<&FlowEdge>)> = HashMap::new();
        for edge in flow {
            lists.entry((edge.reader.queue, edge.reader.inst, edge.operand)).or_default().1.push(edge);
        }
        Self { lists, operands: flow.iter().map(|edge| u64::from(edge.count)).sum() }
    }

    /// What the program says about an operand: an origin, and how far it has moved on. Issues of one instruction are
    /// asked for in their order.
    pub(crate) fn expected(&mut self, reader: IssueId, operand: u8) -> Option<(Origin, i64)> {
        let (cursor, list) = self.lists.get_mut(&(reader.queue, reader.inst, operand))?;
        while let Some(edge) = list.get(*cursor) {
            let past = reader.issue.checked_sub(edge.reader.issue)?;
            if past < edge.count {
                return Some((edge.origin, i64::from(past) * i64::from(edge.step)));
            }
            *cursor += 1;
        }
        None
    }
}
