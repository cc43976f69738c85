//! What goes wrong for one request leaves the others alone.

use lockstep_engine::{EngineOptions, FinishReason, Request, SamplingParams};

use crate::run::{Answers, alone, drain, engine, options};
use crate::toy::{POISON, Toy, Trouble};

fn greedy(prompt: &[u32], max_tokens: usize) -> Request {
    Request { ignore_eos: true, ..Request::new(prompt.to_vec(), max_tokens) }
}

#[test]
fn a_value_fault_ends_only_its_request() {
    // In the first chunk, in a later one, and in the last token.
    for at in [0, 5, 11] {
        let mut poisoned = [1; 12];
        poisoned[at] = POISON;
        let mut engine = engine(Toy::new(100, 8), options());
        let before = engine.submit(greedy(&[1, 2, 4], 10)).unwrap();
        let bad = engine.submit(greedy(&poisoned, 10)).unwrap();
        let after = engine.submit(greedy(&[1, 2, 4], 10)).unwrap();
        let mut answers = Answers::default();
        drain(&mut engine, &mut answers);
        let expected = alone(greedy(&[1, 2, 4], 10), Toy::new(100, 8), options()).0;
        assert_eq!(answers.0[&before].essence(), expected.essence());
        assert_eq!(answers.0[&after].essence(), expected.essence());
        assert_eq!(answers.0[&bad].reason, Some(FinishReason::Fault("poisoned".into())));
        assert_eq!(answers.0[&bad].ids, []);
    }
}

#[test]
fn a_fault_of_a_wrong_guess_is_not_the_requests() {
    // In the prompt four fives are followed by token 9, harmless there; the answer is all fives, but 9 is guessed.
    let prompt: Vec<u32> = [5, 5, 5, 5, 9].repeat(6).into_iter().chain([5, 5, 5]).collect();
    let run = |speculate| {
        let sampling = SamplingParams { logit_bias: vec![(5, 50.0)], ..SamplingParams::greedy() };
        let mut toy = Toy::new(100, 64);
        toy.poison = (9, prompt.len());
        let mut engine = engine(toy, options());
        let id = engine.submit(Request { sampling, speculate, ..greedy(&prompt, 20) }).unwrap();
        let mut answers = Answers::default();
        drain(&mut engine, &mut answers);
        let last_sequence = engine.backend().steps.iter().flatten().map(|&(sequence, _)| sequence).max();
        (answers.0.remove(&id).unwrap(), last_sequence)
    };
    let ((with, restarted), (without, kept)) = (run(true), run(false));
    assert_eq!(with.essence(), without.essence());
    assert_eq!(with.reason, Some(FinishReason::Length));
    assert_eq!((restarted, kept), (Some(2), Some(1)), "the poisoned sequence is built again");
}

#[test]
fn without_memory_a_request_waits_for_others_and_alone_it_fails() {
    let mut toy = Toy::new(100, 8);
    toy.memory = 30;
    let mut engine = engine(toy, options());
    let first = engine.submit(greedy(&[1; 10], 10)).unwrap();
    let waits = engine.submit(greedy(&[2; 10], 10)).unwrap();
    let never = engine.submit(greedy(&[3; 10], 40)).unwrap();
    let last = engine.submit(greedy(&[4; 2], 2)).unwrap();
    engine.step().unwrap();
    assert_eq!(engine.counts(), (3, 1));
    let mut answers = Answers::default();
    drain(&mut engine, &mut answers);
    for id in [first, waits, last] {
        assert!(answers.0[&id].reason != answers.0[&never].reason && !answers.0[&id].ids.is_empty());
    }
    let Some(FinishReason::Fault(message)) = &answers.0[&never].reason else { panic!("it cannot fit") };
    assert_eq!(message, "no memory for a sequence of 50 tokens: choose a smaller context");
}

#[test]
fn a_step_without_memory_sends_the_latest_back_to_the_queue() {
    let mut toy = Toy::new(100, 64);
    toy.trouble = Trouble { seed: 1, step_memory: 2, failures: 0 };
    let mut engine = engine(toy, options());
    let requests: Vec<Request> = (1..8).map(|first| greedy(&[first, 2, 3, 4, 5], 20)).collect();
    let ids: Vec<_> = requests.iter().map(|request| engine.submit(request.clone()).unwrap()).collect();
    let mut answers = Answers::default();
    drain(&mut engine, &mut answers);
    for (id, request) in ids.iter().zip(requests) {
        assert_eq!(answers.0[id].essence(), alone(request, Toy::new(100, 8), options()).0.essence());
    }
}

#[test]
fn a_failing_backend_loses_nothing() {
    let mut toy = Toy::new(100, 8);
    toy.trouble = Trouble { seed: 5, step_memory: 0, failures: 2 };
    let mut engine = engine(toy, EngineOptions { running_max: 2, ..options() });
    let requests: Vec<Request> = (1..5).map(|first| greedy(&[first, 2, 3, 4, 5], 9)).collect();
    let ids: Vec<_> = requests.iter().map(|request| engine.submit(request.clone()).unwrap()).collect();
    let mut answers = Answers::default();
    let mut failures = 0;
    while !engine.is_idle() {
        match engine.step() {
            Ok(events) => answers.take(events),
            Err(error) => {
                assert_eq!(error.to_string(), "injected");
                failures += 1;
            }
        }
    }
    assert!(failures > 5);
    for (id, request) in ids.iter().zip(requests) {
        assert_eq!(answers.0[id].essence(), alone(request, Toy::new(100, 8), options()).0.essence());
    }
}

#[test]
fn cancelling_releases_at_once() {
    let mut engine = engine(Toy::new(100, 8), EngineOptions { running_max: 1, ..options() });
    let runs = engine.submit(Request { speculate: false, ..greedy(&[1, 2, 4], 50) }).unwrap();
    let waits = engine.submit(greedy(&[1], 50)).unwrap();
    let mut answers = Answers::default();
    answers.take(engine.step().unwrap());
    answers.take(engine.step().unwrap());
    assert_eq!(engine.counts(), (1, 1));
    assert!(engine.cancel(runs) && engine.cancel(waits));
    assert!(engine.backend().sequences.is_empty());
    assert!(!engine.is_idle(), "the ends are still to be reported");
    assert!(!engine.cancel(runs), "it is over");
    answers.take(engine.step().unwrap());
    assert!(engine.is_idle());
    assert_eq!(answers.0[&runs].reason, Some(FinishReason::Cancelled));
    assert_eq!(answers.0[&runs].ids.len(), 2);
    assert_eq!(answers.0[&waits].reason, Some(FinishReason::Cancelled));
    assert_eq!(answers.0[&waits].ids, []);
}
