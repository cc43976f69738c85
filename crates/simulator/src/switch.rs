//! Switch units: bytes move between lanes.

use lockstep_machine::inst::operand::LaneMap;

use crate::value::{Bytes, LANES, ValueError};

/// Moves lanes up by `by`; what nothing reaches is 0.
pub(crate) fn shift(from: &Bytes, by: i32, lanes: usize, out: &mut Bytes) {
    for (lane, byte) in out[..lanes].iter_mut().enumerate() {
        let source = lane as i32 - by;
        *byte = if (0..lanes as i32).contains(&source) { from[source as usize] } else { 0 };
    }
}

/// Moves lanes up by `by`, round the vector.
pub(crate) fn rotate(from: &Bytes, by: i32, lanes: usize, out: &mut Bytes) {
    for (lane, byte) in out[..lanes].iter_mut().enumerate() {
        *byte = from[(lane as i32 - by).rem_euclid(lanes as i32) as usize];
    }
}

/// The lanes that a permutation's map names; `None` gives zero.
pub(crate) fn read_map(low: &Bytes, high: &Bytes, lanes: usize) -> Result<[Option<u16>; LANES], ValueError> {
    let mut map = [None; LANES];
    for (lane, from) in map[..lanes].iter_mut().enumerate() {
        match u16::from_le_bytes([low[lane], high[lane]]) {
            0xffff => {}
            source if usize::from(source) < lanes => *from = Some(source),
            source => return Err(ValueError::range(format!("the map names lane {source} in lane {lane}"))),
        }
    }
    Ok(map)
}

/// Moves bytes by a map of all lanes.
pub(crate) fn permute(from: &Bytes, map: &[Option<u16>; LANES], out: &mut Bytes) {
    for (byte, source) in out.iter_mut().zip(map) {
        *byte = source.map_or(0, |lane| from[usize::from(lane)]);
    }
}

/// Moves bytes by one map within each superlane.
pub(crate) fn distribute(from: &Bytes, map: &LaneMap, out: &mut Bytes) {
    for (superlane, chunk) in out.chunks_mut(16).enumerate() {
        for (byte, source) in chunk.iter_mut().zip(map.0) {
            *byte = source.map_or(0, |lane| from[16 * superlane + usize::from(lane)]);
        }
    }
}

/// One stream of a transposition: its lane l is what stream l has in lane `stream`.
pub(crate) fn transpose(from: &[Bytes], stream: usize, out: &mut Bytes) {
    for (superlane, chunk) in out.chunks_mut(16).enumerate() {
        for (byte, source) in chunk.iter_mut().zip(from) {
            *byte = source[16 * superlane + stream];
        }
    }
}
