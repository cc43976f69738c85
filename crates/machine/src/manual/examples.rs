//! Lawful instructions, some of each line of the table: the manual shows them, and tests count on them.

use crate::geometry::Queue;
use crate::inst::{Inst, parse};

/// An instruction on a queue that takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Example {
    /// The queue.
    pub queue: Queue,
    /// The instruction.
    pub inst: Inst,
}

/// The examples, in the order of the table. They are for the `lockstep1` preset, `ifetch` for `tsp2020`.
pub fn examples() -> Vec<Example> {
    let read = |(queue, text): &(&str, &str)| Some(Example { queue: Queue::parse(queue)?, inst: parse(text).ok()? });
    TEXTS.iter().filter_map(read).collect()
}

/// Queues and texts of the examples.
pub(super) const TEXTS: &[(&str, &str)] = &[
    ("mem.w3", "nop cycles=12"),
    ("mem.e13", "repeat count=19 every=1 word_stride=1"),
    ("load.0", "repeat count=19 every=1 row_stride=16"),
    ("alu.0", "sync"),
    ("alu.1", "notify"),
    ("mem.e13", "ifetch from=e4"),
    ("send.0", "deskew"),
    ("send.0", "transmit"),
    ("send.0", "runtime_deskew cycles=252"),
    ("mem.e13", "mem bank0=read:100+b0:e8"),
    ("mem.w2", "mem bank1=write:7+b1:w4"),
    ("mem.w2", "mem bank0=write:64+b0:w4 bank1=read:8+b1:e5"),
    ("mem.e5", "gather index=e0 address=0+b2 bank=0 log2_interleave=2 residue=1 count=1000 quiet=true to=w6"),
    ("mem.e5", "gather index=e0 address=0+b2 bank=0 log2_interleave=0 residue=0 count=1000 to=w6"),
    ("mem.w5", "scatter index=w8 address=0+b3 bank=1 log2_interleave=0 residue=0 count=320 from=w4"),
    ("alu.0", "alu op=add a=e0:f32 b=w4:f32 to=e8:f32"),
    ("alu.1", "alu op=multiply a=alu.0 b=imm imm=0.5 to=both12:f32"),
    ("alu.2", "alu op=exp32 a=alu.1"),
    ("alu.3", "alu op=add_i64 a=e0:i64 b=w8:i64 to=w16:i64"),
    ("reduce.0", "reduce op=max_f32 a=alu.3 boundary=1023 lanes=320 first=true last=true"),
    ("reduce.1", "reduce op=sum_i32 a=e4:i32 boundary=1 lanes=288 first=true"),
    ("reduce.1", "reduce op=sum_i32 a=e4:i32 boundary=1 lanes=288 last=true to=w20:f32"),
    ("load.0", "load kind=int8 first=0 streams=16 from=w0"),
    ("load.2", "load kind=wide12 half=high first=0 streams=16 from=e0"),
    ("load.2", "load kind=wide25 orientation=column first=8 streams=16 from=e0"),
    ("load.1", "codebook from=w16"),
    ("load.1", "scale kind=lb4 offsets=true first=16 streams=16 from=w16"),
    ("load.1", "install kind=lb4"),
    ("load.0", "install kind=int8"),
    ("activate.0", "activate kind=int8 row=0 first=true from=w4 scale=w0"),
    ("activate.1", "activate kind=lb4 half=high row=3 from=w4 scale=w2"),
    ("activate.2", "activate kind=wide25 row=9 first=true from=e4 scale=e0"),
    ("drain.1", "drain row=3 format=f32 to=e8"),
    ("drain.1", "drain row=3 format=i64 to=e8"),
    ("sxm.w0", "shift by=-64 streams=4 from=w0 to=e4"),
    ("sxm.w1", "rotate by=32 streams=1 from=w0 to=e4"),
    ("sxm.e0", "permute map=w8 streams=2 from=w2 to=w4"),
    ("sxm.e1", "distribute map=1,0,3,2,5,4,7,6,9,8,11,10,13,12,z,z streams=4 from=e0 to=w0"),
    ("sxm.e0", "transpose from=e0 to=w16"),
    ("send.0", "send from=w0"),
    ("receive.15", "receive to=w7"),
];

#[cfg(test)]
mod tests {
    use super::{TEXTS, examples};

    #[test]
    fn all_texts_are_instructions_as_they_are_printed_or_shorter() {
        let examples = examples();
        assert_eq!(examples.len(), TEXTS.len());
        for (example, (queue, text)) in examples.iter().zip(TEXTS) {
            assert_eq!(example.queue.to_string(), *queue);
            // An immediate may be written as a number, and is printed in hexadecimal.
            assert!(example.inst.to_string() == *text || text.contains("imm=0.5"), "{text}: {}", example.inst);
        }
    }
}
