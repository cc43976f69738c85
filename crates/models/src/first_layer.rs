//! A model cut off behind its first decoder layer: small enough to be run at every position in a test.

use lockstep_graph::{NodeId, Op, Rotary, WeightId};

use crate::{BoundWeight, Model};

impl<'a> Model<'a> {
    /// The embedding and the first decoder layer, whose output becomes the model's. Nothing if there is no layer.
    pub fn first_layer(&self) -> Option<Self> {
        // A layer of every family has two residual sums.
        let is_sum = |index: &usize| self.graph.nodes[*index].op == Op::Add;
        let last = (0..self.graph.nodes.len()).filter(is_sum).nth(1)?;
        let mut model = self.clone();
        model.config.layers = 1;
        model.graph.nodes.truncate(last + 1);
        model.graph.output = NodeId(last as u32);
        let mut kept = Vec::new();
        let mut rotaries: Vec<Rotary> = Vec::new();
        for node in &mut model.graph.nodes {
            match &mut node.op {
                Op::Embed { table: weight, .. } | Op::RmsNorm { weight, .. } => keep(weight, &mut kept),
                Op::MatMul { weight, bias } => {
                    keep(weight, &mut kept);
                    if let Some(bias) = bias {
                        keep(bias, &mut kept);
                    }
                }
                Op::Rotary { rotary, .. } => {
                    let own = &self.graph.rotaries[*rotary];
                    *rotary = rotaries.iter().position(|known| known == own).unwrap_or_else(|| {
                        rotaries.push(own.clone());
                        rotaries.len() - 1
                    });
                }
                _ => {}
            }
        }
        model.graph.rotaries = rotaries;
        model.graph.weights = kept.iter().map(|id| self.graph.weight(*id).clone()).collect();
        let bound = |id: &WeightId| -> BoundWeight<'a> { self.weights[id.0 as usize].clone() };
        model.weights = kept.iter().map(bound).collect();
        Some(model)
    }
}

/// Gives a weight its number among those that are kept.
fn keep(id: &mut WeightId, kept: &mut Vec<WeightId>) {
    let at = kept.iter().position(|known| known == id).unwrap_or_else(|| {
        kept.push(*id);
        kept.len() - 1
    });
    *id = WeightId(at as u32);
}
