//! A small program for several chips of a node: a ring of sums, round after round.
//!
//! Each chip sends its state to the next, adds a weight of its own to what comes, and keeps that as its state. After the
//! rounds it adds the state to a total that outlives the run. Clocks are aligned halfway.

use lockstep_machine::access::exchange_cycles;
use lockstep_machine::description::Description;
use lockstep_machine::geometry::{Hemisphere, Queue};
use lockstep_machine::inst::operand::Format;
use lockstep_machine::inst::parse;
use lockstep_machine::network::Cable;
use lockstep_machine::spec::MachineSpec;
use lockstep_machine::system::{Size, SystemSpec};
use lockstep_program::Program;
use lockstep_program::builder::{BlockBuilder, ProgramBuilder};
use lockstep_program::program::{BASES, BindingKind, Content, Word};

/// Rounds before the alignment, and as many after it.
const ROUNDS: u64 = 4;

/// Cycles between rounds.
const ROUND: u64 = 500;

/// When the rounds begin, and when those after the alignment do: the last ones before it leave hardly anything of the
/// slack.
const BEGINS: [u64; 2] = [32_500, 35_200];

/// When the clocks are aligned.
const ALIGNED: u64 = 34_900;

/// The numbers of a vector.
pub(crate) type Numbers = Vec<i8>;

/// A ring with its weights.
pub(crate) struct Ring {
    pub(crate) program: Program<'static>,
    pub(crate) weights: Vec<Numbers>,
}

fn word(chip: u32, slice: u8, bank: u8, hemisphere: Hemisphere) -> Word {
    Word { chip, hemisphere, slice, bank, word: 0 }
}

fn issue(block: &mut BlockBuilder<'_>, cycle: u32, queue: Queue, inst: &str) {
    block.issue(cycle.into(), queue, parse(inst).unwrap()).unwrap();
}

const STATE: Queue = Queue::Mem(Hemisphere::East, 0);
const TOTAL: Queue = Queue::Mem(Hemisphere::East, 1);
const WEIGHT: Queue = Queue::Mem(Hemisphere::West, 0);
const ADDER: Queue = Queue::Alu(0);

/// Cycles that a value needs from one unit's register to another's.
fn way(spec: &MachineSpec, from: Queue, to: Queue) -> u32 {
    spec.position(from).abs_diff(spec.position(to))
}

/// When a block that sends the state issues the `send`.
fn there(spec: &MachineSpec, link: u8) -> u32 {
    spec.mem.read_delay + way(spec, STATE, Queue::Send(link))
}

/// Cycles from the start of a block that sends over a link to the earliest start of the one that takes what comes, at any
/// drift.
fn flight(spec: &MachineSpec, link: u8) -> u64 {
    u64::from(there(spec, link) + exchange_cycles(spec) + spec.c2c.slack_max_cycles)
}

/// Reads the state and sends it westward.
fn send(spec: &MachineSpec, link: u8) -> BlockBuilder<'_> {
    let mut block = BlockBuilder::new("send", spec);
    issue(&mut block, 0, STATE, "mem bank0=read:0+b0:w0");
    issue(&mut block, there(spec, link), Queue::Send(link), "send from=w0");
    block
}

/// Takes a vector, adds the weight, and keeps the sum.
fn take(spec: &MachineSpec, link: u8) -> BlockBuilder<'_> {
    let mut block = BlockBuilder::new("take", spec);
    let from = Queue::Receive(link);
    issue(&mut block, 0, from, "receive to=e0");
    let added = spec.c2c.receive_delay + way(spec, from, ADDER);
    let read = added - spec.mem.read_delay - way(spec, WEIGHT, ADDER);
    issue(&mut block, read, WEIGHT, "mem bank0=read:0+b0:e1");
    issue(&mut block, added, ADDER, "alu op=iadd a=e0:i8 b=e1:i8 to=e0:i8");
    issue(&mut block, added + spec.vxm.delay + way(spec, ADDER, STATE), STATE, "mem bank0=write:0+b0:e0");
    block
}

