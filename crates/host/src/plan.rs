//! The static plan: the graph as stages over fixed buffers, with the meetings that the stages need.
//!
//! Values lie as `[block of 8 elements][row][8]`, so a worker's share of a matmul or of an elementwise stage is one run
//! of memory. A stage touches each buffer in one [`Pattern`]; two stages need no meeting between them if every buffer
//! that one of them writes is touched by both in the same pattern, since then each worker meets only its own work.

use crate::Error;
use lockstep_graph::{Graph, NodeId, Op};
use std::collections::BTreeMap;

/// Which rows of a step a value covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rows {
    /// Every token.
    All,
    /// The tokens whose logits are wanted.
    Wanted,
}

/// A value buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) buffer: usize,
    pub(crate) width: usize,
    pub(crate) rows: Rows,
}

/// Buffer of quantised rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) buffer: usize,
    pub(crate) rows: Rows,
}

/// What a head becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadRole {
    Query,
    Key,
    Value,
}

/// One head stage: optional norm and rotary embedding, then a vector block.
#[derive(Clone, Debug)]
pub(crate) struct Heads {
    pub(crate) source: Value,
    pub(crate) role: HeadRole,
    pub(crate) layer: usize,
    pub(crate) count: usize,
    pub(crate) head_size: usize,
    pub(crate) bits: u32,
    pub(crate) norm: Option<(usize, f32)>,
    pub(crate) rotary: Option<usize>,
}

/// Attention of one layer.
#[derive(Clone, Debug)]
pub(crate) struct Attend {
    pub(crate) out: Value,
    pub(crate) layer: usize,
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_size: usize,
    pub(crate) scale: f32,
    pub(crate) window: Option<usize>,
    pub(crate) cap: Option<f32>,
}

/// An elementwise function of one value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Unary {
    Silu,
    Gelu,
    SoftCap(f32),
}

/// One step of the plan.
#[derive(Clone, Debug)]
pub(crate) enum Stage {
    Embed {
        table: usize,
        factor: Option<f32>,
        out: Value,
    },
    Select {
        x: Value,
        out: Value,
    },
    Quantize {
        x: Value,
        norm: Option<(usize, f32)>,
        act: Act,
    },
    MatMul {
        weight: usize,
        bias: Option<usize>,
        act: Act,
        out: Value,
    },
    Norm {
        x: Value,
        weight: usize,
        eps: f32,
        out: Value,
    },
    Heads(Heads),
    Attend(Attend),
    Unary {
        op: Unary,
        x: Value,
        out: Value,
    },
    Add {
        x: Value,
        y: Value,
        out: Value,
    },
    Mul {
        x: Value,
        y: Value,
        out: Value,
    },
    /// Logits as whole rows.
    Collect {
        x: Value,
    },
}

/// How the workers share a buffer in a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Each its own blocks of elements.
    Blocks,
    /// Each its own heads.
    Heads,
    /// Each its own rows.
    Rows,
    /// Each everything, of a copy of its own.
    Private,
    /// All of it, or parts that another stage does not have.
    All,
}

/// A buffer of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Buffer {
    Value(usize),
    Act(usize),
    Query,
    Kv(usize),
    Logits,
}

/// The plan.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) stages: Vec<Stage>,
    /// Whether workers meet before each stage: with few rows (quantised by every worker for itself), with many.
    pub(crate) meets: [Vec<bool>; 2],
    /// Width of each value buffer.
    pub(crate) values: Vec<(usize, Rows)>,
    /// Width of each activation buffer.
    pub(crate) acts: Vec<(usize, Rows)>,
    pub(crate) output: Value,
    pub(crate) query_width: usize,
    pub(crate) query_heads: usize,
}

/// Up to this many rows every worker quantises for itself: cheaper than a meeting.
pub(crate) const PRIVATE_ROWS: usize = 4;

impl Plan {
    pub(crate) fn new(graph: &Graph) -> Result<Self, Error> {
        let mut lowering = Lowering::new(graph);
        for index in 0..graph.nodes.len() {
            lowering.lower(index)?;
            lowering.free_after(index);
        }
        let output = lowering.value(graph.output, lowering.rows[graph.output.0 as usize])?;
        lowering.stages.push(Stage::Collect { x: output });
        let stages = lowering.stages;
        let meets = [meetings(&stages, true), meetings(&stages, false)];
        let (values, acts) = (lowering.values, lowering.acts);
        let (query_width, query_heads) = (lowering.query_width, lowering.query_heads);
        Ok(Self { stages, meets, values, acts, output, query_width, query_heads })
    }
}

