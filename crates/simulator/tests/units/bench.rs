//! One block that works on one vector, run once for each vector of its inputs.

use lockstep_kernels::Kernels;
use lockstep_machine::geometry::{Hemisphere, Queue};
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::{Stream, Uint};
use lockstep_machine::inst::operand::{Address, AluOp, Destination, Format, Immediate, ReduceOp, Slot, Source};
use lockstep_machine::spec::MachineSpec;
use lockstep_program::builder::{BlockBuilder, ProgramBuilder};
use lockstep_program::program::{BASES, BindingKind, Word};
use lockstep_program::verify;
use lockstep_simulator::{Error, FaultKind, Linked, Simulator};

/// Lanes of the machine under test.
pub(crate) const LANES: usize = 320;

/// The first cycle in which anything can arrive at the vector unit from any slice.
pub(crate) const T: u64 = 20;

/// The base that moves on from vector to vector.
const BASE: u8 = 1;

/// A byte plane's slice.
type Slice = (Hemisphere, u8);

/// What a reduction does beside its source and its destination.
#[derive(Clone, Copy)]
pub(crate) struct Reduction {
    pub(crate) op: ReduceOp,
    pub(crate) boundary: u32,
    pub(crate) lanes: u32,
    pub(crate) first: bool,
    pub(crate) last: bool,
}

impl Reduction {
    /// Of one vector over all lanes.
    pub(crate) fn whole(op: ReduceOp) -> Self {
        Self { op, boundary: 1, lanes: LANES as u32, first: true, last: true }
    }
}

pub(crate) struct Bench<'a> {
    spec: &'a MachineSpec,
    block: BlockBuilder<'a>,
    inputs: Vec<(Format, Slice, Vec<u8>)>,
    outputs: Vec<(Format, Slice)>,
    west: u8,
    east: u8,
}

impl<'a> Bench<'a> {
    pub(crate) fn new(spec: &'a MachineSpec) -> Self {
        let block = BlockBuilder::new("bench", spec);
        Self { spec, block, inputs: Vec::new(), outputs: Vec::new(), west: 0, east: 0 }
    }

    /// Vectors in memory, of little-endian numbers.
    pub(crate) fn input(&mut self, format: Format, bytes: Vec<u8>) -> usize {
        self.inputs.push((format, (Hemisphere::West, self.west), bytes));
        self.west += format.streams();
        self.inputs.len() - 1
    }