/// Adds the state to the total.
fn total(spec: &MachineSpec) -> BlockBuilder<'_> {
    let mut block = BlockBuilder::new("total", spec);
    issue(&mut block, 0, STATE, "mem bank0=read:0+b0:w0");
    issue(&mut block, 0, TOTAL, "mem bank0=read:0+b0:w1");
    let added = spec.mem.read_delay + way(spec, STATE, ADDER);
    issue(&mut block, added, ADDER, "alu op=iadd a=w0:i8 b=w1:i8 to=e0:i8");
    issue(&mut block, added + spec.vxm.delay + way(spec, ADDER, TOTAL), TOTAL, "mem bank0=write:0+b0:e0");
    block
}

/// So many chips like those of the preset, with less memory, which the ring has no use for.
pub(crate) fn system(chips: u64) -> SystemSpec {
    let mut description = Description::preset("lockstep1").unwrap();
    description.machine.mem.words_per_slice = 16;
    description.machine.mxm.accumulator_rows = 1;
    SystemSpec::new(description, Size::chips(chips)).unwrap()
}

/// The cable from a chip to another.
fn cable(system: &SystemSpec, from: u32, to: u32) -> Cable {
    *system.network().leaving(from).iter().find(|cable| cable.to_chip == to).unwrap()
}

impl Ring {
    /// A ring of the first `chips` chips of a system, all of one node.
    pub(crate) fn new(system: &SystemSpec, chips: u32) -> Self {
        let spec = system.machine();
        let mut program = ProgramBuilder::new("ring", spec);
        program.chips(chips);
        let weights: Vec<Numbers> = (0..chips)
            .map(|chip| (0..spec.lanes()).map(|lane| ((7 * lane + 3 * chip) % 5) as i8 - 2).collect())
            .collect();
        let per_chip = |slice, hemisphere| (0..chips).map(move |chip| word(chip, slice, 0, hemisphere));
        let numbers = chips * spec.lanes();
        program.binding("x", BindingKind::Input, Format::I8, numbers, per_chip(0, Hemisphere::East));
        program.binding("y", BindingKind::Output, Format::I8, numbers, per_chip(0, Hemisphere::East));
        program.binding("total", BindingKind::Output, Format::I8, numbers, per_chip(1, Hemisphere::East));
        let align = {
            let mut block = BlockBuilder::new("align", spec);
            issue(&mut block, 0, Queue::Send(0), &format!("runtime_deskew cycles={}", spec.time.epoch_cycles));
            program.block(&block)
        };
        let totals = program.block(&total(spec));
        let entry = program.entry("main");
        for chip in 0..chips {
            let bytes = weights[chip as usize].iter().map(|n| *n as u8).collect::<Vec<_>>();
            program.image(
                &format!("weight.{chip}"),
                word(chip, 0, 0, Hemisphere::West),
                1,
                Content::Bytes(bytes.into()),
            );
            program.image(&format!("total.{chip}"), word(chip, 1, 0, Hemisphere::East), 1, Content::Zero);
            let (out, into) =
                (cable(system, chip, (chip + 1) % chips), cable(system, (chip + chips - 1) % chips, chip));
            program.link((chip, out.from_link), (out.to_chip, out.to_link));
            let send = program.block(&send(spec, out.from_link));
            let take = program.block(&take(spec, into.to_link));
            for start in BEGINS.iter().flat_map(|begin| (0..ROUNDS).map(move |round| begin + round * ROUND)) {
                program.instance(entry, send, chip, start, [0; BASES]);
                program.instance(entry, take, chip, start + flight(spec, into.from_link), [0; BASES]);
            }
            program.instance(entry, align, chip, ALIGNED, [0; BASES]);
            program.instance(entry, totals, chip, BEGINS[1] + ROUNDS * ROUND, [0; BASES]);
        }
        Self { program: program.finish().unwrap_or_else(|violations| panic!("{violations:#?}")), weights }
    }

    /// What a run makes of states and totals.
    pub(crate) fn expect(&self, states: &mut Vec<Numbers>, totals: &mut [Numbers]) {
        let add = |a: &[i8], b: &[i8]| -> Numbers { a.iter().zip(b).map(|(a, b)| a + b).collect() };
        for _ in 0..2 * ROUNDS {
            states.rotate_right(1);
            *states = states.iter().zip(&self.weights).map(|(state, weight)| add(state, weight)).collect();
        }
        for (total, state) in totals.iter_mut().zip(states) {
            *total = add(total, state);
        }
    }
}
