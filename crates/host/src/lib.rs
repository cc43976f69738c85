//! The same model on an ordinary CPU: a static plan, pinned workers, and the contract's bits.
//!
//! In: a model's graph and packed weights. Out: logits, a step at a time. Which worker does which rows, when they meet
//! and where every buffer lies is decided once, in [`plan`]. It knows no chips and no instructions. Start reading at
//! [`Host`], then `plan.rs`, then `run.rs`.

mod error;
mod kv;
mod plan;
mod run;
mod shared;
mod store;
mod team;

pub use error::Error;
pub use store::PackedWeights;

use kv::{KvCache, KvShape};
use lockstep_arith::rotary::RotaryTable;
use lockstep_graph::{Graph, Op, RotaryPairs};
use lockstep_kernels::Kernels;
use plan::Plan;
use run::{Buffers, Row, Step};

/// How a host runs.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Workers, at least one.
    pub threads: usize,
    /// Most tokens of one step.
    pub step_tokens: usize,
    /// The kernel set.
    pub kernels: Kernels,
}

/// New tokens of one sequence.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// The sequence.
    pub sequence: u32,
    /// Its next tokens.
    pub tokens: &'a [u32],
    /// For how many of the last of them logits are wanted.
    pub logits: usize,
}

/// A model ready to run on this CPU.
#[derive(Debug)]
pub struct Host {
    graph: Graph,
    plan: Plan,
    weights: PackedWeights,
    buffers: Buffers,
    team: team::Team,
    options: Options,
    shape: KvShape,
    sequences: Vec<Option<KvCache>>,
    rotaries: Vec<(RotaryPairs, RotaryTable)>,
    rows: Vec<Row>,
    wanted: Vec<usize>,
    /// First wanted row and first row of each item of the last step, then the totals.
    item_rows: Vec<(usize, usize)>,
}

impl Host {
    /// Plans the graph and starts the workers.
    pub fn new(graph: Graph, weights: PackedWeights, options: Options) -> Result<Self, Error> {
        let plan = Plan::new(&graph)?;
        let workers = options.threads.max(1);
        let buffers = Buffers::new(&plan, workers, options.step_tokens.max(1));
        let team = team::Team::new(workers).map_err(|error| Error::Environment(format!("no thread: {error}")))?;
        let shape = kv_shape(&graph);
        let rotaries = graph.rotaries.iter().map(|rotary| (rotary.pairs, RotaryTable::default())).collect();
        Ok(Self {
            graph,
            plan,
            weights,
            buffers,
            team,
            options,
            shape,
            sequences: Vec::new(),
            rotaries,
            rows: Vec::with_capacity(options.step_tokens),
            wanted: Vec::with_capacity(options.step_tokens),
            item_rows: Vec::with_capacity(options.step_tokens + 1),
        })
    }

    /// Number of logits.
    pub fn vocab_size(&self) -> usize {
        self.plan.output.width
    }

    /// Most tokens of one step.
    pub fn step_tokens(&self) -> usize {
        self.options.step_tokens
    }

    /// Starts a sequence of at most `capacity` tokens.
    pub fn create_sequence(&mut self, capacity: usize) -> Result<u32, Error> {
        let cache = KvCache::new(self.shape, capacity.max(1)).ok_or(Error::Memory(capacity))?;
        Ok(self.place(cache))
    }

    /// Starts a sequence of at most `capacity` tokens that begins with the first `length` of another. `None` where the
    /// model's layers differ in a way that this does not know.
    pub fn copy_prefix(&mut self, from: u32, length: usize, capacity: usize) -> Result<Option<u32>, Error> {
        if !self.shape.is_uniform {
            return Ok(None);
        }
        let shape = self.shape;
        let source = self.sequences.get_mut(from as usize).and_then(Option::as_mut);
        let source = source.ok_or_else(|| Error::Unsupported(format!("no sequence {from}")))?;
        if length > source.length || length > capacity {
            return Err(Error::Memory(length));
        }
        let mut cache = KvCache::new(shape, capacity.max(1)).ok_or(Error::Memory(capacity))?;
        cache.copy_prefix(shape, source, length);
        Ok(Some(self.place(cache)))
    }

    /// Bytes of keys and values of a sequence that holds up to `capacity` tokens.
    pub fn sequence_bytes(&self, capacity: usize) -> u64 {
        self.shape.bytes(capacity)
    }

