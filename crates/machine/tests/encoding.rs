//! Instructions as values, bytes and text are one and the same.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use lockstep_machine::inst::{Inst, TABLE, parse};
use proptest::prelude::*;

/// Random instructions of each line of the table.
fn for_each_definition(cases: u32, check: impl Fn(Inst) -> Result<(), TestCaseError>) {
    for definition in TABLE {
        let mut runner = common::runner(cases);
        runner.run(&common::inst_of(definition), &check).unwrap_or_else(|e| panic!("{}: {e}", definition.mnemonic));
    }
}

#[test]
fn decoding_undoes_encoding() {
    for_each_definition(500, |inst| {
        prop_assert_eq!(Inst::decode(inst.encode()), Ok(inst));
        Ok(())
    });
}

#[test]
fn parsing_undoes_printing() {
    for_each_definition(500, |inst| {
        let text = inst.to_string();
        prop_assert_eq!(parse(&text), Ok(inst), "{}", text);
        // The order of fields and the blanks between them carry no meaning.
        let mut words = text.split(' ').collect::<Vec<_>>();
        words[1..].reverse();
        prop_assert_eq!(parse(&words.join("  ")), Ok(inst), "{}", text);
        Ok(())
    });
}

/// What text leaves out may also be written.
#[test]
fn no_two_instructions_have_one_text() {
    for_each_definition(200, |inst| {
        let mut bits = u128::from_le_bytes(inst.encode());
        for bit in 8..128 {
            bits ^= 1 << bit;
            if let Ok(other) = Inst::decode(bits.to_le_bytes()) {
                prop_assert_ne!(other.to_string(), inst.to_string());
            }
            bits ^= 1 << bit;
        }
        Ok(())
    });
}

#[test]
fn fields_fit_and_names_are_unique() {
    for definition in TABLE {
        let bits = definition.fields.iter().map(|field| field.bits).sum::<u32>();
        assert!(8 + bits <= 128, "{}: {bits} bits and the opcode", definition.mnemonic);
        assert!(definition.fields.iter().all(|field| field.bits > 0), "{}", definition.mnemonic);
        let alike = |other: &&lockstep_machine::inst::Definition| {
            other.mnemonic == definition.mnemonic || other.opcode == definition.opcode
        };
        assert_eq!(TABLE.iter().filter(alike).count(), 1, "{}", definition.mnemonic);
    }
}

/// The parts of fields lie where the manual says.
#[test]
fn fields_of_several_parts_have_their_bits() {
    let fields = |text: &str| u128::from_le_bytes(parse(text).unwrap().encode()) >> 8;
    assert_eq!(fields("send from=e5"), 5 | 1 << 5);
    assert_eq!(fields("send from=w31"), 31);
    let slot = 2 | 7 << 2 | 3 << 15 | 4 << 19;
    assert_eq!(fields("mem bank0=write:7+b3:w4"), slot);
    assert_eq!(fields("mem bank1=write:7+b3:w4"), slot << 25);
    assert_eq!(fields("mem bank0=read:0+b0:e0"), 1 | 1 << 24);
    let alu = |a: u128, imm: u128, to: u128| a << 6 | imm << 39 | to << 71;
    assert_eq!(fields("alu op=identity a=e8:f32"), alu(1 | 8 << 2 | 1 << 7 | 5 << 8, 0, 0));
    assert_eq!(fields("alu op=identity a=alu.9"), alu(2 | 9 << 2, 0, 0));
    assert_eq!(fields("alu op=identity a=reduce.3"), alu(2 | 3 << 2 | 1 << 8, 0, 0));
    assert_eq!(fields("alu op=identity a=imm imm=-1 to=e4:i64"), alu(3, 0xffff_ffff, 1 | 4 << 2 | 6 << 7));
    assert_eq!(fields("alu op=identity a=imm imm=1.0 to=both4:i8"), alu(3, 0x3f80_0000, 3 | 4 << 2));
    assert_eq!(fields("shift by=-1 streams=8 from=w0 to=w1"), 0xffff | 8 << 16 | 1 << 26);
    let map = "distribute map=15,z,0,0,0,0,0,0,0,0,0,0,0,0,0,1 streams=1 from=w0 to=w0";
    assert_eq!(fields(map), 15 | 16 << 5 | 1 << 75 | 1 << 80);
}

