use foldhash::fast::RandomState;
use indexmap::IndexSet;

use crate::{Error, TokenKind};

/// Text and kind of every token, looked up by id or by text. The position in the set is the id.
pub(crate) struct TokenTable {
    texts: IndexSet<String, RandomState>,
    kinds: Vec<TokenKind>,
    longest: usize,
}

impl TokenTable {
    /// `tokens` and `kinds` by id. Refuses an empty vocabulary and one that has a text twice.
    pub(crate) fn new(tokens: Vec<String>, kinds: Vec<TokenKind>) -> Result<Self, Error> {
        if tokens.is_empty() {
            return Err(Error::EmptyVocab);
        }
        if kinds.len() != tokens.len() {
            return Err(Error::LengthMismatch { field: "token_type", found: kinds.len(), tokens: tokens.len() });
        }
        let mut texts = IndexSet::with_capacity_and_hasher(tokens.len(), RandomState::default());
        let mut longest = 0;
        for (id, text) in tokens.into_iter().enumerate() {
            longest = longest.max(text.len());
            let (position, is_new) = texts.insert_full(text);
            if !is_new {
                let text = texts.get_index(position).cloned().unwrap_or_default();
                return Err(Error::DuplicateToken { text, first: position, second: id });
            }
        }
        Ok(Self { texts, kinds, longest })
    }

    /// Number of tokens.
    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// Bytes of the longest token.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// The id of any token.
    pub(crate) fn id(&self, text: &str) -> Option<u32> {
        self.texts.get_index_of(text).map(|id| id as u32)
    }

    /// The token that text may become by itself: never a control, unknown or byte token, whose texts a user can type.
    pub(crate) fn plain_id(&self, text: &str) -> Option<u32> {
        let id = self.texts.get_index_of(text)?;
        let kind = self.kinds[id];
        (!kind.is_special() && kind != TokenKind::Byte).then_some(id as u32)
    }

    /// The text of a token.
    pub(crate) fn text(&self, id: u32) -> Option<&str> {
        self.texts.get_index(id as usize).map(String::as_str)
    }

    /// The kind of a token.
    pub(crate) fn kind(&self, id: u32) -> Option<TokenKind> {
        self.kinds.get(id as usize).copied()
    }

    /// Whether a token is a control or unknown token.
    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.kind(id).is_some_and(TokenKind::is_special)
    }

    /// All tokens in the order of their ids.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (u32, &str)> {
        self.texts.iter().enumerate().map(|(id, text)| (id as u32, text.as_str()))
    }
}
