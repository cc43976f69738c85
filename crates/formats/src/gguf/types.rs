//! The numbers that GGUF gives tensor types. Source: `enum ggml_type` of ggml, as of gguf-py 0.19.

use crate::Error;
use crate::error::shown;
use lockstep_arith::source::SourceType;

/// The types that are known by name only, so that a message can say more than a number.
const NAMED: [(u32, &str); 27] = [
    (4, "Q4_2"),
    (5, "Q4_3"),
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

/// The number of a type that is read.
pub(super) fn type_number(ty: SourceType) -> u32 {
    match ty {
        SourceType::F32 => 0,
        SourceType::F16 => 1,
        SourceType::Q4_0 => 2,
        SourceType::Q4_1 => 3,
        SourceType::Q5_0 => 6,
        SourceType::Q5_1 => 7,
        SourceType::Q8_0 => 8,
        SourceType::Q2_K => 10,
        SourceType::Q3_K => 11,
        SourceType::Q4_K => 12,
        SourceType::Q5_K => 13,
        SourceType::Q6_K => 14,
        SourceType::Iq4Nl => 20,
        SourceType::Bf16 => 30,
        SourceType::Mxfp4 => 39,
    }
}

/// The type of a number, or an error that names both.
pub(super) fn tensor_type(tensor: &str, number: u32) -> Result<SourceType, Error> {
    let read = SourceType::ALL.into_iter().find(|ty| type_number(*ty) == number);
    read.ok_or_else(|| {
        let name = NAMED.iter().find(|(known, _)| *known == number).map(|(_, name)| *name);
        Error::TensorType {
            tensor: shown(tensor),
            found: name.map_or_else(|| format!("number {number}"), |name| format!("{name} (number {number})")),
            supported: SourceType::ALL.map(SourceType::name).join(", "),
        }
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_number_has_one_meaning() {
        for ty in SourceType::ALL {
            assert_eq!(tensor_type("t", type_number(ty)).unwrap(), ty);
        }
        let named = NAMED.iter().map(|(number, _)| *number);
        let mut numbers: Vec<u32> = SourceType::ALL.into_iter().map(type_number).chain(named).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..42).collect::<Vec<_>>());
    }

    #[test]
    fn unread_types_are_named() {
        let message = tensor_type("blk.0.ffn_up.weight", 16).unwrap_err().to_string();
        let expected =
            "tensor blk.0.ffn_up.weight: type IQ2_XXS (number 16) is not supported: choose a file in one of F32";
        assert!(message.starts_with(expected), "{message}");
        assert!(tensor_type("t", 99).unwrap_err().to_string().contains("type number 99 "));
    }
}
