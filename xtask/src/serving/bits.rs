//! Whether an answer depends on the request alone: the same request alone, again, and beside others.

use crate::serving::ask::{Answer, Request, Token, ask};
use crate::serving::contestant::{self, Contestant};
use crate::serving::prompts;
use anyhow::{Result, anyhow, ensure};
use serde_json::{Value, json};
use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::mpsc;

/// Questions of each length that are asked in each situation.
const QUESTIONS: usize = 5;
/// Requests that run beside the one that is looked at.
const OTHERS: usize = 3;
/// How many times as long the others are, so that they run to its end.
const LONGER: usize = 6;

/// Where an answer first differs from the one that was given alone; tokens are counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Difference {
    token: Option<usize>,
    logprob: Option<usize>,
}

/// One server's answers to questions of one length.
pub(crate) struct Bits {
    name: &'static str,
    prompt_tokens: u64,
    again: Vec<Difference>,
    beside: Vec<Difference>,
}

impl Bits {
    /// For short and for long questions: each is asked of a server that was just started, again of the same server, which
    /// then has its prompt, and of another one that was just started and is busy with others.
    pub(crate) fn find(contestant: &Contestant, tokens: usize) -> Result<[Self; 2]> {
        let long = (0..QUESTIONS).map(prompts::long).collect::<Result<_>>()?;
        let short = (0..QUESTIONS).map(prompts::short).collect();
        Ok([Self::of(contestant, tokens, short)?, Self::of(contestant, tokens, long)?])
    }

    fn of(contestant: &Contestant, tokens: usize, questions: Vec<String>) -> Result<Self> {
        let mut bits = Self { name: contestant.name, prompt_tokens: 0, again: Vec::new(), beside: Vec::new() };
        for content in questions {
            let request = Request { content, tokens, logprobs: true };
            let (alone, again) = {
                let server = contestant.start()?;
                let first = ask(server.address(), &request, || {})?;
                bits.prompt_tokens = bits.prompt_tokens.max(first.prompt_tokens);
                (told(first, tokens)?, told(ask(server.address(), &request, || {})?, tokens)?)
            };
            let server = contestant.start()?;
            let beside = told(beside_others(server.address(), &request)?, tokens)?;
            bits.again.push(difference(&alone, &again));
            bits.beside.push(difference(&alone, &beside));
        }
        Ok(bits)
    }

    /// The heading of the table.
    pub(crate) fn head(tokens: usize) -> String {
        format!(
            "{QUESTIONS} greedy requests of {tokens} tokens each: the first token (from 1) at which the answer differs from the \
             one that the same request got alone, and the first with another log-probability\n\n\
             | server | prompt | again, its prompt cached: token | log-probability | beside {OTHERS} others: token | \
             log-probability |\n| --- | --- | --- | --- | --- | --- |\n"
        )
    }

    pub(crate) fn row(&self) -> String {
        let mut row = format!("| {} | up to {} ", self.name, self.prompt_tokens);
        for list in [&self.again, &self.beside] {
            let tokens = list.iter().map(|difference| difference.token);
            let logprobs = list.iter().map(|difference| difference.logprob);
            let _ = write!(row, "| {} | {} ", places(tokens), places(logprobs));
        }
        row + "|\n"
    }

    /// Fails where the server is lockstep and an answer of it depends on anything but the request.
    pub(crate) fn require(&self) -> Result<()> {
        let mut found = self.again.iter().chain(&self.beside).filter(|found| **found != Difference::default());
        match found.next().filter(|_| self.name == contestant::LOCKSTEP) {
            Some(found) => {
                Err(anyhow!("{}: an answer that does not depend on its request alone: {found:?}", self.name))
            }
            None => Ok(()),
        }
    }

