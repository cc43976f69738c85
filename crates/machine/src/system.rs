//! Systems: one machine, how many chips of it, and how they are wired.
//!
//! `lockstep1` is a chip, `lockstep1:8` a node, `lockstep1:72` a rack: the smallest of the standard shapes of
//! [`Topology`] that holds so many chips. Chips fill nodes, and nodes racks, in order. `lockstep1:ring8` is a ring.

use std::fmt::Write as _;

use crate::description::{Description, DescriptionError, PRESETS};
use crate::figures::{Figures, Wiring};
use crate::network::{Cable, Network, WiringError};
use crate::spec::MachineSpec;
use crate::topology::Topology;

/// Chips of one description, and the cables among them.
#[derive(Clone, Debug, PartialEq)]
pub struct SystemSpec {
    /// The machine, with the source of each of its values.
    pub description: Description,
    /// How many chips, at least 1.
    pub chips: u32,
    /// How they are wired.
    pub topology: Topology,
    network: Network,
    /// For each chip its number in the system of which this is a part, rising; its own where it is a whole.
    places: Vec<u32>,
}

/// A system that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SystemError {
    /// No preset has the name.
    #[error("no machine is called {name:?}; known are {}; or give a file with a description", known())]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// What stands after the colon is no count.
    #[error("{name}:{suffix}: a number of chips follows the colon, such as {name}:8, or {name}:ring8 for a ring")]
    Suffix {
        /// What stands before the colon.
        name: String,
        /// What stands after it.
        suffix: String,
    },
    /// No chips, or more than can be linked.
    #[error("{name}: {chips} chips; its links join 1 to {most}{}", wired(topology))]
    Chips {
        /// The machine.
        name: String,
        /// What was asked for.
        chips: u64,
        /// How they were to be wired.
        topology: &'static str,
        /// The most that can be.
        most: u32,
    },
    /// The cables are not sound.
    #[error("{name}: {}", join(errors))]
    Wiring {
        /// The machine.
        name: String,
        /// What is wrong, all of it.
        errors: Vec<WiringError>,
    },
    /// What is said to be out of order is not there.
    #[error("{name} has no {what}")]
    Absent {
        /// The system.
        name: String,
        /// The chip or link.
        what: String,
    },
    /// The description has errors.
    #[error(transparent)]
    Description(#[from] DescriptionError),
}

fn known() -> String {
    PRESETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}

fn wired(topology: &str) -> String {
    if topology.is_empty() { String::new() } else { format!(" as {topology}") }
}

/// The first few, and how many more.
fn join(errors: &[WiringError]) -> String {
    const SHOWN: usize = 8;
    let mut text = errors.iter().take(SHOWN).map(ToString::to_string).collect::<Vec<_>>().join("; ");
    if errors.len() > SHOWN {
        let _ = write!(text, "; and {} more", errors.len() - SHOWN);
    }
    text
}

/// What a system's name says: `lockstep1:8` is 8 chips of `lockstep1`, `lockstep1:ring8` is 8 of them in a ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemName<'a> {
    /// A preset's name, or a file's path.
    pub machine: &'a str,
    /// How many chips, and how wired.
    pub size: Size,
}

/// How many chips, and how wired, as far as it is said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// How many; without it as the description says, or 1.
    pub chips: Option<u64>,
    /// How wired; without it as the description says, or as the smallest of the standard shapes that holds them.
    pub topology: Option<Topology>,
}

impl Size {
    /// So many chips, and no more is said.
    pub fn chips(chips: u64) -> Self {
        Self { chips: Some(chips), topology: None }
    }
}

impl<'a> SystemName<'a> {
    /// Takes a name apart. The part before the colon may be a file's path, whose own colons do not count.
    pub fn parse(name: &'a str) -> Result<Self, SystemError> {
        let Some((machine, suffix)) = name.rsplit_once(':').filter(|(_, suffix)| !suffix.contains(['/', '\\'])) else {
            return Ok(Self { machine: name, size: Size::default() });
        };
        let wrong = || SystemError::Suffix { name: clipped(machine), suffix: clipped(suffix) };
        let digits = suffix.trim_start_matches(|letter: char| letter.is_ascii_lowercase());
        let kind = &suffix[..suffix.len() - digits.len()];
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        // So many digits that no integer holds them are still a count, and too many chips.
        let chips = Some(digits.parse().unwrap_or(u64::MAX));
        let topology = if kind.is_empty() { None } else { Some(Topology::by_name(kind).ok_or_else(wrong)?) };
        Ok(Self { machine, size: Size { chips, topology } })
    }
}

