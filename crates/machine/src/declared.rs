//! The table `[topology]` of a description: how many chips, and how they are wired, where a name says neither.

use toml::Table;

use crate::description::{SOURCE_KINDS, is_source};
use crate::network::Cable;
use crate::topology::{CHIPS_MAX, Listed, Topology};

/// What a description says about its system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// How the chips are wired.
    pub topology: Topology,
    /// How many there are.
    pub chips: u32,
    /// Where that comes from.
    pub source: String,
}

/// Its keys; `cables` goes with the kind `listed` alone.
const KEYS: [&str; 4] = ["kind", "chips", "cables", "source"];

impl Declared {
    /// Reads the table; what is wrong is added to `errors`, and then nothing is read.
    pub(crate) fn read(table: &toml::Value, errors: &mut Vec<String>) -> Option<Self> {
        let before = errors.len();
        let Some(table) = table.as_table() else {
            errors.push("key topology: must be a table, [topology]".to_owned());
            return None;
        };
        errors.extend(
            table
                .keys()
                .filter(|key| !KEYS.contains(&key.as_str()))
                .map(|key| format!("key topology.{key} is not known; it has {}", KEYS.join(", "))),
        );
        let chips = table.get("chips").and_then(toml::Value::as_integer).and_then(|chips| u32::try_from(chips).ok());
        let chips = chips.filter(|chips| (1..=CHIPS_MAX).contains(chips));
        if chips.is_none() {
            errors.push(format!("key topology.chips: must be an integer between 1 and {CHIPS_MAX}"));
        }
        let source = table.get("source").and_then(toml::Value::as_str).unwrap_or_default();
        if !is_source(source) {
            errors.push(format!("key topology.source: must begin with one of {}", SOURCE_KINDS.join(", ")));
        }
        let topology = kind(table, chips.unwrap_or_default(), errors)?;
        (errors.len() == before).then(|| Self { topology, chips: chips.unwrap_or_default(), source: source.to_owned() })
    }
}

fn kind(table: &Table, chips: u32, errors: &mut Vec<String>) -> Option<Topology> {
    let kind = table.get("kind").and_then(toml::Value::as_str).unwrap_or_default();
    let topology = match (kind, table.get("cables")) {
        ("listed", Some(toml::Value::Array(cables))) => {
            // The first wrong one will do: there may be millions.
            let cables = cables.iter().enumerate().map_while(|(index, cable)| read_cable(index, cable, errors));
            return Some(Topology::Listed(Listed { chips, cables: cables.collect() }));
        }
        ("listed", _) => {
            errors.push("key topology.cables: write a list of [chip, link, chip, link], each cable once".to_owned());
            return None;
        }
        (kind, None) => Topology::by_name(kind),
        (_, Some(_)) => {
            errors.push("key topology.cables: goes with kind = \"listed\" alone".to_owned());
            return None;
        }
    };
    if topology.is_none() {
        let known = Topology::NAMED.iter().map(Topology::name).collect::<Vec<_>>().join(", ");
        errors.push(format!("key topology.kind: must be one of {known}, listed"));
    }
    topology
}

fn read_cable(index: usize, cable: &toml::Value, errors: &mut Vec<String>) -> Option<Cable> {
    let numbers: Option<Vec<u32>> = cable.as_array().and_then(|numbers| {
        let number = |number: &toml::Value| number.as_integer().and_then(|number| u32::try_from(number).ok());
        numbers.iter().map(number).collect()
    });
    if let Some(&[from_chip, from_link, to_chip, to_link]) = numbers.as_deref()
        && let (Ok(from_link), Ok(to_link)) = (u8::try_from(from_link), u8::try_from(to_link))
    {
        return Some(Cable { from_chip, from_link, to_chip, to_link });
    }
    errors.push(format!("key topology.cables: entry {index} must be [chip, link, chip, link], all counted from 0"));
    None
}
