//! Operands that are more than a number: formats, ALU sources, destinations, memory slots, lane maps.

use std::fmt;

use super::field::{Field, Stream, Uint, named_field};
use crate::geometry::Direction;

named_field! {
    /// How the byte planes of a stream group make a number, little-endian; the first stream is the lowest byte.
    Format: 3 {
        /// Signed, 1 stream.
        I8 = "i8",
        /// Unsigned, 1 stream.
        U8 = "u8",
        /// Signed, 2 streams.
        I16 = "i16",
        /// Unsigned, 2 streams.
        U16 = "u16",
        /// Signed, 4 streams.
        I32 = "i32",
        /// IEEE binary32, 4 streams.
        F32 = "f32",
        /// Signed, 8 streams.
        I64 = "i64",
    }
}

impl Format {
    /// Byte planes: how many consecutive streams the group takes. The group's first stream is a multiple of it.
    pub fn streams(self) -> u8 {
        match self {
            Self::I8 | Self::U8 => 1,
            Self::I16 | Self::U16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 => 8,
        }
    }
}

/// Where an ALU or a lane reducer takes an operand from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// No operand.
    None,
    /// A stream group at the vector unit's register.
    Stream(Stream, Format),
    /// The output of an ALU, in exactly the cycle it appears.
    Alu(u8),
    /// The output of a lane reducer, in exactly the cycle it appears.
    Reduce(u8),
    /// The instruction's 32-bit immediate, in every lane.
    Immediate,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "none"),
            Self::Stream(stream, format) => write!(f, "{stream}:{format}"),
            Self::Alu(index) => write!(f, "alu.{index}"),
            Self::Reduce(index) => write!(f, "reduce.{index}"),
            Self::Immediate => write!(f, "imm"),
        }
    }
}

impl Field for Source {
    const BITS: u32 = 11;
    const SYNTAX: &'static str = "STREAM:FORMAT, alu.N, reduce.N or imm (left out: none)";
    fn bits(self) -> u128 {
        match self {
            Self::None => 0,
            Self::Stream(stream, format) => 1 | stream.bits() << 2 | format.bits() << 8,
            Self::Alu(index) => 2 | u128::from(index) << 2,
            Self::Reduce(index) => 2 | u128::from(index) << 2 | 1 << 8,
            Self::Immediate => 3,
        }
    }
    fn from_bits(bits: u128) -> Option<Self> {
        let payload = bits >> 2;
        Some(match bits & 3 {
            0 if payload == 0 => Self::None,
            1 => Self::Stream(Stream::from_bits(payload & 63)?, Format::from_bits(payload >> 6)?),
            2 if payload < 64 => Self::Alu(payload as u8),
            2 if payload < 128 => Self::Reduce((payload - 64) as u8),
            3 if payload == 0 => Self::Immediate,
            _ => return None,
        })
    }
    fn parse(text: &str) -> Option<Self> {
        let index = |rest: &str| Uint::<6>::parse(rest).map(|n| n.get() as u8);
        Some(match text {
            "none" => Self::None,
            "imm" => Self::Immediate,
            _ if text.starts_with("alu.") => Self::Alu(index(&text[4..])?),
            _ if text.starts_with("reduce.") => Self::Reduce(index(&text[7..])?),
            _ => {
                let (stream, format) = text.split_once(':')?;
                Self::Stream(Stream::parse(stream)?, Format::parse(format)?)
            }
        })
    }
    fn omitted() -> Option<Self> {
        Some(Self::None)
    }
}

/// Where a result of the vector unit goes, beside the ALUs that take it as it appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Destination {
    /// Whether it leaves eastward.
    pub east: bool,
    /// Whether it leaves westward.
    pub west: bool,
    /// The group's first stream, the same in both directions.
    pub number: u8,
    /// How it is written to the streams; a value outside the format's range is a fault.
    pub format: Format,
}

impl Destination {
    /// Nowhere but to ALUs.
    pub const NONE: Self = Self { east: false, west: false, number: 0, format: Format::I8 };

    /// To a stream group in its direction.
    pub fn to(stream: Stream, format: Format) -> Self {
        let east = stream.direction == Direction::East;
        Self { east, west: !east, number: stream.number, format }
    }

    /// To the groups of the same number in both directions.
    pub fn both(number: u8, format: Format) -> Self {
        Self { east: true, west: true, number, format }
    }

