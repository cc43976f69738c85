//! Responses, whole and as events: items open and close, and what is in them grows.

use lockstep_grammar::Piece;
use serde_json::{Value, json};

use crate::app::{Shared, fresh_id};
use crate::calls::Pieces;
use crate::error::ApiError;
use crate::generation::{Answer, End, Generation, Step, Token};
use crate::logprobs;
use crate::routes::responses::complete;
use crate::sse::{Frames, Written};
use crate::types::chat_answer::TokenLogprob;
use crate::types::response::{OutputItem, OutputText, ResponseObject};

/// An answer while its events are sent.
pub(crate) struct ResponseFrames {
    app: Shared,
    object: ResponseObject,
    pieces: Pieces,
    /// Whether the last item of the output is still open.
    is_open: bool,
    number: u64,
}

impl ResponseFrames {
    pub(crate) fn new(app: Shared, object: ResponseObject, pieces: Pieces) -> Self {
        Self { app, object, pieces, is_open: false, number: 0 }
    }

    /// The answer, whole: the same events, which nobody reads.
    pub(crate) fn whole(&mut self, answer: Answer) -> ResponseObject {
        let mut unread = Written::default();
        let mut logprobs = Vec::new();
        for token in &answer.tokens {
            logprobs.extend(self.logprob(token));
        }
        let pieces = self.pieces.push(answer.text);
        self.grow(pieces, &logprobs, &mut unread);
        self.end(&End { text: String::new(), ..answer.end }, &mut unread);
        self.object.clone()
    }

    fn send(&mut self, name: &str, mut event: Value, frames: &mut Written) {
        event["type"] = name.into();
        event["sequence_number"] = self.number.into();
        self.number += 1;
        frames.event(name, &event);
    }

    fn send_response(&mut self, name: &str, frames: &mut Written) {
        let event = json!({ "response": self.object });
        self.send(name, event, frames);
    }

    fn logprob(&self, token: &Token) -> Option<TokenLogprob> {
        Some(logprobs::of_token(&self.app.model.tokenizer, token.id, token.logprobs.as_ref()?))
    }

    fn index(&self) -> usize {
        self.object.output.len().saturating_sub(1)
    }

    fn grow(&mut self, pieces: Vec<Piece>, logprobs: &[TokenLogprob], frames: &mut Written) {
        for piece in pieces {
            match piece {
                Piece::Content(text) if text.is_empty() => {}
                Piece::Content(text) => self.content(&text, logprobs, frames),
                Piece::CallStart { name, .. } => {
                    let (id, call_id) = (fresh_id("fc_"), fresh_id("call_"));
                    let status = "in_progress";
                    self.open(OutputItem::FunctionCall { id, status, call_id, name, arguments: String::new() }, frames);
                }
                Piece::CallArguments { text, .. } => self.arguments(&text, frames),
            }
        }
    }

    fn content(&mut self, text: &str, logprobs: &[TokenLogprob], frames: &mut Written) {
        if !self.is_open || !matches!(self.object.output.last(), Some(OutputItem::Message { .. })) {
            self.open_message(frames);
        }
        let index = self.index();
        let Some(OutputItem::Message { id, content, .. }) = self.object.output.last_mut() else { return };
        if let Some(part) = content.last_mut() {
            part.text.push_str(text);
            part.logprobs.extend_from_slice(logprobs);
        }
        let event =
            json!({ "item_id": id, "output_index": index, "content_index": 0, "delta": text, "logprobs": logprobs });
        self.send("response.output_text.delta", event, frames);
    }

    fn arguments(&mut self, text: &str, frames: &mut Written) {
        let index = self.index();
        let Some(OutputItem::FunctionCall { id, arguments, .. }) = self.object.output.last_mut() else { return };
        arguments.push_str(text);
        let event = json!({ "item_id": id, "output_index": index, "delta": text });
        self.send("response.function_call_arguments.delta", event, frames);
    }

    fn open_message(&mut self, frames: &mut Written) {
        let (id, part) = (fresh_id("msg_"), OutputText::empty());
        let content = Vec::new();
        self.open(OutputItem::Message { id: id.clone(), status: "in_progress", role: "assistant", content }, frames);
        let event = json!({ "item_id": id, "output_index": self.index(), "content_index": 0, "part": part });
        self.send("response.content_part.added", event, frames);
        if let Some(OutputItem::Message { content, .. }) = self.object.output.last_mut() {
            content.push(part);
        }
    }

    fn open(&mut self, item: OutputItem, frames: &mut Written) {
        self.close("completed", frames);
        self.is_open = true;
        self.object.output.push(item);
        let event = json!({ "output_index": self.index(), "item": self.object.output.last() });
        self.send("response.output_item.added", event, frames);
    }

    fn close(&mut self, with: &'static str, frames: &mut Written) {
        if !std::mem::replace(&mut self.is_open, false) {
            return;
        }
        let index = self.index();
        let Some(last) = self.object.output.last_mut() else { return };
        let events = match last {
            OutputItem::Message { id, status, content, .. } => {
                *status = with;
                let part = content.first().cloned().unwrap_or_else(OutputText::empty);
                let at = json!({ "item_id": id, "output_index": index, "content_index": 0 });
                let (mut text, mut done) = (at.clone(), at);
                text["text"] = part.text.clone().into();
                text["logprobs"] = json!(part.logprobs);
                done["part"] = json!(part);
                vec![("response.output_text.done", text), ("response.content_part.done", done)]
            }
            OutputItem::FunctionCall { id, status, name, arguments, .. } => {
                *status = with;
                let event = json!({ "item_id": id, "output_index": index, "name": name, "arguments": arguments });
                vec![("response.function_call_arguments.done", event)]
            }
        };
        for (name, event) in events {
            self.send(name, event, frames);
        }
        let event = json!({ "output_index": index, "item": self.object.output.last() });
        self.send("response.output_item.done", event, frames);
    }

    fn end(&mut self, end: &End, frames: &mut Written) {
        let mut rest = if end.text.is_empty() { Vec::new() } else { self.pieces.push(end.text.clone()) };
        rest.extend(self.pieces.finish());
        self.grow(rest, &[], frames);
        if self.object.output.is_empty() {
            self.open_message(frames);
        }
        complete(&self.app, &mut self.object, end);
        let status = self.object.status;
        self.close(status, frames);
        self.send_response(&format!("response.{status}"), frames);
    }
}

impl OutputText {
    fn empty() -> Self {
        Self { kind: "output_text", text: String::new(), annotations: Vec::new(), logprobs: Vec::new() }
    }
}

impl Frames for ResponseFrames {
    fn begin(&mut self, frames: &mut Written) {
        self.send_response("response.created", frames);
        self.send_response("response.in_progress", frames);
    }

    fn step(&mut self, _: usize, _: &Generation, step: Step, frames: &mut Written) {
        match step {
            Step::Token(token) if token.is_end && token.text.is_empty() => {}
            Step::Token(token) => {
                let logprobs: Vec<_> = self.logprob(&token).into_iter().collect();
                let pieces = self.pieces.push(token.text);
                self.grow(pieces, &logprobs, frames);
            }
            Step::End(end) => self.end(&end, frames),
        }
    }

    fn finish(&mut self, _: &mut Written) {}

    fn fail(&mut self, error: &ApiError, frames: &mut Written) {
        let body = &error.body;
        let event = json!({ "code": body.code, "message": body.message, "param": body.param, "error": body });
        self.send("error", event, frames);
    }
}