struct Lowering<'g> {
    graph: &'g Graph,
    stages: Vec<Stage>,
    rows: Vec<Rows>,
    /// Nodes that are computed inside their consumers.
    inside: Vec<bool>,
    last_use: Vec<usize>,
    placed: BTreeMap<(usize, Rows), Value>,
    values: Vec<(usize, Rows)>,
    free: Vec<usize>,
    acts: Vec<(usize, Rows)>,
    /// What each activation buffer holds: value node and norm node.
    act_holds: Vec<Option<(usize, Option<usize>)>>,
    query_width: usize,
    query_heads: usize,
}

impl<'g> Lowering<'g> {
    fn new(graph: &'g Graph) -> Self {
        let mut lowering = Self {
            graph,
            stages: Vec::new(),
            rows: needed_rows(graph),
            inside: inside(graph),
            last_use: Vec::new(),
            placed: BTreeMap::new(),
            values: Vec::new(),
            free: Vec::new(),
            acts: Vec::new(),
            act_holds: Vec::new(),
            query_width: 0,
            query_heads: 0,
        };
        lowering.last_use = lowering.last_uses();
        lowering
    }

    /// The node whose value a stage reads when it reads `id`.
    fn base(&self, id: NodeId) -> usize {
        let mut at = id.0 as usize;
        while self.inside[at] {
            at = self.graph.nodes[at].inputs[0].0 as usize;
        }
        at
    }

    fn last_uses(&self) -> Vec<usize> {
        let mut last: Vec<usize> = (0..self.graph.nodes.len()).collect();
        for (index, node) in self.graph.nodes.iter().enumerate().filter(|(index, _)| !self.inside[*index]) {
            for &input in &node.inputs {
                last[self.base(input)] = index;
            }
        }
        last[self.base(self.graph.output)] = usize::MAX;
        last
    }

    fn place(&mut self, node: usize, rows: Rows) -> Value {
        let width = self.graph.nodes[node].width;
        let fits = self.free.iter().position(|&buffer| self.values[buffer] == (width, rows));
        let buffer = fits.map_or_else(
            || {
                self.values.push((width, rows));
                self.values.len() - 1
            },
            |at| self.free.swap_remove(at),
        );
        let value = Value { buffer, width, rows };
        self.placed.insert((node, rows), value);
        value
    }

    /// The value of a node for these rows; a stage picks the wanted rows where only all are there.
    fn value(&mut self, id: NodeId, rows: Rows) -> Result<Value, Error> {
        let node = self.base(id);
        if let Some(value) = self.placed.get(&(node, rows)) {
            return Ok(*value);
        }
        let missing = || Error::Unsupported(format!("node %{node} is used where it is not computed"));
        let x = *self.placed.get(&(node, Rows::All)).ok_or_else(missing)?;
        let out = self.place(node, rows);
        self.stages.push(Stage::Select { x, out });
        Ok(out)
    }

    fn free_after(&mut self, index: usize) {
        let done: Vec<_> = self.placed.keys().filter(|(node, _)| self.last_use[*node] <= index).copied().collect();
        for key in done {
            if let Some(value) = self.placed.remove(&key) {
                self.free.push(value.buffer);
            }
        }
    }

    /// The quantised rows of a matmul's input, through the norm in front of it where there is one.
    fn act(&mut self, input: NodeId, rows: Rows) -> Result<Act, Error> {
        let norm = self.inside[input.0 as usize].then_some(input.0 as usize);
        let base = self.base(input);
        let width = self.graph.nodes[base].width;
        let x = self.value(input, rows)?;
        let known = self.acts.iter().position(|act| *act == (width, rows));
        let buffer = known.unwrap_or_else(|| {
            self.acts.push((width, rows));
            self.act_holds.push(None);
            self.acts.len() - 1
        });
        let act = Act { buffer, rows };
        if self.act_holds[buffer] != Some((base, norm)) {
            self.act_holds[buffer] = Some((base, norm));
            let norm = match norm.map(|node| &self.graph.nodes[node].op) {
                Some(Op::RmsNorm { weight, eps, .. }) => Some((weight.0 as usize, *eps)),
                _ => None,
            };
            self.stages.push(Stage::Quantize { x, norm, act });
        }
        Ok(act)
    }

