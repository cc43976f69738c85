//! Descriptions that cannot stand: every error names its key, and nothing panics.
#![allow(missing_docs, clippy::unwrap_used)]

use lockstep_machine::description::{Description, PRESETS, SOURCE_KINDS, TEXT_BYTES_MAX};
use lockstep_machine::keys::{KEYS, Range};
use proptest::prelude::*;

fn lockstep1() -> &'static str {
    PRESETS[0].1
}

fn errors(text: &str) -> Vec<String> {
    Description::parse(text).map_or_else(|error| error.0, |_| Vec::new())
}

/// The preset with the line of one key put in another way.
fn with_line(path: &str, line: &str) -> String {
    let (section, name) = path.split_once('.').unwrap();
    let mut inside = false;
    let mut replaced = 0;
    let mut text = String::new();
    for old in lockstep1().lines() {
        if old.starts_with('[') {
            inside = old == format!("[{section}]");
        }
        let hit = inside && old.starts_with(&format!("{name} ="));
        replaced += usize::from(hit);
        text.push_str(if hit { line } else { old });
        text.push('\n');
    }
    assert_eq!(replaced, 1, "{path}");
    text
}

fn with_value(path: &str, value: &str) -> String {
    let (_, name) = path.split_once('.').unwrap();
    with_line(path, &format!("{name} = {{ value = {value}, source = \"chosen: a test\" }}"))
}

#[track_caller]
fn names_only(text: &str, path: &str) {
    let errors = errors(text);
    assert!(errors.iter().any(|error| error.contains(path)), "{path}: {errors:?}");
    assert_eq!(errors.len(), 1, "{path}: {errors:?}");
}

#[test]
fn a_missing_key_is_named() {
    for key in KEYS {
        names_only(&with_line(key.path, ""), key.path);
    }
}

#[test]
fn a_value_of_another_type_or_range_is_named() {
    for key in KEYS {
        for value in ["-1", "-1.5", "\"many\"", "[]", "{}", "nan", "9223372036854775807", "1970-01-01"] {
            let huge = value.starts_with('9') && key.range == Range::Number;
            if !huge {
                names_only(&with_value(key.path, value), key.path);
            }
        }
        if let Range::Integer(least, most) = key.range {
            names_only(&with_value(key.path, &(most + 1).to_string()), key.path);
            if least > 0 {
                names_only(&with_value(key.path, &(least - 1).to_string()), key.path);
            }
        }
    }
}

#[test]
fn a_value_without_source_is_named() {
    for key in KEYS {
        let (_, name) = key.path.split_once('.').unwrap();
        for entry in ["1", "{ value = 1 }", "{ value = 1, source = 3 }", "{ value = 1, source = \"heard: it\" }"] {
            names_only(&with_line(key.path, &format!("{name} = {entry}")), key.path);
        }
        names_only(&with_line(key.path, &format!("{name} = {{ source = \"chosen: it\" }}")), key.path);
        let extra = format!("{name} = {{ value = 1, source = \"chosen: it\", unit = \"m\" }}");
        names_only(&with_line(key.path, &extra), key.path);
    }
}

#[test]
fn values_that_contradict_each_other_are_named() {
    let check = |path: &str, value: &str| {
        let errors = errors(&with_value(path, value));
        assert!(errors.iter().any(|error| error.contains(path)), "{path} = {value}: {errors:?}");
    };
    check("mem.words_per_slice", "8191");
    check("c2c.links", "15");
    check("c2c.links", "10"); // a node's mesh and its global links need 11
    check("c2c.latency_max_cycles", "208");
    check("c2c.latency_mean_cycles", "229");
    check("c2c.vector_cycles", "23");
    check("c2c.bits_per_second", "50_000_000_000");
    check("clock.hertz", "1_800_000_000");
    check("c2c.vector_bytes", "319");
    check("c2c.send_delay", "19");
    check("sxm.transposers", "15");
    check("instruction.text_first_slice", "45");
    check("instruction.fetch_bytes", "1296");
    check("mxm.planes_per_hemisphere", "3");
    check("power.idle_watts", "190.0");
    check("power.maximum_watts", "200.0");
    check("package.chips_per_node", "14");
}