    /// The directions it leaves in.
    pub fn directions(self) -> impl Iterator<Item = Direction> {
        [(self.east, Direction::East), (self.west, Direction::West)].into_iter().filter(|(on, _)| *on).map(|(_, d)| d)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ways = match (self.east, self.west) {
            (false, false) => return write!(f, "none"),
            (true, false) => "e",
            (false, true) => "w",
            (true, true) => "both",
        };
        write!(f, "{ways}{}:{}", self.number, self.format)
    }
}

impl Field for Destination {
    const BITS: u32 = 10;
    const SYNTAX: &'static str = "eN:FORMAT, wN:FORMAT or bothN:FORMAT (left out: none)";
    fn bits(self) -> u128 {
        u128::from(self.east) | u128::from(self.west) << 1 | u128::from(self.number) << 2 | self.format.bits() << 7
    }
    fn from_bits(bits: u128) -> Option<Self> {
        let (east, west) = (bits & 1 == 1, bits >> 1 & 1 == 1);
        let value = Self { east, west, number: (bits >> 2 & 31) as u8, format: Format::from_bits(bits >> 7)? };
        (east || west || value == Self::NONE).then_some(value)
    }
    fn parse(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self::NONE);
        }
        let (ways, format) = text.split_once(':')?;
        let format = Format::parse(format)?;
        if let Some(number) = ways.strip_prefix("both") {
            return Some(Self::both(Uint::<5>::parse(number)?.get() as u8, format));
        }
        Some(Self::to(Stream::parse(ways)?, format))
    }
    fn omitted() -> Option<Self> {
        Some(Self::NONE)
    }
}

/// A word of a bank, as instructions name it: the instance of a block adds the offset of its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// Word within the bank, before the base's offset.
    pub word: u16,
    /// Which of the instance's 16 offsets is added.
    pub base: u8,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+b{}", self.word, self.base)
    }
}

impl Field for Address {
    const BITS: u32 = 17;
    const SYNTAX: &'static str = "WORD+bBASE";
    fn bits(self) -> u128 {
        u128::from(self.word) | u128::from(self.base) << 13
    }
    fn from_bits(bits: u128) -> Option<Self> {
        Some(Self { word: (bits & 0x1fff) as u16, base: (bits >> 13) as u8 })
    }
    fn parse(text: &str) -> Option<Self> {
        let (word, base) = text.split_once("+b")?;
        Some(Self { word: Uint::<13>::parse(word)?.get() as u16, base: Uint::<4>::parse(base)?.get() as u8 })
    }
}

/// What a memory instruction does in one bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// Nothing.
    Idle,
    /// The word goes to the stream.
    Read(Address, Stream),
    /// The stream's vector becomes the word.
    Write(Address, Stream),
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Idle => write!(f, "idle"),
            Self::Read(address, stream) => write!(f, "read:{address}:{stream}"),
            Self::Write(address, stream) => write!(f, "write:{address}:{stream}"),
        }
    }
}

impl Field for Slot {
    const BITS: u32 = 25;
    const SYNTAX: &'static str = "read:WORD+bBASE:STREAM or write:WORD+bBASE:STREAM (left out: idle)";
    fn bits(self) -> u128 {
        match self {
            Self::Idle => 0,
            Self::Read(address, stream) => 1 | address.bits() << 2 | stream.bits() << 19,
            Self::Write(address, stream) => 2 | address.bits() << 2 | stream.bits() << 19,
        }
    }
    fn from_bits(bits: u128) -> Option<Self> {
        let address = Address::from_bits(bits >> 2 & 0x1_ffff)?;
        let stream = Stream::from_bits(bits >> 19)?;
        match bits & 3 {
            0 if bits == 0 => Some(Self::Idle),
            1 => Some(Self::Read(address, stream)),
            2 => Some(Self::Write(address, stream)),
            _ => None,
        }
    }
    fn parse(text: &str) -> Option<Self> {
        if text == "idle" {
            return Some(Self::Idle);
        }
        let mut parts = text.split(':');
        let (verb, address, stream) = (parts.next()?, Address::parse(parts.next()?)?, Stream::parse(parts.next()?)?);
        match (verb, parts.next()) {
            ("read", None) => Some(Self::Read(address, stream)),
            ("write", None) => Some(Self::Write(address, stream)),
            _ => None,
        }
    }
    fn omitted() -> Option<Self> {
        Some(Self::Idle)
    }
}

