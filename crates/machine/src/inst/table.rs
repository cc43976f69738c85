//! The one table of instructions.

use std::fmt;

use super::field::{Field, Stream, Stride, Uint};
use super::operand::{
    Address, AluOp, Destination, Format, Half, Immediate, LaneMap, Orientation, ReduceOp, Slot, Source, TileKind,
};
use super::text::{Fields, InstTextError};
use super::{Class, DecodeError, Definition, FieldDefinition, INST_BYTES};

/// Takes a field's bits off the bottom of `rest`.
fn take<F: Field>(rest: &mut u128, mnemonic: &'static str, field: &'static str) -> Result<F, DecodeError> {
    let bits = *rest & ((1 << F::BITS) - 1);
    *rest >>= F::BITS;
    F::from_bits(bits).ok_or(DecodeError::Field { mnemonic, field, bits })
}

/// Writes ` name=value` unless the value is the one that text leaves out.
fn write_field<F: Field>(f: &mut fmt::Formatter<'_>, name: &str, value: F) -> fmt::Result {
    if F::omitted() == Some(value) { Ok(()) } else { write!(f, " {name}={value}") }
}

/// Expands the table: the enum, its bytes, its text and its definitions.
macro_rules! instructions {
    ($(
        #[doc = $doc:literal]
        $class:ident $name:ident = $opcode:literal $mnemonic:literal {
            $( #[doc = $field_doc:literal] $field:ident: $ty:ty, )*
        }
    )*) => {
        /// One instruction.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Inst { $(
            #[doc = $doc]
            $name { $( #[doc = $field_doc] $field: $ty, )* },
        )* }

        $( const _: () = assert!(8 $( + <$ty as Field>::BITS )* <= 128, $mnemonic); )*

        /// All instructions, for the manual.
        pub static TABLE: &[Definition] = &[ $( Definition {
            mnemonic: $mnemonic,
            opcode: $opcode,
            class: Class::$class,
            doc: $doc,
            fields: &[ $( FieldDefinition {
                name: stringify!($field),
                bits: <$ty as Field>::BITS,
                syntax: <$ty as Field>::SYNTAX,
                omitted: || <$ty as Field>::omitted().map(|value| value.to_string()),
                doc: $field_doc,
            } ),* ],
        } ),* ];

        impl Inst {
            /// The queues that take it.
            pub fn class(&self) -> Class {
                match self { $( Self::$name { .. } => Class::$class, )* }
            }

            /// Its name in text.
            pub fn mnemonic(&self) -> &'static str {
                match self { $( Self::$name { .. } => $mnemonic, )* }
            }

            /// Its bytes, little-endian: the opcode, then the fields from the lowest bit up.
            #[allow(unused_mut, reason = "an instruction may have no fields")]
            pub fn encode(&self) -> [u8; INST_BYTES] {
                match *self { $( Self::$name { $( $field, )* } => {
                    let mut bits: u128 = $opcode;
                    let mut at = 8;
                    $( bits |= $field.bits() << at; at += <$ty as Field>::BITS; )*
                    debug_assert!(at <= 128, "{at} bits");
                    bits.to_le_bytes()
                } )* }
            }

            /// The instruction of these bytes.
            pub fn decode(bytes: [u8; INST_BYTES]) -> Result<Self, DecodeError> {
                let word = u128::from_le_bytes(bytes);
                let mut rest = word >> 8;
                match bytes[0] {
                    $( $opcode => {
                        $( let $field = take::<$ty>(&mut rest, $mnemonic, stringify!($field))?; )*
                        if rest == 0 {
                            Ok(Self::$name { $( $field, )* })
                        } else {
                            Err(DecodeError::Reserved { mnemonic: $mnemonic })
                        }
                    } )*
                    opcode => Err(DecodeError::Opcode(opcode)),
                }
            }

            /// The instruction of a mnemonic and its fields.
            pub(super) fn from_fields(mnemonic: &str, fields: &mut Fields<'_>) -> Result<Self, InstTextError> {
                match mnemonic {
                    $( $mnemonic => Ok(Self::$name { $( $field: fields.take::<$ty>(stringify!($field))?, )* }), )*
                    _ => Err(Fields::unknown_mnemonic(mnemonic)),
                }
            }
        }

        impl fmt::Display for Inst {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self { $( Self::$name { $( $field, )* } => {
                    f.write_str($mnemonic)?;
                    $( write_field(f, stringify!($field), $field)?; )*
                    Ok(())
                } )* }
            }
        }
    };
}

