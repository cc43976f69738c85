//! Any bytes as GGUF files.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| lockstep_formats::check_gguf(data));
