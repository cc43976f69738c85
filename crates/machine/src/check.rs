//! What must hold for any bytes at all: fuzz targets and tests call this.

use crate::inst::{INST_BYTES, Inst, parse};

/// Reads bytes as encoded instructions and as an instruction's text: no panic, and what is read is written as it was.
pub fn check_inst(bytes: &[u8]) {
    for chunk in bytes.as_chunks::<INST_BYTES>().0 {
        if let Ok(inst) = Inst::decode(*chunk) {
            assert_eq!(inst.encode(), *chunk, "{inst}");
            check_print(inst);
        }
    }
    let text = String::from_utf8_lossy(bytes);
    match parse(&text) {
        Ok(inst) => {
            check_print(inst);
            assert_eq!(Inst::decode(inst.encode()), Ok(inst), "{inst}");
        }
        Err(error) => assert!(text.is_char_boundary(error.offset), "{error}"),
    }
}

fn check_print(inst: Inst) {
    assert_eq!(parse(&inst.to_string()), Ok(inst), "{inst}");
}
