//! Kept prefixes save work and change nothing.

use lockstep_engine::{Engine, EngineOptions, Load, Request, RequestId, SamplingParams, ServiceTier};

use crate::run::{Answers, alone, drain, engine, options};
use crate::toy::Toy;

fn request(prompt: &[u32], max_tokens: usize) -> Request {
    // No poison is drawn.
    let sampling = SamplingParams { logit_bias: vec![(23, -100.0)], ..SamplingParams::greedy() };
    Request { ignore_eos: true, logprobs: Some(2), sampling, ..Request::new(prompt.to_vec(), max_tokens) }
}

fn caching(cache_tokens: u64) -> EngineOptions {
    EngineOptions { cache_bytes_max: cache_tokens * 10, ..options() }
}

/// Runs one request to its end; checks its answer and returns how many of its tokens were cached.
fn cached(engine: &mut Engine<Toy>, request: Request) -> usize {
    let id = engine.submit(request.clone()).unwrap();
    let mut answers = Answers::default();
    while !engine.is_idle() {
        answers.take(engine.step().unwrap());
    }
    let answer = answers.0.remove(&id).unwrap();
    assert_eq!(answer.essence(), alone(request, Toy::new(200, 64), options()).0.essence());
    answer.usage.cached_tokens
}

fn tokens(seed: u32, count: u32) -> Vec<u32> {
    (0..count).map(|at| (at * 7 + at * at * 3 + seed * 5) % 20 + 1).collect()
}

#[test]
fn a_prompt_begins_where_another_left_off() {
    let mut engine = engine(Toy::new(200, 64), caching(1000));
    let empty = engine.load();
    assert_eq!(empty, Load { kv_bytes_max: empty.kv_bytes_max, ..Load::default() });
    let prompt = tokens(1, 40);
    assert_eq!(cached(&mut engine, request(&prompt, 10)), 0);
    // The same again: all but the last token, whose logits are needed.
    assert_eq!(cached(&mut engine, request(&prompt, 10)), 39);
    assert_eq!(engine.load().cached_sequences, 1, "the same text is kept once");
    // A conversation that goes on: the answer's tokens are cached too, but the last, which was never fed.
    let answer = alone(request(&prompt, 10), Toy::new(200, 64), options()).0.ids;
    let next = [&prompt[..], &answer, &tokens(2, 12)].concat();
    assert_eq!(cached(&mut engine, request(&next, 5)), 49);
    assert_eq!(engine.load().cached_sequences, 1, "the longer text has the shorter one");
    // Another end after the same beginning.
    let other = [&prompt[..20], &tokens(3, 20)].concat();
    let common = prompt.iter().zip(&other).take_while(|(a, b)| a == b).count();
    assert_eq!(cached(&mut engine, request(&other, 5)), common);
    assert_eq!(engine.load().cached_sequences, 2);
    assert_eq!(cached(&mut engine, Request { cache_scope: 7, ..request(&prompt, 5) }), 0, "scopes share nothing");
    engine.clear_cache();
    assert_eq!((engine.load(), engine.backend().sequences.len()), (empty, 0));
}

#[test]
fn a_sequence_is_taken_over_where_it_has_room() {
    let mut toy = Toy::new(200, 64);
    toy.copies = false;
    let mut engine = engine(toy, caching(1000));
    let prompt = tokens(1, 40);
    cached(&mut engine, request(&prompt, 30));
    assert_eq!(cached(&mut engine, request(&prompt, 20)), 0, "most of it would be lost for others");
    let longer = [prompt, alone(request(&tokens(1, 40), 30), Toy::new(200, 64), options()).0.ids].concat();
    assert_eq!(cached(&mut engine, request(&longer[..66], 4)), 65);
    assert_eq!(engine.backend().copied, 0);
}

#[test]
fn requests_that_run_are_a_source_too() {
    let mut engine = engine(Toy::new(200, 64), caching(1000));
    let prompt = tokens(1, 40);
    let first = engine.submit(request(&prompt, 30)).unwrap();
    let mut answers = Answers::default();
    answers.take(engine.step().unwrap());
    let second = engine.submit(request(&prompt, 12)).unwrap();
    let foreign = engine.submit(Request { cache_scope: 1, ..request(&prompt, 12) }).unwrap();
    drain(&mut engine, &mut answers);
    let cached = |id: RequestId| answers.0[&id].usage.cached_tokens;
    assert_eq!((cached(first), cached(second), cached(foreign)), (0, 39, 0));
    for (id, tokens) in [(first, 30), (second, 12), (foreign, 12)] {
        let expected = alone(request(&prompt, tokens), Toy::new(200, 64), options()).0;
        assert_eq!(answers.0[&id].essence(), expected.essence());
    }
}

/// Prompt tokens of each step, given the requests that are submitted before the first.
fn fed(engine: &mut Engine<Toy>, requests: &[Request]) -> (Vec<usize>, Vec<usize>) {
    let ids: Vec<RequestId> = requests.iter().map(|request| engine.submit(request.clone()).unwrap()).collect();
    let mut answers = Answers::default();
    drain(engine, &mut answers);
    for (id, request) in ids.iter().zip(requests) {
        let expected = alone(request.clone(), Toy::new(200, 64), options()).0;
        assert_eq!(answers.0[id].essence(), expected.essence());
    }
    let steps = engine.backend().steps.iter().map(|items| items.iter().map(|&(_, tokens)| tokens).sum());
    (steps.collect(), ids.iter().map(|id| answers.0[id].usage.cached_tokens).collect())
}

