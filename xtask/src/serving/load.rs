//! Users of a server, and what they see.

use crate::serving::ask::{Answer, Request, ask};
use crate::serving::prompts;
use anyhow::{Context, Result, anyhow};
use std::net::SocketAddr;
use std::sync::Barrier;
use std::time::Duration;

/// Numbers of users at once.
pub(crate) const USERS: [usize; 4] = [1, 2, 4, 8];
/// Requests at each number of users, so that all do the same work.
const REQUESTS: usize = 8;
/// Long prompts, one after the other.
const LONG: usize = 3;
/// Tokens of the answer to a long prompt: only the first counts.
const LONG_TOKENS: usize = 2;

/// What some users saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Tokens of all answers by the time from the first request to the last answer's end.
    pub(crate) tokens_per_second: f64,
    /// Seconds to the first token of each answer.
    pub(crate) to_first: Vec<f64>,
    /// Seconds between the pieces of each answer.
    pub(crate) gaps: Vec<f64>,
    pub(crate) prompt_tokens: Vec<u64>,
}

/// What one life of a server gave.
#[derive(Clone, Debug)]
pub(crate) struct Turn {
    pub(crate) ready_after: f64,
    /// One for each of [`USERS`].
    pub(crate) users: Vec<Seen>,
    pub(crate) long: Seen,
}

/// All measurements of a server that was just started.
pub(crate) fn measure(address: SocketAddr, ready_after: Duration, tokens: usize) -> Result<Turn> {
    // The first answer touches all memory and is not counted.
    crowd(address, 1, &[request("Hello".to_owned(), tokens)])?;
    let mut users = Vec::new();
    for (point, &count) in USERS.iter().enumerate() {
        let requests: Vec<_> =
            (0..REQUESTS).map(|index| request(prompts::short(point * REQUESTS + index), tokens)).collect();
        users.push(crowd(address, count, &requests)?);
    }
    let long = (0..LONG).map(|index| Ok(request(prompts::long(index)?, LONG_TOKENS))).collect::<Result<Vec<_>>>()?;
    Ok(Turn { ready_after: ready_after.as_secs_f64(), users, long: crowd(address, 1, &long)? })
}

fn request(content: String, tokens: usize) -> Request {
    Request { content, tokens, logprobs: false }
}

/// `users` begin at the same time, and each sends its share of the requests one after the other.
fn crowd(address: SocketAddr, users: usize, requests: &[Request]) -> Result<Seen> {
    let start = Barrier::new(users);
    let start = &start;
    let answers: Vec<Result<Vec<Answer>>> = std::thread::scope(|scope| {
        let user = |index: usize| {
            move || {
                start.wait();
                requests.iter().skip(index).step_by(users).map(|request| ask(address, request, || {})).collect()
            }
        };
        let threads: Vec<_> = (0..users).map(|index| scope.spawn(user(index))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a user panicked")))).collect()
    });
    let answers: Vec<Answer> = answers.into_iter().collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    seen(&answers)
}

fn seen(answers: &[Answer]) -> Result<Seen> {
    let from = answers.iter().map(|answer| answer.sent).min().context("no answers")?;
    let to = answers.iter().map(|answer| answer.ended).max().context("no answers")?;
    let tokens: u64 = answers.iter().map(|answer| answer.tokens).sum();
    let mut prompt_tokens: Vec<u64> = answers.iter().map(|answer| answer.prompt_tokens).collect();
    // Users end in any order.
    prompt_tokens.sort_unstable();
    Ok(Seen {
        tokens_per_second: tokens as f64 / to.duration_since(from).as_secs_f64(),
        to_first: answers.iter().filter_map(|answer| Some(answer.to_first()?.as_secs_f64())).collect(),
        gaps: answers.iter().flat_map(Answer::gaps).map(|gap| gap.as_secs_f64()).collect(),
        prompt_tokens,
    })
}
