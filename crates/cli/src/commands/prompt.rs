//! From messages to the tokens of a prompt.

use crate::session::Session;
use anyhow::Result;
use lockstep_text::{ChatTemplate, EncodeOptions, Message};

/// What templates that ask for today's date are told: a fixed day, so that an answer does not depend on when it is
/// asked for.
pub const DATE: &str = "2024-07-26";

/// Turns a conversation into tokens as the model was trained to read it.
pub enum Prompter {
    /// Through the model's chat template.
    Template(Box<ChatTemplate>),
    /// The last message as it is.
    Raw,
}

impl Prompter {
    /// The model's template; raw where that is asked for or the model has none.
    pub fn new(session: &Session, raw: bool) -> Result<Self> {
        let template = if raw { None } else { session.outline.tokenizer.chat_template()? };
        Ok(template.map_or(Self::Raw, |template| Self::Template(Box::new(template))))
    }

    /// Whether messages other than the last one are read.
    pub fn is_raw(&self) -> bool {
        matches!(self, Self::Raw)
    }

    /// The tokens after which an answer is due.
    pub fn tokens(&self, session: &Session, messages: &[Message]) -> Result<Vec<u32>> {
        match self {
            Self::Raw => Ok(raw_tokens(session, messages.last().map_or("", Message::text))),
            Self::Template(template) => Ok(template.prompt_tokens(&session.outline.tokenizer, messages, None, DATE)?),
        }
    }
}

/// A text as it is: begin token where the vocabulary asks for it, nothing in it is special.
pub fn raw_tokens(session: &Session, text: &str) -> Vec<u32> {
    session.outline.tokenizer.encode(text, EncodeOptions { add_special: true, parse_special: false })
}
