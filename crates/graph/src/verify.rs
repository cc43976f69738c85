//! The whole-graph check: every rule that a graph breaks, not only the first.

use std::collections::BTreeMap;

use crate::shape::{Scope, check_rotary, check_weight, infer};
use crate::{Graph, NodeId, Op, Violation, WeightId};

/// All broken rules of `graph`, in the order weights, rotaries, nodes, graph; empty for a sound graph.
///
/// Beyond each node's own rules: names are unique, nothing is declared in vain, widths are the inferred ones, and
/// the attention layers are 0, 1, 2 ... in order, so that a cache can be laid out from their number alone.
pub fn verify(graph: &Graph) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut first_by_name = BTreeMap::new();
    for (index, weight) in graph.weights.iter().enumerate() {
        violations.extend(check_weight(weight).err());
        if let Some(first) = first_by_name.insert(weight.name.as_str(), index) {
            let what = format!("declared twice, as #{first} and #{index}");
            violations.push(Violation::Weight { name: weight.name.clone(), what });
        }
    }
    for (index, rotary) in graph.rotaries.iter().enumerate() {
        violations.extend(check_rotary(index, rotary).err());
    }
    for (index, node) in graph.nodes.iter().enumerate() {
        let scope = Scope { weights: &graph.weights, rotaries: &graph.rotaries, earlier: &graph.nodes[..index] };
        match infer(&scope, &node.op, &node.inputs) {
            Err(violation) => violations.push(violation),
            Ok(width) if width != node.width => {
                let what = format!("width {}, expected {width}", node.width);
                violations.push(Violation::Node { node: NodeId(index as u32), what });
            }
            Ok(_) => {}
        }
    }
    violations.extend(layer_order(graph));
    violations.extend(idle_parts(graph));
    violations
}

fn layer_order(graph: &Graph) -> Option<Violation> {
    let layers = graph.nodes.iter().enumerate().filter_map(|(index, node)| match node.op {
        Op::Attention { layer, .. } => Some((index, layer)),
        _ => None,
    });
    layers.enumerate().find(|(expected, (_, layer))| expected != layer).map(|(expected, (index, layer))| {
        Violation::Node { node: NodeId(index as u32), what: format!("attention layer {layer}, expected {expected}") }
    })
}

/// Weights, rotaries and nodes that nothing leads to from the output, and an output that does not exist.
fn idle_parts(graph: &Graph) -> Vec<Violation> {
    let graph_violation = |what: String| vec![Violation::Graph { what }];
    let output = graph.output.0 as usize;
    if output >= graph.nodes.len() {
        return graph_violation(format!("the output %{output} is not a node"));
    }
    let mut live = vec![false; graph.nodes.len()];
    live[output] = true;
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        for input in node.inputs.iter().map(|input| input.0 as usize).filter(|&input| input < index) {
            live[input] |= live[index];
        }
    }
    let mut weight_used = vec![false; graph.weights.len()];
    let mut rotary_used = vec![false; graph.rotaries.len()];
    for node in &graph.nodes {
        for WeightId(id) in node.op.weights() {
            if let Some(used) = weight_used.get_mut(id as usize) {
                *used = true;
            }
        }
        if let Op::Rotary { rotary, .. } = node.op
            && let Some(used) = rotary_used.get_mut(rotary)
        {
            *used = true;
        }
    }
    let mut violations = Vec::new();
    for (weight, _) in graph.weights.iter().zip(&weight_used).filter(|(_, used)| !**used) {
        violations.push(Violation::Weight { name: weight.name.clone(), what: "no node uses it".into() });
    }
    for (index, _) in rotary_used.iter().enumerate().filter(|(_, used)| !**used) {
        violations.push(Violation::Rotary { index, what: "no node uses it".into() });
    }
    for (index, _) in live.iter().enumerate().filter(|(_, live)| !**live) {
        violations
            .push(Violation::Node { node: NodeId(index as u32), what: "the output does not depend on it".into() });
    }
    violations
}
