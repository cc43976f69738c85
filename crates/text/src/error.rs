/// What can be wrong with a vocabulary, a tokenizer file, a text or a chat template. One line each: what, where, remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There are no tokens at all.
    #[error("the vocabulary is empty: the model file is incomplete, download it again")]
    EmptyVocab,
    /// A vector that must have one entry a token has another length.
    #[error("{field} has {found} entries for {tokens} tokens: the model file is damaged, download it again")]
    LengthMismatch {
        /// Field of the vocabulary.
        field: &'static str,
        /// Entries found.
        found: usize,
        /// Tokens in the vocabulary.
        tokens: usize,
    },
    /// The same text stands at two ids.
    #[error(
        "token {text:?} stands at the ids {first} and {second}: the vocabulary is damaged, convert the model again"
    )]
    DuplicateToken {
        /// Text of the token.
        text: String,
        /// Lower id.
        first: usize,
        /// Higher id.
        second: usize,
    },
    /// Two tokens of a `tokenizer.json` claim one id.
    #[error("tokens {first:?} and {second:?} both have the id {id}: the tokenizer.json is damaged, download it again")]
    DuplicateId {
        /// The id.
        id: u32,
        /// Token seen first.
        first: String,
        /// Token seen second.
        second: String,
    },
    /// An id that lies outside of the vocabulary.
    #[error(
        "{field} is {id}, but there are {tokens} tokens: metadata and vocabulary do not match, convert the model again"
    )]
    IdOutOfRange {
        /// Field that holds the id.
        field: &'static str,
        /// The id.
        id: u32,
        /// Tokens in the vocabulary.
        tokens: usize,
    },
    /// A merge that is not two tokens, or names one that does not exist.
    #[error("merge {index} ({merge:?}): {problem}: merges and vocabulary do not match, convert the model again")]
    BadMerge {
        /// Index in the list of merges.
        index: usize,
        /// The merge as it stands in the file.
        merge: String,
        /// What is wrong.
        problem: String,
    },
    /// A SentencePiece score that is not a number.
    #[error("the score of token {id} is not a number: the model file is damaged, download it again")]
    BadScore {
        /// The token.
        id: usize,
    },
    /// A GGUF pre-tokeniser without a rule here.
    #[error("pre-tokeniser {name:?} is not known: use a model with one of {known}, or its tokenizer.json")]
    UnknownPreTokenizer {
        /// Name in the file.
        name: String,
        /// Names that would work.
        known: String,
    },
    /// JSON that does not parse or lacks a field.
    #[error("{file}: {problem}: the file is damaged, download it again")]
    Json {
        /// Which of the files.
        file: &'static str,
        /// The parser's words, with line and column.
        problem: String,
    },
    /// A part of `tokenizer.json` that this crate does not do.
    #[error("tokenizer.json: {part} {kind:?} is not supported: use a GGUF file of this model")]
    Unsupported {
        /// Section of the file.
        part: &'static str,
        /// Its type there.
        kind: String,
    },
    /// A split pattern that does not compile.
    #[error("split pattern {pattern:?}: {problem}: the tokenizer.json is damaged, or use a GGUF file of this model")]
    BadPattern {
        /// The regular expression.
        pattern: String,
        /// The compiler's words.
        problem: String,
    },
    /// A split pattern needed too many steps on this text.
    #[error(
        "split pattern {pattern:?} gave up after byte {at} ({problem}): shorten the text, or use a GGUF file of this model"
    )]
    PatternGaveUp {
        /// The regular expression.
        pattern: String,
        /// Where in the piece of text the last match ended.
        at: usize,
        /// The matcher's words.
        problem: String,
    },
    /// The search for special tokens could not be built.
    #[error("the special tokens cannot be indexed ({problem}): the vocabulary is damaged, download it again")]
    SpecialTokens {
        /// The library's words.
        problem: String,
    },
    /// Tokenizer and model have different sizes.
    #[error(
        "the tokenizer has {tokens} tokens, the model's embedding {model} rows: use the tokenizer that came with the model"
    )]
    VocabSize {
        /// Tokens of the tokenizer.
        tokens: usize,
        /// Rows of the embedding.
        model: usize,
    },
    /// A chat template that does not compile, fails, or refuses the messages.
    #[error("chat template: {problem}: change the messages, or send raw text without a template")]
    Template {
        /// What is wrong, and where.
        problem: String,
    },
}

/// An outside library's message on one line of bounded length: it may quote hostile input.
#[allow(clippy::needless_pass_by_value)] // callers give up their errors, and strings as they are
pub(crate) fn one_line(message: impl ToString) -> String {
    let message = message.to_string();
    let line = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    line.chars().take(300).collect()
}
