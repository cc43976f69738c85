//! What a scraper reads: counts and times under `lockstep_*`, and under vLLM's names where that is asked for.
//!
//! Times of tokens are the engine's own stamps, so that a client that reads slowly does not change them: TTFT is from a
//! request's arrival to its first token, ITL the gap between neighbouring tokens (none between those of one step), TPOT
//! is (end to end - TTFT) / (tokens - 1), and tokens per second per user its inverse.

mod names;
mod text;
mod timing;

use std::time::Duration;

use lockstep_engine::{Load, Usage};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::atomic::AtomicU64;

pub(crate) use text::Form;
pub(crate) use timing::Timing;

/// Bounds of times, from a tenth of a millisecond to minutes.
const SECONDS: [f64; 20] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0,
];
/// Bounds of tokens per second.
const SPEEDS: [f64; 14] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 150.0, 200.0, 300.0, 500.0, 800.0, 1200.0, 2000.0];

type Fraction = Gauge<f64, AtomicU64>;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Finished {
    finished_reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    route: String,
    status: u16,
}

/// All metrics of a server.
pub(crate) struct Metrics {
    registry: Registry,
    answered: Family<Answered, Counter>,
    finished: Family<Finished, Counter>,
    refused: Counter,
    prompt_tokens: Counter,
    generation_tokens: Counter,
    prefix_queries: Counter,
    prefix_hits: Counter,
    guessed: Counter,
    guessed_right: Counter,
    first_token: Histogram,
    between_tokens: Histogram,
    per_token: Histogram,
    whole: Histogram,
    queue: Histogram,
    prefill: Histogram,
    decode: Histogram,
    speed: Histogram,
    running: Gauge,
    waiting: Gauge,
    kv_use: Fraction,
    kv_reserved: Gauge,
    kv_cached: Gauge,
    steps: Counter,
    is_well: Gauge,
}

impl Metrics {
    /// With `model`, they are there under vLLM's names too, for a model of that name.
    pub(crate) fn new(vllm_model: Option<&str>) -> Self {
        let seconds = || Histogram::new(SECONDS);
        let mut metrics = Self {
            registry: Registry::default(),
            answered: Family::default(),
            finished: Family::default(),
            refused: Counter::default(),
            prompt_tokens: Counter::default(),
            generation_tokens: Counter::default(),
            prefix_queries: Counter::default(),
            prefix_hits: Counter::default(),
            guessed: Counter::default(),
            guessed_right: Counter::default(),
            first_token: seconds(),
            between_tokens: seconds(),
            per_token: seconds(),
            whole: seconds(),
            queue: seconds(),
            prefill: seconds(),
            decode: seconds(),
            speed: Histogram::new(SPEEDS),
            running: Gauge::default(),
            waiting: Gauge::default(),
            kv_use: Fraction::default(),
            kv_reserved: Gauge::default(),
            kv_cached: Gauge::default(),
            steps: Counter::default(),
            is_well: Gauge::default(),
        };
        metrics.register();
        if let Some(model) = vllm_model {
            metrics.register_vllm(model);
        }
        metrics
    }

    /// A request was answered, or refused.
    pub(crate) fn answered(&self, route: &str, status: u16) {
        self.answered.get_or_create(&Answered { route: route.to_owned(), status }).inc();
    }

    /// The engine did not take a request.
    pub(crate) fn refused(&self) {
        self.refused.inc();
    }

    /// The engine took a request.
    pub(crate) fn started(&self, prompt_tokens: usize) {
        self.prompt_tokens.inc_by(prompt_tokens as u64);
    }

    /// A token was generated; `time` is the engine's clock when it was.
    pub(crate) fn token(&self, timing: &mut Timing, time: Duration) {
        self.generation_tokens.inc();
        match timing.token(time) {
            timing::Token::First(since_arrival) => self.first_token.observe(since_arrival.as_secs_f64()),
            timing::Token::Next(gap) => self.between_tokens.observe(gap.as_secs_f64()),
        }
    }

    /// A generation is over; `now` is the engine's clock. What was taken back before its end has no usage.
    pub(crate) fn finished(&self, reason: &'static str, timing: &Timing, usage: Option<&Usage>, now: Duration) {
        self.finished.get_or_create(&Finished { finished_reason: reason }).inc();
        self.whole.observe(timing.whole(now).as_secs_f64());
        if let Some(time) = timing.per_token() {
            self.per_token.observe(time.as_secs_f64());
            if !time.is_zero() {
                self.speed.observe(time.as_secs_f64().recip());
            }
        }
        let Some(usage) = usage else { return };
        self.prefix_queries.inc_by(usage.prompt_tokens as u64);
        self.prefix_hits.inc_by(usage.cached_tokens as u64);
        self.guessed.inc_by(usage.proposed_tokens as u64);
        self.guessed_right.inc_by(usage.accepted_tokens as u64);
        self.queue.observe(usage.queue_time.as_secs_f64());
        self.prefill.observe(usage.prompt_time.as_secs_f64());
        self.decode.observe(usage.completion_time.as_secs_f64());
    }

    /// All of them, and what the engine holds at this moment.
    pub(crate) fn text(&self, form: Form, load: &Load, steps: u64, is_well: bool) -> Result<String, std::fmt::Error> {
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.running.set(load.running as i64);
        self.waiting.set(load.waiting as i64);
        self.kv_reserved.set(signed(load.reserved_bytes));
        self.kv_cached.set(signed(load.cached_bytes));
        self.kv_use.set(load.kv_use());
        self.steps.inc_by(steps.saturating_sub(self.steps.get()));
        self.is_well.set(i64::from(is_well));
        form.of(&self.registry)
    }
}

#[cfg(test)]
mod tests;
