//! Graphs of small decoders.

use lockstep_graph::{Builder, Graph, NodeId, Op, Rotary, RotaryPairs, WeightId};

/// The function of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    Silu,
    Gelu,
}

/// Sizes and features of a decoder.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools)] // features that a family has or not
pub struct Decoder {
    pub hidden: usize,
    pub feed_forward: usize,
    pub vocabulary: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_size: usize,
    /// For each layer its window and its rotary embedding.
    pub layers: Vec<(Option<usize>, usize)>,
    pub pairs: RotaryPairs,
    /// Elements of a head that are rotated; none is rotated where it is 0.
    pub rotary_size: usize,
    pub gate: Gate,
    /// Of queries, keys and values.
    pub bias: bool,
    pub output_bias: bool,
    pub head_norms: bool,
    pub post_norms: bool,
    pub embedding_factor: Option<f32>,
    pub score_cap: Option<f32>,
    pub logit_cap: Option<f32>,
    pub tied: bool,
}

impl Decoder {
    /// Two plain layers.
    pub fn llama(hidden: usize, heads: usize, kv_heads: usize, head_size: usize) -> Self {
        Self {
            hidden,
            feed_forward: 160,
            vocabulary: 50,
            heads,
            kv_heads,
            head_size,
            layers: vec![(None, 0); 2],
            pairs: RotaryPairs::Adjacent,
            rotary_size: head_size,
            gate: Gate::Silu,
            bias: false,
            output_bias: false,
            head_norms: false,
            post_norms: false,
            embedding_factor: None,
            score_cap: None,
            logit_cap: None,
            tied: true,
        }
    }

    /// With bias on queries, keys and values.
    pub fn qwen2(hidden: usize, heads: usize, kv_heads: usize, head_size: usize) -> Self {
        Self { bias: true, pairs: RotaryPairs::Halves, ..Self::llama(hidden, heads, kv_heads, head_size) }
    }

    /// With norms of query and key heads.
    pub fn qwen3(hidden: usize, heads: usize, kv_heads: usize, head_size: usize) -> Self {
        Self {
            head_norms: true,
            pairs: RotaryPairs::Halves,
            tied: false,
            ..Self::llama(hidden, heads, kv_heads, head_size)
        }
    }

    /// With all that gemma has: a window on all layers but each third.
    pub fn gemma3(hidden: usize, heads: usize, kv_heads: usize, head_size: usize, window: usize) -> Self {
        Self {
            layers: vec![(Some(window), 0), (Some(window), 0), (None, 1)],
            gate: Gate::Gelu,
            post_norms: true,
            embedding_factor: Some((hidden as f64).sqrt() as f32),
            tied: true,
            ..Self::qwen3(hidden, heads, kv_heads, head_size)
        }
    }

    pub fn graph(&self) -> Graph {
        let mut b = Builder::new();
        let table = b.weight("token_embd.weight", &[self.vocabulary, self.hidden]).unwrap();
        let mut x = b.add(Op::Embed { table, factor: self.embedding_factor }, &[]).unwrap();
        for (index, (window, rotary)) in self.layers.iter().enumerate() {
            let name = |part: &str| format!("blk.{index}.{part}");
            let y = self.attention(&mut b, index, *window, *rotary, x);
            x = self.join(&mut b, &name("post_attention_norm.weight"), x, y);
            let normed = norm(&mut b, &name("ffn_norm.weight"), self.hidden, x);
            let gate = linear(&mut b, &name("ffn_gate"), self.feed_forward, false, normed);
            let up = linear(&mut b, &name("ffn_up"), self.feed_forward, false, normed);
            let function = if self.gate == Gate::Silu { Op::Silu } else { Op::Gelu };
            let gate = b.add(function, &[gate]).unwrap();
            let gated = b.add(Op::Mul, &[gate, up]).unwrap();
            let y = linear(&mut b, &name("ffn_down"), self.hidden, false, gated);
            x = self.join(&mut b, &name("post_ffw_norm.weight"), x, y);
        }
        let x = norm(&mut b, "output_norm.weight", self.hidden, x);
        let weight = if self.tied { table } else { matrix(&mut b, "output.weight", self.vocabulary, self.hidden) };
        let mut logits = b.add(Op::MatMul { weight, bias: None }, &[x]).unwrap();
        if let Some(cap) = self.logit_cap {
            logits = b.add(Op::SoftCap { cap }, &[logits]).unwrap();
        }
        b.finish(logits).unwrap()
    }

    fn attention(&self, b: &mut Builder, layer: usize, window: Option<usize>, rotary: usize, x: NodeId) -> NodeId {
        let Self { heads, kv_heads, head_size, .. } = *self;
        let name = |part: &str| format!("blk.{layer}.{part}");
        let normed = norm(b, &name("attn_norm.weight"), self.hidden, x);
        let mut q = linear(b, &name("attn_q"), heads * head_size, self.bias, normed);
        let mut k = linear(b, &name("attn_k"), kv_heads * head_size, self.bias, normed);
        let v = linear(b, &name("attn_v"), kv_heads * head_size, self.bias, normed);
        if self.head_norms {
            q = norm(b, &name("attn_q_norm.weight"), head_size, q);
            k = norm(b, &name("attn_k_norm.weight"), head_size, k);
        }
        if self.rotary_size > 0 {
            let base = if rotary == 0 { 0.7_f64 } else { 0.9 };
            let frequencies: Vec<f64> = (0..self.rotary_size / 2).map(|i| base.powi(i as i32)).collect();
            let rotary = Rotary { pairs: self.pairs, rotary_size: self.rotary_size, frequencies };
            let rotary = b.rotary(rotary).unwrap();
            q = b.add(Op::Rotary { head_size, rotary }, &[q]).unwrap();
            k = b.add(Op::Rotary { head_size, rotary }, &[k]).unwrap();
        }
        let scale = 1.0 / (head_size as f32).sqrt();
        let soft_cap = self.score_cap;
        let op = Op::Attention { layer, heads, kv_heads, head_size, scale, window, soft_cap };
        let attended = b.add(op, &[q, k, v]).unwrap();
        linear(b, &name("attn_output"), self.hidden, self.output_bias, attended)
    }

    fn join(&self, b: &mut Builder, post_norm: &str, residual: NodeId, y: NodeId) -> NodeId {
        let y = if self.post_norms { norm(b, post_norm, self.hidden, y) } else { y };
        b.add(Op::Add, &[residual, y]).unwrap()
    }
}

fn matrix(b: &mut Builder, name: &str, rows: usize, cols: usize) -> WeightId {
    b.weight(name, &[rows, cols]).unwrap()
}

fn norm(b: &mut Builder, name: &str, group: usize, x: NodeId) -> NodeId {
    let weight = b.weight(name, &[group]).unwrap();
    b.add(Op::RmsNorm { weight, group, eps: 1e-6 }, &[x]).unwrap()
}

fn linear(b: &mut Builder, stem: &str, rows: usize, bias: bool, x: NodeId) -> NodeId {
    let cols = b.width(x);
    let weight = matrix(b, &format!("{stem}.weight"), rows, cols);
    let bias = bias.then(|| b.weight(&format!("{stem}.bias"), &[rows]).unwrap());
    b.add(Op::MatMul { weight, bias }, &[x]).unwrap()
}
