//! The keys of a machine description, each once: its path, unit, meaning, range, and the field it fills.

use crate::spec::{AluProfile, InstructionSupply, MachineSpec};

/// The value of a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A count.
    Integer(u64),
    /// A physical quantity.
    Number(f64),
    /// A capability.
    Flag(bool),
    /// One of a few names.
    Name(String),
}

/// What a key may hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// An integer from the first to the second.
    Integer(u64, u64),
    /// A number of at least 0.
    Number,
    /// `true` or `false`.
    Flag,
    /// One of these names.
    Names(&'static [&'static str]),
}

/// One key of a description.
pub struct Key {
    /// Table and name, such as `mem.read_delay`.
    pub path: &'static str,
    /// The unit, empty for counts.
    pub unit: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// What it may hold.
    pub range: Range,
    /// Its value in a description.
    pub get: fn(&MachineSpec) -> Value,
    /// Puts a value that is within the range.
    pub set: fn(&mut MachineSpec, &Value),
}

/// Fields that a key can fill.
trait KeyField {
    fn value(&self) -> Value;
    fn fill(&mut self, value: &Value);
}

macro_rules! integer_field {
    ($($ty:ty),*) => { $(
        impl KeyField for $ty {
            fn value(&self) -> Value { Value::Integer(u64::from(*self)) }
            fn fill(&mut self, value: &Value) { if let Value::Integer(v) = value { *self = *v as $ty; } }
        }
    )* };
}
integer_field!(u32, u64);

impl KeyField for f64 {
    fn value(&self) -> Value {
        Value::Number(*self)
    }
    fn fill(&mut self, value: &Value) {
        match value {
            Value::Number(v) => *self = *v,
            Value::Integer(v) => *self = *v as f64,
            _ => {}
        }
    }
}

impl KeyField for bool {
    fn value(&self) -> Value {
        Value::Flag(*self)
    }
    fn fill(&mut self, value: &Value) {
        if let Value::Flag(v) = value {
            *self = *v;
        }
    }
}

impl KeyField for AluProfile {
    fn value(&self) -> Value {
        Value::Name(if *self == Self::Full { "full" } else { "mesh4x4" }.to_owned())
    }
    fn fill(&mut self, value: &Value) {
        *self = if *value == Value::Name("mesh4x4".to_owned()) { Self::Mesh4x4 } else { Self::Full };
    }
}

impl KeyField for InstructionSupply {
    fn value(&self) -> Value {
        Value::Name(if *self == Self::Resident { "resident" } else { "streamed" }.to_owned())
    }
    fn fill(&mut self, value: &Value) {
        *self = if *value == Value::Name("streamed".to_owned()) { Self::Streamed } else { Self::Resident };
    }
}

macro_rules! keys {
    ($( $path:literal $($field:ident).+ $range:expr, $unit:literal, $doc:literal; )*) => {
        /// All keys, in the order of descriptions and of the manual.
        pub static KEYS: &[Key] = &[ $( Key {
            path: $path,
            unit: $unit,
            doc: $doc,
            range: $range,
            get: |spec| spec.$($field).+.value(),
            set: |spec, value| spec.$($field).+.fill(value),
        } ),* ];
    };
}

use Range::{Flag, Integer, Names, Number};

/// Delays: at least a cycle, and short enough for the calendar of a simulator.
const DELAY: Range = Integer(1, 4096);

