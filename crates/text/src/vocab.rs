use crate::Error;
use crate::bpe::{Bpe, MergeRule};
use crate::bytes::{byte_alphabet, byte_of_piece};
use crate::normalize::Normalizer;
use crate::patterns::pre_tokenizer;
use crate::special::{AddedToken, SpecialTokens};
use crate::split::PreTokenizer;
use crate::table::TokenTable;
use crate::tokenizer::{Ends, Marks, Pipeline, Spelling, Tokenizer};

/// What a token is. The numbers are GGUF's `tokenizer.ggml.token_type`, which are SentencePiece's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// 1: an ordinary piece of text.
    Normal,
    /// 2: stands for what the vocabulary cannot spell.
    Unknown,
    /// 3: a mark such as `<|im_end|>`; never made from text unless the caller parses special tokens.
    Control,
    /// 4: always cut out of the text as a whole.
    UserDefined,
    /// 5: a hole in the vocabulary.
    Unused,
    /// 6: `<0x00>` to `<0xFF>`, one byte each.
    Byte,
}

impl TokenKind {
    /// The kind of a GGUF number; None for a number that GGUF does not define.
    pub fn from_gguf(number: i64) -> Option<Self> {
        Some(match number {
            1 => Self::Normal,
            2 => Self::Unknown,
            3 => Self::Control,
            4 => Self::UserDefined,
            5 => Self::Unused,
            6 => Self::Byte,
            _ => return None,
        })
    }

    /// True for the tokens that text alone must never become.
    pub(crate) fn is_special(self) -> bool {
        matches!(self, Self::Control | Self::Unknown)
    }
}

/// How text becomes tokens.
#[derive(Clone, Debug)]
pub enum VocabModel {
    /// `tokenizer.ggml.model` = `gpt2`: byte-level BPE.
    Bpe {
        /// `tokenizer.ggml.merges`: "left right", best first.
        merges: Vec<String>,
        /// `tokenizer.ggml.pre`; where the key is missing, `default`.
        pre: String,
    },
    /// `tokenizer.ggml.model` = `llama` (also gemma): SentencePiece's BPE by scores, with byte fallback.
    SentencePiece {
        /// `tokenizer.ggml.scores`: one a token, the highest merges first.
        scores: Vec<f32>,
    },
}

/// A vocabulary as GGUF metadata gives it. Nothing in it is trusted; [`Tokenizer::from_vocab`] checks it.
///
/// | field | GGUF key | where the key is missing |
/// | --- | --- | --- |
/// | `model` | `tokenizer.ggml.model`, with `.merges` and `.pre`, or `.scores` | an error of the reader |
/// | `tokens` | `tokenizer.ggml.tokens` | an error of the reader |
/// | `token_types` | `tokenizer.ggml.token_type`, by [`TokenKind::from_gguf`] | empty: all are normal |
/// | `bos` | `tokenizer.ggml.bos_token_id` | None |
/// | `eos` | `tokenizer.ggml.eos_token_id` | None |
/// | `eot` | `tokenizer.ggml.eot_token_id` | None |
/// | `unk` | `tokenizer.ggml.unknown_token_id` | None |
/// | `pad` | `tokenizer.ggml.padding_token_id` | None |
/// | `add_bos` | `tokenizer.ggml.add_bos_token` | `llama`: true; `gpt2`: false |
/// | `add_eos` | `tokenizer.ggml.add_eos_token` | false |
/// | `add_space_prefix` | `tokenizer.ggml.add_space_prefix` | `llama`: true; not read for `gpt2` |
/// | `chat_template` | `tokenizer.chat_template` | None |
#[derive(Clone, Debug)]
pub struct VocabSpec {
    /// How text becomes tokens.
    pub model: VocabModel,
    /// Text of each token, by id; in the byte alphabet for BPE, with `▁` for a space for SentencePiece.
    pub tokens: Vec<String>,
    /// Kind of each token, by id; empty means all are normal.
    pub token_types: Vec<TokenKind>,
    /// Begins a sequence.
    pub bos: Option<u32>,
    /// Ends a sequence.
    pub eos: Option<u32>,
    /// Ends a turn of a chat.
    pub eot: Option<u32>,
    /// Stands for what cannot be spelled.
    pub unk: Option<u32>,
    /// Fills a batch; never generated.
    pub pad: Option<u32>,
    /// Whether `add_special` puts `bos` in front.
    pub add_bos: bool,
    /// Whether `add_special` puts `eos` at the end.
    pub add_eos: bool,
    /// SentencePiece: whether text gets a space in front.
    pub add_space_prefix: bool,
    /// Jinja source of the chat template.
    pub chat_template: Option<String>,
}

