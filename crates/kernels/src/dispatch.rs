//! Run-time choice of instruction set: one value, made only for what the CPU has.

use crate::activations::{self, Activations, GroupScale};
use crate::attention::{self, HeadCache, Plain, Query, Scratch};
use crate::dense::{self, DenseMatrix};
use crate::packed::{BLOCK_ROWS, PackedMatrix};
use crate::{matmul_scalar, vectors};
use lockstep_arith::fault::ValueFault;
use std::ops::Range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
}

/// A set of kernels that this CPU can run. Every set gives the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernels(Level);

impl Kernels {
    /// Plain code, on any CPU.
    pub fn scalar() -> Self {
        Self(Level::Scalar)
    }

    /// AVX2, where the CPU has it.
    pub fn avx2() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx2") {
            return Some(Self(Level::Avx2));
        }
        None
    }

    /// AVX-512 with VNNI, where the CPU has both, and AVX2 for what they do no faster.
    pub fn avx512() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        if std::arch::is_x86_feature_detected!("avx512f")
            && std::arch::is_x86_feature_detected!("avx512bw")
            && std::arch::is_x86_feature_detected!("avx512dq")
            && std::arch::is_x86_feature_detected!("avx512vl")
            && std::arch::is_x86_feature_detected!("avx512vnni")
        {
            return Self::avx2().map(|_| Self(Level::Avx512));
        }
        None
    }

    /// The fastest set of this CPU.
    pub fn detect() -> Self {
        Self::avx512().or_else(Self::avx2).unwrap_or_else(Self::scalar)
    }

    /// Every set that this CPU can run.
    pub fn all() -> Vec<Self> {
        std::iter::once(Self::scalar()).chain(Self::avx2()).chain(Self::avx512()).collect()
    }

    /// The set's name, as flags spell it.
    pub fn name(self) -> &'static str {
        match self.0 {
            Level::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => "avx512",
        }
    }

    /// Rows `blocks` (in blocks of 8) of `W x` for all tokens; `out` is `[block][token][8]`.
    pub fn matmul(self, matrix: &PackedMatrix<'_>, x: &Activations<'_>, blocks: Range<usize>, out: &mut [f32]) {
        let width = x.tokens() * BLOCK_ROWS;
        assert_eq!(out.len(), blocks.len() * width, "one output for each row and token");
        #[cfg(target_arch = "x86_64")]
        if self.0 == Level::Avx512 && x.tokens() >= crate::matmul_avx512::MANY {
            // SAFETY: this level is made only where AVX-512 with VNNI was detected.
            return unsafe { crate::matmul_avx512::blocks(matrix, x, blocks, out) };
        }
        for (block, out) in blocks.zip(out.chunks_exact_mut(width.max(1))) {
            match self.0 {
                Level::Scalar => matmul_scalar::block(matrix, x, block, out),
                #[cfg(target_arch = "x86_64")]
                // SAFETY: these levels are made only where AVX2 was detected.
                Level::Avx2 | Level::Avx512 => unsafe { crate::matmul_avx2::block(matrix, x, block, out) },
            }
        }
    }

    /// The exact integers of rows `blocks` (in blocks of 8) for all tokens, before any rounding; `out` is
    /// `[block][token][8]`. The vectors' exponents are not looked at.
    pub fn integers(self, matrix: &PackedMatrix<'_>, x: &Activations<'_>, blocks: Range<usize>, out: &mut [i64]) {
        let width = x.tokens() * BLOCK_ROWS;
        assert_eq!(out.len(), blocks.len() * width, "one output for each row and token");
        #[cfg(target_arch = "x86_64")]
        if self.0 == Level::Avx512 && x.tokens() >= crate::matmul_avx512::MANY {
            // SAFETY: this level is made only where AVX-512 with VNNI was detected.
            return unsafe { crate::matmul_avx512::integers(matrix, x, blocks, out) };
        }
        for (block, out) in blocks.zip(out.chunks_exact_mut(width.max(1))) {
            match self.0 {
                Level::Scalar => matmul_scalar::block_integers(matrix, x, block, out),
                #[cfg(target_arch = "x86_64")]
                // SAFETY: these levels are made only where AVX2 was detected.
                Level::Avx2 | Level::Avx512 => unsafe { crate::matmul_avx2::block_integers(matrix, x, block, out) },
            }
        }
    }

    /// Dense products of 16-bit integers; see [`crate::dense`].
    pub fn dense(self, matrix: &DenseMatrix<'_>, x: &[i16], out: &mut [i32]) {
        dense::check(matrix, x, out);
        match self.0 {
            Level::Scalar => dense::multiply(matrix, x, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this level is made only where AVX2 was detected.
            Level::Avx2 => unsafe { crate::dense_avx2::multiply_from(matrix, 0, x, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this level is made only where AVX-512 with VNNI was detected.
            Level::Avx512 => unsafe { crate::dense_avx512::multiply(matrix, x, out) },
        }
    }

    /// Quantises one row of whole groups for a matmul; returns E.
    pub fn quantize(self, x: &[f32], codes: &mut [i8], scales: &mut [GroupScale]) -> Result<i32, ValueFault> {
        match self.0 {
            Level::Scalar => activations::quantize(x, codes, scales),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this level is made only where AVX2 was detected.
            Level::Avx2 => unsafe { quantize_avx2(x, codes, scales) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this level is made only where AVX-512 with VNNI was detected.
            Level::Avx512 => unsafe { crate::activations_avx512::quantize(x, codes, scales) },
        }
    }

    /// Attention of one query head.
    pub fn attend(self, query: &Query<'_>, cache: &HeadCache<'_>, scratch: &mut Scratch, out: &mut [f32]) {
        match self.0 {
            Level::Scalar => attention::attend(&Plain, query, cache, scratch, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this level is made only where AVX2 was detected.
            Level::Avx2 => unsafe { attend_avx2(query, cache, scratch, out) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this level is made only where AVX-512 with VNNI was detected.
            Level::Avx512 => unsafe { attend_avx512(query, cache, scratch, out) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn quantize_avx2(x: &[f32], codes: &mut [i8], scales: &mut [GroupScale]) -> Result<i32, ValueFault> {
    activations::quantize(x, codes, scales)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn attend_avx2(query: &Query<'_>, cache: &HeadCache<'_>, scratch: &mut Scratch, out: &mut [f32]) {
    attention::attend(&crate::attention_avx2::Avx2(()), query, cache, scratch, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn attend_avx512(query: &Query<'_>, cache: &HeadCache<'_>, scratch: &mut Scratch, out: &mut [f32]) {
    attention::attend(&crate::attention_avx512::Avx512(()), query, cache, scratch, out);
}

/// Methods whose one plain body is compiled for each instruction set. After `wide` stand the features of the code
/// that the AVX-512 set takes: AVX2 where longer vectors gain nothing.
macro_rules! compiled_for_each_set {
    ($($(#[$doc:meta])* $name:ident = $body:path, wide $wide:literal, ($($arg:ident: $ty:ty),*) $(-> $ret:ty)?;)*) => {
        impl Kernels {
            $($(#[$doc])*
            pub fn $name(self, $($arg: $ty),*) $(-> $ret)? {
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = "avx2")]
                fn avx2($($arg: $ty),*) $(-> $ret)? {
                    $body($($arg),*)
                }
                #[cfg(target_arch = "x86_64")]
                #[target_feature(enable = $wide)]
                fn wide($($arg: $ty),*) $(-> $ret)? {
                    $body($($arg),*)
                }
                match self.0 {
                    Level::Scalar => $body($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: this level is made only where AVX2 was detected.
                    Level::Avx2 => unsafe { avx2($($arg),*) },
                    #[cfg(target_arch = "x86_64")]
                    // SAFETY: this level is made only where AVX2 and all that stands after `wide` was detected.
                    Level::Avx512 => unsafe { wide($($arg),*) },
                }
            })*
        }
    };
}

compiled_for_each_set! {
    /// Quantises one vector block of `bits` bits; returns the exponent of its unit.
    quantize_block = vectors::quantize_block, wide "avx2",
        (x: &[f32], bits: u32, codes: &mut [i16]) -> Result<i8, ValueFault>;
    /// `1 / rms` of one vector.
    reciprocal_rms = vectors::reciprocal_rms, wide "avx2", (x: &[f32], eps: f32) -> Result<f32, ValueFault>;
    /// The norm's last step: `x = x * weight * r`.
    scale_norm = vectors::scale_norm, wide "avx2", (x: &mut [f32], weight: &[f32], r: f32);
    /// Exact sums of one product each, shifted left; as many as the shorter of both has.
    set_shifted = crate::dense::set_shifted, wide "avx2", (products: &[i32], shift: u32, sums: &mut [i64]);
    /// Adds exact products, shifted left, to exact sums; as many as the shorter of both has.
    add_shifted = crate::dense::add_shifted, wide "avx2", (products: &[i32], shift: u32, sums: &mut [i64]);
    /// `out = x + y`.
    add = vectors::add, wide "avx2", (x: &[f32], y: &[f32], out: &mut [f32]);
    /// `out = x * y`.
    mul = vectors::mul, wide "avx2", (x: &[f32], y: &[f32], out: &mut [f32]);
    /// `out = silu(x)`.
    silu = vectors::silu_all, wide "avx512f,avx512bw,avx512dq,avx512vl", (x: &[f32], out: &mut [f32]);
    /// `out = gelu(x)`.
    gelu = vectors::gelu_all, wide "avx512f,avx512bw,avx512dq,avx512vl", (x: &[f32], out: &mut [f32]);
    /// `out = soft_cap(x)`.
    soft_cap = vectors::soft_cap_all, wide "avx512f,avx512bw,avx512dq,avx512vl", (x: &[f32], cap: f32, out: &mut [f32]);
    /// Weights of up to 2^16 logits at the temperature `1 / inverse`; returns their sum, and how many are not 0.
    weigh = crate::sampling::weigh, wide "avx512f,avx512bw,avx512dq,avx512vl",
        (logits: &[f32], max: f32, inverse: f32, weights: &mut [u32]) -> (u64, usize);
}
