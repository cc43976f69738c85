//! Keys and values of one sequence.

use crate::shared::Shared;
use lockstep_kernels::attention::TILE;

/// Geometry that all sequences of a model share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KvShape {
    pub(crate) layers: usize,
    pub(crate) kv_heads: usize,
    pub(crate) head_size: usize,
    /// Whether the heads of all layers have this size, so that a position lies at the same place in each.
    pub(crate) is_uniform: bool,
}

impl KvShape {
    /// Bytes that a sequence of `capacity` tokens takes.
    pub(crate) fn bytes(self, capacity: usize) -> u64 {
        let positions = capacity.next_multiple_of(TILE) as u64 * (self.layers * self.kv_heads) as u64;
        // Keys and values: codes of two bytes, and an exponent.
        positions.saturating_mul(2 * (2 * self.head_size as u64 + 1))
    }
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

    /// Takes over the first `length` tokens of another sequence, which both have room for.
    pub(crate) fn copy_prefix(&mut self, shape: KvShape, from: &mut Self, length: usize) {
        // Whole tiles, as they are stored: what is beyond the length is written before it is read.
        let positions = length.next_multiple_of(TILE);
        for run in 0..shape.layers * shape.kv_heads {
            let (to, start) = (run * self.capacity, run * from.capacity);
            let (exponents, codes) =
                (start..start + positions, start * shape.head_size..(start + positions) * shape.head_size);
            self.keys.copy_from(to * shape.head_size, &mut from.keys, codes.clone());
            self.values.copy_from(to * shape.head_size, &mut from.values, codes);
            self.key_exponents.copy_from(to, &mut from.key_exponents, exponents.clone());
            self.value_exponents.copy_from(to, &mut from.value_exponents, exponents);
        }
        self.length = length;
    }
}
