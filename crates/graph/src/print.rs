//! The text form of a graph. It holds everything: [`crate::parse_graph`] gives the same graph back.
//!
//! ```text
//! weight blk.0.attn_q.weight [64, 64]
//! rotary 0 halves size=32 1.0 0.5623413251903491 ...
//! %2 = matmul %1 blk.0.attn_q.weight bias=blk.0.attn_q.bias
//! output %40
//! ```
//! Numbers are printed with as many digits as it takes to read the same bits back.

use std::fmt::{Display, Formatter, Result};

use crate::error::weight_name;
use crate::{Graph, Node, NodeId, Op, RotaryPairs};

impl Display for NodeId {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "%{}", self.0)
    }
}

impl Display for Graph {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for weight in &self.weights {
            writeln!(f, "weight {} {:?}", weight.name, weight.shape)?;
        }
        for (index, rotary) in self.rotaries.iter().enumerate() {
            write!(f, "rotary {index} {} size={}", pairs_word(rotary.pairs), rotary.rotary_size)?;
            for frequency in &rotary.frequencies {
                write!(f, " {frequency:?}")?;
            }
            writeln!(f)?;
        }
        for (index, node) in self.nodes.iter().enumerate() {
            write!(f, "%{index} = ")?;
            write_node(f, self, node)?;
            writeln!(f)?;
        }
        writeln!(f, "output {}", self.output)
    }
}

/// How the text form names a pairing.
pub(crate) fn pairs_word(pairs: RotaryPairs) -> &'static str {
    match pairs {
        RotaryPairs::Halves => "halves",
        RotaryPairs::Adjacent => "adjacent",
    }
}

/// How the text form names an operation.
pub(crate) fn op_word(op: &Op) -> &'static str {
    match op {
        Op::Embed { .. } => "embed",
        Op::MatMul { .. } => "matmul",
        Op::RmsNorm { .. } => "rms_norm",
        Op::Rotary { .. } => "rotary",
        Op::Attention { .. } => "attention",
        Op::Silu => "silu",
        Op::Gelu => "gelu",
        Op::SoftCap { .. } => "soft_cap",
        Op::Add => "add",
        Op::Mul => "mul",
    }
}

fn write_node(f: &mut Formatter<'_>, graph: &Graph, node: &Node) -> Result {
    f.write_str(op_word(&node.op))?;
    for input in &node.inputs {
        write!(f, " {input}")?;
    }
    let name = |id| weight_name(&graph.weights, id);
    match &node.op {
        Op::Embed { table, factor } => {
            write!(f, " {}", name(*table))?;
            write_optional(f, "factor", *factor)
        }
        Op::MatMul { weight, bias } => {
            write!(f, " {}", name(*weight))?;
            bias.map_or(Ok(()), |bias| write!(f, " bias={}", name(bias)))
        }
        Op::RmsNorm { weight, group, eps } => write!(f, " {} group={group} eps={eps:?}", name(*weight)),
        Op::Rotary { head_size, rotary } => write!(f, " head_size={head_size} rotary={rotary}"),
        Op::Attention { layer, heads, kv_heads, head_size, scale, window, soft_cap } => {
            write!(f, " layer={layer} heads={heads} kv_heads={kv_heads} head_size={head_size} scale={scale:?}")?;
            write_optional(f, "window", *window)?;
            write_optional(f, "soft_cap", *soft_cap)
        }
        Op::SoftCap { cap } => write!(f, " cap={cap:?}"),
        Op::Silu | Op::Gelu | Op::Add | Op::Mul => Ok(()),
    }
}

fn write_optional<T: std::fmt::Debug>(f: &mut Formatter<'_>, key: &str, value: Option<T>) -> Result {
    value.map_or(Ok(()), |value| write!(f, " {key}={value:?}"))
}
