//! Chains of operations that are functions of the contract: quantisation, vector blocks, norms.

use std::sync::LazyLock;

use lockstep_arith::activation::{self, RECIPROCAL_127};
use lockstep_arith::{norm, vector_block};
use lockstep_machine::inst::operand::{AluOp, Destination, Format, ReduceOp, Source};
use lockstep_machine::spec::MachineSpec;
use lockstep_simulator::FaultKind;

use crate::bench::{Bench, LANES, Random, Reduction, T, f32s};

static SPEC: LazyLock<MachineSpec> = LazyLock::new(|| MachineSpec::preset("lockstep1").unwrap());

const NONE: Destination = Destination::NONE;
const IMMEDIATE: Source = Source::Immediate;

/// Vectors that try a quantiser: random ones of all sizes, and extremes.
fn vectors() -> Vec<Vec<f32>> {
    let mut random = Random(11);
    let mut all: Vec<Vec<f32>> =
        (-48..50).map(|exponent| (0..LANES).map(|_| random.float(2.0_f32.powi(exponent))).collect()).collect();
    // Within one vector numbers of all sizes.
    for _ in 0..20 {
        all.push((0..LANES).map(|_| random.float(1.0) * 2.0_f32.powi(random.integer(-60, 49) as i32)).collect());
    }
    let below = f32::from_bits(0x587f_ffff);
    let lanes = |f: &dyn Fn(usize) -> f32| (0..LANES).map(f).collect::<Vec<f32>>();
    all.push(lanes(&|_| 0.0));
    all.push(lanes(&|_| -0.0));
    all.push(lanes(&|lane| if lane == 77 { below } else { 0.001 }));
    all.push(lanes(&|lane| if lane == 319 { -below } else { 0.0 }));
    all.push(lanes(&|lane| f32::from_bits(lane as u32)));
    all.push(lanes(&|lane| f32::from_bits(0x8000_0000 | 26_000 * lane as u32)));
    all.push(lanes(&|lane| if lane % 2 == 0 { below } else { -below }));
    all.push(lanes(&|lane| if lane % 2 == 0 { 127.0 } else { -126.5 }));
    all.push(lanes(&|lane| lane as f32 - 159.5));
    // Each power of two as the maximum, and its neighbours: where exponents change.
    for exponent in [-41, -40, -39, -1, 0, 1, 7, 48] {
        let power = 2.0_f32.powi(exponent).to_bits();
        for bits in [power - 1, power, power + 1] {
            all.push(lanes(&|lane| f32::from_bits(bits) * [1.0, -0.5, 0.25, -0.75][lane % 4]));
        }
    }
    all
}

/// Vectors that every quantiser refuses.
fn refused() -> [Vec<f32>; 4] {
    [2.0_f32.powi(50), -f32::MAX, f32::NEG_INFINITY, f32::NAN].map(|value| {
        let mut vector = vec![1.0; LANES];
        vector[200] = value;
        vector
    })
}

