//! The matrix plane against the arithmetic contract's own functions and against plain integers.
#![allow(clippy::unwrap_used)]

use lockstep_arith::activation::QuantizedVector;
use lockstep_arith::matmul::accumulate;
use lockstep_arith::matrix::{BlockMatrix, Format, GROUP};
use lockstep_kernels::Kernels;
use lockstep_machine::inst::operand::{Half, TileKind};

use crate::plane::{Drained, Plane};
use crate::value::{Bytes, LANES};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z ^ (z >> 29)
    }

    fn between(&mut self, least: i64, most: i64) -> i64 {
        least + (self.next() >> 16) as i64 % (most - least + 1)
    }
}

fn integers(plane: &mut Plane, row: usize) -> Vec<i64> {
    match plane.drain(row) {
        Drained::Integers(sums) => sums.to_vec(),
        Drained::Half(_) => panic!("row {row} holds fp16 sums"),
    }
}

/// A full tile, or pair of tiles, with random codes and the largest scales that the format allows.
fn matrix(random: &mut Random, format: Format) -> BlockMatrix {
    let cols = if format == Format::Lb8 { LANES } else { 2 * LANES };
    let groups = cols / GROUP;
    let (largest, has_offset) = match format {
        Format::Lb4 { codebook, has_offset } => {
            (codebook.iter().map(|code| i64::from(code.unsigned_abs())).max().unwrap(), has_offset)
        }
        Format::Lb8 => (127, false),
    };
    let limit = ((1_i64 << 31) - 1) / (4064 * (largest + i64::from(has_offset)));
    let limit = limit.min(32_767);
    let scale = |random: &mut Random| random.between(-limit, limit) as i16;
    let code = |random: &mut Random| match format {
        Format::Lb8 => random.between(-127, 127) as i8,
        Format::Lb4 { .. } => random.between(0, 15) as i8,
    };
    BlockMatrix {
        rows: LANES,
        cols,
        format,
        codes: (0..LANES * cols).map(|_| code(random)).collect(),
        scale: (0..LANES * groups).map(|at| if at == 0 { limit as i16 } else { scale(random) }).collect(),
        offset: if has_offset { (0..LANES * groups).map(|_| scale(random)).collect() } else { Vec::new() },
        exponent: vec![0; LANES],
    }
}

fn load(plane: &mut Plane, matrix: &BlockMatrix, by_row: bool) -> TileKind {
    let lb8 = matrix.format == Format::Lb8;
    let kind = if lb8 { TileKind::Lb8 } else { TileKind::Lb4 };
    let code = |row: usize, k: usize| {
        let code = |k: usize| matrix.codes[row * matrix.cols + k] as u8;
        if lb8 { code(k) } else { code(k) | code(LANES + k) << 4 }
    };
    for vector in 0..LANES {
        let bytes: Bytes = std::array::from_fn(|lane| if by_row { code(vector, lane) } else { code(lane, vector) });
        plane.buffer.load(by_row, vector, &bytes);
    }
    let (groups, parts) = (LANES / GROUP, if matrix.offset.is_empty() { 1 } else { 2 });
    for half in 0..if lb8 { 1 } else { 2 } {
        for part in 0..parts {
            let numbers = if part == 0 { &matrix.scale } else { &matrix.offset };
            for group in 0..groups {
                let number = |row: usize| numbers[row * matrix.groups() + half * groups + group].to_le_bytes();
                for byte in 0..2 {
                    let vector = ((half * parts + part) * groups + group) * 2 + byte;
                    let bytes: Bytes = std::array::from_fn(|row| number(row)[byte]);
                    plane.buffer.load_scale(!matrix.offset.is_empty(), vector, &bytes).unwrap();
                }
            }
        }
    }
    if let Format::Lb4 { codebook, .. } = matrix.format {
        let mut bytes = [0; LANES];
        bytes.iter_mut().zip(codebook).for_each(|(byte, code)| *byte = code as u8);
        plane.buffer.set_codebook(&bytes);
    }
    kind
}