    fn lower(&mut self, index: usize) -> Result<(), Error> {
        if self.inside[index] {
            return Ok(());
        }
        let node = &self.graph.nodes[index];
        let rows = self.rows[index];
        let stage = match &node.op {
            Op::Embed { table, factor } => {
                Stage::Embed { table: table.0 as usize, factor: *factor, out: self.place(index, rows) }
            }
            Op::MatMul { weight, bias } => {
                let act = self.act(node.inputs[0], rows)?;
                let bias = bias.map(|bias| bias.0 as usize);
                Stage::MatMul { weight: weight.0 as usize, bias, act, out: self.place(index, rows) }
            }
            Op::RmsNorm { weight, group, eps } => {
                if *group != node.width {
                    return Err(Error::Unsupported(format!("node %{index}: a norm by groups outside attention")));
                }
                let x = self.value(node.inputs[0], rows)?;
                Stage::Norm { x, weight: weight.0 as usize, eps: *eps, out: self.place(index, rows) }
            }
            Op::Rotary { .. } => {
                return Err(Error::Unsupported(format!("node %{index}: a rotary embedding outside attention")));
            }
            Op::Attention { .. } => self.attention(index)?,
            Op::Silu => self.unary(index, Unary::Silu)?,
            Op::Gelu => self.unary(index, Unary::Gelu)?,
            Op::SoftCap { cap } => self.unary(index, Unary::SoftCap(*cap))?,
            Op::Add | Op::Mul => {
                let (x, y) = (self.value(node.inputs[0], rows)?, self.value(node.inputs[1], rows)?);
                let out = self.place(index, rows);
                if matches!(node.op, Op::Add) { Stage::Add { x, y, out } } else { Stage::Mul { x, y, out } }
            }
        };
        self.stages.push(stage);
        Ok(())
    }

    fn unary(&mut self, index: usize, op: Unary) -> Result<Stage, Error> {
        let rows = self.rows[index];
        let x = self.value(self.graph.nodes[index].inputs[0], rows)?;
        Ok(Stage::Unary { op, x, out: self.place(index, rows) })
    }

    fn attention(&mut self, index: usize) -> Result<Stage, Error> {
        let node = &self.graph.nodes[index];
        let Op::Attention { layer, heads, kv_heads, head_size, scale, window, soft_cap } = node.op else {
            return Err(Error::Unsupported(format!("node %{index} is not an attention")));
        };
        if head_size % 8 != 0 || head_size > 512 {
            return Err(Error::Unsupported(format!(
                "a head size of {head_size}: it must be a multiple of 8 up to 512"
            )));
        }
        let rows = self.rows[index];
        let key_bits = lockstep_arith::vector_block::key_bits(crate::run::padded_head(head_size));
        let roles =
            [(HeadRole::Query, heads, 12), (HeadRole::Key, kv_heads, key_bits), (HeadRole::Value, kv_heads, 12)];
        for (input, (role, count, bits)) in node.inputs.clone().into_iter().zip(roles) {
            let rows = if role == HeadRole::Query { rows } else { Rows::All };
            let source = self.value(input, rows)?;
            let (norm, rotary) = self.head_chain(input)?;
            self.stages.push(Stage::Heads(Heads { source, role, layer, count, head_size, bits, norm, rotary }));
        }
        self.query_width = self.query_width.max(heads * crate::run::padded_head(head_size));
        self.query_heads = self.query_heads.max(heads);
        let out = self.place(index, rows);
        Ok(Stage::Attend(Attend { out, layer, heads, kv_heads, head_size, scale, window, cap: soft_cap }))
    }

    /// The norm and the rotary embedding between a matmul and an attention.
    #[allow(clippy::type_complexity)]
    fn head_chain(&self, input: NodeId) -> Result<(Option<(usize, f32)>, Option<usize>), Error> {
        let (mut norm, mut turn) = (None, None);
        let mut at = input.0 as usize;
        while self.inside[at] {
            match &self.graph.nodes[at].op {
                Op::Rotary { rotary, .. } if turn.is_none() && norm.is_none() => turn = Some(*rotary),
                Op::RmsNorm { weight, eps, .. } if norm.is_none() => norm = Some((weight.0 as usize, *eps)),
                _ => return Err(Error::Unsupported(format!("node %{at}: this order of norm and rotary embedding"))),
            }
            at = self.graph.nodes[at].inputs[0].0 as usize;
        }
        Ok((norm, turn))
    }
}

