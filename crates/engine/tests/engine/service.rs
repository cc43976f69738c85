//! Constraints, tiers and deadlines.

use std::time::Duration;

use lockstep_engine::{
    Attached, Constraint, Engine, EngineOptions, Event, FinishReason, Request, RequestId, SamplingParams, ServiceTier,
    SubmitError,
};

use crate::run::{Answer, Answers, alone, drain, engine, options};
use crate::toy::{END, Toy, VOCABULARY};

fn greedy(prompt: &[u32], max_tokens: usize) -> Request {
    Request { ignore_eos: true, ..Request::new(prompt.to_vec(), max_tokens) }
}

/// Tokens of one list after the other, again and again; after `tokens_max` of them only the end.
struct Turns {
    lists: Vec<Vec<u32>>,
    accepted: Vec<u32>,
    tokens_max: usize,
    mask: Vec<u32>,
}

impl Turns {
    fn attached(lists: &[&[u32]], tokens_max: usize) -> Attached {
        let lists = lists.iter().map(|list| list.to_vec()).collect();
        let turns = Self { lists, accepted: Vec::new(), tokens_max, mask: Vec::new() };
        Attached { constraint: Some(Box::new(turns)), ..Attached::default() }
    }
}

impl Constraint for Turns {
    fn allowed(&mut self) -> Result<Option<&[u32]>, String> {
        let list = if self.accepted.len() >= self.tokens_max {
            &vec![END]
        } else {
            &self.lists[self.accepted.len() % self.lists.len()]
        };
        if list.is_empty() {
            return Ok(None);
        }
        self.mask = vec![0; VOCABULARY.div_ceil(32)];
        for &id in list {
            self.mask[id as usize / 32] |= 1 << (id % 32);
        }
        Ok(Some(&self.mask))
    }

    fn accept(&mut self, id: u32) -> Result<(), String> {
        self.accepted.push(id);
        if id == 19 { Err("nineteen is too much".into()) } else { Ok(()) }
    }
}

fn constrained(request: Request, attached: Attached, others: usize) -> Answer {
    let mut engine = engine(Toy::new(200, 32), options());
    let id = engine.submit_with(request, attached).unwrap();
    for other in 0..others as u32 {
        engine.submit(greedy(&[other % 20 + 1, 2], 30)).unwrap();
    }
    let mut answers = Answers::default();
    drain(&mut engine, &mut answers);
    answers.0.remove(&id).unwrap()
}

#[test]
fn a_constraint_holds_whatever_the_sampling() {
    let (mut proposed, mut free) = (0, 0);
    for seed in 0..120 {
        let temperature = [0.0, 0.5, 1.5][seed as usize % 3];
        let sampling = SamplingParams { temperature, top_k: seed as u32 % 4, top_p: 0.9, ..SamplingParams::default() };
        let lists: [&[u32]; 3] = [&[1, 2, 3], &[4, 9], &[]];
        let request = |speculate| {
            let request = Request::new(vec![seed as u32 % 20 + 1, 5, 6], 60);
            Request { sampling: sampling.clone(), seed, logprobs: Some(3), speculate, ..request }
        };
        let answer = constrained(request(true), Turns::attached(&lists, 30), 0);
        assert_eq!(answer.essence(), constrained(request(false), Turns::attached(&lists, 30), 5).essence());
        for (at, &id) in answer.ids.iter().enumerate() {
            free += usize::from(at % 3 == 2 && id > 9);
            assert!(
                at == 30 && id == END || at % 3 == 2 || lists[at % 3].contains(&id),
                "seed {seed}: {:?}",
                answer.ids
            );
        }
        proposed += answer.usage.proposed_tokens;
    }
    assert!(proposed > 100 && free > 100, "{proposed} guesses, {free} free tokens");
}

