//! Each operation of an ALU, over all pairs of special values and over random ones.

use std::sync::LazyLock;

use lockstep_arith::elementwise::exp32;
use lockstep_machine::inst::operand::{AluOp, Format, Source};
use lockstep_machine::spec::MachineSpec;
use lockstep_simulator::FaultKind;

use crate::bench::{Bench, LANES, Random, T, f32s, i32s, i64s};

static SPEC: LazyLock<MachineSpec> = LazyLock::new(|| MachineSpec::preset("lockstep1").unwrap());

/// Bits that are special as an f32, as an i32, or as both.
const SPECIAL: [u32; 32] = [
    0,
    0x8000_0000, // -0, the least i32
    1,           // the least subnormal
    0x8000_0001,
    0x007f_ffff, // the greatest subnormal
    0x807f_ffff,
    0x0080_0000, // the least normal
    0x0080_0001,
    0x3f80_0000, // 1
    0xbf80_0000,
    0x3f00_0000, // 0.5, a tie
    0x3fc0_0000, // 1.5
    0x4020_0000, // 2.5
    0xc020_0000,
    0x4b00_0001, // 2^23 + 1
    0x4eff_ffff, // the greatest f32 below 2^31
    0x4f00_0000, // 2^31
    0xcf00_0000,
    0xcf00_0001,
    0x5880_0000, // 2^50
    0x7f7f_ffff, // the greatest f32
    0xff7f_ffff,
    0x7f80_0000, // infinities
    0xff80_0000,
    0x7fc0_0000, // not a number, in several ways
    0xffc0_0000,
    0x7f80_0001,
    0xffff_ffff, // also -1
    0x7fff_ffff, // also the greatest i32
    31,
    0x42b0_0000, // 88
    0xc2ae_999a, // -87.3
];

/// All pairs of special values, then random bits, then random numbers of like size; whole vectors.
fn pairs() -> (Vec<i32>, Vec<i32>) {
    let mut random = Random(1);
    let mut pairs: Vec<(i32, i32)> =
        SPECIAL.iter().flat_map(|a| SPECIAL.iter().map(|b| (*a as i32, *b as i32))).collect();
    pairs.extend((0..3000).map(|_| (random.bits(), random.bits())));
    let mut float = || random.float(100.0).to_bits() as i32;
    pairs.extend((0..3000).map(|_| (float(), float())));
    pairs.resize(pairs.len().next_multiple_of(LANES), (0, 0));
    pairs.into_iter().unzip()
}

/// Runs one operation over vectors of operands.
fn run(op: AluOp, operands: &[&[i32]]) -> Result<Vec<i32>, FaultKind> {
    let mut bench = Bench::new(&SPEC);
    let inputs: Vec<usize> = operands.iter().map(|numbers| bench.input_i32(numbers)).collect();
    let sources: Vec<Source> = inputs.into_iter().map(|input| bench.arrive(input, 0, T, 4 * input as u8)).collect();
    let to = bench.leave(Format::I32, T + u64::from(op.delay(&SPEC)), 0);
    bench.alu(0, T, op, &sources, to);
    bench.run(operands[0].len() / LANES).map(|outputs| i32s(&outputs[0]))
}

#[track_caller]
fn check(op: AluOp, operands: &[&[i32]], expected: impl Fn(&[i32]) -> i32) {
    let found = run(op, operands).unwrap();
    for (at, found) in found.iter().enumerate() {
        let of: Vec<i32> = operands.iter().map(|numbers| numbers[at]).collect();
        let expected = expected(&of);
        assert_eq!(*found, expected, "{op} of {of:x?} is {found:x}, expected {expected:x}");
    }
}

fn float(bits: i32) -> f32 {
    f32::from_bits(bits as u32)
}

/// The bits of a computed number: there is one that is not a number.
fn bits(value: f32) -> i32 {
    if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() as i32 }
}

#[test]
fn arithmetic_of_floats() {
    let (a, b) = pairs();
    // Sums and products of two f32 are exact in an f64, or so far apart that rounding twice does no harm.
    let wide = |bits: i32| f64::from(float(bits));
    check(AluOp::Add, &[&a, &b], |o| bits((wide(o[0]) + wide(o[1])) as f32));
    check(AluOp::Subtract, &[&a, &b], |o| bits((wide(o[0]) - wide(o[1])) as f32));
    check(AluOp::Multiply, &[&a, &b], |o| bits((wide(o[0]) * wide(o[1])) as f32));
    check(AluOp::Divide, &[&a, &b], |o| bits(float(o[0]) / float(o[1])));
    check(AluOp::SquareRoot, &[&a], |o| bits(float(o[0]).sqrt()));
    let mut c = b.clone();
    c.rotate_left(7);
    check(AluOp::FusedMultiplyAdd, &[&a, &b, &c], |o| bits(float(o[0]).mul_add(float(o[1]), float(o[2]))));
}

