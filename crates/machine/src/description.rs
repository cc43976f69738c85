//! Descriptions as TOML: every key has a value and says where the value comes from.

use std::fmt::Write as _;

use toml::Table;

use crate::declared::Declared;
use crate::keys::{KEYS, Key, Range, Value};
use crate::spec::MachineSpec;

/// All that is wrong with a description.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("machine description: {}", .0.join("; "))]
pub struct DescriptionError(pub Vec<String>);

/// A machine and where each of its values comes from, in the order of [`KEYS`].
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// The machine.
    pub machine: MachineSpec,
    /// The sources, one a key.
    pub sources: Vec<String>,
    /// The system that it describes, if it does.
    pub declared: Option<Declared>,
}

const LOCKSTEP1: &str = include_str!("../presets/lockstep1.toml");
const TSP2020: &str = include_str!("../presets/tsp2020.toml");

/// The presets' names and texts.
pub const PRESETS: &[(&str, &str)] = &[("lockstep1", LOCKSTEP1), ("tsp2020", TSP2020)];

/// Bytes of a description's text at most: cables of the largest systems may be listed.
pub const TEXT_BYTES_MAX: usize = 1 << 22;

/// Bytes of a description's name at most.
const NAME_BYTES_MAX: usize = 64;

/// How a value's source begins.
pub const SOURCE_KINDS: &[&str] = &["published", "derived", "chosen"];

impl Description {
    /// A preset by name.
    pub fn preset(name: &str) -> Result<Self, DescriptionError> {
        let known = || PRESETS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        match PRESETS.iter().find(|(preset, _)| *preset == name) {
            Some((_, text)) => Self::parse(text),
            None => Err(DescriptionError(vec![format!("no machine is called {name:?}; known are {}", known())])),
        }
    }

    /// Reads a description; every error is reported, not only the first.
    pub fn parse(text: &str) -> Result<Self, DescriptionError> {
        if text.len() > TEXT_BYTES_MAX {
            let message = format!("{} bytes are too long for a description, at most {TEXT_BYTES_MAX}", text.len());
            return Err(DescriptionError(vec![message]));
        }
        let table: Table = toml::from_str(text).map_err(|error| DescriptionError(vec![not_toml(text, &error)]))?;
        let mut reader = Reader { table, errors: Vec::new() };
        let description = reader.read();
        reader.report_unknown();
        if reader.errors.is_empty() {
            let errors = contradictions(&description.machine);
            return if errors.is_empty() { Ok(description) } else { Err(DescriptionError(errors)) };
        }
        Err(DescriptionError(reader.errors))
    }
}

impl MachineSpec {
    /// A preset's machine.
    pub fn preset(name: &str) -> Result<Self, DescriptionError> {
        Ok(Description::preset(name)?.machine)
    }

    /// The machine as text that reads back to an equal one: what programs carry, and hash.
    pub fn canonical_text(&self) -> String {
        let mut text = format!("name = {:?}\n", self.name);
        for key in KEYS {
            let value = match (key.get)(self) {
                Value::Integer(v) => v.to_string(),
                Value::Number(v) => format!("{v:?}"),
                Value::Flag(v) => v.to_string(),
                Value::Name(v) => format!("{v:?}"),
            };
            let _ = writeln!(text, "{} = {{ value = {value}, source = \"chosen: by this program\" }}", key.path);
        }
        text
    }
}

struct Reader {
    table: Table,
    errors: Vec<String>,
}

impl Reader {
    fn read(&mut self) -> Description {
        let name = match self.table.remove("name") {
            Some(toml::Value::String(name)) if is_name(&name) => name,
            Some(_) => {
                self.errors.push(format!("key name: must be 1 to {NAME_BYTES_MAX} letters, digits and any of - _ ."));
                String::new()
            }
            None => {
                self.errors.push("key name is missing: write name = \"...\"".to_owned());
                String::new()
            }
        };
        let mut machine = MachineSpec { name, ..MachineSpec::default() };
        let mut sources = Vec::new();
        for key in KEYS {
            let read = self.take(key.path).and_then(|entry| parse_entry(key, &entry));
            match read {
                Ok((value, source)) => {
                    (key.set)(&mut machine, &value);
                    sources.push(source);
                }
                Err(error) => self.errors.push(error),
            }
        }
        let topology = self.table.remove("topology");
        let declared = topology.and_then(|table| Declared::read(&table, &mut self.errors));
        Description { machine, sources, declared }
    }

