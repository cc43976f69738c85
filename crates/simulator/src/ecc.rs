//! The error-correcting code of memory words: SECDED over 128 bits, 9 check bits.
//!
//! An extended Hamming code: data bits stand at the positions from 1 on that are no powers of two, check bit i at
//! position 2^i holds the parity of the positions that have bit i, and a last bit holds the parity of everything. One
//! flipped bit is named by the syndrome; two leave the overall parity even and the syndrome not zero.

/// Data and check bits of one superlane's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Codeword {
    data: u128,
    checks: u8,
    parity: bool,
}

/// What a codeword turns out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// As it was written.
    Clean(u128),
    /// One bit had flipped; this is what was written.
    Corrected(u128),
    /// More than one bit had flipped.
    Uncorrectable,
}

/// The position of a data bit in the code: the `bit`-th from 1 on that is no power of two.
fn position(bit: u32) -> u32 {
    // Below position p there are as many powers of two as p has bits.
    let mut at = bit + 1;
    loop {
        let next = bit + 1 + (32 - at.leading_zeros());
        if next == at {
            return at;
        }
        at = next;
    }
}

fn checks(data: u128) -> u8 {
    (0..128).filter(|bit| data >> bit & 1 == 1).fold(0, |sum, bit| sum ^ position(bit) as u8)
}

/// The codeword of 128 bits.
pub(crate) fn encode(data: u128) -> Codeword {
    let checks = checks(data);
    Codeword { data, checks, parity: (data.count_ones() + checks.count_ones()) % 2 == 1 }
}

/// Reads a codeword, setting one flipped bit right.
pub(crate) fn decode(word: Codeword) -> Decoded {
    let syndrome = checks(word.data) ^ word.checks;
    let ones = word.data.count_ones() + word.checks.count_ones() + u32::from(word.parity);
    match (syndrome, ones % 2) {
        (0, 0) => Decoded::Clean(word.data),
        // The overall parity itself, or one check bit: the data are sound.
        (0, _) => Decoded::Corrected(word.data),
        (_, 0) => Decoded::Uncorrectable,
        _ if syndrome.is_power_of_two() => Decoded::Corrected(word.data),
        _ => match (0..128).find(|bit| position(*bit) == u32::from(syndrome)) {
            Some(bit) => Decoded::Corrected(word.data ^ 1 << bit),
            None => Decoded::Uncorrectable,
        },
    }
}

impl Codeword {
    /// Bits of a codeword: data, 8 check bits (positions go up to 136), the overall parity.
    pub(crate) const BITS: u8 = 128 + 8 + 1;

    /// Flips a bit: data, then check bits, then the overall parity.
    pub(crate) fn flip(&mut self, bit: u8) {
        match bit {
            0..128 => self.data ^= 1 << bit,
            128..136 => self.checks ^= 1 << (bit - 128),
            _ => self.parity = !self.parity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> impl Iterator<Item = u128> {
        let mut state = 1_u128;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(0x2360_ed05_1fc6_5da4_4385_df64_9fcc_f645).wrapping_add(1);
            state
        })
        .take(20)
        .chain([0, u128::MAX])
    }

    #[test]
    fn every_single_flip_is_corrected_and_every_pair_is_detected() {
        for data in words() {
            assert_eq!(decode(encode(data)), Decoded::Clean(data));
            for first in 0..Codeword::BITS {
                let mut once = encode(data);
                once.flip(first);
                assert_eq!(decode(once), Decoded::Corrected(data), "bit {first}");
                for second in 0..first {
                    let mut twice = once;
                    twice.flip(second);
                    assert_eq!(decode(twice), Decoded::Uncorrectable, "bits {first} and {second}");
                }
            }
        }
    }

    #[test]
    fn data_bits_stand_where_no_power_of_two_is() {
        let positions: Vec<u32> = (0..128).map(position).collect();
        let expected: Vec<u32> = (1_u32..).filter(|at| !at.is_power_of_two()).take(128).collect();
        assert_eq!(positions, expected);
    }
}
