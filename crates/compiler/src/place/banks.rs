//! How much of each bank is given out: asked for each value's every place, so it is a table.

use lockstep_machine::geometry::Hemisphere;

/// A bank of a slice.
pub(crate) type Bank = (Hemisphere, u8, u8);

/// Words given out, from the bottom of each bank.
#[derive(Clone, Debug)]
pub(crate) struct Used {
    words: Vec<u32>,
    slices: usize,
}

impl Used {
    /// Nothing of so many slices in each hemisphere.
    pub(crate) fn new(slices: usize) -> Self {
        Self { words: vec![0; 2 * slices * 2], slices }
    }

    pub(crate) fn get(&self, bank: Bank) -> u32 {
        self.words[self.index(bank)]
    }

    pub(crate) fn set(&mut self, bank: Bank, words: u32) {
        let index = self.index(bank);
        self.words[index] = words;
    }

    /// Banks in which more is given out than before, and how much.
    pub(crate) fn grown_since(&self, before: &Self) -> Vec<(Bank, u32)> {
        let sides = [Hemisphere::West, Hemisphere::East].into_iter();
        let slices = sides.flat_map(|side| (0..self.slices as u8).map(move |slice| (side, slice)));
        let banks = slices.flat_map(|(side, slice)| [(side, slice, 0), (side, slice, 1)]);
        banks.map(|bank| (bank, self.get(bank) - before.get(bank))).filter(|(_, words)| *words > 0).collect()
    }

    fn index(&self, (hemisphere, slice, bank): Bank) -> usize {
        (usize::from(hemisphere == Hemisphere::East) * self.slices + usize::from(slice)) * 2 + usize::from(bank)
    }
}