#[test]
fn signs_orders_and_choices_keep_bits() {
    let (a, b) = pairs();
    let mut c = b.clone();
    c.rotate_left(11);
    check(AluOp::Identity, &[&a], |o| o[0]);
    check(AluOp::Absolute, &[&a], |o| o[0] & i32::MAX);
    check(AluOp::Negate, &[&a], |o| o[0] ^ i32::MIN);
    let lesser = |o: &[i32]| float(o[0]).total_cmp(&float(o[1])).is_lt();
    check(AluOp::Minimum, &[&a, &b], |o| if lesser(o) { o[0] } else { o[1] });
    check(AluOp::Maximum, &[&a, &b], |o| if lesser(o) { o[1] } else { o[0] });
    let mask = |holds: bool| if holds { -1 } else { 0 };
    check(AluOp::Less, &[&a, &b], |o| mask(float(o[0]) < float(o[1])));
    check(AluOp::LessEqual, &[&a, &b], |o| mask(float(o[0]) <= float(o[1])));
    check(AluOp::Equal, &[&a, &b], |o| mask(float(o[0]) == float(o[1])));
    check(AluOp::Select, &[&a, &b, &c], |o| if o[0] == 0 { o[2] } else { o[1] });
}

#[test]
fn between_floats_and_integers() {
    let (mut a, _) = pairs();
    // Ties, and the ends of the range.
    a.extend((0..LANES as i32).map(|n| bits(n as f32 / 2.0 - 80.0)));
    check(AluOp::Exponent, &[&a], |o| ((o[0] >> 23) & 255) - 127);
    check(AluOp::ToFloat, &[&a], |o| bits(f64::from(o[0]) as f32));
    let saturated = |value: f64| if value.is_nan() { 0 } else { value.clamp(-2_147_483_648.0, 2_147_483_647.0) as i32 };
    check(AluOp::Ceil, &[&a], |o| saturated(f64::from(float(o[0])).ceil()));
    check(AluOp::RoundEven, &[&a], |o| saturated(f64::from(float(o[0])).round_ties_even()));
    let exponents: Vec<i32> = (0..a.len() as i32).map(|n| n % 254 - 126).collect();
    let two = |e: i32| f64::from_bits(((e + 1023) as u64) << 52);
    check(AluOp::Ldexp, &[&a, &exponents], |o| bits((f64::from(float(o[0])) * two(o[1])) as f32));
    let small: Vec<i32> = a.iter().map(|a| if (a & i32::MAX) < 0x5880_0000 { *a } else { 0x587f_ffff }).collect();
    check(AluOp::Guard, &[&small], |o| o[0]);
}

#[test]
fn exp32_is_that_of_the_contract() {
    let (special, _) = pairs();
    check(AluOp::Exp32, &[&special], |o| bits(exp32(float(o[0]))));
    let count = 4000 * LANES;
    let sample: Vec<i32> = (0..count).map(|n| bits(-90.0 + 180.0 * n as f32 / count as f32)).collect();
    check(AluOp::Exp32, &[&sample], |o| bits(exp32(float(o[0]))));
}

