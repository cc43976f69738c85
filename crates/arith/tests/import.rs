//! The importers against the contract's rules, restated here from the source's bytes.
#![allow(clippy::unwrap_used)]

use lockstep_arith::blocks;
use lockstep_arith::import::{ImportError, ImportReport, code_limit, import, import_rows, target};
use lockstep_arith::matrix::{BlockMatrix, Format, GROUP};
use lockstep_arith::source::SourceType;
use proptest::prelude::*;

/// Half-precision bits of a number that has them.
fn half(x: f64) -> [u8; 2] {
    if x == 0.0 {
        return [0, 0];
    }
    let bits = x.to_bits();
    let exponent = (bits >> 52 & 2047) as i32 - 1023 + 15;
    assert!((1..31).contains(&exponent) && bits << 22 == 0, "{x} is not a normal half");
    ((bits >> 63 << 15) as u16 | (exponent as u16) << 10 | (bits >> 42 & 1023) as u16).to_le_bytes()
}

fn q4_1(scale: [u8; 2], minimum: [u8; 2], nibbles: u8) -> Vec<u8> {
    [&scale[..], &minimum[..], &[nibbles; 16]].concat()
}

fn q8_0(scale: f64, codes: &[i8; 32]) -> Vec<u8> {
    half(scale).into_iter().chain(codes.iter().map(|&code| code as u8)).collect()
}

fn source_values(ty: SourceType, bytes: &[u8]) -> Vec<f32> {
    let mut values = vec![0.0; bytes.len() / ty.block_bytes() * ty.block_weights()];
    blocks::dequantize(ty, bytes, &mut values);
    values
}

/// `L`, restated.
fn limit(ty: SourceType) -> f64 {
    let offsets = i64::from(target(ty).has_offset());
    32_767.min(((1i64 << 31) - 1) / (4064 * (i64::from(code_limit(ty)) + offsets))) as f64
}

/// What every imported matrix satisfies, whatever its source.
fn check_matrix(ty: SourceType, matrix: &BlockMatrix, report: &ImportReport) {
    let groups = matrix.rows * matrix.groups();
    assert_eq!(matrix.codes.len(), groups * GROUP);
    assert_eq!((matrix.scale.len(), matrix.exponent.len()), (groups, matrix.rows));
    assert_eq!(matrix.offset.len(), if matrix.format.has_offset() { groups } else { 0 });
    assert!(matrix.scale.iter().chain(&matrix.offset).all(|d| f64::from(d.unsigned_abs()) <= limit(ty)));
    assert!(matrix.exponent.iter().all(|j| (-64..=40).contains(j)));
    let (c, codes) = (code_limit(ty) as i8, 0..matrix.rows);
    for code in codes.flat_map(|row| (0..matrix.groups()).flat_map(move |group| matrix.group_codes(row, group))) {
        assert!((-c..=c).contains(&code), "{}: code {code}", ty.name());
    }
    assert_eq!(report.weights as usize, matrix.rows * matrix.cols);
    assert_eq!(report.groups as usize, groups);
    assert!(report.exact <= report.groups && report.rms() <= report.largest * 1.000_001);
    assert!(report.largest.is_finite());
    assert_eq!(report.exact == report.groups, report.largest == 0.0);
    for padding in matrix.codes.chunks(matrix.groups() * GROUP).map(|row| &row[matrix.cols..]) {
        assert!(padding.iter().all(|&code| code == 0));
    }
}

/// Bytes of whole blocks: any at all, or such that most are finite.
fn some_bytes(ty: SourceType, cols: usize, rows: usize) -> impl Strategy<Value = Vec<u8>> {
    let length = rows * cols / ty.block_weights() * ty.block_bytes();
    let mask = prop_oneof![Just(0xFFu8), Just(0x9F), Just(0xBF)];
    (prop::collection::vec(any::<u8>(), length), mask)
        .prop_map(|(bytes, mask)| bytes.iter().map(|b| b & mask).collect())
}

