//! Makes graphs: each call adds one part, infers its width and refuses what does not fit.

use crate::shape::{Scope, check_rotary, check_weight, infer};
use crate::{Error, Graph, Node, NodeId, Op, Rotary, Violation, Weight, WeightId, verify};

/// A graph under construction.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    weights: Vec<Weight>,
    rotaries: Vec<Rotary>,
    nodes: Vec<Node>,
}

impl Builder {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a weight: `[rows, cols]` or `[n]`.
    pub fn weight(&mut self, name: &str, shape: &[usize]) -> Result<WeightId, Violation> {
        let weight = Weight { name: name.to_owned(), shape: shape.to_vec() };
        check_weight(&weight)?;
        self.weights.push(weight);
        Ok(WeightId(self.weights.len() as u32 - 1))
    }

    /// Declares a rotary table, or finds an equal one that is already there; gives its index.
    pub fn rotary(&mut self, rotary: Rotary) -> Result<usize, Violation> {
        if let Some(index) = self.rotaries.iter().position(|known| *known == rotary) {
            return Ok(index);
        }
        check_rotary(self.rotaries.len(), &rotary)?;
        self.rotaries.push(rotary);
        Ok(self.rotaries.len() - 1)
    }

    /// Adds a node.
    pub fn add(&mut self, op: Op, inputs: &[NodeId]) -> Result<NodeId, Violation> {
        let scope = Scope { weights: &self.weights, rotaries: &self.rotaries, earlier: &self.nodes };
        let width = infer(&scope, &op, inputs)?;
        self.nodes.push(Node { op, inputs: inputs.to_vec(), width });
        Ok(NodeId(self.nodes.len() as u32 - 1))
    }

    /// Elements a token of a node that was added.
    pub fn width(&self, node: NodeId) -> usize {
        self.nodes[node.0 as usize].width
    }

    /// The finished graph, verified as a whole.
    pub fn finish(self, output: NodeId) -> Result<Graph, Error> {
        let graph = Graph { weights: self.weights, rotaries: self.rotaries, nodes: self.nodes, output };
        let violations = verify(&graph);
        if violations.is_empty() { Ok(graph) } else { Err(Error::Invalid(violations)) }
    }

    /// The graph as it is, broken rules and all: for the parser, whose callers may want to see all violations.
    pub(crate) fn finish_unverified(self, output: NodeId) -> Graph {
        Graph { weights: self.weights, rotaries: self.rotaries, nodes: self.nodes, output }
    }
}
