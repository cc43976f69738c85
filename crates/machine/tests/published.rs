//! Facts that are published about the 2020 chip and its 2022 system, each with its source.
//!
//! [T] is Abts et al., *Think Fast: A Tensor Streaming Processor (TSP) for Accelerating Deep Learning Workloads*, ISCA
//! 2020. [S] is Abts et al., *A Software-defined Tensor Streaming Multiprocessor for Large-scale Machine Learning*, ISCA
//! 2022. What is derived from them says so.
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;

use lockstep_machine::access::{
    Effect, Place, accesses, aligned_cycles_max, drift_slack, exchange_cycles, scale_vectors, tile_vectors,
};
use lockstep_machine::figures::Figures;
use lockstep_machine::geometry::{Direction, Hemisphere, Queue};
use lockstep_machine::inst::field::{Stream, Uint};
use lockstep_machine::inst::operand::{Address, Half, Orientation, Slot, TileKind};
use lockstep_machine::inst::{INST_BYTES, Inst, TABLE};
use lockstep_machine::legal;
use lockstep_machine::spec::MachineSpec;
use lockstep_machine::system::{SystemSpec, chips_max};

fn spec() -> MachineSpec {
    MachineSpec::preset("tsp2020").unwrap()
}

fn figures(system: &str) -> Figures {
    SystemSpec::preset(system).unwrap().figures()
}

#[test]
fn bytes_a_cycle() {
    for name in ["tsp2020", "lockstep1"] {
        let figures = figures(name);
        assert_eq!(figures.stream_bytes_per_cycle, 20_480, "{name}: [T] 32 + 32 streams of 320 bytes");
        assert_eq!(figures.sram_bytes_per_cycle, 56_320, "{name}: [T] 88 slices, a read and a write of 320 bytes each");
        assert_eq!(figures.instruction_bytes_per_cycle, 2_304, "{name}: [T] 144 queues of 16 bytes");
        assert_eq!(figures.sram_bytes_per_chip, 220 << 20, "{name}: [T] 220 MiB");
    }
}

#[test]
fn queues() {
    // [T] 144 independent instruction queues: derived, 88 MEM, 16 VXM, 12 MXM and 28 SXM. Links have theirs beside them.
    let count = |is: fn(&Queue) -> bool| spec().queues().iter().filter(|queue| is(queue)).count();
    assert_eq!(count(|queue| matches!(queue, Queue::Mem(..))), 88);
    assert_eq!(count(|queue| matches!(queue, Queue::Alu(_))), 16);
    assert_eq!(count(|queue| matches!(queue, Queue::Load(_) | Queue::Activate(_) | Queue::Drain(_))), 12);
    assert_eq!(count(|queue| matches!(queue, Queue::Sxm(..))), 28);
    assert_eq!(figures("tsp2020").core_queues, 144);
    assert_eq!(figures("tsp2020").queues, 144 + 2 * 16, "16 links with two sides each");
    assert_eq!(figures("lockstep1").queues, 144 + 2 * 16 + 4, "and 4 lane reducers");
}

#[test]
fn multiply_adds_a_cycle() {
    let figures = figures("tsp2020");
    assert_eq!(figures.int8_multiply_adds_per_cycle, 409_600, "[T] 4 planes of 320 x 320");
    assert_eq!(figures.fp16_multiply_adds_per_cycle, 102_400, "[T] 2 x [1 x 160] x [160 x 320] in FP16");
    assert_eq!(figures.int8_ops_per_second, 737_280_000_000_000, "derived: at the 900 MHz of [T]");
}

