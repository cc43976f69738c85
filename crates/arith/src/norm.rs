//! RMS norm (contract section 5).

use crate::fault::ValueFault;
use crate::vector_block::{self, NORM_BITS};

/// `1 / sqrt(mean square + eps)`, from an exact sum of squares.
pub fn reciprocal_rms(x: &[f32], eps: f32) -> Result<f32, ValueFault> {
    let block = vector_block::quantize(x, NORM_BITS)?;
    let sum: i64 = block.codes.iter().map(|&c| i64::from(c) * i64::from(c)).sum();
    let unit = block.unit();
    let mean_square = (sum as f32 * (1.0 / x.len() as f32)) * (unit * unit);
    Ok(1.0 / (mean_square + eps).sqrt())
}

/// RMS norm of one vector.
pub fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Result<Vec<f32>, ValueFault> {
    assert_eq!(x.len(), weight.len(), "a norm has a weight for each element");
    let r = reciprocal_rms(x, eps)?;
    Ok(x.iter().zip(weight).map(|(&x, &w)| (x * w) * r).collect())
}

/// RMS norm of each run of `group` elements, all with the same `group` weights.
pub fn rms_norm_groups(x: &[f32], weight: &[f32], group: usize, eps: f32) -> Result<Vec<f32>, ValueFault> {
    let mut y = Vec::with_capacity(x.len());
    for x in x.chunks(group) {
        y.extend(rms_norm(x, weight, eps)?);
    }
    Ok(y)
}
