//! What the units of a program's chips do, counted from its linked blocks: none of it depends on values.

use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::operand::{Slot, TileKind};
use lockstep_machine::spec::MachineSpec;
use lockstep_program::Program;
use lockstep_program::program::Entry;

use crate::link::LinkedBlock;

/// Activity of an entry, over all chips.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counters {
    /// Issues by unit: `mem`, `vxm`, `reduce`, `load`, `activate`, `drain`, `sxm`, `send`, `receive`.
    pub issues: [u64; UNITS.len()],
    /// The share of each unit's queues' cycles in which they issued, 0 to 1.
    pub utilisation: [f64; UNITS.len()],
    /// Vectors read from memory.
    pub reads: u64,
    /// Vectors written to memory.
    pub writes: u64,
    /// Vectors put on streams.
    pub driven: u64,
    /// Stream registers that vectors moved by, until their last readers.
    pub hops: u64,
    /// Multiply-adds of the matrix planes, as 8-bit ones (a 16-bit one is four).
    pub multiply_adds: u64,
    /// Bytes a cycle read and written, of what memory can do: 0 to 1.
    pub sram_bandwidth: f64,
    /// Stream registers in use on the way to a reader, of all: 0 to 1.
    pub stream_bandwidth: f64,
    /// An estimate: the activity model of the description.
    pub energy: Energy,
}

/// The parts of an estimate of energy, in joules.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Energy {
    /// Idle power over the time.
    pub idle: f64,
    /// Memory.
    pub mem: f64,
    /// Streams.
    pub streams: f64,
    /// Matrix planes.
    pub mxm: f64,
    /// ALUs and reducers.
    pub vxm: f64,
    /// Switch units.
    pub sxm: f64,
    /// Links.
    pub c2c: f64,
}

impl Energy {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.idle + self.mem + self.streams + self.mxm + self.vxm + self.sxm + self.c2c
    }
}

/// Names of the units that [`Counters`] tells apart.
pub const UNITS: [&str; 9] = ["mem", "vxm", "reduce", "load", "activate", "drain", "sxm", "send", "receive"];

fn unit(queue: Queue) -> usize {
    match queue {
        Queue::Mem(..) => 0,
        Queue::Alu(_) => 1,
        Queue::Reduce(_) => 2,
        Queue::Load(_) => 3,
        Queue::Activate(_) => 4,
        Queue::Drain(_) => 5,
        Queue::Sxm(..) => 6,
        Queue::Send(_) => 7,
        Queue::Receive(_) => 8,
    }
}

/// Counts what an entry does.
pub(crate) fn count(program: &Program<'_>, blocks: &[LinkedBlock], entry: &Entry) -> Counters {
    let spec = &program.machine;
    let of_blocks: Vec<Counters> = blocks.iter().map(|block| count_block(block, spec)).collect();
    let mut all = Counters::default();
    for instance in &entry.instances {
        let one = &of_blocks[instance.block as usize];
        all.issues.iter_mut().zip(one.issues).for_each(|(sum, n)| *sum += n);
        all.reads += one.reads;
        all.writes += one.writes;
        all.driven += one.driven;
        all.hops += one.hops;
        all.multiply_adds += one.multiply_adds;
    }
    let chip_cycles = entry.cycles as f64 * f64::from(program.chips);
    let share = |n: u64, each: f64| if chip_cycles == 0.0 { 0.0 } else { n as f64 / (chip_cycles * each) };
    let mut queues = [0_u64; UNITS.len()];
    spec.queues().into_iter().for_each(|queue| queues[unit(queue)] += 1);
    for (at, queues) in queues.into_iter().enumerate().filter(|(_, queues)| *queues > 0) {
        all.utilisation[at] = share(all.issues[at], queues as f64);
    }
    all.sram_bandwidth = share(all.reads + all.writes, f64::from(4 * spec.mem.slices_per_hemisphere));
    all.stream_bandwidth = share(all.hops, f64::from(2 * spec.streams * spec.positions()));
    all.energy = energy(&all, spec, chip_cycles);
    all
}

fn count_block(block: &LinkedBlock, spec: &MachineSpec) -> Counters {
    let mut counters = Counters { driven: block.driven, hops: block.hops, ..Counters::default() };
    let lanes = u64::from(spec.lanes());
    for issue in 0..block.issues.len() {
        let inst = block.issues.inst(issue);
        if matches!(inst, Inst::RuntimeDeskew { .. }) {
            // The unit behind its queue does nothing.
            continue;
        }
        counters.issues[unit(block.issues.id(issue).queue)] += 1;
        match *inst {
            Inst::Mem { bank0, bank1 } => {
                for slot in [bank0, bank1] {
                    counters.reads += u64::from(matches!(slot, Slot::Read(..)));
                    counters.writes += u64::from(matches!(slot, Slot::Write(..)));
                }
            }
            Inst::Gather { .. } => counters.reads += 1,
            Inst::Scatter { .. } => counters.writes += 1,
            Inst::Activate { kind, .. } => {
                counters.multiply_adds += match kind {
                    TileKind::Int8 | TileKind::Lb8 | TileKind::Lb4 => lanes * lanes,
                    TileKind::Fp16 | TileKind::Wide12 => 2 * lanes * lanes,
                    TileKind::Wide25 => 4 * lanes * lanes,
                };
            }
            _ => {}
        }
    }
    counters
}

fn energy(counters: &Counters, spec: &MachineSpec, chip_cycles: f64) -> Energy {
    let picojoules = |n: u64, each: f64| n as f64 * each * 1e-12;
    let power = &spec.power;
    let [_, vxm, reduce, .., sxm, send, _] = counters.issues;
    Energy {
        idle: power.idle_watts * chip_cycles / spec.clock_hertz as f64,
        mem: picojoules(counters.reads, power.mem_read_picojoules)
            + picojoules(counters.writes, power.mem_write_picojoules),
        streams: picojoules(counters.hops, power.stream_hop_picojoules),
        mxm: picojoules(counters.multiply_adds, power.multiply_add_picojoules),
        vxm: picojoules(vxm + reduce, power.alu_picojoules),
        sxm: picojoules(sxm, power.switch_picojoules),
        c2c: picojoules(send, power.link_picojoules),
    }
}
