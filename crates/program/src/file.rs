//! Programs as files: versioned, hashed, and ready to be mapped into memory.
//!
//! A file is a header of 64 bytes, the program without its images' bytes, and those bytes, each image's at a multiple of
//! 64. All numbers are little-endian, all gaps are zeros, and a program has exactly one file: `encode(decode(bytes))`
//! gives the same bytes.
//!
//! | bytes | header |
//! | --- | --- |
//! | 0..8 | [`MAGIC`] |
//! | 8..12 | [`FORMAT_VERSION`] |
//! | 12..16 | zeros |
//! | 16..24 | bytes of the file |
//! | 24..32 | where the images' bytes begin |
//! | 32..64 | the content hash: BLAKE3 of all that follows |

mod reader;
mod writer;

use std::borrow::Cow;

use lockstep_machine::description::DescriptionError;

use crate::form::{FormError, check_form};
use crate::program::{Content, Program};

/// How a program's file begins.
pub const MAGIC: [u8; 8] = *b"LKSTEP01";
/// The version of the file's layout.
pub const FORMAT_VERSION: u32 = 1;
/// The version of the arithmetic contract that programs are compiled to. It changes when the bits of any result would.
pub const ARITHMETIC_VERSION: u32 = 1;
/// Bytes of the header, and what images are aligned to.
pub const ALIGNMENT: usize = 64;
/// Bytes of the longest machine description in a file.
pub const MACHINE_BYTES_MAX: usize = 1 << 16;

/// A file that is no program, or none that this version reads.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// The first bytes are others.
    #[error("not a program file: it does not begin with LKSTEP01")]
    Magic,
    /// Another layout.
    #[error("made for format version {made}, this reads version {reads}; compile or assemble it again")]
    Version {
        /// The file's.
        made: u32,
        /// This code's.
        reads: u32,
    },
    /// Numbers would come out differently.
    #[error("made for arithmetic version {made}, this computes version {reads}; compile or assemble it again")]
    Arithmetic {
        /// The file's.
        made: u32,
        /// This code's.
        reads: u32,
    },
    /// Cut, or something was added.
    #[error("the file has {is} bytes, its header says {says}; copy it again")]
    Length {
        /// Bytes there are.
        is: u64,
        /// Bytes there should be.
        says: u64,
    },
    /// Damaged.
    #[error("the content does not have the hash that the header gives; the file is damaged, copy or make it again")]
    Hash,
    /// A part ends outside the file.
    #[error("{part}: byte {at} of the file: {wanted} bytes are needed, {left} are left")]
    Ends {
        /// What was read.
        part: String,
        /// Where.
        at: usize,
        /// How many bytes, at least.
        wanted: u64,
        /// How many there are.
        left: usize,
    },
    /// Bytes that stand for nothing.
    #[error("{part}: byte {at} of the file: {message}")]
    Value {
        /// What was read.
        part: String,
        /// Where.
        at: usize,
        /// What is wrong.
        message: String,
    },
    /// The machine's description.
    #[error(transparent)]
    Machine(#[from] DescriptionError),
    /// The program does not hang together.
    #[error(transparent)]
    Form(#[from] FormError),
}

/// The file of a program that [`check_form`] finds no fault with; the file of another is of no use.
pub fn encode(program: &Program<'_>) -> Vec<u8> {
    let body = writer::body(program);
    let mut bytes = MAGIC.to_vec();
    bytes.extend(FORMAT_VERSION.to_le_bytes());
    bytes.extend([0; 4]);
    let images = ALIGNMENT + body.len();
    bytes.extend((images as u64 + images_bytes(program)).to_le_bytes());
    bytes.extend((images as u64).to_le_bytes());
    bytes.extend(hash(program, &body));
    bytes.extend(body);
    for_image_bytes(program, &mut |part| bytes.extend(part));
    bytes
}

/// What identifies a program: the hash in its file's header.
pub fn content_hash(program: &Program<'_>) -> [u8; 32] {
    hash(program, &writer::body(program))
}

fn hash(program: &Program<'_>, body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(body);
    for_image_bytes(program, &mut |part| {
        hasher.update(part);
    });
    hasher.finalize().into()
}

/// Calls `emit` with the images' bytes and the zeros after each.
fn for_image_bytes(program: &Program<'_>, emit: &mut dyn FnMut(&[u8])) {
    for image in &program.images {
        if let Content::Bytes(bytes) = &image.content {
            emit(bytes);
            emit(&[0; ALIGNMENT][..padding(bytes.len())]);
        }
    }
}

fn images_bytes(program: &Program<'_>) -> u64 {
    let mut bytes = 0;
    for_image_bytes(program, &mut |part| bytes += part.len() as u64);
    bytes
}

/// Bytes from `length` to the next multiple of the alignment.
fn padding(length: usize) -> usize {
    length.wrapping_neg() % ALIGNMENT
}

/// The program of a file; its images borrow the file's bytes. Whatever the bytes are, this takes memory for no more than
/// a small multiple of them, and what it returns hangs together ([`check_form`]).
pub fn decode(bytes: &[u8]) -> Result<Program<'_>, FileError> {
    let images = check_header(bytes)?;
    let mut program = reader::program(&bytes[..images])?;
    attach_images(&mut program, bytes, images)?;
    check_form(&program, 1).into_iter().next().map_or(Ok(program), |error| Err(error.into()))
}

