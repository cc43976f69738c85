//! What a scraper reads: counts and times under `lockstep_*`, and under vLLM's names where that is asked for.

use std::sync::atomic::Ordering;
use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::runner::Gauges;

/// Bounds of times from a millisecond to minutes.
const SECONDS: [f64; 17] =
    [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

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
    first_token: Histogram,
    between_tokens: Histogram,
    per_token: Histogram,
    whole: Histogram,
    running: Gauge,
    waiting: Gauge,
    steps: Counter,
    is_well: Gauge,
}

impl Metrics {
    pub(crate) fn new(with_vllm_names: bool) -> Self {
        let histogram = || Histogram::new(SECONDS);
        let mut metrics = Self {
            registry: Registry::default(),
            answered: Family::default(),
            finished: Family::default(),
            refused: Counter::default(),
            prompt_tokens: Counter::default(),
            generation_tokens: Counter::default(),
            first_token: histogram(),
            between_tokens: histogram(),
            per_token: histogram(),
            whole: histogram(),
            running: Gauge::default(),
            waiting: Gauge::default(),
            steps: Counter::default(),
            is_well: Gauge::default(),
        };
        metrics.register("lockstep_");
        if with_vllm_names {
            metrics.register_vllm();
        }
        metrics
    }

    fn register(&mut self, prefix: &str) {
        let registry = &mut self.registry;
        let name = |name: &str| format!("{prefix}{name}");
        registry.register(name("http_requests"), "HTTP requests answered", self.answered.clone());
        registry.register(name("requests_finished"), "Generations that are over, by reason", self.finished.clone());
        registry.register(name("requests_refused"), "Generations that the engine did not take", self.refused.clone());
        registry.register(name("prompt_tokens"), "Tokens of prompts", self.prompt_tokens.clone());
        registry.register(name("generation_tokens"), "Tokens generated", self.generation_tokens.clone());
        registry.register(
            name("time_to_first_token_seconds"),
            "From arrival to the first token",
            self.first_token.clone(),
        );
        registry.register(
            name("inter_token_latency_seconds"),
            "Between neighbouring tokens",
            self.between_tokens.clone(),
        );
        registry.register(
            name("time_per_output_token_seconds"),
            "(end to end - first token) / (tokens - 1)",
            self.per_token.clone(),
        );
        registry.register(name("e2e_request_latency_seconds"), "From arrival to the end", self.whole.clone());
        registry.register(name("requests_running"), "Requests that share steps", self.running.clone());
        registry.register(name("requests_waiting"), "Requests that wait", self.waiting.clone());
        registry.register(name("engine_steps"), "Steps of the engine", self.steps.clone());
        registry.register(name("engine_up"), "1 while the engine works", self.is_well.clone());
    }

    /// The names that dashboards and routers of vLLM look for.
    fn register_vllm(&mut self) {
        let registry = &mut self.registry;
        registry.register("vllm:num_requests_running", "As lockstep_requests_running", self.running.clone());
        registry.register("vllm:num_requests_waiting", "As lockstep_requests_waiting", self.waiting.clone());
        registry.register("vllm:prompt_tokens", "As lockstep_prompt_tokens", self.prompt_tokens.clone());
        registry.register("vllm:generation_tokens", "As lockstep_generation_tokens", self.generation_tokens.clone());
        registry.register("vllm:request_success", "As lockstep_requests_finished", self.finished.clone());
        registry.register(
            "vllm:time_to_first_token_seconds",
            "As lockstep_time_to_first_token_seconds",
            self.first_token.clone(),
        );
        registry.register(
            "vllm:inter_token_latency_seconds",
            "As lockstep_inter_token_latency_seconds",
            self.between_tokens.clone(),
        );
        registry.register(
            "vllm:time_per_output_token_seconds",
            "As lockstep_inter_token_latency_seconds, vLLM's older name for it",
            self.between_tokens.clone(),
        );
        registry.register(
            "vllm:request_time_per_output_token_seconds",
            "As lockstep_time_per_output_token_seconds",
            self.per_token.clone(),
        );
        registry.register(
            "vllm:e2e_request_latency_seconds",
            "As lockstep_e2e_request_latency_seconds",
            self.whole.clone(),
        );
    }

    pub(crate) fn answered(&self, route: &str, status: u16) {
        self.answered.get_or_create(&Answered { route: route.to_owned(), status }).inc();
    }

    pub(crate) fn refused(&self) {
        self.refused.inc();
    }

    pub(crate) fn started(&self, prompt_tokens: usize) {
        self.prompt_tokens.inc_by(prompt_tokens as u64);
    }

    /// A token came; `last` is when the one before it did.
    pub(crate) fn token(&self, arrival: Instant, last: Option<Instant>, now: Instant) {
        self.generation_tokens.inc();
        match last {
            Some(last) => self.between_tokens.observe((now - last).as_secs_f64()),
            None => self.first_token.observe((now - arrival).as_secs_f64()),
        }
    }

    /// An answer is over. `first` and `last` are when its first and last tokens came.
    pub(crate) fn finished(
        &self,
        reason: &'static str,
        arrival: Instant,
        times: Option<(Instant, Instant)>,
        tokens: usize,
    ) {
        self.finished.get_or_create(&Finished { finished_reason: reason }).inc();
        self.whole.observe(arrival.elapsed().as_secs_f64());
        if let Some((first, last)) = times.filter(|_| tokens > 1) {
            self.per_token.observe((last - first).as_secs_f64() / (tokens - 1) as f64);
        }
    }

    /// The text form.
    pub(crate) fn text(&self, gauges: &Gauges, is_well: bool) -> Result<String, std::fmt::Error> {
        let of = |count: &std::sync::atomic::AtomicUsize| count.load(Ordering::Relaxed);
        self.running.set(of(&gauges.running) as i64);
        self.waiting.set(of(&gauges.waiting) as i64);
        let steps = of(&gauges.steps) as u64;
        self.steps.inc_by(steps.saturating_sub(self.steps.get()));
        self.is_well.set(i64::from(is_well));
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
