//! Any bytes as encoded instructions and as an instruction's text.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| lockstep_machine::check::check_inst(data));