/// The quantisation of section 3: codes, scales and exponents of vectors.
fn quantize(x: &[f32]) -> Result<[Vec<u8>; 3], FaultKind> {
    let mut bench = Bench::new(&SPEC);
    let b = &mut bench;
    let input = b.input_f32(x);
    let c = RECIPROCAL_127.to_bits();
    let first = b.arrive(input, 0, T, 0);
    let guarded = b.alu(0, T, AluOp::Guard, &[first], NONE);
    let magnitude = b.alu(1, T + 3, AluOp::Absolute, &[guarded], NONE);
    let largest = b.reduce(1, T + 6, Reduction::whole(ReduceOp::MaximumI32), magnitude, NONE);
    // The groups' maxima take less time, so they are begun later.
    let second = b.arrive(input, 0, T + 34, 0);
    let magnitude = b.alu(1, T + 34, AluOp::Absolute, &[second], NONE);
    let groups = Reduction { boundary: 0b11_1111_1111, ..Reduction::whole(ReduceOp::MaximumI32) };
    let of_groups = b.reduce(0, T + 37, groups, magnitude, NONE);
    let t = b.alu_with(2, T + 36, AluOp::Multiply, &[largest, IMMEDIATE], c, NONE);
    let e = b.alu(3, T + 39, AluOp::Exponent, &[t], NONE);
    let e = b.alu_with(4, T + 42, AluOp::IntegerMaximum, &[e, IMMEDIATE], -47_i32 as u32, NONE);
    let down = b.alu_with(5, T + 45, AluOp::IntegerSubtract, &[IMMEDIATE, e], 11, NONE);
    let to_exponent = b.leave(Format::I8, T + 48, 8);
    b.alu_with(6, T + 45, AluOp::IntegerSubtract, &[e, IMMEDIATE], 11, to_exponent);
    let scale = b.alu_with(7, T + 45, AluOp::Multiply, &[of_groups, IMMEDIATE], c, NONE);
    let scale = b.alu(8, T + 48, AluOp::Ldexp, &[scale, down], NONE);
    let to_scale = b.leave(Format::U16, T + 54, 12);
    let scale = b.alu(9, T + 51, AluOp::Ceil, &[scale], to_scale);
    let scale = b.alu_with(10, T + 54, AluOp::IntegerMaximum, &[scale, IMMEDIATE], 1, NONE);
    let scale = b.alu(11, T + 57, AluOp::ToFloat, &[scale], NONE);
    let reciprocal = b.alu_with(12, T + 60, AluOp::Divide, &[IMMEDIATE, scale], 1.0_f32.to_bits(), NONE);
    let third = b.arrive(input, 0, T + 48, 0);
    let (to, small) = b.wait(Format::F32, T + 51, 0, T + 68);
    b.alu(13, T + 48, AluOp::Ldexp, &[third, down], to);
    let code = b.alu(14, T + 68, AluOp::Multiply, &[small, reciprocal], NONE);
    let to_code = b.leave(Format::I8, T + 74, 16);
    b.alu(15, T + 71, AluOp::RoundEven, &[code], to_code);
    let outputs = bench.run(x.len() / LANES)?;
    let [exponents, scales, codes] = <[Vec<u8>; 3]>::try_from(outputs).unwrap();
    Ok([codes, scales, exponents])
}

#[test]
fn quantisation_is_that_of_the_contract() {
    let vectors = vectors();
    let [codes, scales, exponents] = quantize(&vectors.concat()).unwrap();
    for (at, x) in vectors.iter().enumerate() {
        let expected = activation::quantize(x).unwrap();
        let lanes = at * LANES..(at + 1) * LANES;
        let found: Vec<i8> = codes[lanes.clone()].iter().map(|byte| *byte as i8).collect();
        assert_eq!(found, expected.codes, "codes of vector {at}");
        for lane in 0..LANES {
            let bytes = &scales[2 * (at * LANES + lane)..][..2];
            let found = u16::from_le_bytes([bytes[0], bytes[1]]);
            assert_eq!(found, expected.scales[lane / 32], "A of lane {lane} of vector {at}");
        }
        assert!(exponents[lanes].iter().all(|byte| i32::from(*byte as i8) == expected.exponent), "E of vector {at}");
    }
    for x in refused() {
        assert_eq!(quantize(&x), Err(FaultKind::ValueRange));
        assert!(activation::quantize(&x).is_err());
    }
}

/// A vector block, up to the codes: their source at `T + 60`, and that of e at `T + 45`.
fn block(b: &mut Bench<'_>, input: usize, bits: u32, to_code: Destination) -> (Source, Source) {
    let limit = (1 << (bits - 1)) - 1;
    let first = b.arrive(input, 0, T, 0);
    let guarded = b.alu(0, T, AluOp::Guard, &[first], NONE);
    let magnitude = b.alu(1, T + 3, AluOp::Absolute, &[guarded], NONE);
    let largest = b.reduce(0, T + 6, Reduction::whole(ReduceOp::MaximumI32), magnitude, NONE);
    let e = b.alu(2, T + 36, AluOp::Exponent, &[largest], NONE);
    let e = b.alu_with(3, T + 39, AluOp::IntegerAdd, &[e, IMMEDIATE], 1, NONE);
    let e = b.alu_with(4, T + 42, AluOp::IntegerMaximum, &[e, IMMEDIATE], -40_i32 as u32, NONE);
    let up = b.alu_with(5, T + 45, AluOp::IntegerSubtract, &[IMMEDIATE, e], bits - 1, NONE);
    let second = b.arrive(input, 0, T + 48, 0);
    let scaled = b.alu(6, T + 48, AluOp::Ldexp, &[second, up], NONE);
    let code = b.alu(7, T + 51, AluOp::RoundEven, &[scaled], NONE);
    let code = b.alu_with(8, T + 54, AluOp::IntegerMinimum, &[code, IMMEDIATE], limit, NONE);
    let code =
        b.alu_with(9, T + 57, AluOp::IntegerMaximum, &[code, IMMEDIATE], (limit as i32).wrapping_neg() as u32, to_code);
    (code, e)
}

