//! Single requests: lengths, ends, texts, times.

use std::time::Duration;

use lockstep_engine::{Event, FinishReason, Request, SamplingParams, SubmitError};

use crate::run::{Answers, alone, drain, engine, options, watched};
use crate::toy::{END, Toy, VOCABULARY, logits_after, text_of};

fn greedy(prompt: &[u32], max_tokens: usize) -> Request {
    Request { ignore_eos: true, ..Request::new(prompt.to_vec(), max_tokens) }
}

/// The greedy answer, computed without an engine.
fn plain(prompt: &[u32], count: usize) -> Vec<u32> {
    let mut text = prompt.to_vec();
    for _ in 0..count {
        let logits = logits_after(&text);
        let max = logits.iter().copied().fold(f32::MIN, f32::max);
        text.push(logits.iter().position(|&l| l == max).unwrap() as u32);
    }
    text.split_off(prompt.len())
}

/// A prompt whose greedy answer of `count` tokens is varied and has no poison in it.
fn wholesome(count: usize) -> Vec<u32> {
    let varied = |answer: &[u32]| (1..20).filter(|id| answer.contains(id)).count() > 8;
    let prompts = (0..2000).map(|a| vec![a % 20 + 1, a / 20 % 20 + 1, a / 400 + 1]);
    let good = |prompt: &Vec<u32>| {
        let answer = plain(prompt, count);
        !answer.contains(&23) && varied(&answer)
    };
    prompts.into_iter().find(good).unwrap()
}

/// A prompt whose greedy answer has no poison and, within 30 tokens, an end token as its n-th for a known n of 3 or more.
fn ending_prompt() -> (Vec<u32>, usize) {
    let ending = |a: u32| {
        let prompt = vec![a % 20 + 1, a / 20 % 20 + 1, a / 400 + 1];
        let end = plain(&prompt, 30).iter().position(|&id| id == END)?;
        (end >= 3 && !plain(&prompt, 30).contains(&23)).then_some((prompt, end))
    };
    (0..2000).find_map(ending).unwrap()
}

#[test]
fn a_greedy_answer_is_the_plain_one() {
    for last in 1..20 {
        let prompt = [5, 9, last];
        let expected = plain(&prompt, 40);
        if expected.contains(&23) {
            continue;
        }
        let (answer, _, rows) = alone(greedy(&prompt, 40), Toy::new(100, 16), options());
        assert_eq!(answer.ids, expected);
        assert_eq!(answer.text, text_of(&expected));
        assert_eq!(answer.reason, Some(FinishReason::Length));
        assert_eq!(rows, 40);
    }
}

#[test]
fn the_end_token_ends_unless_told_otherwise() {
    let (prompt, end) = ending_prompt();
    let request = Request::new(prompt.clone(), 30);
    let (answer, ..) = alone(request.clone(), Toy::new(100, 16), options());
    assert_eq!(answer.ids, plain(&prompt, end + 1));
    assert_eq!(answer.text, text_of(&answer.ids[..end]), "the end token has no text");
    assert_eq!(answer.reason, Some(FinishReason::Stop));
    let (answer, ..) = alone(Request { min_tokens: end + 2, ..request.clone() }, Toy::new(100, 16), options());
    assert!(answer.ids.len() >= end + 2 && !answer.ids[..=end + 1].contains(&END));
    let (answer, ..) = alone(Request { ignore_eos: true, ..request.clone() }, Toy::new(100, 16), options());
    assert_eq!(answer.ids.len(), 30);
    let third = plain(&prompt, 3)[2];
    let (answer, ..) = alone(Request { stop_token_ids: vec![third], ..request }, Toy::new(100, 16), options());
    assert!(answer.ids.len() <= 3 && answer.ids.last() == Some(&third));
    assert_eq!(answer.reason, Some(FinishReason::Stop));
}

