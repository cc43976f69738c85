//! One answer while it is made: the engine's events, with what all routes do with them.

use lockstep_engine::{Attached, Event, FinishReason as Reason, Request, TokenLogprobs, Usage};

use crate::app::App;
use crate::error::ApiError;
use crate::runner::{Refusal, Running};
use crate::types::answer::{FinishReason, XLockstep};

/// A request that the engine answers.
pub(crate) struct Generation {
    running: Running,
    ends: Vec<u32>,
    digest: blake3::Hasher,
    pub(crate) prompt_tokens: usize,
    pub(crate) completion_tokens: usize,
}

/// Something new.
pub(crate) enum Step {
    /// A token; the one that ends an answer has no text and `is_end`.
    Token(Token),
    /// Nothing follows.
    End(End),
}

/// A token of an answer.
pub(crate) struct Token {
    pub(crate) id: u32,
    pub(crate) text: String,
    pub(crate) logprobs: Option<TokenLogprobs>,
    pub(crate) is_end: bool,
}

/// The end of an answer.
pub(crate) struct End {
    /// Text that was held back.
    pub(crate) text: String,
    pub(crate) reason: FinishReason,
    pub(crate) usage: Usage,
    /// BLAKE3 of the token ids.
    pub(crate) digest: String,
}

/// An answer, whole.
pub(crate) struct Answer {
    pub(crate) text: String,
    /// All but the one that ends it.
    pub(crate) tokens: Vec<Token>,
    pub(crate) end: End,
}

impl Generation {
    /// Hands a request to the engine.
    pub(crate) async fn start(app: &App, mut request: Request, attached: Attached) -> Result<Self, ApiError> {
        app.require_open()?;
        request.deadline = Some(app.runner.after(app.options.limits.answer_time));
        let mut ends = request.stop_token_ids.clone();
        if !request.ignore_eos {
            ends.extend(&app.model.end_token_ids);
        }
        let prompt_tokens = request.prompt.len();
        let running = app.runner.submit(request, attached).await.map_err(|refusal| match refusal {
            Refusal::Engine(error) => ApiError::from(error),
            Refusal::Gone => ApiError::internal("the engine is gone: the server must be started again"),
        })?;
        Ok(Self { running, ends, digest: blake3::Hasher::new(), prompt_tokens, completion_tokens: 0 })
    }

    /// Waits for what comes next. Nothing may be asked for after an end or an error.
    pub(crate) async fn next(&mut self) -> Result<Step, ApiError> {
        match self.running.next().await {
            Some(event) => self.take(event),
            None => Err(ApiError::internal("the engine is gone: the server must be started again")),
        }
    }

    /// What is there already.
    pub(crate) fn next_now(&mut self) -> Option<Result<Step, ApiError>> {
        let event = self.running.next_now()?;
        Some(self.take(event))
    }

    /// The whole answer.
    pub(crate) async fn finish(mut self) -> Result<Answer, ApiError> {
        let (mut text, mut tokens) = (String::new(), Vec::new());
        loop {
            match self.next().await? {
                Step::Token(token) => {
                    text.push_str(&token.text);
                    if !token.is_end {
                        tokens.push(token);
                    }
                }
                Step::End(end) => {
                    text.push_str(&end.text);
                    return Ok(Answer { text, tokens, end });
                }
            }
        }
    }

    fn take(&mut self, event: Event) -> Result<Step, ApiError> {
        match event {
            Event::Token { id, text, logprobs, .. } => {
                self.digest.update(&id.to_le_bytes());
                self.completion_tokens += 1;
                let is_end = self.ends.contains(&id);
                Ok(Step::Token(Token { id, text, logprobs, is_end }))
            }
            Event::Finished { text, reason, usage, .. } => {
                let reason = match reason {
                    Reason::Stop | Reason::StopString => FinishReason::Stop,
                    Reason::Length => FinishReason::Length,
                    Reason::Cancelled => return Err(ApiError::unavailable("cancelled", "the request was taken back")),
                    Reason::Deadline => {
                        let message = "the answer took longer than this server allows: ask for fewer tokens";
                        return Err(ApiError::new(408, "timeout_error", "deadline_exceeded", message));
                    }
                    Reason::Fault(why) => return Err(ApiError::internal(why)),
                };
                let digest = self.digest.finalize().to_hex().to_string();
                Ok(Step::End(End { text, reason, usage, digest }))
            }
        }
    }
}

impl End {
    /// What an answer says beyond the API that it follows.
    pub(crate) fn x_lockstep(&self, app: &App) -> XLockstep {
        let lpu = app.model.lpu.as_ref();
        XLockstep {
            output_digest: self.digest.clone(),
            lpu: lpu.and_then(|time_of| time_of(self.usage.prompt_tokens, self.usage.completion_tokens)),
        }
    }
}
