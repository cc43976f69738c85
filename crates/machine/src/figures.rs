//! What follows from a system's description: of its chips, and of how they are wired.

use crate::access::{align_cycles, exchange_cycles};
use crate::geometry::Queue;
use crate::hops::Hops;
use crate::inst::INST_BYTES;
use crate::network::Cable;
use crate::spec::MachineSpec;
use crate::system::SystemSpec;
use crate::topology::Topology;

/// What follows of the chips: counts, and caps a cycle and a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Chips.
    pub chips: u64,
    /// Links of a chip.
    pub links_per_chip: u64,
    /// Cycles that one vector occupies a link.
    pub vector_cycles_per_link: u64,
    /// Cycles from a send to the earliest receive that is always in time, without slack for drift.
    pub exchange_cycles: u64,
    /// Cycles of the start of a program that uses all chips: a barrier on one chip, where the program has one; on
    /// several, the alignment of all with chip 0.
    pub start_cycles: u64,
    /// Bytes of SRAM on a chip.
    pub sram_bytes_per_chip: u64,
    /// Bytes of SRAM in all.
    pub sram_bytes: u64,
    /// Instruction queues of a chip's memory, ALUs, matrix planes and switch units.
    pub core_queues: u64,
    /// All instruction queues of a chip: lane reducers and both sides of links too.
    pub queues: u64,
    /// Bytes that a chip's streams move a cycle, at most.
    pub stream_bytes_per_cycle: u64,
    /// Bytes that a chip's memory reads and writes a cycle, at most.
    pub sram_bytes_per_cycle: u64,
    /// Bytes of instructions that a chip's core queues issue a cycle, at most.
    pub instruction_bytes_per_cycle: u64,
    /// 8-bit multiply-adds of a chip a cycle, at most.
    pub int8_multiply_adds_per_cycle: u64,
    /// IEEE binary16 multiply-adds of a chip a cycle, at most.
    pub fp16_multiply_adds_per_cycle: u64,
    /// 8-bit operations of all chips a second, at most: a multiply-add is two.
    pub int8_ops_per_second: u64,
    /// IEEE binary16 operations of all chips a second, at most.
    pub fp16_ops_per_second: u64,
}

impl Figures {
    pub(crate) fn new(system: &SystemSpec) -> Self {
        let spec = system.machine();
        let chips = u64::from(system.chips);
        let (lanes, streams) = (u64::from(spec.lanes()), u64::from(spec.streams));
        let queues = spec.queues();
        let is_core = |queue: &&Queue| !matches!(queue, Queue::Reduce(_) | Queue::Send(_) | Queue::Receive(_));
        let core_queues = queues.iter().filter(is_core).count() as u64;
        // A binary16 tile takes half the inputs of two planes.
        let int8 = u64::from(spec.planes()) * lanes * lanes;
        let pairs = 2 * u64::from(spec.mxm.planes_per_hemisphere / 2);
        let fp16 = pairs * (lanes / 2) * lanes;
        let per_second = |multiply_adds: u64| (2 * multiply_adds * spec.clock_hertz).saturating_mul(chips);
        Self {
            chips,
            links_per_chip: spec.c2c.links.into(),
            vector_cycles_per_link: spec.c2c.vector_cycles.into(),
            exchange_cycles: exchange_cycles(spec).into(),
            start_cycles: start_cycles(spec, system.network().tree_height()),
            sram_bytes_per_chip: spec.sram_bytes(),
            sram_bytes: spec.sram_bytes() * chips,
            core_queues,
            queues: queues.len() as u64,
            stream_bytes_per_cycle: 2 * streams * lanes,
            // One read and one write of a vector a slice.
            sram_bytes_per_cycle: 2 * 2 * u64::from(spec.mem.slices_per_hemisphere) * lanes,
            instruction_bytes_per_cycle: core_queues * INST_BYTES as u64,
            int8_multiply_adds_per_cycle: int8,
            fp16_multiply_adds_per_cycle: fp16,
            int8_ops_per_second: per_second(int8),
            fp16_ops_per_second: per_second(fp16),
        }
    }

