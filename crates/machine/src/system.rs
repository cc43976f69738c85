//! Systems: one machine, and how many chips of it.
//!
//! `lockstep1` is a chip, `lockstep1:8` a node, `lockstep1:72` a rack. Chips fill nodes, and nodes racks, in order.

use crate::access::exchange_cycles;
use crate::description::{Description, DescriptionError, PRESETS};
use crate::geometry::Queue;
use crate::inst::INST_BYTES;
use crate::spec::MachineSpec;

/// Chips of one description.
#[derive(Clone, Debug, PartialEq)]
pub struct SystemSpec {
    /// The machine, with the source of each of its values.
    pub description: Description,
    /// How many chips, at least 1.
    pub chips: u32,
}

/// A system that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SystemError {
    /// No preset has the name.
    #[error("no machine is called {name:?}; known are {}; or give a file with a description", known())]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// What stands after the colon is no count.
    #[error("{name}:{suffix}: a number of chips follows the colon, such as {name}:8")]
    Suffix {
        /// What stands before the colon.
        name: String,
        /// What stands after it.
        suffix: String,
    },
    /// No chips, or more than can be linked.
    #[error("{name}: {chips} chips; its links join 1 to {most}")]
    Chips {
        /// The machine.
        name: String,
        /// What was asked for.
        chips: u64,
        /// The most that its packaging joins.
        most: u64,
    },
    /// The description has errors.
    #[error(transparent)]
    Description(#[from] DescriptionError),
}

fn known() -> String {
    PRESETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

/// Takes a system's name apart: `lockstep1:8` is `lockstep1` and 8, a name alone is 1 chip. The first part may be a
/// file's path, whose own colons do not count.
pub fn parse_name(name: &str) -> Result<(&str, u64), SystemError> {
    let Some((machine, suffix)) = name.rsplit_once(':').filter(|(_, suffix)| !suffix.contains(['/', '\\'])) else {
        return Ok((name, 1));
    };
    let digits = !suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit());
    // So many digits that no integer holds them are still a count, and too many chips.
    let count = digits.then(|| suffix.parse().unwrap_or(u64::MAX));
    let wrong = || SystemError::Suffix { name: clipped(machine), suffix: clipped(suffix) };
    Ok((machine, count.ok_or_else(wrong)?))
}

/// The start of a text, for messages.
fn clipped(text: &str) -> String {
    text.chars().take(64).collect()
}

impl SystemSpec {
    /// A system of a preset, by a name such as `lockstep1:8`.
    pub fn preset(name: &str) -> Result<Self, SystemError> {
        let (machine, chips) = parse_name(name)?;
        if !PRESETS.iter().any(|(preset, _)| *preset == machine) {
            return Err(SystemError::Unknown { name: clipped(machine) });
        }
        Self::new(Description::preset(machine)?, chips)
    }

    /// A system of a description's text, such as that of a user's own file.
    pub fn parse(text: &str, chips: u64) -> Result<Self, SystemError> {
        Self::new(Description::parse(text)?, chips)
    }

    /// So many chips of a machine.
    pub fn new(description: Description, chips: u64) -> Result<Self, SystemError> {
        let most = chips_max(&description.machine);
        match u32::try_from(chips) {
            Ok(count) if count > 0 && chips <= most => Ok(Self { description, chips: count }),
            _ => Err(SystemError::Chips { name: description.machine.name, chips, most }),
        }
    }

    /// The machine of each chip.
    pub fn machine(&self) -> &MachineSpec {
        &self.description.machine
    }

    /// `lockstep1:8`: the name that gives this system, if its machine is a preset.
    pub fn name(&self) -> String {
        format!("{}:{}", self.machine().name, self.chips)
    }

    /// What follows from the description.
    pub fn figures(&self) -> Figures {
        Figures::new(self)
    }
}

/// Chips that the packaging joins: nodes with a link between each two, or, where there are more nodes than that,
/// racks with a link between each two. Within such a rack each two nodes have two links.
pub fn chips_max(spec: &MachineSpec) -> u64 {
    let package = &spec.package;
    let (chips, nodes) = (u128::from(package.chips_per_node), u128::from(package.nodes_per_rack));
    let node_ports = chips * u128::from(package.global_links_per_chip);
    let direct = chips * (node_ports + 1);
    let outward = node_ports.saturating_sub(2 * (nodes - 1));
    let racks = chips * nodes * (nodes * outward + 1);
    let fits = if outward > 0 { direct.max(racks) } else { direct };
    fits.min(u128::from(u32::MAX)) as u64
}

/// What follows from a system's description: counts, and caps a cycle and a second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Figures {
    /// Chips.
    pub chips: u64,
    /// Nodes, of which the last may be in part filled.
    pub nodes: u64,
    /// Racks, of which the last may be in part filled.
    pub racks: u64,
    /// Links of a chip.
    pub links_per_chip: u64,
    /// Of these, to the other chips of its node: a full mesh.
    pub links_in_node: u64,
    /// Of these, to other nodes, where there are any.
    pub links_global: u64,
    /// Cycles that one vector occupies a link.
    pub vector_cycles_per_link: u64,
    /// Cycles from a send to the earliest receive that is always in time, without slack for drift.
    pub exchange_cycles: u64,
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
    fn new(system: &SystemSpec) -> Self {
        let spec = system.machine();
        let chips = u64::from(system.chips);
        let (lanes, streams) = (u64::from(spec.lanes()), u64::from(spec.streams));
        let queues = spec.queues();
        let is_core = |queue: &&Queue| !matches!(queue, Queue::Reduce(_) | Queue::Send(_) | Queue::Receive(_));
        let core_queues = queues.iter().filter(is_core).count() as u64;
        let nodes = chips.div_ceil(spec.package.chips_per_node.into());
        // A binary16 tile takes half the inputs of two planes.
        let int8 = u64::from(spec.planes()) * lanes * lanes;
        let pairs = 2 * u64::from(spec.mxm.planes_per_hemisphere / 2);
        let fp16 = pairs * (lanes / 2) * lanes;
        let per_second = |multiply_adds: u64| (2 * multiply_adds * spec.clock_hertz).saturating_mul(chips);
        Self {
            chips,
            nodes,
            racks: nodes.div_ceil(spec.package.nodes_per_rack.into()),
            links_per_chip: spec.c2c.links.into(),
            links_in_node: chips.min(spec.package.chips_per_node.into()) - 1,
            links_global: if nodes > 1 { spec.package.global_links_per_chip.into() } else { 0 },
            vector_cycles_per_link: spec.c2c.vector_cycles.into(),
            exchange_cycles: exchange_cycles(spec).into(),
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
    pub fn entries(&self) -> [(&'static str, u64, &'static str); 19] {
        [
            ("chips", self.chips, ""),
            ("nodes", self.nodes, ""),
            ("racks", self.racks, ""),
            ("links_per_chip", self.links_per_chip, ""),
            ("links_in_node", self.links_in_node, ""),
            ("links_global", self.links_global, ""),
            ("vector_cycles_per_link", self.vector_cycles_per_link, "cycles"),
            ("exchange_cycles", self.exchange_cycles, "cycles"),
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
