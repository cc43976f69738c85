//! Fields of instructions: how many bits each takes, and how it is written in text.

use std::fmt;

use crate::geometry::Direction;

/// A value that stands in an instruction's encoding and in its text as `name=value`.
pub trait Field: Copy + PartialEq + fmt::Display {
    /// Bits in the encoding.
    const BITS: u32;
    /// How the value is written, for the manual and for error messages.
    const SYNTAX: &'static str;
    /// The value's bits, below `2^BITS`.
    fn bits(self) -> u128;
    /// The value of these bits, `None` where none has them.
    fn from_bits(bits: u128) -> Option<Self>;
    /// The value of a text.
    fn parse(text: &str) -> Option<Self>;
    /// The value that the text leaves out, if there is one.
    fn omitted() -> Option<Self> {
        None
    }
}

/// An unsigned integer of `B` bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uint<const B: u32>(u32);

impl<const B: u32> Uint<B> {
    /// The value, or `None` where it needs more bits.
    pub fn new(value: u32) -> Option<Self> {
        (u64::from(value) < 1 << B).then_some(Self(value))
    }

    /// The value as a number.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl<const B: u32> fmt::Display for Uint<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A decimal number without sign, leading zeros or blanks.
fn decimal(text: &str) -> Option<u32> {
    let plain = text == "0" || !text.starts_with('0');
    (plain && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

impl<const B: u32> Field for Uint<B> {
    const BITS: u32 = B;
    const SYNTAX: &'static str = "N";
    fn bits(self) -> u128 {
        self.0.into()
    }
    fn from_bits(bits: u128) -> Option<Self> {
        Self::new(u32::try_from(bits).ok()?)
    }
    fn parse(text: &str) -> Option<Self> {
        Self::new(decimal(text)?)
    }
}

impl Field for bool {
    const BITS: u32 = 1;
    const SYNTAX: &'static str = "true (left out: false)";
    fn bits(self) -> u128 {
        self.into()
    }
    fn from_bits(bits: u128) -> Option<Self> {
        Some(bits == 1)
    }
    fn parse(text: &str) -> Option<Self> {
        match text {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }
    fn omitted() -> Option<Self> {
        Some(false)
    }
}

/// A signed number that an instruction adds at each repetition; left out of the text where it is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Stride(pub i16);

impl fmt::Display for Stride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl Field for Stride {
    const BITS: u32 = 16;
    const SYNTAX: &'static str = "N or -N (left out: 0)";
    fn bits(self) -> u128 {
        (self.0 as u16).into()
    }
    fn from_bits(bits: u128) -> Option<Self> {
        Some(Self(u16::try_from(bits).ok()? as i16))
    }
    fn parse(text: &str) -> Option<Self> {
        let magnitude = decimal(text.strip_prefix('-').unwrap_or(text))?;
        let value = if text.starts_with('-') { -i64::from(magnitude) } else { magnitude.into() };
        (value != 0 || !text.starts_with('-')).then(|| i16::try_from(value).ok()).flatten().map(Self)
    }
    fn omitted() -> Option<Self> {
        Some(Self(0))
    }
}

/// One stream: a direction and a number, written `e5` or `w31`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    /// Which way it flows.
    pub direction: Direction,
    /// Its number, 0 to 31.
    pub number: u8,
}

impl Stream {
    /// A stream that flows east.
    pub const fn east(number: u8) -> Self {
        Self { direction: Direction::East, number }
    }

    /// A stream that flows west.
    pub const fn west(number: u8) -> Self {
        Self { direction: Direction::West, number }
    }

    /// The stream `more` numbers on, in the same direction.
    #[must_use]
    pub fn plus(self, more: u8) -> Self {
        Self { number: self.number.wrapping_add(more), ..self }
    }
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.direction == Direction::East { 'e' } else { 'w' }, self.number)
    }
}

impl Field for Stream {
    const BITS: u32 = 6;
    const SYNTAX: &'static str = "eN or wN";
    fn bits(self) -> u128 {
        u128::from(self.number) | u128::from(self.direction == Direction::East) << 5
    }
    fn from_bits(bits: u128) -> Option<Self> {
        let direction = if bits >> 5 & 1 == 1 { Direction::East } else { Direction::West };
        Some(Self { direction, number: (bits & 31) as u8 })
    }
    fn parse(text: &str) -> Option<Self> {
        let number = decimal(text.get(1..)?).filter(|n| *n < 32)? as u8;
        match text.as_bytes()[0] {
            b'e' => Some(Self::east(number)),
            b'w' => Some(Self::west(number)),
            _ => None,
        }
    }
}

/// Fields that are one of a few names.
macro_rules! named_field {
    ($(#[doc = $doc:literal])* $name:ident : $bits:literal $(= $default:ident)? { $( $(#[doc = $vdoc:literal])* $variant:ident = $text:literal ),* $(,)? }) => {
        $(#[doc = $doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $( $(#[doc = $vdoc])* $variant ),* }

        impl $name {
            /// All values, in the order of their codes.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// What the value means, for the manual.
            pub fn doc(self) -> &'static str {
                match self { $(Self::$variant => concat!($($vdoc),*).trim_ascii()),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => $text),* })
            }
        }

        impl $crate::inst::field::Field for $name {
            const BITS: u32 = $bits;
            const SYNTAX: &'static str = concat!("one of", $(" ", $text),*);
            fn bits(self) -> u128 {
                self as u128
            }
            fn from_bits(bits: u128) -> Option<Self> {
                Self::ALL.get(usize::try_from(bits).ok()?).copied()
            }
            fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
            $(
                fn omitted() -> Option<Self> {
                    Some(Self::$default)
                }
            )?
        }
    };
}
pub(crate) use named_field;
