//! What the engine reports.

use std::time::Duration;

use crate::request::RequestId;

/// Something that happened to a request during a step. Nothing follows a request's `Finished`.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A token was generated.
    Token {
        /// Whose token.
        request: RequestId,
        /// The token. The one that ends an answer is reported too, with no text.
        id: u32,
        /// The text that became certain with this token; empty while a character or a possible stop string is open.
        text: String,
        /// Where the request asked for it.
        logprobs: Option<TokenLogprobs>,
        /// The clock's reading when the step that made it ended. Tokens of one step share it.
        time: Duration,
    },
    /// The request is over and holds nothing any more.
    Finished {
        /// Which request.
        request: RequestId,
        /// The last piece of text: what was held back and turned out not to be a stop string. Often empty.
        text: String,
        /// Why it is over.
        reason: FinishReason,
        /// Counts and times.
        usage: Usage,
    },
}

/// Why a request is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// The model's end token or one of the request's stop tokens.
    Stop,
    /// One of the request's stop strings.
    StopString,
    /// `max_tokens` or the context's end.
    Length,
    /// The caller took it back.
    Cancelled,
    /// Its deadline passed.
    Deadline,
    /// It could not go on; one line says why and what to do. Other requests are not touched.
    Fault(String),
}

/// Natural logarithms of the probabilities that the model itself gives (before penalties, bias and temperature).
#[derive(Clone, Debug, PartialEq)]
pub struct TokenLogprobs {
    /// Of the token that was drawn.
    pub chosen: f64,
    /// The most likely tokens (id, logarithm), as many as asked for, by falling logit, then rising id.
    pub top: Vec<(u32, f64)>,
}

/// Counts and times of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Of them, those whose keys and values were there already when the request first started.
    pub cached_tokens: usize,
    /// Generated tokens, the end token included.
    pub completion_tokens: usize,
    /// From submission until its first step began (or its end, where it never had a step).
    pub queue_time: Duration,
    /// From there to its first token (or its end, where it has none).
    pub prompt_time: Duration,
    /// From its first token to its last.
    pub completion_time: Duration,
    /// For each token, the time since submission.
    pub token_times: Vec<Duration>,
    /// Tokens guessed and tried by speculation.
    pub proposed_tokens: usize,
    /// How many of them were right.
    pub accepted_tokens: usize,
}

impl Usage {
    /// From submission to the first token.
    pub fn first_token_time(&self) -> Option<Duration> {
        self.token_times.first().copied()
    }

    /// Times between neighbouring tokens: one fewer than tokens. Zero between tokens of one step.
    pub fn gaps(&self) -> impl Iterator<Item = Duration> + '_ {
        self.token_times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]))
    }
}
