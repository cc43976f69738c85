//! One answer while it is made: the engine's events, with what all routes do with them.

use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::{Attached, Event, FinishReason as Reason, Request, TokenLogprobs, Usage};

use crate::access::Ticket;
use crate::app::{App, Shared};
use crate::error::ApiError;
use crate::metrics::Timing;
use crate::runner::{Refusal, Running};
use crate::types::answer::{FinishReason, XLockstep};

/// How constrained decoding begins the reasons of its failures.
const CONSTRAINED: &str = "constrained decoding";

/// A request that the engine answers.
pub(crate) struct Generation {
    running: Running,
    app: Shared,
    ticket: Arc<Ticket>,
    ends: Vec<u32>,
    /// All tokens so far, the one that ends the answer included.
    ids: Vec<u32>,
    text: String,
    timing: Timing,
    is_counted: bool,
    tokens: usize,
    pub(crate) prompt_tokens: usize,
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
    /// All tokens.
    pub(crate) ids: Vec<u32>,
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
    pub(crate) async fn start(
        app: &Shared,
        ticket: &Arc<Ticket>,
        mut request: Request,
        attached: Attached,
    ) -> Result<Self, ApiError> {
        app.require_open()?;
        request.deadline = Some(app.runner.after(app.options.limits.answer_time));
        request.cache_scope = ticket.caller.scope;
        let mut ends = request.stop_token_ids.clone();
        if !request.ignore_eos {
            ends.extend(&app.model.end_token_ids);
        }
        let (prompt_tokens, arrival) = (request.prompt.len(), app.runner.clock_at(ticket.caller.arrival));
        let running = app.runner.submit(request, attached).await.map_err(|refusal| {
            app.metrics.refused();
            match refusal {
                Refusal::Engine(error) => ApiError::from(error),
                Refusal::Gone => gone(),
            }
        })?;
        app.metrics.started(prompt_tokens);
        ticket.prompt(prompt_tokens);
        Ok(Self {
            running,
            app: Arc::clone(app),
            ticket: Arc::clone(ticket),
            ends,
            ids: Vec::new(),
            text: String::new(),
            timing: Timing::new(arrival),
            is_counted: false,
            tokens: 0,
            prompt_tokens,
        })
    }

    /// Tokens so far.
    pub(crate) fn completion_tokens(&self) -> usize {
        self.tokens
    }

    /// Waits for what comes next. Nothing may be asked for after an end or an error.
    pub(crate) async fn next(&mut self) -> Result<Step, ApiError> {
        match self.running.next().await {
            Some(event) => self.take(event),
            None => Err(gone()),
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
            Event::Token { id, text, logprobs, time, .. } => {
                self.app.metrics.token(&mut self.timing, time);
                self.ticket.token(self.timing.first_token());
                self.ids.push(id);
                self.tokens += 1;
                self.text.push_str(&text);
                let is_end = self.ends.contains(&id);
                Ok(Step::Token(Token { id, text, logprobs, is_end }))
            }
            Event::Finished { text, reason, usage, .. } => {
                let name = match &reason {
                    Reason::Stop | Reason::StopString => "stop",
                    Reason::Length => "length",
                    Reason::Cancelled => "abort",
                    Reason::Deadline => "deadline",
                    Reason::Fault(_) => "error",
                };
                self.count(name, Some(&usage));
                let reason = self.reason(reason)?;
                Ok(Step::End(End { text, reason, usage, ids: std::mem::take(&mut self.ids) }))
            }
        }
    }

    fn reason(&mut self, reason: Reason) -> Result<FinishReason, ApiError> {
        match reason {
            Reason::Stop | Reason::StopString => Ok(FinishReason::Stop),
            Reason::Length => Ok(FinishReason::Length),
            Reason::Cancelled => Err(ApiError::unavailable("cancelled", "the request was taken back")),
            Reason::Deadline => {
                let message = "the answer took longer than this server allows: ask for fewer tokens";
                Err(ApiError::new(408, "timeout_error", "deadline_exceeded", message))
            }
            Reason::Fault(why) if why.starts_with(CONSTRAINED) => {
                let mut error = ApiError::new(422, "invalid_request_error", "constrained_generation_failed", why);
                error.body.failed_generation = Some(std::mem::take(&mut self.text));
                Err(error)
            }
            Reason::Fault(why) => Err(ApiError::internal(why)),
        }
    }

    /// Writes down what was used, once.
    fn count(&mut self, reason: &'static str, usage: Option<&Usage>) {
        if !std::mem::replace(&mut self.is_counted, true) {
            let now = self.app.runner.after(Duration::ZERO);
            self.app.metrics.finished(reason, &self.timing, usage, now);
        }
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.count("abort", None);
    }
}

fn gone() -> ApiError {
    ApiError::internal("the engine is gone: the server must be started again")
}

/// BLAKE3 of token ids, each as four bytes, least significant first.
pub(crate) fn digest(ids: impl IntoIterator<Item = u32>) -> String {
    let mut hasher = blake3::Hasher::new();
    for id in ids {
        hasher.update(&id.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

impl End {
    /// What an answer says beyond the API that it follows.
    pub(crate) fn x_lockstep(&self, app: &App) -> XLockstep {
        let lpu = app.model.lpu.as_ref();
        XLockstep {
            output_digest: digest(self.ids.iter().copied()),
            lpu: lpu.and_then(|time_of| time_of(self.usage.prompt_tokens, self.usage.completion_tokens)),
        }
    }
}
