//! Many requests on the host: whatever runs beside a request and whatever is kept of others, its bits are the same.
#![allow(clippy::unwrap_used)]

use super::HostBackend;
use lockstep_engine::{
    Attached, Engine, EngineOptions, Event, FinishReason, LogitsDigest, NoText, Request, RequestId, SamplingParams,
    SystemClock, TokenLogprobs,
};
use lockstep_formats::Gguf;
use lockstep_host::{Host, Options, PackedWeights};
use lockstep_kernels::Kernels;
use lockstep_models::from_gguf;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// An engine over a tiny model with random weights; `name` keeps the packed weights of tests apart.
fn engine(name: &str, threads: usize, options: EngineOptions) -> Engine<HostBackend> {
    let path = std::env::temp_dir().join(format!("lockstep-backend-{}-{name}", std::process::id()));
    let bytes = std::fs::read("../models/tests/fixtures/smollm2/model.gguf").unwrap();
    let model = from_gguf(&Gguf::parse(&bytes).unwrap()).unwrap();
    let weights = PackedWeights::open_or_pack(&path, &model, &|_, _| ()).unwrap();
    let _ = std::fs::remove_file(&path);
    let host = Host::new(model.graph, weights, Options { threads, step_tokens: 64, kernels: Kernels::detect() });
    let backend = HostBackend::new(host.unwrap(), 128);
    Engine::new(backend, options, Box::new(SystemClock::new()), Box::new(NoText))
}

fn caching() -> EngineOptions {
    EngineOptions { cache_bytes_max: 1 << 22, prefill_percent_shared: 175, ..EngineOptions::default() }
}

fn tokens(seed: u32, count: u32) -> Vec<u32> {
    (0..count).map(|at| (at * 37 + at * at * seed + 11) % 100).collect()
}

/// Every second one is drawn at random, by its seed.
fn request(seed: u32) -> Request {
    let temperature = if seed.is_multiple_of(2) { 0.0 } else { 0.8 };
    Request {
        sampling: SamplingParams { temperature, ..SamplingParams::default() },
        seed: u64::from(seed),
        logprobs: Some(5),
        ignore_eos: true,
        ..Request::new([tokens(0, 20), tokens(seed, 13)].concat(), 24)
    }
}

/// What must be the same: tokens with their log-probabilities, and the digest of all logits that they were drawn from.
type Bits = (Vec<(u32, Option<TokenLogprobs>)>, String);

#[derive(Default)]
struct Answers {
    watched: BTreeMap<RequestId, Arc<Mutex<LogitsDigest>>>,
    tokens: BTreeMap<RequestId, Vec<(u32, Option<TokenLogprobs>)>>,
    ends: BTreeMap<RequestId, (FinishReason, usize)>,
}

impl Answers {
    fn submit(&mut self, engine: &mut Engine<HostBackend>, request: Request) -> RequestId {
        let digest = Arc::new(Mutex::new(LogitsDigest::new()));
        let attached = Attached { observer: Some(Box::new(Arc::clone(&digest))), ..Attached::default() };
        let id = engine.submit_with(request, attached).unwrap();
        self.watched.insert(id, digest);
        id
    }

    fn step(&mut self, engine: &mut Engine<HostBackend>) {
        for event in engine.step().unwrap() {
            match event {
                Event::Token { request, id, logprobs, .. } => {
                    self.tokens.entry(request).or_default().push((id, logprobs));
                }
                Event::Finished { request, reason, usage, .. } => {
                    self.ends.insert(request, (reason, usage.cached_tokens));
                }
            }
        }
    }

    fn bits(&self, id: RequestId) -> Bits {
        assert_eq!(self.ends[&id].0, FinishReason::Length);
        (self.tokens[&id].clone(), self.watched[&id].lock().unwrap().hex())
    }
}

#[test]
fn answers_are_the_same_alone_and_among_others_cached_or_not() {
    let mut alone = engine("alone", 1, EngineOptions { guesses_max: 0, ..EngineOptions::default() });
    let mut answers = Answers::default();
    let want: Vec<Bits> = (0..8)
        .map(|seed| {
            let id = answers.submit(&mut alone, request(seed));
            while !alone.is_idle() {
                answers.step(&mut alone);
            }
            answers.bits(id)
        })
        .collect();
    let mut many = engine("many", 2, caching());
    let mut cached = 0;
    for round in 0..3u32 {
        let mut answers = Answers::default();
        let mut ids = Vec::new();
        for seed in 0..8 {
            ids.push(answers.submit(&mut many, request((seed + round) % 8)));
            // One that is taken back while it reads its prompt or answers.
            let other = answers.submit(&mut many, request(50 + seed));
            for _ in 0..seed {
                answers.step(&mut many);
            }
            many.cancel(other);
        }
        while !many.is_idle() {
            answers.step(&mut many);
        }
        for (seed, id) in ids.into_iter().enumerate() {
            let seed = (seed + round as usize) % 8;
            assert!(answers.bits(id) == want[seed], "round {round}, request {seed}");
            cached += answers.ends[&id].1;
        }
        assert_eq!((many.load().running, many.load().reserved_bytes), (0, 0));
    }
    // After the first round all but each prompt's last token is there.
    assert!(cached >= 2 * 8 * 32, "{cached} tokens from the cache");
}

#[test]
fn a_budget_of_memory_bounds_what_is_kept() {
    let mut engine = engine("budget", 1, EngineOptions { cache_bytes_max: 1 << 16, ..caching() });
    let mut answers = Answers::default();
    for seed in 0..12 {
        answers.submit(&mut engine, request(seed));
        while !engine.is_idle() {
            answers.step(&mut engine);
            assert!(engine.load().cached_bytes <= 1 << 16);
        }
    }
    let load = engine.load();
    assert!(load.cached_sequences >= 1 && load.cached_sequences < 12, "{load:?}");
}
