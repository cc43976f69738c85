//! What the manual says of each unit, beside its instructions.

use std::fmt::Write as _;

use crate::access::{reduction_delay, scale_vectors, tile_vectors};
use crate::inst::Class;
use crate::inst::operand::{AluOp, Format, ReduceOp, TileKind};
use crate::spec::{AluProfile, InstructionSupply, MachineSpec};

use super::touch::cycles;

/// The heading of a unit's chapter, and what its instructions have in common.
pub(super) fn unit(class: Class, spec: &MachineSpec) -> String {
    match class {
        Class::Control => control(spec),
        Class::Mem => memory(spec),
        Class::Alu => alus(spec),
        Class::Reduce => reducers(spec),
        Class::Load => planes(spec),
        Class::Activate => {
            "## Matrix planes: activate\n\nQueues `activate.0` and so on, one a plane. A pair-wide tile is \
driven by the queue of the even plane\nand takes the multipliers of both.\n\n"
                .to_owned()
        }
        Class::Drain => format!(
            "## Matrix planes: drain\n\nQueues `drain.0` and so on, one a plane. A row can be drained from {} cycles \
after its last\nactivation on; earlier is a fault.\n\n",
            spec.mxm.result_delay - 1
        ),
        Class::Sxm => switches(spec),
        Class::Send => links(spec),
        Class::Receive => String::new(),
    }
}

/// Tables of what the instructions of a class can be told to compute.
pub(super) fn functions(class: Class, spec: &MachineSpec) -> String {
    match class {
        Class::Alu => alu_functions(spec),
        Class::Reduce => reduce_functions(spec),
        Class::Load => tile_kinds(spec),
        _ => String::new(),
    }
}

/// How long a control instruction keeps its queue.
pub(super) fn control_time(mnemonic: &str, spec: &MachineSpec) -> String {
    let barrier = spec.time.barrier_cycles;
    match mnemonic {
        "nop" => "its queue issues the next instruction `cycles` cycles later".to_owned(),
        "repeat" => "`count` times `every` cycles, counted from the issue of what it repeats".to_owned(),
        "sync" => format!("its queue goes on {barrier} cycles after the `notify` is issued"),
        "notify" => {
            format!("its queue goes on {barrier} cycles later, in the same cycle as the queues that it releases")
        }
        "deskew" => format!("up to an epoch, {} cycles", spec.time.epoch_cycles),
        "runtime_deskew" => format!("exactly `cycles` cycles, at least an epoch of {}", spec.time.epoch_cycles),
        _ => cycles(1),
    }
}

fn control(spec: &MachineSpec) -> String {
    let supply = match spec.instruction.supply {
        InstructionSupply::Resident => format!(
            "On `{}` each queue has its whole text at hand; the text is charged to the memory of slices {} to {} of both\n\
hemispheres.",
            spec.name,
            spec.instruction.text_first_slice,
            spec.mem.slices_per_hemisphere.saturating_sub(1)
        ),
        InstructionSupply::Streamed => format!(
            "On `{}` text comes over streams: a queue holds {} bytes of it and takes {} with each `ifetch`. A queue that\n\
runs dry is a fault.",
            spec.name, spec.instruction.queue_bytes, spec.instruction.fetch_bytes
        ),
    };
    format!("## Control: instructions of every queue\n\nThey say when the other instructions are issued. {supply}\n\n")
}

fn memory(spec: &MachineSpec) -> String {
    format!(
        "## Memory slices

Queues `mem.w0` to `mem.w{last}` and `mem.e0` to `mem.e{last}`. A slice has two banks of {words} words; a word is one vector. A cycle can have
one read and one write, in different banks. An address is `WORD+bBASE`: the word, and which of the 16 offsets of the block's
instance is added. An offset never leads to the other bank.

`gather` and `scatter` share a table among 2^`log2_interleave` slices. Each superlane brings an index i of its own. A slice
acts for it if i < `count` and the remainder of i is `residue`, at word `address` + (i >> `log2_interleave`). All slices of a
table take the same indices. Only its reachable words are counted as touched.

",
        last = spec.mem.slices_per_hemisphere - 1,
        words = spec.words_per_bank(),
    )
}

