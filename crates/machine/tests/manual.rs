//! The manual is current and whole, and its examples are lawful.
#![allow(missing_docs, clippy::unwrap_used)]

use lockstep_machine::access::accesses;
use lockstep_machine::description::{Description, PRESETS};
use lockstep_machine::inst::operand::{AluOp, ReduceOp, TileKind};
use lockstep_machine::inst::{Class, Inst, TABLE};
use lockstep_machine::legal;
use lockstep_machine::manual::{COMMAND, examples, manual};
use lockstep_machine::spec::MachineSpec;

#[test]
fn the_committed_manual_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/isa.md");
    let held = std::fs::read_to_string(path).unwrap_or_default();
    let made = manual(&Description::preset("lockstep1").unwrap());
    let differs = held.lines().zip(made.lines()).position(|(held, made)| held != made).map_or(0, |line| line + 1);
    assert!(held == made, "docs/isa.md is old (from line {differs} on); run `{COMMAND}`");
}

#[test]
fn every_instruction_and_function_is_in_the_manual_of_every_preset() {
    for (preset, _) in PRESETS {
        let description = Description::preset(preset).unwrap();
        let (text, spec) = (manual(&description), &description.machine);
        let has = |part: &str| assert!(text.contains(part), "{preset}: {part}");
        for definition in TABLE {
            has(&format!("\n### `{}`\n\n{}", definition.mnemonic, definition.doc.trim().split(' ').next().unwrap()));
            for field in definition.fields {
                has(&format!("| `{}` | ", field.name));
                has(field.doc.trim());
            }
        }
        let alu = AluOp::ALL.iter().map(|op| format!("| {} | {} |", op.delay(spec), op.doc()));
        let reduce = ReduceOp::ALL.iter().map(|op| format!("| `{op}` | {} |", op.doc()));
        let tiles = TileKind::ALL.iter().map(|kind| format!(" | {} |", kind.doc()));
        for part in alu.chain(reduce).chain(tiles) {
            has(&part);
        }
    }
}

#[test]
fn every_instruction_has_a_lawful_example() {
    let lockstep1 = MachineSpec::preset("lockstep1").unwrap();
    let tsp2020 = MachineSpec::preset("tsp2020").unwrap();
    let examples = examples();
    for definition in TABLE {
        assert!(
            examples.iter().any(|example| example.inst.mnemonic() == definition.mnemonic),
            "{}",
            definition.mnemonic
        );
    }
    for example in examples {
        // Only queues of the older machine fetch their text.
        let spec = if matches!(example.inst, Inst::Fetch { .. }) { &tsp2020 } else { &lockstep1 };
        legal::check(&example.inst, example.queue, spec).unwrap_or_else(|why| panic!("{}: {why}", example.inst));
    }
}

#[test]
fn every_instruction_but_control_of_time_touches_something() {
    let spec = MachineSpec::preset("lockstep1").unwrap();
    for example in examples() {
        let mut count = 0;
        accesses(&example.inst.into(), example.queue, &spec, &mut |_| count += 1);
        let acts = matches!(example.inst, Inst::Fetch { .. } | Inst::RuntimeDeskew { .. });
        let only_time = example.inst.class() == Class::Control && !acts;
        assert_eq!(count == 0, only_time, "{}: {count} accesses", example.inst);
    }
}