#[test]
fn a_beginning_that_is_being_computed_is_waited_for() {
    let prompt = |end: u32| request(&[&tokens(1, 60)[..], &[end, end]].concat(), 2);
    let much = EngineOptions { prefill_percent_shared: 1000, ..caching(1000) };
    let mut one = engine(Toy::new(200, 64), much);
    let (steps, cached) = fed(&mut one, &[prompt(1), prompt(2), prompt(3), prompt(4)]);
    // The first, then what is different in each of the others, beside the first one's token.
    assert_eq!((steps, cached), (vec![62, 1 + 3 * 2, 3], vec![0, 60, 60, 60]));
    // Who has nothing in common does not wait, whatever waits before it.
    let mut other = engine(Toy::new(200, 128), caching(1000));
    let (steps, cached) = fed(&mut other, &[prompt(1), prompt(2), request(&tokens(8, 20), 2)]);
    assert_eq!((steps, cached), (vec![82, 2 + 2, 1], vec![0, 60, 0]));
    // Sixteen tokens of a long prompt are not worth its time.
    let mut long = engine(Toy::new(200, 128), caching(1000));
    let brief = request(&[&tokens(1, 16)[..], &[3, 3]].concat(), 2);
    let (steps, cached) = fed(&mut long, &[prompt(1), brief]);
    assert_eq!((steps, cached), (vec![80, 2], vec![0, 0]));
}

#[test]
fn who_waits_for_a_beginning_keeps_its_place() {
    let prompt = |end: u32| request(&[&tokens(1, 60)[..], &[end, end]].concat(), 2);
    // Room for two: the third must not take what the second is promised.
    for by_books in [true, false] {
        let options = if by_books {
            EngineOptions { kv_bytes_max: 1300, ..caching(1000) }
        } else {
            EngineOptions { running_max: 2, ..caching(1000) }
        };
        let mut engine = engine(Toy::new(200, 128), options);
        let (steps, cached) = fed(&mut engine, &[prompt(1), prompt(2), request(&tokens(8, 20), 2)]);
        assert_eq!((steps[..2].to_vec(), cached), (vec![62, 1 + 2], vec![0, 60, 0]), "by books: {by_books}");
    }
}

#[test]
fn the_budget_holds_and_what_was_used_longest_ago_goes() {
    let mut engine = engine(Toy::new(200, 64), caching(100));
    for seed in 1..=3 {
        cached(&mut engine, request(&tokens(seed, 30), 10));
    }
    let load = engine.load();
    assert_eq!((load.cached_sequences, load.cached_bytes), (2, 800));
    assert_eq!(cached(&mut engine, request(&tokens(1, 30), 10)), 0, "the first is gone");
    assert_eq!(cached(&mut engine, request(&tokens(3, 30), 10)), 29);
    // Too long to be kept.
    cached(&mut engine, request(&tokens(5, 150), 4));
    assert_eq!(engine.load().cached_sequences, 2);
    // What is mostly empty is kept as a shorter copy: 30 tokens were fed, of 130.
    let mut ends_early = request(&tokens(6, 30), 100);
    ends_early.stop_token_ids = (0..22).collect();
    cached(&mut engine, ends_early);
    assert!(engine.load().cached_bytes <= 1000 && engine.load().cached_sequences == 2, "{:?}", engine.load());
    assert_eq!(cached(&mut engine, request(&tokens(6, 30), 4)), 29);
}

#[test]
fn kept_sequences_give_way_to_requests() {
    // All memory is 100 tokens, by the engine's books or by the backend's.
    for by_books in [true, false] {
        let mut toy = Toy::new(200, 64);
        let mut options = caching(100);
        if by_books {
            options.kv_bytes_max = 1000;
        } else {
            toy.memory = 100;
        }
        let mut engine = engine(toy, options);
        cached(&mut engine, request(&tokens(1, 30), 10));
        cached(&mut engine, request(&tokens(2, 30), 10));
        assert_eq!(engine.load().cached_sequences, 2);
        assert_eq!(cached(&mut engine, request(&tokens(3, 80), 20)), 0);
        let load = engine.load();
        assert_eq!((load.cached_sequences, load.cached_tokens), (1, 99), "by books: {by_books}");
        if by_books {
            assert_eq!(engine.context_length(), 100);
            assert!(engine.submit(request(&tokens(1, 100), 1)).is_err());
        }
    }
}

#[test]
fn requests_wait_for_memory_by_the_worst_case() {
    let options = EngineOptions { kv_bytes_max: 1000, ..options() };
    let mut engine = engine(Toy::new(200, 64), options);
    for seed in 1..=3 {
        engine.submit(request(&tokens(seed, 30), 20)).unwrap();
    }
    let flex = Request { tier: ServiceTier::Flex, ..request(&tokens(4, 10), 2) };
    assert!(engine.submit(flex).is_err(), "three wait for 150 tokens already");
    let mut answers = Answers::default();
    answers.take(engine.step().unwrap());
    assert_eq!((engine.counts(), engine.load().reserved_bytes), ((1, 2), 1000));
    drain(&mut engine, &mut answers);
}