#[test]
fn integers() {
    let (a, b) = pairs();
    let exact = |f: fn(i64, i64) -> i64| {
        // Pairs whose result is in range; the others are faults.
        let fits = |(a, b): &(i32, i32)| i32::try_from(f((*a).into(), (*b).into())).is_ok();
        let both = a.iter().copied().zip(b.iter().copied()).map(|pair| if fits(&pair) { pair } else { (0, 0) });
        both.unzip::<i32, i32, Vec<i32>, Vec<i32>>()
    };
    for (op, f) in [
        (AluOp::IntegerAdd, (|a, b| a + b) as fn(i64, i64) -> i64),
        (AluOp::IntegerSubtract, |a, b| a - b),
        (AluOp::IntegerMultiply, |a, b| a * b),
    ] {
        let (a, b) = exact(f);
        check(op, &[&a, &b], |o| f(o[0].into(), o[1].into()) as i32);
    }
    check(AluOp::IntegerMinimum, &[&a, &b], |o| o[0].min(o[1]));
    check(AluOp::IntegerMaximum, &[&a, &b], |o| o[0].max(o[1]));
    check(AluOp::IntegerLess, &[&a, &b], |o| if o[0] < o[1] { -1 } else { 0 });
    check(AluOp::IntegerEqual, &[&a, &b], |o| if o[0] == o[1] { -1 } else { 0 });
    check(AluOp::And, &[&a, &b], |o| o[0] & o[1]);
    check(AluOp::Or, &[&a, &b], |o| o[0] | o[1]);
    check(AluOp::Xor, &[&a, &b], |o| o[0] ^ o[1]);
    let shifts: Vec<i32> = (0..a.len() as i32).map(|n| n % 32).collect();
    check(AluOp::ShiftLeft, &[&a, &shifts], |o| (i64::from(o[0]) << o[1]) as i32);
    check(AluOp::ShiftRight, &[&a, &shifts], |o| i64::from(o[0]).div_euclid(1 << o[1]) as i32);
}

#[test]
fn operands_outside_the_range_are_faults() {
    let in_last_lane = |value: i32| {
        let mut vector = vec![0; LANES];
        vector[LANES - 1] = value;
        vector
    };
    let one = vec![1; LANES];
    let (most, least) = (in_last_lane(i32::MAX), in_last_lane(i32::MIN));
    for (op, a, b) in [
        (AluOp::IntegerAdd, &most, &one),
        (AluOp::IntegerAdd, &least, &least),
        (AluOp::IntegerSubtract, &least, &one),
        (AluOp::IntegerMultiply, &least, &in_last_lane(-1)),
        (AluOp::IntegerMultiply, &in_last_lane(65_536), &in_last_lane(32_768)),
    ] {
        assert_eq!(run(op, &[a, b]), Err(FaultKind::Overflow), "{op}");
    }
    for (op, b) in [
        (AluOp::Ldexp, 128),
        (AluOp::Ldexp, -127),
        (AluOp::ShiftLeft, 32),
        (AluOp::ShiftLeft, -1),
        (AluOp::ShiftRight, 32),
        (AluOp::ShiftRight, i32::MIN),
    ] {
        assert_eq!(run(op, &[&one, &in_last_lane(b)]), Err(FaultKind::ValueRange), "{op} by {b}");
    }
    for outside in [0x5880_0000_u32, 0xd880_0000, 0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0xffff_ffff] {
        assert_eq!(run(AluOp::Guard, &[&in_last_lane(outside as i32)]), Err(FaultKind::ValueRange), "{outside:x}");
    }
}

#[test]
fn immediates_stand_in_every_lane() {
    let (a, _) = pairs();
    let mut bench = Bench::new(&SPEC);
    let input = bench.input_i32(&a);
    let from = bench.arrive(input, 0, T, 0);
    let to = bench.leave(Format::I32, T + 3, 0);
    bench.alu_with(15, T, AluOp::Xor, &[Source::Immediate, from], 0xdead_beef, to);
    let found = i32s(&bench.run(a.len() / LANES).unwrap()[0]);
    assert!(found.iter().zip(&a).all(|(found, a)| *found == a ^ 0xdead_beef_u32 as i32));
}

/// 64-bit integers around everything where rounding to an f32 may go wrong.
fn wide_numbers() -> Vec<i64> {
    let mut random = Random(3);
    let mut numbers = vec![0, 1, -1, i64::MAX, i64::MIN, i64::MIN + 1];
    for shift in 22..63 {
        let power = 1_i64 << shift;
        let step = (power >> 23).max(1);
        let near =
            [power - 1, power + 1, power + step / 2, power + step / 2 + 1, power + step + step / 2, power - step];
        numbers.extend(near.iter().flat_map(|n| [*n, -n]));
    }
    numbers.extend((0..1000).map(|_| (random.next() as i64) >> random.integer(0, 60)));
    numbers.resize(numbers.len().next_multiple_of(LANES), 0);
    numbers
}