#[test]
fn what_a_constraint_makes_likely_changes_no_logprob() {
    let request = |max_tokens| Request { logprobs: Some(20), ..greedy(&[3, 1, 2], max_tokens) };
    let free = alone(request(1), Toy::new(100, 16), options()).0;
    let worst = free.logprobs[0].as_ref().unwrap().top[19];
    let answer = constrained(request(1), Turns::attached(&[&[worst.0]], 9), 0);
    assert_eq!(answer.ids, [worst.0]);
    let logprobs = answer.logprobs[0].as_ref().unwrap();
    assert_eq!(logprobs.chosen, worst.1);
    assert_eq!(logprobs.top, free.logprobs[0].as_ref().unwrap().top);
}

#[test]
fn a_constraint_that_fails_ends_its_request_alone() {
    let answer = constrained(greedy(&[1, 2], 9), Turns::attached(&[&[4], &[19]], 9), 3);
    assert_eq!(answer.ids, [4, 19]);
    assert_eq!(answer.reason, Some(FinishReason::Fault("nineteen is too much".into())));
    let nothing = constrained(greedy(&[1, 2], 9), Turns::attached(&[&[4], &[31]], 9), 3);
    assert_eq!(nothing.ids, [4]);
    let Some(FinishReason::Fault(why)) = nothing.reason else { panic!("no token is allowed") };
    assert!(why.contains("allows no token"), "{why}");
}

#[test]
fn the_flex_tier_starts_at_once_or_not_at_all() {
    let flex = |first: u32| Request { tier: ServiceTier::Flex, ..greedy(&[first, 2], 4) };
    let mut engine = engine(Toy::new(100, 16), EngineOptions { running_max: 2, ..options() });
    engine.submit(flex(1)).unwrap();
    engine.submit(greedy(&[2], 8)).unwrap();
    assert_eq!(engine.submit(flex(3)), Err(SubmitError::NoRoom));
    let waits = engine.submit(greedy(&[4], 3)).unwrap();
    let mut answers = Answers::default();
    answers.take(engine.step().unwrap());
    assert_eq!(engine.submit(flex(5)), Err(SubmitError::NoRoom), "both run");
    while answers.0.get(&waits).is_none_or(|answer| answer.reason.is_none()) {
        answers.take(engine.step().unwrap());
    }
    let last = engine.submit(flex(6)).unwrap();
    drain(&mut engine, &mut answers);
    assert_eq!(answers.0[&last].essence(), alone(greedy(&[6, 2], 4), Toy::new(100, 16), options()).0.essence());
}

/// Steps until nothing is left; the ends in order.
fn ends(engine: &mut Engine<Toy>) -> Vec<(RequestId, FinishReason, usize)> {
    let mut ends = Vec::new();
    while !engine.is_idle() {
        for event in engine.step().unwrap() {
            if let Event::Finished { request, reason, usage, .. } = event {
                ends.push((request, reason, usage.completion_tokens));
            }
        }
    }
    assert!(engine.backend().sequences.is_empty());
    ends
}

#[test]
fn a_deadline_ends_what_waits_and_what_runs() {
    let mut engine = engine(Toy::new(200, 16), EngineOptions { running_max: 2, ..options() });
    let until = |ms: u64, first: u32| Request {
        deadline: Some(Duration::from_millis(ms)),
        speculate: false,
        ..greedy(&[first, 2, 4], 50)
    };
    // Each reading of the clock is a millisecond: three submissions, then about two readings a step.
    let runs = engine.submit(until(40, 1)).unwrap();
    let ends_itself = engine.submit(Request { max_tokens: 3, ..until(500, 1) }).unwrap();
    let starts_late = engine.submit(until(45, 7)).unwrap();
    let past = engine.submit(until(0, 9)).unwrap();
    let ends = ends(&mut engine);
    assert_eq!(ends.iter().map(|end| end.0).collect::<Vec<_>>(), [past, ends_itself, runs, starts_late]);
    assert_eq!((&ends[0].1, ends[0].2), (&FinishReason::Deadline, 0));
    assert_eq!((&ends[1].1, ends[1].2), (&FinishReason::Length, 3));
    for (_, reason, tokens) in &ends[2..] {
        assert_eq!(*reason, FinishReason::Deadline);
        assert!((5..50).contains(tokens), "{tokens}");
    }
}
