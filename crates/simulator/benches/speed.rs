//! How fast chips are simulated: a dense INT8 matrix product that keeps all four planes busy, with values and without,
//! beside the same product by `kernels` alone. Run it with `cargo bench -p lockstep-simulator --bench speed`; with
//! `-- --json` it prints one JSON object.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

use std::borrow::Cow;
use std::time::Instant;

use lockstep_kernels::Kernels;
use lockstep_kernels::dense::{DenseMatrix, dense_index};
use lockstep_machine::geometry::{Hemisphere, Queue};
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::field::{Stream, Uint};
use lockstep_machine::inst::operand::{Address, Format, Half, Orientation, Slot, TileKind};
use lockstep_machine::spec::MachineSpec;
use lockstep_program::Program;
use lockstep_program::builder::{BlockBuilder, ProgramBuilder, Repetition};
use lockstep_program::program::{BASES, BindingKind, Content, Word};
use lockstep_simulator::{Linked, Simulator};

/// Rows of activations, outputs and inputs of the product.
const M: usize = 256;
const N: usize = 1280;
const K: usize = 1280;
/// Lanes, and so the side of a tile.
const TILE: usize = 320;
/// Streams of a plane's loads.
const LOADS: usize = 14;
/// Repetitions of each measurement; the median counts.
const ROUNDS: usize = 7;

fn main() {
    let spec = MachineSpec::preset("lockstep1").unwrap();
    let weights: Vec<i8> = (0..N * K).map(|at| (at * 31 % 255) as i8).collect();
    let x: Vec<i8> = (0..M * K).map(|at| (at * 17 % 253) as i8).collect();
    let program = program(&spec, &weights, &x);
    let cycles = program.entries[0].cycles;

    let link_seconds = median(|| _ = Linked::for_timing(&program, 1).unwrap());
    let timing = cycles as f64 / link_seconds;
    // Plain code first, the fastest set of this CPU last.
    let sets: Vec<Speed> =
        Kernels::all().into_iter().skip(1).map(|kernels| measure(&program, kernels, &weights, &x)).collect();
    let Some(best) = sets.last() else {
        println!("this CPU has no set of fast kernels to measure");
        return;
    };
    if std::env::args().any(|argument| argument == "--json") {
        let shares = sets.iter().map(|set| format!("\"{}\":{}", set.kernels.name(), set.share()));
        println!(
            "{{\"m\":{M},\"n\":{N},\"k\":{K},\"cycles\":{cycles},\"kernels\":\"{}\",\"multiply_adds_per_second\":{},\
             \"kernels_multiply_adds_per_second\":{},\"share_of_kernels\":{},\"share_by_kernels\":{{{}}},\
             \"chip_cycles_per_second\":{},\"timing_only_chip_cycles_per_second\":{timing}}}",
            best.kernels.name(),
            best.simulated,
            best.alone,
            best.share(),
            shares.collect::<Vec<_>>().join(","),
            best.cycles_per_second(cycles)
        );
        return;
    }
    println!("INT8 {M} x {N} x {K} on four planes: {cycles} cycles, one thread, medians of {ROUNDS}");
    for set in &sets {
        println!(
            "{:7} with values {:6.2} G multiply-adds/s, {:.0} chip-cycles/s; kernels alone {:6.2} G; share {:.2}",
            set.kernels.name(),
            set.simulated / 1e9,
            set.cycles_per_second(cycles),
            set.alone / 1e9,
            set.share()
        );
    }
    println!("timing only, linked anew: {timing:.0} chip-cycles/s");
}

/// Multiply-adds a second with one set of kernels: simulated, and by the kernels alone.
struct Speed {
    kernels: Kernels,
    simulated: f64,
    alone: f64,
}

impl Speed {
    fn share(&self) -> f64 {
        self.simulated / self.alone
    }

    fn cycles_per_second(&self, cycles: u64) -> f64 {
        self.simulated / (M * N * K) as f64 * cycles as f64
    }
}

