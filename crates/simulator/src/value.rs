//! Values in flight: bytes on streams, numbers at outputs, and how one becomes the other.

use lockstep_machine::inst::operand::Format;

/// Lanes of the largest vector; smaller machines leave the rest 0.
pub(crate) const LANES: usize = 320;

/// A vector on one stream.
pub(crate) type Bytes = [u8; LANES];
/// A vector of 32-bit numbers; f32 by their bits.
pub(crate) type Lanes = [i32; LANES];
/// A vector of 64-bit integers.
pub(crate) type WideLanes = [i64; LANES];

/// Why a value cannot be.
#[derive(Clone, Debug)]
pub(crate) struct ValueError {
    pub(crate) overflow: bool,
    pub(crate) message: String,
}

impl ValueError {
    pub(crate) fn overflow(what: &str, lane: usize) -> Self {
        Self { overflow: true, message: format!("{what} overflows in lane {lane}") }
    }

    pub(crate) fn range(message: String) -> Self {
        Self { overflow: false, message }
    }
}

/// The numbers of a stream group of at most 4 byte planes.
pub(crate) fn join(planes: &[&Bytes], format: Format, out: &mut Lanes) {
    match (format, planes) {
        (Format::I8, [low]) => each(out, |l| i32::from(low[l] as i8)),
        (Format::U8, [low]) => each(out, |l| i32::from(low[l])),
        (Format::I16, [low, high]) => each(out, |l| i32::from(i16::from_le_bytes([low[l], high[l]]))),
        (Format::U16, [low, high]) => each(out, |l| i32::from(u16::from_le_bytes([low[l], high[l]]))),
        (_, [a, b, c, d, ..]) => each(out, |l| i32::from_le_bytes([a[l], b[l], c[l], d[l]])),
        _ => out.fill(0),
    }
}

/// The numbers of a stream group of 8 byte planes.
pub(crate) fn join_wide(planes: &[&Bytes], out: &mut WideLanes) {
    for (lane, value) in out.iter_mut().enumerate() {
        let mut bytes = [0; 8];
        for (byte, plane) in bytes.iter_mut().zip(planes) {
            *byte = plane[lane];
        }
        *value = i64::from_le_bytes(bytes);
    }
}

fn each(out: &mut Lanes, f: impl Fn(usize) -> i32) {
    for (lane, value) in out.iter_mut().enumerate() {
        *value = f(lane);
    }
}

/// Whether all numbers fit a format; the first that does not is named.
pub(crate) fn fits(values: &Lanes, format: Format, lanes: usize) -> Result<(), ValueError> {
    let (least, most) = match format {
        Format::I8 => (-128, 127),
        Format::U8 => (0, 255),
        Format::I16 => (-32_768, 32_767),
        Format::U16 => (0, 65_535),
        _ => return Ok(()),
    };
    match values[..lanes].iter().position(|value| !(least..=most).contains(value)) {
        None => Ok(()),
        Some(lane) => Err(ValueError::range(format!("{} in lane {lane} does not fit {format}", values[lane]))),
    }
}

/// One byte plane of numbers.
pub(crate) fn plane(values: &Lanes, number: usize, out: &mut Bytes) {
    for (byte, value) in out.iter_mut().zip(values) {
        *byte = (value >> (8 * number)) as u8;
    }
}

/// One byte plane of wide numbers.
pub(crate) fn plane_wide(values: &WideLanes, number: usize, out: &mut Bytes) {
    for (byte, value) in out.iter_mut().zip(values) {
        *byte = (value >> (8 * number)) as u8;
    }
}

/// An exact integer as the nearest f32: one rounding.
pub(crate) fn round_i64(value: i64) -> f32 {
    // The conversion of the language rounds to nearest, ties to even, from all 64 bits.
    value as f32
}
