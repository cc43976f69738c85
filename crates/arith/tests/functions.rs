//! Elementwise functions, attention, norms and rotary tables: against f64 references, and their bits.
#![allow(clippy::unwrap_used)]

use lockstep_arith::elementwise::{exp32, gelu, sigmoid, silu, soft_cap, tanh};
use lockstep_arith::rotary::{RotaryTable, rotate_adjacent, rotate_halves};
use lockstep_arith::vector_block::{self, HEAD_BITS, VectorBlock, key_bits};
use lockstep_arith::{attention, norm};
use proptest::prelude::*;

/// A hash (FNV-1a) of a sequence of results: two implementations that agree on it agree on every bit.
fn hash(results: impl IntoIterator<Item = f32>) -> u64 {
    let bytes = results.into_iter().flat_map(|x| x.to_bits().to_le_bytes());
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// Numbers of both signs and all magnitudes, evenly over the bit patterns of finite numbers.
fn sweep() -> impl Iterator<Item = f32> {
    (0..0x7F80_0000u32).step_by(40_009).flat_map(|bits| [f32::from_bits(bits), f32::from_bits(bits | 1 << 31)])
}

/// Numbers where the functions bend.
fn bends() -> impl Iterator<Item = f32> {
    (-120_000..120_000).map(|i| i as f32 / 4096.0)
}

#[test]
fn exp32_over_a_whole_binade() {
    let mut last = 0.0f32;
    for bits in (0x3F00_0000..=0x3F80_0000u32).rev() {
        let x = -f32::from_bits(bits);
        let y = exp32(x);
        assert!(y >= last && y <= 1.0, "exp32({x}) = {y}");
        // Results lie in 1/e..0.61: one unit in the last place is 2^-25 below a half and 2^-24 above it.
        let exact = libm::exp(f64::from(x));
        let ulp = if exact < 0.5 { 2f64.powi(-25) } else { 2f64.powi(-24) };
        assert!((f64::from(y) - exact).abs() <= 0.992 * ulp, "exp32({x}) = {y}");
        last = y;
    }
}

#[test]
fn chains_stay_near_their_functions() {
    let exact_sigmoid = |x: f64| 1.0 / (1.0 + libm::exp(-x));
    let near = |name: &str, x: f32, y: f32, exact: f64, size: f64| {
        assert!((f64::from(y) - exact).abs() <= 4e-7 * size.max(1e-30), "{name}({x}) = {y}, exactly {exact}");
    };
    for x in bends() {
        let wide = f64::from(x);
        near("sigmoid", x, sigmoid(x), exact_sigmoid(wide), 1.0);
        near("silu", x, silu(x), wide * exact_sigmoid(wide), wide.abs());
        near("tanh", x, tanh(x), libm::tanh(wide), 1.0);
        near("soft_cap", x, soft_cap(x, 30.0), 30.0 * libm::tanh(wide / 30.0), 30.0);
        let inner = (2.0 / std::f64::consts::PI).sqrt() * (wide + 0.044_715 * wide.powi(3));
        near("gelu", x, gelu(x), 0.5 * wide * (1.0 + libm::tanh(inner)), wide.abs());
    }
}

#[test]
fn chains_at_the_ends() {
    assert_eq!((sigmoid(-1e30).to_bits(), sigmoid(1e30)), (sigmoid(-88.5).to_bits(), 1.0));
    assert!(sigmoid(-1e30) > 0.0 && sigmoid(-1e30) < 1e-38);
    assert_eq!((tanh(50.0), tanh(-50.0), soft_cap(1e9, 30.0)), (1.0, -1.0, 30.0));
    assert_eq!((silu(0.0).to_bits(), gelu(-0.0).to_bits()), (0.0f32.to_bits(), (-0.0f32).to_bits()));
    for function in [exp32, sigmoid, silu, gelu, tanh] {
        assert!(function(f32::NAN).is_nan());
    }
}

/// The contract's bits, from another implementation (`fixtures/functions.py`). A change here is a new version of the
/// contract.
#[test]
fn functions_have_these_bits() {
    let inputs = || sweep().chain(bends());
    let of = |function: fn(f32) -> f32| hash(inputs().map(function).filter(|y| !y.is_nan()));
    assert_eq!(of(exp32), EXP32);
    assert_eq!(of(sigmoid), SIGMOID);
    assert_eq!(of(silu), SILU);
    assert_eq!(of(gelu), GELU);
    assert_eq!(of(tanh), TANH);
    assert_eq!(of(|x| soft_cap(x, 50.0)), SOFT_CAP);
}

const EXP32: u64 = 0x0027_0AF4_55CE_0A54;
const SIGMOID: u64 = 0x0936_8E20_4D2F_26DC;
const SILU: u64 = 0x73BC_2666_71F7_0062;
const GELU: u64 = 0xB6D6_FF81_7532_9833;
const TANH: u64 = 0xBF46_70D8_CE49_ED35;
const SOFT_CAP: u64 = 0x23DB_36CD_74C5_E36E;

fn head(size: usize, bits: u32) -> impl Strategy<Value = VectorBlock> {
    (prop::collection::vec(-4.0f32..4.0, size), -30..30).prop_map(move |(x, e)| {
        let x: Vec<f32> = x.iter().map(|x| x * 2f32.powi(e / 10)).collect();
        vector_block::quantize(&x, bits).unwrap()
    })
}

/// A query, and positions of a key and a value each.
fn heads() -> impl Strategy<Value = (VectorBlock, Vec<(VectorBlock, VectorBlock)>)> {
    let position = (head(32, key_bits(32)), head(32, HEAD_BITS));
    (head(32, HEAD_BITS), prop::collection::vec(position, 1..40))
}

fn floats(block: &VectorBlock) -> Vec<f64> {
    block.codes.iter().map(|&code| f64::from(code) * f64::from(block.unit())).collect()
}

fn exact_attention(q: &VectorBlock, positions: &[(VectorBlock, VectorBlock)], scale: f64) -> Vec<f64> {
    let q = floats(q);
    let scores: Vec<f64> =
        positions.iter().map(|(k, _)| scale * floats(k).iter().zip(&q).map(|(k, q)| k * q).sum::<f64>()).collect();
    let largest = scores.iter().fold(f64::NEG_INFINITY, |max, &s| max.max(s));
    let e: Vec<f64> = scores.iter().map(|s| libm::exp(s - largest)).collect();
    let z: f64 = e.iter().sum();
    let term = |d: usize| e.iter().zip(positions).map(|(e, (_, v))| e * floats(v)[d]).sum::<f64>() / z;
    (0..q.len()).map(term).collect()
}

proptest! {
    #[test]
    fn attention_is_near_its_reference_and_has_no_order((q, positions) in heads(), cap in any::<bool>(), seed in any::<u64>()) {
        let cap = cap.then_some(20.0);
        let run = |positions: &[(VectorBlock, VectorBlock)]| {
            let (keys, values): (Vec<_>, Vec<_>) = positions.iter().cloned().unzip();
            attention::attend(&q, &keys, &values, 0.177, cap)
        };
        let out = run(&positions);
        if cap.is_none() {
            let most = positions.iter().flat_map(|(_, v)| floats(v)).fold(0.0f64, |max, v| max.max(v.abs()));
            for (y, exact) in out.iter().zip(exact_attention(&q, &positions, 0.177)) {
                prop_assert!((f64::from(*y) - exact).abs() <= 1e-4 * most, "{} {}", y, exact);
            }
        }
        // A sum of integers has no order: any permutation of the positions gives the same bits.
        let mut shuffled = positions.clone();
        shuffled.sort_by_key(|(k, _)| k.codes.iter().fold(seed, |h, &c| (h ^ c as u64).wrapping_mul(0x0100_0000_01B3)));
        prop_assert_eq!(hash(run(&shuffled)), hash(out));
    }

    #[test]
    fn grouped_norms_are_norms_of_groups(x in prop::collection::vec(-9.0f32..9.0, 96), eps in 1e-6f32..1e-4) {
        let weight: Vec<f32> = (0..32).map(|k| 0.5 + k as f32 / 16.0).collect();
        let grouped = norm::rms_norm_groups(&x, &weight, 32, eps).unwrap();
        let apart: Vec<f32> = x.chunks(32).flat_map(|x| norm::rms_norm(x, &weight, eps).unwrap()).collect();
        prop_assert_eq!(hash(grouped), hash(apart.clone()));
        for (x, y) in x.chunks(32).zip(apart.chunks(32)) {
            let mean = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / 32.0;
            for ((&x, &w), &y) in x.iter().zip(&weight).zip(y) {
                let exact = f64::from(x) * f64::from(w) / (mean + f64::from(eps)).sqrt();
                prop_assert!((f64::from(y) - exact).abs() <= 1e-4 * exact.abs(), "{} {}", y, exact);
            }
        }
    }
}

#[test]
fn attention_to_one_position_is_its_value() {
    let q = vector_block::quantize(&[1.0; 32], HEAD_BITS).unwrap();
    let value: Vec<f32> = (0..32).map(|d| d as f32 - 16.0).collect();
    let value = vector_block::quantize(&value, HEAD_BITS).unwrap();
    let out = attention::attend(&q, std::slice::from_ref(&q), std::slice::from_ref(&value), 0.1, None);
    assert_eq!(out, (0..32).map(|d| d as f32 - 16.0).collect::<Vec<_>>());
}

#[test]
fn attention_weights_fill_24_bits() {
    // The greatest code of a value over many positions: the sum stays an integer far below 2^63.
    let q = vector_block::quantize(&[1e-3; 32], HEAD_BITS).unwrap();
    let value = VectorBlock { codes: vec![2047; 32], unit_exponent: -11 };
    let out = attention::attend(&q, &vec![q.clone(); 5000], &vec![value; 5000], 0.1, None);
    assert!(out.iter().all(|&y| y == 2047.0 / 2048.0));
}

#[test]
fn rotary_pairs_turn_by_position_times_frequency() {
    let frequencies: Vec<f64> = (0..16).map(|i| f64::from(i + 1) / 17.0).collect();
    let table = RotaryTable::new(&frequencies, 40_000);
    assert_eq!((table.pairs, table.cosines.len()), (16, 16 * 40_000));
    for position in [0, 1, 39_999] {
        let (cosines, sines) = table.position(position);
        for (i, frequency) in frequencies.iter().enumerate() {
            let angle = position as f64 * frequency;
            assert!(
                (f64::from(cosines[i]) - angle.cos()).abs() < 1e-7 && (f64::from(sines[i]) - angle.sin()).abs() < 1e-7
            );
        }
    }
    assert_eq!(hash(table.cosines.iter().chain(&table.sines).copied()), ROTARY);
}

/// The pinned library's bits: another version of it, or another platform, must not change them.
const ROTARY: u64 = 0x207E_AEBB_EAB2_B47E;

#[test]
fn both_pairings_turn_the_same_pairs_and_leave_the_rest() {
    let table = RotaryTable::new(&[1.0, 0.1, 0.01], 8);
    let (cosines, sines) = table.position(5);
    let mut halves = [1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0];
    let mut adjacent = [1.0f32, 4.0, 2.0, 5.0, 3.0, 6.0, 7.0, 8.0];
    rotate_halves(&mut halves, cosines, sines);
    rotate_adjacent(&mut adjacent, cosines, sines);
    for i in 0..3 {
        assert_eq!([halves[i], halves[i + 3]], adjacent[2 * i..2 * i + 2]);
        assert_eq!(halves[i], (i as f32 + 1.0) * cosines[i] - (i as f32 + 4.0) * sines[i]);
        assert_eq!(halves[i + 3], (i as f32 + 4.0) * cosines[i] + (i as f32 + 1.0) * sines[i]);
    }
    assert_eq!((&halves[6..], &adjacent[6..]), (&[7.0, 8.0][..], &[7.0, 8.0][..]));
}
