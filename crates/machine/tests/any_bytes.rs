//! What the fuzz target `inst` checks, over random bytes and damaged texts.
#![allow(missing_docs)]

mod common;

use lockstep_machine::check::check_inst;
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        check_inst(&bytes);
    }

    #[test]
    fn a_damaged_instruction_is_survived(inst in common::inst(), at in any::<u8>(), byte in any::<u8>()) {
        let mut bytes = inst.encode();
        bytes[usize::from(at) % 16] = byte;
        check_inst(&bytes);
        let mut text = inst.to_string().into_bytes();
        let at = usize::from(at) % text.len();
        text[at] = byte;
        check_inst(&text);
    }
}
