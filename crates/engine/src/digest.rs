//! Watching logits, and a digest of all of them by which two runs are compared.

use std::sync::{Arc, Mutex};

/// Sees the logits of a request's positions, each position once, in rising order.
///
/// Row `p` is what the model computed after the token at position `p`, so it predicts position `p + 1`. A request
/// shows the rows that its tokens were drawn from, and with `all_logits` those of the prompt before them. Neither
/// batching, chunking nor speculation changes which rows are shown.
pub trait LogitsObserver {
    /// The logits (one per vocabulary entry) of `position`.
    fn observe(&mut self, position: usize, logits: &[f32]);
}

/// Shared with the caller, who reads the result when the request is over.
impl<T: LogitsObserver> LogitsObserver for Arc<Mutex<T>> {
    fn observe(&mut self, position: usize, logits: &[f32]) {
        // A caller that panicked while reading has no influence on what is observed.
        let mut inner = self.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        inner.observe(position, logits);
    }
}

/// Running BLAKE3 hash of logits: each value's bits, least significant byte first, in position order.
#[derive(Clone, Debug, Default)]
pub struct LogitsDigest {
    hasher: blake3::Hasher,
    bytes: Vec<u8>,
    rows: usize,
}

impl LogitsDigest {
    /// The digest of no rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The hash as 64 lower-case hexadecimal digits.
    pub fn hex(&self) -> String {
        self.hasher.finalize().to_hex().to_string()
    }
}

impl LogitsObserver for LogitsDigest {
    fn observe(&mut self, _position: usize, logits: &[f32]) {
        self.bytes.clear();
        self.bytes.extend(logits.iter().flat_map(|value| value.to_bits().to_le_bytes()));
        self.hasher.update(&self.bytes);
        self.rows += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_blake3_of_the_bits_in_order() {
        let mut digest = LogitsDigest::new();
        digest.observe(0, &[1.0, -0.0]);
        digest.observe(1, &[f32::MIN_POSITIVE]);
        let bytes = [0, 0, 0x80, 0x3F, 0, 0, 0, 0x80, 0, 0, 0x80, 0];
        assert_eq!(digest.hex(), blake3::hash(&bytes).to_hex().to_string());
        assert_eq!(digest.rows(), 2);
    }

    #[test]
    fn the_sign_of_zero_counts() {
        let of = |value| {
            let mut digest = LogitsDigest::new();
            digest.observe(0, &[value]);
            digest.hex()
        };
        assert_ne!(of(0.0), of(-0.0));
    }
}
