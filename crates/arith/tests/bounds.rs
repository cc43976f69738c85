//! The bounds that the contract states, on random values of its whole domain and at the extremes.
#![allow(clippy::unwrap_used)]

use lockstep_arith::activation::{self, QuantizedVector};
use lockstep_arith::import::code_limit;
use lockstep_arith::matmul::{accumulate, finish, group_integer, matvec};
use lockstep_arith::matrix::{BlockMatrix, Format, GROUP};
use lockstep_arith::source::SourceType;
use lockstep_arith::vector_block::{self, HEAD_BITS, NORM_BITS, key_bits};
use lockstep_arith::{embedding, fault, norm};
use proptest::prelude::*;

/// The largest |D| and |O| of a matrix, stated again from the contract.
fn limit(c: i64, offsets: i64) -> i64 {
    32_767.min(((1 << 31) - 1) / (4064 * (c + offsets)))
}

/// Any number of the domain, all magnitudes equally likely.
fn value() -> impl Strategy<Value = f32> {
    (0..fault::FAULT_BITS, any::<bool>()).prop_map(|(bits, minus)| f32::from_bits(bits | u32::from(minus) << 31))
}

/// A vector whose values share a range of magnitudes, or spread over all.
fn vector() -> impl Strategy<Value = Vec<f32>> {
    let near = (0..fault::FAULT_BITS - (1 << 25), 1..100usize).prop_flat_map(|(base, length)| {
        prop::collection::vec((base..base + (1 << 25), any::<bool>()), length)
            .prop_map(|v| v.into_iter().map(|(b, minus)| f32::from_bits(b | u32::from(minus) << 31)).collect())
    });
    prop_oneof![prop::collection::vec(value(), 1..100), near]
}

/// Vectors at the edges: one value of every magnitude class in otherwise small company.
fn extremes() -> Vec<Vec<f32>> {
    let top = f32::from_bits(fault::FAULT_BITS - 1);
    let mut vectors = vec![vec![0.0; 33], vec![-0.0; 1], vec![top; 64], vec![f32::from_bits(1); 40]];
    vectors.push((0..64).map(|k| if k % 2 == 0 { top } else { -top }).collect());
    vectors.push((0..70).map(|k| if k == 40 { 103_800.0 } else { 1e-3 }).collect());
    // Numbers around every power of two, where exponents and ceilings step.
    for e in -149..50 {
        let power = 2.0f64.powi(e) as f32;
        vectors.extend([-1, 0, 1].map(|d| vec![f32::from_bits(power.to_bits().saturating_add_signed(d)), power / 3.0]));
        vectors.push(vec![(2.0f64.powi(e) * 127.0) as f32; 2].into_iter().filter(|x| *x < top).collect());
    }
    vectors.retain(|v| !v.is_empty());
    vectors
}

fn check_activation(x: &[f32]) {
    let q = activation::quantize(x).unwrap();
    assert_eq!(q.codes.len(), x.len().next_multiple_of(GROUP));
    assert_eq!(q.scales.len(), q.codes.len() / GROUP);
    assert!((-58..=32).contains(&q.exponent), "E = {}", q.exponent);
    assert!(q.scales.iter().all(|&a| a <= 4096));
    // No clamp is applied, and `as i8` would saturate at -128 or 127: so recompute without it.
    let down = fault::power_of_two(-q.exponent);
    for (k, &v) in x.iter().enumerate() {
        let scale = f32::from(q.scales[k / GROUP].max(1));
        let code = ((v * down) * (1.0 / scale)).round_ties_even();
        assert!(code.abs() <= 127.0, "{v:e} in group {} is {code}", k / GROUP);
        assert_eq!(code as i8, q.codes[k]);
    }
    assert!(q.codes[x.len()..].iter().all(|&code| code == 0));
}

fn check_block(x: &[f32], bits: u32) {
    let block = vector_block::quantize(x, bits).unwrap();
    let (unit, most) = (f64::from(block.unit()), (1i32 << (bits - 1)) - 1);
    assert!((-55..=39).contains(&block.unit_exponent));
    for (&code, &v) in block.codes.iter().zip(x) {
        assert!(i32::from(code).abs() <= most);
        let error = (f64::from(code) * unit - f64::from(v)).abs();
        // Half a step, or a whole one at the top, where a code is held back.
        assert!(error <= if i32::from(code).abs() == most { unit } else { unit / 2.0 }, "{v:e}: {code} * {unit:e}");
    }
}

