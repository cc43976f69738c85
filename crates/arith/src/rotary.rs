//! Rotary position embedding (contract section 5).

/// Cosines and sines by position, computed in f64 by a pure-Rust library and stored as f32.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RotaryTable {
    /// Pairs of one position.
    pub pairs: usize,
    /// `positions x pairs` cosines.
    pub cosines: Vec<f32>,
    /// `positions x pairs` sines.
    pub sines: Vec<f32>,
}

impl RotaryTable {
    /// The table of positions `0..positions`; position p turns pair i by `p * frequencies[i]` radians.
    pub fn new(frequencies: &[f64], positions: usize) -> Self {
        let angles = || (0..positions).flat_map(|p| frequencies.iter().map(move |f| p as f64 * f));
        Self {
            pairs: frequencies.len(),
            cosines: angles().map(|a| libm::cos(a) as f32).collect(),
            sines: angles().map(|a| libm::sin(a) as f32).collect(),
        }
    }

    /// Cosines and sines of one position.
    pub fn position(&self, position: usize) -> (&[f32], &[f32]) {
        let at = position * self.pairs..(position + 1) * self.pairs;
        (&self.cosines[at.clone()], &self.sines[at])
    }
}

/// Rotates the pairs `(i, i + n)` of one head, n being the number of pairs.
pub fn rotate_halves(head: &mut [f32], cosines: &[f32], sines: &[f32]) {
    let (low, high) = head.split_at_mut(cosines.len());
    for i in 0..cosines.len() {
        (low[i], high[i]) = rotate(low[i], high[i], cosines[i], sines[i]);
    }
}

/// Rotates the pairs `(2i, 2i + 1)` of one head.
pub fn rotate_adjacent(head: &mut [f32], cosines: &[f32], sines: &[f32]) {
    for (pair, (&c, &s)) in head.chunks_exact_mut(2).zip(cosines.iter().zip(sines)) {
        (pair[0], pair[1]) = rotate(pair[0], pair[1], c, s);
    }
}

fn rotate(x0: f32, x1: f32, c: f32, s: f32) -> (f32, f32) {
    (x0 * c - x1 * s, x1 * c + x0 * s)
}
