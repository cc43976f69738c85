//! From messages to the tokens of a prompt.

use crate::{ChatTemplate, EncodeOptions, Error, Message, Tokenizer};

impl ChatTemplate {
    /// Renders the messages and encodes the whole, as `transformers` does. Where a message holds the text of a control
    /// token (a forged end of turn, say), it is kept apart and encoded as plain text: what is quoted cannot give orders.
    /// `date` is what templates that ask for it take for today (`YYYY-MM-DD`).
    pub fn prompt_tokens(
        &self,
        tokenizer: &Tokenizer,
        messages: &[Message],
        tools: Option<&serde_json::Value>,
        date: &str,
    ) -> Result<Vec<u32>, Error> {
        // The template has put the begin token there itself.
        let marks = EncodeOptions { add_special: false, parse_special: true };
        let plain = EncodeOptions { add_special: false, parse_special: false };
        let forges = |text: &str| tokenizer.encode(text, marks).iter().any(|&id| tokenizer.is_special(id));
        if !messages.iter().any(|message| forges(message.text())) {
            return Ok(tokenizer.encode(&self.render(messages, tools, true, date)?, marks));
        }
        // Of what is there: templates ask whether a message has a text.
        let place = |(index, message): (usize, &Message)| Message {
            content: message.content.as_ref().map(|_| format!("{OPEN}{index}{CLOSE}")),
            ..message.clone()
        };
        let places: Vec<Message> = messages.iter().enumerate().map(place).collect();
        let text = self.render(&places, tools, true, date)?;
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
