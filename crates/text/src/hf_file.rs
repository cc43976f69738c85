//! `tokenizer.json` and `tokenizer_config.json` as they lie in the file, before anything is made of them.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use crate::Error;
use crate::error::one_line;

#[derive(serde::Deserialize)]
pub(crate) struct TokenizerFile<'a> {
    #[serde(default)]
    pub(crate) added_tokens: Vec<HfAddedToken>,
    #[serde(default)]
    pub(crate) normalizer: Value,
    #[serde(default)]
    pub(crate) pre_tokenizer: Value,
    #[serde(default)]
    pub(crate) post_processor: Value,
    #[serde(default)]
    pub(crate) decoder: Value,
    #[serde(borrow)]
    pub(crate) model: HfModel<'a>,
}

#[derive(serde::Deserialize)]
#[allow(clippy::struct_excessive_bools)] // the file's own fields
pub(crate) struct HfAddedToken {
    pub(crate) id: u32,
    pub(crate) content: String,
    #[serde(default)]
    pub(crate) special: bool,
    #[serde(default)]
    pub(crate) normalized: bool,
    #[serde(default)]
    pub(crate) lstrip: bool,
    #[serde(default)]
    pub(crate) rstrip: bool,
    #[serde(default)]
    pub(crate) single_word: bool,
}

#[derive(serde::Deserialize)]
pub(crate) struct HfModel<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(borrow, default)]
    pub(crate) vocab: HfVocab<'a>,
    #[serde(borrow, default)]
    pub(crate) merges: Vec<HfMerge<'a>>,
    pub(crate) unk_token: Option<String>,
    pub(crate) byte_fallback: Option<bool>,
    pub(crate) ignore_merges: Option<bool>,
    pub(crate) fuse_unk: Option<bool>,
    pub(crate) dropout: Option<f64>,
    pub(crate) continuing_subword_prefix: Option<String>,
    pub(crate) end_of_word_suffix: Option<String>,
}

/// `{"token": id, ...}` in the order of the file.
#[derive(Default)]
pub(crate) struct HfVocab<'a>(pub(crate) Vec<(Cow<'a, str>, u32)>);

/// `"left right"` or `["left", "right"]`.
pub(crate) enum HfMerge<'a> {
    Joined(Cow<'a, str>),
    Pair(Cow<'a, str>, Cow<'a, str>),
}

impl HfMerge<'_> {
    pub(crate) fn pair(&self) -> Option<(&str, &str)> {
        match self {
            Self::Joined(text) => text.split_once(' ').filter(|(_, right)| !right.contains(' ')),
            Self::Pair(left, right) => Some((left, right)),
        }
    }
}

/// Text that is copied only where the file escapes it.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match HfMerge::deserialize(deserializer)? {
            HfMerge::Joined(text) => Ok(Self(text)),
            HfMerge::Pair(..) => Err(serde::de::Error::custom("expected a string")),
        }
    }
}

struct VocabVisitor;

impl<'de> Visitor<'de> for VocabVisitor {
    type Value = HfVocab<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tokens with their ids")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut tokens = Vec::new();
        while let Some((Text(text), id)) = map.next_entry()? {
            tokens.push((text, id));
        }
        Ok(HfVocab(tokens))
    }

    /// Unigram's list, which is refused by the model's type with a better message than this place could give.
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(HfVocab::default())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for HfVocab<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VocabVisitor)
    }
}

struct MergeVisitor;

impl<'de> Visitor<'de> for MergeVisitor {
    type Value = HfMerge<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"left right\" or [\"left\", \"right\"]")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(HfMerge::Joined(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(HfMerge::Joined(Cow::Owned(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let parts = (list.next_element()?, list.next_element()?, list.next_element::<IgnoredAny>()?);
        match parts {
            (Some(Text(left)), Some(Text(right)), None) => Ok(HfMerge::Pair(left, right)),
            _ => Err(serde::de::Error::custom("a merge is not two tokens")),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for HfMerge<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MergeVisitor)
    }
}

/// What is read of `tokenizer_config.json`.
#[derive(Default, serde::Deserialize)]
pub(crate) struct TokenizerConfig {
    #[serde(default)]
    bos_token: Value,
    #[serde(default)]
    eos_token: Value,
    #[serde(default)]
    pad_token: Value,
    pub(crate) add_bos_token: Option<bool>,
    pub(crate) add_eos_token: Option<bool>,
    #[serde(default)]
    chat_template: Value,
}

impl TokenizerConfig {
    pub(crate) fn bos(&self) -> Option<&str> {
        token_text(&self.bos_token)
    }

    pub(crate) fn eos(&self) -> Option<&str> {
        token_text(&self.eos_token)
    }

    pub(crate) fn pad(&self) -> Option<&str> {
        token_text(&self.pad_token)
    }

    /// The template, or of several the one named `default`.
    pub(crate) fn chat_template(&self) -> Option<&str> {
        let named = |entry: &&Value| entry["name"] == "default";
        let list = || self.chat_template.as_array()?.iter().find(named)?["template"].as_str();
        self.chat_template.as_str().or_else(list)
    }
}

/// A string, or an added token written out.
fn token_text(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value["content"].as_str())
}

/// Parses one of the files.
pub(crate) fn parse<'a, T: Deserialize<'a>>(file: &'static str, bytes: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|error| Error::Json { file, problem: one_line(error) })
}