/// For each lane of a superlane, the lane of the same superlane it takes its byte from; `None` gives zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LaneMap(pub [Option<u8>; 16]);

impl fmt::Display for LaneMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (lane, from) in self.0.iter().enumerate() {
            let comma = if lane == 0 { "" } else { "," };
            match from {
                Some(from) => write!(f, "{comma}{from}")?,
                None => write!(f, "{comma}z")?,
            }
        }
        Ok(())
    }
}

impl Field for LaneMap {
    const BITS: u32 = 80;
    const SYNTAX: &'static str = "16 lanes or z (zero), with commas";
    fn bits(self) -> u128 {
        let code = |from: Option<u8>| u128::from(from.unwrap_or(16));
        self.0.iter().rev().fold(0, |bits, from| bits << 5 | code(*from))
    }
    fn from_bits(bits: u128) -> Option<Self> {
        let mut map = [None; 16];
        for (lane, from) in map.iter_mut().enumerate() {
            match (bits >> (5 * lane) & 31) as u8 {
                16 => {}
                code if code < 16 => *from = Some(code),
                _ => return None,
            }
        }
        Some(Self(map))
    }
    fn parse(text: &str) -> Option<Self> {
        let mut map = [None; 16];
        let mut parts = text.split(',');
        for from in &mut map {
            *from = match parts.next()? {
                "z" => None,
                lane => Some(Uint::<4>::parse(lane)?.get() as u8),
            };
        }
        parts.next().is_none().then_some(Self(map))
    }
}

/// A 32-bit constant, written in hexadecimal; left out of the text where it is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Immediate(pub u32);

impl Immediate {
    /// The constant with these bits.
    pub fn f32(value: f32) -> Self {
        Self(value.to_bits())
    }
}

impl fmt::Display for Immediate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:x}", self.0)
    }
}

impl Field for Immediate {
    const BITS: u32 = 32;
    const SYNTAX: &'static str =
        "0xHEX, a decimal integer, or a decimal number with a point for its f32 bits (left out: 0x0)";
    fn bits(self) -> u128 {
        self.0.into()
    }
    fn from_bits(bits: u128) -> Option<Self> {
        Some(Self(u32::try_from(bits).ok()?))
    }
    fn parse(text: &str) -> Option<Self> {
        if let Some(hex) = text.strip_prefix("0x") {
            return (!hex.starts_with('+')).then(|| u32::from_str_radix(hex, 16).ok()).flatten().map(Self);
        }
        if text.contains('.') {
            return text.parse::<f32>().ok().map(Self::f32);
        }
        text.parse::<i32>().ok().map(|value| Self(value as u32))
    }
    fn omitted() -> Option<Self> {
        Some(Self(0))
    }
}

named_field! {
    /// What an ALU computes; each is the function of the same name in the arithmetic contract. Operands are `a`, `b`,
    /// `c`. A NaN that is computed is 0x7fc00000.
    AluOp: 6 {
        /// `a` as it is; keeps a value for one more delay, or changes its format.
        Identity = "identity",
        /// f32 `a + b`.
        Add = "add",
        /// f32 `a - b`.
        Subtract = "subtract",
        /// f32 `a * b`.
        Multiply = "multiply",
        /// f32 `a * b + c`, rounded once. The contract never uses it.
        FusedMultiplyAdd = "fma",
        /// f32 `a / b`.
        Divide = "divide",
        /// f32 square root of `a`.
        SquareRoot = "sqrt",
        /// f32 magnitude of `a`.
        Absolute = "abs",
        /// f32 `-a`.
        Negate = "negate",
        /// The lesser of f32 `a` and `b` in total order.
        Minimum = "min",
        /// The greater of f32 `a` and `b` in total order.
        Maximum = "max",
        /// -1 where f32 `a < b`, else 0.
        Less = "less",
        /// -1 where f32 `a <= b`, else 0.
        LessEqual = "less_equal",
        /// -1 where f32 `a = b`, else 0.
        Equal = "equal",
        /// `b` where the integer `a` is not 0, else `c`.
        Select = "select",
        /// f32 `a * 2^b` for an integer `b` of -126 to 127, one multiplication; another `b` is a fault.
        Ldexp = "ldexp",
        /// The exponent field of f32 `a`, minus 127.
        Exponent = "exponent",
        /// f32 `a` rounded up to an i32; saturates, NaN gives 0.
        Ceil = "ceil",
        /// f32 `a` rounded to the nearest i32, ties to even; saturates, NaN gives 0.
        RoundEven = "round_even",
        /// i32 `a` as the nearest f32.
        ToFloat = "to_f32",
        /// exp32 of f32 `a`.
        Exp32 = "exp32",
        /// i32 `a + b`; overflow is a fault.
        IntegerAdd = "iadd",
        /// i32 `a - b`; overflow is a fault.
        IntegerSubtract = "isub",
        /// i32 `a * b`; overflow is a fault.
        IntegerMultiply = "imul",
        /// The lesser of i32 `a` and `b`.
        IntegerMinimum = "imin",
        /// The greater of i32 `a` and `b`.
        IntegerMaximum = "imax",
        /// -1 where i32 `a < b`, else 0.
        IntegerLess = "iless",
        /// -1 where i32 `a = b`, else 0.
        IntegerEqual = "iequal",
        /// Bits of `a` and `b`.
        And = "and",
        /// Bits of `a` or `b`.
        Or = "or",
        /// Bits of `a` differing from `b`.
        Xor = "xor",
        /// `a` shifted left by `b` of 0 to 31; another `b` is a fault.
        ShiftLeft = "shift_left",
        /// i32 `a` shifted right by `b` of 0 to 31, keeping the sign; another `b` is a fault.
        ShiftRight = "shift_right",
        /// i64 `a + b`, from and to stream groups of 8 or other ALUs; overflow is a fault.
        AddI64 = "add_i64",
        /// i64 `a` as the nearest f32.
        RoundI64 = "rn_i64",
        /// A value fault where f32 `a`'s magnitude is 2^50 or more, or not a number; else `a`.
        Guard = "guard",
    }
}

