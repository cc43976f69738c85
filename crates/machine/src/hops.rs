//! How far apart the chips of a network are.

use crate::network::Network;

/// How many pairs of different chips are how many hops apart. The two directions of a pair count as two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hops {
    /// Entry h: pairs that are h hops apart. The first is 0 and the last is not, unless there is one chip alone.
    pub pairs: Vec<u64>,
}

impl Hops {
    /// Counts the pairs of a network.
    pub fn new(network: &Network) -> Self {
        let chips = network.chips();
        let mut pairs = vec![0];
        for first in (0..chips).step_by(64) {
            count_from(first..chips.min(first + 64), network, &mut pairs);
        }
        Self { pairs }
    }

    /// The longest of all shortest routes.
    pub fn diameter(&self) -> usize {
        self.pairs.len() - 1
    }

    /// All pairs.
    pub fn all(&self) -> u64 {
        self.pairs.iter().sum()
    }

    /// Pairs that are at most so many hops apart.
    pub fn within(&self, hops: usize) -> u64 {
        self.pairs.iter().take(hops.saturating_add(1)).sum()
    }

    /// The hops of all pairs together: over `all`, the mean.
    pub fn total(&self) -> u64 {
        (0..).zip(&self.pairs).map(|(hops, pairs)| hops * pairs).sum()
    }
}

/// Adds the pairs of up to 64 sources: a search from each, all at once, a bit a source.
fn count_from(sources: std::ops::Range<u32>, network: &Network, pairs: &mut Vec<u64>) {
    let nothing = vec![0_u64; network.chips() as usize];
    // Which sources reached a chip; which did so in this step; which will in the next, those that had among them.
    let (mut seen, mut now, mut next) = (nothing.clone(), nothing.clone(), nothing);
    let mut active: Vec<u32> = sources.clone().collect();
    for (bit, source) in sources.enumerate() {
        seen[source as usize] = 1 << bit;
        now[source as usize] = 1 << bit;
    }
    for hops in 1.. {
        let mut touched = Vec::new();
        for chip in active {
            let arrived = std::mem::take(&mut now[chip as usize]);
            for cable in network.leaving(chip) {
                let beyond = &mut next[cable.to_chip as usize];
                if *beyond == 0 {
                    touched.push(cable.to_chip);
                }
                *beyond |= arrived;
            }
        }
        let mut count = 0;
        for chip in &touched {
            let chip = *chip as usize;
            let new = std::mem::take(&mut next[chip]) & !seen[chip];
            (now[chip], seen[chip]) = (new, seen[chip] | new);
            count += u64::from(new.count_ones());
        }
        if count == 0 {
            break;
        }
        pairs.resize(pairs.len().max(hops + 1), 0);
        pairs[hops] += count;
        active = touched;
        active.retain(|chip| now[*chip as usize] != 0);
    }
}
