//! The description of one chip: every constant of the machine, as plain numbers.

use crate::geometry::Hemisphere;

/// How instructions reach their queues.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InstructionSupply {
    #[default]
    /// Each queue reads its own text, one instruction a cycle; the text is charged to the text slices.
    Resident,
    /// Text arrives in granules that `ifetch` takes from a stream; a queue that runs dry is a fault.
    Streamed,
}

/// Which ALU may take which ALU's output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AluProfile {
    #[default]
    /// Any output, to any ALU.
    Full,
    /// ALUs stand in a 4 by 4 mesh and take outputs of themselves and of their neighbours.
    Mesh4x4,
}

/// One chip. Delays are in cycles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MachineSpec {
    /// The description's name, such as `lockstep1`.
    pub name: String,
    /// Nominal clock, in hertz.
    pub clock_hertz: u64,
    /// Superlanes of 16 lanes each, 1 to 20.
    pub superlanes: u32,
    /// Streams in each direction, each one byte a lane.
    pub streams: u32,
    /// On-chip memory.
    pub mem: MemSpec,
    /// The vector unit and its lane reducers.
    pub vxm: VxmSpec,
    /// The matrix units.
    pub mxm: MxmSpec,
    /// The switch units.
    pub sxm: SxmSpec,
    /// The chip-to-chip links.
    pub c2c: C2cSpec,
    /// The instruction queues.
    pub instruction: InstructionSpec,
    /// Barriers and clocks.
    pub time: TimeSpec,
    /// The host link.
    pub host: HostSpec,
    /// The activity model of energy: an estimate.
    pub power: PowerSpec,
    /// How chips are put together.
    pub package: PackageSpec,
}

/// On-chip memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemSpec {
    /// Slices on each side of the vector unit.
    pub slices_per_hemisphere: u32,
    /// Vectors a slice holds; half of them in each of its two banks.
    pub words_per_slice: u32,
    /// Slices that share one stream register.
    pub slices_per_register: u32,
    /// From a read's issue to its value on the stream register.
    pub read_delay: u32,
    /// From a write's issue (and capture) to the first read that sees it.
    pub write_delay: u32,
    /// From a gather's issue (and the capture of its index) to its value on the stream register.
    pub gather_delay: u32,
}

/// The vector unit and its lane reducers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VxmSpec {
    /// ALUs, each over all lanes.
    pub alus: u32,
    /// Which ALU feeds which.
    pub profile: AluProfile,
    /// From operand capture to result, for most operations.
    pub delay: u32,
    /// The same for division.
    pub divide_delay: u32,
    /// The same for the square root.
    pub square_root_delay: u32,
    /// The same for exp32.
    pub exp32_delay: u32,
    /// Lane reducers; 0 where the machine has none.
    pub reduce_units: u32,
    /// The part of a reduction's delay that does not depend on its span.
    pub reduce_delay: u32,
}

/// The matrix units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MxmSpec {
    /// Planes in each hemisphere.
    pub planes_per_hemisphere: u32,
    /// Rows of accumulators a plane keeps.
    pub accumulator_rows: u32,
    /// Streams a plane's load queue takes at most in a cycle.
    pub load_streams: u32,
    /// From a row's last activation to its drained result on the stream register.
    pub result_delay: u32,
    /// Whether planes take LB4 and LB8 tiles.
    pub block: bool,
    /// Whether the planes of a hemisphere form one array of 16-bit integers.
    pub wide: bool,
    /// Whether tiles may be loaded by column.
    pub load_column: bool,
}

/// The switch units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SxmSpec {
    /// Queues in each hemisphere.
    pub queues_per_hemisphere: u32,
    /// Of these, the first so many can transpose.
    pub transposers: u32,
    /// Delay of a shift or rotation across superlanes, without the stagger of the superlanes.
    pub shift_delay: u32,
    /// Delay of a permutation of all lanes, without the stagger.
    pub permute_delay: u32,
    /// Delay of a map inside each superlane.
    pub distribute_delay: u32,
    /// Delay of a 16 by 16 transposition inside each superlane.
    pub transpose_delay: u32,
}

/// The chip-to-chip links. Latencies are of one vector, from the end of its sending to its arrival.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct C2cSpec {
    /// Links; the first half leaves by the western hemisphere.
    pub links: u32,
    /// Cycles that one vector occupies a link.
    pub vector_cycles: u32,
    /// From a send's issue (and capture) to the vector's first bit on the link; holds the stagger.
    pub send_delay: u32,
    /// From a receive's issue to the vector on the stream register.
    pub receive_delay: u32,
    /// Shortest latency seen.
    pub latency_min_cycles: u32,
    /// Mean latency.
    pub latency_mean_cycles: u32,
    /// Longest latency seen: receives are scheduled for it.
    pub latency_max_cycles: u32,
    /// Vectors that a receiver can hold before they are taken.
    pub fifo_vectors: u32,
    /// The most slack that drift may ask of a receive.
    pub slack_max_cycles: u32,
    /// Bytes on the link for one vector, check bits included.
    pub vector_bytes: u32,
    /// Line rate of a link, in bits a second.
    pub bits_per_second: u64,
}