keys! {
    "clock.hertz" clock_hertz Integer(1_000_000, 100_000_000_000), "Hz", "Nominal clock.";
    "vector.superlanes" superlanes Integer(1, 20), "", "Superlanes of 16 lanes, each lane one byte.";
    "vector.streams" streams Integer(16, 32), "", "Streams in each direction.";
    "mem.slices_per_hemisphere" mem.slices_per_hemisphere Integer(1, 64), "", "Slices on each side of the vector unit.";
    "mem.words_per_slice" mem.words_per_slice Integer(2, 16_384), "vectors", "Vectors a slice holds, half of them in each bank.";
    "mem.slices_per_register" mem.slices_per_register Integer(1, 64), "", "Slices that share one stream register.";
    "mem.read_delay" mem.read_delay DELAY, "cycles", "From a read's issue to its value on the stream.";
    "mem.write_delay" mem.write_delay DELAY, "cycles", "From a write's issue to the first read that sees it.";
    "mem.gather_delay" mem.gather_delay DELAY, "cycles", "From a gather's issue to its value on the stream.";
    "vxm.alus" vxm.alus Integer(1, 16), "", "ALUs, each over all lanes.";
    "vxm.profile" vxm.profile Names(&["full", "mesh4x4"]), "", "Which ALU may take which ALU's output.";
    "vxm.delay" vxm.delay DELAY, "cycles", "Most operations.";
    "vxm.divide_delay" vxm.divide_delay DELAY, "cycles", "Division.";
    "vxm.square_root_delay" vxm.square_root_delay DELAY, "cycles", "Square root.";
    "vxm.exp32_delay" vxm.exp32_delay DELAY, "cycles", "exp32.";
    "vxm.reduce_units" vxm.reduce_units Integer(0, 16), "", "Lane reducers.";
    "vxm.reduce_delay" vxm.reduce_delay DELAY, "cycles", "The part of a reduction's delay that does not depend on its span.";
    "mxm.planes_per_hemisphere" mxm.planes_per_hemisphere Integer(1, 8), "", "Matrix planes on each side.";
    "mxm.accumulator_rows" mxm.accumulator_rows Integer(1, 512), "", "Rows of accumulators a plane keeps.";
    "mxm.load_streams" mxm.load_streams Integer(1, 16), "", "Streams a plane's load takes at most in a cycle.";
    "mxm.result_delay" mxm.result_delay Integer(2, 4096), "cycles", "From a row's last activation to its drained result.";
    "mxm.block" mxm.block Flag, "", "Whether planes take LB4 and LB8 tiles.";
    "mxm.wide" mxm.wide Flag, "", "Whether the planes of a hemisphere form one array of 16-bit integers.";
    "mxm.load_column" mxm.load_column Flag, "", "Whether tiles may be loaded by column.";
    "sxm.queues_per_hemisphere" sxm.queues_per_hemisphere Integer(0, 32), "", "Queues of each switch unit.";
    "sxm.transposers" sxm.transposers Integer(0, 32), "", "Of these, the first so many can transpose.";
    "sxm.shift_delay" sxm.shift_delay DELAY, "cycles", "Shift or rotation, without the stagger of superlanes.";
    "sxm.permute_delay" sxm.permute_delay DELAY, "cycles", "Permutation of all lanes, without the stagger.";
    "sxm.distribute_delay" sxm.distribute_delay DELAY, "cycles", "Map inside each superlane.";
    "sxm.transpose_delay" sxm.transpose_delay DELAY, "cycles", "16 by 16 transposition inside each superlane.";
    "c2c.links" c2c.links Integer(0, 64), "", "Links; the first half leaves by the western hemisphere.";
    "c2c.vector_cycles" c2c.vector_cycles DELAY, "cycles", "Time that one vector occupies a link.";
    "c2c.send_delay" c2c.send_delay DELAY, "cycles", "From a send's issue to its first bit on the link, stagger included.";
    "c2c.receive_delay" c2c.receive_delay DELAY, "cycles", "From a receive's issue to the vector on the stream.";
    "c2c.latency_min_cycles" c2c.latency_min_cycles DELAY, "cycles", "Shortest flight of a vector.";
    "c2c.latency_mean_cycles" c2c.latency_mean_cycles DELAY, "cycles", "Mean flight of a vector.";
    "c2c.latency_max_cycles" c2c.latency_max_cycles DELAY, "cycles", "Longest flight of a vector; receives are scheduled for it.";
    "c2c.fifo_vectors" c2c.fifo_vectors Integer(1, 1024), "vectors", "What a receiver can hold before it is taken.";
    "c2c.slack_max_cycles" c2c.slack_max_cycles Integer(0, 4096), "cycles", "The most slack that drift may ask of a receive.";
    "c2c.vector_bytes" c2c.vector_bytes Integer(1, 65_536), "bytes", "One vector on the link, check bits included.";
    "c2c.bits_per_second" c2c.bits_per_second Integer(1, 1_000_000_000_000_000), "bit/s", "Line rate of a link.";
    "instruction.supply" instruction.supply Names(&["resident", "streamed"]), "", "How text reaches the queues.";
    "instruction.queue_bytes" instruction.queue_bytes Integer(16, 1 << 30), "bytes", "Text a queue holds ahead (streamed supply).";
    "instruction.fetch_bytes" instruction.fetch_bytes Integer(16, 1 << 30), "bytes", "Text that one ifetch brings (streamed supply).";
    "instruction.text_first_slice" instruction.text_first_slice Integer(0, 64), "", "Slices from here outward hold text (resident supply).";
    "time.barrier_cycles" time.barrier_cycles DELAY, "cycles", "From notify to the first instruction after sync.";
    "time.epoch_cycles" time.epoch_cycles Integer(1, 1 << 30), "cycles", "Period of the chips' aligned counters.";
    "time.drift_ppm_max" time.drift_ppm_max Integer(0, 10_000), "ppm", "Largest deviation of a chip's clock.";
    "host.latency_nanoseconds" host.latency_nanoseconds Integer(0, 1_000_000_000), "ns", "Before the first byte of a transfer.";
    "host.bytes_per_second" host.bytes_per_second Integer(1, 1_000_000_000_000_000), "byte/s", "Each way.";
    "power.idle_watts" power.idle_watts Number, "W", "A chip that does nothing (estimate).";
    "power.average_watts" power.average_watts Number, "W", "A typical load.";
    "power.design_watts" power.design_watts Number, "W", "Thermal design power.";
    "power.maximum_watts" power.maximum_watts Number, "W", "Highest power.";
    "power.mem_read_picojoules" power.mem_read_picojoules Number, "pJ", "One vector read (estimate).";
    "power.mem_write_picojoules" power.mem_write_picojoules Number, "pJ", "One vector written (estimate).";
    "power.stream_hop_picojoules" power.stream_hop_picojoules Number, "pJ", "One vector moved by one register (estimate).";
    "power.alu_picojoules" power.alu_picojoules Number, "pJ", "One ALU operation on a vector (estimate).";
    "power.multiply_add_picojoules" power.multiply_add_picojoules Number, "pJ", "One 8-bit multiply-add (estimate).";
    "power.switch_picojoules" power.switch_picojoules Number, "pJ", "One vector through a switch unit (estimate).";
    "power.link_picojoules" power.link_picojoules Number, "pJ", "One vector over a link (estimate).";
    "package.chips_per_node" package.chips_per_node Integer(1, 1 << 20), "", "Chips of a node, all linked with each other.";
    "package.global_links_per_chip" package.global_links_per_chip Integer(0, 64), "", "Links of a chip that leave its node.";
    "package.nodes_per_rack" package.nodes_per_rack Integer(1, 1 << 20), "", "Nodes of a rack; a system that leaves one out has a spare.";
    "package.cables_in_rack" package.cables_in_rack Integer(1, 64), "", "Cables between each two nodes of a rack that is part of a larger system.";
}
