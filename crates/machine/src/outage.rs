//! Chips and links that are out of order: what is left of a system, and where else in it a program can run.

use std::collections::BTreeSet;
use std::fmt;

use crate::network::Cable;
use crate::system::{SystemError, SystemSpec};
use crate::topology::{Listed, Topology};

/// What is out of order. A cable is, in both directions, if a link or a chip at either end is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outage {
    /// Chips.
    pub chips: BTreeSet<u32>,
    /// Links, as (chip, link).
    pub links: BTreeSet<(u32, u8)>,
}

/// A text that names no chips and links.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither a chip, such as 3, nor a link of a chip, such as 0.4; commas part several")]
pub struct OutageTextError(String);

impl std::str::FromStr for Outage {
    type Err = OutageTextError;

    /// Reads `3,0.4`: chip 3, and link 4 of chip 0.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut outage = Self::default();
        for part in text.split(',') {
            let wrong = || OutageTextError(part.chars().take(64).collect());
            match part.trim().split_once('.') {
                None => _ = outage.chips.insert(part.trim().parse().map_err(|_| wrong())?),
                Some((chip, link)) => {
                    let side = chip.parse().ok().zip(link.parse().ok());
                    outage.links.insert(side.ok_or_else(wrong)?);
                }
            }
        }
        Ok(outage)
    }
}

impl fmt::Display for Outage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chips = self.chips.iter().map(|chip| format!("chip {chip}"));
        let links = self.links.iter().map(|(chip, link)| format!("link {chip}.{link}"));
        f.write_str(&chips.chain(links).collect::<Vec<_>>().join(", "))
    }
}

impl Outage {
    /// Whether nothing is out of order.
    pub fn is_empty(&self) -> bool {
        self.chips.is_empty() && self.links.is_empty()
    }

    /// Whether nothing goes over a cable.
    pub fn cuts(&self, cable: &Cable) -> bool {
        [(cable.from_chip, cable.from_link), (cable.to_chip, cable.to_link)]
            .iter()
            .any(|side| self.chips.contains(&side.0) || self.links.contains(side))
    }
}

impl SystemSpec {
    /// Whether all that is said to be out of order is there at all.
    pub fn check(&self, outage: &Outage) -> Result<(), SystemError> {
        let no_chip = |chip: &&u32| **chip >= self.chips;
        let no_link = |(chip, link): &&(u32, u8)| *chip >= self.chips || u32::from(*link) >= self.machine().c2c.links;
        let chip = outage.chips.iter().find(no_chip).map(|chip| format!("chip {chip}"));
        let link = || outage.links.iter().find(no_link).map(|(chip, link)| format!("link {chip}.{link}"));
        if let Some(what) = chip.or_else(link) {
            return Err(SystemError::Absent { name: self.name(), what });
        }
        Ok(())
    }

    /// The chips that work, numbered anew, with the cables that do ([`SystemSpec::places`] has the numbers that they had);
    /// an error where too little is left, or some of it cannot be reached.
    pub fn without(&self, outage: &Outage) -> Result<Self, SystemError> {
        self.check(outage)?;
        if outage.is_empty() {
            return Ok(self.clone());
        }
        let chips: Vec<u32> = (0..self.chips).filter(|chip| !outage.chips.contains(chip)).collect();
        let renamed = |cable: &Cable| {
            let number = |chip| chips.binary_search(&chip).ok().map(|number| number as u32);
            let (from_chip, to_chip) = number(cable.from_chip).zip(number(cable.to_chip))?;
            Some(Cable { from_chip, to_chip, ..*cable })
        };
        let both_ways = self.cables().iter().filter(|cable| !outage.cuts(cable)).filter_map(renamed);
        // Of the two directions of each cable.
        let cables = both_ways.filter(|cable| *cable < cable.reversed()).collect();
        let listed = Topology::Listed(Listed { chips: chips.len() as u32, cables });
        self.part(&chips, listed)
    }

    /// Where a program can run that takes `chips` chips and these cables: for each of its chips one of this system. It is
    /// moved by as few chips as possible, none left out; `None` where nothing that works is wired likewise.
    ///
    /// A node's program can move to any other node, and that of a stretch of a ring along it. A program that spans nodes
    /// is bound to the cables between them and cannot: compile it for what is left.
    pub fn place(&self, chips: u32, cables: &[Cable], outage: &Outage) -> Option<Vec<u32>> {
        let all = self.cables();
        let moved = |by: u32| -> Vec<u32> { (0..chips).map(|chip| (chip + by) % self.chips).collect() };
        let holds = |places: &Vec<u32>| {
            let works = |chip: &u32| !outage.chips.contains(chip);
            let there = |cable: &Cable| {
                let place = |chip: u32| places.get(chip as usize).copied();
                place(cable.from_chip).zip(place(cable.to_chip)).is_some_and(|(from_chip, to_chip)| {
                    let cable = Cable { from_chip, to_chip, ..*cable };
                    all.binary_search(&cable).is_ok() && !outage.cuts(&cable)
                })
            };
            places.iter().all(works) && cables.iter().all(there)
        };
        if chips > self.chips {
            return None;
        }
        (0..self.chips).map(moved).find(holds)
    }
}