/// Checks all that comes before the program; where the images begin.
fn check_header(bytes: &[u8]) -> Result<usize, FileError> {
    if !bytes.starts_with(&MAGIC) {
        return Err(FileError::Magic);
    }
    let ends = |wanted| FileError::Ends { part: "header".to_owned(), at: 0, wanted, left: bytes.len() };
    let version = bytes.get(8..12).and_then(|b| b.try_into().ok()).map(u32::from_le_bytes);
    let made = version.ok_or_else(|| ends(ALIGNMENT as u64))?;
    if made != FORMAT_VERSION {
        return Err(FileError::Version { made, reads: FORMAT_VERSION });
    }
    let (header, content) = bytes.split_at_checked(ALIGNMENT).ok_or_else(|| ends(ALIGNMENT as u64))?;
    let number = |at: usize| header[at..at + 8].iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
    let value = |at, message: &str| FileError::Value { part: "header".to_owned(), at, message: message.to_owned() };
    if header[12..16] != [0; 4] {
        return Err(value(12, "must be zeros"));
    }
    let (is, says) = (bytes.len() as u64, number(16));
    if is != says {
        return Err(FileError::Length { is, says });
    }
    let images = usize::try_from(number(24)).ok().filter(|at| (ALIGNMENT..=bytes.len()).contains(at));
    let images = images.ok_or_else(|| value(24, "the images begin outside the file"))?;
    if blake3::hash(content).as_bytes() != &header[32..] {
        return Err(FileError::Hash);
    }
    Ok(images)
}

/// Gives each image that has bytes its part of the file: one after the other, to the last byte.
fn attach_images<'a>(program: &mut Program<'a>, bytes: &'a [u8], images: usize) -> Result<(), FileError> {
    let lanes = u64::from(program.machine.lanes());
    let mut at = images;
    for (index, image) in program.images.iter_mut().enumerate() {
        let Content::Bytes(content) = &mut image.content else { continue };
        let part = || format!("image {index} {:?}", crate::form::short(&image.name));
        let (left, wanted) = (bytes.len() - at, u64::from(image.vectors) * lanes);
        let length = usize::try_from(wanted).ok().filter(|length| *length <= left && padding(*length) <= left - length);
        let length = length.ok_or_else(|| FileError::Ends { part: part(), at, wanted, left })?;
        *content = Cow::Borrowed(&bytes[at..at + length]);
        let end = at + length + padding(length);
        if bytes[at + length..end].iter().any(|byte| *byte != 0) {
            let message = "the gap after the image must be zeros".to_owned();
            return Err(FileError::Value { part: part(), at: at + length, message });
        }
        at = end;
    }
    if at != bytes.len() {
        let message = format!("{} bytes belong to no image", bytes.len() - at);
        return Err(FileError::Value { part: "images".to_owned(), at, message });
    }
    Ok(())
}
