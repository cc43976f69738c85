//! What users ask: drawn once from a seed, so that each question comes again and again.

use crate::http::post;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// Different questions.
const COUNT: usize = 256;
/// Bytes of text in a prompt, and tokens of an answer: at most. Short ones are as frequent as long ones.
const PROMPT_MAX: usize = 2000;
const ANSWER_MAX: usize = 256;

/// All questions of a run.
pub(super) struct Questions {
    bodies: Vec<Value>,
    seed: u64,
}

/// What is looked at in an answer.
pub(super) struct Answer {
    pub(super) digest: String,
    pub(super) prompt_tokens: u64,
    pub(super) tokens: u64,
}

/// The questions of one user, one after the other.
pub(super) struct Order(Dice);

impl Questions {
    /// Draws them, with prompts that are parts of `text`.
    pub(super) fn draw(text: &str, seed: u64) -> Self {
        let mut dice = Dice(seed);
        let characters: Vec<char> = text.chars().collect();
        let bodies = (0..COUNT).map(|number| question(&mut dice, &characters, number)).collect();
        Self { bodies, seed }
    }

    /// Of user number `user`.
    pub(super) fn order(&self, user: u64) -> Order {
        Order(Dice(self.seed ^ (user + 1) << 32))
    }

    /// Asks one and requires a whole answer.
    pub(super) fn ask(&self, address: SocketAddr, number: usize) -> Result<Answer> {
        let body = &self.bodies[number];
        let (status, text) = post(address, "/v1/chat/completions", body)?;
        ensure!(status == 200, "{status}: {text}");
        let last = if body["stream"] == true { last_chunk(&text)? } else { serde_json::from_str(&text)? };
        let reason = &last["choices"][0]["finish_reason"];
        ensure!(reason == "stop" || reason == "length", "it ended with {reason}");
        let count = |name: &str| last["usage"][name].as_u64().with_context(|| format!("no usage.{name}"));
        let digest = last["x_lockstep"]["output_digest"].as_str().context("no output_digest")?;
        let (prompt_tokens, tokens) = (count("prompt_tokens")?, count("completion_tokens")?);
        ensure!(tokens > 0 && tokens <= body["max_tokens"].as_u64().unwrap_or(0), "{tokens} tokens");
        Ok(Answer { digest: digest.to_owned(), prompt_tokens, tokens })
    }
}

impl Order {
    pub(super) fn next(&mut self) -> usize {
        self.0.below(COUNT)
    }
}

fn question(dice: &mut Dice, text: &[char], number: usize) -> Value {
    let length = dice.length(PROMPT_MAX).min(text.len());
    // Some begin alike, as chats with one system prompt do.
    let start = if number.is_multiple_of(3) { 0 } else { dice.below(text.len() - length + 1) };
    let content: String = text[start..start + length].iter().collect();
    json!({
        "model": super::NAME,
        "messages": [{"role": "user", "content": format!("Go on with this: {content}")}],
        "max_tokens": dice.length(ANSWER_MAX),
        "temperature": dice.below(2),
        "seed": number,
        "stream": dice.below(2) == 0,
        "ignore_eos": dice.below(2) == 0,
    })
}

/// The chunk before the end, which must be there.
fn last_chunk(text: &str) -> Result<Value> {
    let mut data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    if data.pop() != Some("[DONE]") {
        bail!("the stream ends without [DONE]: {}", text.lines().rfind(|line| !line.is_empty()).unwrap_or_default());
    }
    Ok(serde_json::from_str(data.last().context("the stream is empty")?)?)
}

/// Numbers from a seed, one after the other (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// 1 to `most`: every doubling is as likely as the others.
    fn length(&mut self, most: usize) -> usize {
        let end = (most >> self.below(most.ilog2() as usize)).max(1);
        1 + self.below(end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_draws_the_same_questions_of_all_lengths() {
        let text = "word ".repeat(1000);
        let questions = Questions::draw(&text, 3);
        assert_eq!(questions.bodies, Questions::draw(&text, 3).bodies);
        assert_ne!(questions.bodies, Questions::draw(&text, 4).bodies);
        let length = |body: &Value| body["max_tokens"].as_u64().unwrap_or(0) as usize;
        let lengths = || questions.bodies.iter().map(length);
        assert!(lengths().all(|length| (1..=ANSWER_MAX).contains(&length)));
        assert!(lengths().any(|length| length < 4) && lengths().any(|length| length > ANSWER_MAX / 2));
        let orders = [0, 0, 1].map(|user| {
            let mut order = questions.order(user);
            [(); 8].map(|()| order.next())
        });
        assert_eq!(orders[0], orders[1]);
        assert_ne!(orders[0], orders[2]);
    }

    #[test]
    fn a_stream_that_breaks_is_no_answer() {
        assert!(last_chunk("data: {\"a\": 1}\n\ndata: [DONE]\n\n").is_ok_and(|chunk| chunk["a"] == 1));
        for broken in ["", "data: [DONE]\n\n", "data: {}\n\n", "data: {}\n\ndata: {\"error\": {}}\n\n"] {
            assert!(last_chunk(broken).is_err(), "{broken}");
        }
    }
}
