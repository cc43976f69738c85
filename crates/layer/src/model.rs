//! The first layer of a model, as the layer program takes it.

use lockstep_arith::matrix::BlockMatrix;
use lockstep_arith::rotary::RotaryTable;
use lockstep_graph::contract::ContractWeight;
use lockstep_graph::{Node, NodeId, Op, RotaryPairs};
use lockstep_models::Model;
use lockstep_models::weights::contract_weights;

use crate::error::Error;
use crate::weights::{LayerWeights, Pairs};

/// The model cut off behind its first layer: what it puts out is the layer's output.
pub fn first_layer<'a>(model: &Model<'a>) -> Result<Model<'a>, Error> {
    let mut model = model.clone();
    let adds = model.graph.nodes.iter().enumerate().filter(|(_, node)| node.op == Op::Add).map(|(index, _)| index);
    // A layer of this kind has two residual sums.
    let last = adds.take(2).last().ok_or_else(|| Error::shape("residual sums of the first layer", 0, 2))?;
    model.graph.nodes.truncate(last + 1);
    model.graph.output = NodeId(last as u32);
    let used = model.graph.nodes.iter().flat_map(|node| node.op.weights()).map(|weight| weight.0 as usize + 1);
    let used = used.max().unwrap_or_default();
    model.graph.weights.truncate(used);
    model.weights.truncate(used);
    Ok(model)
}

/// The weights of a model that was cut off behind its first layer, for contexts of up to `positions`. Its tables are the
/// embedding, `embedding`, and the rows of the gate, `rows_lb4`.
pub fn layer_weights(model: &Model<'_>, positions: usize) -> Result<LayerWeights, Error> {
    let weights =
        contract_weights(model).map_err(|error| Error::shape("weights", error, "a model that can be imported"))?;
    let find = |name: &str| {
        let at = model.graph.weights.iter().position(|weight| weight.name == name);
        at.map(|at| &weights[at])
            .ok_or_else(|| Error::shape("first layer", format!("no weight {name}"), "a llama layer"))
    };
    let matrix = |name: &str| -> Result<BlockMatrix, Error> {
        match find(name)? {
            ContractWeight::Matrix(matrix) => Ok(matrix.clone()),
            ContractWeight::Vector(_) => Err(Error::shape(name, "a vector", "a matrix")),
        }
    };
    let vector = |name: &str| match find(name)? {
        ContractWeight::Vector(vector) => Ok(vector.clone()),
        ContractWeight::Matrix(_) => Err(Error::shape(name, "a matrix", "a vector")),
    };
    let attention = |node: &Node| match node.op {
        Op::Attention { kv_heads, head_size, scale, .. } => Some((kv_heads, head_size, scale)),
        _ => None,
    };
    let norm = |node: &Node| if let Op::RmsNorm { eps, .. } = node.op { Some(eps) } else { None };
    let missing = |what: &str| Error::shape("first layer", format!("no {what}"), "a llama layer");
    let nodes = &model.graph.nodes;
    let (kv_heads, head_size, scale) = nodes.iter().find_map(attention).ok_or_else(|| missing("attention"))?;
    let rotary = model.graph.rotaries.first().ok_or_else(|| missing("rotary embedding"))?;
    let gate = matrix("blk.0.ffn_gate.weight")?;
    Ok(LayerWeights {
        kv_heads,
        head_size,
        eps: nodes.iter().find_map(norm).ok_or_else(|| missing("norm"))?,
        scale,
        attention_norm: vector("blk.0.attn_norm.weight")?,
        feed_forward_norm: vector("blk.0.ffn_norm.weight")?,
        query: matrix("blk.0.attn_q.weight")?,
        key: matrix("blk.0.attn_k.weight")?,
        value: matrix("blk.0.attn_v.weight")?,
        output: matrix("blk.0.attn_output.weight")?,
        up: matrix("blk.0.ffn_up.weight")?,
        down: matrix("blk.0.ffn_down.weight")?,
        rotary: RotaryTable::new(&rotary.frequencies, positions),
        pairs: if rotary.pairs == RotaryPairs::Adjacent { Pairs::Adjacent } else { Pairs::Halves },
        tables: vec![("embedding".into(), matrix("token_embd.weight")?), ("rows_lb4".into(), gate.clone())],
        gate,
    })
}
