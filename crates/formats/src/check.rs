//! What must hold for any bytes at all: fuzz targets and tests call these.

use crate::gguf::{Gguf, Value};
use crate::{Error, Tensor, hf, safetensors};

/// Reads bytes as GGUF: no panic, one-line errors, and every view lies in the bytes.
pub fn check_gguf(bytes: &[u8]) {
    let gguf = match Gguf::parse(bytes) {
        Ok(gguf) => gguf,
        Err(error) => return check_error(&error),
    };
    check_tensors(bytes, &gguf.tensors);
    gguf.metadata().iter().for_each(|(_, value)| check_value(value));
    // A look-up walks the keys: of very many, the first will do.
    for (key, value) in gguf.metadata().iter().take(100) {
        assert_eq!(gguf.get(key).map(is_list), Some(is_list(value)), "a key has two values");
        let read = [gguf.unsigned(key).err(), gguf.float(key).err(), gguf.bool(key).err(), gguf.string(key).err()];
        read.iter().flatten().for_each(check_error);
    }
}

/// Reads bytes as each file of a safetensors folder: no panic, one-line errors, and every view lies in the bytes.
pub fn check_safetensors(bytes: &[u8]) {
    match safetensors::Header::parse(bytes) {
        Ok(header) => {
            let tensors = safetensors::parse(bytes, &header).expect("the header was checked against these bytes");
            check_tensors(bytes, &tensors);
        }
        Err(error) => check_error(&error),
    }
    match safetensors::index_files(bytes) {
        Ok(files) => assert!(files.iter().all(|name| !name.contains(['/', '\\']) && !name.starts_with('.'))),
        Err(error) => check_error(&error),
    }
    match hf::parse_config("config.json", bytes) {
        Ok(config) => assert!(config.is_object()),
        Err(error) => check_error(&error),
    }
}

fn check_tensors(bytes: &[u8], tensors: &[Tensor<'_>]) {
    let file = bytes.as_ptr_range();
    let mut names: Vec<&str> = tensors.iter().map(|tensor| tensor.name).collect();
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "two tensors share a name");
    let mut total = 0;
    for tensor in tensors {
        let data = tensor.data.as_ptr_range();
        assert!(file.start <= data.start && data.end <= file.end, "a tensor reaches out of the file");
        let weights = tensor.rows() * tensor.cols();
        let blocks = weights / tensor.ty.block_weights();
        assert!(weights > 0 && tensor.cols().is_multiple_of(tensor.ty.block_weights()));
        assert_eq!(tensor.data.len(), blocks * tensor.ty.block_bytes(), "a tensor's bytes do not fit its shape");
        total += tensor.data.len();
    }
    assert!(total <= bytes.len(), "tensors share bytes");
}

fn is_list(value: &Value<'_>) -> bool {
    matches!(value, Value::Array(_))
}

fn check_value(value: &Value<'_>) {
    if let Value::Array(array) = value {
        let mut count = 0;
        array.iter().for_each(|element| {
            check_value(&element);
            count += 1;
        });
        assert_eq!(count, array.len(), "a list was not walked whole");
    }
}

fn check_error(error: &Error) {
    let line = error.to_string();
    assert!(!line.is_empty() && line.chars().count() < 1000, "a message is empty or long");
    assert!(!line.contains(char::is_control), "a message is not one line");
}
