//! Traces in Perfetto's protobuf: one process a chip, one track a queue, a slice an issue, arrows from producers to
//! consumers, counters for memory and links. One nanosecond of the trace is one cycle.
//!
//! Field numbers are those of Perfetto's `trace_packet.proto`, `track_event.proto` and `track_descriptor.proto`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::operand::Slot;
use lockstep_program::program::{Entry, Instance, IssueId, Origin, queue_number};
use prost::Message;

use crate::link::LinkedBlock;
use crate::linked::Linked;
use crate::simulator::Error;

#[derive(Clone, PartialEq, Message)]
struct Packet {
    #[prost(uint64, optional, tag = "8")]
    timestamp: Option<u64>,
    #[prost(uint32, tag = "10")]
    sequence: u32,
    #[prost(message, optional, tag = "11")]
    event: Option<Event>,
    #[prost(message, optional, tag = "12")]
    interned: Option<Interned>,
    #[prost(uint32, optional, tag = "13")]
    flags: Option<u32>,
    #[prost(message, optional, tag = "60")]
    track: Option<Track>,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(uint64, optional, tag = "10")]
    name: Option<u64>,
    #[prost(int32, tag = "9")]
    kind: i32,
    #[prost(uint64, tag = "11")]
    track: u64,
    #[prost(int64, optional, tag = "30")]
    counter: Option<i64>,
    #[prost(fixed64, repeated, packed = "false", tag = "47")]
    flows: Vec<u64>,
    #[prost(fixed64, repeated, packed = "false", tag = "48")]
    ending_flows: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Interned {
    #[prost(message, repeated, tag = "2")]
    names: Vec<Name>,
}

#[derive(Clone, PartialEq, Message)]
struct Name {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Track {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(message, optional, tag = "3")]
    process: Option<Process>,
    #[prost(uint64, optional, tag = "5")]
    parent: Option<u64>,
    #[prost(message, optional, tag = "8")]
    counter: Option<Counter>,
}

#[derive(Clone, PartialEq, Message)]
struct Process {
    #[prost(int32, tag = "1")]
    id: i32,
    #[prost(string, tag = "6")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct Counter {}

const BEGIN: i32 = 1;
const END: i32 = 2;
const COUNTER: i32 = 4;
const INCREMENTAL_STATE_CLEARED: u32 = 1;
const NEEDS_INCREMENTAL_STATE: u32 = 2;

struct Writer<'a> {
    out: &'a mut dyn Write,
    names: BTreeMap<String, u64>,
    flow: u64,
}

/// Writes the trace of an entry.
pub fn write_trace(linked: &Linked<'_>, entry: &str, out: &mut dyn Write) -> Result<io::Result<()>, Error> {
    let entry = linked.entry(entry)?;
    let mut writer = Writer { out, names: BTreeMap::new(), flow: 0 };
    Ok(writer.write(linked, entry))
}

/// The number of a chip's track: 0 is its process, from 1 on are its counters, then its queues.
fn track(chip: u32, number: u64) -> u64 {
    (u64::from(chip) + 1) << 32 | number
}

fn queue_track(chip: u32, queue: Queue) -> u64 {
    track(chip, 16 + queue_number(queue))
}

const READS: u64 = 1;
const WRITES: u64 = 2;
const LINKS: u64 = 3;

