//! Running the plan: what one worker does in each stage.
#![allow(unsafe_code)] // every access below is one that the plan's hazard analysis covers

use crate::kv::{KvCache, KvShape};
use crate::plan::{Act, Attend, HeadRole, Heads, PRIVATE_ROWS, Plan, Rows, Stage, Unary, Value};
use crate::shared::Shared;
use crate::store::PackedWeights;
use crate::team::Barrier;
use lockstep_arith::fault::{ValueFault, power_of_two};
use lockstep_arith::matrix::GROUP;
use lockstep_arith::rotary::{RotaryTable, rotate_adjacent, rotate_halves};
use lockstep_graph::RotaryPairs;
use lockstep_kernels::Kernels;
use lockstep_kernels::activations::{Activations, GroupScale};
use lockstep_kernels::attention::{HeadCache, Query, Scratch, store_key, store_value};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

/// Elements of one block of a value.
const BLOCK: usize = 8;

/// One token of a step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    pub(crate) sequence: usize,
    pub(crate) position: usize,
    pub(crate) token: u32,
}

/// Quantised rows.
#[derive(Debug)]
struct ActBuffer {
    codes: Shared<i8>,
    scales: Shared<GroupScale>,
    exponents: Shared<i32>,
    groups: usize,
    rows_max: usize,
}

/// One worker's own memory.
#[derive(Debug)]
struct Own {
    row: Vec<f32>,
    codes: Vec<i16>,
    attention: Scratch,
}

/// All memory of the plan, laid out once.
#[derive(Debug)]
pub(crate) struct Buffers {
    values: Vec<Shared<f32>>,
    acts: Vec<ActBuffer>,
    query: Shared<i16>,
    query_exponents: Shared<i8>,
    logits: Shared<f32>,
    own: Shared<Own>,
    faults: Vec<AtomicU32>,
}

impl Buffers {
    pub(crate) fn new(plan: &Plan, workers: usize, rows_max: usize) -> Self {
        let padded = |width: usize| width.next_multiple_of(GROUP);
        let act = |&(width, _): &(usize, Rows)| {
            // With few rows each worker has a copy of its own, behind the others.
            let rows = rows_max.max(workers * PRIVATE_ROWS);
            let groups = width.div_ceil(GROUP);
            ActBuffer {
                codes: Shared::zeros(rows * groups * GROUP),
                scales: Shared::zeros(rows * groups),
                exponents: Shared::zeros(rows),
                groups,
                rows_max: rows,
            }
        };
        let widest = plan.values.iter().map(|(width, _)| padded(*width)).max().unwrap_or(0).max(512);
        let own = || Own { row: vec![0.0; widest], codes: vec![0; widest], attention: Scratch::default() };
        Self {
            values: plan.values.iter().map(|(width, _)| Shared::zeros(padded(*width) * rows_max)).collect(),
            acts: plan.acts.iter().map(act).collect(),
            query: Shared::zeros(plan.query_width * rows_max),
            query_exponents: Shared::zeros(plan.query_heads * rows_max),
            logits: Shared::zeros(plan.output.width * rows_max),
            own: Shared::new((0..workers).map(|_| own()).collect()),
            faults: (0..rows_max).map(|_| AtomicU32::new(0)).collect(),
        }
    }

    /// Room for sequences of `positions` tokens, so that a step allocates nothing.
    pub(crate) fn reserve(&mut self, positions: usize, head_size: usize) {
        self.own.all_mut().for_each(|own| own.attention.reserve(positions, head_size));
    }

    /// Forgets the faults of the step before.
    pub(crate) fn clear_faults(&self, rows: usize) {
        self.faults[..rows].iter().for_each(|fault| fault.store(0, Ordering::Relaxed));
    }

    /// The magnitude that left the number range in this row, if one did.
    pub(crate) fn fault(&self, row: usize) -> Option<ValueFault> {
        let bits = self.faults[row].load(Ordering::Relaxed);
        (bits != 0).then(|| ValueFault { magnitude: f32::from_bits(bits) })
    }

    /// One row of logits. The team must be at rest.
    pub(crate) fn logits(&self, row: usize, width: usize) -> &[f32] {
        // SAFETY: the caller has the host by reference, so no step runs.
        unsafe { self.logits.read(row * width..(row + 1) * width) }
    }
}

