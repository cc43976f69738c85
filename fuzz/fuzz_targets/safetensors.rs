//! Any bytes as safetensors files, their index and their configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| lockstep_formats::check_safetensors(data));
