//! On-chip memory: vectors by hemisphere, slice, bank and word, with flipped bits kept beside them.

use std::collections::BTreeMap;

use lockstep_machine::geometry::Hemisphere;
use lockstep_machine::spec::MachineSpec;

use crate::ecc;
use crate::value::{Bytes, LANES};

/// A bank of a slice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bank {
    pub(crate) hemisphere: Hemisphere,
    pub(crate) slice: u8,
    pub(crate) number: u8,
}

/// All banks of a chip. Those that nothing uses take no room, nor do pages of zeros that nothing has written: a bank is
/// made of bytes, which the system gives out zeroed.
#[derive(Debug)]
pub(crate) struct Memory {
    contents: Vec<Option<Vec<u8>>>,
    slices: usize,
    words: usize,
    /// Bits that flipped and were not yet written over.
    upsets: Upsets,
    /// Words read with a flipped bit that was set right.
    pub(crate) corrected: u64,
    /// What there was before, as long as that is kept.
    kept: Option<Kept>,
}

/// Bits that flipped: by bank, word and superlane, positions in the codeword.
type Upsets = BTreeMap<(Bank, u16, u8), Vec<u8>>;

/// What words held before they were written over, and the bits that had flipped.
#[derive(Debug)]
struct Kept {
    words: BTreeMap<(Bank, u16), Bytes>,
    upsets: Upsets,
}

impl Memory {
    pub(crate) fn new(spec: &MachineSpec) -> Self {
        let slices = spec.mem.slices_per_hemisphere as usize;
        Self {
            contents: vec![None; 4 * slices],
            slices,
            words: spec.words_per_bank() as usize,
            upsets: BTreeMap::new(),
            corrected: 0,
            kept: None,
        }
    }

    fn index(&self, at: Bank) -> usize {
        let side = usize::from(at.hemisphere == Hemisphere::East);
        (side * self.slices + usize::from(at.slice)) * 2 + usize::from(at.number)
    }

    /// A word without its check.
    pub(crate) fn word_mut(&mut self, at: Bank, word: usize) -> &mut Bytes {
        let (index, words) = (self.index(at), self.words);
        let bank = self.contents[index].get_or_insert_with(|| vec![0; words * LANES]);
        &mut bank.as_chunks_mut().0[word]
    }

    /// From now on keeps what is written over.
    pub(crate) fn keep(&mut self) {
        self.kept = Some(Kept { words: BTreeMap::new(), upsets: self.upsets.clone() });
    }

    /// Ends keeping; with `undo`, words hold again what they held when it began, flipped bits too.
    pub(crate) fn end_keeping(&mut self, undo: bool) {
        let Some(Kept { words, upsets }) = self.kept.take().filter(|_| undo) else { return };
        for ((at, word), value) in words {
            *self.word_mut(at, word.into()) = value;
        }
        self.upsets = upsets;
    }

    fn note(&mut self, at: Bank, word: usize) {
        if let Some(mut kept) = self.kept.take() {
            kept.words.entry((at, word as u16)).or_insert_with(|| *self.word_mut(at, word));
            self.kept = Some(kept);
        }
    }

    /// Writes a word; flipped bits in it are gone.
    pub(crate) fn write(&mut self, at: Bank, word: usize, value: &Bytes) {
        self.note(at, word);
        *self.word_mut(at, word) = *value;
        if !self.upsets.is_empty() {
            self.upsets.retain(|(bank, flipped, _), _| (*bank, usize::from(*flipped)) != (at, word));
        }
    }

    /// Writes a superlane of a word.
    pub(crate) fn write_superlane(&mut self, at: Bank, word: usize, superlane: usize, bytes: &[u8]) {
        self.note(at, word);
        self.word_mut(at, word)[16 * superlane..16 * superlane + 16].copy_from_slice(bytes);
        self.upsets.remove(&(at, word as u16, superlane as u8));
    }

    /// Reads a word through its check.
    pub(crate) fn read(&mut self, at: Bank, word: usize) -> Result<&Bytes, String> {
        if !self.upsets.is_empty() {
            for superlane in 0..LANES / 16 {
                self.check(at, word, superlane)?;
            }
        }
        Ok(self.word_mut(at, word))
    }

    /// Reads a superlane of a word through its check.
    pub(crate) fn read_superlane(&mut self, at: Bank, word: usize, superlane: usize) -> Result<[u8; 16], String> {
        self.check(at, word, superlane)?;
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.word_mut(at, word)[16 * superlane..16 * superlane + 16]);
        Ok(bytes)
    }

    /// Flips a bit of a superlane's codeword: 0 to 127 are data, from 128 on are check bits.
    pub(crate) fn flip(&mut self, at: Bank, word: usize, superlane: usize, bit: u8) {
        let bit = bit % ecc::Codeword::BITS;
        let bits = self.upsets.entry((at, word as u16, superlane as u8)).or_default();
        match bits.iter().position(|flipped| *flipped == bit) {
            Some(twice) => {
                bits.remove(twice);
            }
            None => bits.push(bit),
        }
    }

    /// Decodes a superlane's codeword if bits of it flipped: what the consumer of a word does.
    fn check(&mut self, at: Bank, word: usize, superlane: usize) -> Result<(), String> {
        let Some(bits) = self.upsets.get(&(at, word as u16, superlane as u8)).cloned() else { return Ok(()) };
        let mut data = [0; 16];
        data.copy_from_slice(&self.word_mut(at, word)[16 * superlane..16 * superlane + 16]);
        let sound = u128::from_le_bytes(data);
        let mut received = ecc::encode(sound);
        for bit in &bits {
            received.flip(*bit);
        }
        match ecc::decode(received) {
            ecc::Decoded::Clean(_) => {}
            ecc::Decoded::Corrected(value) => {
                self.corrected += 1;
                self.word_mut(at, word)[16 * superlane..16 * superlane + 16].copy_from_slice(&value.to_le_bytes());
            }
            ecc::Decoded::Uncorrectable => {
                return Err(format!("superlane {superlane} of word {word} has {} flipped bits", bits.len()));
            }
        }
        Ok(())
    }
}