fn measure(program: &Program<'_>, kernels: Kernels, weights: &[i8], x: &[i8]) -> Speed {
    let (expected, alone_seconds) = by_kernels(kernels, weights, x);
    let linked = Linked::new(program).unwrap();
    let mut simulator = Simulator::new(&linked, kernels, 1).unwrap();
    let seconds = median(|| _ = simulator.run("gemm").unwrap());
    assert_eq!(simulator.read_i32("y").unwrap(), expected, "the simulated product is the product");
    let multiply_adds = (M * N * K) as f64;
    Speed { kernels, simulated: multiply_adds / seconds, alone: multiply_adds / alone_seconds }
}

fn median(mut work: impl FnMut()) -> f64 {
    let mut seconds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            work();
            begun.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[ROUNDS / 2]
}

/// The product and its time by the kernels, weights laid out beforehand.
fn by_kernels(kernels: Kernels, weights: &[i8], x: &[i8]) -> (Vec<i32>, f64) {
    let mut numbers = vec![0; N * K];
    for (at, weight) in weights.iter().enumerate() {
        numbers[dense_index(K / 2, at / K, at % K)] = i16::from(*weight);
    }
    let x: Vec<i16> = x.iter().map(|x| i16::from(*x)).collect();
    let mut y = vec![0; M * N];
    let matrix = DenseMatrix { rows: N, pairs: K / 2, numbers: &numbers };
    let seconds = median(|| kernels.dense(&matrix, &x, &mut y));
    (y, seconds)
}

fn program(spec: &MachineSpec, weights: &[i8], x: &[i8]) -> Program<'static> {
    let mut program = ProgramBuilder::new("gemm", spec);
    let mut block = BlockBuilder::new("gemm", spec);
    let mut outputs = Vec::new();
    for hemisphere in [Hemisphere::West, Hemisphere::East] {
        let mut side = Side { spec, hemisphere, block: &mut block };
        side.activations(&mut program, x);
        for half in 0..2 {
            let plane = half + if hemisphere == Hemisphere::East { 2 } else { 0 };
            side.plane(&mut program, plane, half, weights);
            outputs.push((hemisphere, 4 + 4 * half));
        }
    }
    let words = (0..M).flat_map(|row| {
        let word = move |(side, slice): (Hemisphere, u8)| (0..4).map(move |byte| at(side, slice + byte, row));
        outputs.iter().copied().flat_map(word).collect::<Vec<_>>()
    });
    program.binding("y", BindingKind::Output, Format::I32, (M * N) as u32, words.collect::<Vec<_>>());
    let (block, entry) = (program.block(&block), program.entry("gemm"));
    program.instance(entry, block, 0, 0, [0; BASES]);
    program.finish().unwrap()
}

fn at(hemisphere: Hemisphere, slice: u8, word: usize) -> Word {
    Word { chip: 0, hemisphere, slice, bank: 0, word: word as u16 }
}

fn times(issues: usize, word_stride: i16, row_stride: i16) -> Repetition {
    Repetition { issues: issues as u16, every: 1, word_stride, row_stride }
}

/// One hemisphere: two planes that share a stream of activations.
struct Side<'a, 'b> {
    spec: &'a MachineSpec,
    hemisphere: Hemisphere,
    block: &'b mut BlockBuilder<'a>,
}

/// The first activations meet their tile at this cycle, the others follow without a gap.
const START: u64 = 64;

impl Side<'_, '_> {
    fn outward(&self, number: usize) -> Stream {
        Stream { direction: self.hemisphere.outward(), number: number as u8 }
    }

    fn hops(&self, slice: u8) -> u64 {
        let plane = if self.hemisphere == Hemisphere::West { 0 } else { 2 };
        let to = self.spec.position(Queue::Load(plane));
        self.spec.position(Queue::Mem(self.hemisphere, slice)).abs_diff(to).into()
    }

    /// Reads words of a slice so that the first is at the planes at `arrival`.
    fn read(&mut self, slice: u8, word: usize, arrival: u64, count: usize, stream: Stream) {
        let issue = arrival - u64::from(self.spec.mem.read_delay) - self.hops(slice);
        let inst = Inst::Mem { bank0: Slot::Read(Address { word: word as u16, base: 0 }, stream), bank1: Slot::Idle };
        self.block.repeat(issue, Queue::Mem(self.hemisphere, slice), inst, times(count, 1, 0)).unwrap();
    }

