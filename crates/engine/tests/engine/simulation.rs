//! Random workloads with trouble: whatever happens, each answer is the one the request gets alone.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lockstep_engine::sampling::random;
use lockstep_engine::{
    Engine, EngineOptions, FinishReason, Request, RequestId, SamplingParams, ServiceTier, SubmitError,
};

use crate::run::{Answer, Answers, Watch, alone, engine, options, try_watched};
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
    let mut prompt: Vec<u32> = (0..length).map(|_| dice.below(alphabet) as u32).collect();
    // Many begin alike, some with what another's answer may have.
    let alike = [5, 9, 2, 14, 3, 3, 8, 11, 1, 20, 6, 4];
    if dice.below(3) > 0 {
        prompt.splice(0..0, alike[..6 + dice.below(7)].iter().copied());
    }
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
        all_logits: dice.below(4) == 0,
        tier: if dice.below(6) == 0 { ServiceTier::Flex } else { ServiceTier::Default },
        cache_scope: dice.below(2) as u64,
        deadline: (dice.below(10) == 0).then(|| Duration::from_millis(dice.below(120) as u64)),
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
    copied: usize,
    turned_away: usize,
}

/// Nothing leaks: every sequence is a running request's or a kept one, and the books on memory are right.
fn check_books(engine: &Engine<Toy>, kv_bytes_max: u64, cache_bytes_max: u64) {
    let (toy, load) = (engine.backend(), engine.load());
    assert_eq!(toy.sequences.len(), load.running + load.cached_sequences);
    let reserved: usize = toy.sequences.values().map(|(capacity, _)| capacity).sum();
    assert_eq!(reserved as u64 * toy.token_bytes, load.reserved_bytes + load.cached_bytes);
    assert!(load.reserved_bytes + load.cached_bytes <= kv_bytes_max && load.cached_bytes <= cache_bytes_max);
}

fn simulate(seed: u64) -> Run {
    let mut dice = Dice(seed, 0);
    let mut toy = Toy::new(CONTEXT, dice.pick(&[1, 2, 5, 16, 64]));
    // Now and then less memory than the longest request needs.
    toy.memory = dice.pick(&[50, CONTEXT, 2 * CONTEXT, 1000]);
    toy.trouble = Trouble { seed, step_memory: dice.pick(&[0, 3, 10]), failures: dice.pick(&[0, 7]) };
    toy.copies = dice.below(4) > 0;
    let kv_bytes_max = dice.pick(&[u64::MAX, u64::MAX, CONTEXT as u64 * 10, CONTEXT as u64 * 25]);
    let cache_bytes_max = dice.pick(&[0, 200, 1000, u64::MAX]);
    let mut engine = engine(
        toy,
        EngineOptions {
            kv_bytes_max,
            cache_bytes_max,
            prefill_percent_shared: dice.pick(&[0, 100, 2000]),
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
    let (mut rounds, mut turned_away) = (0, 0);
    while arrivals > 0 || !engine.is_idle() {
        if arrivals > 0 && dice.below(3) == 0 {
            let request = random_request(&mut dice);
            match try_watched(&mut engine, request.clone()) {
                Ok((id, watch)) => requests.push((id, request, watch)),
                Err(error) => {
                    assert_eq!((error, request.tier), (SubmitError::NoRoom, ServiceTier::Flex));
                    turned_away += 1;
                }
            }
            arrivals -= 1;
        }
        if !requests.is_empty() && dice.below(60) == 0 {
            let id = requests[dice.below(requests.len())].0;
            let over = answers.0.get(&id).is_some_and(|answer| answer.reason.is_some());
            // A request can be over with its end not yet reported, so `over` implies only one direction.
            assert!(!(engine.cancel(id) && over));
            check_books(&engine, kv_bytes_max, cache_bytes_max);
        }
        if let Ok(events) = engine.step() {
            answers.take(events);
        }
        check_books(&engine, kv_bytes_max, cache_bytes_max);
        rounds += 1;
        assert!(rounds < 100_000, "seed {seed} does not come to an end");
    }
    engine.clear_cache();
    let toy = engine.backend();
    assert!(toy.sequences.is_empty());
    Run { requests, answers, steps: toy.steps.clone(), truncations: toy.truncations, copied: toy.copied, turned_away }
}

/// An answer that was ended early: the beginning of what the request gets alone.
fn is_beginning(answer: &Answer, whole: &Answer) {
    assert!(whole.ids.starts_with(&answer.ids));
    assert!(whole.logprobs.starts_with(&answer.logprobs));
}

#[test]
fn answers_are_those_of_the_request_alone() {
    let (mut stopped, mut lengths, mut cancelled, mut late, mut faults) = (0, 0, 0, 0, 0);
    let (mut truncations, mut copied, mut cached, mut turned_away) = (0, 0, 0, 0);
    for seed in 0..400 {
        let run = simulate(seed);
        truncations += run.truncations;
        copied += run.copied;
        turned_away += run.turned_away;
        for (id, request, watch) in run.requests {
            let answer = &run.answers.0[&id];
            let needed = (request.prompt.len() + request.max_tokens).min(CONTEXT);
            let plain = Request { speculate: false, deadline: None, ..request };
            let (whole, digest, rows) = alone(plain, Toy::new(CONTEXT, 64), options());
            cached += answer.usage.cached_tokens;
            match answer.reason.as_ref().unwrap() {
                reason @ (FinishReason::Cancelled | FinishReason::Deadline) => {
                    is_beginning(answer, &whole);
                    cancelled += usize::from(*reason == FinishReason::Cancelled);
                    late += usize::from(*reason == FinishReason::Deadline);
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
    assert!(
        late > 50 && turned_away > 50 && copied > 200 && cached > 1000,
        "{late} late, {turned_away} turned away, {copied} copied, {cached} cached tokens"
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