#[test]
fn what_is_not_known_is_named() {
    let text = lockstep1();
    names_only(&format!("{text}\n[cache]\n"), "cache");
    names_only(&format!("{text}\n[cache]\nbytes = {{ value = 1, source = \"chosen: x\" }}\n"), "cache");
    names_only(&format!("colour = 1\n{text}"), "colour");
    names_only(&text.replace("[time]", "[time]\ncolour = 1"), "time.colour");
}

#[test]
fn names_are_words() {
    let long = "x".repeat(65);
    for name in ["", "a b", "lockstep1:8", "a\\nb", "é", long.as_str()] {
        names_only(&lockstep1().replace("name = \"lockstep1\"", &format!("name = \"{name}\"")), "key name");
    }
    names_only(&lockstep1().replace("name = \"lockstep1\"", ""), "key name");
    names_only(&lockstep1().replace("name = \"lockstep1\"", "name = 3"), "key name");
}

#[test]
fn texts_that_are_no_description_end_in_short_errors() {
    for text in [
        String::new(),
        "[".repeat(100_000),
        "x = [".repeat(10_000),
        format!("x = {}", "{ a = ".repeat(10_000)),
        "a.".repeat(10_000) + "b = 1",
        " ".repeat(TEXT_BYTES_MAX + 1),
        "x".repeat(TEXT_BYTES_MAX),
    ] {
        let errors = errors(&text);
        assert!(!errors.is_empty());
        assert!(errors.iter().all(|error| error.len() < 400), "{:?}", errors[0].get(..400));
    }
    assert!(errors(&" ".repeat(TEXT_BYTES_MAX + 1))[0].contains("too long"));
    assert!(errors("name = \"x\"\nclock = ")[0].contains("line 2"));
}

/// Each value of the presets says where it comes from, and a published one from which publication.
#[test]
fn every_value_of_a_preset_has_a_source() {
    for (name, _) in PRESETS {
        let description = Description::preset(name).unwrap();
        assert_eq!(description.sources.len(), KEYS.len());
        for (key, source) in KEYS.iter().zip(&description.sources) {
            let (kind, rest) = source.split_once(": ").unwrap();
            assert!(SOURCE_KINDS.contains(&kind) && !rest.is_empty(), "{name} {}: {source}", key.path);
        }
    }
}

/// What stands in a description can be read back, so an accepted one has a canonical text.
fn sound(text: &str) -> Result<(), TestCaseError> {
    match Description::parse(text) {
        Ok(description) => {
            let again = Description::parse(&description.machine.canonical_text()).unwrap();
            prop_assert_eq!(again.machine, description.machine);
        }
        Err(error) => prop_assert!(!error.0.is_empty()),
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..Default::default() })]

    #[test]
    fn damaged_bytes_never_panic(damage in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
        let mut bytes = lockstep1().as_bytes().to_vec();
        for (at, byte) in damage {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
        }
        sound(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn pieces_out_of_place_never_panic(from in any::<u16>(), length in 1..400_usize, to in any::<u16>(), cut in any::<bool>()) {
        let mut text = lockstep1().to_owned();
        let from = usize::from(from) % text.len();
        let piece = text[from..(from + length).min(text.len())].to_owned();
        if cut {
            text.replace_range(from..from + piece.len(), "");
        }
        let to = usize::from(to) % text.len();
        text.insert_str(to, &piece);
        sound(&text)?;
    }

    #[test]
    fn any_numbers_never_panic(key in 0..KEYS.len(), value in prop_oneof![any::<i64>(), -3..400_i64]) {
        sound(&with_value(KEYS[key].path, &value.to_string()))?;
    }
}