named_field! {
    /// What a lane reducer computes over each segment.
    ReduceOp: 2 {
        /// The greatest i32.
        MaximumI32 = "max_i32",
        /// The greatest f32, in total order.
        MaximumF32 = "max_f32",
        /// The exact sum of i32, kept in 64 bits; overflow is a fault.
        SumI32 = "sum_i32",
    }
}

named_field! {
    /// What a matrix plane holds and computes.
    TileKind: 3 {
        /// 320 rows of i8; products summed in i32.
        Int8 = "int8",
        /// 160 inputs of IEEE binary16, over both planes of a hemisphere; products summed exactly.
        Fp16 = "fp16",
        /// A tile of LB8: i8 codes with D for each 32 inputs.
        Lb8 = "lb8",
        /// Two tiles of LB4, even and odd, side by side in the nibbles; D and O for each 32 inputs.
        Lb4 = "lb4",
        /// 160 inputs of i16, over both planes of a hemisphere, met by i16 (queries on keys: 12 by 16 bits).
        Wide12 = "wide12",
        /// The same, met by unsigned integers up to 2^24 (weights on values: 25 by 12 bits).
        Wide25 = "wide25",
    }
}

impl TileKind {
    /// Whether a tile takes both planes of its hemisphere; it is then driven by the even plane's queues.
    pub fn takes_pair(self) -> bool {
        matches!(self, Self::Fp16 | Self::Wide12 | Self::Wide25)
    }

    /// Byte planes of one stored vector.
    pub fn vector_streams(self) -> u8 {
        if self.takes_pair() { 2 } else { 1 }
    }

    /// Streams of one activation, without its scale.
    pub fn activation_streams(self) -> u8 {
        match self {
            Self::Int8 | Self::Lb8 | Self::Lb4 => 1,
            Self::Fp16 | Self::Wide12 => 2,
            Self::Wide25 => 4,
        }
    }

    /// Whether activations come with the scale A.
    pub fn has_scale(self) -> bool {
        matches!(self, Self::Lb8 | Self::Lb4)
    }

    /// Cycles that one activation takes the plane.
    pub fn activation_cycles(self) -> u32 {
        if self == Self::Wide25 { 2 } else { 1 }
    }
}

named_field! {
    /// How a stored vector lies in the tile.
    Orientation: 1 = Row {
        /// Each vector is one output; its lanes are inputs.
        Row = "row",
        /// Each vector is one input; its lanes are outputs.
        Column = "column",
    }
}

named_field! {
    /// Which half of a pair: the even or the odd tile of LB4; the lower or the upper lanes of a pair-wide tile.
    Half: 1 = Low {
        /// Even tile, or the lower half of the lanes.
        Low = "low",
        /// Odd tile, or the upper half of the lanes.
        High = "high",
    }
}
