use crate::Tokenizer;

/// Tokens to text while they are generated: never half a character.
///
/// The pieces joined are the text of all tokens at once. Bytes that may yet become a character are held back; bytes that
/// cannot are given out as U+FFFD, one for each longest stretch that a character could have begun with.
#[derive(Clone)]
pub struct StreamDecoder {
    tokenizer: Tokenizer,
    skip_special: bool,
    /// Special tokens that are text all the same.
    shown: Vec<u32>,
    strip_first_space: bool,
    held: Vec<u8>,
}

impl StreamDecoder {
    /// A decoder at the beginning of a text: the space that encoding put in front is taken away.
    /// Special tokens add no text.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        Self::with_special(tokenizer, true)
    }

    /// The same with a choice whether special tokens are left out.
    pub fn with_special(tokenizer: &Tokenizer, skip_special: bool) -> Self {
        let strip_first_space = tokenizer.strips_first_space();
        Self { tokenizer: tokenizer.clone(), skip_special, shown: Vec::new(), strip_first_space, held: Vec::new() }
    }

    /// A decoder in the middle of a text (a completion of raw text): every space is kept.
    pub fn continuing(tokenizer: &Tokenizer, skip_special: bool) -> Self {
        Self {
            tokenizer: tokenizer.clone(),
            skip_special,
            shown: Vec::new(),
            strip_first_space: false,
            held: Vec::new(),
        }
    }

    /// The same, with some special tokens shown although others are left out: the marks before calls of tools, say.
    /// Those that the vocabulary lacks are passed over.
    #[must_use]
    pub fn showing(mut self, marks: &[&str]) -> Self {
        self.shown.extend(marks.iter().filter_map(|mark| self.tokenizer.id_of(mark)));
        self
    }

    /// The text that has become certain with this token; often a whole token, sometimes nothing.
    pub fn push(&mut self, id: u32) -> String {
        if self.skip_special && self.tokenizer.is_special(id) && !self.shown.contains(&id) {
            return String::new();
        }
        let bytes = self.tokenizer.token_bytes(id);
        let mut bytes = bytes.as_slice();
        if self.strip_first_space && !bytes.is_empty() {
            self.strip_first_space = false;
            bytes = bytes.strip_prefix(b" ").unwrap_or(bytes);
        }
        self.held.extend_from_slice(bytes);
        let certain = self.held.len() - unfinished(&self.held);
        let text = String::from_utf8_lossy(&self.held[..certain]).into_owned();
        self.held.drain(..certain);
        text
    }

    /// The text has ended: what was held back can no longer become a character.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.held)).into_owned()
    }
}

/// Length of the end of `bytes` that may yet become a character.
fn unfinished(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Err(error) = std::str::from_utf8(rest) {
        let Some(wrong) = error.error_len() else { return rest.len() - error.valid_up_to() };
        rest = &rest[error.valid_up_to() + wrong..];
    }
    0
}