/// Loads of a tile and its scales, as few as can be at so many streams: each is checked to be lawful, and all vectors
/// of the buffer are written once.
fn load_cycles(kind: TileKind, offsets: bool, streams: u32) -> u32 {
    let spec = MachineSpec::preset("lockstep1").unwrap();
    let each = u32::from(kind.vector_streams());
    let from = Stream::west(0);
    let loads = parts(tile_vectors(kind, true, &spec), streams / each).map(|(first, count)| Inst::Load {
        kind,
        orientation: Orientation::Row,
        half: Half::Low,
        first: Uint::new(first).unwrap(),
        streams: Uint::new(count * each).unwrap(),
        from,
    });
    let scales = parts(scale_vectors(kind, offsets, &spec), streams).map(|(first, count)| Inst::Scale {
        kind,
        offsets,
        first: Uint::new(first).unwrap(),
        streams: Uint::new(count).unwrap(),
        from,
    });
    let mut cycles = 0;
    let mut written = BTreeMap::new();
    for inst in loads.chain(scales) {
        legal::check(&inst, Queue::Load(0), &spec).unwrap();
        accesses(&inst.into(), Queue::Load(0), &spec, &mut |access| {
            assert_eq!(access.at, 0);
            if access.effect == Effect::Write {
                *written.entry(access.place).or_insert(0) += 1;
            }
        });
        cycles += 1;
    }
    assert!(written.values().all(|times| *times == 1));
    assert_eq!(written.len() as u32, tile_vectors(kind, true, &spec) + scale_vectors(kind, offsets, &spec));
    cycles
}

/// So many vectors in parts of at most `most`: first and count of each.
fn parts(vectors: u32, most: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..vectors).step_by(most as usize).map(move |first| (first, most.min(vectors - first)))
}

#[test]
fn cycles_of_a_tile() {
    assert_eq!(spec().mxm.load_streams, 16);
    assert_eq!(
        load_cycles(TileKind::Int8, false, 16),
        20,
        "[T] a plane's weights in 20 cycles, derived: at 16 streams"
    );
    // The additions of lockstep1, by the same rule: ceil(vectors / streams).
    assert_eq!(load_cycles(TileKind::Lb8, false, 16), 22);
    assert_eq!(load_cycles(TileKind::Lb4, true, 16), 25);
    assert_eq!(load_cycles(TileKind::Lb4, false, 16), 23);
    assert_eq!(load_cycles(TileKind::Fp16, false, 16), 40, "two byte planes a vector");
}

#[test]
fn a_vector_passes_in_as_many_cycles_as_superlanes() {
    let spec = spec();
    assert_eq!(spec.lanes(), 320, "[T] 20 superlanes of 16 lanes");
    assert_eq!(spec.stagger(), 19, "[T] a superlane runs a cycle behind the one before");
    assert_eq!(spec.stagger() + 1, 20, "[T] a vector takes 20 cycles to pass");
}

#[test]
fn a_vector_takes_24_cycles_of_a_link() {
    let spec = spec();
    // [S] a vector of 320 bytes goes in 328 bytes at 100 Gb/s; [T] 900 MHz. The cycles are derived from these.
    assert_eq!((spec.c2c.vector_bytes, spec.c2c.bits_per_second), (328, 100_000_000_000));
    assert_eq!(spec.clock_hertz, 900_000_000);
    assert_eq!(spec.link_vector_cycles(), 24);
    assert_eq!(u64::from(spec.c2c.vector_cycles), spec.link_vector_cycles(), "the description's own number");
    // A send keeps its link for so many cycles.
    let mut used = Vec::new();
    accesses(&Inst::Send { from: Stream::west(0) }.into(), Queue::Send(0), &spec, &mut |access| {
        if access.effect == Effect::Use {
            used.push(access.at);
        }
    });
    assert_eq!(used, (0..24).collect::<Vec<_>>());
}

#[test]
fn an_exchange_waits_for_the_slowest_link() {
    let spec = spec();
    // [S] latencies in a node of 209 to 228 cycles. Stagger (19), a chosen 4 and the vector's own 24 come before.
    assert_eq!((spec.c2c.latency_min_cycles, spec.c2c.latency_max_cycles), (209, 228));
    assert_eq!(spec.c2c.latency_mean_cycles, 217, "[S]");
    assert_eq!(exchange_cycles(&spec), 4 + spec.stagger() + 24 + 228);
}