impl Writer<'_> {
    fn packet(&mut self, packet: &Packet) -> io::Result<()> {
        // A trace is a message whose field 1 is repeated: packets follow one another, each with its tag and length.
        let mut bytes = vec![1 << 3 | 2];
        packet.encode_length_delimited(&mut bytes).map_err(io::Error::other)?;
        self.out.write_all(&bytes)
    }

    fn write(&mut self, linked: &Linked<'_>, entry: &Entry) -> io::Result<()> {
        let first = Packet { sequence: 1, flags: Some(INCREMENTAL_STATE_CLEARED), ..Packet::default() };
        self.packet(&first)?;
        for (chip, instances) in entry.by_chip(linked.program.chips).into_iter().enumerate() {
            self.tracks(linked, &instances, chip as u32)?;
            for instance in instances {
                let block = &linked.blocks[instance.block as usize];
                self.instance(linked, instance, block)?;
                self.counters(instance, block, linked.program.machine.c2c.vector_cycles.into())?;
            }
        }
        self.out.flush()
    }

    fn tracks(&mut self, linked: &Linked<'_>, instances: &[&Instance], chip: u32) -> io::Result<()> {
        let name = format!("chip {chip}");
        let process = Some(Process { id: chip as i32 + 1, name: name.clone() });
        self.track(Track { id: track(chip, 0), name, process, ..Track::default() })?;
        let parent = Some(track(chip, 0));
        for (number, name) in [(READS, "vectors read"), (WRITES, "vectors written"), (LINKS, "links busy")] {
            let (id, name) = (track(chip, number), name.to_owned());
            self.track(Track { id, name, parent, counter: Some(Counter {}), ..Track::default() })?;
        }
        let texts = |instance: &&Instance| &linked.program.blocks[instance.block as usize].queues;
        let used: BTreeSet<Queue> = instances.iter().flat_map(texts).map(|text| text.queue).collect();
        for queue in linked.program.machine.queues() {
            if used.contains(&queue) {
                let (id, name) = (queue_track(chip, queue), queue.to_string());
                self.track(Track { id, name, parent, ..Track::default() })?;
            }
        }
        Ok(())
    }

    fn track(&mut self, track: Track) -> io::Result<()> {
        self.packet(&Packet { sequence: 1, track: Some(track), ..Packet::default() })
    }

    /// The number of a name, told to the reader when it is first used.
    fn name(&mut self, name: &str) -> io::Result<u64> {
        if let Some(id) = self.names.get(name) {
            return Ok(*id);
        }
        let id = self.names.len() as u64 + 1;
        self.names.insert(name.to_owned(), id);
        let interned = Some(Interned { names: vec![Name { id, name: name.to_owned() }] });
        self.packet(&Packet { sequence: 1, interned, flags: Some(NEEDS_INCREMENTAL_STATE), ..Packet::default() })?;
        Ok(id)
    }

    fn event(&mut self, cycle: u64, event: Event) -> io::Result<()> {
        let flags = Some(NEEDS_INCREMENTAL_STATE);
        self.packet(&Packet { timestamp: Some(cycle), sequence: 1, event: Some(event), flags, ..Packet::default() })
    }

    fn instance(&mut self, linked: &Linked<'_>, instance: &Instance, block: &LinkedBlock) -> io::Result<()> {
        let mut flows = flows(linked, instance, self.flow);
        self.flow += flows.count;
        for issue in block.issues.iter() {
            let track = queue_track(instance.chip, issue.id.queue);
            let name = Some(self.name(&label(&issue.what.inst))?);
            let (starting, ending) = flows.of.remove(&issue.id).unwrap_or_default();
            let begin = instance.start + issue.cycle;
            let cycles = match issue.what.inst {
                Inst::RuntimeDeskew { cycles } => cycles.get().into(),
                _ => 1,
            };
            let event = Event { name, kind: BEGIN, track, flows: starting, ending_flows: ending, ..Event::default() };
            self.event(begin, event)?;
            self.event(begin + cycles, Event { kind: END, track, ..Event::default() })?;
        }
        Ok(())
    }

    fn counters(&mut self, instance: &Instance, block: &LinkedBlock, link_cycles: u64) -> io::Result<()> {
        let mut changes: [BTreeMap<u64, i64>; 3] = Default::default();
        for issue in block.issues.iter() {
            let mut add = |counter: u64, cycles: u64| {
                *changes[counter as usize - 1].entry(issue.cycle).or_default() += 1;
                *changes[counter as usize - 1].entry(issue.cycle + cycles).or_default() -= 1;
            };
            match issue.what.inst {
                Inst::Mem { bank0, bank1 } => {
                    for slot in [bank0, bank1] {
                        match slot {
                            Slot::Read(..) => add(READS, 1),
                            Slot::Write(..) => add(WRITES, 1),
                            Slot::Idle => {}
                        }
                    }
                }
                Inst::Gather { .. } => add(READS, 1),
                Inst::Scatter { .. } => add(WRITES, 1),
                Inst::Send { .. } => add(LINKS, link_cycles),
                _ => {}
            }
        }
        for (number, changes) in (READS..).zip(changes) {
            let mut value = 0;
            for (cycle, change) in changes.into_iter().filter(|(_, change)| *change != 0) {
                value += change;
                let track = track(instance.chip, number);
                let event = Event { kind: COUNTER, track, counter: Some(value), ..Event::default() };
                self.event(instance.start + cycle, event)?;
            }
        }
        Ok(())
    }
}

/// What a slice is called: the instruction without its addresses, so that equal work has one colour.
fn label(inst: &Inst) -> String {
    match inst {
        Inst::Alu { op, .. } => op.to_string(),
        Inst::Reduce { op, .. } => op.to_string(),
        Inst::Load { kind, .. } => format!("load {kind}"),
        Inst::Activate { kind, .. } => format!("activate {kind}"),
        Inst::Mem { bank0, bank1 } => {
            let verb = |slot: &Slot| match slot {
                Slot::Read(..) => "read",
                Slot::Write(..) => "write",
                Slot::Idle => "",
            };
            format!("{} {}", verb(bank0), verb(bank1)).trim().to_owned()
        }
        _ => inst.mnemonic().to_owned(),
    }
}

/// Flows that start and end at each issue of an instance.
struct Flows {
    of: BTreeMap<IssueId, (Vec<u64>, Vec<u64>)>,
    count: u64,
}

/// The arrows of an instance: its block's flow edges, which linking has found true. Byte planes of one value share one.
fn flows(linked: &Linked<'_>, instance: &Instance, from: u64) -> Flows {
    let mut flows = Flows { of: BTreeMap::new(), count: 0 };
    let mut last = None;
    for edge in &linked.program.blocks[instance.block as usize].flow {
        let Origin::Issue { id, .. } = edge.origin else { continue };
        let pair = (edge.reader, edge.count, id, edge.step);
        if last.replace(pair) == Some(pair) {
            continue;
        }
        for issue in 0..edge.count {
            let moved = i64::from(id.issue) + i64::from(issue) * i64::from(edge.step);
            let Ok(producer) = u32::try_from(moved) else { continue };
            flows.count += 1;
            let flow = from + flows.count;
            flows.of.entry(IssueId { issue: producer, ..id }).or_default().0.push(flow);
            let reader = IssueId { issue: edge.reader.issue + issue, ..edge.reader };
            flows.of.entry(reader).or_default().1.push(flow);
        }
    }
    flows
}
