//! What memory holds, as text: bytes, numbers, and rules that make numbers.

use std::borrow::Cow;

use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::inst::field::Field;
use lockstep_machine::inst::operand::Format;

use super::error::Wrong;
use super::lex::{Cursor, number, tokens};
use super::place::Place;
use crate::form::short;
use crate::program::{Content, Image, Word};

/// The words that begin a line of data, beside formats and numbers.
pub(super) const DATA_WORDS: &[&str] = &["hex", "zero", "absent", "fill", "ramp", "random"];

/// Bytes that short texts may grow to in all: memory that rules fill, and words that ranges name.
const GROWTH_MAX: usize = 64 << 20;

/// How much rules and ranges may still make.
pub(super) struct Growth(usize);

impl Growth {
    pub(super) fn new() -> Self {
        Self(GROWTH_MAX)
    }

    /// Notes that a line makes so many bytes.
    pub(super) fn spend(&mut self, offset: usize, bytes: usize) -> Result<(), Wrong> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| {
            let message = format!("rules and ranges of this text make more than {GROWTH_MAX} bytes");
            Wrong::new(offset, message, "make such a program with code")
        })?;
        Ok(())
    }
}

/// An image or a tensor whose lines of data are being read.
pub(super) struct Data {
    pub(super) line: usize,
    pub(super) name: String,
    first: Word,
    vectors: u32,
    lanes: usize,
    /// The numbers' format; an image's lines name it, a tensor's title does.
    format: Option<Format>,
    elements: usize,
    /// What each number was made of so far, little-endian.
    bytes: Vec<u8>,
    whole: Option<Content<'static>>,
}

impl Data {
    /// An image of so many vectors.
    pub(super) fn image(line: usize, name: String, place: &Place, vectors: u32, lanes: u32) -> Result<Self, Wrong> {
        if (place.slices, place.words) != (1, 1) {
            return Err(Wrong::new(
                place.offset,
                "an image begins at one word",
                "write its first word, then `vectors`",
            ));
        }
        let (lanes, elements) = (lanes as usize, vectors as usize * lanes as usize);
        let (first, bytes) = (place.first, Vec::new());
        Ok(Self { line, name, first, vectors, lanes, format: None, elements, bytes, whole: None })
    }

    /// A tensor: as many images as its format has byte planes.
    pub(super) fn tensor(
        line: usize,
        name: String,
        format: Format,
        elements: u32,
        place: &Place,
        lanes: u32,
    ) -> Result<Self, Wrong> {
        let planes = u16::from(format.streams());
        if (place.slices, place.words) != (planes, 1) {
            let message =
                format!("a tensor of {format} begins at one word of {planes} slices, one for each byte plane");
            return Err(Wrong::new(place.offset, message, "write a range of slices: 0:w0-3.0.17"));
        }
        let (vectors, first, lanes) = (elements.div_ceil(lanes), place.first, lanes as usize);
        let (format, elements) = (Some(format), elements as usize);
        Ok(Self { line, name, first, vectors, lanes, format, elements, bytes: Vec::new(), whole: None })
    }

    fn width(&self) -> usize {
        self.format.map_or(1, |format| format.streams().into())
    }

    /// Numbers that are still missing.
    fn missing(&self) -> usize {
        self.elements.saturating_sub(self.bytes.len() / self.width())
    }

    /// Reads a line of data.
    pub(super) fn line(&mut self, cursor: &mut Cursor<'_>, growth: &mut Growth) -> Result<(), Wrong> {
        let start = cursor.offset();
        if self.whole.is_some() {
            return Err(Wrong::new(start, "nothing can follow `zero` or `absent`", "remove one of the lines"));
        }
        if cursor.accept("zero") || cursor.peek().is_some_and(|token| token.text == "absent") {
            let zero = !cursor.accept("absent");
            if !self.bytes.is_empty() {
                return Err(Wrong::new(start, "`zero` and `absent` stand alone", "write `fill 0` for the rest"));
            }
            self.whole = Some(if zero { Content::Zero } else { Content::Absent });
            return cursor.end();
        }
        if self.format.is_none() && cursor.accept("hex") {
            return self.hex(cursor);
        }
        let format = self.line_format(cursor)?;
        if let Some(word) = ["fill", "ramp", "random"].into_iter().find(|word| cursor.accept(word)) {
            return self.rule(word, format, cursor, growth);
        }
        while let Some(token) = cursor.peek().cloned() {
            if self.missing() == 0 {
                let message = format!("more numbers than the {} of {:?}", self.elements, short(&self.name));
                return Err(Wrong::new(token.offset, message, "remove them, or make it larger"));
            }
            cursor.take("a number")?;
            let bytes = parse_number(format, &token.text).ok_or_else(|| {
                let message = format!("{:?} is not a number of {format}", short(&token.text));
                Wrong::new(token.offset, message, "write decimal numbers in the format's range")
            })?;
            self.bytes.extend(&bytes[..format.streams().into()]);
        }
        Ok(())
    }

