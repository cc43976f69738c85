//! What the engine adds to a step: `cargo bench -p lockstep-engine`. The backend gives the same logits at once, so all
//! the time is the engine's. Medians over steps of one token.
#![expect(clippy::print_stdout, reason = "its job is to print")]

use std::time::Instant;

use lockstep_engine::sampling::random;
use lockstep_engine::{
    Backend, BackendError, Engine, EngineOptions, NoText, Request, SamplingParams, SequenceId, StepItem, StepOutput,
    SystemClock,
};

const TOKENS: usize = 300;

/// One row of logits for everything, which turns a little with each step so that texts vary.
struct Same {
    rows: Vec<Row>,
    step: usize,
}

struct Row(Vec<f32>);

impl StepOutput for Row {
    fn logits(&self, _item: usize, _row: usize) -> Result<&[f32], String> {
        Ok(&self.0)
    }
}

impl Backend for Same {
    fn vocab_size(&self) -> usize {
        self.rows[0].0.len()
    }

    fn context_length(&self) -> usize {
        1 << 20
    }

    fn step_tokens_max(&self) -> usize {
        512
    }

    fn create_sequence(&mut self, _capacity: usize) -> Result<SequenceId, BackendError> {
        Ok(SequenceId(0))
    }

    fn release_sequence(&mut self, _sequence: SequenceId) {}

    fn truncate_sequence(&mut self, _sequence: SequenceId, _length: usize) {}

    fn step(&mut self, _items: &[StepItem<'_>]) -> Result<&dyn StepOutput, BackendError> {
        self.step += 1;
        Ok(&self.rows[self.step % self.rows.len()])
    }
}

/// Logits with the given standard deviation: sums of twelve uniform numbers are close to normal.
fn row(seed: u64, vocabulary: usize, deviation: f32) -> Vec<f32> {
    let uniform = |at: usize| (random(seed, at as u64) >> 40) as f32 / 16_777_216.0;
    (0..vocabulary).map(|id| ((0..12).map(|i| uniform(id * 12 + i)).sum::<f32>() - 6.0) * deviation).collect()
}

/// Median microseconds of a step that draws one token.
fn measure(vocabulary: usize, deviation: f32, sampling: SamplingParams, logprobs: Option<usize>, prompt: usize) -> f64 {
    let rows = (0..8).map(|seed| Row(row(seed, vocabulary, deviation))).collect();
    let options = EngineOptions::default();
    let mut engine = Engine::new(Same { rows, step: 0 }, options, Box::new(SystemClock::new()), Box::new(NoText));
    let prompt = (0..prompt as u64).map(|at| (random(9, at) % vocabulary as u64) as u32).collect();
    let request = Request { sampling, logprobs, ..Request::new(prompt, TOKENS) };
    engine.submit(request).expect("a valid request");
    let mut times = Vec::new();
    while !engine.is_idle() {
        let start = Instant::now();
        engine.step().expect("a backend that does not fail");
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let greedy = SamplingParams::greedy();
    let warm = SamplingParams::default();
    let usual = SamplingParams { temperature: 0.7, top_k: 40, top_p: 0.95, min_p: 0.05, ..warm.clone() };
    let nucleus = SamplingParams { temperature: 0.7, top_p: 0.9, ..warm.clone() };
    let small = SamplingParams { min_p: 0.05, ..warm.clone() };
    let penalties = SamplingParams { repetition_penalty: 1.1, frequency_penalty: 0.1, ..greedy.clone() };
    let cases = [
        ("greedy", &greedy, None, 8),
        ("greedy, prompt of 8192", &greedy, None, 8192),
        ("greedy, penalties, prompt of 8192", &penalties, None, 8192),
        ("greedy, 20 logprobs", &greedy, Some(20), 8),
        ("temperature 1", &warm, None, 8),
        ("temperature 0.7, top-p 0.9", &nucleus, None, 8),
        ("temperature 1, min-p 0.05", &small, None, 8),
        ("temperature 0.7, top-k 40, top-p 0.95, min-p 0.05", &usual, None, 8),
    ];
    for vocabulary in [49_152, 262_144] {
        // Real models' logits deviate by 2 to 3; at 1 nearly every token has a weight, the worst case.
        for deviation in [2.5, 1.0] {
            println!("{vocabulary} logits, standard deviation {deviation}: microseconds per step of one token");
            for (name, sampling, logprobs, prompt) in cases {
                println!("{:10.1}  {name}", measure(vocabulary, deviation, sampling.clone(), logprobs, prompt));
            }
        }
    }
}
