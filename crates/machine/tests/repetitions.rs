//! What a repetition touches is what its instruction touches, moved on.
#![allow(missing_docs, clippy::unwrap_used)]

use lockstep_machine::access::{Access, Repeated, accesses};
use lockstep_machine::geometry::Queue;
use lockstep_machine::inst::field::Stride;
use lockstep_machine::manual::examples;
use lockstep_machine::spec::MachineSpec;

fn touched(issue: &Repeated, queue: Queue, spec: &MachineSpec) -> Vec<Access> {
    let mut all = Vec::new();
    accesses(issue, queue, spec, &mut |access| all.push(access));
    all
}

#[test]
fn places_move_on_with_their_instructions() {
    let spec = MachineSpec::preset("lockstep1").unwrap();
    let mut moved = 0;
    for example in examples() {
        for (count, words, rows) in [(1, 1, 0), (3, -40, 2), (9, 0, -1), (65_535, i16::MAX, 0)] {
            let Some(repeated) = example.inst.repeated(count, Stride(words), Stride(rows)) else { continue };
            let (words, rows) = (count as i32 * i32::from(words), count as i32 * i32::from(rows));
            let first = touched(&example.inst.into(), example.queue, &spec);
            let expected: Vec<Access> =
                first.iter().map(|access| Access { place: access.place.moved(words, rows), ..*access }).collect();
            assert_eq!(touched(&repeated, example.queue, &spec), expected, "{}", example.inst);
            moved += usize::from(first != expected);
        }
    }
    assert!(moved > 20, "only {moved} examples have moved");
}
