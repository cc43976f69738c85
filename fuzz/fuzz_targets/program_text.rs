//! Any bytes as the text of programs.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| lockstep_program::check::check_text(data));