    fn take(&mut self, path: &str) -> Result<toml::Value, String> {
        let (section, name) = path.split_once('.').unwrap_or(("", path));
        let found = self.table.get_mut(section).and_then(toml::Value::as_table_mut).and_then(|t| t.remove(name));
        found.ok_or_else(|| {
            format!("key {path} is missing: write {name} = {{ value = ..., source = \"...\" }} in [{section}]")
        })
    }

    fn report_unknown(&mut self) {
        for (section, value) in &self.table {
            let known = KEYS.iter().any(|key| key.path.split_once('.').is_some_and(|(known, _)| known == section));
            match value.as_table() {
                Some(table) if known => {
                    self.errors.extend(table.keys().map(|name| format!("key {section}.{name} is not known")));
                }
                _ => self.errors.push(format!("key {section} is not known")),
            }
        }
    }
}

/// A name is a word that stands in messages, on command lines, and before a colon.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain)
}

/// Where the text stops being TOML, without the text itself, which may be long.
fn not_toml(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    format!("not TOML: line {line}: {}", error.message().replace('\n', " "))
}

/// Whether a source begins as it must.
pub(crate) fn is_source(source: &str) -> bool {
    SOURCE_KINDS.iter().any(|kind| source.split(':').next() == Some(kind))
}

fn parse_entry(key: &Key, entry: &toml::Value) -> Result<(Value, String), String> {
    let path = key.path;
    let table = entry.as_table().ok_or_else(|| format!("key {path}: write {{ value = ..., source = \"...\" }}"))?;
    if let Some(extra) = table.keys().find(|name| !["value", "source"].contains(&name.as_str())) {
        return Err(format!("key {path}: {extra} is not known; it has value and source"));
    }
    let source = table.get("source").and_then(toml::Value::as_str).unwrap_or_default();
    if !is_source(source) {
        return Err(format!("key {path}: its source must begin with one of {}", SOURCE_KINDS.join(", ")));
    }
    let value = table.get("value").ok_or_else(|| format!("key {path} has no value"))?;
    Ok((parse_value(key, value)?, source.to_owned()))
}

fn parse_value(key: &Key, value: &toml::Value) -> Result<Value, String> {
    let path = key.path;
    match (key.range, value) {
        (Range::Integer(least, most), toml::Value::Integer(v)) => match u64::try_from(*v) {
            Ok(v) if (least..=most).contains(&v) => Ok(Value::Integer(v)),
            _ => Err(format!("key {path}: {v} is not between {least} and {most}")),
        },
        (Range::Integer(least, most), _) => Err(format!("key {path}: must be an integer between {least} and {most}")),
        (Range::Number, toml::Value::Float(v)) if v.is_finite() && *v >= 0.0 => Ok(Value::Number(*v)),
        (Range::Number, toml::Value::Integer(v)) if *v >= 0 => Ok(Value::Number(*v as f64)),
        (Range::Number, _) => Err(format!("key {path}: must be a number of at least 0")),
        (Range::Flag, toml::Value::Boolean(v)) => Ok(Value::Flag(*v)),
        (Range::Flag, _) => Err(format!("key {path}: must be true or false")),
        (Range::Names(names), toml::Value::String(v)) if names.contains(&v.as_str()) => Ok(Value::Name(v.clone())),
        (Range::Names(names), _) => Err(format!("key {path}: must be one of {}", names.join(", "))),
    }
}

