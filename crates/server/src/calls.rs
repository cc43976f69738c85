//! Pieces of an answer: content, and calls of tools, as the API shows them.

use lockstep_grammar::{Piece, ToolParser};

use crate::app::fresh_id;
use crate::types::chat::{FunctionCall, ToolCall};
use crate::types::chat_answer::{Delta, FunctionDelta, ToolCallDelta};

/// Turns an answer's text into what it says and what it calls.
#[derive(Default)]
pub(crate) struct Pieces {
    parser: Option<ToolParser>,
}

impl Pieces {
    pub(crate) fn new(parser: Option<ToolParser>) -> Self {
        Self { parser }
    }

    /// Whether the answer has called anything so far.
    pub(crate) fn has_calls(&self) -> bool {
        self.parser.as_ref().is_some_and(|parser| parser.calls() > 0)
    }

    /// What became certain with more text.
    pub(crate) fn push(&mut self, text: String) -> Vec<Piece> {
        match &mut self.parser {
            Some(parser) => parser.push(&text),
            None => vec![Piece::Content(text)],
        }
    }

    /// What was held back, at the end.
    pub(crate) fn finish(&mut self) -> Vec<Piece> {
        self.parser.as_mut().map_or_else(Vec::new, ToolParser::finish)
    }

    /// The content and the calls of a whole answer.
    pub(crate) fn whole(mut self, text: String) -> (Option<String>, Vec<ToolCall>) {
        let mut all = self.push(text);
        all.extend(self.finish());
        joined(all)
    }
}

/// The content and the calls of a whole answer's pieces.
fn joined(all: Vec<Piece>) -> (Option<String>, Vec<ToolCall>) {
    let (mut content, mut calls) = (String::new(), Vec::<ToolCall>::new());
    for piece in all {
        match piece {
            Piece::Content(text) => content.push_str(&text),
            Piece::CallStart { name, .. } => calls.push(ToolCall {
                id: fresh_id("call_"),
                kind: "function".to_owned(),
                function: FunctionCall { name, arguments: String::new() },
            }),
            Piece::CallArguments { text, .. } => {
                if let Some(call) = calls.last_mut() {
                    call.function.arguments.push_str(&text);
                }
            }
        }
    }
    let has_content = !content.is_empty() || calls.is_empty();
    (has_content.then_some(content), calls)
}

/// What some pieces add to a message; none where there are none.
pub(crate) fn delta(pieces: Vec<Piece>) -> Option<Delta> {
    let mut delta = Delta::default();
    let is_empty = pieces.is_empty();
    for piece in pieces {
        match piece {
            Piece::Content(text) => delta.content.get_or_insert_default().push_str(&text),
            Piece::CallStart { index, name } => delta.tool_calls.push(ToolCallDelta {
                index,
                id: Some(fresh_id("call_")),
                kind: Some("function"),
                function: FunctionDelta { name: Some(name), arguments: String::new() },
            }),
            Piece::CallArguments { index, text } => match delta.tool_calls.last_mut() {
                Some(call) if call.index == index => call.function.arguments.push_str(&text),
                _ => {
                    let function = FunctionDelta { name: None, arguments: text };
                    delta.tool_calls.push(ToolCallDelta { index, id: None, kind: None, function });
                }
            },
        }
    }
    (!is_empty).then_some(delta)
}