impl Tokenizer {
    /// Builds the tokenizer of a GGUF vocabulary.
    pub fn from_vocab(spec: VocabSpec) -> Result<Self, Error> {
        check_ids(&spec)?;
        let kinds = kinds_of(&spec)?;
        let specials = SpecialTokens::new(added_tokens(&spec, &kinds))?;
        let table = TokenTable::new(spec.tokens, kinds)?;
        let pipeline = match spec.model {
            VocabModel::Bpe { merges, pre } => {
                let rule = pre_tokenizer(&pre)?;
                let merges = MergeRule::from_merges(&table, merges.iter().map(|merge| split_merge(merge)))?;
                let bpe = byte_level(&table, merges, rule.whole_words);
                let (normalizers, steps) = (rule.normalizers, rule.steps);
                Pipeline { specials, normalizers, steps, bpe, spelling: Spelling::ByteLevel }
            }
            VocabModel::SentencePiece { scores } => {
                let bpe = sentence_piece(&table, MergeRule::from_scores(&table, &scores)?, spec.unk);
                let mut normalizers = vec![Normalizer::Replace { from: " ".to_owned(), to: "▁".to_owned() }];
                if spec.add_space_prefix {
                    normalizers.insert(0, Normalizer::Prepend("▁".to_owned()));
                }
                let spelling = Spelling::SentencePiece { strip_first_space: spec.add_space_prefix };
                Pipeline { specials, normalizers, steps: PreTokenizer::default(), bpe, spelling }
            }
        };
        let marks = Marks { bos: spec.bos, eos: spec.eos, eot: spec.eot, pad: spec.pad };
        let ends = Ends {
            prefix: spec.bos.filter(|_| spec.add_bos).into_iter().collect(),
            suffix: spec.eos.filter(|_| spec.add_eos).into_iter().collect(),
        };
        Ok(Self::assemble(table, pipeline, marks, ends, spec.chat_template))
    }
}

/// Byte-level BPE: every byte has its token.
pub(crate) fn byte_level(table: &TokenTable, rule: MergeRule, whole_words: bool) -> Bpe {
    let bytes = byte_alphabet().map(|character| table.plain_id(character.encode_utf8(&mut [0; 4])));
    Bpe { rule, whole_words, bytes, unk: None, fuse_unk: false, by_bytes: true }
}

/// Characters first; the byte tokens where all of a character are there, else the unknown token.
pub(crate) fn sentence_piece(table: &TokenTable, rule: MergeRule, unk: Option<u32>) -> Bpe {
    let mut bytes = [None; 256];
    for (id, text) in table.texts() {
        if let Some(byte) = byte_of_piece(text) {
            bytes[byte as usize] = Some(id);
        }
    }
    Bpe { rule, whole_words: false, bytes, unk, fuse_unk: true, by_bytes: false }
}

/// GGUF's "left right": the first space that is not the first character parts them.
fn split_merge(merge: &str) -> Option<(&str, &str)> {
    let first = merge.chars().next()?.len_utf8();
    let space = first + merge.get(first..)?.find(' ')?;
    Some((&merge[..space], &merge[space + 1..]))
}

fn kinds_of(spec: &VocabSpec) -> Result<Vec<TokenKind>, Error> {
    let tokens = spec.tokens.len();
    if tokens == 0 {
        return Err(Error::EmptyVocab);
    }
    if spec.token_types.is_empty() {
        return Ok(vec![TokenKind::Normal; tokens]);
    }
    if spec.token_types.len() != tokens {
        return Err(Error::LengthMismatch { field: "token_type", found: spec.token_types.len(), tokens });
    }
    Ok(spec.token_types.clone())
}

fn check_ids(spec: &VocabSpec) -> Result<(), Error> {
    let tokens = spec.tokens.len();
    let marks = [
        ("bos_token_id", spec.bos),
        ("eos_token_id", spec.eos),
        ("eot_token_id", spec.eot),
        ("unknown_token_id", spec.unk),
        ("padding_token_id", spec.pad),
    ];
    for (field, id) in marks {
        if let Some(id) = id.filter(|&id| id as usize >= tokens) {
            return Err(Error::IdOutOfRange { field, id, tokens });
        }
    }
    Ok(())
}

/// Control and unknown tokens are special; user-defined ones are cut out of any text. Those with spaces are looked for
/// twice, as `transformers` does it: with `▁` in the text as it is, and in the text that has `▁` for every space.
fn added_tokens(spec: &VocabSpec, kinds: &[TokenKind]) -> Vec<AddedToken> {
    let marks_spaces = matches!(spec.model, VocabModel::SentencePiece { .. });
    let mut added = Vec::new();
    for (id, (text, &kind)) in spec.tokens.iter().zip(kinds).enumerate() {
        if !(kind.is_special() || kind == TokenKind::UserDefined) {
            continue;
        }
        let spaced = marks_spaces && kind == TokenKind::UserDefined && text.contains([' ', '▁']);
        let content = if spaced { text.replace(' ', "▁") } else { text.clone() };
        let token = AddedToken { id: id as u32, content, special: kind.is_special(), ..AddedToken::default() };
        if spaced {
            added.push(AddedToken { normalized: true, ..token.clone() });
        }
        added.push(token);
    }
    added
}
