//! Chips and the cables among them: checks, distances, shortest routes.

use std::collections::BTreeMap;

/// A link of one chip that leads to a link of another, in one direction; the cable's other direction is its reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cable {
    /// The sending chip.
    pub from_chip: u32,
    /// Its link.
    pub from_link: u8,
    /// The receiving chip.
    pub to_chip: u32,
    /// Its link.
    pub to_link: u8,
}

impl Cable {
    /// The other direction.
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { from_chip: self.to_chip, from_link: self.to_link, to_chip: self.from_chip, to_link: self.from_link }
    }
}

impl std::fmt::Display for Cable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { from_chip, from_link, to_chip, to_link } = self;
        write!(f, "chip {from_chip} link {from_link} to chip {to_chip} link {to_link}")
    }
}

/// What is wrong with a network's cables.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WiringError {
    /// A cable ends at a chip that is not there.
    #[error("{cable}: there are {chips} chips, counted from 0")]
    Chip {
        /// The cable.
        cable: Cable,
        /// How many chips there are.
        chips: u32,
    },
    /// A cable ends at a link that is not there.
    #[error("{cable}: a chip has {links} links, counted from 0")]
    Link {
        /// The cable.
        cable: Cable,
        /// How many links a chip has.
        links: u32,
    },
    /// A cable joins a chip with itself.
    #[error("{cable}: joins a chip with itself")]
    Own {
        /// The cable.
        cable: Cable,
    },
    /// Two cables end at one link.
    #[error("chip {chip} link {link} has two cables: {first}, and {second}")]
    Twice {
        /// The chip.
        chip: u32,
        /// Its link.
        link: u8,
        /// A cable.
        first: Cable,
        /// Another.
        second: Cable,
    },
    /// The other direction of a cable is missing.
    #[error("{cable}: nothing leads back")]
    OneWay {
        /// The direction that is there.
        cable: Cable,
    },
    /// Some chips cannot be reached.
    #[error("no cables lead from chip 0 to chip {chip}{}", others(*more))]
    Apart {
        /// The first of them.
        chip: u32,
        /// How many others there are.
        more: u32,
    },
}

fn others(more: u32) -> String {
    if more == 0 { String::new() } else { format!(", nor to {more} more") }
}

/// Chips whose cables are sound: each link has one cable at most, each cable leads both ways, and every chip is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// In order; each direction is one.
    cables: Vec<Cable>,
    /// For each chip the first of its cables, and their end: chips + 1 numbers.
    first: Vec<usize>,
}

/// The distance of what cannot be reached.
const UNREACHED: u32 = u32::MAX;

impl Network {
    /// A network of chips 0 to `chips` - 1 with `links` links each, or all that is wrong with it.
    pub fn new(chips: u32, links: u32, mut cables: Vec<Cable>) -> Result<Self, Vec<WiringError>> {
        cables.sort_unstable();
        let errors = wrong_ends(chips, links, &cables);
        if !errors.is_empty() {
            return Err(errors);
        }
        let starts = (0..=chips).map(|chip| cables.partition_point(|cable| cable.from_chip < chip));
        let network = Self { first: starts.collect(), cables };
        match network.apart() {
            Some(error) => Err(vec![error]),
            None => Ok(network),
        }
    }

    fn apart(&self) -> Option<WiringError> {
        let mut apart = (0..).zip(self.distances(0)).filter(|(_, hops)| *hops == UNREACHED);
        let (chip, _) = apart.next()?;
        Some(WiringError::Apart { chip, more: apart.count() as u32 })
    }

    /// How many chips there are.
    pub fn chips(&self) -> u32 {
        self.first.len() as u32 - 1
    }

    /// All cables in order of their sending side, each direction as one.
    pub fn cables(&self) -> &[Cable] {
        &self.cables
    }

    /// The cables by which a chip sends, in order of its links.
    pub fn leaving(&self, chip: u32) -> &[Cable] {
        let chip = chip as usize;
        &self.cables[self.first[chip]..self.first[chip + 1]]
    }

    /// Hops from each chip to `to`, or as many from there to each.
    pub fn distances(&self, to: u32) -> Vec<u32> {
        let mut hops = vec![UNREACHED; self.first.len() - 1];
        hops[to as usize] = 0;
        let mut reached = vec![to];
        let mut next = 0;
        while let Some(chip) = reached.get(next).copied() {
            next += 1;
            let further = hops[chip as usize] + 1;
            for cable in self.leaving(chip) {
                let beyond = &mut hops[cable.to_chip as usize];
                if *beyond == UNREACHED {
                    *beyond = further;
                    reached.push(cable.to_chip);
                }
            }
        }
        hops
    }

    /// A tree of shortest routes from chip 0 to each other chip: the cable by which each is reached, in their order.
    pub fn tree(&self) -> Vec<Cable> {
        let to_root = self.routes_to(0);
        (1..self.chips()).filter_map(|chip| to_root.next(chip).next()).map(Cable::reversed).collect()
    }

    /// Levels of that tree: the most hops from chip 0.
    pub fn tree_height(&self) -> u32 {
        self.distances(0).into_iter().max().unwrap_or_default()
    }

    /// All shortest routes to a chip.
    pub fn routes_to(&self, to: u32) -> Routes<'_> {
        Routes { network: self, hops: self.distances(to) }
    }
}

/// The shortest routes from everywhere to one chip.
#[derive(Clone, Debug)]
pub struct Routes<'a> {
    network: &'a Network,
    hops: Vec<u32>,
}

impl<'a> Routes<'a> {
    /// Hops from a chip.
    pub fn hops(&self, from: u32) -> u32 {
        self.hops[from as usize]
    }

    /// All cables of a chip that begin a shortest route, in order of its links; none at the destination itself.
    pub fn next(&self, from: u32) -> impl Iterator<Item = Cable> + use<'a, '_> {
        let here = self.hops(from);
        self.network.leaving(from).iter().copied().filter(move |cable| self.hops(cable.to_chip) < here)
    }

    /// One shortest route: at each chip the first of the cables that `next` gives.
    pub fn path(&self, from: u32) -> Vec<Cable> {
        std::iter::successors(self.next(from).next(), |cable| self.next(cable.to_chip).next()).collect()
    }
}

/// Cables that end where no cable may.
fn wrong_ends(chips: u32, links: u32, cables: &[Cable]) -> Vec<WiringError> {
    let mut errors = Vec::new();
    let mut known: BTreeMap<(u32, u8), Cable> = BTreeMap::new();
    for cable in cables.iter().copied() {
        if cable.from_chip.max(cable.to_chip) >= chips {
            errors.push(WiringError::Chip { cable, chips });
        }
        if u32::from(cable.from_link.max(cable.to_link)) >= links {
            errors.push(WiringError::Link { cable, links });
        }
        if cable.from_chip == cable.to_chip {
            errors.push(WiringError::Own { cable });
        }
        if let Some(first) = known.insert((cable.from_chip, cable.from_link), cable) {
            let (chip, link) = (cable.from_chip, cable.from_link);
            errors.push(WiringError::Twice { chip, link, first, second: cable });
        }
    }
    if errors.is_empty() {
        let leads_back = |cable: &&Cable| known.get(&(cable.to_chip, cable.to_link)) == Some(&cable.reversed());
        let one_way = cables.iter().filter(|cable| !leads_back(cable));
        errors.extend(one_way.map(|cable| WiringError::OneWay { cable: *cable }));
    }
    errors
}
