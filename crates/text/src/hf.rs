//! A tokenizer from Hugging Face's files.

use crate::bpe::{Bpe, MergeRule};
use crate::bytes::byte_of_piece;
use crate::hf_file::{HfModel, TokenizerConfig, TokenizerFile, parse};
use crate::hf_steps::{parse_decoder, parse_ends, parse_normalizers, parse_pre_tokenizer};
use crate::special::{AddedToken, SpecialTokens};
use crate::table::TokenTable;
use crate::tokenizer::{Ends, Marks, Pipeline};
use crate::vocab::{byte_level, sentence_piece};
use crate::{Error, TokenKind, Tokenizer};

impl Tokenizer {
    /// Builds the tokenizer of a `tokenizer.json` (BPE, byte-level or SentencePiece-like).
    ///
    /// `tokenizer_config.json` names the special tokens and may hold the chat template; `chat_template_jinja` is the
    /// template where it lies in a file of its own, and wins.
    pub fn from_hf(
        tokenizer_json: &[u8],
        tokenizer_config_json: Option<&[u8]>,
        chat_template_jinja: Option<&str>,
    ) -> Result<Self, Error> {
        let file: TokenizerFile<'_> = parse("tokenizer.json", tokenizer_json)?;
        let config: TokenizerConfig = match tokenizer_config_json {
            Some(bytes) => parse("tokenizer_config.json", bytes)?,
            None => TokenizerConfig::default(),
        };
        check_model(&file.model)?;
        let table = token_table(&file)?;
        let (steps, by_bytes) = parse_pre_tokenizer(&file.pre_tokenizer)?;
        let spelling = parse_decoder(&file.decoder, by_bytes)?;
        let normalizers = parse_normalizers(&file.normalizer)?;
        let ends = parse_ends(&file.post_processor, &table)?;
        let bpe = merging(&file.model, &table, by_bytes)?;
        let specials = SpecialTokens::new(added_tokens(&file))?;
        let find = |text: Option<&str>| text.and_then(|text| table.id(text));
        let marks = Marks { bos: find(config.bos()), eos: find(config.eos()), eot: None, pad: find(config.pad()) };
        let ends = ends.unwrap_or_else(|| Ends {
            prefix: marks.bos.filter(|_| config.add_bos_token == Some(true)).into_iter().collect(),
            suffix: marks.eos.filter(|_| config.add_eos_token == Some(true)).into_iter().collect(),
        });
        let template = chat_template_jinja.or_else(|| config.chat_template()).map(str::to_owned);
        let pipeline = Pipeline { specials, normalizers, steps, bpe, spelling };
        Ok(Self::assemble(table, pipeline, marks, ends, template))
    }
}

fn check_model(model: &HfModel<'_>) -> Result<(), Error> {
    let unsupported = |kind: &str| Err(Error::Unsupported { part: "model", kind: kind.to_owned() });
    // Old files have no type; of the models only BPE has merges.
    match model.kind.as_deref() {
        Some("BPE") => {}
        None if !model.merges.is_empty() => {}
        other => return unsupported(other.unwrap_or_default()),
    }
    let affix = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    if affix(&model.continuing_subword_prefix) || affix(&model.end_of_word_suffix) {
        return unsupported("BPE with marks of word parts");
    }
    if model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return unsupported("BPE with dropout");
    }
    Ok(())
}

fn merging(model: &HfModel<'_>, table: &TokenTable, by_bytes: bool) -> Result<Bpe, Error> {
    let rule = MergeRule::from_merges(table, model.merges.iter().map(|merge| merge.pair()))?;
    let unk = model.unk_token.as_deref().and_then(|text| table.id(text));
    let mut bpe = if by_bytes { byte_level(table, rule, false) } else { sentence_piece(table, rule, None) };
    if !by_bytes && model.byte_fallback != Some(true) {
        bpe.bytes = [None; 256];
    }
    bpe.whole_words = model.ignore_merges == Some(true);
    bpe.fuse_unk = model.fuse_unk == Some(true);
    bpe.unk = unk;
    Ok(bpe)
}

/// The tokens of the model and the added ones by id. Ids that nothing claims become unused tokens.
fn token_table(file: &TokenizerFile<'_>) -> Result<TokenTable, Error> {
    let byte_fallback = file.model.byte_fallback == Some(true);
    let vocab = file.model.vocab.0.iter().map(|(text, id)| {
        let is_byte = byte_fallback && byte_of_piece(text).is_some();
        (text.as_ref(), *id, if is_byte { TokenKind::Byte } else { TokenKind::Normal })
    });
    let added = file.added_tokens.iter().map(|token| {
        let kind = if token.special { TokenKind::Control } else { TokenKind::UserDefined };
        (token.content.as_str(), token.id, kind)
    });
    // The file must back what is allocated: at most as many holes as tokens, and a few.
    let slots_max = 2 * (file.model.vocab.0.len() + file.added_tokens.len()) + 1024;
    let mut slots: Vec<Option<(&str, TokenKind)>> = Vec::with_capacity(file.model.vocab.0.len());
    for (text, id, kind) in vocab.chain(added) {
        let at = id as usize;
        if at >= slots_max {
            return Err(Error::IdOutOfRange { field: "an id in tokenizer.json", id, tokens: slots_max });
        }
        if at >= slots.len() {
            slots.resize(at + 1, None);
        }
        match slots[at] {
            Some((first, _)) if first != text => {
                return Err(Error::DuplicateId { id, first: first.to_owned(), second: text.to_owned() });
            }
            _ => slots[at] = Some((text, kind)),
        }
    }
    let name = |(id, slot): (usize, Option<(&str, TokenKind)>)| match slot {
        Some((text, kind)) => (text.to_owned(), kind),
        None => (format!("[unused id {id}]"), TokenKind::Unused),
    };
    let (texts, kinds) = slots.into_iter().enumerate().map(name).unzip();
    TokenTable::new(texts, kinds)
}

fn added_tokens(file: &TokenizerFile<'_>) -> Vec<AddedToken> {
    let token = |token: &crate::hf_file::HfAddedToken| AddedToken {
        id: token.id,
        content: token.content.clone(),
        special: token.special,
        normalized: token.normalized,
        lstrip: token.lstrip,
        rstrip: token.rstrip,
        single_word: token.single_word,
    };
    file.added_tokens.iter().map(token).collect()
}
