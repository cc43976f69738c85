//! Tokens that stand in the text by name, such as `<|im_end|>`: they are cut out before anything else looks at it.

use aho_corasick::{AhoCorasick, MatchKind};

use crate::Error;
use crate::error::one_line;

/// A token that is cut out of the text as a whole. The fields are those of `tokenizer.json`'s `added_tokens`.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools)] // the file's own fields
pub(crate) struct AddedToken {
    pub(crate) id: u32,
    pub(crate) content: String,
    /// Only cut out where the caller parses special tokens.
    pub(crate) special: bool,
    /// Looked for in normalised text.
    pub(crate) normalized: bool,
    /// Takes the white space before it along.
    pub(crate) lstrip: bool,
    /// Takes the white space after it along.
    pub(crate) rstrip: bool,
    /// Not inside of a word.
    pub(crate) single_word: bool,
}

/// A part of a text.
pub(crate) enum Part<'a> {
    /// Text that begins at a byte of the whole.
    Text(usize, &'a str),
    Token(u32),
}

/// Finds tokens in text: the leftmost first, the longest where several begin.
#[derive(Default)]
pub(crate) struct Matcher {
    tokens: Vec<AddedToken>,
    automaton: Option<AhoCorasick>,
}

/// The matchers, by whether special tokens are parsed.
pub(crate) struct SpecialTokens {
    raw: [Matcher; 2],
    normalized: [Matcher; 2],
}

impl SpecialTokens {
    pub(crate) fn new(tokens: Vec<AddedToken>) -> Result<Self, Error> {
        let (normalized, raw): (Vec<_>, Vec<_>) = tokens.into_iter().partition(|token| token.normalized);
        Ok(Self { raw: Matcher::pair(raw)?, normalized: Matcher::pair(normalized)? })
    }

    /// The tokens to look for in text as it was given.
    pub(crate) fn raw(&self, parse_special: bool) -> &Matcher {
        &self.raw[usize::from(parse_special)]
    }

    /// The tokens to look for in normalised text.
    pub(crate) fn normalized(&self, parse_special: bool) -> &Matcher {
        &self.normalized[usize::from(parse_special)]
    }
}

impl Matcher {
    fn pair(all: Vec<AddedToken>) -> Result<[Self; 2], Error> {
        let plain = all.iter().filter(|token| !token.special).cloned().collect();
        Ok([Self::new(plain)?, Self::new(all)?])
    }

    fn new(mut tokens: Vec<AddedToken>) -> Result<Self, Error> {
        tokens.retain(|token| !token.content.is_empty());
        if tokens.is_empty() {
            return Ok(Self::default());
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(tokens.iter().map(|token| &token.content))
            .map_err(|error| Error::SpecialTokens { problem: one_line(error) })?;
        Ok(Self { tokens, automaton: Some(automaton) })
    }

    /// The parts of `text` in order; no text part is empty.
    pub(crate) fn split<'a>(&self, text: &'a str) -> Vec<Part<'a>> {
        let mut parts = Vec::new();
        let mut done = 0;
        for found in self.automaton.iter().flat_map(|automaton| automaton.find_iter(text)) {
            let token = &self.tokens[found.pattern().as_usize()];
            let (mut start, mut end) = (found.start(), found.end());
            if start < done || (token.single_word && touches_word(text, start, end)) {
                continue;
            }
            if token.lstrip {
                start = done + text[done..start].trim_end().len();
            }
            if token.rstrip {
                end = text.len() - text[end..].trim_start().len();
            }
            if start > done {
                parts.push(Part::Text(done, &text[done..start]));
            }
            parts.push(Part::Token(token.id));
            done = end;
        }
        if done < text.len() {
            parts.push(Part::Text(done, &text[done..]));
        }
        parts
    }
}

fn touches_word(text: &str, start: usize, end: usize) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    text[..start].chars().next_back().is_some_and(is_word) || text[end..].chars().next().is_some_and(is_word)
}