/// Keys and values are needed of every row; everything else only of rows that reach them or that are wanted.
fn needed_rows(graph: &Graph) -> Vec<Rows> {
    let mut all = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        let attention = matches!(node.op, Op::Attention { .. });
        for (at, input) in node.inputs.iter().enumerate() {
            all[input.0 as usize] |= all[index] || (attention && at > 0);
        }
    }
    let mut rows: Vec<Rows> = all.iter().map(|&all| if all { Rows::All } else { Rows::Wanted }).collect();
    // Tokens come for every row, so the embedding does too.
    for (rows, _) in rows.iter_mut().zip(&graph.nodes).filter(|(_, node)| matches!(node.op, Op::Embed { .. })) {
        *rows = Rows::All;
    }
    rows
}

/// Rotary embeddings, norms of heads, and norms that only matmuls read are computed where they are read.
fn inside(graph: &Graph) -> Vec<bool> {
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate() {
        for input in &node.inputs {
            readers[input.0 as usize].push(index);
        }
    }
    let is = |index: usize, wanted: fn(&Op) -> bool| {
        !readers[index].is_empty() && readers[index].iter().all(|&reader| wanted(&graph.nodes[reader].op))
    };
    let head_reader: fn(&Op) -> bool = |op| matches!(op, Op::Rotary { .. } | Op::Attention { .. });
    let matmul_reader: fn(&Op) -> bool = |op| matches!(op, Op::MatMul { .. });
    (0..graph.nodes.len())
        .map(|index| match &graph.nodes[index].op {
            Op::Rotary { .. } => is(index, head_reader),
            Op::RmsNorm { group, .. } => {
                let whole = *group == graph.nodes[index].width;
                is(index, head_reader) || (whole && is(index, matmul_reader))
            }
            _ => false,
        })
        .collect()
}

/// Every buffer that a stage touches: (buffer, pattern, whether it writes).
fn touches(stage: &Stage, private: bool) -> Vec<(Buffer, Pattern, bool)> {
    use Pattern::{All, Blocks, Private, Rows as ByRows};
    let value = |value: &Value, pattern, writes| (Buffer::Value(value.buffer), pattern, writes);
    let act_pattern = |shared| if private { Private } else { shared };
    match stage {
        Stage::Embed { out, .. } => vec![value(out, Blocks, true)],
        Stage::Select { x, out } | Stage::Unary { x, out, .. } => {
            vec![value(x, Blocks, false), value(out, Blocks, true)]
        }
        Stage::Quantize { x, act, .. } => {
            vec![value(x, All, false), (Buffer::Act(act.buffer), act_pattern(ByRows), true)]
        }
        Stage::MatMul { act, out, .. } => {
            vec![(Buffer::Act(act.buffer), act_pattern(All), false), value(out, Blocks, true)]
        }
        // Every worker reads whole rows for the mean square and writes its own blocks.
        Stage::Norm { x, out, .. } => vec![value(x, All, false), value(out, Blocks, true)],
        Stage::Heads(heads) => {
            let target = if heads.role == HeadRole::Query { Buffer::Query } else { Buffer::Kv(heads.layer) };
            vec![value(&heads.source, All, false), (target, Pattern::Heads, true)]
        }
        Stage::Attend(attend) => {
            vec![(Buffer::Query, All, false), (Buffer::Kv(attend.layer), All, false), value(&attend.out, All, true)]
        }
        Stage::Add { x, y, out } | Stage::Mul { x, y, out } => {
            vec![value(x, Blocks, false), value(y, Blocks, false), value(out, Blocks, true)]
        }
        Stage::Collect { x } => vec![value(x, All, false), (Buffer::Logits, ByRows, true)],
    }
}

/// Where workers must meet: before a stage that touches a buffer otherwise than an earlier stage since the last
/// meeting did, one of the two writing.
fn meetings(stages: &[Stage], private: bool) -> Vec<bool> {
    let mut since: BTreeMap<Buffer, Vec<(Pattern, bool)>> = BTreeMap::new();
    stages
        .iter()
        .map(|stage| {
            let touches = touches(stage, private);
            let clash = |(buffer, pattern, writes): &(Buffer, Pattern, bool)| {
                since.get(buffer).is_some_and(|earlier| {
                    earlier.iter().any(|(other, wrote)| {
                        let apart = pattern == other && *pattern != Pattern::All;
                        (*writes || *wrote) && !apart
                    })
                })
            };
            let meet = touches.iter().any(clash);
            if meet {
                since.clear();
            }
            for (buffer, pattern, writes) in touches {
                since.entry(buffer).or_default().push((pattern, writes));
            }
            meet
        })
        .collect()
}
