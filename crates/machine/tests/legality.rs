//! What is lawful touches only what is there, on machines of any shape; what is not is refused with the reason.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use lockstep_machine::access::{Access, Effect, Place, accesses, duration};
use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::{Class, Inst, TABLE, parse};
use lockstep_machine::legal;
use lockstep_machine::spec::{AluProfile, InstructionSupply, MachineSpec};
use proptest::prelude::*;

/// The presets, and machines whose counts are odd or small.
fn machines() -> Vec<MachineSpec> {
    let mut small = MachineSpec::preset("lockstep1").unwrap();
    "small".clone_into(&mut small.name);
    small.superlanes = 3;
    small.streams = 19;
    small.mem.slices_per_hemisphere = 5;
    small.mem.words_per_slice = 64;
    small.vxm.alus = 5;
    small.vxm.profile = AluProfile::Mesh4x4;
    small.vxm.reduce_units = 1;
    small.mxm.planes_per_hemisphere = 3;
    small.mxm.wide = false;
    small.mxm.accumulator_rows = 7;
    small.mxm.load_streams = 5;
    small.sxm.queues_per_hemisphere = 2;
    small.sxm.transposers = 1;
    small.c2c.links = 2;
    small.instruction.supply = InstructionSupply::Streamed;
    let presets = ["lockstep1", "tsp2020"].map(|name| MachineSpec::preset(name).unwrap());
    presets.into_iter().chain([small]).collect()
}

fn exists(access: Access, queue: Queue, spec: &MachineSpec) -> Result<(), TestCaseError> {
    let there = match access.place {
        Place::Stream(_, number, position) => {
            u32::from(number) < spec.streams && position == spec.position(queue) && position < spec.positions()
        }
        Place::Word(side, slice, bank, at) => {
            spec.has_queue(Queue::Mem(side, slice)) && bank < 2 && (0..spec.words_per_bank() as i32).contains(&at.word)
        }
        Place::Words(side, slice, bank, at, words) => {
            let end = at.word + words as i32;
            spec.has_queue(Queue::Mem(side, slice)) && bank < 2 && at.word >= 0 && end <= spec.words_per_bank() as i32
        }
        Place::Output(unit) => spec.has_queue(unit) && matches!(unit, Queue::Alu(_) | Queue::Reduce(_)),
        Place::Reduction(unit) => queue == Queue::Reduce(unit),
        Place::BufferVector(plane, vector) => queue == Queue::Load(plane) && u32::from(vector) < spec.lanes(),
        Place::BufferScale(plane, scale) => {
            queue == Queue::Load(plane) && u32::from(scale) < 8 * spec.lanes().div_ceil(32)
        }
        Place::Codebook(plane) | Place::Buffer(plane) => queue == Queue::Load(plane),
        Place::Array(plane) => queue == Queue::Load(plane) || queue == Queue::Activate(plane),
        Place::Accumulator(plane, row) => {
            let ours = queue == Queue::Activate(plane) || queue == Queue::Drain(plane);
            ours && u32::from(row) < spec.mxm.accumulator_rows
        }
        Place::LinkOut(link) => queue == Queue::Send(link),
        Place::LinkIn(link) => queue == Queue::Receive(link),
        Place::Port(unit) => {
            // A unit occupies itself, or the other plane of its hemisphere's pair.
            let pair = matches!((queue, unit), (Queue::Activate(a), Queue::Activate(b))
                if a + 1 == b && spec.plane_hemisphere(a) == spec.plane_hemisphere(b));
            spec.has_queue(unit) && (unit == queue || pair)
        }
        Place::Clock => access.effect == Effect::Use,
    };
    prop_assert!(there, "{} touches {:?} of {queue}", spec.name, access);
    Ok(())
}

/// Whether it is lawful; if so, all that it touches is there and it touches something.
fn sound(inst: Inst, queue: Queue, spec: &MachineSpec) -> Result<bool, TestCaseError> {
    if let Err(why) = legal::check(&inst, queue, spec) {
        prop_assert!(!why.0.is_empty());
        return Ok(false);
    }
    prop_assert!(inst.class().runs_on(queue));
    let mut all = Vec::new();
    accesses(&inst.into(), queue, spec, &mut |access| all.push(access));
    let acts = inst.class() != Class::Control || matches!(inst, Inst::Fetch { .. } | Inst::RuntimeDeskew { .. });
    prop_assert_eq!(all.is_empty(), !acts);
    let mut written = Vec::new();
    for access in &all {
        exists(*access, queue, spec)?;
        prop_assert!(access.at < duration(&inst.into(), queue, spec));
        if access.effect == Effect::Write {
            written.push((access.at, access.place));
        }
    }
    written.sort_unstable();
    prop_assert!(written.windows(2).all(|pair| pair[0] != pair[1]), "clashes with itself");
    Ok(true)
}

