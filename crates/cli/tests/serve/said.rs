//! What an answer of a chat says, without what may differ between equal ones.

use serde_json::Value;

use crate::http::Answer;

/// An answer without its name and its times.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Said {
    text: String,
    finish_reason: Value,
    digest: Value,
    fingerprint: Value,
    logprobs: Value,
    /// All log-probabilities, digit by digit as they were sent.
    digits: Vec<String>,
    prompt_tokens: Value,
    pub(crate) tokens: u64,
}

impl Said {
    /// Of a whole answer or of a stream, which must have ended as it should.
    pub(crate) fn of(answer: &Answer) -> Self {
        assert_eq!(answer.status, 200, "{}", answer.text);
        let is_streamed = answer.header("content-type") == Some("text/event-stream");
        let digits =
            answer.text.split("\"logprob\":").skip(1).map(|rest| rest.split([',', '}']).next().unwrap().into());
        let chunks = if is_streamed { answer.events() } else { vec![answer.json()] };
        let part = if is_streamed { "delta" } else { "message" };
        let choices = || chunks.iter().map(|chunk| &chunk["choices"][0]);
        let last = &chunks[chunks.len() - 1];
        Self {
            text: choices().filter_map(|choice| choice[part]["content"].as_str()).collect(),
            finish_reason: last["choices"][0]["finish_reason"].clone(),
            digest: last["x_lockstep"]["output_digest"].clone(),
            fingerprint: last["system_fingerprint"].clone(),
            logprobs: choices()
                .filter_map(|choice| choice["logprobs"]["content"].as_array())
                .flatten()
                .cloned()
                .collect(),
            digits: digits.collect(),
            prompt_tokens: last["usage"]["prompt_tokens"].clone(),
            tokens: last["usage"]["completion_tokens"].as_u64().unwrap(),
        }
    }
}