    fn place(&mut self, cache: KvCache) -> u32 {
        self.extend_rotaries(cache.capacity);
        self.buffers.reserve(cache.capacity, self.shape.head_size);
        let slot = self.sequences.iter().position(Option::is_none).unwrap_or(self.sequences.len());
        if slot == self.sequences.len() {
            self.sequences.push(None);
        }
        self.sequences[slot] = Some(cache);
        slot as u32
    }

    fn extend_rotaries(&mut self, positions: usize) {
        for ((_, table), rotary) in self.rotaries.iter_mut().zip(&self.graph.rotaries) {
            if table.cosines.len() < positions * rotary.frequencies.len() {
                *table = RotaryTable::new(&rotary.frequencies, positions.next_power_of_two());
            }
        }
    }

    /// Forgets a sequence.
    pub fn release_sequence(&mut self, sequence: u32) {
        self.sequences[sequence as usize] = None;
    }

    /// Keeps only the first `length` tokens of a sequence.
    pub fn truncate_sequence(&mut self, sequence: u32, length: usize) {
        if let Some(cache) = &mut self.sequences[sequence as usize] {
            cache.length = cache.length.min(length);
        }
    }

    /// Appends tokens and computes the wanted logits.
    pub fn step(&mut self, items: &[Item<'_>]) -> Result<(), Error> {
        self.collect_rows(items)?;
        self.buffers.clear_faults(self.rows.len());
        let step = Step {
            plan: &self.plan,
            buffers: &self.buffers,
            weights: &self.weights,
            kernels: self.options.kernels,
            rotaries: &self.rotaries,
            sequences: &self.sequences,
            shape: self.shape,
            rows: &self.rows,
            wanted: &self.wanted,
            workers: self.team.workers(),
        };
        let team = &mut self.team;
        team.run_step(&step);
        for item in items {
            if let Some(cache) = &mut self.sequences[item.sequence as usize] {
                cache.length += item.tokens.len();
            }
        }
        Ok(())
    }

    fn collect_rows(&mut self, items: &[Item<'_>]) -> Result<(), Error> {
        self.rows.clear();
        self.wanted.clear();
        self.item_rows.clear();
        for item in items {
            self.item_rows.push((self.wanted.len(), self.rows.len()));
            let cache = self.sequences.get(item.sequence as usize).and_then(Option::as_ref);
            let cache = cache.ok_or_else(|| Error::Unsupported(format!("no sequence {}", item.sequence)))?;
            if cache.length + item.tokens.len() > cache.capacity {
                return Err(Error::Memory(cache.length + item.tokens.len()));
            }
            for (at, &token) in item.tokens.iter().enumerate() {
                if token as usize >= self.plan.output.width {
                    return Err(Error::Unsupported(format!("token {token} is outside the vocabulary")));
                }
                if at + item.logits >= item.tokens.len() {
                    self.wanted.push(self.rows.len());
                }
                self.rows.push(Row { sequence: item.sequence as usize, position: cache.length + at, token });
            }
        }
        self.item_rows.push((self.wanted.len(), self.rows.len()));
        let limit = self.options.step_tokens;
        if self.rows.len() > limit {
            return Err(Error::Unsupported(format!("{} tokens in one step of at most {limit}", self.rows.len())));
        }
        Ok(())
    }

    /// Logits `row` of those that item `item` of the last step asked for, or why its values left the number range.
    pub fn logits(&self, item: usize, row: usize) -> Result<&[f32], String> {
        let (first, start) = self.item_rows[item];
        let end = self.item_rows[item + 1].1;
        match (start..end).find_map(|row| self.buffers.fault(row)) {
            Some(fault) => Err(fault.to_string()),
            None => Ok(self.buffers.logits(first + row, self.plan.output.width)),
        }
    }
}

/// Keys and values of the graph's layers.
fn kv_shape(graph: &Graph) -> KvShape {
    let mut shape = KvShape { layers: 0, kv_heads: 0, head_size: 0, is_uniform: true };
    for node in &graph.nodes {
        if let Op::Attention { layer, kv_heads, head_size, .. } = node.op {
            shape.layers = shape.layers.max(layer + 1);
            shape.kv_heads = shape.kv_heads.max(kv_heads);
            let size = run::padded_head(head_size);
            shape.is_uniform &= shape.head_size == 0 || shape.head_size == size;
            shape.head_size = shape.head_size.max(size);
        }
    }
    shape
}