/// The bytes of an instruction that is not there, of a field without meaning, and of bits above the last field.
#[test]
fn bytes_that_are_no_instruction_say_why() {
    let check = |bytes: [u8; 16], expected: &str| {
        assert_eq!(Inst::decode(bytes).unwrap_err().to_string(), expected);
    };
    check([0; 16], "opcode 0x00 is not an instruction of this version");
    check([0xff; 16], "opcode 0xff is not an instruction of this version");
    let word = 0x33_u128 | 7 << 8;
    check(word.to_le_bytes(), "install: field kind has bits 0x7, which stand for nothing");
    let word = 0x03_u128 | 1 << 127;
    check(word.to_le_bytes(), "sync: bits above the last field must be 0");
}

#[test]
fn text_that_is_no_instruction_says_why_and_where() {
    let check = |text: &str, offset: usize, part: &str| {
        let error = parse(text).unwrap_err();
        assert_eq!(error.offset, offset, "{text}: {error}");
        assert!(error.message.contains(part), "{text}: {error}");
    };
    check("", 0, "missing");
    check("gathr index=e0", 0, "known are: nop");
    check("gather_all", 0, "did you mean gather?");
    check("nop", 0, "nop needs cycles=; it takes N");
    check("nop cycles=4294967296", 11, "is wrong; expected N below 4294967296");
    check("nop cycles=01", 11, "expected N");
    check("nop cycles=4 cycles=5", 13, "has no field \"cycles\" (or it stands twice); its fields are: cycles");
    check("nop 4", 4, "write name=value");
    check("send from=e32", 10, "eN or wN");
    check("alu op=plus a=e0:f32", 7, "one of identity add");
    check("distribute map=0,1 streams=1 from=e0 to=e1", 15, "16 lanes");
}

fn bytes() -> impl Strategy<Value = [u8; 16]> {
    let opcode = proptest::sample::select(TABLE.iter().map(|definition| definition.opcode).collect::<Vec<_>>());
    // Few bits, so that reserved bits are often 0; or many.
    let word = prop_oneof![any::<u128>(), (any::<u128>(), 8..128_u32).prop_map(|(word, bits)| word % (1 << bits))];
    (word, prop_oneof![4 => opcode, 1 => any::<u8>()]).prop_map(|(word, opcode)| {
        let mut bytes = word.to_le_bytes();
        bytes[0] = opcode;
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn encoding_undoes_decoding(bytes in bytes()) {
        if let Ok(inst) = Inst::decode(bytes) {
            prop_assert_eq!(inst.encode(), bytes);
        }
    }

    #[test]
    fn any_text_is_an_instruction_or_an_error_inside_it(text in "[a-z]{0,6}( ?[a-z0-9_é]{0,8}=?[ewbx0-9:+.,é-]{0,12}){0,6}") {
        match parse(&text) {
            Ok(inst) => prop_assert_eq!(parse(&inst.to_string()), Ok(inst)),
            Err(error) => prop_assert!(error.offset <= text.len()),
        }
    }

    #[test]
    fn a_damaged_text_is_an_instruction_or_an_error_inside_it(inst in common::inst(), at in any::<u16>(), c in any::<char>()) {
        let mut text = inst.to_string().chars().collect::<Vec<_>>();
        let at = usize::from(at) % text.len();
        text[at] = c;
        let text = text.into_iter().collect::<String>();
        match parse(&text) {
            Ok(inst) => prop_assert_eq!(parse(&inst.to_string()), Ok(inst)),
            Err(error) => prop_assert!(error.offset <= text.len() && text.is_char_boundary(error.offset)),
        }
    }
}
