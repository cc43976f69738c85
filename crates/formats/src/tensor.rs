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

impl Tensor<'_> {
    /// Elements of the innermost extent; 1 of a scalar.
    pub fn cols(&self) -> usize {
        self.shape.last().copied().unwrap_or(1)
    }

    /// Product of all extents but the innermost; 1 of a vector and of a scalar.
    pub fn rows(&self) -> usize {
        // The readers have checked the product of all extents.
        self.shape.split_last().map_or(1, |(_, outer)| outer.iter().product())
    }
}

/// A file's extents as the machine counts, each at least 1.
pub(crate) fn extent(tensor: &str, n: u64) -> Result<usize, Error> {
    let n = usize::try_from(n).ok().filter(|&n| n > 0);
    n.ok_or_else(|| Error::damaged(format_args!("tensor {tensor}"), "an extent is zero or too large"))
}

/// Bytes of a tensor of this type and shape (innermost extent last), with every product checked.
pub(crate) fn tensor_bytes(name: &str, ty: SourceType, shape: &[usize]) -> Result<usize, Error> {
    let inner = shape.last().copied().unwrap_or(1);
    let block = ty.block_weights();
    if !inner.is_multiple_of(block) {
        let problem = format!("rows of {inner} are not whole blocks of {block} ({})", ty.name());
        return Err(Error::damaged(format_args!("tensor {name}"), problem));
    }
    let weights = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
    let bytes = weights.and_then(|weights| (weights / block).checked_mul(ty.block_bytes()));
    bytes.ok_or_else(|| Error::damaged(format_args!("tensor {name}"), format!("shape {shape:?} overflows")))
}

/// Refuses tensors that share bytes: no writer makes them, and a small file could stand for a huge model.
///
/// `spans` are start, end and name; sorted here.
pub(crate) fn refuse_overlaps(spans: &mut [(usize, usize, &str)]) -> Result<(), Error> {
    spans.sort_unstable();
    match spans.windows(2).find(|pair| pair[1].0 < pair[0].1) {
        Some(pair) => {
            let problem = format_args!("its data overlaps that of {}", pair[0].2);
            Err(Error::damaged(format_args!("tensor {}", pair[1].2), problem))
        }
        None => Ok(()),
    }
}