#[test]
fn block_tiles_equal_the_contract() {
    let mut random = Random(1);
    let ramp: [i8; 16] = std::array::from_fn(|at| at as i8 - 8);
    let table: [i8; 16] = std::array::from_fn(|at| (at * at) as i8 - 100);
    let mut near = ramp;
    near[3] = 7;
    let formats = [
        Format::Lb8,
        Format::Lb4 { codebook: ramp, has_offset: true },
        Format::Lb4 { codebook: ramp, has_offset: false },
        Format::Lb4 { codebook: table, has_offset: false },
        Format::Lb4 { codebook: near, has_offset: true },
    ];
    for format in formats {
        let matrix = matrix(&mut random, format);
        for (kernels, by_row) in Kernels::all().into_iter().zip([true, false, true]) {
            let mut plane = Plane::new(LANES, 8, kernels);
            let kind = load(&mut plane, &matrix, by_row);
            plane.install(kind).unwrap();
            for row in 0..6 {
                let extreme = row == 5;
                let code = |random: &mut Random| if extreme { 127 } else { random.between(-127, 127) as i8 };
                let x = QuantizedVector {
                    codes: (0..matrix.cols).map(|_| code(&mut random)).collect(),
                    scales: (0..matrix.groups())
                        .map(|_| if extreme { 4096 } else { random.between(0, 4096) as u16 })
                        .collect(),
                    exponent: 0,
                };
                for half in 0..matrix.cols / LANES {
                    let a: Bytes = std::array::from_fn(|lane| x.codes[half * LANES + lane] as u8);
                    let scale = |byte: usize| -> Bytes {
                        std::array::from_fn(|lane| x.scales[(half * LANES + lane) / GROUP].to_le_bytes()[byte])
                    };
                    let half = [Half::Low, Half::High][half];
                    plane.activate(half, row, half == Half::Low, &[&a], &[&scale(0), &scale(1)]).unwrap();
                }
                let expected: Vec<i64> = (0..LANES).map(|n| accumulate(&matrix, n, &x)).collect();
                assert_eq!(integers(&mut plane, row), expected, "{format:?} row {row}");
            }
        }
    }
}

#[test]
fn integer_tiles_are_exact_in_both_orientations() {
    let mut random = Random(2);
    let weights: Vec<i8> = (0..LANES * LANES).map(|_| random.next() as i8).collect();
    for by_row in [true, false] {
        let mut plane = Plane::new(LANES, 4, Kernels::detect());
        for vector in 0..LANES {
            let weight =
                |lane: usize| if by_row { weights[vector * LANES + lane] } else { weights[lane * LANES + vector] };
            plane.buffer.load(by_row, vector, &std::array::from_fn(|lane| weight(lane) as u8));
        }
        plane.install(TileKind::Int8).unwrap();
        let x: [i8; LANES] = std::array::from_fn(|lane| if lane < 4 { -128 } else { random.next() as i8 });
        let bytes: Bytes = x.map(|x| x as u8);
        plane.activate(Half::Low, 3, true, &[&bytes], &[]).unwrap();
        plane.activate(Half::Low, 3, false, &[&bytes], &[]).unwrap();
        let product =
            |n: usize| (0..LANES).map(|k| 2 * i64::from(weights[n * LANES + k]) * i64::from(x[k])).sum::<i64>();
        assert_eq!(integers(&mut plane, 3), (0..LANES).map(product).collect::<Vec<_>>());
    }
}

