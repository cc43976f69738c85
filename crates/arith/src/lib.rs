//! The arithmetic contract as plain, safe, scalar code: the oracle that kernels and chips are tested against.
//!
//! In: numbers and source blocks. Out: the bits that every Lockstep backend must produce. It knows no SIMD, no
//! files and no threads. `docs/arithmetic.md` explains it. Start reading at [`matrix`] (the weight formats), then
//! [`activation`], then [`matmul`]; [`import`] is how weights get there.

pub mod activation;
pub mod attention;
pub mod blocks;
pub mod elementwise;
pub mod embedding;
pub mod environment;
pub mod fault;
pub mod import;
pub mod matmul;
pub mod matrix;
pub mod norm;
pub mod rotary;
pub mod sampling;
pub mod source;
pub mod vector_block;

/// The contract's version: it is part of every digest that crosses machines.
pub const VERSION: u32 = 1;