/// The nearest f32, ties to even, without a conversion of the language from more than 24 bits.
fn nearest(value: i64) -> f32 {
    let magnitude = value.unsigned_abs();
    let drop = (64 - magnitude.leading_zeros()).saturating_sub(24);
    let (kept, rest) = (magnitude >> drop, magnitude & ((1 << drop) - 1));
    let half = if drop == 0 { 1 } else { 1_u64 << (drop - 1) };
    let up = rest > half || (rest == half && kept & 1 == 1);
    let rounded = (kept + u64::from(up && drop > 0)) as f32 * f32::from_bits((drop + 127) << 23);
    if value < 0 { -rounded } else { rounded }
}

#[test]
fn integers_of_64_bits() {
    let numbers = wide_numbers();
    let mut others = numbers.clone();
    others.rotate_left(13);
    let fits = |(a, b): (i64, i64)| if a.checked_add(b).is_some() { (a, b) } else { (a / 2, b / 2) };
    let (a, b): (Vec<i64>, Vec<i64>) = numbers.into_iter().zip(others).map(fits).unzip();
    let mut bench = Bench::new(&SPEC);
    let bytes = |numbers: &[i64]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>();
    let (first, second) = (bench.input(Format::I64, bytes(&a)), bench.input(Format::I64, bytes(&b)));
    let sources = [bench.arrive(first, 0, T, 0), bench.arrive(second, 0, T, 8)];
    let to = bench.leave(Format::I64, T + 3, 0);
    let sum = bench.alu(0, T, AluOp::AddI64, &sources, to);
    let to = bench.leave(Format::F32, T + 6, 8);
    bench.alu(1, T + 3, AluOp::RoundI64, &[sum], to);
    let to = bench.leave(Format::I64, T + 6, 16);
    bench.alu(2, T + 3, AluOp::Identity, &[sum], to);
    let to = bench.leave(Format::F32, T + 3, 24);
    bench.alu(3, T, AluOp::RoundI64, &sources[..1], to);
    let outputs = bench.run(a.len() / LANES).unwrap();
    let (sums, rounded, kept) = (i64s(&outputs[0]), f32s(&outputs[1]), i64s(&outputs[2]));
    for (at, (a, b)) in a.iter().zip(&b).enumerate() {
        assert_eq!((sums[at], kept[at]), (a + b, a + b));
        assert_eq!(rounded[at].to_bits(), nearest(a + b).to_bits(), "{}", a + b);
        assert_eq!(f32s(&outputs[3])[at].to_bits(), nearest(*a).to_bits(), "{a}");
    }
    let mut bench = Bench::new(&SPEC);
    let first = bench.input(Format::I64, bytes(&[i64::MAX; LANES]));
    let from = bench.arrive(first, 0, T, 0);
    let to = bench.leave(Format::I64, T + 3, 0);
    bench.alu(0, T, AluOp::AddI64, &[from, from], to);
    assert_eq!(bench.run(1), Err(FaultKind::Overflow));
}

#[test]
fn formats_of_streams() {
    let ranges = [
        (Format::I8, -128, 127),
        (Format::U8, 0, 255),
        (Format::I16, -32_768, 32_767),
        (Format::U16, 0, 65_535),
        (Format::I32, i32::MIN.into(), i32::MAX.into()),
    ];
    let mut random = Random(9);
    for (format, least, most) in ranges {
        let numbers: Vec<i32> = (0..LANES)
            .map(|lane| if lane < 2 { [least, most][lane] } else { random.integer(least, most) } as i32)
            .collect();
        // Out in the narrow format, and in again.
        let mut bench = Bench::new(&SPEC);
        let input = bench.input_i32(&numbers);
        let from = bench.arrive(input, 0, T, 0);
        let (to, back) = bench.wait(format, T + 3, 8, T + 30);
        bench.alu(0, T, AluOp::Identity, &[from], to);
        let to = bench.leave(Format::I64, T + 33, 16);
        bench.alu(1, T + 30, AluOp::Identity, &[back], to);
        let wide: Vec<i64> = numbers.iter().map(|number| i64::from(*number)).collect();
        assert_eq!(i64s(&bench.run(1).unwrap()[0]), wide, "{format}");
        for outside in [least - 1, most + 1] {
            let Ok(outside) = i32::try_from(outside) else { continue };
            let mut bench = Bench::new(&SPEC);
            let input = bench.input_i32(&[outside; LANES]);
            let from = bench.arrive(input, 0, T, 0);
            let to = bench.leave(format, T + 3, 8);
            bench.alu(0, T, AluOp::Identity, &[from], to);
            assert_eq!(bench.run(1), Err(FaultKind::ValueRange), "{outside} as {format}");
        }
    }
}
