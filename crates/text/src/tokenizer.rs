use std::sync::Arc;

use crate::bpe::{Bpe, Scratch};
use crate::bytes::{byte_alphabet, byte_of_piece, bytes_of};
use crate::normalize::Normalizer;
use crate::special::{Matcher, Part, SpecialTokens};
use crate::split::PreTokenizer;
use crate::table::TokenTable;
use crate::{ChatTemplate, Error, StreamDecoder, TokenKind};

/// Control tokens that end an answer in the models we know; a vocabulary's own eos and eot always do.
const END_OF_GENERATION: &[&str] = &[
    "<|im_end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<end_of_turn>",
    "<|eot|>",
    "<EOT>",
];

/// How [`Tokenizer::encode`] treats special tokens. Both are off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeOptions {
    /// Put the vocabulary's bos in front and its eos at the end, where it asks for them. Off for the output of a chat
    /// template, which writes them itself.
    pub add_special: bool,
    /// Let `<|im_end|>` and the like in the text become that token. Off for text that a user wrote: there it is spelled
    /// like any other text, and no user can end a turn.
    pub parse_special: bool,
}

/// How tokens spell bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// GPT-2's byte alphabet.
    ByteLevel,
    /// `▁` for a space and `<0x41>` for a byte.
    SentencePiece {
        /// Whether encoding put a space in front, which decoding takes away.
        strip_first_space: bool,
    },
}

/// Text to token ids and back. Cheap to clone; shared between threads.
#[derive(Clone)]
pub struct Tokenizer {
    inner: Arc<Inner>,
    /// Rising ids.
    end_of_generation: Arc<[u32]>,
}

struct Inner {
    table: TokenTable,
    pipeline: Pipeline,
    alphabet: [char; 256],
    marks: Marks,
    ends: Ends,
    chat_template: Option<String>,
}

/// How text becomes words, and words tokens.
pub(crate) struct Pipeline {
    pub(crate) specials: SpecialTokens,
    pub(crate) normalizers: Vec<Normalizer>,
    pub(crate) steps: PreTokenizer,
    pub(crate) bpe: Bpe,
    pub(crate) spelling: Spelling,
}

/// The ids that a vocabulary names.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks {
    pub(crate) bos: Option<u32>,
    pub(crate) eos: Option<u32>,
    pub(crate) eot: Option<u32>,
    pub(crate) pad: Option<u32>,
}

/// What `add_special` puts around a text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ends {
    pub(crate) prefix: Vec<u32>,
    pub(crate) suffix: Vec<u32>,
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size()).finish_non_exhaustive()
    }
}

impl Tokenizer {
    pub(crate) fn assemble(
        table: TokenTable,
        pipeline: Pipeline,
        marks: Marks,
        ends: Ends,
        chat_template: Option<String>,
    ) -> Self {
        let known = END_OF_GENERATION.iter().filter_map(|text| table.id(text));
        let control = known.filter(|&id| table.kind(id) == Some(TokenKind::Control));
        let end_of_generation = rising(control.chain(marks.eos).chain(marks.eot));
        let inner = Inner { table, pipeline, alphabet: byte_alphabet(), marks, ends, chat_template };
        Self { inner: Arc::new(inner), end_of_generation }
    }

    /// Token ids of `text`, equal to those of `transformers` for the same vocabulary.
    ///
    /// Where a hostile pattern of a `tokenizer.json` takes too many steps, that stretch of text is merged as one word.
    pub fn encode(&self, text: &str, options: EncodeOptions) -> Vec<u32> {
        let inner = &*self.inner;
        let normalized = inner.pipeline.specials.normalized(options.parse_special);
        let mut ids = Vec::new();
        let mut scratch = Scratch::default();
        if options.add_special {
            ids.extend(&inner.ends.prefix);
        }
        for part in inner.pipeline.specials.raw(options.parse_special).split(text) {
            match part {
                Part::Token(id) => ids.push(id),
                Part::Text(at, text) => {
                    let before = ids.len();
                    if inner.encode_text(text, at == 0, normalized, &mut scratch, &mut ids).is_err() {
                        ids.truncate(before);
                        inner.pipeline.bpe.encode(&inner.table, &inner.alphabet, text, &mut scratch, &mut ids);
                    }
                }
            }
        }
        if options.add_special {
            ids.extend(&inner.ends.suffix);
        }
        ids
    }

    /// Text of `ids`. Bytes that are not UTF-8 become U+FFFD; ids outside of the vocabulary (a model's padding rows)
    /// have no text; `skip_special` leaves control tokens out.
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> String {
        let mut decoder = StreamDecoder::with_special(self, skip_special);
        let mut text: String = ids.iter().map(|&id| decoder.push(id)).collect();
        text.push_str(&decoder.finish());
        text
    }

