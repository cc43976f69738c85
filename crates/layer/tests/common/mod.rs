//! A layer by the arithmetic contract's own functions, its chip, and seeded weights.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)] // each test file uses its own part

pub mod model;

use lockstep_arith::matrix::{BlockMatrix, Format, GROUP};
use lockstep_arith::rotary::{RotaryTable, rotate_adjacent, rotate_halves};
use lockstep_arith::vector_block::{self, HEAD_BITS, VectorBlock, key_bits};
use lockstep_arith::{activation, attention, elementwise, matmul, norm};
use lockstep_kernels::Kernels;
use lockstep_layer::{LayerWeights, Pairs};
use lockstep_machine::spec::MachineSpec;
use lockstep_program::{Program, verify};
use lockstep_simulator::{Error, Fault, Linked, Report, Simulator};

/// The layer in the contract, position by position.
pub struct Oracle<'w> {
    weights: &'w LayerWeights,
    keys: Vec<Vec<VectorBlock>>,
    values: Vec<Vec<VectorBlock>>,
}

impl<'w> Oracle<'w> {
    /// An empty cache: zeros, as the chip's images have it.
    pub fn new(weights: &'w LayerWeights, positions: usize) -> Self {
        let zero = VectorBlock { codes: vec![0; weights.head_size], unit_exponent: 0 };
        let cache = vec![vec![zero; positions]; weights.kv_heads];
        Self { weights, keys: cache.clone(), values: cache }
    }

    /// y of x at a position that sees `length` positions.
    pub fn step(&mut self, x: &[f32], position: usize, length: usize) -> Vec<f32> {
        let w = self.weights;
        let normed = activation::quantize(&norm::rms_norm(x, &w.attention_norm, w.eps).unwrap()).unwrap();
        let turn = |mut x: Vec<f32>| {
            let (cosines, sines) = w.rotary.position(position);
            for head in x.chunks_exact_mut(w.head_size) {
                match w.pairs {
                    Pairs::Adjacent => rotate_adjacent(head, cosines, sines),
                    Pairs::Halves => rotate_halves(head, cosines, sines),
                }
            }
            x
        };
        let blocks = |x: &[f32], bits| -> Vec<VectorBlock> {
            x.chunks_exact(w.head_size).map(|head| vector_block::quantize(head, bits).unwrap()).collect()
        };
        let queries = blocks(&turn(matmul::matvec(&w.query, &normed, None)), HEAD_BITS);
        let keys = blocks(&turn(matmul::matvec(&w.key, &normed, None)), key_bits(w.head_size));
        let values = blocks(&matmul::matvec(&w.value, &normed, None), HEAD_BITS);
        for (head, (key, value)) in keys.into_iter().zip(values).enumerate() {
            self.keys[head][position] = key;
            self.values[head][position] = value;
        }
        let mut attended = Vec::new();
        for (head, query) in queries.iter().enumerate() {
            let kv = head / w.sharing();
            let (keys, values) = (&self.keys[kv][..length], &self.values[kv][..length]);
            attended.extend(attention::attend(query, keys, values, w.scale, None));
        }
        let attended = matmul::matvec(&w.output, &activation::quantize(&attended).unwrap(), None);
        let x: Vec<f32> = x.iter().zip(&attended).map(|(x, y)| x + y).collect();
        let normed = norm::rms_norm(&x, &w.feed_forward_norm, w.eps).unwrap();
        let normed = activation::quantize(&normed).unwrap();
        let (gate, up) = (matmul::matvec(&w.gate, &normed, None), matmul::matvec(&w.up, &normed, None));
        let gated: Vec<f32> = gate.iter().zip(&up).map(|(gate, up)| elementwise::silu(*gate) * up).collect();
        let moved = matmul::matvec(&w.down, &activation::quantize(&gated).unwrap(), None);
        x.iter().zip(&moved).map(|(x, y)| x + y).collect()
    }
}

/// A program without violations, linked.
pub fn link<'p>(program: &'p Program<'static>) -> Linked<'p> {
    let violations = verify(program);
    let shown: Vec<String> = violations.iter().take(10).map(ToString::to_string).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    Linked::new(program).unwrap_or_else(|fault| panic!("{fault}"))
}

/// A chip that runs the program's entries.
pub struct Chip<'p> {
    program: &'p Program<'p>,
    simulator: Simulator<'p>,
}

