//! Instructions for tests: any that the encoding can hold.
#![allow(dead_code, clippy::unwrap_used)]

use lockstep_machine::inst::field::{Field, Stream};
use lockstep_machine::inst::operand::{Address, Destination, Format, LaneMap, Slot, Source};
use lockstep_machine::inst::{Definition, FieldDefinition, Inst, TABLE};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

/// Runs so many cases, the same ones each time.
pub(crate) fn runner(cases: u32) -> TestRunner {
    let config = ProptestConfig { cases, failure_persistence: None, ..Default::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

/// Any stream.
fn stream() -> impl Strategy<Value = Stream> {
    (0..64_u128).prop_map(|bits| Stream::from_bits(bits).unwrap())
}

fn format() -> impl Strategy<Value = Format> {
    proptest::sample::select(Format::ALL)
}

fn slot() -> impl Strategy<Value = Slot> {
    let address = || (0..8192_u16, 0..16_u8).prop_map(|(word, base)| Address { word, base });
    prop_oneof![
        Just(Slot::Idle),
        (address(), stream()).prop_map(|(address, stream)| Slot::Read(address, stream)),
        (address(), stream()).prop_map(|(address, stream)| Slot::Write(address, stream)),
    ]
}

fn source() -> impl Strategy<Value = Source> {
    prop_oneof![
        2 => Just(Source::None),
        4 => (stream(), format()).prop_map(|(stream, format)| Source::Stream(stream, format)),
        1 => (0..64_u8).prop_map(Source::Alu),
        1 => (0..64_u8).prop_map(Source::Reduce),
        1 => Just(Source::Immediate),
    ]
}

fn destination() -> impl Strategy<Value = Destination> {
    prop_oneof![
        Just(Destination::NONE),
        (stream(), format()).prop_map(|(stream, format)| Destination::to(stream, format)),
        (0..32_u8, format()).prop_map(|(number, format)| Destination::both(number, format)),
    ]
}

fn lane_map() -> impl Strategy<Value = LaneMap> {
    proptest::array::uniform16(proptest::option::of(0..16_u8)).prop_map(LaneMap)
}

/// The bits of any value that a field can have.
fn field_bits(field: &FieldDefinition) -> BoxedStrategy<u128> {
    // A field's type is told by how its values are written.
    if let Some(names) = field.syntax.strip_prefix("one of ") {
        return (0..names.split(' ').count() as u128).boxed();
    }
    match field.syntax {
        s if s == Slot::SYNTAX => slot().prop_map(Field::bits).boxed(),
        s if s == Source::SYNTAX => source().prop_map(Field::bits).boxed(),
        s if s == Destination::SYNTAX => destination().prop_map(Field::bits).boxed(),
        s if s == LaneMap::SYNTAX => lane_map().prop_map(Field::bits).boxed(),
        // All bits of the others have a meaning; small numbers are the lawful ones more often than not.
        _ => {
            let end = 1_u128 << field.bits;
            prop_oneof![0..end, 0..end.min(20), (0..end.min(8)).prop_map(|n| n * 4 % 32)]
                .prop_map(move |bits| bits % end)
                .boxed()
        }
    }
}

/// Any instruction of one definition.
pub(crate) fn inst_of(definition: &'static Definition) -> BoxedStrategy<Inst> {
    let mut encoded = Just((u128::from(definition.opcode), 8_u32)).boxed();
    for field in definition.fields {
        let width = field.bits;
        let with = (encoded, field_bits(field)).prop_map(move |((word, at), bits)| (word | bits << at, at + width));
        encoded = with.boxed();
    }
    encoded.prop_map(|(word, _)| Inst::decode(word.to_le_bytes()).unwrap()).boxed()
}

/// Any instruction.
pub(crate) fn inst() -> BoxedStrategy<Inst> {
    proptest::sample::select(TABLE.iter().collect::<Vec<_>>()).prop_flat_map(inst_of).boxed()
}
