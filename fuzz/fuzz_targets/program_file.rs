//! Any bytes as program files, with and without a hash that fits.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| lockstep_program::check::check_file(data));
