//! What memory holds before the first run, and where the host reads and writes.

use std::borrow::Cow;

use lockstep_machine::inst::operand::Format;
use lockstep_program::program::{Binding, BindingKind, Content, Image, Word};

use super::layout::Run;

/// Images and bindings.
#[derive(Debug)]
pub(crate) struct Contents {
    lanes: usize,
    pub(crate) images: Vec<Image<'static>>,
    pub(crate) bindings: Vec<Binding>,
}

impl Contents {
    pub(crate) fn new(lanes: usize) -> Self {
        Self { lanes, images: Vec::new(), bindings: Vec::new() }
    }

    /// An image of consecutive words.
    fn push(&mut self, name: String, first: Word, vectors: u32, content: Content<'static>) {
        self.images.push(Image { name, first, vectors, content });
    }

    /// Fills a run with vectors, one image a slice.
    pub(crate) fn fill(&mut self, name: &str, run: Run, vectors: &[Vec<u8>]) {
        let width = usize::from(run.width);
        for part in 0..width.min(vectors.len()) {
            let bytes: Vec<u8> = vectors.iter().skip(part).step_by(width).flatten().copied().collect();
            let first = run.word(part);
            let name = format!("{name}.{}{}", first.hemisphere.letter(), first.slice);
            self.push(name, first, (bytes.len() / self.lanes) as u32, Content::Bytes(Cow::Owned(bytes)));
        }
    }

    /// Zeros in all words of a run.
    pub(crate) fn clear(&mut self, name: &str, run: Run, vectors: usize) {
        let width = usize::from(run.width);
        for part in 0..width {
            let first = run.word(part);
            let name = format!("{name}.{}{}", first.hemisphere.letter(), first.slice);
            self.push(name, first, vectors.div_ceil(width) as u32, Content::Zero);
        }
    }

    /// A constant vector, so many words further than `words`: one image a byte plane.
    pub(crate) fn constant(&mut self, name: &str, words: &[Word], offset: u32, values: &[i32]) {
        for (plane, word) in words.iter().enumerate() {
            let mut bytes: Vec<u8> = values.iter().map(|value| value.to_le_bytes()[plane]).collect();
            bytes.resize(self.lanes, 0);
            let word = Word { word: word.word + offset as u16, ..*word };
            self.push(format!("{name}.{plane}"), word, 1, Content::Bytes(Cow::Owned(bytes)));
        }
    }

    /// A binding of `elements` numbers in the words of its tiles.
    pub(crate) fn binding(
        &mut self,
        name: &str,
        kind: BindingKind,
        format: Format,
        elements: usize,
        tiles: &[Vec<Word>],
    ) {
        let words = tiles.concat();
        if kind == BindingKind::Output {
            // Outputs of other entries hold zeros until those have run.
            for (index, word) in words.iter().enumerate() {
                self.push(format!("{name}.{index}"), *word, 1, Content::Zero);
            }
        }
        self.bindings.push(Binding { name: name.into(), kind, format, elements: elements as u32, words });
    }
}
