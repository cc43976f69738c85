//! Guessing ahead changes speed only.

use lockstep_engine::{EngineOptions, Request, SamplingParams};

use crate::run::{alone, options};
use crate::toy::Toy;

fn request(seed: u64, temperature: f32, speculate: bool) -> Request {
    let prompt: Vec<u32> = (0..12).map(|i| (lockstep_engine::sampling::random(seed, i) % 20) as u32 + 1).collect();
    Request {
        sampling: SamplingParams {
            temperature,
            repetition_penalty: if seed.is_multiple_of(3) { 1.1 } else { 1.0 },
            logit_bias: vec![(23, -100.0)],
            ..SamplingParams::default()
        },
        seed,
        logprobs: Some(3),
        ignore_eos: true,
        all_logits: seed.is_multiple_of(2),
        speculate,
        ..Request::new(prompt, 80)
    }
}

#[test]
fn tokens_logprobs_and_digest_are_the_same() {
    let (mut proposed, mut accepted) = (0, 0);
    for seed in 0..60 {
        for temperature in [0.0, 0.3, 1.0] {
            let without = alone(request(seed, temperature, false), Toy::new(200, 16), options());
            // A cost of 0 guesses wherever something repeats, right or wrong.
            for token_cost_percent in [0, 45] {
                let options = EngineOptions { token_cost_percent, ..options() };
                let with = alone(request(seed, temperature, true), Toy::new(200, 16), options);
                assert_eq!(with.0.essence(), without.0.essence(), "seed {seed}, temperature {temperature}");
                assert_eq!((with.1, with.2), (without.1.clone(), without.2));
                proposed += with.0.usage.proposed_tokens;
                accepted += with.0.usage.accepted_tokens;
            }
            assert_eq!(without.0.usage.proposed_tokens, 0);
        }
    }
    assert!(accepted > 1000 && proposed - accepted > 1000, "{accepted} of {proposed}");
}

#[test]
fn a_repetitive_text_takes_far_fewer_steps() {
    let steps = |speculate| {
        let mut engine = crate::run::engine(Toy::new(500, 64), options());
        // A bias makes the text repeat one token: the clearest repetition there is.
        let sampling = SamplingParams { logit_bias: vec![(5, 50.0)], ..SamplingParams::greedy() };
        engine.submit(Request { sampling, speculate, ..Request::new(vec![1, 2, 4], 200) }).unwrap();
        crate::run::drain(&mut engine, &mut crate::run::Answers::default());
        engine.backend().steps.len()
    };
    assert_eq!(steps(false), 200);
    assert!(steps(true) < 40, "{}", steps(true));
}
