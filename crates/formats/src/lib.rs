//! Model files: bytes in, typed views out. All input is untrusted.
//!
//! In: a byte slice that the caller maps. Out: metadata and [`Tensor`]s that borrow from it. Every count, length and
//! offset is checked against the bytes that are there, and memory stays within a small multiple of them. It knows no
//! graphs and no architectures. Start reading at [`gguf`].

mod check;
mod cursor;
mod error;
pub mod gguf;
pub mod hf;
mod index;
pub mod safetensors;
mod tensor;

pub use check::{check_gguf, check_safetensors};
pub use error::Error;
pub use gguf::{Gguf, Value};
pub use tensor::Tensor;