instructions! {
    #[doc = "Issues nothing for so many cycles."]
    Control Nop = 0x01 "nop" {
        #[doc = "Cycles, at least 1."] cycles: Uint<32>,
    }
    #[doc = "Issues the previous instruction `count` times more, each `every` cycles after the last; the queue goes on in the cycle after the last."]
    Control Repeat = 0x02 "repeat" {
        #[doc = "Further issues, at least 1."] count: Uint<16>,
        #[doc = "Cycles between issues, at least 1."] every: Uint<16>,
        #[doc = "Added to the address of memory instructions at each issue."] word_stride: Stride,
        #[doc = "Added to the accumulator row, or to the first vector of a load, at each issue."] row_stride: Stride,
    }
    #[doc = "Parks the queue until a `notify` is issued on the chip, and `barrier_cycles` longer."]
    Control Sync = 0x03 "sync" {}
    #[doc = "Releases every parked queue; the issuing queue goes on with them."]
    Control Notify = 0x04 "notify" {}
    #[doc = "Takes the next granule of the queue's own text from a stream (streamed supply)."]
    Control Fetch = 0x05 "ifetch" {
        #[doc = "The stream; the granule is as many vectors as it fills, in consecutive cycles."] from: Stream,
    }
    #[doc = "Waits for the next edge of the chips' aligned epoch."]
    Control Deskew = 0x06 "deskew" {}
    #[doc = "Sends a time mark over every link of the chip's tree of alignment."]
    Control Transmit = 0x07 "transmit" {}
    #[doc = "Counts exactly `cycles` of program time while the chip's clock is brought back in line; the chip does nothing else until then."]
    Control RuntimeDeskew = 0x08 "runtime_deskew" {
        #[doc = "Cycles of program time, at least one epoch."] cycles: Uint<32>,
    }

    #[doc = "At most one read and one write, in different banks."]
    Mem Mem = 0x10 "mem" {
        #[doc = "What bank 0 does."] bank0: Slot,
        #[doc = "What bank 1 does."] bank1: Slot,
    }
    #[doc = "Each superlane reads the word that its own index names, if it names one here."]
    Mem Gather = 0x11 "gather" {
        #[doc = "First of 4 streams with the indices: unsigned, from lane 0 of each superlane; 0xffffffff is none."] index: Stream,
        #[doc = "The word of index 0 (shifted right by `log2_interleave`)."] address: Address,
        #[doc = "The bank read."] bank: Uint<1>,
        #[doc = "Indices go round 2 to this many slices."] log2_interleave: Uint<4>,
        #[doc = "This slice holds the indices of this remainder."] residue: Uint<13>,
        #[doc = "Indices from here on are not here."] count: Uint<20>,
        #[doc = "Superlanes that read nothing leave the stream alone, and do not drive zeros on it."] quiet: bool,
        #[doc = "Where the bytes go."] to: Stream,
    }
    #[doc = "Each superlane writes the word that its own index names, if it names one here."]
    Mem Scatter = 0x12 "scatter" {
        #[doc = "First of 4 streams with the indices, as for `gather`."] index: Stream,
        #[doc = "The word of index 0 (shifted right by `log2_interleave`)."] address: Address,
        #[doc = "The bank written."] bank: Uint<1>,
        #[doc = "Indices go round 2 to this many slices."] log2_interleave: Uint<4>,
        #[doc = "This slice holds the indices of this remainder."] residue: Uint<13>,
        #[doc = "Indices from here on are not here."] count: Uint<20>,
        #[doc = "The bytes written."] from: Stream,
    }

    #[doc = "One operation over all lanes; the result appears at the ALU's output and, if asked, on streams."]
    Alu Alu = 0x20 "alu" {
        #[doc = "What is computed."] op: AluOp,
        #[doc = "First operand."] a: Source,
        #[doc = "Second operand."] b: Source,
        #[doc = "Third operand."] c: Source,
        #[doc = "The immediate that `imm` stands for."] imm: Immediate,
        #[doc = "Where the result goes beside the ALUs."] to: Destination,
    }
    #[doc = "Takes a vector into each segment's reduction; the last one emits the results, broadcast over their segments."]
    Reduce Reduce = 0x28 "reduce" {
        #[doc = "What is computed."] op: ReduceOp,
        #[doc = "The vector."] a: Source,
        #[doc = "Bit g: a segment starts at lane 32 g. Bit 0 is always set."] boundary: Uint<10>,
        #[doc = "Lanes from here on do not take part."] lanes: Uint<9>,
        #[doc = "Starts anew; else goes on from the unit's state."] first: bool,
        #[doc = "Emits the results and ends the state."] last: bool,
        #[doc = "Where the results go; a sum written as f32 is rounded once."] to: Destination,
    }

    #[doc = "Takes consecutive vectors of a tile into the plane's buffer, one a stream (two byte planes each where the kind has 16 bits)."]
    Load Load = 0x30 "load" {
        #[doc = "What the tile is."] kind: TileKind,
        #[doc = "How the vectors lie in it."] orientation: Orientation,
        #[doc = "For pair-wide tiles by row: which half of the lanes is kept as the inputs."] half: Half,
        #[doc = "The first vector's place."] first: Uint<9>,
        #[doc = "Streams taken, at least 1."] streams: Uint<5>,
        #[doc = "The first stream."] from: Stream,
    }
    #[doc = "Takes the 16 codes of LB4, from lanes 0 to 15; they stay until the next."]
    Load Codebook = 0x31 "codebook" {
        #[doc = "The stream."] from: Stream,
    }
    #[doc = "Takes consecutive scale vectors, lanes being outputs: low and high bytes of D of each group of 32 inputs, then of O if the tile has them; for LB4 the even tile's, then the odd tile's."]
    Load Scale = 0x32 "scale" {
        #[doc = "What the tile is: lb8 or lb4."] kind: TileKind,
        #[doc = "Whether the tile has O."] offsets: bool,
        #[doc = "The first vector's place."] first: Uint<9>,
        #[doc = "Streams taken, at least 1."] streams: Uint<5>,
        #[doc = "The first stream."] from: Stream,
    }
    #[doc = "The buffer becomes the array; the buffer is then empty, and what is not loaded counts as 0."]
    Load Install = 0x33 "install" {
        #[doc = "What the tile is."] kind: TileKind,
    }

    #[doc = "Multiplies a vector by the array and adds the products to a row of accumulators."]
    Activate Activate = 0x38 "activate" {
        #[doc = "What the array must be."] kind: TileKind,
        #[doc = "Which half of a pair."] half: Half,
        #[doc = "The row of accumulators."] row: Uint<9>,
        #[doc = "Clears the row first."] first: bool,
        #[doc = "First stream of the vector."] from: Stream,
        #[doc = "First of 2 streams with A (lane 32 g counts for group g), for lb8 and lb4."] scale: Stream,
    }

    #[doc = "Puts a row of accumulators on the inward streams; the row keeps its value."]
    Drain Drain = 0x3c "drain" {
        #[doc = "The row."] row: Uint<9>,
        #[doc = "f32 (rounded once), i64, or i32 (overflow is a fault)."] format: Format,
        #[doc = "First stream."] to: Stream,
    }

    #[doc = "Moves lanes up by `by` (down if negative) over the whole vector; lanes that nothing reaches are 0."]
    Sxm Shift = 0x40 "shift" {
        #[doc = "Lanes."] by: Stride,
        #[doc = "Consecutive streams that move alike: 1, 2, 4 or 8."] streams: Uint<4>,
        #[doc = "First stream in."] from: Stream,
        #[doc = "First stream out."] to: Stream,
    }
    #[doc = "Moves lanes up by `by` (down if negative), round the whole vector."]
    Sxm Rotate = 0x41 "rotate" {
        #[doc = "Lanes."] by: Stride,
        #[doc = "Consecutive streams that move alike: 1, 2, 4 or 8."] streams: Uint<4>,
        #[doc = "First stream in."] from: Stream,
        #[doc = "First stream out."] to: Stream,
    }
    #[doc = "Each lane takes the byte of the lane that the map names; 0xffff gives 0."]
    Sxm Permute = 0x42 "permute" {
        #[doc = "First of 2 streams with the map, unsigned."] map: Stream,
        #[doc = "Consecutive streams that move alike: 1, 2, 4 or 8."] streams: Uint<4>,
        #[doc = "First stream in."] from: Stream,
        #[doc = "First stream out."] to: Stream,
    }
    #[doc = "Each lane takes the byte of a lane of its own superlane, or 0."]
    Sxm Distribute = 0x43 "distribute" {
        #[doc = "The lanes taken."] map: LaneMap,
        #[doc = "Consecutive streams that move alike: 1, 2, 4 or 8."] streams: Uint<4>,
        #[doc = "First stream in."] from: Stream,
        #[doc = "First stream out."] to: Stream,
    }
    #[doc = "Within each superlane, lane l of stream s becomes lane s of stream l, for 16 streams."]
    Sxm Transpose = 0x44 "transpose" {
        #[doc = "First of 16 streams in."] from: Stream,
        #[doc = "First of 16 streams out."] to: Stream,
    }

    #[doc = "Sends a vector over the link."]
    Send Send = 0x48 "send" {
        #[doc = "The vector."] from: Stream,
    }
    #[doc = "Puts the next vector that came over the link on a stream."]
    Receive Receive = 0x4c "receive" {
        #[doc = "The stream."] to: Stream,
    }
}
