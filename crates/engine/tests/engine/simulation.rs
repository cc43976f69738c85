//! Random workloads with trouble: whatever happens, each answer is the one the request gets alone.

use std::sync::{Arc, Mutex};

use lockstep_engine::sampling::random;
use lockstep_engine::{EngineOptions, FinishReason, Request, RequestId, SamplingParams};

use crate::run::{Answer, Answers, Watch, alone, engine, options, watched};
use crate::toy::{POISON, Toy, Trouble, VOCABULARY};

/// Numbers from a seed, one after the other.
struct Dice(u64, u64);

impl Dice {
    fn below(&mut self, end: usize) -> usize {
        self.1 += 1;
        (random(self.0, self.1) % end as u64) as usize
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())]
    }
}

fn random_request(dice: &mut Dice) -> Request {
    let length = 1 + dice.below(30);
    // Few letters repeat themselves; the whole vocabulary has the poison in it.
    let alphabet = dice.pick(&[2, 3, 10, 22, 22, 22, 22, VOCABULARY]);
    let prompt = (0..length).map(|_| dice.below(alphabet) as u32).collect();
    let stops = ["ab", "é", "€", "stop", "ba\n", "c", "abab"];
    let mut request = Request {
        sampling: SamplingParams {
            temperature: dice.pick(&[0.0, 0.0, 0.4, 1.0]),
            top_k: dice.pick(&[0, 0, 2, 8]),
            top_p: dice.pick(&[1.0, 0.8]),
            min_p: dice.pick(&[0.0, 0.1]),
            frequency_penalty: dice.pick(&[0.0, 0.2]),
            presence_penalty: dice.pick(&[0.0, 0.1]),
            repetition_penalty: dice.pick(&[1.0, 1.2]),
            logit_bias: dice
                .pick(&[None, Some((7, 1.5)), Some((POISON, -100.0)), Some((POISON, -100.0))])
                .into_iter()
                .collect(),
        },
        stop: (0..dice.below(3)).map(|_| dice.pick(&stops).to_string()).collect(),
        stop_token_ids: (0..dice.below(2)).map(|_| dice.below(VOCABULARY) as u32).collect(),
        ignore_eos: dice.below(2) == 0,
        seed: dice.below(1000) as u64,
        logprobs: dice.pick(&[None, Some(0), Some(2)]),
        speculate: dice.below(4) > 0,
        all_logits: dice.below(2) == 0,
        ..Request::new(prompt, 1 + dice.below(40))
    };
    request.min_tokens = dice.below(request.max_tokens.min(6));
    request
}

const CONTEXT: usize = 60;

struct Run {
    requests: Vec<(RequestId, Request, Arc<Mutex<Watch>>)>,
    answers: Answers,
    steps: Vec<Vec<(u32, usize)>>,
    truncations: usize,
}

fn simulate(seed: u64) -> Run {
    let mut dice = Dice(seed, 0);
    let mut toy = Toy::new(CONTEXT, dice.pick(&[1, 2, 5, 16, 64]));
    // Now and then less memory than the longest request needs.
    toy.memory = dice.pick(&[50, CONTEXT, 2 * CONTEXT, 1000]);
    toy.trouble = Trouble { seed, step_memory: dice.pick(&[0, 3, 10]), failures: dice.pick(&[0, 7]) };
    let mut engine = engine(
        toy,
        EngineOptions {
            prefill_chunk: dice.pick(&[None, Some(1), Some(3), Some(16)]),
            running_max: dice.pick(&[1, 3, 64]),
            guesses_max: dice.pick(&[0, 2, 16]),
            token_cost_percent: dice.pick(&[0, 20, 45]),
            ..options()
        },
    );
    let mut requests: Vec<(RequestId, Request, Arc<Mutex<Watch>>)> = Vec::new();
    let mut answers = Answers::default();
    let mut arrivals = 12;
    let mut rounds = 0;
    while arrivals > 0 || !engine.is_idle() {
        if arrivals > 0 && dice.below(3) == 0 {
            let request = random_request(&mut dice);
            let (id, watch) = watched(&mut engine, request.clone());
            requests.push((id, request, watch));
            arrivals -= 1;
        }
        if !requests.is_empty() && dice.below(60) == 0 {
            let id = requests[dice.below(requests.len())].0;
            let over = answers.0.get(&id).is_some_and(|answer| answer.reason.is_some());
            let live = engine.backend().sequences.len();
            let (_, running) = engine.counts();
            // A request can be over with its end not yet reported, so `over` implies only one direction.
            assert!(!(engine.cancel(id) && over));
            assert_eq!(live - engine.backend().sequences.len(), running - engine.counts().1);
        }
        if let Ok(events) = engine.step() {
            answers.take(events);
        }
        assert_eq!(engine.backend().sequences.len(), engine.counts().1, "a sequence per running request, no other");
        rounds += 1;
        assert!(rounds < 100_000, "seed {seed} does not come to an end");
    }
    assert!(engine.backend().sequences.is_empty());
    Run { requests, answers, steps: engine.backend().steps.clone(), truncations: engine.backend().truncations }
}

/// An answer that was ended early: the beginning of what the request gets alone.
fn is_beginning(answer: &Answer, whole: &Answer) {
    assert!(whole.ids.starts_with(&answer.ids));
    assert!(whole.logprobs.starts_with(&answer.logprobs));
}

#[test]
fn answers_are_those_of_the_request_alone() {
    let (mut stopped, mut lengths, mut cancelled, mut faults, mut truncations) = (0, 0, 0, 0, 0);
    for seed in 0..400 {
        let run = simulate(seed);
        truncations += run.truncations;
        for (id, request, watch) in run.requests {
            let answer = &run.answers.0[&id];
            let needed = (request.prompt.len() + request.max_tokens).min(CONTEXT);
            let plain = Request { speculate: false, ..request };
            let (whole, digest, rows) = alone(plain, Toy::new(CONTEXT, 64), options());
            match answer.reason.as_ref().unwrap() {
                FinishReason::Cancelled => {
                    is_beginning(answer, &whole);
                    cancelled += 1;
                }
                FinishReason::Fault(message) if message.starts_with("no memory") => {
                    assert!(needed > 50 && answer.ids.is_empty(), "seed {seed}: {message}");
                    faults += 1;
                }
                reason => {
                    assert_eq!(answer.essence(), whole.essence(), "seed {seed}, request {}", id.0);
                    if !matches!(reason, FinishReason::Fault(_)) {
                        let watch = watch.lock().unwrap();
                        assert_eq!((watch.digest.hex(), watch.digest.rows()), (digest, rows), "seed {seed}");
                    }
                    match reason {
                        FinishReason::Fault(_) => faults += 1,
                        FinishReason::Length => lengths += 1,
                        _ => stopped += 1,
                    }
                }
            }
        }
    }
    // The workload reaches everything it is meant to.
    assert!(
        stopped > 300 && lengths > 300 && cancelled > 50 && faults > 50 && truncations > 100,
        "{stopped} stopped, {lengths} at length, {cancelled} cancelled, {faults} faults, {truncations} truncations"
    );
}

#[test]
fn one_seed_gives_one_run() {
    for seed in 0..20 {
        let (a, b) = (simulate(seed), simulate(seed));
        assert_eq!(a.steps, b.steps);
        assert_eq!(a.answers.0, b.answers.0, "times included");
    }
}