fn any_source() -> impl Strategy<Value = (SourceType, usize, Vec<u8>)> {
    (prop::sample::select(SourceType::ALL.to_vec()), 1..80usize).prop_flat_map(|(ty, width)| {
        let cols = if ty.block_weights() == 1 { width } else { ty.block_weights() * (1 + width % 2) };
        some_bytes(ty, cols, 3).prop_map(move |bytes| (ty, cols, bytes))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_import_or_are_refused((ty, cols, bytes) in any_source()) {
        let values = source_values(ty, &bytes);
        match import(ty, 3, cols, &bytes) {
            Ok((matrix, report)) => {
                check_matrix(ty, &matrix, &report);
                check_report(ty, &matrix, &report, &values);
                // Rows are independent, so ranges join to the same matrix.
                let width = bytes.len() / 3;
                let (mut joined, mut sum) = import_rows(ty, 0..1, cols, &bytes[..width]).unwrap();
                let (rest, others) = import_rows(ty, 1..3, cols, &bytes[width..]).unwrap();
                joined.append(rest);
                sum.merge(&others);
                prop_assert_eq!(joined, matrix);
                prop_assert_eq!((sum.weights, sum.groups, sum.exact, sum.largest), (report.weights, report.groups, report.exact, report.largest));
            }
            Err(ImportError::NotFinite { row, column }) => {
                let first = values.iter().position(|v| !v.is_finite());
                prop_assert_eq!(first, Some(row * cols + column));
            }
            Err(ImportError::TooLarge { magnitude, .. }) => prop_assert!(magnitude > limit(ty) * 2f64.powi(40)),
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn rows_take_the_least_power_of_two_that_fits((ty, cols, bytes) in any_source()) {
        if let Ok((matrix, _)) = import(ty, 3, cols, &bytes) {
            for row in 0..3 {
                let groups = row * matrix.groups()..(row + 1) * matrix.groups();
                let offsets = matrix.offset.get(groups.clone()).unwrap_or(&[]);
                let most = matrix.scale[groups].iter().chain(offsets).map(|d| d.unsigned_abs()).max().unwrap();
                // Under half the factor this number would be about twice as large, so above L.
                prop_assert!(matrix.exponent[row] == -64 || f64::from(most) * 2.0 + 1.0 >= limit(ty), "{} {most}", ty.name());
            }
        }
    }

    #[test]
    fn float_rows_follow_the_recoding_rule(values in prop::collection::vec(-3.0f32..3.0, 1..100)) {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let (matrix, _) = import(SourceType::F32, 1, values.len(), &bytes).unwrap();
        let steps: Vec<f64> =
            values.chunks(GROUP).map(|g| g.iter().fold(0.0f64, |max, &v| max.max(f64::from(v).abs())) / 127.0).collect();
        let most = steps.iter().fold(0.0f64, |max, &d| max.max(d));
        let j = (-64..128).find(|&j| most <= limit(SourceType::F32) * 2f64.powi(j)).unwrap();
        prop_assert_eq!(i32::from(matrix.exponent[0]), j);
        for (k, &v) in values.iter().enumerate() {
            let d = (steps[k / GROUP] / 2f64.powi(j)).ceil();
            prop_assert_eq!(f64::from(matrix.scale[k / GROUP]), d);
            let code = if d == 0.0 { 0.0 } else { (f64::from(v) / (2f64.powi(j) * d)).round_ties_even().clamp(-127.0, 127.0) };
            prop_assert_eq!(f64::from(matrix.codes[k]), code);
        }
    }
}

/// The report, recounted weight by weight in full for floats, whose step shows in their values.
fn check_report(ty: SourceType, matrix: &BlockMatrix, report: &ImportReport, values: &[f32]) {
    let step_of: fn(&[f32]) -> Option<f64> = match ty {
        SourceType::F32 | SourceType::F16 | SourceType::Bf16 => {
            |group| Some(group.iter().fold(0.0f64, |max, &v| max.max(f64::from(v).abs())) / 127.0)
        }
        _ => |_| None,
    };
    let (mut exact, mut squares, mut largest) = (0, 0.0, 0.0f64);
    for row in 0..matrix.rows {
        let imported = matrix.dequantize_row(row);
        let source = &values[row * matrix.cols..][..matrix.cols];
        for (imported, source) in imported.chunks(GROUP).zip(source.chunks(GROUP)) {
            exact += u64::from(imported.iter().zip(source).all(|(a, b)| a == b));
            for (&a, &b) in imported.iter().zip(source) {
                let Some(step) = step_of(source) else { continue };
                let steps = if a == b { 0.0 } else { (f64::from(a) - f64::from(b)).abs() / step };
                squares += steps * steps;
                largest = largest.max(steps);
            }
        }
    }
    // Rounded to f32, a few more can look equal.
    assert!(report.exact <= exact, "{}", ty.name());
    if step_of(&[]).is_some() {
        assert_eq!(exact, report.exact);
        assert!((squares - report.squares).abs() <= 1e-9 * (1.0 + squares), "{squares} {report:?}");
        assert!((largest - report.largest).abs() <= 1e-9 * (1.0 + largest), "{largest} {report:?}");
    }
}

#[test]
fn equal_scales_import_exactly() {
    let block = q4_1(half(0.25), half(-1.75), 0x3A);
    let (matrix, report) = import(SourceType::Q4_1, 2, 64, &block.repeat(4)).unwrap();
    // The least j for which o = -1.75 + 8 * 0.25 = 0.25 and d = 0.25 fit 32767.
    assert_eq!((matrix.exponent[0], matrix.scale[0], matrix.offset[0]), (-16, 16_384, 16_384));
    assert_eq!((report.exact, report.groups, report.rms()), (4, 4, 0.0));
    assert_eq!(matrix.dequantize_row(1), source_values(SourceType::Q4_1, &block.repeat(2)));
}

#[test]
fn differences_are_counted_in_the_sources_steps() {
    // j is chosen by the first group; the second has d = 1.5 * 2^j, which becomes 2 * 2^j: a third of its step.
    let top = q8_0(4096.0, &[1; 32]);
    let mut codes = [0; 32];
    (codes[5], codes[6]) = (3, -2);
    let (matrix, report) = import(SourceType::Q8_0, 1, 64, &[top, q8_0(1.5, &codes)].concat()).unwrap();
    assert_eq!((matrix.exponent[0], &matrix.scale[..]), (0, &[4096i16, 2][..]));
    assert_eq!((report.exact, report.groups, report.weights), (1, 2, 64));
    let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
    assert!(close(report.largest, 1.0) && close(report.squares, 1.0 + 4.0 / 9.0), "{report:?}");
}

#[test]
fn a_code_of_minus_128_recodes_its_group_alone() {
    let mut codes: [i8; 32] = std::array::from_fn(|k| 4 * k as i8 - 60);
    let plain = q8_0(1.0, &codes);
    codes[9] = -128;
    let (matrix, report) = import(SourceType::Q8_0, 1, 64, &[plain.clone(), q8_0(1.0, &codes)].concat()).unwrap();
    let alone = import(SourceType::Q8_0, 1, 32, &plain).unwrap().0;
    assert_eq!((&matrix.codes[..32], matrix.format), (&alone.codes[..], Format::Lb8));
    assert_eq!(matrix.codes[32 + 9], -127);
    assert_eq!(report.exact, 1);
    assert!(report.largest < 0.51, "{report:?}");
}

#[test]
fn formats_keep_their_codebooks() {
    let nibbles: [u8; 16] = std::array::from_fn(|i| i as u8 | (15 - i as u8) << 4);
    for (ty, head) in
        [(SourceType::Iq4Nl, vec![0, 0x3C]), (SourceType::Mxfp4, vec![127]), (SourceType::Q4_0, vec![0, 0x3C])]
    {
        let bytes = [&head[..], &nibbles[..]].concat();
        let (matrix, report) = import(ty, 1, 32, &bytes).unwrap();
        assert_eq!(matrix.dequantize_row(0), source_values(ty, &bytes), "{}", ty.name());
        assert_eq!((report.exact, matrix.format), (1, target(ty)));
    }
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let at = |ty, cols, bytes: &[u8]| import(ty, 2, cols, bytes).unwrap_err();
    let (nan, infinite) = ([0xFF, 0x7F], [0x00, 0xFC]);
    let good = q4_1(half(1.0), half(1.0), 0);
    for (scale, minimum) in
        [(nan, half(1.0)), (half(1.0), nan), (infinite, half(1.0)), (half(1.0), infinite), (half(0.0), nan)]
    {
        let bytes = [good.clone(), good.clone(), good.clone(), q4_1(scale, minimum, 0)].concat();
        assert_eq!(at(SourceType::Q4_1, 64, &bytes), ImportError::NotFinite { row: 1, column: 32 });
    }
    let mut floats = vec![1.0f32; 2 * 40];
    floats[40 + 35] = f32::NAN;
    floats[40 + 37] = f32::INFINITY;
    let bytes: Vec<u8> = floats.iter().flat_map(|v| v.to_le_bytes()).collect();
    assert_eq!(at(SourceType::F32, 40, &bytes), ImportError::NotFinite { row: 1, column: 35 });
    let mut q6_k = vec![1u8; 420];
    q6_k[418..].copy_from_slice(&nan);
    assert_eq!(at(SourceType::Q6_K, 256, &q6_k), ImportError::NotFinite { row: 1, column: 0 });
    // The number of the row within the matrix, not within the range.
    let rows = import_rows(SourceType::F32, 7..9, 40, &bytes).unwrap_err();
    assert_eq!(rows, ImportError::NotFinite { row: 8, column: 35 });
}

#[test]
fn sizes_that_disagree_are_refused() {
    let bytes = |rows, cols, bytes: &[u8]| import(SourceType::Q8_0, rows, cols, bytes).unwrap_err();
    assert_eq!(bytes(1, 32, &[0; 33]), ImportError::Bytes { actual: 33, expected: 34 });
    assert_eq!(bytes(1, 33, &[0; 34]), ImportError::Columns { cols: 33, ty: SourceType::Q8_0 });
    assert_eq!(bytes(1, 0, &[]), ImportError::Columns { cols: 0, ty: SourceType::Q8_0 });
    let huge = usize::MAX / 32 * 32;
    assert_eq!(bytes(huge, huge, &[0; 34]), ImportError::Bytes { actual: 34, expected: usize::MAX });
    let (empty, _) = import(SourceType::Q8_0, 0, 32, &[]).unwrap();
    assert_eq!((empty.rows, empty.codes.len()), (0, 0));
}

#[test]
fn a_weight_above_the_range_is_refused() {
    let bytes = 1e30f32.to_le_bytes();
    let error = import(SourceType::F32, 1, 1, &bytes).unwrap_err();
    assert!(matches!(error, ImportError::TooLarge { row: 0, .. }));
}

/// No sum of a row may reach 2^53, however long the row.
#[test]
fn long_rows_halve_their_integers() {
    let block = q8_0(1.0, &[127; 32]);
    let bound = |matrix: &BlockMatrix| -> u128 {
        4096 * 4064 * matrix.scale.iter().map(|d| u128::from(d.unsigned_abs()) * 127).sum::<u128>()
    };
    let import = |cols: usize| import(SourceType::Q8_0, 1, cols, &block.repeat(cols / 32)).unwrap();
    let (short, _) = import(32_768);
    // 4096 is the largest power of two within L = 4160.
    assert_eq!((short.exponent[0], short.scale[0]), (-12, 4096));
    assert!(bound(&short) < 1 << 53);
    let (same, _) = import(33_248);
    assert_eq!(same.exponent[0], -12, "a row that fits as it is keeps its factor");
    assert!(bound(&same) < 1 << 53);
    for (cols, exponent) in [(33_312, -11), (66_560, -11), (131_072, -10)] {
        let (long, report) = import(cols);
        assert!(bound(&long) < 1 << 53);
        assert_eq!((long.exponent[0], report.exact), (exponent, report.groups), "{cols}");
        let doubled = bound(&long) * 2;
        assert!(doubled >= 1 << 53, "{cols} columns: one doubling too many");
    }
}