/// The instruction queues.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InstructionSpec {
    /// How text reaches the queues.
    pub supply: InstructionSupply,
    /// Bytes that a queue holds ahead (streamed supply).
    pub queue_bytes: u32,
    /// Bytes that one `ifetch` brings (streamed supply).
    pub fetch_bytes: u32,
    /// The first slice of each hemisphere that holds text (resident supply); text fills the slices from here outward.
    pub text_first_slice: u32,
}

/// Barriers and clocks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TimeSpec {
    /// From `notify` to the first instruction after `sync`.
    pub barrier_cycles: u32,
    /// The period of the chips' aligned counters.
    pub epoch_cycles: u32,
    /// The largest deviation of a chip's clock, in parts per million.
    pub drift_ppm_max: u32,
}

/// The host link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostSpec {
    /// Time before the first byte of a transfer, in nanoseconds.
    pub latency_nanoseconds: u64,
    /// Bytes a second, each way.
    pub bytes_per_second: u64,
}

/// The activity model of energy: an estimate, in watts and picojoules.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PowerSpec {
    /// Power of a chip that does nothing.
    pub idle_watts: f64,
    /// Power of a chip under a typical load.
    pub average_watts: f64,
    /// Thermal design power.
    pub design_watts: f64,
    /// Highest power.
    pub maximum_watts: f64,
    /// Energy of one vector read from memory.
    pub mem_read_picojoules: f64,
    /// Energy of one vector written to memory.
    pub mem_write_picojoules: f64,
    /// Energy of one vector moved by one stream register.
    pub stream_hop_picojoules: f64,
    /// Energy of one ALU operation on a vector.
    pub alu_picojoules: f64,
    /// Energy of one 8-bit multiply-add.
    pub multiply_add_picojoules: f64,
    /// Energy of one vector through the switch unit.
    pub switch_picojoules: f64,
    /// Energy of one vector over a link.
    pub link_picojoules: f64,
}

/// How chips are put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageSpec {
    /// Chips of a node, all linked with each other.
    pub chips_per_node: u32,
    /// Links of a chip that leave its node; those to each other chip of the node come before them.
    pub global_links_per_chip: u32,
    /// Nodes of a rack; a system that leaves one out has a spare.
    pub nodes_per_rack: u32,
    /// Cables between each two nodes of a rack that is part of a larger system.
    pub cables_in_rack: u32,
}

/// Lanes of a superlane, everywhere.
pub const SUPERLANE_LANES: u32 = 16;

impl MachineSpec {
    /// Lanes of a vector, each one byte.
    pub fn lanes(&self) -> u32 {
        self.superlanes * SUPERLANE_LANES
    }

    /// Cycles by which the last superlane runs behind the first.
    pub fn stagger(&self) -> u32 {
        self.superlanes - 1
    }

    /// Words in one bank of a slice.
    pub fn words_per_bank(&self) -> u32 {
        self.mem.words_per_slice / 2
    }

    /// Bytes of SRAM on the chip.
    pub fn sram_bytes(&self) -> u64 {
        2 * u64::from(self.mem.slices_per_hemisphere) * u64::from(self.mem.words_per_slice) * u64::from(self.lanes())
    }

    /// Whole cycles in which a link's line rate carries one vector.
    pub fn link_vector_cycles(&self) -> u64 {
        let bits = 8 * u128::from(self.c2c.vector_bytes) * u128::from(self.clock_hertz);
        bits.div_ceil(u128::from(self.c2c.bits_per_second)) as u64
    }

    /// Planes on the chip; the first half is in the west.
    pub fn planes(&self) -> u32 {
        2 * self.mxm.planes_per_hemisphere
    }

    /// The hemisphere of a plane.
    pub fn plane_hemisphere(&self, plane: u8) -> Hemisphere {
        if u32::from(plane) < self.mxm.planes_per_hemisphere { Hemisphere::West } else { Hemisphere::East }
    }

    /// Whether ALU `to` may take the output of ALU `from` in the cycle it appears.
    pub fn alu_feeds(&self, from: u8, to: u8) -> bool {
        let near = |a: u8, b: u8| (a / 4).abs_diff(b / 4) + (a % 4).abs_diff(b % 4) <= 1;
        self.vxm.profile == AluProfile::Full || near(from, to)
    }

    /// Delay of a reduction over segments of `lanes` lanes.
    pub fn reduce_delay(&self, lanes: u32) -> u32 {
        let spanned = lanes.div_ceil(SUPERLANE_LANES);
        self.vxm.reduce_delay + spanned - 1 + spanned.next_power_of_two().trailing_zeros()
    }
}