#[test]
fn chips_stay_aligned_for_as_long_as_the_slack_allows() {
    let spec = spec();
    assert_eq!((spec.time.drift_ppm_max, spec.c2c.slack_max_cycles), (100, 8));
    // ceil(2 x 100 x cycles / 1,000,000) + 1
    for (cycles, slack) in [(0, 1), (1, 2), (5_000, 2), (5_001, 3), (35_000, 8), (35_001, 9)] {
        assert_eq!(drift_slack(&spec, cycles), slack, "{cycles}");
    }
    assert_eq!(aligned_cycles_max(&spec), Some(35_000));
    let with = |ppm, slack| {
        let mut other = spec.clone();
        (other.time.drift_ppm_max, other.c2c.slack_max_cycles) = (ppm, slack);
        aligned_cycles_max(&other)
    };
    assert_eq!([with(100, 0), with(100, 1), with(0, 1)], [None, Some(0), Some(u64::MAX)]);
    for (ppm, slack) in [(1, 2), (37, 5), (333, 17), (10_000, 4096)] {
        let mut other = spec.clone();
        (other.time.drift_ppm_max, other.c2c.slack_max_cycles) = (ppm, slack);
        let most = aligned_cycles_max(&other).unwrap();
        assert!(drift_slack(&other, most) <= slack.into() && drift_slack(&other, most + 1) > slack.into());
    }
}

#[test]
fn packaging() {
    let spec = spec();
    assert_eq!(spec.c2c.links, 16, "[T] 16 links a chip");
    let [node, rack] = ["tsp2020:8", "tsp2020:72"].map(|name| SystemSpec::preset(name).unwrap().wiring());
    assert_eq!((node.nodes, node.cables_per_chip_min), (1, 7), "[S] 8 chips a node, a full mesh of 7 links a chip");
    assert_eq!((rack.nodes, rack.racks), (9, 1), "[S] 9 nodes a rack");
    assert_eq!(rack.cables_per_chip_min, 7 + 4, "[S] 4 global links a chip");
    assert_eq!(chips_max(&spec), 10_440, "[S] the largest Dragonfly, 145 racks");
    let mut without_racks = spec.clone();
    without_racks.package.nodes_per_rack = 1 << 10;
    assert_eq!(chips_max(&without_racks), 264, "[S] 33 nodes with a link between each two");
    assert_eq!(SystemSpec::preset("tsp2020:264").unwrap().wiring().hops.diameter(), 3, "[S] 3 hops");
}

#[test]
fn instructions_of_control() {
    // [T] names NOP, Repeat, Sync, Notify and Ifetch; [S] DESKEW, TRANSMIT and RUNTIME_DESKEW. Ours are called likewise.
    for name in ["nop", "repeat", "sync", "notify", "ifetch", "deskew", "transmit", "runtime_deskew"] {
        assert!(TABLE.iter().any(|definition| definition.mnemonic == name), "{name}");
    }
    assert_eq!(INST_BYTES, 16, "derived: 2,304 bytes a cycle over 144 queues");
}

/// Who put a value on a stream: slice and word.
type Producer = (Hemisphere, u8, i32);

/// Values on streams: what each diagonal carries, by the position at which it was put there.
#[derive(Default)]
struct Streams {
    segments: BTreeMap<(Direction, u8, i64), BTreeMap<u32, Producer>>,
}

/// A diagonal: where a value is at a cycle, whenever that is.
fn diagonal(direction: Direction, number: u8, cycle: i64, position: u32) -> (Direction, u8, i64) {
    let key = if direction == Direction::East { cycle - i64::from(position) } else { cycle + i64::from(position) };
    (direction, number, key)
}

impl Streams {
    fn put(&mut self, direction: Direction, number: u8, cycle: i64, position: u32, producer: Producer) {
        let at = diagonal(direction, number, cycle, position);
        let clash = self.segments.entry(at).or_default().insert(position, producer);
        assert!(
            clash.is_none(),
            "{producer:?} and {clash:?} drive one register of {direction:?} {number} in one cycle"
        );
    }

    /// What a reader meets: the last value put on strictly upstream.
    fn met(&self, direction: Direction, number: u8, cycle: i64, position: u32) -> Option<Producer> {
        let segments = self.segments.get(&diagonal(direction, number, cycle, position))?;
        match direction {
            Direction::East => segments.range(..position).next_back().map(|(_, producer)| *producer),
            Direction::West => segments.range(position + 1..).next().map(|(_, producer)| *producer),
        }
    }
}

const SLICES: std::ops::RangeInclusive<u8> = 12..=43;

