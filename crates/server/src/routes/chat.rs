//! `POST chat/completions`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use lockstep_engine as engine;
use lockstep_engine::Attached;

use crate::app::{App, Meta, Shared, fresh_id, now};
use crate::body;
use crate::error::ApiError;
use crate::generation::{Answer, End, Generation, Step, Token};
use crate::logprobs;
use crate::sse::{self, Frames, Written};
use crate::types::answer::{FinishReason, Usage, XGroq};
use crate::types::chat::{
    AnswerMessage, ChatChoice, ChatChunk, ChatCompletion, ChatFields, ChatLogprobs, ChunkChoice, Delta,
};
use crate::types::sampling::{Checked, SamplingFields};

/// Answers a chat.
pub(crate) async fn chat_completions(
    State(app): State<Shared>,
    Extension(meta): Extension<Meta>,
    request: Request,
) -> Result<Response, ApiError> {
    let value = body::read_object(&app, request).await?;
    body::require_known(&app, &value, &[body::names_of::<ChatFields>(), body::names_of::<SamplingFields>()])?;
    let fields: ChatFields = body::fields(&value)?;
    let sampling: SamplingFields = body::fields(&value)?;
    drop(value);
    app.require_model(&fields.model)?;
    let mut asked = engine::Request::new(Vec::new(), max_tokens(&app, &fields)?);
    asked.logprobs = logprobs_of(&fields)?;
    let checked = sampling.apply(&mut asked)?;
    let (shared, messages) = (Arc::clone(&app), fields.messages);
    asked.prompt = app.pool.run(move || crate::prompt::chat_tokens(&shared, messages)).await?;
    let generation = Generation::start(&app, asked, Attached::default()).await.map_err(|error| of_messages(error))?;
    let head = Head::new(&app, meta, fields.model, &checked);
    if checked.is_stream {
        return Ok(sse::respond(generation, ChatFrames { app, head, checked }));
    }
    let answer = generation.finish().await?;
    Ok(Json(completion(&app, head, answer)).into_response())
}

fn max_tokens(app: &App, fields: &ChatFields) -> Result<usize, ApiError> {
    let (name, given) = match fields.max_completion_tokens {
        Some(tokens) => ("max_completion_tokens", Some(tokens)),
        None => ("max_tokens", fields.max_tokens),
    };
    match given {
        Some(0) => Err(ApiError::invalid(name, format!("{name} is 0: it must be at least 1"))),
        given => Ok(given.map_or(app.model.context, |tokens| tokens as usize)),
    }
}

fn logprobs_of(fields: &ChatFields) -> Result<Option<usize>, ApiError> {
    match (fields.logprobs.unwrap_or(false), fields.top_logprobs) {
        (false, Some(_)) => Err(ApiError::invalid("top_logprobs", "top_logprobs needs logprobs = true")),
        (true, Some(top)) if top > 20 => {
            Err(ApiError::invalid("top_logprobs", format!("top_logprobs is {top}: it must be 0 to 20")))
        }
        (false, None) => Ok(None),
        (true, top) => Ok(Some(top.unwrap_or(0) as usize)),
    }
}

/// The prompt of a chat is its messages.
fn of_messages(error: ApiError) -> ApiError {
    let is_prompt = error.body.code == Some("context_length_exceeded") || error.body.param.as_deref() == Some("prompt");
    if is_prompt { error.of("messages") } else { error }
}

/// What every part of an answer repeats.
struct Head {
    id: String,
    created: u64,
    model: String,
    seed: i64,
    tier: &'static str,
    request_id: String,
}

impl Head {
    fn new(_app: &App, meta: Meta, model: String, checked: &Checked) -> Self {
        Self {
            id: fresh_id("chatcmpl-"),
            created: now(),
            model,
            seed: checked.seed,
            tier: meta.tier(checked.tier),
            request_id: meta.id,
        }
    }
}