    pub(crate) fn input_i32(&mut self, numbers: &[i32]) -> usize {
        self.input(Format::I32, numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
    }

    pub(crate) fn input_f32(&mut self, numbers: &[f32]) -> usize {
        self.input(Format::F32, numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
    }

    fn memory(&mut self, cycle: u64, (side, slice): Slice, slot: Slot) {
        let inst = Inst::Mem { bank0: slot, bank1: Slot::Idle };
        self.block.issue(cycle, Queue::Mem(side, slice), inst).unwrap();
    }

    fn distance(&self, (side, slice): Slice) -> u64 {
        let vector_unit = self.spec.vxm_position();
        u64::from(self.spec.position(Queue::Mem(side, slice)).abs_diff(vector_unit))
    }

    fn read(&mut self, format: Format, (side, first): Slice, word: u16, cycle: u64, stream: u8) -> Source {
        let stream = Stream { direction: side.inward(), number: stream };
        for plane in 0..format.streams() {
            let slice = (side, first + plane);
            let issued = cycle - u64::from(self.spec.mem.read_delay) - self.distance(slice);
            self.memory(issued, slice, Slot::Read(Address { word, base: BASE }, stream.plus(plane)));
        }
        Source::Stream(stream, format)
    }

    /// Vector `word` after the one at hand is at the vector unit in `cycle`, on streams from `stream` on.
    pub(crate) fn arrive(&mut self, input: usize, word: u16, cycle: u64, stream: u8) -> Source {
        let (format, slice, _) = self.inputs[input];
        self.read(format, slice, word, cycle, stream)
    }

    fn keep(&mut self, format: Format, cycle: u64, stream: u8) -> Slice {
        let first = self.east;
        self.east += format.streams();
        for plane in 0..format.streams() {
            let slice = (Hemisphere::East, first + plane);
            let issued = cycle + self.distance(slice);
            self.memory(issued, slice, Slot::Write(Address { word: 0, base: BASE }, Stream::east(stream + plane)));
        }
        (Hemisphere::East, first)
    }

    /// What enters eastward streams at the vector unit in `cycle` is an output.
    pub(crate) fn leave(&mut self, format: Format, cycle: u64, stream: u8) -> Destination {
        let slice = self.keep(format, cycle, stream);
        self.outputs.push((format, slice));
        Destination::to(Stream::east(stream), format)
    }

    /// What enters eastward streams in `cycle` waits in memory and is back in cycle `back`.
    pub(crate) fn wait(&mut self, format: Format, cycle: u64, stream: u8, back: u64) -> (Destination, Source) {
        let slice = self.keep(format, cycle, stream);
        (Destination::to(Stream::east(stream), format), self.read(format, slice, 0, back, stream))
    }

    pub(crate) fn alu(&mut self, unit: u8, cycle: u64, op: AluOp, sources: &[Source], to: Destination) -> Source {
        self.alu_with(unit, cycle, op, sources, 0, to)
    }

    pub(crate) fn alu_with(
        &mut self,
        unit: u8,
        cycle: u64,
        op: AluOp,
        sources: &[Source],
        imm: u32,
        to: Destination,
    ) -> Source {
        let source = |at: usize| sources.get(at).copied().unwrap_or(Source::None);
        let inst = Inst::Alu { op, a: source(0), b: source(1), c: source(2), imm: Immediate(imm), to };
        self.block.issue(cycle, Queue::Alu(unit), inst).unwrap();
        Source::Alu(unit)
    }

    pub(crate) fn reduce(&mut self, unit: u8, cycle: u64, reduction: Reduction, a: Source, to: Destination) -> Source {
        let Reduction { op, boundary, lanes, first, last } = reduction;
        let (boundary, lanes) = (Uint::new(boundary).unwrap(), Uint::new(lanes).unwrap());
        self.block.issue(cycle, Queue::Reduce(unit), Inst::Reduce { op, a, boundary, lanes, first, last, to }).unwrap();
        Source::Reduce(unit)
    }

    /// Runs the block for `vectors` vectors; the outputs' bytes in the order of `leave`, or the kind of the fault.
    pub(crate) fn run(self, vectors: usize) -> Result<Vec<Vec<u8>>, FaultKind> {
        let mut program = ProgramBuilder::new("bench", self.spec);
        let words = |(hemisphere, first): Slice, format: Format, vectors: usize| {
            (0..vectors as u16).flat_map(move |word| {
                (first..first + format.streams()).map(move |slice| Word { chip: 0, hemisphere, slice, bank: 0, word })
            })
        };
        for (at, (format, slice, bytes)) in self.inputs.iter().enumerate() {
            let elements = bytes.len() / usize::from(format.streams());
            let words = words(*slice, *format, elements.div_ceil(LANES));
            program.binding(&format!("input {at}"), BindingKind::Input, *format, elements as u32, words);
        }
        for (at, (format, slice)) in self.outputs.iter().enumerate() {
            let words = words(*slice, *format, vectors);
            let elements = (vectors * LANES) as u32;
            program.binding(&format!("output {at}"), BindingKind::Output, *format, elements, words);
        }
        let (block, entry) = (program.block(&self.block), program.entry("main"));
        for vector in 0..vectors {
            let mut offsets = [0; BASES];
            offsets[usize::from(BASE)] = vector as i32;
            let start = program.end(entry, 0);
            program.instance(entry, block, 0, start, offsets);
        }
        let program = program.finish().unwrap();
        assert_eq!(verify(&program), [], "a bench is sound");
        let linked = Linked::new(&program).unwrap();
        let mut simulator = Simulator::new(&linked, Kernels::detect(), 1).unwrap();
        for (at, (.., bytes)) in self.inputs.iter().enumerate() {
            simulator.write(&format!("input {at}"), bytes).unwrap();
        }
        match simulator.run("main") {
            Ok(_) => Ok((0..self.outputs.len()).map(|at| simulator.read(&format!("output {at}")).unwrap()).collect()),
            Err(Error::Fault(fault)) => Err(fault.kind),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Little-endian numbers of 32 bits.
pub(crate) fn i32s(bytes: &[u8]) -> Vec<i32> {
    bytes.chunks_exact(4).map(|b| i32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Little-endian f32.
pub(crate) fn f32s(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Little-endian integers of 64 bits.
pub(crate) fn i64s(bytes: &[u8]) -> Vec<i64> {
    bytes.chunks_exact(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect()
}

/// Integers below 2^64 that repeat from run to run (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Any 32 bits.
    pub(crate) fn bits(&mut self) -> i32 {
        self.next() as i32
    }

    /// Of -1 to 1, times `scale`.
    pub(crate) fn float(&mut self, scale: f32) -> f32 {
        (self.bits() as f32 / i32::MAX as f32) * scale
    }

    /// One of `least..=most`.
    pub(crate) fn integer(&mut self, least: i64, most: i64) -> i64 {
        least + (self.next() % (most - least + 1) as u64) as i64
    }
}