    /// The format of a line's numbers.
    fn line_format(&self, cursor: &mut Cursor<'_>) -> Result<Format, Wrong> {
        let offset = cursor.offset();
        let named = cursor.peek().and_then(|token| Format::parse(&token.text));
        if named.is_some() {
            cursor.take("a format")?;
        }
        match (self.format, named) {
            (None, Some(format)) if format.streams() == 1 => Ok(format),
            (None, Some(format)) => {
                let hint = format!("write `tensor NAME {format} ELEMENTS at PLACE` instead of an image");
                Err(Wrong::new(offset, format!("a lane of an image is one byte, {format} has more"), hint))
            }
            (None, None) => {
                Err(Wrong::new(offset, "a line of an image's data begins with hex, i8, u8, zero or absent", ""))
            }
            (Some(own), Some(other)) if own != other => {
                Err(Wrong::new(offset, format!("the tensor has numbers of {own}, not of {other}"), ""))
            }
            (Some(own), _) => Ok(own),
        }
    }

    fn hex(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Wrong> {
        while let Some(token) = cursor.peek().cloned() {
            cursor.take("bytes")?;
            let wrong = |message| Wrong::new(token.offset, message, "write two hexadecimal digits a byte");
            if !token.text.len().is_multiple_of(2) || !token.text.bytes().all(|c| c.is_ascii_hexdigit()) {
                return Err(wrong("not bytes in hexadecimal".to_owned()));
            }
            if token.text.len() / 2 > self.missing() {
                return Err(wrong(format!("more bytes than the {} of {:?}", self.elements, short(&self.name))));
            }
            let digit = |c: u8| (c as char).to_digit(16).unwrap_or_default() as u8;
            self.bytes.extend(token.text.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])));
        }
        Ok(())
    }

    fn rule(&mut self, word: &str, format: Format, cursor: &mut Cursor<'_>, growth: &mut Growth) -> Result<(), Wrong> {
        let offset = cursor.offset();
        let rule = Rule::parse(word, format, cursor)?;
        let missing = self.missing();
        let count = rule.count.unwrap_or(missing);
        if count > missing {
            let message = format!("count={count}: {missing} numbers of {:?} are missing", short(&self.name));
            return Err(Wrong::new(offset, message, "leave count out to fill it"));
        }
        growth.spend(offset, count * self.width())?;
        self.bytes.reserve_exact(count * self.width());
        for index in 0..count as u64 {
            let bytes = rule.number(format, index).ok_or_else(|| {
                Wrong::new(offset, format!("number {index} of the rule is outside the range of {format}"), "")
            })?;
            self.bytes.extend(&bytes[..format.streams().into()]);
        }
        Ok(())
    }

    /// The images: one for each byte plane, named `NAME.0` and on if there are several.
    pub(super) fn finish(self, growth: &mut Growth) -> Result<Vec<Image<'static>>, Wrong> {
        let planes = self.width();
        let missing = self.missing();
        if missing > 0 && self.whole.is_none() {
            let message = format!("{:?} has {missing} of {} numbers missing", short(&self.name), self.elements);
            let hint = "end it with `fill 0` (an image: `i8 fill 0`), or write `zero` or `absent`";
            return Err(Wrong::new(0, message, hint));
        }
        let length = self.vectors as usize * self.lanes;
        if self.whole.is_none() && self.format.is_some() {
            growth.spend(0, length * planes)?;
        }
        if self.whole.is_none() && self.format.is_none() {
            let content = Content::Bytes(Cow::Owned(self.bytes));
            return Ok(vec![Image { name: self.name, first: self.first, vectors: self.vectors, content }]);
        }
        let plane = |plane: usize| {
            self.whole.clone().unwrap_or_else(|| {
                let mut bytes: Vec<u8> = self.bytes.iter().skip(plane).step_by(planes).copied().collect();
                bytes.resize(length, 0);
                Content::Bytes(Cow::Owned(bytes))
            })
        };
        let images = (0..planes).map(|index| Image {
            name: if planes == 1 { self.name.clone() } else { format!("{}.{index}", self.name) },
            first: Word { slice: self.first.slice + index as u8, ..self.first },
            vectors: self.vectors,
            content: plane(index),
        });
        Ok(images.collect())
    }
}

