use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

/// A rewriting of text before it is split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Normalizer {
    Nfc,
    Nfd,
    Nfkc,
    Nfkd,
    /// In front of a text that is not empty.
    Prepend(String),
    Replace {
        from: String,
        to: String,
    },
}

impl Normalizer {
    fn apply<'a>(&self, text: Cow<'a, str>) -> Cow<'a, str> {
        match self {
            _ if text.is_empty() => text,
            Self::Nfc | Self::Nfd | Self::Nfkc | Self::Nfkd if text.is_ascii() => text,
            Self::Nfc if is_nfc_quick(text.chars()) == IsNormalized::Yes => text,
            Self::Nfc => text.nfc().collect(),
            Self::Nfd => text.nfd().collect(),
            Self::Nfkc => text.nfkc().collect(),
            Self::Nfkd => text.nfkd().collect(),
            Self::Prepend(prefix) => Cow::Owned(format!("{prefix}{text}")),
            Self::Replace { from, to } if text.contains(from.as_str()) => Cow::Owned(text.replace(from.as_str(), to)),
            Self::Replace { .. } => text,
        }
    }

    /// All of them, in order.
    pub(crate) fn apply_all<'a>(normalizers: &[Self], text: &'a str) -> Cow<'a, str> {
        normalizers.iter().fold(Cow::Borrowed(text), |text, normalizer| normalizer.apply(text))
    }
}
