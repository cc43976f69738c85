//! A layer: by the arithmetic contract's own functions, and on its chip.

use lockstep_arith::matrix::BlockMatrix;
use lockstep_arith::rotary::{RotaryTable, rotate_adjacent, rotate_halves};
use lockstep_arith::vector_block::{self, HEAD_BITS, VectorBlock, key_bits};
use lockstep_arith::{activation, attention, elementwise, matmul, norm};
use lockstep_compiler::{Error as CompileError, Options, Part, compile};
use lockstep_graph::contract::ContractWeight;
use lockstep_graph::{Graph, Op, RotaryPairs};
use lockstep_kernels::Kernels;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::Program;
use lockstep_simulator::{Error, Fault, Linked, Report, Simulator};

/// A llama layer behind its embedding: the graph, and its weights in block formats.
#[derive(Clone, Debug)]
pub struct Layer {
    pub graph: Graph,
    pub weights: Vec<ContractWeight>,
}

impl Layer {
    /// The program of the layer alone, for contexts as long as a vector.
    pub fn compile(&self, spec: &MachineSpec) -> Result<Program<'static>, CompileError> {
        self.part(spec, Part::Layer)
    }

    pub fn part(&self, spec: &MachineSpec, part: Part) -> Result<Program<'static>, CompileError> {
        let options =
            Options { name: "layer".into(), part, contexts: vec![spec.lanes() as usize], ..Options::default() };
        compile(&self.graph, &self.weights, spec, &options)
    }

    pub fn hidden(&self) -> usize {
        self.graph.nodes[0].width
    }

    pub fn index(&self, name: &str) -> usize {
        self.graph.weights.iter().position(|weight| weight.name == name).unwrap()
    }

    pub fn matrix(&self, name: &str) -> &BlockMatrix {
        match &self.weights[self.index(name)] {
            ContractWeight::Matrix(matrix) => matrix,
            ContractWeight::Vector(_) => panic!("{name} is a vector"),
        }
    }

    fn vector(&self, name: &str) -> &[f32] {
        match &self.weights[self.index(name)] {
            ContractWeight::Vector(vector) => vector,
            ContractWeight::Matrix(_) => panic!("{name} is a matrix"),
        }
    }
}

/// The layer in the contract, position by position.
pub struct Oracle<'w> {
    layer: &'w Layer,
    head_size: usize,
    sharing: usize,
    scale: f32,
    eps: f32,
    rotary: RotaryTable,
    keys: Vec<Vec<VectorBlock>>,
    values: Vec<Vec<VectorBlock>>,
}

impl<'w> Oracle<'w> {
    /// An empty cache: zeros, as the chip's images have it.
    pub fn new(layer: &'w Layer, positions: usize) -> Self {
        let nodes = &layer.graph.nodes;
        let attention = nodes.iter().find_map(|node| match node.op {
            Op::Attention { heads, kv_heads, head_size, scale, .. } => Some((heads, kv_heads, head_size, scale)),
            _ => None,
        });
        let (heads, kv_heads, head_size, scale) = attention.unwrap();
        let eps = nodes.iter().find_map(|node| if let Op::RmsNorm { eps, .. } = node.op { Some(eps) } else { None });
        let zero = VectorBlock { codes: vec![0; head_size], unit_exponent: 0 };
        let cache = vec![vec![zero; positions]; kv_heads];
        Self {
            layer,
            head_size,
            sharing: heads / kv_heads,
            scale,
            eps: eps.unwrap(),
            rotary: RotaryTable::new(&layer.graph.rotaries[0].frequencies, positions),
            keys: cache.clone(),
            values: cache,
        }
    }