    /// The bytes that a token adds to the text; none for an id outside of the vocabulary.
    pub fn token_bytes(&self, id: u32) -> Vec<u8> {
        let table = &self.inner.table;
        let (Some(text), Some(kind)) = (table.text(id), table.kind(id)) else { return Vec::new() };
        let as_it_stands = || text.as_bytes().to_vec();
        match self.inner.pipeline.spelling {
            _ if kind.is_special() => as_it_stands(),
            Spelling::ByteLevel if kind == TokenKind::UserDefined => as_it_stands(),
            Spelling::ByteLevel => bytes_of(text).unwrap_or_else(as_it_stands),
            Spelling::SentencePiece { .. } => match byte_of_piece(text) {
                Some(byte) if kind == TokenKind::Byte => vec![byte],
                _ => text.replace('▁', " ").into_bytes(),
            },
        }
    }

    /// What a token is; None outside of the vocabulary.
    pub fn kind(&self, id: u32) -> Option<TokenKind> {
        self.inner.table.kind(id)
    }

    /// A token as it stands in the vocabulary (`Ġthe`, `▁the`, `<0x0A>`); None outside of it.
    pub fn token_text(&self, id: u32) -> Option<&str> {
        self.inner.table.text(id)
    }

    /// The token whose text in the vocabulary is exactly this.
    pub fn id_of(&self, text: &str) -> Option<u32> {
        self.inner.table.id(text)
    }

    /// Number of tokens.
    pub fn vocab_size(&self) -> usize {
        self.inner.table.len()
    }

    /// Whether the tokenizer can belong to a model with so many embedding rows: rows may be padded, never fewer.
    pub fn check_vocab_size(&self, model_vocab: usize) -> Result<(), Error> {
        let tokens = self.vocab_size();
        if tokens > model_vocab { Err(Error::VocabSize { tokens, model: model_vocab }) } else { Ok(()) }
    }

    /// Whether a token is a control or unknown token, which text never becomes by itself.
    pub fn is_special(&self, id: u32) -> bool {
        self.inner.table.is_special(id)
    }

    /// Whether an answer ends with this token.
    pub fn is_end_of_generation(&self, id: u32) -> bool {
        self.end_of_generation.binary_search(&id).is_ok()
    }

    /// All tokens that end an answer, rising.
    pub fn end_of_generation(&self) -> &[u32] {
        &self.end_of_generation
    }

    /// The same tokenizer with more tokens that end an answer (`eos_token_id` of a `generation_config.json`).
    pub fn with_end_of_generation(&self, ids: &[u32]) -> Result<Self, Error> {
        let tokens = self.vocab_size();
        if let Some(&id) = ids.iter().find(|&&id| id as usize >= tokens) {
            return Err(Error::IdOutOfRange { field: "eos_token_id", id, tokens });
        }
        let end_of_generation = rising(self.end_of_generation.iter().chain(ids).copied());
        Ok(Self { inner: Arc::clone(&self.inner), end_of_generation })
    }

    /// Begins a sequence.
    pub fn bos(&self) -> Option<u32> {
        self.inner.marks.bos
    }

    /// Ends a sequence.
    pub fn eos(&self) -> Option<u32> {
        self.inner.marks.eos
    }

    /// Fills a batch.
    pub fn pad(&self) -> Option<u32> {
        self.inner.marks.pad
    }

    /// Jinja source of the vocabulary's chat template.
    pub fn chat_template_source(&self) -> Option<&str> {
        self.inner.chat_template.as_deref()
    }

    /// The vocabulary's chat template, compiled; None if it has none.
    pub fn chat_template(&self) -> Result<Option<ChatTemplate>, Error> {
        let text = |id: Option<u32>| id.and_then(|id| self.token_text(id)).unwrap_or_default();
        let compile = |source| ChatTemplate::new(source, text(self.bos()), text(self.eos()));
        self.chat_template_source().map(compile).transpose()
    }

    pub(crate) fn strips_first_space(&self) -> bool {
        self.inner.pipeline.spelling == Spelling::SentencePiece { strip_first_space: true }
    }
}

impl Inner {
    fn encode_text(
        &self,
        text: &str,
        at_start: bool,
        normalized: &Matcher,
        scratch: &mut Scratch,
        ids: &mut Vec<u32>,
    ) -> Result<(), Error> {
        let text = Normalizer::apply_all(&self.pipeline.normalizers, text);
        for part in normalized.split(&text) {
            match part {
                Part::Token(id) => ids.push(id),
                Part::Text(at, text) => self.pipeline.steps.split(text, at_start && at == 0, &mut |word| {
                    self.pipeline.bpe.encode(&self.table, &self.alphabet, word, scratch, ids);
                })?,
            }
        }
        Ok(())
    }
}

fn rising(ids: impl Iterator<Item = u32>) -> Arc<[u32]> {
    let mut ids: Vec<u32> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    ids.into()
}
