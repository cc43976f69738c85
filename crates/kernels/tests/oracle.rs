//! Every kernel set against the scalar oracle, for equal bits, on random and on extreme inputs.
#![allow(missing_docs, clippy::unwrap_used)]

use lockstep_arith::matrix::{Format, GROUP};
use lockstep_arith::source::SourceType;
use lockstep_arith::vector_block::VectorBlock;
use lockstep_arith::{activation, attention as oracle, elementwise, import, matmul, norm, vector_block};
use lockstep_kernels::Kernels;
use lockstep_kernels::activations::{Activations, GroupScale};
use lockstep_kernels::attention::{HeadCache, Query, Scratch, store_key, store_value};
use lockstep_kernels::packed::{PackedLayout, PackedMatrix, pack, pack_with};
use lockstep_kernels::sampling;

/// A small generator with a known sequence.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Rows that stress the quantiser: random, zeros, one huge value, subnormals, alternating extremes.
fn rows(random: &mut Random, width: usize) -> Vec<Vec<f32>> {
    let mut rows: Vec<Vec<f32>> = (0..6).map(|_| (0..width).map(|_| random.float() * 3.0).collect()).collect();
    rows.push(vec![0.0; width]);
    rows.push((0..width).map(|k| if k == 7 { 103_800.0 } else { random.float() * 0.01 }).collect());
    rows.push((0..width).map(|k| f32::from_bits(k as u32)).collect());
    rows.push((0..width).map(|k| if k % 2 == 0 { 1.0e15 } else { -1.0e15 }).collect());
    rows.push((0..width).map(|_| random.float() * 1e-20).collect());
    rows
}

/// Bytes of a matrix with sane scales and otherwise random codes.
fn source_bytes(random: &mut Random, ty: SourceType, rows: usize, cols: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..rows * cols / ty.block_weights() {
        let mut block: Vec<u8> = (0..ty.block_bytes()).map(|_| random.next() as u8).collect();
        let half = || [0x12u8, 0x1C + (bytes.len() % 13) as u8];
        let halves: &[usize] = match ty {
            SourceType::F32 => {
                block.copy_from_slice(&random.float().to_le_bytes());
                &[]
            }
            SourceType::Bf16 => {
                block.copy_from_slice(&random.float().to_le_bytes()[2..]);
                &[]
            }
            SourceType::Q4_1 | SourceType::Q5_1 | SourceType::Q4_K | SourceType::Q5_K => &[0, 2],
            SourceType::Q2_K => &[80, 82],
            SourceType::Q3_K => &[108],
            SourceType::Q6_K => &[208],
            SourceType::Mxfp4 => {
                block[0] = 118 + block[0] % 8;
                &[]
            }
            _ => &[0],
        };
        for &at in halves {
            block[at..at + 2].copy_from_slice(&half());
        }
        bytes.extend(block);
    }
    bytes
}

/// Quantises rows for the kernels.
fn quantize(kernels: Kernels, rows: &[Vec<f32>]) -> (Vec<i8>, Vec<GroupScale>, Vec<i32>) {
    let (mut codes, mut scales, mut exponents) = (vec![], vec![], vec![]);
    for row in rows {
        let mut padded = row.clone();
        padded.resize(row.len().next_multiple_of(GROUP), 0.0);
        let mut row_codes = vec![0; padded.len()];
        let mut row_scales = vec![GroupScale::default(); padded.len() / GROUP];
        exponents.push(kernels.quantize(&padded, &mut row_codes, &mut row_scales).unwrap());
        codes.extend(row_codes);
        scales.extend(row_scales);
    }
    (codes, scales, exponents)
}

#[test]
fn quantised_rows_equal_the_oracle() {
    let mut random = Random(1);
    for kernels in Kernels::all() {
        for row in rows(&mut random, 96) {
            let want = activation::quantize(&row).unwrap();
            let (codes, scales, exponents) = quantize(kernels, std::slice::from_ref(&row));
            assert_eq!(codes, want.codes);
            assert_eq!(exponents[0], want.exponent);
            assert!(want.scales.iter().all(|&a| a <= 4096));
            let groups = want.codes.chunks_exact(GROUP).zip(&want.scales);
            assert_eq!(scales, groups.map(|(codes, &a)| GroupScale::of(codes, a.into())).collect::<Vec<_>>());
        }
    }
}

