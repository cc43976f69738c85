//! A tensor as it lies in a file.

use crate::Error;
use lockstep_arith::source::SourceType;

/// A typed view of a tensor's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor<'a> {
    /// Its name in the file.
    pub name: &'a str,
    /// Its number format.
    pub ty: SourceType,
    /// Extents, outermost first: a matrix is `[rows, cols]`.
    pub shape: Vec<usize>,
    /// Its bytes: as many as the shape needs.
    pub data: &'a [u8],
}

/// Bytes of a tensor of this type and shape (innermost extent last), with every product checked.
pub(crate) fn tensor_bytes(name: &str, ty: SourceType, shape: &[u64]) -> Result<usize, Error> {
    let inner = shape.last().copied().unwrap_or(1);
    let block = ty.block_weights() as u64;
    if inner == 0 || !inner.is_multiple_of(block) {
        let problem = format!("rows of {inner} are not whole blocks of {block} ({})", ty.name());
        return Err(Error::damaged(format!("tensor {name}"), problem));
    }
    let weights = shape.iter().try_fold(1u64, |product, &n| product.checked_mul(n));
    let bytes = weights.and_then(|weights| (weights / block).checked_mul(ty.block_bytes() as u64));
    bytes
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| Error::damaged(format!("tensor {name}"), format!("shape {shape:?} overflows")))
}