/// The start of a text, for messages.
fn clipped(text: &str) -> String {
    text.chars().take(64).collect()
}

impl SystemSpec {
    /// A system of a preset, by a name such as `lockstep1:8`.
    pub fn preset(name: &str) -> Result<Self, SystemError> {
        let SystemName { machine, size } = SystemName::parse(name)?;
        if !PRESETS.iter().any(|(preset, _)| *preset == machine) {
            return Err(SystemError::Unknown { name: clipped(machine) });
        }
        Self::new(Description::preset(machine)?, size)
    }

    /// A system of a description's text, such as that of a user's own file.
    pub fn parse(text: &str, size: Size) -> Result<Self, SystemError> {
        Self::new(Description::parse(text)?, size)
    }

    /// Chips of a machine: as many as asked for and so wired, or else as its description says.
    pub fn new(description: Description, size: Size) -> Result<Self, SystemError> {
        let machine = &description.machine;
        let declared = description.declared.as_ref();
        let asked = size.chips.or(declared.map(|declared| declared.chips.into())).unwrap_or(1);
        let count = u32::try_from(asked).unwrap_or(u32::MAX);
        let topology = size.topology.or(declared.map(|declared| declared.topology.clone()));
        let (kind, most) = match &topology {
            Some(topology) => (topology.name(), topology.chips_max(machine)),
            None => ("", chips_max(machine)),
        };
        let name = || machine.name.clone();
        if count == 0 || count > most {
            return Err(SystemError::Chips { name: name(), chips: asked, topology: kind, most });
        }
        let topology = topology.unwrap_or_else(|| Topology::standard(machine, count));
        let network = topology.network(machine, count);
        let network = network.map_err(|errors| SystemError::Wiring { name: name(), errors })?;
        Ok(Self { description, chips: count, topology, network, places: (0..count).collect() })
    }

    /// Some of the chips, rising and numbered anew, so wired.
    pub(crate) fn part(&self, chips: &[u32], topology: Topology) -> Result<Self, SystemError> {
        let size = Size { chips: Some(chips.len() as u64), topology: Some(topology) };
        let places = chips.iter().map(|chip| self.places[*chip as usize]).collect();
        Ok(Self { places, ..Self::new(self.description.clone(), size)? })
    }

    /// For each chip its number in the system of which this is a part; its own where it is a whole.
    pub fn places(&self) -> &[u32] {
        &self.places
    }

    /// The chips of each node of which any are there. Of a part these are the nodes of the whole.
    pub fn nodes(&self) -> Vec<Vec<u32>> {
        let size = self.machine().package.chips_per_node.max(1);
        let node = |chip: u32| self.places[chip as usize] / size;
        let chips: Vec<u32> = (0..self.chips).collect();
        chips.chunk_by(|one, next| node(*one) == node(*next)).map(<[u32]>::to_vec).collect()
    }

    /// The machine of each chip.
    pub fn machine(&self) -> &MachineSpec {
        &self.description.machine
    }

    /// Its chips as a network, for distances and routes.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// All cables, each direction as one, in order of their sending side.
    pub fn cables(&self) -> &[Cable] {
        self.network.cables()
    }

    /// `lockstep1:8`: the name that gives this system, if its machine is a preset and its cables are not listed.
    pub fn name(&self) -> String {
        let standard = self.topology == Topology::standard(self.machine(), self.chips);
        let kind = if standard { "" } else { self.topology.name() };
        format!("{}:{kind}{}", self.machine().name, self.chips)
    }

    /// What follows of its chips.
    pub fn figures(&self) -> Figures {
        Figures::new(self)
    }

    /// What follows of its wiring; thousands of chips of a standard shape take a part of a second.
    pub fn wiring(&self) -> Wiring {
        Wiring::new(self)
    }
}

/// Most chips that the standard shapes join.
pub fn chips_max(spec: &MachineSpec) -> u32 {
    Topology::STANDARD.iter().map(|shape| shape.chips_max(spec)).max().unwrap_or(1)
}
