//! `POST responses`: the newer API, without its state.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use lockstep_engine as engine;
use serde_json::{Map, Value, json};

use crate::app::{Meta, Shared, fresh_id, now};
use crate::body;
use crate::calls::Pieces;
use crate::error::ApiError;
use crate::generation::{End, Generation};
use crate::plan::{self, Wishes};
use crate::routes::response_frames::ResponseFrames;
use crate::sse;
use crate::types::answer::{FinishReason, XGroq};
use crate::types::chat::{
    ChatMessage, Content, FunctionCall, JsonSchema, ResponseFormat, Role, ToolCall, ToolChoiceField,
};
use crate::types::response::{
    IncompleteDetails, Input, InputItem, InputTokensDetails, OutputTokensDetails, ResponseFields, ResponseObject,
    ResponseUsage, TextField, TextFormat,
};
use crate::types::sampling::{SamplingFields, at_most};

/// What `include` may ask for.
const LOGPROBS: &str = "message.output_text.logprobs";

/// Answers a conversation.
pub(crate) async fn responses(
    State(app): State<Shared>,
    Extension(meta): Extension<Meta>,
    request: Request,
) -> Result<Response, ApiError> {
    let (mut fields, sampling) = body::read_both::<ResponseFields, SamplingFields>(&app, request).await?;
    app.require_model(&fields.model)?;
    require_stateless(&fields)?;
    let most = fields.max_output_tokens.map_or(app.model.context, |tokens| tokens as usize);
    let mut asked = engine::Request::new(Vec::new(), most);
    asked.logprobs = logprobs_of(&fields)?;
    let (temperature, top_p) = (sampling.temperature.unwrap_or(1.0), sampling.top_p.unwrap_or(1.0));
    let checked = sampling.apply(&mut asked)?;
    let ticket = app.gate.enter(&meta.caller)?;
    let wishes = wishes(&app, &mut fields)?;
    let shared = Arc::clone(&app);
    let plan = app.pool.run(move || plan::plan(&shared, wishes)).await.map_err(of_input)?;
    asked.prompt = plan.prompt;
    let generation = Generation::start(&app, &ticket, asked, plan.attached).await.map_err(of_input)?;
    let tier = meta.tier(checked.tier);
    let x_groq = XGroq { id: meta.id, seed: Some(checked.seed), ..XGroq::default() };
    let object = ResponseObject {
        temperature,
        top_p,
        service_tier: tier,
        system_fingerprint: app.model.fingerprint.clone(),
        x_groq,
        ..begun(fields)
    };
    let mut frames = ResponseFrames::new(Arc::clone(&app), object, Pieces::new(plan.parser));
    if checked.is_stream {
        return Ok(sse::respond(vec![generation], frames));
    }
    let answer = generation.finish().await?;
    Ok(Json(frames.whole(answer)).into_response())
}

fn require_stateless(fields: &ResponseFields) -> Result<(), ApiError> {
    let refuse = |param: &str| {
        let message = format!("{param}: nothing is kept between requests here: send the whole conversation");
        Err(ApiError::unsupported(param, message))
    };
    if fields.previous_response_id.is_some() {
        return refuse("previous_response_id");
    }
    if fields.store == Some(true) {
        return refuse("store");
    }
    if fields.background == Some(true) {
        return refuse("background");
    }
    match fields.max_output_tokens {
        Some(0) => Err(ApiError::invalid("max_output_tokens", "max_output_tokens is 0: it must be at least 1")),
        _ => Ok(()),
    }
}

fn logprobs_of(fields: &ResponseFields) -> Result<Option<usize>, ApiError> {
    if let Some(top) = fields.top_logprobs.filter(|&top| top > 20) {
        return Err(ApiError::invalid("top_logprobs", format!("top_logprobs is {top}: it must be 0 to 20")));
    }
    let is_asked = fields.include.iter().flatten().any(|what| what == LOGPROBS);
    Ok(is_asked.then(|| fields.top_logprobs.unwrap_or(0) as usize))
}

/// The prompt of this route is its input.
fn of_input(error: ApiError) -> ApiError {
    match error.body.param.as_deref() {
        Some("prompt" | "messages") => error.of("input"),
        None if error.body.code == Some("context_length_exceeded") => error.of("input"),
        _ => error,
    }
}

fn wishes(app: &Shared, fields: &mut ResponseFields) -> Result<Wishes, ApiError> {
    let mut messages = Vec::new();
    if let Some(text) = &fields.instructions {
        messages.push(message(Role::System, Some(Content::Text(text.clone()))));
    }
    match std::mem::replace(&mut fields.input, Input::Items(Vec::new())) {
        Input::Text(text) => messages.push(message(Role::User, Some(Content::Text(text)))),
        Input::Items(items) => {
            at_most("input", items.len(), app.options.limits.messages)?;
            for (index, item) in items.into_iter().enumerate() {
                read_item(index, item, &mut messages)?;
            }
        }
    }
    let tools = fields.tools.as_ref().map(|tools| tools.iter().map(nested).collect::<Result<Vec<_>, _>>());
    let format = fields.text.as_ref().and_then(|text| text.format.clone());
    Ok(Wishes {
        messages,
        tools: tools.transpose()?.map(Value::Array),
        tool_choice: fields.tool_choice.clone(),
        parallel: fields.parallel_tool_calls.unwrap_or(true),
        format: format.map(|TextFormat { kind, name, schema, strict }| ResponseFormat {
            json_schema: Some(JsonSchema { name, description: None, schema, strict }),
            kind,
        }),
    })
}