fn completion(app: &App, head: Head, answer: Answer) -> ChatCompletion {
    let usage = Usage::from(&answer.end.usage);
    let message = AnswerMessage { role: "assistant", content: Some(answer.text), refusal: None };
    let choice = ChatChoice {
        index: 0,
        message,
        logprobs: content_logprobs(app, &answer.tokens),
        finish_reason: answer.end.reason,
    };
    ChatCompletion {
        id: head.id,
        object: "chat.completion",
        created: head.created,
        model: head.model,
        choices: vec![choice],
        usage,
        service_tier: head.tier,
        system_fingerprint: app.model.fingerprint.clone(),
        x_groq: XGroq { id: head.request_id, seed: Some(head.seed), ..XGroq::default() },
        x_lockstep: answer.end.x_lockstep(app),
    }
}

/// None where they were not asked for; for an answer without a token that cannot be told, and does not matter.
fn content_logprobs(app: &App, tokens: &[Token]) -> Option<ChatLogprobs> {
    let of = |token: &Token| Some(logprobs::of_token(&app.model.tokenizer, token.id, token.logprobs.as_ref()?));
    let content: Vec<_> = tokens.iter().filter_map(of).collect();
    (!content.is_empty()).then_some(ChatLogprobs { content, refusal: None })
}

struct ChatFrames {
    app: Shared,
    head: Head,
    checked: Checked,
}

impl ChatFrames {
    fn chunk(&self, choices: Vec<ChunkChoice>) -> ChatChunk<'_> {
        ChatChunk {
            id: &self.head.id,
            object: "chat.completion.chunk",
            created: self.head.created,
            model: &self.head.model,
            system_fingerprint: &self.app.model.fingerprint,
            service_tier: self.head.tier,
            choices,
            // Who asks for a chunk with the usage is told in the others that it is not there yet.
            usage: self.checked.include_usage.then_some(None),
            x_groq: None,
            x_lockstep: None,
        }
    }

    fn x_groq(&self) -> XGroq {
        XGroq { id: self.head.request_id.clone(), ..XGroq::default() }
    }

    fn token(&self, generation: &Generation, token: Token, frames: &mut Written) {
        if token.is_end && token.text.is_empty() {
            return;
        }
        let logprobs = content_logprobs(&self.app, std::slice::from_ref(&token));
        let delta = Delta { content: Some(token.text), ..Delta::default() };
        let mut chunk = self.chunk(vec![ChunkChoice { delta, logprobs, ..ChunkChoice::default() }]);
        if self.checked.continuous_usage {
            chunk.usage = Some(Some(Usage::so_far(generation.prompt_tokens, generation.completion_tokens)));
        }
        frames.data(&chunk);
    }

    fn end(&self, end: End, frames: &mut Written) {
        if !end.text.is_empty() {
            let delta = Delta { content: Some(end.text.clone()), ..Delta::default() };
            frames.data(&self.chunk(vec![ChunkChoice { delta, ..ChunkChoice::default() }]));
        }
        let usage = Usage::from(&end.usage);
        let finish_reason: Option<FinishReason> = Some(end.reason);
        let mut chunk = self.chunk(vec![ChunkChoice { finish_reason, ..ChunkChoice::default() }]);
        if !self.checked.include_usage {
            // Clients add up what chunks report: it is told once.
            chunk.usage = Some(Some(usage.clone()));
        }
        chunk.x_groq = Some(XGroq { usage: Some(usage.clone()), ..self.x_groq() });
        chunk.x_lockstep = Some(end.x_lockstep(&self.app));
        frames.data(&chunk);
        if self.checked.include_usage {
            let mut chunk = self.chunk(Vec::new());
            chunk.usage = Some(Some(usage));
            frames.data(&chunk);
        }
        frames.done();
    }
}

impl Frames for ChatFrames {
    fn begin(&mut self, frames: &mut Written) {
        let delta = Delta { role: Some("assistant"), content: Some(String::new()) };
        let mut chunk = self.chunk(vec![ChunkChoice { delta, ..ChunkChoice::default() }]);
        chunk.x_groq = Some(XGroq { seed: Some(self.head.seed), ..self.x_groq() });
        frames.data(&chunk);
    }

    fn step(&mut self, generation: &Generation, step: Step, frames: &mut Written) {
        match step {
            Step::Token(token) => self.token(generation, token, frames),
            Step::End(end) => self.end(end, frames),
        }
    }
}