/// Everything that a step reads.
pub(crate) struct Step<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) buffers: &'a Buffers,
    pub(crate) weights: &'a PackedWeights,
    pub(crate) kernels: Kernels,
    pub(crate) rotaries: &'a [(RotaryPairs, RotaryTable)],
    pub(crate) sequences: &'a [Option<KvCache>],
    pub(crate) shape: KvShape,
    pub(crate) rows: &'a [Row],
    pub(crate) wanted: &'a [usize],
    pub(crate) workers: usize,
}

/// Elements of a head as it is stored: whole vectors, the rest zeros.
pub(crate) fn padded_head(size: usize) -> usize {
    size.next_multiple_of(32)
}

/// Worker `worker`'s share of `count` things.
fn share(count: usize, worker: usize, workers: usize) -> Range<usize> {
    count * worker / workers..count * (worker + 1) / workers
}

impl Step<'_> {
    /// Does worker `worker`'s part of the whole step.
    pub(crate) fn run(&self, worker: usize, barrier: &Barrier) {
        let private = self.rows.len() <= PRIVATE_ROWS;
        let meets = &self.plan.meets[usize::from(!private)];
        // SAFETY: each worker takes only its own scratch.
        let own = unsafe { &mut self.buffers.own.write(worker..worker + 1)[0] };
        for (stage, &meet) in self.plan.stages.iter().zip(meets) {
            if meet {
                barrier.wait();
            }
            self.stage(stage, worker, private, own);
        }
    }

    fn count(&self, rows: Rows) -> usize {
        if rows == Rows::All { self.rows.len() } else { self.wanted.len() }
    }

    /// The step's row behind row `at` of a value.
    fn row(&self, rows: Rows, at: usize) -> usize {
        if rows == Rows::All { at } else { self.wanted[at] }
    }

    fn own_blocks(&self, value: &Value, worker: usize) -> Range<usize> {
        share(value.width.div_ceil(BLOCK), worker, self.workers)
    }

    fn span(&self, value: &Value, blocks: &Range<usize>) -> Range<usize> {
        let width = self.count(value.rows) * BLOCK;
        blocks.start * width..blocks.end * width
    }

    fn stage(&self, stage: &Stage, worker: usize, private: bool, own: &mut Own) {
        match stage {
            Stage::Embed { table, factor, out } => self.embed(*table, *factor, out, worker),
            Stage::Select { x, out } => self.select(x, out, worker),
            Stage::Quantize { x, norm, act } => self.quantize(x, *norm, *act, worker, private, own),
            Stage::MatMul { weight, bias, act, out } => self.matmul(*weight, *bias, *act, out, worker, private),
            Stage::Norm { x, weight, eps, out } => self.norm(x, *weight, *eps, out, worker, own),
            Stage::Heads(heads) => self.heads(heads, worker, own),
            Stage::Attend(attend) => self.attend(attend, worker, own),
            Stage::Unary { op, x, out } => {
                let blocks = self.own_blocks(out, worker);
                let (x, out) = (self.read(x, &blocks), self.write(out, &blocks));
                match op {
                    Unary::Silu => self.kernels.silu(x, out),
                    Unary::Gelu => self.kernels.gelu(x, out),
                    Unary::SoftCap(cap) => self.kernels.soft_cap(x, *cap, out),
                }
            }
            Stage::Add { x, y, out } => {
                let blocks = self.own_blocks(out, worker);
                self.kernels.add(self.read(x, &blocks), self.read(y, &blocks), self.write(out, &blocks));
            }
            Stage::Mul { x, y, out } => {
                let blocks = self.own_blocks(out, worker);
                self.kernels.mul(self.read(x, &blocks), self.read(y, &blocks), self.write(out, &blocks));
            }
            Stage::Collect { x } => self.collect(x, worker),
        }
    }

    fn read(&self, value: &Value, blocks: &Range<usize>) -> &[f32] {
        // SAFETY: the plan has workers meet between a write and a read of another's part.
        unsafe { self.buffers.values[value.buffer].read(self.span(value, blocks)) }
    }

    #[allow(clippy::mut_from_ref)]
    fn write(&self, value: &Value, blocks: &Range<usize>) -> &mut [f32] {
        // SAFETY: blocks of one stage are shared out without overlap, and the plan keeps other stages apart.
        unsafe { self.buffers.values[value.buffer].write(self.span(value, blocks)) }
    }

    /// Copies elements `from..from + out.len()` of a value's row.
    fn gather(&self, value: &Value, at: usize, from: usize, out: &mut [f32]) {
        let rows = self.count(value.rows);
        let all = self.read(value, &(0..value.width.div_ceil(BLOCK)));
        let (all, _) = all.as_chunks::<BLOCK>();
        let (whole, rest) = out.as_chunks_mut::<BLOCK>();
        // Blocks of a known length are copied by a load and a store, not by a call.
        let mut source = all[from / BLOCK * rows + at..].iter().step_by(rows);
        for (out, block) in whole.iter_mut().zip(&mut source) {
            *out = *block;
        }
        if let Some(block) = source.next() {
            rest.copy_from_slice(&block[..rest.len()]);
        }
    }

    fn embed(&self, table: usize, factor: Option<f32>, out: &Value, worker: usize) {
        let Some(matrix) = self.weights.matrix(table) else { return };
        let blocks = self.own_blocks(out, worker);
        let target = self.write(out, &blocks);
        let count = self.rows.len();
        for (at, row) in self.rows.iter().enumerate() {
            let token = row.token as usize;
            let scale = power_of_two(i32::from(matrix.exponent(token)));
            let mut known = (usize::MAX, ([0i8; GROUP], 0i16, 0i16));
            for (index, block) in blocks.clone().enumerate() {
                let group = block * BLOCK / GROUP;
                if known.0 != group {
                    known = (group, matrix.group(token, group));
                }
                let (codes, d, o) = &known.1;
                for i in 0..BLOCK {
                    let code = codes[(block * BLOCK + i) % GROUP];
                    let value = (i32::from(*d) * i32::from(code) + i32::from(*o)) as f32 * scale;
                    target[(index * count + at) * BLOCK + i] = factor.map_or(value, |factor| value * factor);
                }
            }
        }
    }

    fn select(&self, x: &Value, out: &Value, worker: usize) {
        let blocks = self.own_blocks(out, worker);
        let (source, target) = (self.read(x, &blocks), self.write(out, &blocks));
        let (from, to) = (self.rows.len() * BLOCK, self.wanted.len() * BLOCK);
        for (source, target) in source.chunks(from).zip(target.chunks_mut(to.max(1))) {
            for (target, &row) in target.chunks_mut(BLOCK).zip(self.wanted) {
                target.copy_from_slice(&source[row * BLOCK..][..BLOCK]);
            }
        }
    }

    fn note_fault(&self, rows: Rows, at: usize, fault: ValueFault) {
        self.buffers.faults[self.row(rows, at)].store(fault.magnitude.to_bits(), Ordering::Relaxed);
    }

    fn quantize(&self, x: &Value, norm: Option<(usize, f32)>, act: Act, worker: usize, private: bool, own: &mut Own) {
        let count = self.count(act.rows);
        let buffer = &self.buffers.acts[act.buffer];
        let rows = if private { 0..count } else { share(count, worker, self.workers) };
        let first = if private { worker * PRIVATE_ROWS } else { 0 };
        for at in rows {
            let row = &mut own.row[..buffer.groups * GROUP];
            row[x.width..].fill(0.0);
            self.gather(x, at, 0, &mut row[..x.width]);
            let slot = first + at;
            // SAFETY: this worker's own rows, or its own copy.
            let (codes, scales, exponent) = unsafe {
                let groups = slot * buffer.groups..(slot + 1) * buffer.groups;
                (
                    buffer.codes.write(groups.start * GROUP..groups.end * GROUP),
                    buffer.scales.write(groups),
                    &mut buffer.exponents.write(slot..slot + 1)[0],
                )
            };
            let normed = match norm {
                Some((weight, eps)) => self.kernels.reciprocal_rms(&row[..x.width], eps).map(|r| {
                    self.kernels.scale_norm(&mut row[..x.width], self.weights.vector(weight), r);
                }),
                None => Ok(()),
            };
            match normed.and_then(|()| self.kernels.quantize(row, codes, scales)) {
                Ok(e) => *exponent = e,
                Err(fault) => {
                    codes.fill(0);
                    scales.fill(GroupScale::default());
                    *exponent = 0;
                    self.note_fault(act.rows, at, fault);
                }
            }
        }
    }

    fn matmul(&self, weight: usize, bias: Option<usize>, act: Act, out: &Value, worker: usize, private: bool) {
        let Some(matrix) = self.weights.matrix(weight) else { return };
        let count = self.count(act.rows);
        let buffer = &self.buffers.acts[act.buffer];
        let first = if private { worker * PRIVATE_ROWS } else { 0 };
        debug_assert!(first + count <= buffer.rows_max);
        let groups = first * buffer.groups..(first + count) * buffer.groups;
        // SAFETY: written before the last meeting, or by this worker itself.
        let x = unsafe {
            Activations {
                codes: buffer.codes.read(groups.start * GROUP..groups.end * GROUP),
                scales: buffer.scales.read(groups),
                exponents: buffer.exponents.read(first..first + count),
            }
        };
        let blocks = self.own_blocks(out, worker);
        let target = self.write(out, &blocks);
        self.kernels.matmul(&matrix, &x, blocks.clone(), target);
        if let Some(bias) = bias {
            let bias = self.weights.vector(bias);
            for (target, block) in target.chunks_mut((count * BLOCK).max(1)).zip(blocks) {
                for (at, y) in target.iter_mut().enumerate() {
                    *y += bias.get(block * BLOCK + at % BLOCK).copied().unwrap_or(0.0);
                }
            }
        }
    }

    fn norm(&self, x: &Value, weight: usize, eps: f32, out: &Value, worker: usize, own: &mut Own) {
        let blocks = self.own_blocks(out, worker);
        let target = self.write(out, &blocks);
        let count = self.count(x.rows);
        for at in 0..count {
            let row = &mut own.row[..x.width];
            self.gather(x, at, 0, row);
            match self.kernels.reciprocal_rms(row, eps) {
                Ok(r) => self.kernels.scale_norm(row, self.weights.vector(weight), r),
                Err(fault) => {
                    row.fill(0.0);
                    self.note_fault(x.rows, at, fault);
                }
            }
            for (index, block) in blocks.clone().enumerate() {
                let part = &row[block * BLOCK..x.width.min((block + 1) * BLOCK)];
                target[(index * count + at) * BLOCK..][..part.len()].copy_from_slice(part);
            }
        }
    }

    fn heads(&self, heads: &Heads, worker: usize, own: &mut Own) {
        let count = self.count(heads.source.rows);
        let size = heads.head_size;
        for head in share(heads.count, worker, self.workers) {
            for at in 0..count {
                let row = self.rows[self.row(heads.source.rows, at)];
                let x = &mut own.row[..size];
                self.gather(&heads.source, at, head * size, x);
                let mut result = Ok(());
                if let Some((weight, eps)) = heads.norm {
                    result = self
                        .kernels
                        .reciprocal_rms(x, eps)
                        .map(|r| self.kernels.scale_norm(x, self.weights.vector(weight), r));
                }
                if let Some(rotary) = heads.rotary {
                    let (pairs, table) = &self.rotaries[rotary];
                    let (cosines, sines) = table.position(row.position);
                    let turned = &mut x[..2 * cosines.len()];
                    match pairs {
                        RotaryPairs::Halves => rotate_halves(turned, cosines, sines),
                        RotaryPairs::Adjacent => rotate_adjacent(turned, cosines, sines),
                    }
                }
                let codes = &mut own.codes[..padded_head(size)];
                codes[size..].fill(0);
                let exponent = result.and_then(|()| self.kernels.quantize_block(x, heads.bits, codes));
                let exponent = exponent.unwrap_or_else(|fault| {
                    codes.fill(0);
                    self.note_fault(heads.source.rows, at, fault);
                    -51
                });
                self.store_head(heads, head, at, row, codes, exponent);
            }
        }
    }

    fn store_head(&self, heads: &Heads, head: usize, at: usize, row: Row, codes: &[i16], exponent: i8) {
        let size = codes.len();
        // SAFETY: this worker's own heads.
        unsafe {
            if heads.role == HeadRole::Query {
                let slot = head * self.count(heads.source.rows) + at;
                self.buffers.query.write(slot * size..(slot + 1) * size).copy_from_slice(codes);
                self.buffers.query_exponents.write(slot..slot + 1)[0] = exponent;
                return;
            }
            let Some(cache) = &self.sequences[row.sequence] else { return };
            let positions = self.positions(cache, heads.layer, head);
            let span = positions.start * size..positions.end * size;
            let at = positions.start + row.position;
            if heads.role == HeadRole::Key {
                store_key(cache.keys.write(span), size, row.position, codes);
                cache.key_exponents.write(at..at + 1)[0] = exponent;
            } else {
                store_value(cache.values.write(span), size, row.position, codes);
                cache.value_exponents.write(at..at + 1)[0] = exponent;
            }
        }
    }

    /// Where the positions of a layer's head lie.
    fn positions(&self, cache: &KvCache, layer: usize, head: usize) -> Range<usize> {
        let start = (layer * self.shape.kv_heads + head) * cache.capacity;
        start..start + cache.capacity
    }

    /// Heads of rows are dealt by the positions that they look at, so that workers are done at once.
    fn attend(&self, attend: &Attend, worker: usize, own: &mut Own) {
        let count = self.count(attend.out.rows);
        let visible = |at: usize| {
            let end = self.rows[self.row(attend.out.rows, at)].position + 1;
            attend.window.map_or(0, |window| end.saturating_sub(window))..end
        };
        let all = attend.heads * (0..count).map(|at| visible(at).len()).sum::<usize>();
        let mut before = 0;
        for (head, at) in (0..attend.heads).flat_map(|head| (0..count).map(move |at| (head, at))) {
            if before * self.workers / all == worker {
                self.attend_one(attend, (head, at), visible(at), own);
            }
            before += visible(at).len();
        }
    }

    /// Attention of one head of one row, to some positions.
    fn attend_one(&self, attend: &Attend, (head, at): (usize, usize), visible: Range<usize>, own: &mut Own) {
        let (count, size) = (self.count(attend.out.rows), padded_head(attend.head_size));
        let row = self.rows[self.row(attend.out.rows, at)];
        let Some(cache) = &self.sequences[row.sequence] else { return };
        let positions = self.positions(cache, attend.layer, head * attend.kv_heads / attend.heads);
        let span = positions.start * size..positions.end * size;
        let slot = head * count + at;
        // SAFETY: keys, values and queries were written before the last meeting.
        let (cache, codes, exponent) = unsafe {
            let cache = HeadCache {
                head_size: size,
                keys: cache.keys.read(span.clone()),
                values: cache.values.read(span),
                key_exponents: cache.key_exponents.read(positions.clone()),
                value_exponents: cache.value_exponents.read(positions),
            };
            let codes = self.buffers.query.read(slot * size..(slot + 1) * size);
            (cache, codes, self.buffers.query_exponents.read(slot..slot + 1)[0])
        };
        let Range { start: first, end } = visible;
        let query = Query { codes, exponent, first, end, scale: attend.scale, cap: attend.cap };
        let out = &mut own.row[..size];
        self.kernels.attend(&query, &cache, &mut own.attention, out);
        let target = &self.buffers.values[attend.out.buffer];
        for (block, out) in out[..attend.head_size].chunks_exact(BLOCK).enumerate() {
            let start = ((head * (attend.head_size / BLOCK) + block) * count + at) * BLOCK;
            // SAFETY: no other worker has this head of this row.
            unsafe { target.write(start..start + BLOCK).copy_from_slice(out) };
        }
    }

    fn collect(&self, x: &Value, worker: usize) {
        for at in share(self.count(x.rows), worker, self.workers) {
            // SAFETY: this worker's own rows.
            let out = unsafe { self.buffers.logits.write(at * x.width..(at + 1) * x.width) };
            self.gather(x, at, 0, out);
        }
    }
}