/// Values that are each in range but cannot stand together.
fn contradictions(spec: &MachineSpec) -> Vec<String> {
    let mut errors = Vec::new();
    let mut must = |holds: bool, error: &str| {
        if !holds {
            errors.push(error.to_owned());
        }
    };
    must(spec.mem.words_per_slice.is_multiple_of(2), "key mem.words_per_slice: must be even, half of it is a bank");
    must(
        spec.c2c.latency_min_cycles <= spec.c2c.latency_mean_cycles
            && spec.c2c.latency_mean_cycles <= spec.c2c.latency_max_cycles,
        "keys c2c.latency_min_cycles, c2c.latency_mean_cycles, c2c.latency_max_cycles: must not fall",
    );
    must(
        spec.time.epoch_cycles > spec.c2c.slack_max_cycles,
        "keys time.epoch_cycles, c2c.slack_max_cycles: an alignment must take longer than the slack it makes up for",
    );
    must(spec.c2c.links.is_multiple_of(2), "key c2c.links: must be even, half of them leave by each hemisphere");
    must(
        spec.sxm.transposers <= spec.sxm.queues_per_hemisphere,
        "keys sxm.transposers, sxm.queues_per_hemisphere: more transposers than queues",
    );
    must(
        spec.instruction.text_first_slice <= spec.mem.slices_per_hemisphere,
        "keys instruction.text_first_slice, mem.slices_per_hemisphere: text would lie outside the chip",
    );
    must(
        !spec.mxm.wide || spec.mxm.planes_per_hemisphere.is_multiple_of(2),
        "keys mxm.wide, mxm.planes_per_hemisphere: wide tiles need an even number of planes",
    );
    let power = &spec.power;
    let watts = [power.idle_watts, power.average_watts, power.design_watts, power.maximum_watts];
    must(
        watts.is_sorted(),
        "keys power.idle_watts, power.average_watts, power.design_watts, power.maximum_watts: must not fall",
    );
    must(
        spec.instruction.fetch_bytes <= spec.instruction.queue_bytes,
        "keys instruction.fetch_bytes, instruction.queue_bytes: a granule does not fit the queue",
    );
    errors.extend(link_contradictions(spec));
    errors
}

/// The same for links, whose times follow from their rate and the clock.
fn link_contradictions(spec: &MachineSpec) -> Vec<String> {
    let mut errors = Vec::new();
    let needed = spec.link_vector_cycles();
    if u64::from(spec.c2c.vector_cycles) < needed {
        errors.push(format!(
            "keys c2c.vector_cycles, c2c.vector_bytes, c2c.bits_per_second, clock.hertz: a vector needs {needed} cycles"
        ));
    }
    if spec.c2c.vector_bytes < spec.lanes() {
        errors.push(format!("keys c2c.vector_bytes, vector.superlanes: a vector has {} bytes", spec.lanes()));
    }
    if spec.c2c.send_delay <= spec.stagger() {
        errors.push(format!(
            "keys c2c.send_delay, vector.superlanes: the last superlane comes {} cycles after the first",
            spec.stagger()
        ));
    }
    let package = &spec.package;
    if package.chips_per_node - 1 + package.global_links_per_chip > spec.c2c.links {
        errors.push(format!(
            "keys package.chips_per_node, package.global_links_per_chip, c2c.links: a chip of a node needs {} links",
            package.chips_per_node - 1 + package.global_links_per_chip
        ));
    }
    errors
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn presets_read_and_canonical_text_reads_back() {
        for (name, _) in PRESETS {
            let description = Description::preset(name).unwrap();
            assert_eq!(description.machine.name, *name);
            let again = Description::parse(&description.machine.canonical_text()).unwrap();
            assert_eq!(again.machine, description.machine);
        }
    }

    #[test]
    fn every_error_names_its_key() {
        let text = LOCKSTEP1
            .replace("read_delay = { value = 5", "read_delay = { value = -5")
            .replace("alus = { value = 16, source = \"published", "alus = { value = 16, source = \"guessed")
            .replace("[time]", "[time]\nfoo = { value = 1, source = \"chosen: x\" }")
            .replace("barrier_cycles", "barier_cycles");
        let DescriptionError(errors) = Description::parse(&text).unwrap_err();
        for key in ["mem.read_delay", "vxm.alus", "time.foo", "time.barier_cycles", "time.barrier_cycles"] {
            assert!(errors.iter().any(|error| error.contains(key)), "{key}: {errors:?}");
        }
    }

    #[test]
    fn contradictions_are_errors() {
        let text = LOCKSTEP1.replace("words_per_slice = { value = 8192", "words_per_slice = { value = 8191");
        assert!(Description::parse(&text).unwrap_err().to_string().contains("mem.words_per_slice"));
    }
}
