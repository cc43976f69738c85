//! Decoding source blocks: each block becomes groups of 32 weights, with the scales that the file gives them.
//!
//! The block layouts are the GGUF file format's.

use crate::matrix::GROUP;
use crate::source::SourceType;

/// Codebook of IQ4_NL.
pub const IQ4_NL: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];
/// Codebook of MXFP4: twice the values of the 4-bit float E2M1.
pub const MXFP4: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// One group of 32 source weights: `scale * code + offset`, each scale covering 16.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SourceGroup {
    /// Codes as the format counts them, zero point removed where the format has one.
    pub(crate) codes: [i8; GROUP],
    /// Scale of the first and the second 16 weights.
    pub(crate) scale: [f64; 2],
    /// Offset of the first and the second 16 weights.
    pub(crate) offset: [f64; 2],
}

impl SourceGroup {
    fn uniform(scale: f64, offset: f64, codes: [i8; GROUP]) -> Self {
        Self { codes, scale: [scale; 2], offset: [offset; 2] }
    }

    /// The weights in f64 (exact products of the file's numbers, one rounding of the sum at most).
    pub(crate) fn weights(&self) -> [f64; GROUP] {
        std::array::from_fn(|k| self.scale[k / 16] * f64::from(self.codes[k]) + self.offset[k / 16])
    }
}

