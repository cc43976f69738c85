//! The graph in the arithmetic contract, by the oracle of `lockstep-arith` alone: one token after the other, nothing
//! clever. Every backend must produce these bits.
//!
//! In: a verified graph and its weights in block formats. Out: logits. The keys and values of earlier tokens live in
//! [`State`], quantised as the contract says.

use lockstep_arith::fault::ValueFault;
use lockstep_arith::matrix::BlockMatrix;
use lockstep_arith::rotary::{self, RotaryTable};
use lockstep_arith::vector_block::{self, HEAD_BITS, VectorBlock};
use lockstep_arith::{activation, attention, elementwise, embedding, matmul, norm};

use crate::{Error, Graph, Node, NodeId, Op, RotaryPairs, WeightId};

/// A weight as the contract sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum ContractWeight {
    /// `[rows, cols]`, imported into a block format.
    Matrix(BlockMatrix),
    /// `[n]`: norm weights and biases, as f32.
    Vector(Vec<f32>),
}

/// Logits `[tokens][vocabulary]` of a whole prompt, the first token at position 0.
pub fn logits(graph: &Graph, weights: &[ContractWeight], tokens: &[u32]) -> Result<Vec<Vec<f32>>, Error> {
    let mut state = State::new(graph, weights, tokens.len())?;
    tokens.iter().map(|&token| state.step(token)).collect()
}

/// One sequence in the making.
#[derive(Debug)]
pub struct State<'a> {
    graph: &'a Graph,
    weights: &'a [ContractWeight],
    tables: Vec<RotaryTable>,
    layers: Vec<Cache>,
    capacity: usize,
    position: usize,
}

/// The keys and values of one layer: `[kv head][position]`.
#[derive(Clone, Debug, Default)]
struct Cache {
    keys: Vec<Vec<VectorBlock>>,
    values: Vec<Vec<VectorBlock>>,
}

impl<'a> State<'a> {
    /// An empty sequence with room for `capacity` tokens. `weights` are in the order of [`Graph::weights`].
    pub fn new(graph: &'a Graph, weights: &'a [ContractWeight], capacity: usize) -> Result<Self, Error> {
        check_weights(graph, weights)?;
        let tables = graph.rotaries.iter().map(|rotary| RotaryTable::new(&rotary.frequencies, capacity)).collect();
        Ok(Self { graph, weights, tables, layers: vec![Cache::default(); graph.layers()], capacity, position: 0 })
    }

    /// Tokens so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Forgets all but the first `length` tokens.
    pub fn truncate(&mut self, length: usize) {
        self.position = self.position.min(length);
        for head in self.layers.iter_mut().flat_map(|cache| cache.keys.iter_mut().chain(&mut cache.values)) {
            head.truncate(self.position);
        }
    }

    /// Appends a token and gives the logits for the one after it. After an error the sequence is as before.
    pub fn step(&mut self, token: u32) -> Result<Vec<f32>, Error> {
        let position = self.position;
        if position >= self.capacity {
            return Err(Error::Capacity { position, capacity: self.capacity });
        }
        let result = self.compute_all(token);
        match result {
            Ok(_) => self.position += 1,
            Err(_) => self.truncate(position),
        }
        result
    }

    fn compute_all(&mut self, token: u32) -> Result<Vec<f32>, Error> {
        let graph = self.graph;
        let mut values: Vec<Vec<f32>> = Vec::with_capacity(graph.nodes.len());
        for (index, node) in graph.nodes.iter().enumerate() {
            let inputs: Vec<&[f32]> = node.inputs.iter().map(|input| values[input.0 as usize].as_slice()).collect();
            let value = self.compute(NodeId(index as u32), node, &inputs, token)?;
            values.push(value);
        }
        Ok(values.swap_remove(graph.output.0 as usize))
    }