#[test]
fn stop_strings_cut_the_text_everywhere() {
    let prompt = wholesome(40);
    let whole = alone(greedy(&prompt, 40), Toy::new(100, 16), options()).0;
    let characters: Vec<(usize, char)> = whole.text.char_indices().collect();
    let mut cuts = 0;
    for window in characters.windows(3) {
        let stop: String = window.iter().map(|&(_, c)| c).collect();
        let request = Request { stop: vec!["never".into(), stop.clone()], ..greedy(&prompt, 40) };
        let answer = alone(request, Toy::new(100, 16), options()).0;
        assert_eq!(answer.text, whole.text[..whole.text.find(&stop).unwrap()], "{stop:?}");
        assert!(whole.ids.starts_with(&answer.ids));
        assert_eq!(answer.reason, Some(FinishReason::StopString));
        cuts += 1;
    }
    assert!(cuts > 10);
}

#[test]
fn the_context_bounds_the_answer() {
    let (answer, ..) = alone(greedy(&[1, 2, 4], usize::MAX), Toy::new(10, 4), options());
    assert_eq!(answer.ids.len(), 7);
    assert_eq!(answer.reason, Some(FinishReason::Length));
    let mut engine = engine(Toy::new(10, 4), options());
    let error = engine.submit(greedy(&[1; 10], 1)).unwrap_err();
    assert_eq!(error, SubmitError::PromptTooLong { tokens: 10, context: 10 });
    assert!(engine.is_idle());
}

#[test]
fn the_queue_is_bounded() {
    let mut engine = engine(Toy::new(10, 4), lockstep_engine::EngineOptions { waiting_max: 2, ..options() });
    engine.submit(greedy(&[1], 1)).unwrap();
    engine.submit(greedy(&[1], 1)).unwrap();
    assert_eq!(engine.submit(greedy(&[1], 1)), Err(SubmitError::QueueFull { waiting: 2 }));
    drain(&mut engine, &mut Answers::default());
    engine.submit(greedy(&[1], 1)).unwrap();
}

#[test]
fn the_digest_depends_on_the_request_alone() {
    let prompt: Vec<u32> = (0..50).map(|i| i * 7 % 20 + 1).collect();
    // No poison is drawn.
    let sampling = SamplingParams { logit_bias: vec![(23, -100.0)], ..SamplingParams::greedy() };
    let request =
        |all_logits, speculate| Request { all_logits, speculate, sampling: sampling.clone(), ..greedy(&prompt, 30) };
    let few = alone(request(false, false), Toy::new(100, 64), options());
    let all = alone(request(true, false), Toy::new(100, 64), options());
    assert_eq!((few.2, all.2), (30, 79));
    assert_ne!(few.1, all.1);
    for chunk in [1, 3, 7, 49, 50, 64] {
        for speculate in [false, true] {
            let chunked = lockstep_engine::EngineOptions { prefill_chunk: Some(chunk), ..options() };
            let mut engine = engine(Toy::new(100, 64), chunked);
            let watches = [false, true].map(|all_logits| {
                let beside = engine.submit(greedy(&[chunk as u32 % 20 + 1, 3], 25)).unwrap();
                assert!(beside.0 < 4);
                watched(&mut engine, request(all_logits, speculate)).1
            });
            drain(&mut engine, &mut Answers::default());
            let digests = watches.map(|watch| watch.lock().unwrap().digest.hex());
            assert_eq!(digests, [few.1.clone(), all.1.clone()], "chunk {chunk}, speculate {speculate}");
        }
    }
}

#[test]
fn logprobs_are_of_the_models_distribution() {
    let sampling = SamplingParams { temperature: 0.5, top_k: 3, ..SamplingParams::default() };
    let request = Request { sampling, logprobs: Some(VOCABULARY.min(20)), ..greedy(&[3, 1, 2], 5) };
    let answer = alone(request, Toy::new(100, 16), options()).0;
    let mut text = vec![3, 1, 2];
    for (&id, logprobs) in answer.ids.iter().zip(&answer.logprobs) {
        let logits = logits_after(&text);
        let mass: f64 = logits.iter().map(|&l| f64::from(l).exp()).sum();
        let logprobs = logprobs.as_ref().unwrap();
        // A float reference: see the accuracy stated in `sampling`.
        assert!((logprobs.chosen - (f64::from(logits[id as usize]) - mass.ln())).abs() < 1e-6);
        assert_eq!(logprobs.top.len(), 20);
        assert!(logprobs.top.windows(2).all(|pair| pair[0].1 >= pair[1].1));
        text.push(id);
    }
}