#[test]
fn vector_blocks_are_those_of_the_contract() {
    let vectors = vectors();
    for bits in [12, 15, 16] {
        let run = |x: &[f32]| {
            let mut bench = Bench::new(&SPEC);
            let input = bench.input_f32(x);
            let to_code = bench.leave(Format::I16, T + 60, 8);
            let (_, e) = block(&mut bench, input, bits, to_code);
            let to_exponent = bench.leave(Format::I8, T + 48, 10);
            bench.alu_with(10, T + 45, AluOp::IntegerSubtract, &[e, IMMEDIATE], bits - 1, to_exponent);
            bench.run(x.len() / LANES)
        };
        let outputs = run(&vectors.concat()).unwrap();
        for (at, x) in vectors.iter().enumerate() {
            let expected = vector_block::quantize(x, bits).unwrap();
            let codes = outputs[0][2 * LANES * at..][..2 * LANES].chunks_exact(2);
            let codes: Vec<i16> = codes.map(|bytes| i16::from_le_bytes([bytes[0], bytes[1]])).collect();
            assert_eq!(codes, expected.codes, "codes of vector {at}, {bits} bits");
            let exponents = &outputs[1][LANES * at..][..LANES];
            assert!(exponents.iter().all(|byte| *byte as i8 == expected.unit_exponent), "vector {at}, {bits} bits");
        }
        for x in refused() {
            assert_eq!(run(&x), Err(FaultKind::ValueRange));
        }
    }
}

#[test]
fn norms_are_those_of_the_contract() {
    let eps = 1e-5_f32;
    let vectors = vectors();
    let mut random = Random(13);
    let weight: Vec<f32> = (0..LANES).map(|_| random.float(4.0)).collect();
    let mut bench = Bench::new(&SPEC);
    let b = &mut bench;
    let (x, w) = (b.input_f32(&vectors.concat()), b.input_f32(&weight.repeat(vectors.len())));
    let (code, e) = block(b, x, vector_block::NORM_BITS, NONE);
    let squares = b.alu(10, T + 60, AluOp::IntegerMultiply, &[code, code], NONE);
    let sum = b.reduce(1, T + 63, Reduction::whole(ReduceOp::SumI32), squares, NONE);
    let sum = b.alu(11, T + 93, AluOp::RoundI64, &[sum], NONE);
    let mean = b.alu_with(12, T + 96, AluOp::Multiply, &[sum, IMMEDIATE], (1.0 / LANES as f32).to_bits(), NONE);
    let unit = b.alu_with(13, T + 45, AluOp::IntegerSubtract, &[e, IMMEDIATE], vector_block::NORM_BITS - 1, NONE);
    let (to, twice) = b.wait(Format::I8, T + 51, 8, T + 99);
    b.alu(14, T + 48, AluOp::IntegerAdd, &[unit, unit], to);
    let mean = b.alu(15, T + 99, AluOp::Ldexp, &[mean, twice], NONE);
    let mean = b.alu_with(0, T + 102, AluOp::Add, &[mean, IMMEDIATE], eps.to_bits(), NONE);
    let root = b.alu(1, T + 105, AluOp::SquareRoot, &[mean], NONE);
    let r = b.alu_with(2, T + 113, AluOp::Divide, &[IMMEDIATE, root], 1.0_f32.to_bits(), NONE);
    let (third, factors) = (b.arrive(x, 0, T + 118, 0), b.arrive(w, 0, T + 118, 4));
    let products = b.alu(3, T + 118, AluOp::Multiply, &[third, factors], NONE);
    let to = b.leave(Format::F32, T + 124, 0);
    b.alu(4, T + 121, AluOp::Multiply, &[products, r], to);
    let found = f32s(&bench.run(vectors.len()).unwrap()[0]);
    for (at, x) in vectors.iter().enumerate() {
        let expected = norm::rms_norm(x, &weight, eps).unwrap();
        let same = |(found, expected): (&f32, &f32)| found.to_bits() == expected.to_bits();
        assert!(found[at * LANES..].iter().zip(&expected).all(same), "vector {at}");
    }
}
