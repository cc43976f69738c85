//! Blocks of every source type against the values that the `gguf` package gives them (`fixtures/make.py`).
#![allow(clippy::unwrap_used)]

use lockstep_arith::blocks::dequantize;
use lockstep_arith::source::SourceType;

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..][..2], 16).unwrap()).collect()
}

#[test]
fn every_type_has_the_values_of_its_format() {
    let lines: Vec<&str> = include_str!("fixtures/source_blocks.txt").lines().collect();
    assert_eq!(lines.len(), SourceType::ALL.len());
    for ty in SourceType::ALL {
        let line = lines.iter().find(|line| line.split(' ').next() == Some(ty.name())).unwrap();
        let fields: Vec<&str> = line.split(' ').collect();
        let (bytes, want) = (unhex(fields[1]), unhex(fields[2]));
        assert!(bytes.len() / ty.block_bytes() >= 3, "{}: too few blocks", ty.name());
        let mut got = vec![0.0f32; bytes.len() / ty.block_bytes() * ty.block_weights()];
        dequantize(ty, &bytes, &mut got);
        assert_eq!(got.len(), want.len() / 4);
        for (at, (got, want)) in got.iter().zip(want.chunks_exact(4)).enumerate() {
            let want = f32::from_le_bytes(want.try_into().unwrap());
            // Zeros compare equal whatever their sign: the importer drops it.
            assert!(
                got.to_bits() == want.to_bits() || (*got == 0.0 && want == 0.0),
                "{} {at}: {got} {want}",
                ty.name()
            );
        }
    }
}
