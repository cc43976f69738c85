//! How fast each kernel set of this CPU is, on one core: the best of many short rounds, in which the sets take turns,
//! so that a busy machine disturbs the ratios little. Run it with `cargo bench -p lockstep-kernels --bench speed`.
#![allow(missing_docs, clippy::print_stdout, clippy::unwrap_used)]

use std::hint::black_box;
use std::time::Instant;

use lockstep_arith::matrix::{Format, GROUP};
use lockstep_kernels::Kernels;
use lockstep_kernels::activations::{Activations, GroupScale};
use lockstep_kernels::attention::{HeadCache, Query, Scratch};
use lockstep_kernels::dense::DenseMatrix;
use lockstep_kernels::packed::{BLOCK_ROWS, PackedLayout, PackedMatrix, pack_with};

/// Rounds of each measurement; the best counts.
const ROUNDS: usize = 40;
/// Seconds that one round takes at least.
const ROUND_SECONDS: f64 = 0.001;

fn main() {
    let sets = Kernels::all();
    print!("{:32}", "");
    for set in &sets {
        print!("{:>12}", set.name());
    }
    println!();
    large(&sets);
    matrices(&sets);
    dense(&sets);
    attention(&sets);
    vectors(&sets);
}

/// Prints how much work a second each set does.
fn compare(what: &str, work: f64, unit: &str, sets: &[Kernels], mut run: impl FnMut(Kernels)) {
    let mut best = vec![f64::INFINITY; sets.len()];
    for _ in 0..ROUNDS {
        for (&set, best) in sets.iter().zip(&mut best) {
            let (start, mut runs) = (Instant::now(), 0.0);
            while start.elapsed().as_secs_f64() < ROUND_SECONDS {
                run(set);
                runs += 1.0;
            }
            *best = best.min(start.elapsed().as_secs_f64() / runs);
        }
    }
    print!("{what:32}");
    for seconds in best {
        print!("{:12.2}", work / seconds * 1e-9);
    }
    println!(" {unit}");
}

fn matrices(sets: &[Kernels]) {
    let ramp = std::array::from_fn(|at| at as i8 - 8);
    let table = std::array::from_fn(|at| (at * at) as i8 - 100);
    let formats = [
        ("ramp with offsets", Format::Lb4 { codebook: ramp, has_offset: true }),
        ("ramp", Format::Lb4 { codebook: ramp, has_offset: false }),
        ("table", Format::Lb4 { codebook: table, has_offset: false }),
        ("8 bits", Format::Lb8),
    ];
    let (rows, cols) = (576, 576);
    for (name, format) in formats {
        let layout = PackedLayout { rows, cols, format };
        let bits = |at: usize| (at as u32).wrapping_mul(0x9E37_79B9) >> 4;
        let mask = if format == Format::Lb8 { 0x7F7F_7F7F } else { 0x0F0F_0F0F };
        let mut bytes = vec![];
        let quad = |row, group, quad| bits((row * cols + group) * 8 + quad) & mask;
        pack_with(&layout, quad, |row, group| ((row % 99) as i16, group as i16), |_| 0, &mut bytes);
        let matrix = PackedMatrix::new(layout, &bytes).unwrap();
        for tokens in [1, 2, 4, 8, 128] {
            let codes: Vec<i8> = (0..tokens * cols).map(|at| (bits(at) % 255) as i8).map(|a| a.max(-127)).collect();
            let scales: Vec<_> = codes.chunks_exact(GROUP).map(|codes| GroupScale::of(codes, 4000)).collect();
            let exponents = vec![0; tokens];
            let x = Activations { codes: &codes, scales: &scales, exponents: &exponents };
            let mut out = vec![0.0; rows * tokens];
            let what = format!("{name}, {tokens} tokens");
            compare(&what, (rows * cols * tokens) as f64, "GMAC/s", sets, |set| {
                set.matmul(&matrix, &x, 0..rows / BLOCK_ROWS, black_box(&mut out));
            });
        }
    }
}