    /// All figures with their names and units, in order: what `machine show` prints.
    pub fn entries(&self) -> [(&'static str, u64, &'static str); 16] {
        [
            ("chips", self.chips, ""),
            ("links_per_chip", self.links_per_chip, ""),
            ("vector_cycles_per_link", self.vector_cycles_per_link, "cycles"),
            ("exchange_cycles", self.exchange_cycles, "cycles"),
            ("start_cycles", self.start_cycles, "cycles"),
            ("sram_bytes_per_chip", self.sram_bytes_per_chip, "bytes"),
            ("sram_bytes", self.sram_bytes, "bytes"),
            ("core_queues", self.core_queues, ""),
            ("queues", self.queues, ""),
            ("stream_bytes_per_cycle", self.stream_bytes_per_cycle, "bytes"),
            ("sram_bytes_per_cycle", self.sram_bytes_per_cycle, "bytes"),
            ("instruction_bytes_per_cycle", self.instruction_bytes_per_cycle, "bytes"),
            ("int8_multiply_adds_per_cycle", self.int8_multiply_adds_per_cycle, ""),
            ("fp16_multiply_adds_per_cycle", self.fp16_multiply_adds_per_cycle, ""),
            ("int8_ops_per_second", self.int8_ops_per_second, "op/s"),
            ("fp16_ops_per_second", self.fp16_ops_per_second, "op/s"),
        ]
    }
}

fn start_cycles(spec: &MachineSpec, tree_height: u32) -> u64 {
    if tree_height == 0 {
        return spec.time.barrier_cycles.into();
    }
    align_cycles(spec, tree_height)
}

/// What follows of the wiring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wiring {
    /// Nodes, of which the last may be filled in part; 0 where the topology has none.
    pub nodes: u64,
    /// Racks, of which the last may be filled in part; 0 where the topology has no nodes.
    pub racks: u64,
    /// Chips of the last node or rack, with their cables, that are not the system's. A chip alone has none beside it.
    pub spare_chips: u64,
    /// Whole nodes of those.
    pub spare_nodes: u64,
    /// Cables, each once.
    pub cables: u64,
    /// Cables of the chip that has the fewest.
    pub cables_per_chip_min: u64,
    /// Cables of the chip that has the most.
    pub cables_per_chip_max: u64,
    /// Cables between the first half of the chips and the others: an upper bound of the bisection.
    pub cables_between_halves: u64,
    /// Pairs of chips by their distance.
    pub hops: Hops,
}

impl Wiring {
    pub(crate) fn new(system: &SystemSpec) -> Self {
        let (network, package) = (system.network(), &system.machine().package);
        let [chips, node, rack] = [system.chips, package.chips_per_node, package.nodes_per_rack].map(u64::from);
        let whole = match system.topology {
            Topology::Node if chips > 1 => node,
            Topology::Nodes => node,
            Topology::Rack | Topology::Racks => node * rack,
            Topology::Node | Topology::Ring | Topology::Listed(_) => 1,
        };
        let of_nodes = !matches!(system.topology, Topology::Ring | Topology::Listed(_));
        let nodes = if of_nodes { chips.div_ceil(node) } else { 0 };
        let spare_chips = chips.next_multiple_of(whole) - chips;
        let degrees = || (0..system.chips).map(|chip| network.leaving(chip).len() as u64);
        let half = system.chips / 2;
        let crosses = |cable: &&Cable| cable.from_chip < half && cable.to_chip >= half;
        Self {
            nodes,
            racks: nodes.div_ceil(rack),
            spare_chips,
            spare_nodes: spare_chips / node,
            cables: network.cables().len() as u64 / 2,
            cables_per_chip_min: degrees().min().unwrap_or_default(),
            cables_per_chip_max: degrees().max().unwrap_or_default(),
            cables_between_halves: network.cables().iter().filter(crosses).count() as u64,
            hops: Hops::new(network),
        }
    }

    /// All counts with their names, in order: what `machine show` prints before the pairs.
    pub fn entries(&self) -> [(&'static str, u64); 8] {
        [
            ("nodes", self.nodes),
            ("racks", self.racks),
            ("spare_chips", self.spare_chips),
            ("spare_nodes", self.spare_nodes),
            ("cables", self.cables),
            ("cables_per_chip_min", self.cables_per_chip_min),
            ("cables_per_chip_max", self.cables_per_chip_max),
            ("cables_between_halves", self.cables_between_halves),
        ]
    }
}
