//! The decoder that all families share: from a blueprint and a file's tensors to a graph with its weights bound.

use lockstep_graph::{Builder, Graph, NodeId, Op, Rotary, WeightId};

use crate::blueprint::{Blueprint, Layer};
use crate::family::Activation;
use crate::tensors::Tensors;
use crate::{BoundWeight, Error, Transform};

/// The graph of the model, and its weights in the order of [`Graph::weights`]; none without tensors.
pub(crate) fn build<'a>(
    blueprint: &Blueprint,
    tensors: Option<&mut Tensors<'_, 'a>>,
) -> Result<(Graph, Vec<BoundWeight<'a>>), Error> {
    let mut decoder = Decoder { blueprint, tensors, builder: Builder::new(), weights: Vec::new() };
    let output = decoder.model()?;
    Ok((decoder.builder.finish(output)?, decoder.weights))
}

struct Decoder<'d, 't, 'a> {
    blueprint: &'d Blueprint,
    tensors: Option<&'d mut Tensors<'t, 'a>>,
    builder: Builder,
    weights: Vec<BoundWeight<'a>>,
}

impl Decoder<'_, '_, '_> {
    fn model(&mut self) -> Result<NodeId, Error> {
        let blueprint = self.blueprint;
        let table = self.matrix("token_embd.weight", blueprint.vocab_size, blueprint.hidden)?;
        let factor = blueprint.family.scaled_embedding.then(|| (blueprint.hidden as f64).sqrt() as f32);
        let mut x = self.builder.add(Op::Embed { table, factor }, &[])?;
        for (index, layer) in blueprint.layers.iter().enumerate() {
            x = self.attention_block(index, *layer, x)?;
            x = self.feed_forward_block(index, x)?;
        }
        let x = self.norm("output_norm.weight", blueprint.hidden, x)?;
        let head =
            if blueprint.tied { table } else { self.matrix("output.weight", blueprint.vocab_size, blueprint.hidden)? };
        let logits = self.builder.add(Op::MatMul { weight: head, bias: None }, &[x])?;
        match blueprint.logit_cap {
            Some(cap) => Ok(self.builder.add(Op::SoftCap { cap }, &[logits])?),
            None => Ok(logits),
        }
    }

    fn attention_block(&mut self, index: usize, layer: Layer, x: NodeId) -> Result<NodeId, Error> {
        let &Blueprint { hidden, heads, kv_heads, head_size, family, query_key_value_bias: bias, .. } = self.blueprint;
        let name = |part: &str| format!("blk.{index}.{part}");
        let normed = self.norm(&name("attn_norm.weight"), hidden, x)?;
        let mut q = self.linear(&name("attn_q"), heads * head_size, hidden, bias, normed)?;
        let mut k = self.linear(&name("attn_k"), kv_heads * head_size, hidden, bias, normed)?;
        let v = self.linear(&name("attn_v"), kv_heads * head_size, hidden, bias, normed)?;
        if family.head_norms {
            q = self.norm(&name("attn_q_norm.weight"), head_size, q)?;
            k = self.norm(&name("attn_k_norm.weight"), head_size, k)?;
        }
        let rotary: Rotary = self.blueprint.rotaries[layer.rotary].clone();
        let rotary = self.builder.rotary(rotary)?;
        let q = self.builder.add(Op::Rotary { head_size, rotary }, &[q])?;
        let k = self.builder.add(Op::Rotary { head_size, rotary }, &[k])?;
        let attention = Op::Attention {
            layer: index,
            heads,
            kv_heads,
            head_size,
            scale: self.blueprint.attention_scale,
            window: layer.window,
            soft_cap: self.blueprint.score_cap,
        };
        let attended = self.builder.add(attention, &[q, k, v])?;
        let output_bias = self.blueprint.output_bias;
        let y = self.linear(&name("attn_output"), hidden, heads * head_size, output_bias, attended)?;
        self.join(&name("post_attention_norm.weight"), x, y)
    }

    fn feed_forward_block(&mut self, index: usize, x: NodeId) -> Result<NodeId, Error> {
        let &Blueprint { hidden, feed_forward, family, .. } = self.blueprint;
        let name = |part: &str| format!("blk.{index}.{part}");
        let normed = self.norm(&name("ffn_norm.weight"), hidden, x)?;
        let gate = self.linear(&name("ffn_gate"), feed_forward, hidden, false, normed)?;
        let up = self.linear(&name("ffn_up"), feed_forward, hidden, false, normed)?;
        let function = match family.activation {
            Activation::Silu => Op::Silu,
            Activation::GeluTanh => Op::Gelu,
        };
        let gate = self.builder.add(function, &[gate])?;
        let gated = self.builder.add(Op::Mul, &[gate, up])?;
        let y = self.linear(&name("ffn_down"), hidden, feed_forward, false, gated)?;
        self.join(&name("post_ffw_norm.weight"), x, y)
    }

    /// Adds a block's output to the residual, normed first where the family does so.
    fn join(&mut self, post_norm: &str, residual: NodeId, y: NodeId) -> Result<NodeId, Error> {
        let y = if self.blueprint.family.post_norms { self.norm(post_norm, self.blueprint.hidden, y)? } else { y };
        Ok(self.builder.add(Op::Add, &[residual, y])?)
    }

    fn norm(&mut self, name: &str, group: usize, x: NodeId) -> Result<NodeId, Error> {
        let less_one = self.tensors.as_ref().is_some_and(|tensors| tensors.norms_less_one());
        let transform = if less_one { Transform::AddOne } else { Transform::None };
        let weight = self.vector(name, group, transform)?;
        Ok(self.builder.add(Op::RmsNorm { weight, group, eps: self.blueprint.norm_eps }, &[x])?)
    }

    fn linear(&mut self, stem: &str, rows: usize, cols: usize, bias: bool, x: NodeId) -> Result<NodeId, Error> {
        let weight = self.matrix(&format!("{stem}.weight"), rows, cols)?;
        let bias = bias.then(|| self.vector(&format!("{stem}.bias"), rows, Transform::None)).transpose()?;
        Ok(self.builder.add(Op::MatMul { weight, bias }, &[x])?)
    }

    fn matrix(&mut self, name: &str, rows: usize, cols: usize) -> Result<WeightId, Error> {
        if let Some(tensors) = &mut self.tensors {
            let tensor = tensors.take(name, &[rows, cols])?;
            self.weights.push(BoundWeight { tensor, transform: Transform::None });
        }
        Ok(self.builder.weight(name, &[rows, cols])?)
    }

    fn vector(&mut self, name: &str, n: usize, transform: Transform) -> Result<WeightId, Error> {
        if let Some(tensors) = &mut self.tensors {
            let tensor = tensors.take_vector(name, n)?;
            self.weights.push(BoundWeight { tensor, transform });
        }
        Ok(self.builder.weight(name, &[n])?)
    }
}
