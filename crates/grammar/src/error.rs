/// What can be wrong with a vocabulary, a schema or a grammar. One line each: what, where, remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No token could end an answer.
    #[error("the vocabulary has no token that ends an answer: constrained answers need one")]
    NoEnd,
    /// A token that ends an answer lies outside of the vocabulary.
    #[error("the end token {id} is not among the {tokens} tokens: use the tokenizer that came with the model")]
    EndOutOfRange {
        /// The token.
        id: u32,
        /// Tokens of the vocabulary.
        tokens: usize,
    },
    /// The tree of tokens could not be made.
    #[error("the vocabulary cannot be used for constrained answers: {problem}")]
    Vocabulary {
        /// What is wrong.
        problem: String,
    },
    /// A schema that is not one, or asks for what cannot be held.
    #[error("JSON schema, at {place}: {problem}")]
    Schema {
        /// JSON pointer into the schema; `#` is its root.
        place: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A schema or grammar that needs more than one request may use.
    #[error("{what} is too large: {problem}; make it smaller")]
    TooLarge {
        /// Schema, grammar or list of tools.
        what: &'static str,
        /// Which bound it broke.
        problem: String,
    },
    /// A grammar that does not compile.
    #[error("{what} cannot be compiled: {problem}")]
    Grammar {
        /// Schema, regular expression or tools.
        what: &'static str,
        /// The compiler's words.
        problem: String,
    },
    /// A list of tools that makes no sense.
    #[error("tools: {problem}")]
    Tools {
        /// What is wrong, and what to do.
        problem: String,
    },
}

/// An outside library's message on one line of bounded length, for it may quote hostile input. What follows a line that
/// begins with `<` is the library's state.
pub(crate) fn one_line(message: &str) -> String {
    let says = |line: &&str| !line.is_empty() && !line.chars().all(|character| character == '^');
    let lines = message.lines().map(str::trim).take_while(|line| !line.starts_with('<')).filter(says);
    let line: String = lines.collect::<Vec<_>>().join(" ").chars().take(300).collect();
    if line.is_empty() { "no reason was given".to_owned() } else { line }
}
