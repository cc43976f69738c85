//! What the manual says before and after the instructions: the chip, its streams, its time, its constants.

use std::fmt::Write as _;

use crate::description::Description;
use crate::geometry::{Hemisphere, Queue};
use crate::inst::INST_BYTES;
use crate::keys::{KEYS, Value};
use crate::spec::MachineSpec;

use super::COMMAND;

/// All before the first instruction.
pub(super) fn opening(spec: &MachineSpec) -> String {
    let mut text = format!(
        "# The instruction set of `{name}`

This file is made by `{COMMAND}` from the instruction table and the description of `{name}`; a test compares them. Each
number of cycles below is counted from what `machine::access` says of the instruction shown: the same function that the
verifier and the simulator ask. Other machines have the same instructions with other numbers.

The machine never waits. It has no cache, no arbiter and no queue that pushes back: an instruction does its work at the
cycles written here, whatever else happens. If what it needs is not there by then, the program is wrong, and the verifier
or the simulator says so.

",
        name = spec.name,
    );
    text.push_str(&geometry(spec));
    text.push_str(&streams(spec));
    text.push_str(&time(spec));
    text.push_str(&writing(spec));
    text
}

/// Units from west to east, and the queues.
fn geometry(spec: &MachineSpec) -> String {
    let mut text = format!(
        "## The chip

A vector is {lanes} bytes, one a lane: {superlanes} superlanes of 16 lanes. Vectors move on streams, {streams} eastward and {streams} westward, over
{positions} stream registers that are counted from the west. Units stand at registers. The vector unit is in the middle; a
hemisphere is what lies west or east of it. *Inward* is towards the vector unit, *outward* away from it.

| position | what stands there | queues |
| --- | --- | --- |
",
        lanes = spec.lanes(),
        superlanes = spec.superlanes,
        streams = spec.streams,
        positions = spec.positions(),
    );
    let queues = spec.queues();
    for position in 0..spec.positions() {
        let here = queues.iter().copied().filter(|queue| spec.position(*queue) == position).collect::<Vec<_>>();
        let names = ranges(&here);
        let _ = writeln!(text, "| {position} | {} | {} |", units(&here), names.join(", "));
    }
    let _ = write!(
        text,
        "
Slices are counted outward from the vector unit; {} of them share a stream register. Each of the {} queues issues at most one
instruction of {INST_BYTES} bytes a cycle, in the order of its text. No two queues wait for each other, except at a barrier.

",
        spec.mem.slices_per_register,
        queues.len(),
    );
    text
}