    /// y of x at a position that sees `length` positions.
    pub fn step(&mut self, x: &[f32], position: usize, length: usize) -> Vec<f32> {
        let w = self.layer;
        let matvec = |name: &str, x: &[f32]| {
            matmul::matvec(w.matrix(&format!("blk.0.{name}.weight")), &activation::quantize(x).unwrap(), None)
        };
        let normed = norm::rms_norm(x, w.vector("blk.0.attn_norm.weight"), self.eps).unwrap();
        let blocks = |x: &[f32], bits| -> Vec<VectorBlock> {
            x.chunks_exact(self.head_size).map(|head| vector_block::quantize(head, bits).unwrap()).collect()
        };
        let queries = blocks(&self.turn(matvec("attn_q", &normed), position), HEAD_BITS);
        let keys = blocks(&self.turn(matvec("attn_k", &normed), position), key_bits(self.head_size));
        let values = blocks(&matvec("attn_v", &normed), HEAD_BITS);
        for (head, (key, value)) in keys.into_iter().zip(values).enumerate() {
            self.keys[head][position] = key;
            self.values[head][position] = value;
        }
        let mut attended = Vec::new();
        for (head, query) in queries.iter().enumerate() {
            let kv = head / self.sharing;
            let (keys, values) = (&self.keys[kv][..length], &self.values[kv][..length]);
            attended.extend(attention::attend(query, keys, values, self.scale, None));
        }
        let attended = matvec("attn_output", &attended);
        let x: Vec<f32> = x.iter().zip(&attended).map(|(x, y)| x + y).collect();
        let normed = norm::rms_norm(&x, w.vector("blk.0.ffn_norm.weight"), self.eps).unwrap();
        let (gate, up) = (matvec("ffn_gate", &normed), matvec("ffn_up", &normed));
        let gated: Vec<f32> = gate.iter().zip(&up).map(|(gate, up)| elementwise::silu(*gate) * up).collect();
        let moved = matvec("ffn_down", &gated);
        x.iter().zip(&moved).map(|(x, y)| x + y).collect()
    }

    fn turn(&self, mut x: Vec<f32>, position: usize) -> Vec<f32> {
        let (cosines, sines) = self.rotary.position(position);
        let rotate = match self.layer.graph.rotaries[0].pairs {
            RotaryPairs::Adjacent => rotate_adjacent,
            RotaryPairs::Halves => rotate_halves,
        };
        x.chunks_exact_mut(self.head_size).for_each(|head| rotate(head, cosines, sines));
        x
    }
}

/// A chip that runs one of the program's entries, the first if none is chosen.
pub struct Chip<'p> {
    pub entry: usize,
    program: &'p Program<'p>,
    simulator: Simulator<'p>,
}

impl<'p> Chip<'p> {
    pub fn new(linked: &'p Linked<'p>) -> Self {
        let program = linked.program();
        Self { entry: 0, program, simulator: Simulator::new(linked, Kernels::detect(), 1).unwrap() }
    }

    /// The same number in all lanes of an input.
    fn broadcast(&mut self, name: &str, value: usize) {
        let lanes = self.program.machine.lanes() as usize;
        self.simulator.write_i32(name, &vec![value as i32; lanes]).unwrap();
    }

    fn run(&mut self, position: usize, length: usize) -> Result<Report, Error> {
        self.broadcast("position", position);
        self.broadcast("length", length);
        self.simulator.run(&self.program.entries[self.entry].name)
    }

    /// Runs the entry, checks its cycles and reads y.
    fn y(&mut self, position: usize, length: usize) -> Vec<f32> {
        let report = self.run(position, length).unwrap_or_else(|error| panic!("{error}"));
        let predicted = self.program.entries[self.entry].cycles;
        assert_eq!((report.cycles_predicted, report.cycles), (predicted, predicted));
        self.simulator.read_f32("y").unwrap()
    }

    /// y of x.
    pub fn step(&mut self, x: &[f32], position: usize, length: usize) -> Vec<f32> {
        self.simulator.write_f32("x", x).unwrap();
        self.y(position, length)
    }

    /// y of a token, where the program has an embedding.
    pub fn token(&mut self, token: usize, position: usize) -> Vec<f32> {
        self.broadcast("token", token);
        self.y(position, position + 1)
    }

    /// The fault that x ends with.
    pub fn fault(&mut self, x: &[f32], position: usize) -> Fault {
        self.simulator.write_f32("x", x).unwrap();
        match self.run(position, position + 1).unwrap_err() {
            Error::Fault(fault) => fault,
            other => panic!("{other}"),
        }
    }
}

pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

/// The default machine, with as many superlanes.
pub fn machine(superlanes: u32) -> MachineSpec {
    let spec = MachineSpec::preset("lockstep1").unwrap();
    MachineSpec { superlanes, ..spec }
}