fn message(role: Role, content: Option<Content>) -> ChatMessage {
    ChatMessage { role, content, name: None, tool_calls: None, tool_call_id: None }
}

fn read_item(index: usize, item: InputItem, messages: &mut Vec<ChatMessage>) -> Result<(), ApiError> {
    let missing = |name: &str| ApiError::invalid(&format!("input[{index}].{name}"), format!("{name} is missing"));
    match item.kind.as_deref() {
        None | Some("message") => {
            messages.push(message(item.role.ok_or_else(|| missing("role"))?, item.content));
        }
        Some("function_call") => {
            let (name, arguments) = (item.name.ok_or_else(|| missing("name"))?, item.arguments.unwrap_or_default());
            let id = item.call_id.ok_or_else(|| missing("call_id"))?;
            let call = ToolCall { id, kind: "function".to_owned(), function: FunctionCall { name, arguments } };
            match messages.last_mut() {
                // Calls of one answer, and the text before them, are one message.
                Some(last) if last.role == Role::Assistant => last.tool_calls.get_or_insert_default().push(call),
                _ => messages.push(ChatMessage { tool_calls: Some(vec![call]), ..message(Role::Assistant, None) }),
            }
        }
        Some("function_call_output") => {
            let tool_call_id = Some(item.call_id.ok_or_else(|| missing("call_id"))?);
            messages.push(ChatMessage { tool_call_id, ..message(Role::Tool, item.output) });
        }
        // What a model thought is no part of what it is told.
        Some("reasoning") => {}
        Some(other) => {
            let text = format!("items of type {other:.40?} are not read");
            return Err(ApiError::unsupported(&format!("input[{index}].type"), text));
        }
    }
    Ok(())
}

/// A function as chats describe it.
fn nested(tool: &Map<String, Value>) -> Result<Value, ApiError> {
    if tool.get("type").and_then(Value::as_str) != Some("function") {
        return Err(ApiError::unsupported("tools", "only tools of type function can be called here"));
    }
    let mut function = tool.clone();
    function.shift_remove("type");
    Ok(json!({ "type": "function", "function": function }))
}

/// The answer before its first token.
fn begun(fields: ResponseFields) -> ResponseObject {
    let has_tools = fields.tools.as_ref().is_some_and(|tools| !tools.is_empty());
    let format = TextFormat { kind: "text".to_owned(), name: None, schema: None, strict: None };
    ResponseObject {
        id: fresh_id("resp_"),
        object: "response",
        created_at: now(),
        status: "in_progress",
        background: false,
        error: None,
        incomplete_details: None,
        instructions: fields.instructions,
        max_output_tokens: fields.max_output_tokens,
        model: fields.model,
        output: Vec::new(),
        parallel_tool_calls: fields.parallel_tool_calls.unwrap_or(true),
        previous_response_id: None,
        store: false,
        temperature: 1.0,
        text: TextField { format: fields.text.and_then(|text| text.format).or(Some(format)) },
        tool_choice: fields
            .tool_choice
            .unwrap_or_else(|| ToolChoiceField::Mode(if has_tools { "auto" } else { "none" }.to_owned())),
        tools: fields.tools.unwrap_or_default(),
        top_p: 1.0,
        truncation: "disabled",
        usage: None,
        metadata: fields.metadata.unwrap_or_default(),
        service_tier: "default",
        system_fingerprint: String::new(),
        x_groq: XGroq::default(),
        x_lockstep: None,
    }
}

/// Writes the end into an answer.
pub(crate) fn complete(app: &Shared, object: &mut ResponseObject, end: &End) {
    let (input_tokens, output_tokens) = (end.usage.prompt_tokens, end.usage.completion_tokens);
    object.status = if end.reason == FinishReason::Length { "incomplete" } else { "completed" };
    object.incomplete_details =
        (end.reason == FinishReason::Length).then_some(IncompleteDetails { reason: "max_output_tokens" });
    object.usage = Some(ResponseUsage {
        input_tokens,
        input_tokens_details: InputTokensDetails { cached_tokens: end.usage.cached_tokens },
        output_tokens,
        output_tokens_details: OutputTokensDetails { reasoning_tokens: 0 },
        total_tokens: input_tokens + output_tokens,
    });
    object.x_groq.usage = Some((&end.usage).into());
    object.x_lockstep = Some(end.x_lockstep(app));
}
