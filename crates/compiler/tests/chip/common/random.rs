//! Layers of seeded weights.

use lockstep_arith::matrix::{BlockMatrix, Format, GROUP};
use lockstep_graph::contract::ContractWeight;
use lockstep_graph::{Builder, NodeId, Op, Rotary, RotaryPairs, WeightId};

use super::layer::Layer;

/// Numbers that a seed gives (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    /// About as large as activations are, now and then much larger.
    pub fn x(&mut self) -> f32 {
        let unit = (self.below(1 << 24) as f32 / (1 << 23) as f32) - 1.0;
        if self.below(100) == 0 { 100.0 * unit } else { unit }
    }

    pub fn vector(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.x()).collect()
    }

    pub fn matrix(&mut self, rows: usize, cols: usize, format: Format) -> BlockMatrix {
        let groups = rows * cols.div_ceil(GROUP);
        let mut number = |most: i64| (self.below(2 * most as u64 + 1) as i64 - most) as i16;
        let scale = (0..groups).map(|_| number(2000)).collect();
        let offset = if format.has_offset() { (0..groups).map(|_| number(2000)).collect() } else { Vec::new() };
        let exponent = (0..rows).map(|_| -18 + number(2) as i8).collect();
        let code = |k: usize, random: &mut Self| {
            if k >= cols {
                0
            } else if format == Format::Lb8 {
                (random.below(255) as i64 - 127) as i8
            } else {
                random.below(16) as i8
            }
        };
        let padded = cols.next_multiple_of(GROUP);
        let codes = (0..rows * padded).map(|at| code(at % padded, self)).collect();
        BlockMatrix { rows, cols, format, codes, scale, offset, exponent }
    }
}

/// Sizes of a layer.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    pub hidden: usize,
    pub feed_forward: usize,
    pub kv_heads: usize,
    pub sharing: usize,
    pub head_size: usize,
}

pub const SMOLLM2: Sizes = Sizes { hidden: 576, feed_forward: 1536, kv_heads: 3, sharing: 3, head_size: 64 };
pub const SMALL: Sizes = Sizes { hidden: 96, feed_forward: 160, kv_heads: 2, sharing: 2, head_size: 32 };

const LINEAR: [i8; 16] = [-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7];
pub const Q4_0: Format = Format::LB4;
pub const Q4_1: Format = Format::Lb4 { codebook: LINEAR, has_offset: true };
pub const IQ4: Format = Format::Lb4 { codebook: lockstep_arith::blocks::IQ4_NL, has_offset: false };

/// A graph in the making with its seeded weights.
struct Maker {
    builder: Builder,
    weights: Vec<ContractWeight>,
    random: Random,
}

impl Maker {
    fn matrix(&mut self, name: &str, rows: usize, cols: usize, format: Format) -> WeightId {
        self.weights.push(ContractWeight::Matrix(self.random.matrix(rows, cols, format)));
        self.builder.weight(name, &[rows, cols]).unwrap()
    }

    fn add(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        self.builder.add(op, inputs).unwrap()
    }

    fn matmul(&mut self, name: &str, rows: usize, x: NodeId, format: Format) -> NodeId {
        let cols = self.builder.width(x);
        let weight = self.matrix(&format!("blk.0.{name}.weight"), rows, cols, format);
        self.add(Op::MatMul { weight, bias: None }, &[x])
    }

    fn norm(&mut self, name: &str, x: NodeId) -> NodeId {
        let group = self.builder.width(x);
        self.weights.push(ContractWeight::Vector(self.random.vector(group)));
        let weight = self.builder.weight(&format!("blk.0.{name}.weight"), &[group]).unwrap();
        self.add(Op::RmsNorm { weight, group, eps: 1e-5 }, &[x])
    }
}

/// A layer of random weights behind an embedding of so many rows. `formats` are those of the attention's and of the
/// feed-forward network's matrices.
pub fn random_layer(
    seed: u64,
    sizes: Sizes,
    pairs: RotaryPairs,
    formats: [Format; 2],
    (rows, table): (usize, Format),
) -> Layer {
    let Sizes { hidden, feed_forward, kv_heads, sharing, head_size } = sizes;
    let (heads, [attention, inside]) = (kv_heads * sharing, formats);
    let mut m = Maker { builder: Builder::new(), weights: Vec::new(), random: Random(seed) };
    let frequencies = (0..head_size / 2).map(|i| 0.9_f64.powi(i as i32)).collect();
    let rotary = m.builder.rotary(Rotary { pairs, rotary_size: head_size, frequencies }).unwrap();
    let table = m.matrix("token_embd.weight", rows, hidden, table);
    let x = m.add(Op::Embed { table, factor: None }, &[]);
    let normed = m.norm("attn_norm", x);
    let query = m.matmul("attn_q", heads * head_size, normed, attention);
    let key = m.matmul("attn_k", kv_heads * head_size, normed, attention);
    let value = m.matmul("attn_v", kv_heads * head_size, normed, attention);
    let [query, key] = [query, key].map(|x| m.add(Op::Rotary { head_size, rotary }, &[x]));
    let scale = 1.0 / (head_size as f32).sqrt();
    let op = Op::Attention { layer: 0, heads, kv_heads, head_size, scale, window: None, soft_cap: None };
    let attended = m.add(op, &[query, key, value]);
    let attended = m.matmul("attn_output", hidden, attended, attention);
    let x = m.add(Op::Add, &[x, attended]);
    let normed = m.norm("ffn_norm", x);
    let gate = m.matmul("ffn_gate", feed_forward, normed, inside);
    let up = m.matmul("ffn_up", feed_forward, normed, inside);
    let gate = m.add(Op::Silu, &[gate]);
    let gated = m.add(Op::Mul, &[gate, up]);
    let moved = m.matmul("ffn_down", hidden, gated, inside);
    let y = m.add(Op::Add, &[x, moved]);
    Layer { graph: m.builder.finish(y).unwrap(), weights: m.weights }
}