/// More weights than any cache holds, so that they come from memory, as those of a model do.
fn large(sets: &[Kernels]) {
    let (rows, cols) = (294_912, 576);
    let codebook = std::array::from_fn(|at| at as i8 - 8);
    let layout = PackedLayout { rows, cols, format: Format::Lb4 { codebook, has_offset: true } };
    let mut bytes = vec![];
    let quad = |row: usize, group: usize, quad: usize| {
        ((row + group * 8 + quad) as u32).wrapping_mul(0x9E37_79B9) & 0x0F0F_0F0F
    };
    pack_with(&layout, quad, |row, group| ((row % 99) as i16, group as i16), |_| 0, &mut bytes);
    let matrix = PackedMatrix::new(layout, &bytes).unwrap();
    for tokens in [1, 2, 4, 8, 16] {
        let codes: Vec<i8> = (0..tokens * cols).map(|at| (at * 31 % 255) as u8 as i8).map(|a| a.max(-127)).collect();
        let scales: Vec<_> = codes.chunks_exact(GROUP).map(|codes| GroupScale::of(codes, 4000)).collect();
        let exponents = vec![0; tokens];
        let x = Activations { codes: &codes, scales: &scales, exponents: &exponents };
        let mut out = vec![0.0; rows * tokens];
        compare(&format!("from memory, {tokens} tokens"), (rows * cols * tokens) as f64, "GMAC/s", &sets[1..], |set| {
            set.matmul(&matrix, &x, 0..rows / BLOCK_ROWS, black_box(&mut out));
        });
    }
}

fn dense(sets: &[Kernels]) {
    let (rows, pairs) = (320, 160);
    let numbers: Vec<i16> = (0..rows * pairs * 2).map(|at| (at * 31 % 255) as i16 - 127).collect();
    let matrix = DenseMatrix { rows, pairs, numbers: &numbers };
    for tokens in [1, 32] {
        let x: Vec<i16> = (0..tokens * pairs * 2).map(|at| (at * 17 % 253) as i16 - 126).collect();
        let mut out = vec![0; tokens * rows];
        compare(&format!("dense, {tokens} tokens"), (tokens * numbers.len()) as f64, "GMAC/s", sets, |set| {
            set.dense(&matrix, &x, black_box(&mut out));
        });
    }
}

fn attention(sets: &[Kernels]) {
    let (head_size, positions) = (64, 512);
    let keys: Vec<i16> = (0..head_size * positions).map(|at| (at * 31 % 32767) as i16 - 16384).collect();
    let values: Vec<i16> = keys.iter().map(|key| key / 8).collect();
    let units = vec![-12; positions];
    let cache = HeadCache { head_size, keys: &keys, values: &values, key_exponents: &units, value_exponents: &units };
    let (codes, mut scratch, mut out) = (&values[..head_size], Scratch::default(), vec![0.0; head_size]);
    let query = Query { codes, exponent: -12, first: 0, end: positions, scale: 0.125, cap: None };
    compare("attention, 512 positions", positions as f64, "G positions/s", sets, |set| {
        set.attend(&query, &cache, &mut scratch, black_box(&mut out));
    });
}

fn vectors(sets: &[Kernels]) {
    let x: Vec<f32> = (0..1536).map(|at| (at * 31 % 255) as f32 / 64.0 - 2.0).collect();
    let mut out = x.clone();
    let (mut codes, mut scales) = (vec![0; x.len()], vec![GroupScale::default(); x.len() / GROUP]);
    let numbers = x.len() as f64;
    compare("quantize", numbers, "G numbers/s", sets, |set| {
        black_box(set.quantize(&x, &mut codes, &mut scales).unwrap());
    });
    compare("rms", numbers, "G numbers/s", sets, |set| {
        black_box(set.reciprocal_rms(&x, 1e-5).unwrap());
    });
    compare("silu", numbers, "G numbers/s", sets, |set| set.silu(&x, black_box(&mut out)));
    compare("add", numbers, "G numbers/s", sets, |set| set.add(&x, &x, black_box(&mut out)));
    let mut weights = vec![0; x.len()];
    compare("weigh", numbers, "G numbers/s", sets, |set| {
        black_box(set.weigh(&x, 2.0, 1.0, &mut weights));
    });
}