fn alus(spec: &MachineSpec) -> String {
    let feeds = match spec.vxm.profile {
        AluProfile::Full => "Any ALU can take any output.",
        AluProfile::Mesh4x4 => "An ALU can take outputs of itself and of its neighbours in a mesh of 4 by 4.",
    };
    format!(
        "## ALUs

Queues `alu.0` to `alu.{last}`. An ALU does one operation a cycle over all lanes, on numbers of 32 bits (64 where the table says).
An operand is a stream group at the vector unit's register, the output of an ALU or lane reducer, or the immediate. An
output can be taken in exactly one cycle: what is needed later goes through memory or `identity`. {feeds}

Formats of fewer bits are widened as they are taken; a result that its format cannot hold is a fault.

",
        last = spec.vxm.alus - 1,
    )
}

fn reducers(spec: &MachineSpec) -> String {
    if spec.vxm.reduce_units == 0 {
        return format!("## Lane reducers\n\n`{}` has none.\n\n", spec.name);
    }
    format!(
        "## Lane reducers

Queues `reduce.0` to `reduce.{last}`, at the vector unit's register. `boundary` cuts the vector into segments of whole groups of 32
lanes; each segment is reduced for itself. A reduction may take several vectors: its state lives in the unit from `first` to
`last`. Sums are exact, so their order does not matter.

",
        last = spec.vxm.reduce_units - 1,
    )
}

fn planes(spec: &MachineSpec) -> String {
    let planes = spec.planes();
    format!(
        "## Matrix planes: load

Queues `load.0` to `load.{last}`; the first {half} planes are in the west. A plane has a *buffer* that loads fill, an *array* that
activations meet, and {rows} rows of accumulators, {lanes} numbers of 64 bits each. `install` makes the buffer the array, so the next
tile loads while this one computes. Planes read streams that flow outward and drain to streams that flow inward.

A stored vector of a tile loaded by row is one output and its lanes are inputs; by column it is one input and its lanes are
outputs. Result lanes are outputs. What was not loaded counts as 0.

",
        last = planes - 1,
        half = spec.mxm.planes_per_hemisphere,
        rows = spec.mxm.accumulator_rows,
        lanes = spec.lanes(),
    )
}

fn switches(spec: &MachineSpec) -> String {
    format!(
        "## Switch units

Queues `sxm.w0` to `sxm.w{last}` and `sxm.e0` to `sxm.e{last}`. They move bytes between lanes. What crosses superlanes has the stagger of {stagger}
in its delay. Only the first {transposers} queues of each side transpose.

",
        last = spec.sxm.queues_per_hemisphere.saturating_sub(1),
        stagger = spec.stagger(),
        transposers = spec.sxm.transposers,
    )
}

fn links(spec: &MachineSpec) -> String {
    let c2c = &spec.c2c;
    format!(
        "## Links

Queues `send.0` to `send.{last}` and `receive.0` to `receive.{last}`; the first {half} leave by the western hemisphere. A vector takes {vector}
cycles of a link and {least} to {most} cycles of flight, {mean} on average. Receives are scheduled for the longest: {exchange} cycles after the issue of the
`send`, and as many more as clocks may have drifted, at most {slack}: `ceil(2 x {ppm} x cycles / 1,000,000) + 1`, {aligned}.
A vector that comes later is a fault; so is one that finds {fifo} others waiting.

",
        last = c2c.links.saturating_sub(1),
        half = c2c.links / 2,
        vector = c2c.vector_cycles,
        least = c2c.latency_min_cycles,
        mean = c2c.latency_mean_cycles,
        most = c2c.latency_max_cycles,
        exchange = crate::access::exchange_cycles(spec),
        slack = c2c.slack_max_cycles,
        ppm = spec.time.drift_ppm_max,
        aligned = aligned(spec),
        fifo = c2c.fifo_vectors,
    )
}

