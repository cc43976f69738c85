//! One request to a server and what came of it, piece by piece. The same for every server.

use crate::http::post_lines;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The name under which each server has the model.
pub(crate) const MODEL: &str = "model";

/// A greedy chat request whose answer has exactly `tokens` tokens.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) content: String,
    pub(crate) tokens: usize,
    /// Ask for each token's log-probability: it tells tokens apart whose text is the same.
    pub(crate) logprobs: bool,
}

impl Request {
    fn body(&self) -> Value {
        let mut body = json!({
            "model": MODEL,
            "messages": [{ "role": "user", "content": self.content }],
            "max_tokens": self.tokens,
            "temperature": 0,
            "ignore_eos": true,
            "stream": true,
            "stream_options": { "include_usage": true },
        });
        if self.logprobs {
            body["logprobs"] = true.into();
            body["top_logprobs"] = 1.into();
        }
        body
    }
}

/// A piece of an answer that has text.
#[derive(Clone, Debug, PartialEq)]
struct Piece {
    at: Instant,
    tokens: Vec<Token>,
}

/// A token, where log-probabilities were asked for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) logprob: f64,
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) sent: Instant,
    pub(crate) ended: Instant,
    pieces: Vec<Piece>,
    pub(crate) prompt_tokens: u64,
    pub(crate) tokens: u64,
}

impl Answer {
    /// From the request to the first piece of text.
    pub(crate) fn to_first(&self) -> Option<Duration> {
        Some(self.pieces.first()?.at.duration_since(self.sent))
    }

    /// Between one piece and the next.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = Duration> {
        self.pieces.windows(2).map(|pair| pair[1].at.duration_since(pair[0].at))
    }

    pub(crate) fn into_tokens(self) -> Vec<Token> {
        self.pieces.into_iter().flat_map(|piece| piece.tokens).collect()
    }
}

/// Sends a request and reads its answer to the end; `on_first` is called when text has come. Lines are only
/// stamped while they come, and understood afterwards: a client takes time from the servers that it measures.
pub(crate) fn ask(address: SocketAddr, request: &Request, on_first: impl FnOnce()) -> Result<Answer> {
    let body = request.body();
    let (mut lines, mut on_first) = (Vec::new(), Some(on_first));
    let sent = Instant::now();
    post_lines(address, "/v1/chat/completions", &body, |line| {
        let now = Instant::now();
        if let Some(on_first) = on_first.take_if(|_| has_text(&line)) {
            on_first();
        }
        lines.push((now, line));
    })?;
    let answer = read(sent, lines)?;
    let (wanted, got) = (request.tokens as u64, answer.tokens);
    ensure!(got == wanted, "an answer of {got} tokens, {wanted} were asked for: {}", request.content);
    Ok(answer)
}

/// The first chunk names the role and may be sent before there is a token.
fn has_text(line: &str) -> bool {
    line.contains("\"content\":\"") && !line.contains("\"role\"")
}

fn read(sent: Instant, lines: Vec<(Instant, String)>) -> Result<Answer> {
    let ended = lines.last().context("no answer")?.0;
    let head = lines.first().map_or("", |(_, line)| line);
    if head.split(' ').nth(1) != Some("200") {
        bail!("{}", lines.iter().map(|(_, line)| line.as_str()).collect::<Vec<_>>().join("\n"));
    }
    let mut answer = Answer { sent, ended, pieces: Vec::new(), prompt_tokens: 0, tokens: 0 };
    for (at, line) in lines {
        let Some(data) = line.strip_prefix("data: ").filter(|data| *data != "[DONE]") else { continue };
        let chunk: Value = serde_json::from_str(data).with_context(|| format!("not JSON: {data}"))?;
        ensure!(chunk.get("error").is_none(), "the stream broke: {data}");
        if let Some(usage) = chunk.get("usage").filter(|usage| usage.is_object()) {
            let count = |key: &str| usage[key].as_u64().with_context(|| format!("no {key} in {data}"));
            (answer.prompt_tokens, answer.tokens) = (count("prompt_tokens")?, count("completion_tokens")?);
        }
        let choice = &chunk["choices"][0];
        if choice["delta"]["content"].is_string() && choice["delta"].get("role").is_none() {
            answer.pieces.push(Piece { at, tokens: tokens(choice)? });
        }
    }
    ensure!(answer.tokens > 0, "a stream without usage");
    Ok(answer)
}

fn tokens(choice: &Value) -> Result<Vec<Token>> {
    let list = choice["logprobs"]["content"].as_array().map_or(&[][..], Vec::as_slice);
    let token = |of: &Value| {
        let logprob = of["logprob"].as_f64().with_context(|| format!("no logprob: {of}"))?;
        Ok(Token { text: of["token"].as_str().unwrap_or_default().to_owned(), logprob })
    };
    list.iter().map(token).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn lines(texts: &[&str]) -> (Instant, Vec<(Instant, String)>) {
        let sent = Instant::now();
        let at = |index: usize| sent + Duration::from_millis(10 * (index as u64 + 1));
        let texts = std::iter::once(&"HTTP/1.1 200 OK").chain(texts);
        (sent, texts.enumerate().map(|(index, text)| (at(index), (*text).to_owned())).collect())
    }

    #[test]
    fn a_stream_comes_to_times_counts_and_tokens() {
        let (sent, lines) = lines(&[
            r#"data: {"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
            r#"data: {"choices":[{"delta":{"content":"A"},"logprobs":{"content":[{"token":"A","logprob":-0.5}]}}]}"#,
            "",
            r#"data: {"choices":[{"delta":{"content":""},"logprobs":null}]}"#,
            r#"data: {"choices":[{"delta":{},"finish_reason":"length"}]}"#,
            r#"data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#,
            "data: [DONE]",
        ]);
        let texts: Vec<usize> = (0..lines.len()).filter(|&at| has_text(&lines[at].1)).collect();
        let answer = read(sent, lines).unwrap();
        assert_eq!((answer.prompt_tokens, answer.tokens), (7, 2));
        assert_eq!(texts, [2, 4]);
        assert_eq!(answer.to_first(), Some(Duration::from_millis(30)));
        assert_eq!(answer.gaps().collect::<Vec<_>>(), [Duration::from_millis(20)]);
        assert_eq!(answer.ended.duration_since(sent), Duration::from_millis(80));
        assert_eq!(answer.into_tokens(), [Token { text: "A".into(), logprob: -0.5 }]);
    }

    #[test]
    fn a_broken_stream_is_no_answer() {
        let (sent, broken) = lines(&[r#"data: {"error":{"message":"gone"}}"#]);
        assert!(read(sent, broken).unwrap_err().to_string().contains("gone"));
        let (sent, short) = lines(&[r#"data: {"choices":[{"delta":{"content":"A"}}]}"#]);
        assert_eq!(read(sent, short).unwrap_err().to_string(), "a stream without usage");
        assert!(read(sent, Vec::new()).is_err());
        let refused = vec![(sent, "HTTP/1.1 429 Too Many Requests".to_owned()), (sent, "{}".to_owned())];
        assert!(read(sent, refused).unwrap_err().to_string().contains("429"));
    }
}
