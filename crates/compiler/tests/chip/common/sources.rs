//! Seeded models in the formats of files.

use lockstep_arith::source::SourceType;
use lockstep_formats::Tensor;
use lockstep_graph::Graph;
use lockstep_models::{BoundWeight, Model, ModelConfig, Transform};

use super::random::Random;

/// A graph and the bytes of its weights.
pub struct Sources {
    graph: Graph,
    weights: Vec<(SourceType, Vec<u8>)>,
}

impl Sources {
    /// Weights by a seed, about as large as a trained model's: vectors as floats, matrices in the formats in turn (as
    /// floats where rows are not whole blocks).
    pub fn seeded(graph: Graph, seed: u64, types: &[SourceType]) -> Self {
        let (mut random, mut types) = (Random(seed), types.iter().cycle());
        let one = |shape: &[usize]| match shape {
            [rows, cols] => {
                let wanted = *types.next().unwrap();
                let ty = if cols % wanted.block_weights() == 0 { wanted } else { SourceType::F32 };
                (ty, matrix(&mut random, ty, rows * cols))
            }
            shape => (SourceType::F32, floats(&mut random, shape.iter().product(), 1.0)),
        };
        let weights = graph.weights.iter().map(|weight| weight.shape.as_slice()).map(one).collect();
        Self { graph, weights }
    }

    /// The model as a file would give it.
    pub fn model(&self) -> Model<'_> {
        let bound = self.graph.weights.iter().zip(&self.weights).map(|(weight, (ty, data))| BoundWeight {
            tensor: Tensor { name: &weight.name, ty: *ty, shape: weight.shape.clone(), data },
            transform: Transform::None,
        });
        let config = ModelConfig {
            family: "seeded",
            architecture: "seeded".into(),
            name: None,
            vocab_size: self.graph.node(self.graph.output).width,
            context_length: 0,
            hidden: self.graph.nodes[0].width,
            feed_forward: 0,
            layers: self.graph.layers(),
            heads: 0,
            kv_heads: 0,
            head_size: 0,
            bos_token: None,
            end_tokens: Vec::new(),
        };
        Model { config, graph: self.graph.clone(), weights: bound.collect() }
    }
}

/// Spread evenly over `-size..size`.
fn floats(random: &mut Random, n: usize, size: f32) -> Vec<u8> {
    let mut one = || (random.below(1 << 24) as f32 / (1 << 23) as f32 - 1.0) * size;
    (0..n).flat_map(|_| one().to_le_bytes()).collect()
}

fn matrix(random: &mut Random, ty: SourceType, n: usize) -> Vec<u8> {
    if ty == SourceType::F32 {
        return floats(random, n, 0.1);
    }
    // Half-precision steps from 2^-6 up, offsets from -2^-3 up; then codes.
    let headers: &[u16] = match ty {
        SourceType::Q4_1 => &[0x2400, 0xb000],
        SourceType::Q4_0 | SourceType::Iq4Nl | SourceType::Q8_0 => &[0x2400],
        other => panic!("{other:?}: say where its steps lie"),
    };
    // Eight bits of step make it sixteen times as large as four.
    let smaller = if ty == SourceType::Q8_0 { 4 << 10 } else { 0 };
    let mut data = Vec::new();
    for _ in 0..n / ty.block_weights() {
        for header in headers {
            data.extend((header - smaller + random.below(1 << 10) as u16).to_le_bytes());
        }
        data.extend((2 * headers.len()..ty.block_bytes()).map(|_| random.below(256) as u8));
    }
    data
}
