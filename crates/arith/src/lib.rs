//! The arithmetic contract as plain, safe, scalar code: the oracle that kernels and chips are tested against.
//!
//! In: numbers and source blocks. Out: the bits that every Lockstep backend must produce. It knows no SIMD, no
//! files and no threads. Start reading at [`matrix`] (the weight formats), then [`activation`], then [`matmul`].

pub mod matrix;
pub mod source;
