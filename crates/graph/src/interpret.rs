//! The graph in plain floating point: f32 storage, f64 inside every sum and function. It is the meaning that other
//! float implementations (for example `transformers`) are compared with, not a fast path, and it shares no code with
//! the arithmetic contract.

use crate::{Error, Graph, NodeId, Op, Rotary, RotaryPairs, WeightId};

/// Where weight values come from, in the graph's own element order (rows outermost).
pub trait WeightValues {
    /// The `n` values of a vector.
    fn vector(&self, id: WeightId) -> &[f32];
    /// The `rows * cols` values of a matrix.
    fn matrix(&self, id: WeightId) -> &[f32];
}

/// Logits `[tokens][vocabulary]` of a whole prompt, the token at index i standing at position i.
pub fn logits(graph: &Graph, weights: &impl WeightValues, tokens: &[u32]) -> Result<Vec<Vec<f32>>, Error> {
    check_values(graph, weights)?;
    let mut values: Vec<Vec<f32>> = Vec::with_capacity(graph.nodes.len());
    for index in 0..graph.nodes.len() {
        let value = compute(graph, weights, tokens, &values, NodeId(index as u32))?;
        values.push(value);
    }
    let output = graph.output.0 as usize;
    Ok(values[output].chunks_exact(graph.nodes[output].width).map(<[f32]>::to_vec).collect())
}

fn check_values(graph: &Graph, weights: &impl WeightValues) -> Result<(), Error> {
    for (index, weight) in graph.weights.iter().enumerate() {
        let id = WeightId(index as u32);
        let found = if weight.shape.len() == 1 { weights.vector(id).len() } else { weights.matrix(id).len() };
        let expected: usize = weight.shape.iter().product();
        if found != expected {
            let what = format!("{found} values given, expected {expected}");
            return Err(Error::Values { name: weight.name.clone(), what });
        }
    }
    Ok(())
}

/// One node's value for all tokens, `[tokens, width]`.
fn compute(
    graph: &Graph,
    weights: &impl WeightValues,
    tokens: &[u32],
    values: &[Vec<f32>],
    id: NodeId,
) -> Result<Vec<f32>, Error> {
    let node = graph.node(id);
    // Without tokens every value is empty; the chunks below only need a width above zero, which the verifier holds.
    let input = |index: usize| values[node.inputs[index].0 as usize].as_slice();
    let each = |function: fn(f64) -> f64| input(0).iter().map(|&x| function(f64::from(x)) as f32).collect();
    let pairs = |function: fn(f32, f32) -> f32| input(0).iter().zip(input(1)).map(|(&x, &y)| function(x, y)).collect();
    Ok(match &node.op {
        Op::Embed { table, factor } => embed(weights.matrix(*table), tokens, node.width, *factor)?,
        Op::MatMul { weight, bias } => {
            let cols = graph.weight(*weight).shape[1];
            let bias = bias.map(|bias| weights.vector(bias));
            input(0).chunks_exact(cols).flat_map(|x| matvec(weights.matrix(*weight), x, bias)).collect()
        }
        Op::RmsNorm { weight, group, eps } => {
            let weight = weights.vector(*weight);
            input(0).chunks_exact(*group).flat_map(|x| rms_norm(x, weight, *eps)).collect()
        }
        Op::Rotary { head_size, rotary } => {
            let mut value = input(0).to_vec();
            for (position, token) in value.chunks_exact_mut(node.width).enumerate() {
                for head in token.chunks_exact_mut(*head_size) {
                    rotate(head, &graph.rotaries[*rotary], position);
                }
            }
            value
        }
        Op::Attention { .. } => attention(&node.op, [input(0), input(1), input(2)]),
        Op::Silu => each(|x| x / (1.0 + (-x).exp())),
        Op::Gelu => each(|x| 0.5 * x * (1.0 + (GELU_FACTOR * (x + 0.044_715 * x * x * x)).tanh())),
        Op::SoftCap { cap } => input(0).iter().map(|&x| soft_cap(f64::from(x), *cap) as f32).collect(),
        Op::Add => pairs(|x, y| x + y),
        Op::Mul => pairs(|x, y| x * y),
    })
}

/// `sqrt(2 / pi)`.
const GELU_FACTOR: f64 = 0.797_884_560_802_865_4;

fn embed(table: &[f32], tokens: &[u32], width: usize, factor: Option<f32>) -> Result<Vec<f32>, Error> {
    let mut value = Vec::with_capacity(tokens.len() * width);
    for &token in tokens {
        let rows = table.len() / width;
        let row = table.chunks_exact(width).nth(token as usize).ok_or(Error::Token { token, rows })?;
        value.extend(row.iter().map(|&x| factor.map_or(x, |factor| x * factor)));
    }
    Ok(value)
}

fn dot(x: &[f32], y: &[f32]) -> f64 {
    x.iter().zip(y).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum()
}

fn matvec(matrix: &[f32], x: &[f32], bias: Option<&[f32]>) -> Vec<f32> {
    let rows = matrix.chunks_exact(x.len()).enumerate();
    rows.map(|(n, row)| (dot(row, x) + bias.map_or(0.0, |bias| f64::from(bias[n]))) as f32).collect()
}

fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let factor = 1.0 / (dot(x, x) / x.len() as f64 + f64::from(eps)).sqrt();
    x.iter().zip(weight).map(|(&x, &w)| (f64::from(x) * factor * f64::from(w)) as f32).collect()
}

fn rotate(head: &mut [f32], rotary: &Rotary, position: usize) {
    for (pair, frequency) in rotary.frequencies.iter().enumerate() {
        let (first, second) = match rotary.pairs {
            RotaryPairs::Halves => (pair, pair + rotary.rotary_size / 2),
            RotaryPairs::Adjacent => (2 * pair, 2 * pair + 1),
        };
        let (sin, cos) = (position as f64 * frequency).sin_cos();
        let (x, y) = (f64::from(head[first]), f64::from(head[second]));
        head[first] = (x * cos - y * sin) as f32;
        head[second] = (y * cos + x * sin) as f32;
    }
}

fn soft_cap(x: f64, cap: f32) -> f64 {
    f64::from(cap) * (x / f64::from(cap)).tanh()
}

fn attention(op: &Op, [q, k, v]: [&[f32]; 3]) -> Vec<f32> {
    let Op::Attention { heads, kv_heads, head_size, scale, window, soft_cap: cap, .. } = op else { return Vec::new() };
    let kv_width = kv_heads * head_size;
    let mut output = Vec::with_capacity(q.len());
    for (index, query) in q.chunks_exact(*head_size).enumerate() {
        let (position, kv_head) = (index / heads, (index % heads) * kv_heads / heads);
        let first = window.map_or(0, |window| (position + 1).saturating_sub(window));
        let visible = first..=position;
        let starts = visible.map(|t| t * kv_width + kv_head * head_size);
        let scores: Vec<f64> = starts
            .clone()
            .map(|start| dot(query, &k[start..start + head_size]) * f64::from(*scale))
            .map(|score| cap.map_or(score, |cap| soft_cap(score, cap)))
            .collect();
        let maximum = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let exponentials: Vec<f64> = scores.iter().map(|score| (score - maximum).exp()).collect();
        let total: f64 = exponentials.iter().sum();
        let mut sums = vec![0.0f64; *head_size];
        for (start, exponential) in starts.zip(&exponentials) {
            for (sum, &value) in sums.iter_mut().zip(&v[start..start + head_size]) {
                *sum += exponential / total * f64::from(value);
            }
        }
        output.extend(sums.iter().map(|&sum| sum as f32));
    }
    output
}
