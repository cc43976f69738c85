//! Rotary frequencies: the plain ones and the scalings that models were trained with.

/// `base^(-2i / size)` for i in 0..size/2, in radians a position (`RoFormer`, arXiv 2104.09864, section 3.2.2).
pub(crate) fn frequencies(base: f64, size: usize) -> Vec<f64> {
    (0..size / 2).map(|i| libm::pow(base, -((2 * i) as f64) / size as f64)).collect()
}

/// A scaling of the frequencies, by how the files name it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scaling {
    None,
    /// All frequencies divided by one factor.
    Linear(f64),
    /// Llama 3.1's.
    Llama3(Llama3),
    /// Each frequency divided by its own factor (`rope_freqs.weight` in GGUF).
    Factors(Vec<f32>),
}

/// Llama 3.1's scaling: long waves are slowed down by `factor`, short ones kept, those between blended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Llama3 {
    pub(crate) factor: f64,
    pub(crate) low_frequency_factor: f64,
    pub(crate) high_frequency_factor: f64,
    /// Positions the model was first trained on.
    pub(crate) original_context: f64,
}

impl Scaling {
    /// The scaled frequencies.
    pub(crate) fn apply(&self, frequencies: &[f64]) -> Vec<f64> {
        match self {
            Self::None => frequencies.to_vec(),
            Self::Linear(factor) => frequencies.iter().map(|frequency| frequency / factor).collect(),
            Self::Llama3(scaling) => frequencies.iter().map(|&frequency| scaling.scale(frequency)).collect(),
            Self::Factors(factors) => frequencies.iter().zip(factors).map(|(f, &by)| f / f64::from(by)).collect(),
        }
    }
}

impl Llama3 {
    fn scale(&self, frequency: f64) -> f64 {
        // Turns of this pair within the original context; few turns is a long wave.
        let turns = self.original_context * frequency / std::f64::consts::TAU;
        if turns < self.low_frequency_factor {
            frequency / self.factor
        } else if turns > self.high_frequency_factor {
            frequency
        } else {
            let kept = (turns - self.low_frequency_factor) / (self.high_frequency_factor - self.low_frequency_factor);
            (1.0 - kept) * frequency / self.factor + kept * frequency
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_fall_from_one() {
        let found = frequencies(10_000.0, 8);
        for (found, expected) in found.iter().zip([1.0, 0.1, 0.01, 0.001]) {
            assert!((found / expected - 1.0).abs() < 1e-14, "{found} against {expected}");
        }
    }

    #[test]
    fn llama3_slows_long_waves_only() {
        let scaling = Scaling::Llama3(Llama3 {
            factor: 8.0,
            low_frequency_factor: 1.0,
            high_frequency_factor: 4.0,
            original_context: 8192.0,
        });
        let turn = std::f64::consts::TAU / 8192.0;
        let found = scaling.apply(&[1.0, 0.5 * turn, 2.5 * turn]);
        assert_eq!(found[0], 1.0);
        assert_eq!(found[1], 0.5 * turn / 8.0);
        assert!((found[2] / (2.5 * turn * (0.5 / 8.0 + 0.5)) - 1.0).abs() < 1e-14);
    }
}