    /// A slice for each tile of K, a word for each row.
    fn activations(&mut self, program: &mut ProgramBuilder<'_>, x: &[i8]) {
        for tile in 0..K / TILE {
            let rows = x.chunks(K).flat_map(|row| &row[tile * TILE..][..TILE]);
            let content = Content::Bytes(Cow::Owned(rows.map(|x| *x as u8).collect()));
            let name = format!("x.{}.{tile}", self.hemisphere.letter());
            program.image(&name, at(self.hemisphere, tile as u8, 0), M as u32, content);
            self.read(tile as u8, 0, START + (M * tile) as u64, M, self.outward(28));
        }
    }

    fn plane(&mut self, program: &mut ProgramBuilder<'_>, plane: u8, half: u8, weights: &[i8]) {
        let (first_slice, first_stream) = (12 + half * LOADS as u8, usize::from(half) * LOADS);
        let words = TILE.div_ceil(LOADS);
        for tile in 0..K / TILE {
            let row = |n: usize| &weights[(usize::from(plane) * TILE + n) * K + tile * TILE..][..TILE];
            let start = START + (M * tile) as u64;
            let load = start - 2 - words as u64;
            for lane in 0..LOADS {
                let rows = (lane..TILE).step_by(LOADS);
                let count = rows.clone().count();
                let content = rows.flat_map(row).map(|w| *w as u8).collect();
                let (name, slice) = (format!("w.{plane}.{tile}.{lane}"), first_slice + lane as u8);
                let first = at(self.hemisphere, slice, tile * words);
                program.image(&name, first, count as u32, Content::Bytes(Cow::Owned(content)));
                self.read(slice, tile * words, load, count, self.outward(first_stream + lane));
            }
            self.load(plane, load, first_stream, start - 1);
            let activate = Inst::Activate {
                kind: TileKind::Int8,
                half: Half::Low,
                row: Uint::new(0).unwrap(),
                first: tile == 0,
                from: self.outward(28),
                scale: self.outward(28),
            };
            self.block.repeat(start, Queue::Activate(plane), activate, times(M, 0, 1)).unwrap();
        }
        self.drain(plane, half, START + (M * (K / TILE - 1)) as u64);
    }

    fn load(&mut self, plane: u8, cycle: u64, first_stream: usize, install: u64) {
        let from = self.outward(first_stream);
        let load = |first: usize, streams: usize| Inst::Load {
            kind: TileKind::Int8,
            orientation: Orientation::Row,
            half: Half::Low,
            first: Uint::new(first as u32).unwrap(),
            streams: Uint::new(streams as u32).unwrap(),
            from,
        };
        let (whole, rest) = (TILE / LOADS, TILE % LOADS);
        let queue = Queue::Load(plane);
        self.block.repeat(cycle, queue, load(0, LOADS), times(whole, 0, LOADS as i16)).unwrap();
        self.block.issue(cycle + whole as u64, queue, load(whole * LOADS, rest)).unwrap();
        self.block.issue(install, queue, Inst::Install { kind: TileKind::Int8 }).unwrap();
    }

    /// Each row leaves as soon as it may, to four slices of the plane's own.
    fn drain(&mut self, plane: u8, half: u8, last_tile: u64) {
        let cycle = last_tile + u64::from(self.spec.mxm.result_delay) - 1;
        let to = Stream { direction: self.hemisphere.inward(), number: 4 * half };
        let drain = Inst::Drain { row: Uint::new(0).unwrap(), format: Format::I32, to };
        self.block.repeat(cycle, Queue::Drain(plane), drain, times(M, 0, 1)).unwrap();
        for byte in 0..4 {
            let slice = 4 + 4 * half + byte;
            let slot = Slot::Write(Address { word: 0, base: 0 }, to.plus(byte));
            let write = Inst::Mem { bank0: slot, bank1: Slot::Idle };
            let arrival = cycle + 1 + self.hops(slice);
            self.block.repeat(arrival, Queue::Mem(self.hemisphere, slice), write, times(M, 1, 0)).unwrap();
        }
    }
}
