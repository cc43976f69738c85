//! The words of the language: which there are, where they stand, and what is asked about them.

use std::collections::BTreeMap;

use lockstep_machine::inst::TABLE;
use lockstep_machine::inst::field::Field;
use lockstep_machine::inst::operand::Format;

use super::data::DATA_WORDS;
use super::error::Wrong;
use super::lex::{Cursor, Token, nearest};
use super::place::Names;
use crate::form::short;
use crate::program::{BASES, Instance};

/// The directives, and where each may stand.
pub(super) const DIRECTIVES: &[(&str, &str)] = &[
    ("lockstep", ""),
    ("arithmetic", ""),
    ("name", ""),
    ("machine", ""),
    ("chips", ""),
    ("link", ""),
    ("image", ""),
    ("tensor", ""),
    ("input", ""),
    ("output", ""),
    ("block", ""),
    ("entry", ""),
    ("queue", "block"),
    ("flow", "block"),
    ("imports", "block"),
    ("cycles", "block or entry"),
    ("run", "entry"),
    ("phase", "entry"),
    ("import", "run"),
];

/// What was read before, by name.
#[derive(Default)]
pub(super) struct Index(BTreeMap<(&'static str, String), u32>);

impl Index {
    /// Notes a name; of equal ones the first counts.
    pub(super) fn add(&mut self, kind: &'static str, name: &str, index: u32) {
        self.0.entry((kind, name.to_owned())).or_insert(index);
    }
}

impl Names for Index {
    fn find(&self, kind: &str, token: &Token<'_>) -> Result<u32, Wrong> {
        let kinds = ["block", "image", "input"];
        let kind = kinds.into_iter().find(|known| *known == kind).unwrap_or_default();
        self.0.get(&(kind, token.text.to_string())).copied().ok_or_else(|| {
            let known = self.0.keys().filter(|(k, _)| *k == kind).map(|(_, name)| &**name);
            let near = nearest(&token.text, known).map(|near| format!("did you mean {near:?}?"));
            let hint = near.unwrap_or_else(|| format!("write the {kind} above"));
            Wrong::new(token.offset, format!("no {kind} is called {:?}", short(&token.text)), hint)
        })
    }
}

/// What is wrong with a word that nothing begins with where it stands.
pub(super) fn unknown(first: &str, offset: usize) -> Wrong {
    let inst = TABLE.iter().find(|definition| definition.mnemonic == first);
    if first.starts_with('@') || inst.is_some() {
        let hint = "write `queue NAME`, such as `queue mem.w0`, above it";
        return Wrong::new(offset, "an instruction stands below a queue", hint);
    }
    if is_data(first) {
        let hint = "write the image or tensor above it";
        return Wrong::new(offset, format!("{:?}: data stands below an image or a tensor", short(first)), hint);
    }
    let mut known: Vec<&str> = DIRECTIVES.iter().map(|(word, _)| *word).collect();
    known.extend(DATA_WORDS);
    known.extend(TABLE.iter().map(|definition| definition.mnemonic));
    let words = || DIRECTIVES.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(" ");
    let near = nearest(first, known.iter().copied()).map(|near| format!("did you mean {near}?"));
    let hint = near.unwrap_or_else(|| format!("directives are: {}", words()));
    Wrong::new(offset, format!("no directive or instruction is called {:?}", short(first)), hint)
}

/// Whether a line of a queue begins an instruction: with its cycle or its name, or with what may be a name misspelt.
pub(super) fn is_instruction(first: &str) -> bool {
    first.starts_with('@') || TABLE.iter().any(|definition| definition.mnemonic == first)
}

pub(super) fn is_data(first: &str) -> bool {
    DATA_WORDS.contains(&first)
        || Format::parse(first).is_some()
        || first.parse::<f64>().is_ok()
        || first.starts_with(|c: char| c.is_ascii_digit() || c == '-')
}

/// A chip and its link.
pub(super) fn side(cursor: &mut Cursor<'_>) -> Result<(u32, u8), Wrong> {
    let token = cursor.take("a chip and a link")?;
    let read = token.text.split_once('.').and_then(|(chip, link)| Some((chip.parse().ok()?, link.parse().ok()?)));
    read.ok_or_else(|| {
        let message = format!("{:?} is not a chip and a link", short(&token.text));
        Wrong::new(token.offset, message, "write chip.link: link 0.0 -> 1.8")
    })
}

/// A format and a count of numbers.
pub(super) fn numbers(cursor: &mut Cursor<'_>) -> Result<(Format, u32), Wrong> {
    let token = cursor.take("a format")?;
    let format = Format::parse(&token.text).ok_or_else(|| {
        let message = format!("{:?} is not a format", short(&token.text));
        Wrong::new(token.offset, message, format!("write {}", Format::SYNTAX))
    })?;
    cursor.accept("elements");
    Ok((format, cursor.number("a count of elements")?))
}

/// What stands behind `run`.
pub(super) fn run(cursor: &mut Cursor<'_>, instance: &mut Instance, names: &Index) -> Result<(), Wrong> {
    instance.block = names.find("block", &cursor.take("a block's name")?)?;
    instance.chip = cursor.optional("chip", 0)?;
    instance.start = cursor.optional("at", 0)?;
    while let Some(token) = cursor.peek().cloned() {
        cursor.take("a base")?;
        let read = || {
            let (base, offset) = token.text.strip_prefix("base")?.split_once('=')?;
            Some((base.parse().ok().filter(|base| *base < BASES)?, offset.parse().ok()?))
        };
        let (base, offset): (usize, i32) = read().ok_or_else(|| {
            let message = format!("{:?} is not expected here", short(&token.text));
            Wrong::new(token.offset, message, "write run NAME chip N at CYCLE base3=OFFSET; bases are 0 to 15")
        })?;
        instance.offsets[base] = offset;
    }
    Ok(())
}
