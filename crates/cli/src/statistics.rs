//! Numbers about a finished request.

use lockstep_engine::Usage;
use serde_json::{Value, json};
use std::time::Duration;

/// Speeds and latencies of one request. Seconds and tokens per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Prompt tokens by the time until the first token.
    pub prefill_tokens_per_second: Option<f64>,
    /// Generated tokens after the first by the time they took.
    pub decode_tokens_per_second: Option<f64>,
    /// From submission to the first token.
    pub first_token_seconds: Option<f64>,
    /// Half of the tokens came at most this long after the one before.
    pub inter_token_p50_seconds: Option<f64>,
    /// 99 of 100 did.
    pub inter_token_p99_seconds: Option<f64>,
}

impl Statistics {
    /// Of a request's counts and times.
    pub fn of(usage: &Usage) -> Self {
        let mut gaps: Vec<Duration> = usage.gaps().collect();
        gaps.sort_unstable();
        let rate =
            |count: usize, time: Duration| (count > 0 && !time.is_zero()).then(|| count as f64 / time.as_secs_f64());
        let has_token = !usage.token_times.is_empty();
        Self {
            prefill_tokens_per_second: rate(usage.prompt_tokens, usage.prompt_time).filter(|_| has_token),
            decode_tokens_per_second: rate(gaps.len(), usage.completion_time),
            first_token_seconds: usage.first_token_time().map(|time| time.as_secs_f64()),
            inter_token_p50_seconds: percentile(&gaps, 50),
            inter_token_p99_seconds: percentile(&gaps, 99),
        }
    }

    /// One line for people.
    pub fn line(&self, prompt_tokens: usize, completion_tokens: usize) -> String {
        let mut parts = Vec::new();
        let mut add = |value: Option<f64>, text: &dyn Fn(f64) -> String| parts.extend(value.map(text));
        add(self.prefill_tokens_per_second, &|x| format!("prompt {prompt_tokens} tokens at {x:.0} tokens/s"));
        add(self.first_token_seconds, &|x| format!("first token {x:.3} s"));
        add(self.decode_tokens_per_second, &|x| format!("answer {completion_tokens} tokens at {x:.1} tokens/s"));
        add(self.inter_token_p50_seconds, &|x| format!("between tokens p50 {:.1} ms", x * 1e3));
        add(self.inter_token_p99_seconds, &|x| format!("p99 {:.1} ms", x * 1e3));
        if parts.is_empty() { "no token was generated".into() } else { parts.join(", ") }
    }

    /// The same for programs; what was not measured is null.
    pub fn json(&self) -> Value {
        json!({
            "prefill_tokens_per_second": self.prefill_tokens_per_second,
            "decode_tokens_per_second": self.decode_tokens_per_second,
            "first_token_seconds": self.first_token_seconds,
            "inter_token_p50_seconds": self.inter_token_p50_seconds,
            "inter_token_p99_seconds": self.inter_token_p99_seconds,
        })
    }
}

/// The smallest value that at least `percent` of 100 values do not exceed, in seconds; `sorted` rises.
pub fn percentile(sorted: &[Duration], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map(Duration::as_secs_f64)
}

/// The middle of some numbers; of an even count, the lower one of the two.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}

/// Bytes of this process that lie in memory, where the system tells (Linux).
pub fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Some(0.1));
        assert_eq!(percentile(&times, 99), Some(0.198));
        assert_eq!(percentile(&times[..1], 50), Some(0.001));
        assert_eq!(percentile(&[], 50), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn a_line_holds_what_was_measured() {
        let times = [100, 110, 120, 150].map(Duration::from_millis).to_vec();
        let usage = Usage {
            prompt_tokens: 50,
            completion_tokens: 4,
            prompt_time: Duration::from_millis(100),
            completion_time: Duration::from_millis(50),
            token_times: times,
            ..Usage::default()
        };
        assert_eq!(
            Statistics::of(&usage).line(50, 4),
            "prompt 50 tokens at 500 tokens/s, first token 0.100 s, answer 4 tokens at 60.0 tokens/s, \
             between tokens p50 10.0 ms, p99 30.0 ms"
        );
        let nothing = Statistics::of(&Usage { prompt_tokens: 5, ..Usage::default() });
        assert_eq!(nothing.line(5, 0), "no token was generated");
    }
}