/// Each line of the table on each machine: some are lawful wherever a preset has the unit.
#[test]
fn what_is_lawful_touches_what_is_there() {
    for spec in machines() {
        let queues = spec.queues();
        for definition in TABLE {
            let takers = queues.iter().copied().filter(|queue| definition.class.runs_on(*queue)).collect::<Vec<_>>();
            if takers.is_empty() {
                continue;
            }
            let mut runner = common::runner(10_000);
            let lawful = std::cell::Cell::new(0);
            let cases = (common::inst_of(definition), proptest::sample::select(takers));
            let outcome = runner.run(&cases, |(inst, queue)| {
                lawful.set(lawful.get() + u32::from(sound(inst, queue, &spec)?));
                Ok(())
            });
            outcome.unwrap_or_else(|error| panic!("{} on {}: {error}", definition.mnemonic, spec.name));
            let absent = match definition.mnemonic {
                "ifetch" => spec.instruction.supply == InstructionSupply::Resident,
                "codebook" | "scale" => !spec.mxm.block,
                _ => false,
            };
            assert_eq!(lawful.get() == 0, absent, "{} on {}: {} lawful", definition.mnemonic, spec.name, lawful.get());
        }
    }
}

/// Queues that are not there, and other units' instructions, are refused without a look at the rest.
#[test]
fn other_queues_refuse() {
    let mut runner = common::runner(20_000);
    let queues = MachineSpec::preset("lockstep1").unwrap().queues();
    let machines = machines();
    let cases = (common::inst(), proptest::sample::select(queues));
    let outcome = runner.run(&cases, |(inst, queue)| {
        for spec in &machines {
            sound(inst, queue, spec)?;
        }
        Ok(())
    });
    outcome.unwrap();
}

#[track_caller]
fn refused(machine: &str, queue: &str, text: &str, part: &str) {
    let spec = machines().into_iter().find(|spec| spec.name == machine).unwrap();
    let inst = parse(text).unwrap();
    let why = legal::check(&inst, Queue::parse(queue).unwrap(), &spec).unwrap_err();
    assert!(why.0.contains(part), "{text}: {why}");
}

#[track_caller]
fn accepted(machine: &str, queue: &str, text: &str) {
    let spec = machines().into_iter().find(|spec| spec.name == machine).unwrap();
    let inst = parse(text).unwrap();
    legal::check(&inst, Queue::parse(queue).unwrap(), &spec).unwrap();
}

#[test]
fn control_must_mean_something() {
    refused("lockstep1", "alu.0", "nop cycles=0", "at least 1");
    refused("lockstep1", "mem.w0", "repeat count=0 every=1", "count: at least 1");
    refused("lockstep1", "mem.w0", "repeat count=1 every=0", "every: at least 1");
    refused("lockstep1", "alu.0", "repeat count=1 every=1 word_stride=1", "word_stride");
    refused("lockstep1", "mem.w0", "repeat count=1 every=1 row_stride=-1", "row_stride");
    accepted("lockstep1", "drain.0", "repeat count=1 every=1 row_stride=-1");
    refused("lockstep1", "mem.w0", "ifetch from=e0", "nothing to fetch");
    refused("small", "mem.w0", "ifetch from=e19", "19 streams");
    accepted("small", "mem.w0", "ifetch from=e18");
    refused("lockstep1", "send.0", "runtime_deskew cycles=251", "an epoch of 252");
}

#[test]
fn memory_must_lie_in_a_bank() {
    refused("lockstep1", "mem.w0", "mem", "write `nop`");
    refused("lockstep1", "mem.w0", "mem bank0=read:0+b0:e0 bank1=read:0+b0:e1", "one read and one write");
    refused("lockstep1", "mem.w0", "mem bank0=write:0+b0:e0 bank1=write:0+b0:e1", "one read and one write");
    refused("lockstep1", "mem.w0", "mem bank0=read:4096+b0:e0", "a bank has 4096");
    refused("lockstep1", "mem.w44", "mem bank0=read:0+b0:e0", "no mem.w44");
    let gather = |rest: &str| format!("gather index=e0 bank=0 to=e4 {rest}");
    accepted("lockstep1", "mem.w0", &gather("address=4000+b0 log2_interleave=0 residue=0 count=96"));
    refused("lockstep1", "mem.w0", &gather("address=4000+b0 log2_interleave=0 residue=0 count=97"), "end at 4097");
    // 97 rows over 2 slices are 49 and 48.
    accepted("lockstep1", "mem.w0", &gather("address=4048+b0 log2_interleave=1 residue=1 count=97"));
    refused("lockstep1", "mem.w0", &gather("address=4048+b0 log2_interleave=1 residue=0 count=97"), "end at 4097");
    refused("lockstep1", "mem.w0", &gather("address=0+b0 log2_interleave=2 residue=4 count=9"), "not below 2^2");
}

