//! Places in text: words, issues and origins, read and written.

use std::fmt::Write as _;

use lockstep_machine::geometry::{Hemisphere, Queue};

use super::error::Wrong;
use super::lex::{Cursor, Token, quote};
use crate::form::short;
use crate::program::{Binding, IssueId, Origin, Program, Word};

/// How words are written.
const SYNTAX: &str = "write chip:slice.bank.word such as 0:w3.0.17; slices and words may be ranges: 0:w0-3.0.17-18";

/// Words of one chip and bank: those of a range, on each slice of a range.
pub(super) struct Place {
    pub(super) offset: usize,
    pub(super) first: Word,
    pub(super) slices: u16,
    pub(super) words: u32,
}

impl Place {
    pub(super) fn parse(token: &Token<'_>) -> Result<Self, Wrong> {
        let wrong = || Wrong::new(token.offset, format!("{:?} is not a place", short(&token.text)), SYNTAX);
        if token.quoted { Err(wrong()) } else { Self::read(token).ok_or_else(wrong) }
    }

    fn read(token: &Token<'_>) -> Option<Self> {
        let (chip, rest) = token.text.split_once(':').unwrap_or(("0", &token.text));
        let hemisphere = match rest.chars().next()? {
            'w' => Hemisphere::West,
            'e' => Hemisphere::East,
            _ => return None,
        };
        let mut parts = rest[1..].split('.');
        let (slices, bank, words) = (parts.next()?, parts.next()?, parts.next()?);
        let (slice, slice_last) = slices.split_once('-').unwrap_or((slices, slices));
        let (word, word_last) = words.split_once('-').unwrap_or((words, words));
        let (slice, slice_last): (u8, u8) = (slice.parse().ok()?, slice_last.parse().ok()?);
        let (word, word_last): (u16, u16) = (word.parse().ok()?, word_last.parse().ok()?);
        let first = Word { chip: chip.parse().ok()?, hemisphere, slice, bank: bank.parse().ok()?, word };
        let slices = u16::from(slice_last.checked_sub(slice)?) + 1;
        let words = u32::from(word_last.checked_sub(word)?) + 1;
        parts.next().is_none().then_some(Self { offset: token.offset, first, slices, words })
    }

    /// All its words: slice by slice, then word by word.
    pub(super) fn all(&self) -> impl Iterator<Item = Word> {
        let first = self.first;
        let slices = self.slices;
        (0..self.words).flat_map(move |word| {
            (0..slices).map(move |slice| Word {
                slice: first.slice + slice as u8,
                word: first.word + word as u16,
                ..first
            })
        })
    }
}

/// A word as text.
pub(super) fn word(word: Word) -> String {
    let Word { chip, hemisphere, slice, bank, word } = word;
    format!("{chip}:{}{slice}.{bank}.{word}", hemisphere.letter())
}

/// A binding's words as text: a range for each tile whose planes lie side by side.
pub(super) fn binding_words(binding: &Binding) -> String {
    let mut text = String::new();
    for tile in binding.words.chunks(usize::from(binding.format.streams())) {
        let first = tile[0];
        let last = first.slice.checked_add(tile.len() as u8 - 1);
        let together =
            |(plane, found): (usize, &Word)| *found == Word { slice: first.slice.wrapping_add(plane as u8), ..first };
        match last.filter(|_| tile.len() > 1 && tile.iter().enumerate().all(together)) {
            Some(last) => {
                let Word { chip, hemisphere, slice, bank, word } = first;
                let _ = write!(text, " {chip}:{}{slice}-{last}.{bank}.{word}", hemisphere.letter());
            }
            None => tile.iter().for_each(|found| text.extend([" ", &word(*found)])),
        }
    }
    text
}

/// An issue as text: `queue[instruction]`, with `.issue` for a repetition.
pub(super) fn issue(id: IssueId) -> String {
    let repetition = if id.issue == 0 { String::new() } else { format!(".{}", id.issue) };
    format!("{}[{}]{repetition}", id.queue, id.inst)
}