/// A half-precision number.
pub(crate) fn f16(bytes: &[u8], at: usize) -> f64 {
    let bits = u16::from_le_bytes([bytes[at], bytes[at + 1]]);
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 1023));
    let magnitude = match exponent {
        0 => fraction * two(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * two(exponent - 25),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

/// `2^e` in f64.
pub(crate) fn two(e: i32) -> f64 {
    f64::from_bits(((e + 1023) as u64) << 52)
}

/// 32 nibbles of 16 bytes: the low ones, then the high ones.
#[inline(always)]
pub(crate) fn nibbles(qs: &[u8]) -> [i8; GROUP] {
    let mut codes = [0; GROUP];
    let (low, high) = codes.split_at_mut(16);
    for ((low, high), q) in low.iter_mut().zip(high).zip(&qs[..16]) {
        *low = (q & 15) as i8;
        *high = (q >> 4) as i8;
    }
    codes
}

/// Scale and minimum j of the 12 packed bytes of Q4_K and Q5_K.
fn scale_and_minimum(packed: &[u8], j: usize) -> (f64, f64) {
    let (scale, minimum) = if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (packed[j + 4] & 15 | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4)
    };
    (f64::from(scale), f64::from(minimum))
}

/// Decodes group `group` (0 for formats of 32, 0..8 for those of 256) of one block.
pub(crate) fn decode(ty: SourceType, block: &[u8], group: usize) -> SourceGroup {
    use std::array::from_fn;
    match ty {
        SourceType::Q4_0 => SourceGroup::uniform(f16(block, 0), 0.0, nibbles(&block[2..]).map(|q| q - 8)),
        SourceType::Q4_1 => SourceGroup::uniform(f16(block, 0), f16(block, 2), nibbles(&block[4..])),
        SourceType::Q5_0 => SourceGroup::uniform(f16(block, 0), 0.0, five_bits(block, 2).map(|q| q - 16)),
        SourceType::Q5_1 => SourceGroup::uniform(f16(block, 0), f16(block, 2), five_bits(block, 4)),
        SourceType::Q8_0 => SourceGroup::uniform(f16(block, 0), 0.0, from_fn(|k| block[2 + k] as i8)),
        SourceType::Iq4Nl => SourceGroup::uniform(f16(block, 0), 0.0, nibbles(&block[2..]).map(|q| IQ4_NL[q as usize])),
        SourceType::Mxfp4 => {
            let scale = two(i32::from(block[0]) - 128);
            SourceGroup::uniform(scale, 0.0, nibbles(&block[1..]).map(|q| MXFP4[q as usize]))
        }
        SourceType::Q2_K => q2_k(block, group),
        SourceType::Q3_K => q3_k(block, group),
        SourceType::Q4_K => q4_k(block, group),
        SourceType::Q5_K => q5_k(block, group),
        SourceType::Q6_K => q6_k(block, group),
        SourceType::F32 | SourceType::F16 | SourceType::Bf16 => SourceGroup::default(),
    }
}

/// Nibbles with a fifth bit each; the 4 bytes of high bits stand at `at`.
fn five_bits(block: &[u8], at: usize) -> [i8; GROUP] {
    let high = u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    let low = nibbles(&block[at + 4..]);
    std::array::from_fn(|k| low[k] | ((high >> k & 1) << 4) as i8)
}

fn q2_k(block: &[u8], group: usize) -> SourceGroup {
    let (scales, qs) = (&block[..16], &block[16 + group / 4 * 32..]);
    let (d, minimum) = (f16(block, 80), f16(block, 82));
    let half = |i: usize| scales[group * 2 + i];
    SourceGroup {
        codes: std::array::from_fn(|k| (qs[k] >> (2 * (group % 4)) & 3) as i8),
        scale: std::array::from_fn(|i| d * f64::from(half(i) & 15)),
        offset: std::array::from_fn(|i| -minimum * f64::from(half(i) >> 4)),
    }
}

fn q3_k(block: &[u8], group: usize) -> SourceGroup {
    let (mask, qs, packed) = (&block[..32], &block[32 + group / 4 * 32..], &block[96..108]);
    let scale = |j: usize| {
        let low = if j < 8 { packed[j] & 15 } else { packed[j - 8] >> 4 };
        f64::from(low | (packed[8 + j % 4] >> (2 * (j / 4)) & 3) << 4) - 32.0
    };
    let d = f16(block, 108);
    let high = |k: usize| if mask[k] >> group & 1 == 1 { 0 } else { 4 };
    SourceGroup {
        codes: std::array::from_fn(|k| (qs[k] >> (2 * (group % 4)) & 3) as i8 - high(k)),
        scale: std::array::from_fn(|i| d * scale(group * 2 + i)),
        offset: [0.0; 2],
    }
}

fn q4_k(block: &[u8], group: usize) -> SourceGroup {
    let (scale, minimum) = scale_and_minimum(&block[4..16], group);
    let qs = &block[16 + group / 2 * 32..];
    let codes = std::array::from_fn(|k| (qs[k] >> (4 * (group % 2)) & 15) as i8);
    SourceGroup::uniform(f16(block, 0) * scale, -f16(block, 2) * minimum, codes)
}

fn q5_k(block: &[u8], group: usize) -> SourceGroup {
    let (scale, minimum) = scale_and_minimum(&block[4..16], group);
    let (high, qs) = (&block[16..48], &block[48 + group / 2 * 32..]);
    let code = |k: usize| qs[k] >> (4 * (group % 2)) & 15 | (high[k] >> group & 1) << 4;
    SourceGroup::uniform(f16(block, 0) * scale, -f16(block, 2) * minimum, std::array::from_fn(|k| code(k) as i8))
}

fn q6_k(block: &[u8], group: usize) -> SourceGroup {
    let (half, part) = (group / 4, group % 4);
    let (low, high, scales) = (&block[half * 64..], &block[128 + half * 32..], &block[192..208]);
    let code = |k: usize| {
        let low = low[k + part % 2 * 32] >> (4 * (part / 2)) & 15;
        (low | (high[k] >> (2 * part) & 3) << 4) as i8 - 32
    };
    let d = f16(block, 208);
    SourceGroup {
        codes: std::array::from_fn(code),
        scale: std::array::from_fn(|i| d * f64::from(scales[half * 8 + part * 2 + i] as i8)),
        offset: [0.0; 2],
    }
}

/// The values that the blocks in `bytes` stand for. The caller has checked that `bytes` is a whole number of blocks
/// and that `out` has room for exactly their weights. A value above f32's range becomes infinite.
pub fn dequantize(ty: SourceType, bytes: &[u8], out: &mut [f32]) {
    let width = ty.block_bytes();
    assert_eq!(bytes.len() / width * ty.block_weights(), out.len(), "bytes and weights disagree");
    match ty {
        SourceType::F32 | SourceType::F16 | SourceType::Bf16 => {
            for (x, bytes) in out.iter_mut().zip(bytes.chunks_exact(width)) {
                *x = float(ty, bytes);
            }
        }
        _ => {
            let groups = ty.block_weights() / GROUP;
            for (at, out) in out.chunks_mut(GROUP).enumerate() {
                let block = &bytes[at / groups * width..][..width];
                let weights = decode(ty, block, at % groups).weights();
                out.iter_mut().zip(weights).for_each(|(x, w)| *x = w as f32);
            }
        }
    }
}

/// One number of a float format.
#[inline(always)]
pub(crate) fn float(ty: SourceType, bytes: &[u8]) -> f32 {
    match ty {
        SourceType::F16 => f16(bytes, 0) as f32,
        SourceType::Bf16 => f32::from_bits(u32::from(u16::from_le_bytes([bytes[0], bytes[1]])) << 16),
        _ => f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
    }
}