/// `max|y|` is known before the norm: rounding is monotone in this order of the products.
fn check_norm(x: &[f32], weight: &[f32]) {
    let r = norm::reciprocal_rms(x, 1e-6).unwrap();
    let y = norm::rms_norm(x, weight, 1e-6).unwrap();
    let largest = x.iter().zip(weight).fold(0.0f32, |max, (&x, &w)| max.max((x * w).abs()));
    let after = y.iter().fold(0.0f32, |max, y| max.max(y.abs()));
    assert_eq!(after.to_bits(), (largest * r).to_bits());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn activations_stay_within_their_codes(x in vector()) {
        check_activation(&x);
    }

    #[test]
    fn vector_blocks_err_by_half_a_step(x in vector(), bits in HEAD_BITS..=NORM_BITS) {
        check_block(&x, bits);
    }

    #[test]
    fn the_largest_output_of_a_norm_is_known_ahead(x in vector(), scale in 0.01f32..30.0) {
        let weight: Vec<f32> = (0..x.len()).map(|k| scale * (0.1 + (k % 7) as f32)).collect();
        check_norm(&x, &weight);
    }

    #[test]
    fn magnitudes_out_of_range_are_faults(x in vector(), at in any::<prop::sample::Index>(), bits in fault::FAULT_BITS..0x8000_0000) {
        let mut x = x;
        let at = at.index(x.len());
        for sign in [0, 1 << 31] {
            x[at] = f32::from_bits(bits | sign);
            prop_assert!(activation::quantize(&x).is_err());
            prop_assert!(vector_block::quantize(&x, 12).is_err());
            prop_assert!(norm::rms_norm(&x, &x, 1e-6).is_err());
        }
    }

    #[test]
    fn split_sums_equal_whole_sums(x in prop::collection::vec(value(), 96..200), cut in 1..3usize, seed in any::<u32>()) {
        let (matrix, q) = (varied_matrix(x.len(), seed), activation::quantize(&x).unwrap());
        let part = |groups: std::ops::Range<usize>, row: usize| -> i64 {
            groups.map(|g| i64::from(q.scales[g]) * group_integer(&matrix, row, g, &q)).sum()
        };
        for row in 0..matrix.rows {
            let whole = accumulate(&matrix, row, &q);
            prop_assert_eq!(part(0..cut, row) + part(cut..matrix.groups(), row), whole);
            // In f64 and backwards: the same integer.
            let reversed: f64 = (0..matrix.groups()).rev().map(|g| part(g..g + 1, row) as f64).sum();
            prop_assert_eq!(reversed as i64, whole);
        }
    }
}

#[test]
fn extremes_stay_within_the_bounds() {
    for x in extremes() {
        check_activation(&x);
        (HEAD_BITS..=NORM_BITS).for_each(|bits| check_block(&x, bits));
        check_norm(&x, &vec![0.7; x.len()]);
    }
}

#[test]
fn one_huge_value_leaves_the_other_groups_their_scale() {
    let mut x = vec![1.0f32; 64];
    x[3] = 2000.0;
    let q = activation::quantize(&x).unwrap();
    assert!(q.scales[0] > 2048 && (1..=3).contains(&q.scales[1]));
    assert_eq!((q.codes[3], q.codes[0]), (127, 0));
    assert!(q.codes[32..].iter().all(|&code| code > 60));
}

fn varied_matrix(cols: usize, seed: u32) -> BlockMatrix {
    let (rows, groups) = (3, cols.div_ceil(GROUP));
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as i32
    };
    let codebook = std::array::from_fn(|i| i as i8 - 8);
    BlockMatrix {
        rows,
        cols,
        format: Format::Lb4 { codebook, has_offset: true },
        codes: (0..rows * groups * GROUP).map(|_| (next() & 15) as i8).collect(),
        scale: (0..rows * groups).map(|_| (next() - 32_767).clamp(-32_767, 32_767) as i16).collect(),
        offset: (0..rows * groups).map(|_| (next() - 32_767).clamp(-32_767, 32_767) as i16).collect(),
        exponent: vec![-20; rows],
    }
}

/// Every code, scale, offset and activation at its limit, all signs agreeing.
fn largest_matrix(c: i8, has_offset: bool, cols: usize) -> BlockMatrix {
    let d = limit(i64::from(c), i64::from(has_offset)) as i16;
    let groups = cols / GROUP;
    let (format, code) = match c {
        127 => (Format::Lb8, 127),
        _ => (Format::Lb4 { codebook: [c; 16], has_offset }, 0),
    };
    let offset = if has_offset { vec![d; groups] } else { vec![] };
    BlockMatrix { rows: 1, cols, format, codes: vec![code; cols], scale: vec![d; groups], offset, exponent: vec![0] }
}