/// Reads an issue.
pub(super) fn parse_issue(token: &Token<'_>) -> Result<IssueId, Wrong> {
    let read = || {
        let (queue, rest) = token.text.split_once('[')?;
        let (inst, rest) = rest.split_once(']')?;
        let issue = if rest.is_empty() { "0" } else { rest.strip_prefix('.')? };
        Some(IssueId { queue: Queue::parse(queue)?, inst: inst.parse().ok()?, issue: issue.parse().ok()? })
    };
    read().ok_or_else(|| {
        let message = format!("{:?} is not an issue", short(&token.text));
        Wrong::new(token.offset, message, "write queue[instruction] or queue[instruction].repetition: mem.w0[3].1")
    })
}

/// An origin as text. `own` is the block it stands in, if it stands in a block's flow.
pub(super) fn origin(origin: &Origin, own: Option<u32>, program: &Program<'_>) -> String {
    let more = |word: &str, n: u32| if n == 0 { String::new() } else { format!(" {word} {n}") };
    match *origin {
        Origin::Nothing => "nothing".to_owned(),
        Origin::Issue { block, id, result } => {
            let name = program.blocks.get(block as usize).map_or("", |block| &block.name);
            let name = if own == Some(block) { String::new() } else { format!("{} ", quote(name)) };
            format!("issue {name}{}{}", issue(id), more("result", result.into()))
        }
        Origin::Import { import, offset } => format!("import {import}{}", more("offset", offset)),
        Origin::Image { image, vector } => {
            let name = program.images.get(image as usize).map_or("", |image| &image.name);
            format!("image {}{}", quote(name), more("vector", vector))
        }
        Origin::Input { binding, vector } => {
            let name = program.bindings.get(binding as usize).map_or("", |binding| &binding.name);
            format!("input {}{}", quote(name), more("vector", vector))
        }
        Origin::Sent { link, vector } => format!("sent {link}{}", more("vector", vector)),
        Origin::Many(hash) => format!("many 0x{hash:016x}"),
    }
}

/// What names stand for: blocks, images and inputs that were read before.
pub(super) trait Names {
    /// The index of what has this name.
    fn find(&self, kind: &str, token: &Token<'_>) -> Result<u32, Wrong>;
}

/// Reads an origin. `own` is the block it stands in, if it stands in a block's flow.
pub(super) fn parse_origin(cursor: &mut Cursor<'_>, own: Option<u32>, names: &dyn Names) -> Result<Origin, Wrong> {
    let kind = cursor.take("an origin")?;
    Ok(match &*kind.text {
        "nothing" => Origin::Nothing,
        "issue" => {
            let named = cursor.peek().is_some_and(|token| token.quoted);
            let block = match own {
                Some(own) if !named => own,
                _ => names.find("block", &cursor.take("a block's name")?)?,
            };
            let id = parse_issue(&cursor.take("an issue")?)?;
            Origin::Issue { block, id, result: cursor.optional("result", 0)? }
        }
        "import" => Origin::Import { import: cursor.number("an import")?, offset: cursor.optional("offset", 0)? },
        "image" => {
            let image = names.find("image", &cursor.take("an image's name")?)?;
            Origin::Image { image, vector: cursor.optional("vector", 0)? }
        }
        "input" => {
            let binding = names.find("input", &cursor.take("an input's name")?)?;
            Origin::Input { binding, vector: cursor.optional("vector", 0)? }
        }
        "sent" => Origin::Sent { link: cursor.number("a link")?, vector: cursor.optional("vector", 0)? },
        "many" => {
            let token = cursor.take("a hash")?;
            let hash = token.text.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
            Origin::Many(hash.ok_or_else(|| Wrong::new(token.offset, "a hash is written 0xHEX", ""))?)
        }
        other => {
            let message = format!("{:?} is not an origin", short(other));
            let hint = "origins are: nothing, issue, import, image, input, sent, many";
            return Err(Wrong::new(kind.offset, message, hint));
        }
    })
}
