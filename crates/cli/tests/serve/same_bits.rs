//! The promise of this server: equal requests get equal bits, whatever else goes on.

use serde_json::{Value, json};

use crate::http::Stream;
use crate::said::Said;
use crate::served::Served;
use crate::with;

/// How often each request is asked.
const TRIALS: usize = 50;

/// What every prompt of the same kind begins with, so that it may be there already.
const SYSTEM: &str = "You answer in few words, in plain English, and you never say what you are not asked for.";

/// Servers one after the other, each with what it is started with: the same, a restart of it, one that keeps no prefix,
/// and one that works in other pieces.
const SERVERS: [&[&str]; 4] = [
    &[],
    &[],
    &["--prefix-cache", "0"],
    &["--threads", "1", "--prefill-chunk", "7", "--speculate", "off", "--prefix-cache", "1"],
];

fn request(system: &str, user: &str, tokens: u32) -> Value {
    let messages = json!([{"role": "system", "content": system}, {"role": "user", "content": user}]);
    json!({"model": "smollm2", "messages": messages, "max_tokens": tokens, "temperature": 0})
}

/// Six answers to other requests, half of which begin like ours, and each of which has begun.
fn others(served: &Served, trial: usize) -> Vec<Stream> {
    let asked = (0..6).map(|number| {
        let system = if number % 2 == 0 { SYSTEM } else { "You tell stories." };
        let body = request(system, &format!("Tell me of the number {}.", 10 * trial + number), 32);
        let changes = json!({"stream": true, "ignore_eos": true, "temperature": number % 3, "seed": trial});
        served.open("/v1/chat/completions", &with(body, &changes))
    });
    let mut streams: Vec<_> = asked.collect();
    for stream in &mut streams {
        stream.read_events(2);
    }
    streams
}

#[test]
fn fifty_trials_of_a_request_give_one_answer() {
    let question = || request(SYSTEM, "Why is the sky blue?", 24);
    let greedy = with(question(), &json!({"logprobs": true, "top_logprobs": 3}));
    let drawn = with(question(), &json!({"temperature": 1, "seed": 7, "logprobs": true, "top_logprobs": 0}));
    let (mut answers, mut hits) = ([Vec::new(), Vec::new()], [0.0; SERVERS.len()]);
    for (number, arguments) in SERVERS.iter().enumerate() {
        let served = Served::start(arguments);
        for trial in (number..TRIALS).step_by(SERVERS.len()) {
            // Over the servers' own trials, so that each gets all four ways.
            let way = trial / SERVERS.len();
            let (is_streamed, is_among_others) = (way % 2 == 1, way / 2 % 2 == 1);
            let beside = if is_among_others { others(&served, trial) } else { Vec::new() };
            let bodies = [&greedy, &drawn].map(|body| with(body.clone(), &json!({"stream": is_streamed})));
            let asked = bodies.map(|body| served.open("/v1/chat/completions", &body));
            for (said, stream) in answers.iter_mut().zip(asked) {
                said.push(Said::of(&stream.rest()));
            }
            for stream in beside {
                assert_eq!(Said::of(&stream.rest()).tokens, 32);
            }
        }
        hits[number] = served.metric("lockstep_prefix_cache_hits_total");
    }
    for said in answers {
        assert_eq!((said.len(), said[0].tokens), (TRIALS, 24));
        let different: Vec<_> = said.iter().enumerate().filter(|(_, other)| **other != said[0]).collect();
        assert!(different.is_empty(), "of {TRIALS} answers, unlike\n{:?}\nare\n{different:?}", said[0]);
    }
    // Prefixes were found where they were kept, and nowhere else.
    assert_eq!(hits.map(|hits| hits > 0.0), [true, true, false, true]);
}