/// The kinds of units behind queues.
fn units(queues: &[Queue]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for queue in queues {
        let name = match queue {
            Queue::Mem(..) => "memory slices",
            Queue::Alu(_) => "ALUs",
            Queue::Reduce(_) => "lane reducers",
            Queue::Load(_) | Queue::Activate(_) | Queue::Drain(_) => "matrix planes",
            Queue::Sxm(..) => "switch unit",
            Queue::Send(_) | Queue::Receive(_) => "links",
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

/// Names of queues, with runs put together.
fn ranges(queues: &[Queue]) -> Vec<String> {
    let key = |queue: &Queue| match *queue {
        Queue::Mem(side, n) => (0, side, n),
        Queue::Alu(n) => (1, Hemisphere::West, n),
        Queue::Reduce(n) => (2, Hemisphere::West, n),
        Queue::Load(n) => (3, Hemisphere::West, n),
        Queue::Activate(n) => (4, Hemisphere::West, n),
        Queue::Drain(n) => (5, Hemisphere::West, n),
        Queue::Sxm(side, n) => (6, side, n),
        Queue::Send(n) => (7, Hemisphere::West, n),
        Queue::Receive(n) => (8, Hemisphere::West, n),
    };
    let mut sorted = queues.to_vec();
    sorted.sort_by_key(key);
    let follows = |a: &Queue, b: &Queue| {
        let (a, b) = (key(a), key(b));
        (a.0, a.1, a.2 + 1) == b
    };
    let name = |run: &[Queue]| match run {
        [one] => format!("`{one}`"),
        [first, .., last] => format!("`{first}` to `{last}`"),
        [] => String::new(),
    };
    sorted.chunk_by(follows).map(name).collect()
}

fn streams(spec: &MachineSpec) -> String {
    let last = spec.positions() - 1;
    format!(
        "## Streams

A stream is written `e` or `w`, the way it flows, and a number from 0: `e5`, `w{most}`. A stream register holds one byte a lane.

- A value moves by one register a cycle, eastward to higher positions, westward to lower ones, and leaves the chip at its
  edge (position 0 or {last}). Nothing stops or slows it.
- A unit at position p that drives a stream at cycle t puts a value into register p at t. A unit at position q downstream
  can take it at t + |q - p|, and only then. Units at p itself cannot: they see what arrives from upstream.
- Taking a value does not remove it. Any number of units can take it as it passes.
- Driving a register replaces what arrives there; readers upstream of it, and at it, still see the old value.
- Two units that drive one register in one cycle are a clash. Taking from a register that holds nothing is a fault.
- A number of more than 8 bits takes a *group* of consecutive streams, lowest byte first. The group's first number is a
  multiple of its size: 1 for i8 and u8, 2 for i16 and u16, 4 for i32 and f32, 8 for i64.

",
        most = spec.streams - 1,
    )
}

fn time(spec: &MachineSpec) -> String {
    format!(
        "## Time

An instruction that its queue issues at cycle t takes its operands at t + *skew* and has its result at t + *delay*. Both
stand below as `+n`: \"e8 at 17, +5\" is stream `e8` at position 17, 5 cycles after the issue.

- In each cycle all reads come before all writes. State that an instruction changes is seen by reads from the cycle on that
  is written with it; an output can be taken in exactly the one cycle that is written.
- Superlane k does everything k cycles after superlane 0, so the stagger of {stagger} cycles cancels between units that pass a vector
  on lane by lane. Cycles are those of superlane 0. Units that need a whole vector have the stagger in their delay.
- A queue is taken for one cycle by each instruction, a unit for as long as its table says. A unit that is taken for longer
  than one cycle must not be given another instruction before; nothing holds that instruction back.

",
        stagger = spec.stagger(),
    )
}

fn writing(spec: &MachineSpec) -> String {
    format!(
        "## Text and bytes

An instruction is written as its name and `field=value` pairs, in any order, with blanks between. A field that has a value
to leave out need not be written. A queue is written as in the table above: `mem.w3`, `alu.0`, `load.1`, `send.15`.

N is a decimal number without sign and without leading zeros. STREAM is `eN` or `wN`. WORD is a word of a bank (0 to {words}),
BASE one of the 16 offsets (0 to 15) that each instance of a block brings; it is added to the word. FORMAT is `i8`, `u8`, `i16`,
`u16`, `i32`, `f32` or `i64`.

An encoded instruction has {INST_BYTES} bytes: a little-endian number of 128 bits with the opcode in bits 0 to 7 and the fields above it,
in the order of their table. Bits above the last field are 0. Bytes that stand for nothing are an error, and each
instruction has one encoding and one text. Names are coded from 0 in the order of their list, and negative numbers in two's
complement. What has several parts has them in these bits:

| written | bits |
| --- | --- |
| `eN`, `wN` | 0 to 4 the number; 5 is 1 for `e` |
| `WORD+bBASE` | 0 to 12 the word; 13 to 16 the base |
| `idle`, `read:...`, `write:...` | 0 to 1 are 0, 1 or 2; 2 to 18 the address; 19 to 24 the stream |
| `none`, `STREAM:FORMAT`, `alu.N`, `reduce.N`, `imm` | 0 to 1 are 0, 1, 2, 2 or 3; for a stream, 2 to 7 the stream and 8 to 10 the format; for a unit, 2 to 7 the number, and 8 is 1 for `reduce` |
| `none`, `eN:FORMAT`, `wN:FORMAT`, `bothN:FORMAT` | 0 is 1 for eastward, 1 is 1 for westward; 2 to 6 the number; 7 to 9 the format |
| 16 lanes | 5 bits a lane, lane 0 lowest; 16 is zero |

",
        words = spec.words_per_bank() - 1,
    )
}

/// The machine's constants, with what each rests on.
pub(super) fn constants(description: &Description) -> String {
    let mut text = format!(
        "## Constants of `{}`

What the numbers above come from. *Published* values have their publication in the description, *derived* ones follow from
published ones, *chosen* ones are not public.

| key | value | unit | | meaning |
| --- | --- | --- | --- | --- |
",
        description.machine.name,
    );
    for (key, source) in KEYS.iter().zip(&description.sources) {
        let value = match (key.get)(&description.machine) {
            Value::Integer(value) => value.to_string(),
            Value::Number(value) => value.to_string(),
            Value::Flag(value) => value.to_string(),
            Value::Name(value) => value,
        };
        let kind = source.split(':').next().unwrap_or_default();
        let _ = writeln!(text, "| `{}` | {value} | {} | {kind} | {} |", key.path, key.unit, key.doc);
    }
    text
}
