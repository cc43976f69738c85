//! Keys and values of one sequence.

use crate::shared::Shared;
use lockstep_kernels::attention::TILE;

/// Geometry that all sequences of a model share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KvShape {
    pub(crate) layers: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_size: usize,
}

/// One sequence's cache: for each (layer, head) a run of `capacity` positions.
#[derive(Debug)]
pub(crate) struct KvCache {
    pub(crate) capacity: usize,
    pub(crate) length: usize,
    pub(crate) keys: Shared<i16>,
    pub(crate) values: Shared<i16>,
    pub(crate) key_exponents: Shared<i8>,
    pub(crate) value_exponents: Shared<i8>,
}

impl KvCache {
    /// Room for `capacity` tokens, or `None` if that cannot be addressed.
    pub(crate) fn new(shape: KvShape, capacity: usize) -> Option<Self> {
        let capacity = capacity.checked_next_multiple_of(TILE)?;
        let positions = capacity.checked_mul(shape.layers)?.checked_mul(shape.kv_heads)?;
        let codes = positions.checked_mul(shape.head_size).filter(|codes| *codes < isize::MAX as usize / 8)?;
        Some(Self {
            capacity,
            length: 0,
            keys: Shared::zeros(codes),
            values: Shared::zeros(codes),
            key_exponents: Shared::zeros(positions),
            value_exponents: Shared::zeros(positions),
        })
    }
}
