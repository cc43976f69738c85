//! What must hold for any bytes at all: fuzz targets and tests call these.

use crate::gguf::{Gguf, Value};
use crate::safetensors;

/// Reads bytes as GGUF: no panic, and every view lies in the bytes.
pub fn check_gguf(bytes: &[u8]) {
    let Ok(gguf) = Gguf::parse(bytes) else { return };
    for tensor in &gguf.tensors {
        assert!(tensor.data.len() <= bytes.len(), "a tensor reaches past the file");
        assert!(bytes.as_ptr_range().contains(&tensor.data.as_ptr()) || tensor.data.is_empty());
    }
    for (_, value) in gguf.metadata() {
        if let Value::Array(array) = value {
            assert_eq!(array.iter().count(), array.len(), "an array was not walked whole");
        }
    }
}

/// Reads bytes as safetensors: no panic, and every view lies in the bytes.
pub fn check_safetensors(bytes: &[u8]) {
    let Ok(header) = safetensors::Header::parse(bytes) else { return };
    if let Ok(tensors) = safetensors::parse(bytes, &header) {
        assert!(tensors.iter().all(|tensor| tensor.data.len() <= bytes.len()), "a tensor reaches past the file");
    }
}