    fn compute(&mut self, id: NodeId, node: &Node, inputs: &[&[f32]], token: u32) -> Result<Vec<f32>, Error> {
        let position = self.position;
        let fault = |fault: ValueFault| Error::Fault { position, node: id, fault: fault.to_string() };
        let pairs = |function: fn(f32, f32) -> f32| inputs[0].iter().zip(inputs[1]).map(move |(&x, &y)| function(x, y));
        let each = |function: fn(f32) -> f32| inputs[0].iter().map(move |&x| function(x));
        Ok(match &node.op {
            Op::Embed { table, factor } => {
                let table = self.matrix(*table)?;
                if token as usize >= table.rows {
                    return Err(Error::Token { token, rows: table.rows });
                }
                embedding::row(table, token as usize, *factor)
            }
            Op::MatMul { weight, bias } => {
                let bias = bias.map(|bias| self.vector(bias)).transpose()?;
                matmul::matvec(self.matrix(*weight)?, &activation::quantize(inputs[0]).map_err(fault)?, bias)
            }
            Op::RmsNorm { weight, group, eps } => {
                norm::rms_norm_groups(inputs[0], self.vector(*weight)?, *group, *eps).map_err(fault)?
            }
            Op::Rotary { head_size, rotary } => self.rotate(inputs[0], *head_size, *rotary),
            Op::Attention { .. } => self.attend(&node.op, inputs).map_err(fault)?,
            Op::Silu => each(elementwise::silu).collect(),
            Op::Gelu => each(elementwise::gelu).collect(),
            Op::SoftCap { cap } => inputs[0].iter().map(|&x| elementwise::soft_cap(x, *cap)).collect(),
            Op::Add => pairs(|x, y| x + y).collect(),
            Op::Mul => pairs(|x, y| x * y).collect(),
        })
    }

    fn rotate(&self, x: &[f32], head_size: usize, table: usize) -> Vec<f32> {
        let (cosines, sines) = self.tables[table].position(self.position);
        let turn = match self.graph.rotaries[table].pairs {
            RotaryPairs::Halves => rotary::rotate_halves,
            RotaryPairs::Adjacent => rotary::rotate_adjacent,
        };
        let mut value = x.to_vec();
        value.chunks_exact_mut(head_size).for_each(|head| turn(head, cosines, sines));
        value
    }

    fn attend(&mut self, op: &Op, inputs: &[&[f32]]) -> Result<Vec<f32>, ValueFault> {
        let Op::Attention { layer, heads, kv_heads, head_size, scale, window, soft_cap } = op else {
            return Ok(Vec::new());
        };
        // A head is padded to a multiple of 32; the zeros change nothing but the width that keys must fit.
        let key_bits = vector_block::key_bits(head_size.next_multiple_of(32));
        let quantize = |x: &[f32], bits| {
            x.chunks_exact(*head_size).map(|head| vector_block::quantize(head, bits)).collect::<Result<Vec<_>, _>>()
        };
        let queries = quantize(inputs[0], HEAD_BITS)?;
        let cache = &mut self.layers[*layer];
        append(&mut cache.keys, quantize(inputs[1], key_bits)?);
        append(&mut cache.values, quantize(inputs[2], HEAD_BITS)?);
        let visible = window.map_or(0, |window| (self.position + 1).saturating_sub(window))..self.position + 1;
        let mut output = Vec::with_capacity(inputs[0].len());
        for (head, query) in queries.iter().enumerate() {
            let kv_head = head * kv_heads / heads;
            let (keys, values) = (&cache.keys[kv_head][visible.clone()], &cache.values[kv_head][visible.clone()]);
            output.extend(attention::attend(query, keys, values, *scale, *soft_cap));
        }
        Ok(output)
    }

    fn matrix(&self, id: WeightId) -> Result<&'a BlockMatrix, Error> {
        match &self.weights[id.0 as usize] {
            ContractWeight::Matrix(matrix) => Ok(matrix),
            ContractWeight::Vector(_) => Err(self.wrong_kind(id)),
        }
    }

    fn vector(&self, id: WeightId) -> Result<&'a [f32], Error> {
        match &self.weights[id.0 as usize] {
            ContractWeight::Vector(vector) => Ok(vector),
            ContractWeight::Matrix(_) => Err(self.wrong_kind(id)),
        }
    }

    fn wrong_kind(&self, id: WeightId) -> Error {
        Error::Values { name: self.graph.weight(id).name.clone(), what: "a matrix is a vector or the reverse".into() }
    }
}

/// Appends one position to every head.
fn append(heads: &mut Vec<Vec<VectorBlock>>, new: Vec<VectorBlock>) {
    heads.resize(new.len(), Vec::new());
    for (head, block) in heads.iter_mut().zip(new) {
        head.push(block);
    }
}

fn check_weights(graph: &Graph, weights: &[ContractWeight]) -> Result<(), Error> {
    for (index, weight) in graph.weights.iter().enumerate() {
        let found = match weights.get(index) {
            Some(ContractWeight::Matrix(matrix)) => vec![matrix.rows, matrix.cols],
            Some(ContractWeight::Vector(vector)) => vec![vector.len()],
            None => Vec::new(),
        };
        if found != weight.shape {
            let what = format!("values of shape {found:?} given, expected {:?}", weight.shape);
            return Err(Error::Values { name: weight.name.clone(), what });
        }
    }
    Ok(())
}