#[test]
fn times_add_up() {
    let mut engine = engine(Toy::new(100, 4), options());
    let id = engine.submit(Request { speculate: false, ..greedy(&[1, 2, 4, 5, 6, 7, 8, 9, 10], 4) }).unwrap();
    let mut events = Vec::new();
    while !engine.is_idle() {
        events.extend(engine.step().unwrap());
    }
    let times: Vec<Duration> = events
        .iter()
        .filter_map(|event| if let Event::Token { time, .. } = event { Some(*time) } else { None })
        .collect();
    let Some(Event::Finished { request, usage, .. }) = events.last() else { panic!("no end") };
    assert_eq!((*request, usage.prompt_tokens, usage.completion_tokens), (id, 9, 4));
    // Submitted at 0 ms, admitted at 1; nine prompt tokens take three steps of at most four, read at 2, 3 and 4.
    let ms = Duration::from_millis;
    assert_eq!((usage.queue_time, usage.prompt_time, usage.completion_time), (ms(1), ms(3), ms(3)));
    assert_eq!(times, [4, 5, 6, 7].map(ms));
    assert_eq!(usage.first_token_time(), Some(ms(4)));
    assert_eq!(usage.gaps().collect::<Vec<_>>(), [ms(1); 3]);
}

#[test]
fn generating_requests_come_before_prompts() {
    let mut engine = engine(Toy::new(100, 6), options());
    engine.submit(Request { speculate: false, ..greedy(&[1], 8) }).unwrap();
    engine.step().unwrap();
    engine.submit(greedy(&[2; 12], 2)).unwrap();
    engine.submit(greedy(&[3; 4], 2)).unwrap();
    for _ in 0..3 {
        engine.step().unwrap();
    }
    // The one token of the first request is in every step, then half of the rest for the prompt that came first, and
    // half for the one that lacks least.
    let steps = [vec![(1, 1), (2, 3), (3, 2)], vec![(1, 1), (2, 3), (3, 2)], vec![(1, 1), (2, 4), (3, 1)]];
    assert_eq!(engine.backend().steps[1..], steps);
}

#[test]
fn a_prompt_adds_a_bounded_part_to_the_steps_of_others() {
    let mine = lockstep_engine::EngineOptions { token_cost_percent: 20, prefill_percent_shared: 150, ..options() };
    let mut engine = engine(Toy::new(100, 64), mine);
    engine.submit(Request { speculate: false, ..greedy(&[1], 8) }).unwrap();
    engine.step().unwrap();
    engine.submit(Request { speculate: false, ..greedy(&[2; 20], 8) }).unwrap();
    for _ in 0..4 {
        engine.step().unwrap();
    }
    engine.submit(greedy(&[3; 20], 2)).unwrap();
    engine.step().unwrap();
    // One and a half steps are 7.5 tokens where one generates, and 9 where two do.
    let steps = [vec![(1, 1), (2, 7)], vec![(1, 1), (2, 7)], vec![(1, 1), (2, 6)], vec![(1, 1), (2, 1)]];
    assert_eq!(engine.backend().steps[1..5], steps);
    assert_eq!(engine.backend().steps[5..], [vec![(1, 1), (2, 1), (3, 9)]]);
}

#[test]
fn an_engine_may_move_to_another_thread() {
    let mut engine = engine(Toy::new(100, 6), options());
    engine.submit(greedy(&[1], 2)).unwrap();
    let answers = std::thread::spawn(move || {
        let mut answers = Answers::default();
        drain(&mut engine, &mut answers);
        answers
    });
    assert_eq!(answers.join().unwrap().0.len(), 1);
}
