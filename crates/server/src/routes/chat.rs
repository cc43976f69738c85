//! `POST chat/completions`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use lockstep_engine as engine;

use crate::app::{App, Meta, Shared, fresh_id, now};
use crate::body;
use crate::calls::{self, Pieces};
use crate::error::ApiError;
use crate::generation::{Answer, End, Generation, Step, Token};
use crate::logprobs;
use crate::plan::{self, Wishes};
use crate::sse::{self, Frames, Written};
use crate::types::answer::{FinishReason, Usage, UsageOrNull, XGroq};
use crate::types::chat::ChatFields;
use crate::types::chat_answer::{
    AnswerMessage, ChatChoice, ChatChunk, ChatCompletion, ChatLogprobs, ChunkChoice, Delta,
};
use crate::types::sampling::{Checked, SamplingFields};

/// Answers a chat.
pub(crate) async fn chat_completions(
    State(app): State<Shared>,
    Extension(meta): Extension<Meta>,
    request: Request,
) -> Result<Response, ApiError> {
    let (fields, sampling) = body::read_both::<ChatFields, SamplingFields>(&app, request).await?;
    app.require_model(&fields.model)?;
    let mut asked = engine::Request::new(Vec::new(), max_tokens(&app, &fields)?);
    asked.logprobs = logprobs_of(&fields)?;
    require_reasoning(&fields)?;
    let checked = sampling.apply(&mut asked)?;
    let ticket = app.gate.enter(&meta.caller)?;
    let wishes = Wishes {
        messages: fields.messages,
        tools: fields.tools,
        tool_choice: fields.tool_choice,
        parallel: fields.parallel_tool_calls.unwrap_or(true),
        format: fields.response_format,
    };
    let shared = Arc::clone(&app);
    let plan = app.pool.run(move || plan::plan(&shared, wishes)).await?;
    asked.prompt = plan.prompt;
    let generation = Generation::start(&app, &ticket, asked, plan.attached).await.map_err(of_messages)?;
    let head = Head::new(meta, fields.model, &checked);
    let pieces = Pieces::new(plan.parser);
    if checked.is_stream {
        return Ok(sse::respond(vec![generation], ChatFrames { app, head, checked, pieces }));
    }
    let answer = generation.finish().await?;
    Ok(Json(completion(&app, head, answer, pieces)).into_response())
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

/// Fields for models that reason: what they may be is checked although no model that is served reads them.
fn require_reasoning(fields: &ChatFields) -> Result<(), ApiError> {
    let lists: [(&str, &Option<String>, &[&str]); 2] = [
        (
            "reasoning_effort",
            &fields.reasoning_effort,
            &["none", "default", "minimal", "low", "medium", "high", "xhigh"],
        ),
        ("reasoning_format", &fields.reasoning_format, &["parsed", "raw", "hidden"]),
    ];
    for (name, value, known) in lists {
        if let Some(value) = value.as_deref().filter(|value| !known.contains(value)) {
            let message = format!("{name} is {value:.40?}: it must be one of {}", known.join(", "));
            return Err(ApiError::invalid(name, message));
        }
    }
    Ok(())
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
    fn new(meta: Meta, model: String, checked: &Checked) -> Self {
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

fn completion(app: &App, head: Head, answer: Answer, pieces: Pieces) -> ChatCompletion {
    let usage = Usage::from(&answer.end.usage);
    let (content, tool_calls) = pieces.whole(answer.text);
    let finish_reason = finish_reason(answer.end.reason, !tool_calls.is_empty());
    let message = AnswerMessage { role: "assistant", content, refusal: None, tool_calls };
    let choice = ChatChoice { index: 0, message, logprobs: content_logprobs(app, &answer.tokens), finish_reason };
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

fn finish_reason(reason: FinishReason, has_calls: bool) -> FinishReason {
    if has_calls && reason == FinishReason::Stop { FinishReason::ToolCalls } else { reason }
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
    pieces: Pieces,
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
            usage: self.checked.include_usage.then_some(UsageOrNull::Null),
            x_groq: None,
            x_lockstep: None,
        }
    }

    fn x_groq(&self) -> XGroq {
        XGroq { id: self.head.request_id.clone(), ..XGroq::default() }
    }

    fn token(&mut self, generation: &Generation, token: Token, frames: &mut Written) {
        if token.is_end && token.text.is_empty() {
            return;
        }
        let logprobs = content_logprobs(&self.app, std::slice::from_ref(&token));
        let delta = calls::delta(self.pieces.push(token.text));
        if delta.is_none() && logprobs.is_none() {
            return;
        }
        let choice = ChunkChoice { delta: delta.unwrap_or_default(), logprobs, ..ChunkChoice::default() };
        let mut chunk = self.chunk(vec![choice]);
        if self.checked.continuous_usage {
            chunk.usage =
                Some(UsageOrNull::Usage(Usage::so_far(generation.prompt_tokens, generation.completion_tokens())));
        }
        frames.data(&chunk);
    }

    fn end(&mut self, end: &End, frames: &mut Written) {
        let mut rest = if end.text.is_empty() { Vec::new() } else { self.pieces.push(end.text.clone()) };
        rest.extend(self.pieces.finish());
        if let Some(delta) = calls::delta(rest) {
            frames.data(&self.chunk(vec![ChunkChoice { delta, ..ChunkChoice::default() }]));
        }
        let usage = Usage::from(&end.usage);
        let finish_reason = Some(finish_reason(end.reason, self.pieces.has_calls()));
        let mut chunk = self.chunk(vec![ChunkChoice { finish_reason, ..ChunkChoice::default() }]);
        if !self.checked.include_usage {
            // Clients add up what chunks report: it is told once.
            chunk.usage = Some(UsageOrNull::Usage(usage.clone()));
        }
        chunk.x_groq = Some(XGroq { usage: Some(usage.clone()), ..self.x_groq() });
        chunk.x_lockstep = Some(end.x_lockstep(&self.app));
        frames.data(&chunk);
        if self.checked.include_usage {
            let mut chunk = self.chunk(Vec::new());
            chunk.usage = Some(UsageOrNull::Usage(usage));
            frames.data(&chunk);
        }
    }
}

impl Frames for ChatFrames {
    fn begin(&mut self, frames: &mut Written) {
        let delta = Delta { role: Some("assistant"), content: Some(String::new()), ..Delta::default() };
        let mut chunk = self.chunk(vec![ChunkChoice { delta, ..ChunkChoice::default() }]);
        chunk.x_groq = Some(XGroq { seed: Some(self.head.seed), ..self.x_groq() });
        frames.data(&chunk);
    }

    fn step(&mut self, _: usize, generation: &Generation, step: Step, frames: &mut Written) {
        match step {
            Step::Token(token) => self.token(generation, token, frames),
            Step::End(end) => self.end(&end, frames),
        }
    }

    fn finish(&mut self, frames: &mut Written) {
        frames.done();
    }
}
