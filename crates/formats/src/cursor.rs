//! Reading little-endian numbers from bytes that may end anywhere.

use crate::Error;
use std::fmt::Display;

/// A position in a byte slice. `what` names the thing being read and is turned into text only for an error.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.at
    }

    pub(crate) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(crate) fn take(&mut self, count: u64, what: impl Display) -> Result<&'a [u8], Error> {
        let left = self.left();
        let length = usize::try_from(count).ok().filter(|&n| n <= left);
        let length = length.ok_or_else(|| Error::truncated(what, count, left))?;
        let taken = &self.bytes[self.at..self.at + length];
        self.at += length;
        Ok(taken)
    }

    pub(crate) fn number<const N: usize>(&mut self, what: impl Display) -> Result<[u8; N], Error> {
        let mut number = [0; N];
        number.copy_from_slice(self.take(N as u64, what)?);
        Ok(number)
    }

    pub(crate) fn u32(&mut self, what: impl Display) -> Result<u32, Error> {
        self.number(what).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, what: impl Display) -> Result<u64, Error> {
        self.number(what).map(u64::from_le_bytes)
    }

    pub(crate) fn string(&mut self, what: impl Display) -> Result<&'a str, Error> {
        let length = self.u64(&what)?;
        let bytes = self.take(length, &what)?;
        std::str::from_utf8(bytes).map_err(|_| Error::damaged(what, "text that is not UTF-8"))
    }
}
