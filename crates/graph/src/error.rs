//! What can be wrong with a graph, and what can go wrong while it is computed.

use crate::{NodeId, WeightId};

/// One broken rule of a graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A weight's shape does not fit the node that uses it.
    #[error("tensor {name}: shape {shape:?}, expected {expected:?}")]
    Shape {
        /// The weight.
        name: String,
        /// As declared.
        shape: Vec<usize>,
        /// As the node needs it.
        expected: Vec<usize>,
    },
    /// A weight's own declaration is malformed.
    #[error("tensor {name}: {what}")]
    Weight {
        /// The weight.
        name: String,
        /// The rule it breaks.
        what: String,
    },
    /// A rotary table is malformed.
    #[error("rotary {index}: {what}")]
    Rotary {
        /// Index into [`crate::Graph::rotaries`].
        index: usize,
        /// The rule it breaks.
        what: String,
    },
    /// A node breaks a rule.
    #[error("node %{}: {what}", node.0)]
    Node {
        /// The node.
        node: NodeId,
        /// The rule it breaks.
        what: String,
    },
    /// A rule about the graph as a whole.
    #[error("graph: {what}")]
    Graph {
        /// The rule it breaks.
        what: String,
    },
}

/// Failures of building, parsing and interpreting a graph.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The graph breaks rules; the first is shown, all are inside.
    #[error("{}{}", .0.first().map_or_else(String::new, ToString::to_string), others(.0.len()))]
    Invalid(Vec<Violation>),
    /// A text is not a graph.
    #[error("graph text, line {line}: {what}")]
    Parse {
        /// Counted from 1.
        line: usize,
        /// What is wrong and what was expected.
        what: String,
    },
    /// A token id has no embedding row.
    #[error("token {token} is outside of the vocabulary of {rows}: check that the tokenizer belongs to the model")]
    Token {
        /// The id.
        token: u32,
        /// Rows of the embedding matrix.
        rows: usize,
    },
    /// A weight's values do not fit its declaration.
    #[error("tensor {name}: {what}")]
    Values {
        /// The weight.
        name: String,
        /// The mismatch.
        what: String,
    },
    /// More tokens than the state was made for.
    #[error("position {position} is past the capacity of {capacity} tokens: make the state larger")]
    Capacity {
        /// The position that did not fit.
        position: usize,
        /// As given when the state was made.
        capacity: usize,
    },
    /// A value left the range of the arithmetic contract.
    #[error("position {position}, node %{}: {fault}", node.0)]
    Fault {
        /// The token's position.
        position: usize,
        /// The node whose input is out of range.
        node: NodeId,
        /// What the oracle reports.
        fault: String,
    },
}

impl From<Violation> for Error {
    fn from(violation: Violation) -> Self {
        Self::Invalid(vec![violation])
    }
}

fn others(count: usize) -> String {
    if count > 1 { format!(" (and {} more)", count - 1) } else { String::new() }
}

/// The name of a weight, or its number where the id is dangling.
pub(crate) fn weight_name(weights: &[crate::Weight], id: WeightId) -> String {
    weights.get(id.0 as usize).map_or_else(|| format!("#{}", id.0), |weight| weight.name.clone())
}
