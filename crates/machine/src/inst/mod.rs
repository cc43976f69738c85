//! The instruction set: one table, from which encoder, decoder, parser, printer and manual come.
//!
//! [`table`] lists the instructions. [`field`] and [`operand`] say how a field is encoded and written. What an
//! instruction touches, and when, is in [`crate::access`].

pub mod field;
pub mod operand;
mod table;
mod text;

pub use table::{Inst, TABLE};
pub use text::{InstTextError, parse};

use crate::geometry::Queue;

/// Bytes of an encoded instruction.
pub const INST_BYTES: usize = 16;

/// Which queues take an instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Any queue: instruction control.
    Control,
    /// Memory slices.
    Mem,
    /// ALUs.
    Alu,
    /// Lane reducers.
    Reduce,
    /// Load queues of the matrix planes.
    Load,
    /// Activation queues of the matrix planes.
    Activate,
    /// Drain queues of the matrix planes.
    Drain,
    /// Switch units.
    Sxm,
    /// Sending sides of links.
    Send,
    /// Receiving sides of links.
    Receive,
}

impl Class {
    /// Whether `queue` takes instructions of this class.
    pub fn runs_on(self, queue: Queue) -> bool {
        match queue {
            Queue::Mem(..) => matches!(self, Self::Mem | Self::Control),
            Queue::Alu(_) => matches!(self, Self::Alu | Self::Control),
            Queue::Reduce(_) => matches!(self, Self::Reduce | Self::Control),
            Queue::Load(_) => matches!(self, Self::Load | Self::Control),
            Queue::Activate(_) => matches!(self, Self::Activate | Self::Control),
            Queue::Drain(_) => matches!(self, Self::Drain | Self::Control),
            Queue::Sxm(..) => matches!(self, Self::Sxm | Self::Control),
            Queue::Send(_) => matches!(self, Self::Send | Self::Control),
            Queue::Receive(_) => matches!(self, Self::Receive | Self::Control),
        }
    }
}

/// One field of an instruction, as the manual shows it. Fields follow the 8-bit opcode from bit 8 up, in order.
#[derive(Clone, Copy, Debug)]
pub struct FieldDefinition {
    /// Its name in text.
    pub name: &'static str,
    /// Its bits in the encoding.
    pub bits: u32,
    /// How its value is written.
    pub syntax: &'static str,
    /// The value that text leaves out, if there is one.
    pub omitted: fn() -> Option<String>,
    /// What it means.
    pub doc: &'static str,
}

/// One instruction, as the manual shows it.
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// Its name in text.
    pub mnemonic: &'static str,
    /// The lowest byte of its encoding.
    pub opcode: u8,
    /// The queues that take it.
    pub class: Class,
    /// What it does.
    pub doc: &'static str,
    /// Its fields, in the order of their bits.
    pub fields: &'static [FieldDefinition],
}

/// Bytes that are no instruction.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// No instruction has this opcode.
    #[error("opcode 0x{0:02x} is not an instruction of this version")]
    Opcode(u8),
    /// A field's bits have no meaning.
    #[error("{mnemonic}: field {field} has bits 0x{bits:x}, which stand for nothing")]
    Field {
        /// The instruction.
        mnemonic: &'static str,
        /// The field.
        field: &'static str,
        /// Its bits.
        bits: u128,
    },
    /// Bits above the last field are set.
    #[error("{mnemonic}: bits above the last field must be 0")]
    Reserved {
        /// The instruction.
        mnemonic: &'static str,
    },
}
