//! The vocabulary in a GGUF file, as the text crate takes it. Which key fills which field is told at [`VocabSpec`].

use lockstep_formats::Gguf;
use lockstep_text::{TokenKind, VocabModel, VocabSpec};

use crate::Error;
use crate::metadata::Metadata;

/// Reads the `tokenizer.*` keys. What the values say to each other is checked by `Tokenizer::from_vocab`.
pub fn from_gguf(gguf: &Gguf<'_>) -> Result<VocabSpec, Error> {
    let keys = Metadata::new(gguf, "tokenizer.ggml");
    let kind = keys.required_string("model")?;
    let model = match kind {
        "gpt2" => VocabModel::Bpe {
            merges: keys.strings("merges")?.ok_or_else(|| keys.missing("merges"))?,
            pre: keys.string("pre")?.unwrap_or("default").to_owned(),
        },
        "llama" => VocabModel::SentencePiece { scores: keys.floats("scores")?.ok_or_else(|| keys.missing("scores"))? },
        other => {
            let what = format!("a tokenizer of kind `{other}` (known: gpt2, llama)");
            return Err(Error::unsupported(&keys.path("model"), what));
        }
    };
    let sentence_piece = kind == "llama";
    Ok(VocabSpec {
        model,
        tokens: keys.strings("tokens")?.ok_or_else(|| keys.missing("tokens"))?,
        token_types: token_types(&keys)?,
        bos: keys.token("bos_token_id")?,
        eos: keys.token("eos_token_id")?,
        eot: keys.token("eot_token_id")?,
        unk: keys.token("unknown_token_id")?,
        pad: keys.token("padding_token_id")?,
        add_bos: keys.bool("add_bos_token")?.unwrap_or(sentence_piece),
        add_eos: keys.bool("add_eos_token")?.unwrap_or(false),
        add_space_prefix: keys.bool("add_space_prefix")?.unwrap_or(sentence_piece),
        chat_template: Metadata::new(gguf, "tokenizer").string("chat_template")?.map(str::to_owned),
    })
}

fn token_types(keys: &Metadata<'_, '_>) -> Result<Vec<TokenKind>, Error> {
    let numbers = keys.integers("token_type")?.unwrap_or_default();
    let kind = |(id, number): (usize, u64)| {
        let unknown = || Error::key(&keys.path("token_type"), format!("token {id} has type {number}, expected 1 to 6"));
        i64::try_from(number).ok().and_then(TokenKind::from_gguf).ok_or_else(unknown)
    };
    numbers.into_iter().enumerate().map(kind).collect()
}
