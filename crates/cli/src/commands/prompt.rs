//! From messages to the tokens of a prompt.

use crate::session::Session;
use anyhow::Result;
use lockstep_text::{ChatTemplate, EncodeOptions, Message, Tokenizer};

/// What templates that ask for today's date are told: a fixed day, so that an answer does not depend on when it is
/// asked for.
const DATE: &str = "2024-07-26";

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
            Self::Template(template) => template_tokens(template, &session.outline.tokenizer, messages),
        }
    }
}

/// Renders the messages and encodes the whole, as `transformers` does. Where a message holds the text of a control
/// token (a forged end of turn, say), it is kept apart and encoded as plain text: what is quoted cannot give orders.
fn template_tokens(template: &ChatTemplate, tokenizer: &Tokenizer, messages: &[Message]) -> Result<Vec<u32>> {
    // The template has put the begin token there itself.
    let marks = EncodeOptions { add_special: false, parse_special: true };
    let plain = EncodeOptions { add_special: false, parse_special: false };
    let forges = |text: &str| tokenizer.encode(text, marks).iter().any(|&id| tokenizer.is_special(id));
    if !messages.iter().any(|message| forges(message.text())) {
        return Ok(tokenizer.encode(&template.render(messages, None, true, DATE)?, marks));
    }
    let place = |(index, message): (usize, &Message)| Message::new(&message.role, &format!("{OPEN}{index}{CLOSE}"));
    let places: Vec<Message> = messages.iter().enumerate().map(place).collect();
    let text = template.render(&places, None, true, DATE)?;
    let mut ids = Vec::new();
    for part in parts(&text) {
        match part {
            Part::Template(text) => ids.extend(tokenizer.encode(text, marks)),
            Part::Message(index) => {
                ids.extend(messages.get(index).into_iter().flat_map(|m| tokenizer.encode(m.text(), plain)));
            }
        }
    }
    Ok(ids)
}

/// Private-use characters around a message's number, where the message will stand.
const OPEN: char = '\u{F0000}';
const CLOSE: char = '\u{F0001}';

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    Template(&'a str),
    Message(usize),
}

/// A rendered text cut at its places.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let place = after.split_once(CLOSE).and_then(|(index, after)| Some((index.parse().ok()?, after)));
        let Some((index, after)) = place else { break };
        parts.extend([Part::Template(before), Part::Message(index)]);
        rest = after;
    }
    parts.push(Part::Template(rest));
    parts
}

/// A text as it is: begin token where the vocabulary asks for it, nothing in it is special.
pub fn raw_tokens(session: &Session, text: &str) -> Vec<u32> {
    session.outline.tokenizer.encode(text, EncodeOptions { add_special: true, parse_special: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rendered_text_is_cut_at_its_places() {
        let text = format!("<|user|>{OPEN}1{CLOSE}<|end|>{OPEN}0{CLOSE}");
        let want = [Part::Template("<|user|>"), Part::Message(1), Part::Template("<|end|>"), Part::Message(0)];
        assert_eq!(parts(&text), [&want[..], &[Part::Template("")]].concat());
        assert_eq!(parts("a"), [Part::Template("a")]);
    }
}
