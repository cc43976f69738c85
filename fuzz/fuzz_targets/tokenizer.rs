//! Any bytes as vocabularies and chat templates.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| lockstep_text::check(data));