#[test]
fn vectors_must_have_lanes_and_formats() {
    let reduce = |rest: &str| format!("reduce op=max_i32 first=true last=true {rest}");
    refused("lockstep1", "reduce.0", &reduce("a=e0:i32 boundary=1 lanes=0"), "it is 1 to 320");
    refused("lockstep1", "reduce.0", &reduce("a=e0:i32 boundary=1 lanes=321"), "it is 1 to 320");
    refused("lockstep1", "reduce.0", &reduce("a=e0:i32 boundary=2 lanes=320"), "bit 0 must be set");
    refused("small", "reduce.0", &reduce("a=e0:i32 boundary=5 lanes=48"), "2 groups");
    refused("lockstep1", "reduce.0", &reduce("a=e0:i64 boundary=1 lanes=320"), "not i64");
    refused("lockstep1", "reduce.0", &reduce("a=e0:i32 boundary=1 lanes=320 to=e0:i64"), "only sums");
    refused("lockstep1", "alu.0", "alu op=add_i64 a=e0:i64 b=e8:i32", "i64 only: b");
    refused("lockstep1", "alu.0", "alu op=rn_i64 a=imm", "i64 only: a");
    refused("lockstep1", "alu.0", "alu op=add a=e0:i64 b=e8:f32", "no i64: a");
    refused("lockstep1", "alu.0", "alu op=add a=e0:f32", "takes 2 operands, see b");
    refused("lockstep1", "alu.0", "alu op=abs a=e2:f32", "a multiple of 4");
    refused("small", "alu.0", "alu op=abs a=e16:f32", "19 streams");
    refused("small", "alu.0", "alu op=abs a=alu.2", "does not feed");
    refused("lockstep1", "sxm.w0", "shift by=320 streams=1 from=w0 to=w0", "320 lanes");
    refused("lockstep1", "sxm.w0", "rotate by=-320 streams=1 from=w0 to=w0", "320 lanes");
    refused("lockstep1", "sxm.w2", "transpose from=w0 to=w16", "first 2 queues");
}

#[test]
fn tiles_must_be_of_the_machine() {
    refused("lockstep1", "load.1", "install kind=fp16", "even plane");
    refused("lockstep1", "activate.3", "activate kind=wide25 row=0 from=e0 scale=e0", "even plane");
    refused("small", "load.0", "install kind=fp16", "odd number");
    refused("tsp2020", "load.0", "install kind=lb4", "no lb4 tiles");
    refused("tsp2020", "load.0", "load kind=int8 orientation=column first=0 streams=1 from=w0", "by column");
    refused("lockstep1", "load.0", "load kind=int8 first=305 streams=16 from=w0", "the tile has 320");
    refused("lockstep1", "load.0", "load kind=wide12 first=0 streams=3 from=w0", "take 2 each");
    refused("lockstep1", "load.0", "load kind=wide12 orientation=column first=153 streams=16 from=w0", "has 160");
    refused("lockstep1", "load.0", "load kind=int8 first=0 streams=16 from=w17", "up to 33");
    refused("lockstep1", "load.0", "load kind=int8 first=0 streams=0 from=w0", "1 to 16");
    refused("lockstep1", "load.0", "load kind=int8 first=0 streams=1 from=e0", "outward");
    refused("lockstep1", "load.0", "scale kind=int8 first=0 streams=1 from=w0", "have no scales");
    refused("lockstep1", "load.0", "scale kind=lb8 offsets=true first=0 streams=1 from=w0", "only lb4 tiles have O");
    refused("lockstep1", "load.0", "scale kind=lb8 first=5 streams=16 from=w0", "the tile has 20");
    refused("lockstep1", "activate.0", "activate kind=int8 row=256 from=w0 scale=w0", "256 accumulator rows");
    refused("lockstep1", "drain.0", "drain row=0 format=i16 to=e0", "f32 i32 i64");
    refused("lockstep1", "drain.0", "drain row=0 format=f32 to=w0", "inward");
}