#[test]
fn matmul_equals_the_oracle_for_every_source_type() {
    let mut random = Random(2);
    for ty in SourceType::ALL {
        let cols = if ty.block_weights() == 1 { 77 } else { 512 };
        for n in [1, 8, 21] {
            let bytes = source_bytes(&mut random, ty, n, cols);
            let (matrix, _) = import::import(ty, n, cols, &bytes).unwrap();
            let mut packed = vec![];
            let layout = pack(&matrix, &mut packed);
            let packed = PackedMatrix::new(layout, &packed).unwrap();
            let rows = rows(&mut random, cols);
            for kernels in Kernels::all() {
                let (codes, scales, exponents) = quantize(kernels, &rows);
                let x = Activations { codes: &codes, scales: &scales, exponents: &exponents };
                let mut out = vec![0.0; layout.blocks() * rows.len() * 8];
                kernels.matmul(&packed, &x, 0..layout.blocks(), &mut out);
                for (token, row) in rows.iter().enumerate() {
                    let want = matmul::matvec(&matrix, &activation::quantize(row).unwrap(), None);
                    for (n, want) in want.iter().enumerate() {
                        let got = out[(n / 8 * rows.len() + token) * 8 + n % 8];
                        assert_eq!(
                            got.to_bits(),
                            want.to_bits(),
                            "{} {} row {n} token {token}",
                            ty.name(),
                            kernels.name()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn attention_equals_the_oracle() {
    let mut random = Random(3);
    for head_size in [32, 64, 96, 128] {
        let positions = 600;
        let head = |random: &mut Random, bits, size: f32| -> VectorBlock {
            let x: Vec<f32> = (0..head_size).map(|_| random.float() * size).collect();
            vector_block::quantize(&x, bits).unwrap()
        };
        let keys: Vec<_> = (0..positions).map(|_| head(&mut random, vector_block::key_bits(head_size), 8.0)).collect();
        let values: Vec<_> = (0..positions).map(|p| head(&mut random, 12, 1.0 + p as f32)).collect();
        let (mut k, mut v) = (vec![0; positions * head_size], vec![0; positions * head_size]);
        for p in 0..positions {
            store_key(&mut k, head_size, p, &keys[p].codes);
            store_value(&mut v, head_size, p, &values[p].codes);
        }
        let exponents = |blocks: &[VectorBlock]| blocks.iter().map(|b| b.unit_exponent).collect::<Vec<_>>();
        let (key_exponents, value_exponents) = (exponents(&keys), exponents(&values));
        let cache = HeadCache {
            head_size,
            keys: &k,
            values: &v,
            key_exponents: &key_exponents,
            value_exponents: &value_exponents,
        };
        for (first, end, cap) in [(0, 1, None), (0, 13, None), (5, 300, Some(50.0)), (0, 600, None), (17, 599, None)] {
            let q = head(&mut random, 12, 4.0);
            let want = oracle::attend(&q, &keys[first..end], &values[first..end], 0.125, cap);
            for kernels in Kernels::all() {
                let query = Query { codes: &q.codes, exponent: q.unit_exponent, first, end, scale: 0.125, cap };
                let mut out = vec![0.0; head_size];
                kernels.attend(&query, &cache, &mut Scratch::default(), &mut out);
                assert_eq!(
                    out.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
                    want.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
                );
            }
        }
    }
}

#[test]
fn norms_blocks_and_elementwise_equal_the_oracle() {
    let mut random = Random(4);
    for kernels in Kernels::all() {
        for row in rows(&mut random, 160) {
            let weight: Vec<f32> = row.iter().map(|_| random.float()).collect();
            let want = norm::rms_norm(&row, &weight, 1e-5).unwrap();
            let mut got = row.clone();
            let r = kernels.reciprocal_rms(&row, 1e-5).unwrap();
            kernels.scale_norm(&mut got, &weight, r);
            assert!(got.iter().zip(&want).all(|(a, b)| a.to_bits() == b.to_bits()));
            for bits in [12, 13, 14, 15] {
                let want = vector_block::quantize(&row, bits).unwrap();
                let mut codes = vec![0; row.len()];
                assert_eq!(kernels.quantize_block(&row, bits, &mut codes).unwrap(), want.unit_exponent);
                assert_eq!(codes, want.codes);
            }
            let mut out = vec![0.0; row.len()];
            kernels.silu(&row, &mut out);
            assert!(row.iter().zip(&out).all(|(&x, y)| elementwise::silu(x).to_bits() == y.to_bits()));
            kernels.gelu(&row, &mut out);
            assert!(row.iter().zip(&out).all(|(&x, y)| elementwise::gelu(x).to_bits() == y.to_bits()));
        }
        assert!(kernels.reciprocal_rms(&[f32::NAN, 1.0], 1e-5).is_err());
        assert!(kernels.quantize_block(&[2.0e15], 12, &mut [0]).is_err());
    }
}

/// Logits whose maximum is 0, so that each is its own exponent at temperature 1.
fn check_weights(kernels: Kernels, logits: &[f32]) {
    for logits in logits.chunks(1 << 16) {
        let mut weights = vec![0; logits.len()];
        let (sum, count) = kernels.weigh(logits, 0.0, 1.0, &mut weights);
        for (&logit, &weight) in logits.iter().zip(&weights) {
            let want = (elementwise::exp32(logit) * sampling::ONE as f32).round_ties_even() as u32;
            assert_eq!(weight, want, "{logit:e}, {}", kernels.name());
        }
        assert_eq!(sum, weights.iter().copied().map(u64::from).sum::<u64>());
        assert_eq!(count, weights.iter().filter(|weight| **weight > 0).count());
    }
}

#[test]
fn weights_are_the_oracles() {
    // 2^-26 to 21.5, negated, and the ends: all with a weight other than 0 and ONE lie there.
    let (from, to) = (2f32.powi(-26).to_bits(), (-sampling::EXPONENT_MIN).to_bits());
    let negated = |bits: u32| -f32::from_bits(bits);
    for kernels in Kernels::all() {
        let step = if kernels == Kernels::scalar() { 5 } else { 1009 };
        let logits: Vec<f32> =
            (from..=to).step_by(step).chain(to - 100..to + 1000).chain(0..100).map(negated).collect();
        check_weights(kernels, &logits);
        check_weights(kernels, &vec![0.0; 1 << 16]);
        check_weights(kernels, &[sampling::EXPONENT_MIN, -22.0, -80.0, f32::MIN, 0.0, -0.0, -21.4]);
        // A banned token, and one that should not be.
        let mut weights = [1; 2];
        assert_eq!(kernels.weigh(&[f32::NEG_INFINITY, f32::NAN], 0.0, 1.0, &mut weights), (0, 0));
        assert_eq!(weights, [0, 0]);
    }
}

#[test]
fn integers_are_the_oracles_before_rounding() {
    let mut random = Random(11);
    for ty in [SourceType::Q4_0, SourceType::Q4_1, SourceType::Iq4Nl, SourceType::Q8_0] {
        let (n, k) = (37, 320);
        let (matrix, _) = import::import(ty, n, k, &source_bytes(&mut random, ty, n, k)).unwrap();
        let mut bytes = Vec::new();
        let layout = pack(&matrix, &mut bytes);
        let packed = PackedMatrix::new(layout, &bytes).unwrap();
        let rows = rows(&mut random, k);
        for kernels in Kernels::all() {
            let (codes, scales, exponents) = quantize(kernels, &rows);
            let x = Activations { codes: &codes, scales: &scales, exponents: &exponents };
            let mut out = vec![0; layout.blocks() * rows.len() * 8];
            kernels.integers(&packed, &x, 0..layout.blocks(), &mut out);
            for (token, row) in rows.iter().enumerate() {
                let quantised = activation::quantize(row).unwrap();
                for n in 0..n {
                    let expected = matmul::accumulate(&matrix, n, &quantised);
                    assert_eq!(out[(n / 8 * rows.len() + token) * 8 + n % 8], expected, "{} {ty:?}", kernels.name());
                }
            }
        }
    }
}

/// The largest sums of one group, and every split of tokens and blocks into passes.
#[test]
fn extreme_integers_and_every_number_of_tokens() {
    let ramp = std::array::from_fn(|at| at as i8 - 8);
    let table = std::array::from_fn(|at| if at % 2 == 0 { 127 } else { -128 });
    let formats = [
        Format::Lb4 { codebook: ramp, has_offset: true },
        Format::Lb4 { codebook: ramp, has_offset: false },
        Format::Lb4 { codebook: table, has_offset: false },
        Format::Lb8,
    ];
    let (rows, groups, most) = (37, 3, 19);
    let a: Vec<i8> =
        (0..most * groups * GROUP).map(|at| if (at / GROUP).is_multiple_of(3) { 127 } else { -127 }).collect();
    let scales: Vec<_> = a.chunks_exact(GROUP).map(|codes| GroupScale::of(codes, 4096)).collect();
    let exponents = vec![0; most];
    for format in formats {
        let layout = PackedLayout { rows, cols: groups * GROUP, format };
        let ends = if format == Format::Lb8 { [0x8181_8181, 0x7F7F_7F7F] } else { [0, 0x0F0F_0F0F] };
        // The contract's bound on D (and O), so that a group's integer fits an i32.
        let bound = if format == Format::Lb8 || matches!(format, Format::Lb4 { codebook, .. } if codebook == table) {
            ((1_i64 << 31) / (4064 * 128) - 1) as i16
        } else {
            32_767
        };
        let d = |row| [bound, -bound, 1, 0][row % 4];
        let mut bytes = vec![];
        let quad = |row, group, _| ends[(row + group) % 2];
        pack_with(&layout, quad, |row, group| (d(row), d(row + group)), |_| 0, &mut bytes);
        let matrix = PackedMatrix::new(layout, &bytes).unwrap();
        for tokens in 1..=most {
            let codes = &a[..tokens * groups * GROUP];
            let x = Activations { codes, scales: &scales[..tokens * groups], exponents: &exponents[..tokens] };
            for blocks in [0..layout.blocks(), 1..3, 2..3] {
                let run = |kernels: Kernels| {
                    let mut floats = vec![0.0; blocks.len() * tokens * 8];
                    let mut integers = vec![0; floats.len()];
                    kernels.matmul(&matrix, &x, blocks.clone(), &mut floats);
                    kernels.integers(&matrix, &x, blocks.clone(), &mut integers);
                    (floats.into_iter().map(f32::to_bits).collect::<Vec<_>>(), integers)
                };
                let want = run(Kernels::scalar());
                for kernels in Kernels::all() {
                    assert_eq!(run(kernels), want, "{} {format:?} {tokens} tokens", kernels.name());
                }
            }
        }
    }
}

#[test]
fn dense_products_are_exact() {
    use lockstep_kernels::dense::{DenseMatrix, dense_index};
    let mut random = Random(5);
    for (rows, pairs, tokens) in [(8, 1, 1), (24, 7, 3), (40, 9, 15), (320, 160, 9)] {
        let numbers: Vec<i16> = (0..rows * pairs * 2).map(|_| random.next() as i8 as i16).collect();
        let mut x: Vec<i16> = (0..tokens * pairs * 2).map(|_| random.next() as i8 as i16).collect();
        x[0] = -128;
        let matrix = DenseMatrix { rows, pairs, numbers: &numbers };
        for kernels in Kernels::all() {
            let mut out = vec![0; tokens * rows];
            kernels.dense(&matrix, &x, &mut out);
            for (at, got) in out.iter().enumerate() {
                let (token, row) = (at / rows, at % rows);
                let product = |k| i32::from(numbers[dense_index(pairs, row, k)]) * i32::from(x[token * pairs * 2 + k]);
                assert_eq!(*got, (0..2 * pairs).map(product).sum::<i32>(), "{}", kernels.name());
            }
        }
    }
}
