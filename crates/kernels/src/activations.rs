//! Quantised activations as the matmul kernels read them.

use lockstep_arith::fault::{ValueFault, checked_maximum, magnitude_bits, power_of_two};
use lockstep_arith::{activation, matrix::GROUP};

/// What a kernel needs of one group beside its codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct GroupScale {
    /// -8 times the sums of `a` over quad elements {0, 1} (low half) and {2, 3} (high half), as two `i16`: the start
    /// value that lets raw nibbles 0..=15 stand for codes -8..=7.
    pub start: i32,
    /// Sum of `a`.
    pub sum: i32,
    /// A.
    pub scale: i32,
    /// -8 * sum + 2^15 in the low half and sum in the high half, without a borrow between them once the sum of
    /// nibbles times a is added: the start value of 32-bit sums of raw nibbles.
    pub biased: i32,
}

/// A [`GroupScale`] is so many `i32`.
#[cfg(target_arch = "x86_64")]
pub(crate) const SCALE_FIELDS: usize = size_of::<GroupScale>() / size_of::<i32>();

impl GroupScale {
    /// What belongs to 32 codes and their A.
    pub fn of(codes: &[i8], scale: i32) -> Self {
        let mut sums = [0_i32; 4];
        for quad in codes.chunks_exact(4) {
            (0..4).for_each(|i| sums[i] += i32::from(quad[i]));
        }
        Self::from_sums(sums, scale)
    }

    /// The same from the sums of each quad element.
    #[inline(always)]
    pub(crate) fn from_sums(sums: [i32; 4], scale: i32) -> Self {
        let (low, high) = (sums[0] + sums[1], sums[2] + sums[3]);
        let sum = low + high;
        Self { start: (-8 * low) & 0xFFFF | (-8 * high) << 16, sum, scale, biased: (sum << 16) - 8 * sum + (1 << 15) }
    }
}

/// Quantised rows: `tokens` x K codes and `tokens` x groups scales.
#[derive(Clone, Copy, Debug)]
pub struct Activations<'a> {
    /// `tokens x groups x 32` codes.
    pub codes: &'a [i8],
    /// `tokens x groups` scales.
    pub scales: &'a [GroupScale],
    /// E of each token.
    pub exponents: &'a [i32],
}

impl Activations<'_> {
    /// Number of rows.
    pub fn tokens(&self) -> usize {
        self.exponents.len()
    }
}

/// Quantises one row of whole groups (K padded with zeros); returns E. The oracle is `arith::activation::quantize`.
#[inline(always)]
pub(crate) fn quantize(x: &[f32], codes: &mut [i8], scales: &mut [GroupScale]) -> Result<i32, ValueFault> {
    assert!(x.len() == codes.len() && x.len() == scales.len() * GROUP, "rows are whole groups");
    let exponent = activation::vector_exponent(f32::from_bits(checked_maximum(x)?));
    let down = power_of_two(-exponent);
    for ((x, codes), scale) in x.chunks_exact(GROUP).zip(codes.chunks_exact_mut(GROUP)).zip(scales) {
        let m = f32::from_bits(x.iter().fold(0, |max, &v| max.max(magnitude_bits(v))));
        let a = ((m * activation::RECIPROCAL_127) * down).ceil();
        let reciprocal = 1.0 / a.max(1.0);
        let mut wide = [0i32; GROUP];
        for (wide, &v) in wide.iter_mut().zip(x) {
            // Within -127..=127 by the contract, so the clamp changes nothing; it lets the conversion vectorise.
            *wide = round_small((v * down) * reciprocal);
        }
        let mut sums = [0i32; 4];
        for (quad, codes) in wide.chunks_exact(4).zip(codes.chunks_exact_mut(4)) {
            for i in 0..4 {
                codes[i] = quad[i] as i8;
                sums[i] += quad[i];
            }
        }
        *scale = GroupScale::from_sums(sums, a as i32);
    }
    Ok(exponent)
}

/// Rounds to nearest even where |x| <= 2^22: adding 1.5 * 2^23 leaves the rounded integer in the low bits.
#[inline(always)]
pub(crate) fn round_small(x: f32) -> i32 {
    const MAGIC: f32 = 12_582_912.0;
    (x + MAGIC).to_bits() as i32 - MAGIC.to_bits() as i32
}