    pub(crate) fn json(&self) -> Value {
        let list = |of: &[Difference]| -> Vec<Value> {
            of.iter().map(|at| json!({ "token": at.token, "logprob": at.logprob })).collect()
        };
        json!({
            "name": self.name, "prompt_tokens_max": self.prompt_tokens,
            "again": list(&self.again), "beside": list(&self.beside),
        })
    }
}

/// The places of those that differ, and how many do not.
fn places(found: impl Iterator<Item = Option<usize>>) -> String {
    let all: Vec<Option<usize>> = found.collect();
    let mut at: Vec<usize> = all.iter().copied().flatten().collect();
    at.sort_unstable();
    let same = all.len() - at.len();
    let shown = at.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    match (at.len(), same) {
        (0, _) => "never".to_owned(),
        (_, 0) => shown,
        (_, same) => format!("{shown}; never in {same}"),
    }
}

/// The request, sent once all others have begun to be answered.
fn beside_others(address: SocketAddr, request: &Request) -> Result<Answer> {
    std::thread::scope(|scope| {
        let (begun, beginnings) = mpsc::channel();
        let other = |index: usize| {
            let content = prompts::short(QUESTIONS + index);
            let other = Request { content, tokens: LONGER * request.tokens, logprobs: false };
            let begun = begun.clone();
            // Nobody listens where another one failed.
            move || ask(address, &other, || begun.send(()).unwrap_or(()))
        };
        let others: Vec<_> = (0..OTHERS).map(|index| scope.spawn(other(index))).collect();
        drop(begun);
        ensure!(beginnings.iter().take(OTHERS).count() == OTHERS, "the requests beside were not answered");
        let answer = ask(address, request, || {})?;
        for other in others {
            let other = other.join().map_err(|_| anyhow!("a request beside panicked"))??;
            ensure!(other.ended > answer.ended, "a request beside ended too early");
        }
        Ok(answer)
    })
}

fn told(answer: Answer, tokens: usize) -> Result<Vec<Token>> {
    let found = answer.into_tokens();
    ensure!(found.len() == tokens, "log-probabilities of {} tokens, {tokens} were generated", found.len());
    Ok(found)
}

fn difference(alone: &[Token], other: &[Token]) -> Difference {
    let first = |differs: fn(&Token, &Token) -> bool| {
        alone.iter().zip(other).position(|(alone, other)| differs(alone, other)).map(|at| at + 1)
    };
    let token = first(|alone, other| alone.text != other.text);
    // Equal tokens with equal log-probabilities: the logits were most likely the same.
    let logprob = first(|alone, other| alone.text != other.text || alone.logprob != other.logprob);
    Difference { token, logprob }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(list: &[(&str, f64)]) -> Vec<Token> {
        list.iter().map(|&(text, logprob)| Token { text: text.to_owned(), logprob }).collect()
    }

    #[test]
    fn the_first_difference_is_found_in_tokens_and_in_numbers() {
        let alone = tokens(&[("a", -0.5), ("b", -0.25), ("c", -1.0)]);
        assert_eq!(difference(&alone, &alone), Difference::default());
        let other = tokens(&[("a", -0.5), ("b", -0.26), ("d", -1.0)]);
        assert_eq!(difference(&alone, &other), Difference { token: Some(3), logprob: Some(2) });
    }

    #[test]
    fn places_say_how_many_are_the_same() {
        assert_eq!(places([None, None].into_iter()), "never");
        assert_eq!(places([Some(7), Some(3)].into_iter()), "3, 7");
        assert_eq!(places([Some(7), None, Some(3)].into_iter()), "3, 7; never in 1");
    }

    #[test]
    fn a_difference_of_our_own_is_an_error() {
        let mut bits = Bits {
            name: contestant::LOCKSTEP,
            prompt_tokens: 1,
            again: vec![Difference::default()],
            beside: Vec::new(),
        };
        assert!(bits.require().is_ok());
        bits.beside.push(Difference { token: None, logprob: Some(2) });
        assert!(bits.require().is_err());
        bits.name = "other";
        assert!(bits.require().is_ok());
    }
}