/// When an exchange is lawful, counted from an alignment.
fn aligned(spec: &MachineSpec) -> String {
    let since = "`cycles` being those since a\n`runtime_deskew` has aligned the two chips, or since the entry's start";
    match crate::access::aligned_cycles_max(spec) {
        Some(u64::MAX) => since.to_owned(),
        Some(most) => format!("{since}, and so at most {most}"),
        None => format!("{since}, which no exchange keeps to"),
    }
}

fn alu_functions(spec: &MachineSpec) -> String {
    let mut text = "#### Operations\n\nCodes count from 0 in this order.\n\n\
| op | operands | delay | result |\n| --- | --- | --- | --- |\n"
        .to_owned();
    for op in AluOp::ALL {
        let operands = ["`a`", "`a` `b`", "`a` `b` `c`"][op.arity() - 1];
        let _ = writeln!(text, "| `{op}` | {operands} | {} | {} |", op.delay(spec), op.doc());
    }
    text + "\n"
}

fn reduce_functions(spec: &MachineSpec) -> String {
    let mut text = "#### Operations\n\n| op | result of each segment |\n| --- | --- |\n".to_owned();
    for op in ReduceOp::ALL {
        let _ = writeln!(text, "| `{op}` | {} |", op.doc());
    }
    let all_groups = (1 << spec.lanes().div_ceil(32)) - 1;
    let heads = 0b01_0101_0101 & all_groups;
    let _ = write!(
        text,
        "\nThe delay grows with the widest segment, by the superlanes that it spans: {} cycles for segments of 32 lanes\n\
(`boundary={all_groups}`), {} for 64 (`boundary={heads}`), {} for the whole vector (`boundary=1`).\n\n",
        reduction_delay(all_groups, spec),
        reduction_delay(heads, spec),
        reduction_delay(1, spec),
    );
    text
}

fn tile_kinds(spec: &MachineSpec) -> String {
    let mut text = format!(
        "#### Kinds of tiles\n\nA load takes up to {most} streams a cycle, so that vectors and scales of a tile take \
(streams / {most}) cycles, rounded up for each.\n\n\
| kind | planes | vectors by row | by column | streams a vector | scale vectors | cycles to load | streams of an \
activation | its cycles | what it is |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        most = spec.mxm.load_streams,
    );
    for kind in TileKind::ALL {
        let scales = match (scale_vectors(*kind, false, spec), scale_vectors(*kind, true, spec)) {
            (0, _) => "-".to_owned(),
            (without, with) if *kind == TileKind::Lb4 => format!("{without}, {with} with O"),
            (without, _) => without.to_string(),
        };
        let scale_streams = if kind.has_scale() { Format::U16.streams() } else { 0 };
        let activation = match scale_streams {
            0 => kind.activation_streams().to_string(),
            scale => format!("{} and {scale} of A", kind.activation_streams()),
        };
        let _ = writeln!(
            text,
            "| `{kind}` | {} | {} | {} | {} | {scales} | {} | {activation} | {} | {} |",
            if kind.takes_pair() { 2 } else { 1 },
            tile_vectors(*kind, true, spec),
            tile_vectors(*kind, false, spec),
            kind.vector_streams(),
            load_cycles(*kind, spec),
            kind.activation_cycles(),
            kind.doc(),
        );
    }
    text + "\n"
}

/// Cycles to load a tile by row at as many streams as a cycle can take; for LB4 with O.
fn load_cycles(kind: TileKind, spec: &MachineSpec) -> u32 {
    let most = spec.mxm.load_streams;
    let vectors = tile_vectors(kind, true, spec) * u32::from(kind.vector_streams());
    vectors.div_ceil(most) + scale_vectors(kind, kind == TileKind::Lb4, spec).div_ceil(most)
}
