//! Lines into words, and what is asked of them.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::str::FromStr;

use super::error::Wrong;
use crate::form::short;

/// A word of a line: bare, or a quoted name.
#[derive(Clone, Debug)]
pub(super) struct Token<'a> {
    pub(super) offset: usize,
    pub(super) text: Cow<'a, str>,
    pub(super) quoted: bool,
}

/// A name in quotes, on one line whatever it holds.
pub(super) fn quote(name: &str) -> String {
    let mut quoted = String::from('"');
    for c in name.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            _ if c.is_control() => drop(write!(quoted, "\\u{{{:x}}}", u32::from(c))),
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The characters after an opening quote, up to the closing one; with what follows it.
fn unquote(text: &str) -> Result<(String, &str), &'static str> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let mut chars = rest.chars();
        match chars.next().ok_or("the name has no closing quote")? {
            '"' => return Ok((name, chars.as_str())),
            '\\' => match chars.next() {
                Some(c @ ('"' | '\\')) => name.push(c),
                Some('u') => {
                    let (hex, after) =
                        chars.as_str().strip_prefix('{').and_then(|t| t.split_once('}')).unwrap_or_default();
                    let code = u32::from_str_radix(hex, 16).ok().and_then(char::from_u32);
                    name.push(code.ok_or("no character has this code")?);
                    rest = after;
                    continue;
                }
                _ => return Err("a backslash stands before \", \\ or u{HEX} only"),
            },
            c => name.push(c),
        }
        rest = chars.as_str();
    }
}

/// The words of a line, without its comment.
pub(super) fn tokens(line: &str) -> Result<Vec<Token<'_>>, Wrong> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_ascii_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let offset = line.len() - rest.len();
        let (text, quoted);
        if let Some(inside) = rest.strip_prefix('"') {
            let (name, after) = unquote(inside).map_err(|message| Wrong::new(offset, message, ""))?;
            (text, quoted, rest) = (Cow::Owned(name), true, after);
        } else {
            let end = rest.find(|c: char| c.is_ascii_whitespace() || c == '#' || c == '"').unwrap_or(rest.len());
            (text, quoted) = (Cow::Borrowed(&rest[..end]), false);
            rest = &rest[end..];
        }
        tokens.push(Token { offset, text, quoted });
        rest = rest.trim_ascii_start();
    }
    Ok(tokens)
}

/// Takes the words of a line one after the other.
pub(super) struct Cursor<'a> {
    line: &'a str,
    tokens: std::iter::Peekable<std::vec::IntoIter<Token<'a>>>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(line: &'a str, tokens: Vec<Token<'a>>) -> Self {
        Self { line, tokens: tokens.into_iter().peekable() }
    }

    /// Where the next word is, or the line's end.
    pub(super) fn offset(&mut self) -> usize {
        let end = self.line.trim_ascii_end().len();
        self.tokens.peek().map_or(end, |token| token.offset)
    }

    pub(super) fn peek(&mut self) -> Option<&Token<'a>> {
        self.tokens.peek()
    }

    /// The next word, which must be there.
    pub(super) fn take(&mut self, what: &str) -> Result<Token<'a>, Wrong> {
        let offset = self.offset();
        self.tokens.next().ok_or_else(|| Wrong::new(offset, format!("{what} is missing"), ""))
    }

    /// Takes the next word if it is this one.
    pub(super) fn accept(&mut self, word: &str) -> bool {
        self.tokens.next_if(|token| !token.quoted && token.text == word).is_some()
    }

    /// Takes this word, which must be next.
    pub(super) fn expect(&mut self, word: &str, hint: &str) -> Result<(), Wrong> {
        let offset = self.offset();
        if self.accept(word) { Ok(()) } else { Err(Wrong::new(offset, format!("{word:?} is missing here"), hint)) }
    }

    /// A number, which must be next.
    pub(super) fn number<T: FromStr>(&mut self, what: &str) -> Result<T, Wrong> {
        let token = self.take(what)?;
        number(&token.text).ok_or_else(|| {
            let message = format!("{:?} is not {what}", short(&token.text));
            Wrong::new(token.offset, message, "write a decimal number in its range")
        })
    }

    /// A number after this word, or the other if the word is not next.
    pub(super) fn optional<T: FromStr>(&mut self, word: &str, otherwise: T) -> Result<T, Wrong> {
        if self.accept(word) { self.number(&format!("a number for {word}")) } else { Ok(otherwise) }
    }

    /// Nothing may be left.
    pub(super) fn end(&mut self) -> Result<(), Wrong> {
        let Some(token) = self.tokens.next() else { return Ok(()) };
        let message = format!("{:?} is not expected here", short(&token.text));
        Err(Wrong::new(token.offset, message, "nothing more belongs on this line"))
    }
}

/// A number; its digits may be grouped by underscores.
pub(super) fn number<T: FromStr>(text: &str) -> Option<T> {
    if text.contains('_') { text.replace('_', "").parse().ok() } else { text.parse().ok() }
}

/// The known word that is nearest to another, if one is near.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.chars().take(24).collect();
    let near = known.map(|known| (distance(&word, known), known)).min()?;
    (near.0 <= 1 + word.len() / 4).then_some(near.1)
}

/// How many letters must be put in, taken out, changed or swapped with the next.
fn distance(word: &[char], known: &str) -> usize {
    let known: Vec<char> = known.chars().collect();
    let mut rows = vec![vec![0; known.len() + 1]; word.len() + 1];
    for i in 0..=word.len() {
        for j in 0..=known.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = rows[i - 1][j - 1] + usize::from(word[i - 1] != known[j - 1]);
                let mut least = change.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
                if i > 1 && j > 1 && word[i - 1] == known[j - 2] && word[i - 2] == known[j - 1] {
                    least = least.min(rows[i - 2][j - 2] + 1);
                }
                least
            };
        }
    }
    rows[word.len()][known.len()]
}
