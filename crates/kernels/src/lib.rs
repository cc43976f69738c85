//! The arithmetic contract at full speed: packed weights and SIMD kernels with run-time dispatch, bit-equal to `arith`.
//!
//! In: slices of numbers. Out: the oracle's bits, sooner. It knows no graphs, no caches and no threads; it is the one
//! crate with unsafe code for speed. Start reading at [`packed`], then [`Kernels`].

#![allow(unsafe_code, clippy::wildcard_imports, clippy::needless_range_loop)]

pub mod activations;
#[cfg(target_arch = "x86_64")]
mod activations_avx512;
pub mod attention;
#[cfg(target_arch = "x86_64")]
mod attention_avx2;
#[cfg(target_arch = "x86_64")]
mod attention_avx512;
pub mod dense;
#[cfg(target_arch = "x86_64")]
mod dense_avx2;
#[cfg(target_arch = "x86_64")]
mod dense_avx512;
mod dispatch;
#[cfg(target_arch = "x86_64")]
mod matmul_avx2;
#[cfg(target_arch = "x86_64")]
mod matmul_avx512;
mod matmul_scalar;
pub mod packed;
pub mod sampling;
mod vectors;

pub use dispatch::Kernels;
