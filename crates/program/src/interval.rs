//! How soon an entry could begin anew.

use std::collections::BTreeMap;

use crate::program::{Block, Entry};

/// From when to when a chip is taken.
type Span = (u64, u64);

impl Entry {
    /// The fewest cycles after which the entry could begin anew, again and again, each time for another sequence with
    /// memory of its own: no chip has two things to do at once. What a chip does before its first block, an alignment,
    /// does not count.
    pub fn interval(&self, blocks: &[Block]) -> u64 {
        let mut taken: BTreeMap<u32, Vec<Span>> = BTreeMap::new();
        let mut instances: Vec<_> = self.instances.iter().collect();
        instances.sort_by_key(|instance| (instance.chip, instance.start));
        for instance in instances {
            let Some(block) = blocks.get(instance.block as usize) else { continue };
            let spans = taken.entry(instance.chip).or_default();
            if spans.is_empty() && block.aligns() {
                continue;
            }
            let end = instance.start + block.cycles;
            match spans.last_mut() {
                Some(last) if last.1 >= instance.start => last.1 = last.1.max(end),
                _ => spans.push((instance.start, end)),
            }
        }
        shortest(&taken.into_values().collect::<Vec<_>>())
    }
}

/// The least time so much apart that no chip's spans meet those of an earlier or later beginning.
fn shortest(chips: &[Vec<Span>]) -> u64 {
    let busy = |spans: &Vec<Span>| spans.iter().map(|(start, end)| end - start).sum();
    let mut interval: u64 = chips.iter().map(busy).max().unwrap_or_default();
    loop {
        let pairs = chips.iter().flat_map(|spans| {
            let later = move |at: usize| spans[at + 1..].iter().map(move |later| (spans[at], *later));
            (0..spans.len()).flat_map(later)
        });
        let longer = pairs.map(|(one, later)| apart(one, later, interval)).max().unwrap_or_default();
        if longer <= interval {
            return interval;
        }
        interval = longer;
    }
}

/// The least interval, not below a given one, at which no repetition of a span meets a later span.
fn apart(one: Span, later: Span, interval: u64) -> u64 {
    let distance = later.0 - one.0;
    let (times, rest) = (distance / interval.max(1), distance % interval.max(1));
    // The last repetition that begins before the later span, if it has not ended by then, and the first one after, if it
    // begins too soon, must come when the later span has ended.
    let behind = if rest < one.1 - one.0 { times } else { times + 1 };
    let ends = later.1 - one.0;
    if behind > 0 && behind * interval < ends { ends.div_ceil(behind) } else { interval }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether spans that begin anew after so long never meet, by trying all.
    fn never_meet(spans: &[Span], interval: u64) -> bool {
        let mut taken = vec![false; interval as usize];
        let mut cycles = spans.iter().flat_map(|(start, end)| *start..*end);
        cycles.all(|cycle| !std::mem::replace(&mut taken[(cycle % interval) as usize], true))
    }

    #[test]
    fn an_interval_is_the_shortest_one() {
        let chips = [
            vec![(3, 10)],
            vec![(0, 4), (6, 9)],
            vec![(0, 4), (5, 6), (11, 14)],
            vec![(2, 3), (40, 52), (60, 61), (64, 70), (99, 100)],
            vec![(7, 8), (9, 10), (11, 12), (13, 14)],
        ];
        for some in 1..32_usize {
            let some: Vec<Vec<Span>> =
                (0..5).filter(|chip| some >> chip & 1 == 1).map(|chip| chips[chip].clone()).collect();
            let all = |interval: &u64| some.iter().all(|spans| never_meet(spans, *interval));
            assert_eq!(Some(shortest(&some)), (1..=100).find(all), "{some:?}");
        }
        assert_eq!(shortest(&[]), 0);
    }
}