/// Numbers as a data line writes them, little-endian: `1 -2 0.5`, `fill 0`, `ramp start=0 step=1`,
/// `random seed=7 min=-1 max=1`. Several lines may stand side by side, parted by `;`.
pub fn parse_numbers(text: &str, format: Format, elements: u32) -> Result<Vec<u8>, String> {
    let first = Word { chip: 0, hemisphere: Hemisphere::West, slice: 0, bank: 0, word: 0 };
    let (name, elements) = ("the numbers".to_owned(), elements as usize);
    let format = Some(format);
    let mut data =
        Data { line: 1, name, first, vectors: 0, lanes: 1, format, elements, bytes: Vec::new(), whole: None };
    let mut growth = Growth::new();
    for line in text.split(';') {
        let read = tokens(line).and_then(|tokens| data.line(&mut Cursor::new(line, tokens), &mut growth));
        read.map_err(|wrong| wrong.at(1, line).to_string())?;
    }
    match (data.whole.is_some(), data.missing()) {
        (true, _) => Ok(vec![0; elements * data.width()]),
        (_, 0) => Ok(data.bytes),
        (_, missing) => Err(format!("{missing} of {elements} numbers are missing; end with `; fill 0` to pad")),
    }
}

/// A rule that makes numbers from their index.
struct Rule {
    kind: Kind,
    count: Option<usize>,
}

enum Kind {
    /// `start + step * index`, computed in f64 or exactly.
    Ramp(Real, Real),
    /// The splitmix64 sequence of a seed, spread over a range.
    Random(u64, Real, Real),
}

/// A number before it has a format.
#[derive(Clone, Copy)]
enum Real {
    Integer(i64),
    Float(f64),
}

impl Rule {
    fn parse(word: &str, format: Format, cursor: &mut Cursor<'_>) -> Result<Self, Wrong> {
        let real = |text: &str| match format {
            Format::F32 => number(text).map(Real::Float),
            _ => number(text).map(Real::Integer),
        };
        let of = |n: i32| if format == Format::F32 { Real::Float(n.into()) } else { Real::Integer(n.into()) };
        let (mut count, mut seed) = (None, 0);
        // For `fill` and `ramp` the start and the step, for `random` the least and the greatest number.
        let (mut first, mut second) = (of(0), if word == "fill" { of(0) } else { of(1) });
        if word == "fill" {
            let token = cursor.take("the number")?;
            let wrong = || Wrong::new(token.offset, format!("{:?} is not a number", short(&token.text)), "");
            first = real(&token.text).ok_or_else(wrong)?;
        }
        let names = if word == "random" { ["seed", "min", "max"] } else { ["start", "step", "step"] };
        let names = if word == "fill" { &[][..] } else { &names[..] };
        while let Some(token) = cursor.peek().cloned() {
            cursor.take("a value")?;
            let (name, value) = token.text.split_once('=').unwrap_or((&token.text, ""));
            let known = name == "count" || names.contains(&name);
            let read = match name {
                _ if !known => None,
                "count" => number(value).map(|n| count = Some(n)),
                "seed" => number(value).map(|n| seed = n),
                "start" | "min" => real(value).map(|n| first = n),
                _ => real(value).map(|n| second = n),
            };
            let hint = || format!("{word} takes {}", [names, &["count"]].concat().join("=, ") + "=");
            read.ok_or_else(|| Wrong::new(token.offset, format!("{:?} is wrong here", short(&token.text)), hint()))?;
        }
        let kind = if word == "random" { Kind::Random(seed, first, second) } else { Kind::Ramp(first, second) };
        Ok(Self { kind, count })
    }

    fn number(&self, format: Format, index: u64) -> Option<[u8; 8]> {
        match self.kind {
            Kind::Ramp(Real::Float(start), Real::Float(step)) => Some(float(start + step * index as f64)),
            Kind::Ramp(Real::Integer(start), Real::Integer(step)) => {
                integer(format, i128::from(start) + i128::from(step) * i128::from(index))
            }
            Kind::Random(seed, Real::Float(least), Real::Float(most)) => {
                let unit = (random(seed, index) >> 11) as f64 / (1_u64 << 53) as f64;
                (least <= most).then(|| float(least + (most - least) * unit))
            }
            Kind::Random(seed, Real::Integer(least), Real::Integer(most)) => {
                let span = u128::try_from(i128::from(most) - i128::from(least) + 1).ok().filter(|span| *span > 0)?;
                integer(format, i128::from(least) + (u128::from(random(seed, index)) % span) as i128)
            }
            _ => None,
        }
    }
}

/// splitmix64: number `index` of a seed's sequence.
fn random(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(index.wrapping_add(1)));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn float(value: f64) -> [u8; 8] {
    u64::from((value as f32).to_bits()).to_le_bytes()
}

/// The bytes of an integer that is in the format's range.
fn integer(format: Format, value: i128) -> Option<[u8; 8]> {
    let bits = 8 * u32::from(format.streams());
    let (least, end) = match format {
        Format::U8 | Format::U16 => (0, 1_i128 << bits),
        _ => (-1_i128 << (bits - 1), 1_i128 << (bits - 1)),
    };
    (least..end).contains(&value).then(|| (value as i64).to_le_bytes())
}

fn parse_number(format: Format, text: &str) -> Option<[u8; 8]> {
    match format {
        Format::F32 => number::<f32>(text).map(|value| u64::from(value.to_bits()).to_le_bytes()),
        _ => integer(format, number(text)?),
    }
}
