//! How far imported weights lie from the source's.

use crate::matrix::GROUP;

/// Differences between imported weights and the source's dequantised ones, in the source's quantisation steps.
///
/// A step is the scale that the source gives a weight (of a group of 16 where the source scales 16 at a time). Where
/// the source has none, because its numbers are floats or its scale is 0, a step is 1/127 of the largest magnitude
/// in the weight's group of 32.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ImportReport {
    /// Weights compared.
    pub weights: u64,
    /// Sum of squared differences, in steps.
    pub squares: f64,
    /// Largest difference, in steps.
    pub largest: f64,
    /// Groups of 32 compared.
    pub groups: u64,
    /// Groups of which every weight is the source's own value.
    pub exact: u64,
}

impl ImportReport {
    /// Root of the mean squared difference, in steps.
    pub fn rms(&self) -> f64 {
        if self.weights == 0 { 0.0 } else { (self.squares / self.weights as f64).sqrt() }
    }

    /// Adds the report of other rows. Sums of squares are floats: merging in another order can change their last bits.
    pub fn merge(&mut self, other: &Self) {
        self.weights += other.weights;
        self.squares += other.squares;
        self.largest = self.largest.max(other.largest);
        self.groups += other.groups;
        self.exact += other.exact;
    }

    /// Notes a group whose weights are all the source's own.
    pub(super) fn note_exact(&mut self, weights: usize) {
        self.weights += weights as u64;
        self.groups += 1;
        self.exact += 1;
    }

    /// Notes a group of 32 whose differences are `slope * value + constant`, `step` above 0.
    pub(super) fn note_affine(&mut self, values: &[i8; GROUP], slope: f64, constant: f64, step: f64) {
        let (slope, constant) = (slope / step, constant / step);
        let (mut sum, mut squares, mut least, mut most) = (0i32, 0i32, i8::MAX, i8::MIN);
        for &value in values {
            sum += i32::from(value);
            squares += i32::from(value) * i32::from(value);
            least = least.min(value);
            most = most.max(value);
        }
        let at = |value: i8| (slope * f64::from(value) + constant).abs();
        let largest = at(least).max(at(most));
        if largest == 0.0 {
            return self.note_exact(GROUP);
        }
        let product = 2.0 * slope * constant * f64::from(sum);
        let total = slope * slope * f64::from(squares) + product + constant * constant * GROUP as f64;
        // Cancellation can leave a small negative number where the true sum is about 0.
        self.squares += total.max(0.0);
        self.largest = self.largest.max(largest);
        self.weights += GROUP as u64;
        self.groups += 1;
    }

    /// Notes the first `weights` differences of a group; `steps` are those of its first and second 16, above 0.
    pub(super) fn note_each(&mut self, differences: &[f64; GROUP], steps: [f64; 2], weights: usize) {
        if differences.iter().all(|&difference| difference == 0.0) {
            return self.note_exact(weights);
        }
        let (mut squares, mut largest) = (0.0, 0.0f64);
        for (half, step) in differences.chunks_exact(GROUP / 2).zip(steps) {
            let reciprocal = 1.0 / step;
            for difference in half {
                let in_steps = (difference * reciprocal).abs();
                squares += in_steps * in_steps;
                largest = if in_steps > largest { in_steps } else { largest };
            }
        }
        self.squares += squares;
        self.largest = self.largest.max(largest);
        self.weights += weights as u64;
        self.groups += 1;
    }
}
