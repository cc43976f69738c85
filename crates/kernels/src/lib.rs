//! The arithmetic contract at full speed: packed weights and SIMD kernels with run-time dispatch, bit-equal to `arith`.
//!
//! In: slices of numbers. Out: the oracle's bits, sooner. It knows no graphs, no caches and no threads; it is the one
//! crate with unsafe code. Start reading at [`packed`], then [`Kernels`].

pub mod packed;
