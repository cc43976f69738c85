//! What memory holds before the first run, and where the host reads and writes.

use std::borrow::Cow;

use lockstep_machine::inst::operand::Format;
use lockstep_program::program::{BindingKind, Content, Image, Word};

use super::layout::Run;

/// What a chip has of a binding.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) kind: BindingKind,
    pub(crate) format: Format,
    /// Elements of the whole vector.
    pub(crate) elements: usize,
    /// The tiles of it that are here.
    pub(crate) tiles: Vec<(usize, Vec<Word>)>,
}

/// Images and bindings.
#[derive(Debug)]
pub(crate) struct Contents {
    lanes: usize,
    pub(crate) images: Vec<Image<'static>>,
    pub(crate) ports: Vec<Port>,
}

impl Contents {
    pub(crate) fn new(lanes: usize) -> Self {
        Self { lanes, images: Vec::new(), ports: Vec::new() }
    }

    /// An image of consecutive words.
    fn push(&mut self, name: String, first: Word, vectors: u32, content: Content<'static>) {
        self.images.push(Image { name, first, vectors, content });
    }

    /// Fills a run with so many vectors, one image a slice; without them the images hold no bytes.
    pub(crate) fn fill(&mut self, name: &str, run: Run, count: usize, vectors: Option<&[Vec<u8>]>) {
        let width = usize::from(run.width);
        for part in 0..width.min(count) {
            let bytes = |vectors: &[Vec<u8>]| vectors.iter().skip(part).step_by(width).flatten().copied().collect();
            let first = run.word(part);
            let name = format!("{name}.{}{}", first.hemisphere.letter(), first.slice);
            self.push(name, first, (count - part).div_ceil(width) as u32, content(vectors.map(bytes)));
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

    /// A constant vector, so many words further than `words`: one image a byte plane, without bytes where there are no
    /// values.
    pub(crate) fn constant(&mut self, name: &str, words: &[Word], offset: u32, values: Option<&[i32]>) {
        for (plane, word) in words.iter().enumerate() {
            let bytes = values.map(|values| {
                let mut bytes: Vec<u8> = values.iter().map(|value| value.to_le_bytes()[plane]).collect();
                bytes.resize(self.lanes, 0);
                bytes
            });
            let word = Word { word: word.word + offset as u16, ..*word };
            self.push(format!("{name}.{plane}"), word, 1, content(bytes));
        }
    }

    /// What is here of a binding.
    pub(crate) fn port(&mut self, port: Port) {
        if port.kind == BindingKind::Output {
            // Outputs of other entries hold zeros until those have run.
            for word in port.tiles.iter().flat_map(|(_, words)| words) {
                self.push(port.name.clone(), *word, 1, Content::Zero);
            }
        }
        self.ports.push(port);
    }
}

fn content(bytes: Option<Vec<u8>>) -> Content<'static> {
    bytes.map_or(Content::Absent, |bytes| Content::Bytes(Cow::Owned(bytes)))
}