impl<'p> Chip<'p> {
    pub fn new(linked: &'p Linked<'p>) -> Self {
        let program = linked.program();
        let mut simulator = Simulator::new(linked, Kernels::detect(), 1).unwrap();
        for binding in &program.bindings {
            // Every input has a value before the first run; entries read only their own.
            let zeros = vec![0; binding.elements as usize * usize::from(binding.format.streams())];
            let _ = simulator.write(&binding.name, &zeros);
        }
        Self { program, simulator }
    }

    /// The same number in all lanes of an input.
    fn broadcast(&mut self, name: &str, value: usize) {
        let lanes = self.program.machine.lanes() as usize;
        self.simulator.write_i32(name, &vec![value as i32; lanes]).unwrap();
    }

    /// Runs an entry and checks its cycles.
    pub fn run(&mut self, entry: &str) -> Report {
        let report = self.simulator.run(entry).unwrap_or_else(|error| panic!("{entry}: {error}"));
        let predicted = self.program.entries.iter().find(|e| e.name == entry).unwrap().cycles;
        assert_eq!((report.cycles_predicted, report.cycles), (predicted, predicted), "{entry}");
        report
    }

    /// The entry `layer` on x.
    pub fn step(&mut self, x: &[f32], position: usize, length: usize) -> Vec<f32> {
        self.simulator.write_f32("x", x).unwrap();
        self.broadcast("position", position);
        self.broadcast("length", length);
        self.run("layer");
        self.simulator.read_f32("y").unwrap()
    }

    /// The fault that the entry `layer` ends with.
    pub fn fault(&mut self, x: &[f32], position: usize, length: usize) -> Fault {
        self.simulator.write_f32("x", x).unwrap();
        self.broadcast("position", position);
        self.broadcast("length", length);
        match self.simulator.run("layer").unwrap_err() {
            Error::Fault(fault) => fault,
            other => panic!("{other}"),
        }
    }

    /// A row of a table.
    pub fn row(&mut self, table: &str, row: usize) -> Vec<f32> {
        self.broadcast("row", row);
        self.run(table);
        self.simulator.read_f32(table).unwrap()
    }
}

pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

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

pub const Q4_1: Format =
    Format::Lb4 { codebook: [-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7], has_offset: true };
pub const IQ4: Format = Format::Lb4 { codebook: lockstep_arith::blocks::IQ4_NL, has_offset: false };

/// A layer of random weights. `formats` are those of the attention's and of the feed-forward network's matrices.
pub fn random_layer(seed: u64, sizes: Sizes, lanes: usize, pairs: Pairs, formats: [Format; 2]) -> LayerWeights {
    let mut random = Random(seed);
    let Sizes { hidden, feed_forward, kv_heads, sharing, head_size } = sizes;
    let (width, kv) = (kv_heads * sharing * head_size, kv_heads * head_size);
    let frequencies: Vec<f64> = (0..head_size / 2).map(|i| 0.9_f64.powi(i as i32)).collect();
    let [attention, inside] = formats;
    LayerWeights {
        kv_heads,
        head_size,
        eps: 1e-5,
        scale: 1.0 / (head_size as f32).sqrt(),
        attention_norm: random.vector(hidden),
        feed_forward_norm: random.vector(hidden),
        query: random.matrix(width, hidden, attention),
        key: random.matrix(kv, hidden, attention),
        value: random.matrix(kv, hidden, attention),
        output: random.matrix(hidden, width, attention),
        gate: random.matrix(feed_forward, hidden, inside),
        up: random.matrix(feed_forward, hidden, inside),
        down: random.matrix(hidden, feed_forward, inside),
        rotary: RotaryTable::new(&frequencies, lanes),
        pairs,
        tables: vec![
            ("rows_lb8".into(), random.matrix(100, hidden, Format::Lb8)),
            ("rows_lb4".into(), random.matrix(33, hidden, Q4_1)),
            ("rows_iq4".into(), random.matrix(70, hidden, IQ4)),
        ],
    }
}

/// The default machine, with as many superlanes.
pub fn machine(superlanes: u32) -> MachineSpec {
    let spec = MachineSpec::preset("lockstep1").unwrap();
    MachineSpec { superlanes, ..spec }
}