#[test]
fn group_integers_fit_32_bits_and_row_sums_53() {
    let cols = 32_768;
    let x = QuantizedVector { codes: vec![127; cols], scales: vec![4096; cols / GROUP], exponent: 0 };
    for (c, has_offset) in [(8, false), (8, true), (12, false), (16, false), (127, false)] {
        let matrix = largest_matrix(c, has_offset, cols);
        let group = group_integer(&matrix, 0, 0, &x);
        assert!(i32::try_from(group).is_ok(), "c = {c}: {group}");
        assert!(accumulate(&matrix, 0, &x) < 1 << 53);
    }
    // The 8-bit limit is tight: one more would not fit.
    assert!((limit(127, 0) + 1) * 127 * 4064 > i64::from(i32::MAX));
}

#[test]
fn weight_integers_are_exact_in_f32() {
    for ty in SourceType::ALL {
        let c = i64::from(code_limit(ty));
        for offsets in [0, 1] {
            assert!(limit(c, offsets) * (c + offsets) <= 1 << 24, "{}", ty.name());
        }
    }
    let matrix = largest_matrix(8, true, 64);
    assert_eq!(embedding::row(&matrix, 0, None), vec![(32_767 * 9) as f32; 64]);
    assert_eq!(embedding::row(&matrix, 0, Some(0.1)), vec![(32_767 * 9) as f32 * 0.1; 64]);
}

#[test]
fn an_integer_becomes_a_float_in_one_rounding() {
    // Above a tie by 1: through f64, which drops the 1, it would round down.
    let acc = (1i64 << 60) + (1 << 36) + 1;
    let up = (1i64 << 60) + (1 << 37);
    assert_eq!(finish(acc, 0, 0, None), up as f32);
    assert_ne!(finish(acc, 0, 0, None), acc as f64 as f32);
    assert_eq!(finish(3, 2, -4, Some(0.5)), 1.25);
}

#[test]
fn factors_are_normal_numbers_at_both_ends() {
    let top = activation::quantize(&[f32::from_bits(fault::FAULT_BITS - 1)]).unwrap().exponent;
    let bottom = activation::quantize(&[0.0]).unwrap().exponent;
    assert_eq!((top, bottom), (32, -58));
    assert!(finish(1, 40, top, None).is_normal() && finish(1, -64, bottom, None).is_normal());
    let unit = |x: f32| vector_block::quantize(&[x], 16).unwrap().unit();
    assert!((unit(0.0) * unit(0.0)).is_normal());
}

#[test]
fn key_bits_by_head_size() {
    assert_eq!([32, 64, 128, 256, 512, 1024].map(key_bits), [16, 15, 14, 13, 12, 12]);
    for size in 1..=512usize {
        let bits = key_bits(size);
        assert!((size as i64) * 2047 * ((1 << (bits - 1)) - 1) < 1 << 31);
        // A backend may pad a head to whole groups: that never changes the bits.
        assert_eq!(bits, key_bits(size.next_multiple_of(GROUP)), "{size}");
    }
}

#[test]
fn a_product_is_close_to_its_float_reference() {
    let x: Vec<f32> = (0..96).map(|k| ((k * 37 % 101) as f32 - 50.0) / 17.0).collect();
    let matrix = varied_matrix(96, 5);
    let y = matvec(&matrix, &activation::quantize(&x).unwrap(), Some(&[1.0, 2.0, 3.0]));
    for (row, y) in y.iter().enumerate() {
        let weights = matrix.dequantize_row(row);
        let terms = weights.iter().zip(&x).map(|(&w, &x)| f64::from(w) * f64::from(x));
        let size = terms.clone().map(f64::abs).sum::<f64>();
        let want = terms.sum::<f64>() + (row + 1) as f64;
        // An activation errs by at most half of 1/127 of its group's largest.
        assert!((f64::from(*y) - want).abs() < size / 127.0, "row {row}: {y} {want}");
    }
}

/// The exponents of quantisers depend on a magnitude's upper 16 bits alone: a machine may compute them before the lower
/// ones have come. Both functions never fall, so the ends of each range say it of all that lies between.
#[test]
fn exponents_depend_on_the_upper_16_bits() {
    for upper in 0..fault::FAULT_BITS >> 16 {
        let [least, most] = [upper << 16, upper << 16 | 0xffff].map(f32::from_bits);
        assert_eq!(activation::vector_exponent(least), activation::vector_exponent(most), "{least:e}");
        assert_eq!(fault::exponent(least), fault::exponent(most), "{least:e}");
    }
    assert_eq!(fault::FAULT_BITS & 0xffff, 0);
}