#[test]
fn wide_tiles_are_exact_at_their_limits() {
    let mut random = Random(3);
    for (kind, weight_max, x_min, x_max) in
        [(TileKind::Wide12, 32_767, -2047, 2047), (TileKind::Wide25, 2047, 0, 1 << 24)]
    {
        let weights: Vec<i16> = (0..LANES * LANES / 2)
            .map(
                |at| if at < 400 { weight_max } else { random.between((-weight_max).into(), weight_max.into()) as i16 },
            )
            .collect();
        for half in [Half::Low, Half::High] {
            let first = if half == Half::High { LANES / 2 } else { 0 };
            let mut plane = Plane::new(LANES, 4, Kernels::detect());
            for row in 0..LANES {
                let number = |lane: usize| weights[row * LANES / 2 + lane % (LANES / 2)].to_le_bytes();
                let byte = |at: usize| -> Bytes { std::array::from_fn(|lane| number(lane)[at]) };
                plane.buffer.load_pair(true, half, row, &byte(0), &byte(1));
            }
            plane.install(kind).unwrap();
            let x: Vec<i64> =
                (0..LANES).map(|lane| if lane % 2 == 0 { x_max } else { random.between(x_min, x_max) }).collect();
            let byte = |at: usize| -> Bytes { std::array::from_fn(|lane| x[lane].to_le_bytes()[at]) };
            let bytes = [byte(0), byte(1), byte(2), byte(3)];
            let planes: Vec<&Bytes> = bytes.iter().take(if kind == TileKind::Wide12 { 2 } else { 4 }).collect();
            plane.activate(half, 0, true, &planes, &[]).unwrap();
            let product =
                |n: usize| (0..LANES / 2).map(|k| i64::from(weights[n * LANES / 2 + k]) * x[first + k]).sum::<i64>();
            assert_eq!(integers(&mut plane, 0), (0..LANES).map(product).collect::<Vec<_>>(), "{kind}");
        }
    }
}

#[test]
fn half_precision_sums_are_exact_and_rounded_once() {
    // 65504^2 + 2^-48 - 65504^2: a float sum in any order but one loses the small number.
    let mut plane = Plane::new(LANES, 2, Kernels::detect());
    let (large, minus_large, tiny) = (0x7bff_u16, 0xfbff_u16, 0x0001_u16);
    let row: Vec<u16> = (0..LANES).map(|lane| [large, tiny, minus_large].get(lane).copied().unwrap_or(0)).collect();
    let byte = |row: &[u16], at: usize| -> Bytes { std::array::from_fn(|lane| row[lane].to_le_bytes()[at]) };
    plane.buffer.load_pair(true, Half::Low, 7, &byte(&row, 0), &byte(&row, 1));
    plane.install(TileKind::Fp16).unwrap();
    let x: Vec<u16> = (0..LANES).map(|lane| [large, tiny, large].get(lane).copied().unwrap_or(0)).collect();
    plane.activate(Half::Low, 1, true, &[&byte(&x, 0), &byte(&x, 1)], &[]).unwrap();
    let Drained::Half(_) = plane.drain(1) else { panic!("fp16 sums") };
    assert_eq!(plane.drain(1).float(7), 2.0_f32.powi(-48));
    assert_eq!(plane.drain(1).float(8), 0.0);
}

#[test]
fn values_outside_their_range_are_faults() {
    let mut random = Random(4);
    let mut plane = Plane::new(LANES, 2, Kernels::detect());
    let mut codes = [0; LANES];
    codes[5] = 0x80;
    plane.buffer.load(true, 0, &codes);
    let mut scale = [0; LANES];
    scale[0] = 1;
    plane.buffer.load_scale(false, 0, &scale).unwrap();
    assert!(plane.install(TileKind::Lb8).unwrap_err().message.contains("-128"));
    let tile = matrix(&mut random, Format::Lb8);
    let kind = load(&mut plane, &tile, true);
    plane.install(kind).unwrap();
    let zero = [0; LANES];
    let high = [0x20; LANES];
    assert!(plane.activate(Half::Low, 0, true, &[&zero], &[&zero, &high]).unwrap_err().message.contains("above 4096"));
    let mut large = tile;
    large.scale[33] = 32_767;
    let kind = load(&mut plane, &large, true);
    assert!(plane.install(kind).unwrap_err().message.contains("too large"));
}

#[test]
fn what_a_later_tile_does_not_load_is_zero() {
    let ones = [1; LANES];
    for column in [false, true] {
        let mut plane = Plane::new(LANES, 2, Kernels::detect());
        (0..LANES).for_each(|vector| plane.buffer.load(true, vector, &ones));
        plane.install(TileKind::Int8).unwrap();
        plane.buffer.load(true, 5, &ones);
        if column {
            plane.buffer.load(false, 7, &ones);
        }
        plane.install(TileKind::Int8).unwrap();
        plane.activate(Half::Low, 0, true, &[&ones], &[]).unwrap();
        let expected = |n: usize| if n == 5 { LANES as i64 } else { i64::from(column) };
        assert_eq!(integers(&mut plane, 0), (0..LANES).map(expected).collect::<Vec<_>>());
    }
}
