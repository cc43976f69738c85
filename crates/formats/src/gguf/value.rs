//! Metadata values. Lists stay in the file's bytes, so a vocabulary of any size costs no memory here.

use crate::Error;
use crate::cursor::Cursor;
use std::fmt::Display;

/// Arrays inside arrays inside arrays: no writer goes deeper.
const DEPTH_MAX: usize = 4;

pub(super) const BOOL: u32 = 7;
pub(super) const STRING: u32 = 8;
pub(super) const ARRAY: u32 = 9;
pub(super) const UNSIGNED: u32 = 10;
pub(super) const SIGNED: u32 = 11;
pub(super) const FLOAT: u32 = 12;

/// A metadata value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// Any unsigned integer.
    Unsigned(u64),
    /// Any signed integer.
    Signed(i64),
    /// Any float.
    Float(f64),
    /// True or false.
    Bool(bool),
    /// Text.
    String(&'a str),
    /// A list, read again from its bytes whenever it is iterated.
    Array(Array<'a>),
}

impl Value<'_> {
    /// What it is, in words for a message; texts and lists are not repeated.
    pub(super) fn described(&self) -> String {
        match self {
            Self::Unsigned(number) => format!("the whole number {number}"),
            Self::Signed(number) => format!("the whole number {number}"),
            Self::Float(number) => format!("the number {number:?}"),
            Self::Bool(flag) => flag.to_string(),
            Self::String(text) => format!("a text of {} bytes", text.len()),
            Self::Array(array) => format!("a list of {}", array.length),
        }
    }
}

/// A list of values of one type, checked when the file was parsed.
#[derive(Clone, Debug, PartialEq)]
pub struct Array<'a> {
    pub(super) kind: u32,
    pub(super) length: usize,
    pub(super) bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The elements.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        let kind = self.kind;
        // The bytes were walked once by `parse`, so reading them again does not fail.
        (0..self.length).map_while(move |_| read_value(&mut cursor, kind, &"array", 0).ok())
    }
}

/// Bytes of one value of a type, where all values of it have as many.
fn fixed_bytes(kind: u32) -> Option<u64> {
    match kind {
        0 | 1 | BOOL => Some(1),
        2 | 3 => Some(2),
        4..=6 => Some(4),
        UNSIGNED..=FLOAT => Some(8),
        _ => None,
    }
}

/// Reads a value of the type `kind`; `depth` counts the arrays around it.
pub(super) fn read_value<'a>(
    cursor: &mut Cursor<'a>,
    kind: u32,
    key: &dyn Display,
    depth: usize,
) -> Result<Value<'a>, Error> {
    Ok(match kind {
        0 => Value::Unsigned(u64::from(cursor.number::<1>(key)?[0])),
        1 => Value::Signed(i64::from(i8::from_le_bytes(cursor.number(key)?))),
        2 => Value::Unsigned(u64::from(u16::from_le_bytes(cursor.number(key)?))),
        3 => Value::Signed(i64::from(i16::from_le_bytes(cursor.number(key)?))),
        4 => Value::Unsigned(u64::from(cursor.u32(key)?)),
        5 => Value::Signed(i64::from(i32::from_le_bytes(cursor.number(key)?))),
        6 => Value::Float(f64::from(f32::from_le_bytes(cursor.number(key)?))),
        BOOL => match cursor.number::<1>(key)?[0] {
            0 => Value::Bool(false),
            1 => Value::Bool(true),
            other => return Err(Error::damaged(key, format!("{other} is neither true nor false"))),
        },
        STRING => Value::String(cursor.string(key)?),
        ARRAY => Value::Array(read_array(cursor, key, depth + 1)?),
        UNSIGNED => Value::Unsigned(cursor.u64(key)?),
        SIGNED => Value::Signed(i64::from_le_bytes(cursor.number(key)?)),
        FLOAT => Value::Float(f64::from_le_bytes(cursor.number(key)?)),
        other => return Err(Error::damaged(key, format!("value type {other} does not exist"))),
    })
}

fn read_array<'a>(cursor: &mut Cursor<'a>, key: &dyn Display, depth: usize) -> Result<Array<'a>, Error> {
    if depth > DEPTH_MAX {
        return Err(Error::damaged(key, "lists are nested too deeply"));
    }
    let kind = cursor.u32(key)?;
    if kind > FLOAT {
        return Err(Error::damaged(key, format!("value type {kind} does not exist")));
    }
    let count = cursor.u64(key)?;
    // A text takes at least its length, a list its type and length: the file backs the count before any walk.
    let each_min = fixed_bytes(kind).unwrap_or(if kind == STRING { 8 } else { 12 });
    let left = cursor.left();
    let needed = count.saturating_mul(each_min);
    let length = usize::try_from(count).ok().filter(|_| needed <= left as u64);
    let length = length.ok_or_else(|| Error::truncated(key, needed, left))?;
    let start = cursor.clone();
    if kind != BOOL && fixed_bytes(kind).is_some() {
        cursor.take(needed, key)?;
    } else {
        for _ in 0..length {
            read_value(cursor, kind, key, depth)?;
        }
    }
    let size = (cursor.position() - start.position()) as u64;
    let bytes = start.clone().take(size, key)?;
    Ok(Array { kind, length, bytes })
}
