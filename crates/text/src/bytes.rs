//! GPT-2's byte alphabet: every byte has a printable character, so that tokens are valid text in any file.

/// The character that stands for each byte: itself where it is printable in Latin-1, else the next one from U+0100.
pub(crate) fn byte_alphabet() -> [char; 256] {
    let mut alphabet = ['\0'; 256];
    let mut next = 0x100;
    for (byte, slot) in (0u8..=255).zip(&mut alphabet) {
        *slot = if is_printable(byte) {
            byte as char
        } else {
            next += 1;
            char::from_u32(next - 1).unwrap_or('\0')
        };
    }
    alphabet
}

fn is_printable(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff)
}

/// The byte that a character of the alphabet stands for.
fn byte_of(character: char) -> Option<u8> {
    let code = character as u32;
    match code {
        0..=0xff => is_printable(code as u8).then_some(code as u8),
        // The 68 others in rising order: 0x00..=0x20, 0x7f..=0xa0, 0xad.
        0x100..=0x120 => Some((code - 0x100) as u8),
        0x121..=0x142 => Some((code - 0x121 + 0x7f) as u8),
        0x143 => Some(0xad),
        _ => None,
    }
}

/// The bytes that a byte-level token spells; None if one of its characters is not of the alphabet.
pub(crate) fn bytes_of(token: &str) -> Option<Vec<u8>> {
    token.chars().map(byte_of).collect()
}

/// The byte of a SentencePiece byte token, `<0x41>`.
pub(crate) fn byte_of_piece(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let upper = digits.bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'));
    if digits.len() == 2 && upper { u8::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_and_its_inverse_agree() {
        let alphabet = byte_alphabet();
        for byte in 0u8..=255 {
            assert_eq!(byte_of(alphabet[byte as usize]), Some(byte));
        }
        assert_eq!(alphabet[b' ' as usize], 'Ġ');
        assert_eq!(byte_of('▁'), None);
    }

    #[test]
    fn byte_pieces_are_two_upper_case_digits() {
        assert_eq!(byte_of_piece("<0x0A>"), Some(10));
        assert_eq!(byte_of_piece("<0x0a>"), None);
        assert_eq!(byte_of_piece("<0x+A>"), None);
    }
}
