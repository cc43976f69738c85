//! Lane reducers against sums and maxima made lane by lane.

use std::sync::LazyLock;

use lockstep_machine::access::reduction_delay;
use lockstep_machine::inst::operand::{AluOp, Destination, Format, ReduceOp};
use lockstep_machine::spec::MachineSpec;
use lockstep_simulator::FaultKind;

use crate::bench::{Bench, LANES, Random, Reduction, T, f32s, i32s, i64s};

static SPEC: LazyLock<MachineSpec> = LazyLock::new(|| MachineSpec::preset("lockstep1").unwrap());

/// Groups of 32, heads of 64, the whole vector, and segments of all sizes.
const BOUNDARIES: [u32; 4] = [0b11_1111_1111, 0b01_0101_0101, 1, 0b10_0100_1011];

/// For each lane, the lanes of its segment.
fn segment(boundary: u32, lane: usize) -> std::ops::Range<usize> {
    let starts = |group: usize| boundary >> group & 1 == 1;
    let first = (0..=lane / 32).rev().find(|group| starts(*group)).unwrap();
    let end = (lane / 32 + 1..10).find(|group| starts(*group)).unwrap_or(10);
    32 * first..32 * end
}

/// Reduces vectors one after the other, the first `lanes` of each.
fn reduce(op: ReduceOp, boundary: u32, lanes: usize, vectors: &[Vec<i32>]) -> Result<Vec<u8>, FaultKind> {
    let mut bench = Bench::new(&SPEC);
    let input = bench.input_i32(&vectors.concat());
    let format = if op == ReduceOp::SumI32 { Format::I64 } else { Format::I32 };
    for at in 0..vectors.len() {
        // Not every cycle: the state stays for as long as it has to.
        let cycle = T + 3 * at as u64;
        let from = bench.arrive(input, at as u16, cycle, 0);
        let (first, last) = (at == 0, at + 1 == vectors.len());
        let delay = u64::from(reduction_delay(boundary, &SPEC));
        let to = if last { bench.leave(format, cycle + delay, 8) } else { Destination::NONE };
        bench.reduce(2, cycle, Reduction { op, boundary, lanes: lanes as u32, first, last }, from, to);
    }
    bench.run(1).map(|mut outputs| outputs.swap_remove(0))
}

#[test]
fn sums_and_maxima_of_segments() {
    let mut random = Random(5);
    for boundary in BOUNDARIES {
        for count in [1, 2, 5] {
            for lanes in [LANES, 319, 161, 33, 1] {
                let vectors: Vec<Vec<i32>> = (0..count).map(|_| (0..LANES).map(|_| random.bits()).collect()).collect();
                let taking = |lane: usize| {
                    let range = segment(boundary, lane);
                    let lanes = range.start..range.end.min(lanes).max(range.start);
                    vectors.iter().flat_map(move |vector| vector[lanes.clone()].iter().copied())
                };
                let sums = i64s(&reduce(ReduceOp::SumI32, boundary, lanes, &vectors).unwrap());
                let most = i32s(&reduce(ReduceOp::MaximumI32, boundary, lanes, &vectors).unwrap());
                let greatest = i32s(&reduce(ReduceOp::MaximumF32, boundary, lanes, &vectors).unwrap());
                for lane in 0..LANES {
                    let place = format!("lane {lane} of {boundary:b}, {count} vectors of {lanes}");
                    assert_eq!(sums[lane], taking(lane).map(i64::from).sum::<i64>(), "{place}");
                    assert_eq!(most[lane], taking(lane).max().unwrap_or(i32::MIN), "{place}");
                    let float = |bits: i32| f32::from_bits(bits as u32);
                    let expected = taking(lane).max_by(|a, b| float(*a).total_cmp(&float(*b)));
                    // Of no lanes: the least in total order, which is not a number.
                    assert_eq!(greatest[lane], expected.unwrap_or(-1), "{place}");
                }
            }
        }
    }
}

#[test]
fn maxima_of_floats_are_in_total_order() {
    let vector = |values: &[f32]| {
        let mut vector = vec![f32::NEG_INFINITY.to_bits() as i32; LANES];
        vector.iter_mut().zip(values).for_each(|(bits, value)| *bits = value.to_bits() as i32);
        vector
    };
    for (values, expected) in [
        (&[-0.0, -1.0][..], -0.0_f32),
        (&[-0.0, 0.0], 0.0),
        (&[f32::MAX, f32::INFINITY], f32::INFINITY),
        (&[f32::INFINITY, f32::NAN], f32::NAN),
        (&[-f32::NAN], f32::NEG_INFINITY),
        (&[-1e-45, -f32::MIN_POSITIVE], -1e-45),
    ] {
        let found = f32s(&reduce(ReduceOp::MaximumF32, 1, LANES, &[vector(values)]).unwrap());
        assert!(found.iter().all(|found| found.to_bits() == expected.to_bits()), "{values:?}: {}", found[0]);
    }
}

#[test]
fn a_sum_is_64_bits_wide_where_it_can_be() {
    let numbers = vec![i32::MAX; LANES];
    let sum = 320 * i64::from(i32::MAX);
    let done = T + 30;
    let bench_with = |op: AluOp, format: Format| {
        let mut bench = Bench::new(&SPEC);
        let input = bench.input_i32(&numbers);
        let from = bench.arrive(input, 0, T, 0);
        let total = bench.reduce(0, T, Reduction::whole(ReduceOp::SumI32), from, Destination::NONE);
        let to = bench.leave(format, done + 3, 8);
        bench.alu(0, done, op, &vec![total; op.arity()], to);
        bench.run(1).map(|outputs| outputs[0].clone())
    };
    assert_eq!(i64s(&bench_with(AluOp::Identity, Format::I64).unwrap()), vec![sum; LANES]);
    assert_eq!(i64s(&bench_with(AluOp::AddI64, Format::I64).unwrap()), vec![2 * sum; LANES]);
    assert_eq!(f32s(&bench_with(AluOp::RoundI64, Format::F32).unwrap()), vec![sum as f32; LANES]);
    assert_eq!(f32s(&bench_with(AluOp::Identity, Format::F32).unwrap()), vec![sum as f32; LANES]);
    // As an i32 it does not fit.
    assert_eq!(bench_with(AluOp::Identity, Format::I32), Err(FaultKind::Overflow));
    assert_eq!(bench_with(AluOp::ToFloat, Format::F32), Err(FaultKind::Overflow));
    assert_eq!(bench_with(AluOp::IntegerMaximum, Format::I32), Err(FaultKind::Overflow));
}

#[test]
fn reducers_feed_one_another() {
    // The sum of the maxima of groups: a maximum over 32 lanes is in 32 lanes.
    let mut random = Random(6);
    let numbers: Vec<i32> = (0..LANES).map(|_| random.integer(-1000, 1000) as i32).collect();
    let mut bench = Bench::new(&SPEC);
    let input = bench.input_i32(&numbers);
    let from = bench.arrive(input, 0, T, 0);
    let groups = Reduction { boundary: 0b11_1111_1111, ..Reduction::whole(ReduceOp::MaximumI32) };
    let maxima = bench.reduce(0, T, groups, from, Destination::NONE);
    let to = bench.leave(Format::I32, T + 8 + 30, 0);
    bench.reduce(1, T + 8, Reduction::whole(ReduceOp::SumI32), maxima, to);
    let expected: i32 = numbers.chunks(32).map(|group| 32 * group.iter().max().unwrap()).sum();
    assert_eq!(i32s(&bench.run(1).unwrap()[0]), vec![expected; LANES]);
}