/// [T]: the weights of all four planes, 409,600 of them, load in less than 40 cycles, SRAM and network included. Slices
/// 12 to 43 of each hemisphere hold a stream's worth each: 20 words, of which word w goes to row 16 w + (its stream).
#[test]
fn four_planes_load_in_at_most_40_cycles() {
    let spec = spec();
    let mut streams = Streams::default();
    let (mut first_issue, mut last_row) = (i64::MAX, i64::MIN);

    for side in [Hemisphere::West, Hemisphere::East] {
        let planes = (0..spec.planes() as u8).filter(|plane| spec.plane_hemisphere(*plane) == side).collect::<Vec<_>>();
        assert_eq!(SLICES.count(), 16 * planes.len());
        for slice in SLICES {
            let queue = Queue::Mem(side, slice);
            let stream = Stream { direction: side.outward(), number: slice - SLICES.start() };
            for word in 0..20 {
                let address = Address { word, base: 0 };
                let inst = Inst::Mem { bank0: Slot::Read(address, stream), bank1: Slot::Idle };
                legal::check(&inst, queue, &spec).unwrap();
                let travel = spec.position(queue).abs_diff(spec.position(Queue::Load(planes[0])));
                // One read a cycle, so that word w is at the planes in cycle w.
                let issue = i64::from(word) - i64::from(travel) - i64::from(spec.mem.read_delay);
                first_issue = first_issue.min(issue);
                accesses(&inst.into(), queue, &spec, &mut |access| {
                    if let (Place::Stream(direction, number, position), Effect::Write) = (access.place, access.effect) {
                        let cycle = issue + i64::from(access.at);
                        streams.put(direction, number, cycle, position, (side, slice, word.into()));
                    }
                });
            }
        }
    }

    let mut rows = BTreeMap::new();
    for plane in 0..spec.planes() as u8 {
        let side = spec.plane_hemisphere(plane);
        let first_stream = 16 * (plane % spec.mxm.planes_per_hemisphere as u8);
        for word in 0..20_u32 {
            let inst = Inst::Load {
                kind: TileKind::Int8,
                orientation: Orientation::Row,
                half: Half::Low,
                first: Uint::new(16 * word).unwrap(),
                streams: Uint::new(16).unwrap(),
                from: Stream { direction: side.outward(), number: first_stream },
            };
            legal::check(&inst, Queue::Load(plane), &spec).unwrap();
            accesses(&inst.into(), Queue::Load(plane), &spec, &mut |access| {
                let cycle = i64::from(word) + i64::from(access.at);
                match access.place {
                    Place::Stream(direction, number, position) => {
                        let met = streams.met(direction, number, cycle, position);
                        assert_eq!(met, Some((side, SLICES.start() + number, word as i32)), "plane {plane}");
                    }
                    Place::BufferVector(plane, row) => {
                        assert_eq!(rows.insert((plane, row), cycle), None);
                        last_row = last_row.max(cycle);
                    }
                    other => panic!("a load of a tile touches {other:?}"),
                }
            });
        }
    }
    assert_eq!(rows.len(), 4 * 320, "all rows of all planes");
    let cycles = last_row - first_issue + 1;
    assert!(cycles <= 40, "{cycles} cycles from the first read's issue to the last row in its buffer");
    assert!(cycles > 20, "{cycles}: the way from memory takes time");
}

/// The check above can fail: two slices on one stream, or a read a cycle late.
#[test]
fn the_streams_of_that_check_find_clashes_and_lateness() {
    let mut streams = Streams::default();
    streams.put(Direction::West, 3, 10, 8, (Hemisphere::West, 20, 0));
    assert_eq!(streams.met(Direction::West, 3, 18, 0), Some((Hemisphere::West, 20, 0)));
    assert_eq!(streams.met(Direction::West, 3, 19, 0), None);
    assert_eq!(streams.met(Direction::West, 3, 10, 8), None, "not at its own register");
    // Put over on its way: a later reader meets the new value.
    streams.put(Direction::West, 3, 14, 4, (Hemisphere::West, 30, 1));
    assert_eq!(streams.met(Direction::West, 3, 18, 0), Some((Hemisphere::West, 30, 1)));
    let clash = std::panic::catch_unwind(move || streams.put(Direction::West, 3, 14, 4, (Hemisphere::West, 31, 2)));
    assert!(clash.is_err());
}
