use std::sync::{Arc, OnceLock};

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::earley::SlicedBiasComputer;
use llguidance::{ParserFactory, TokenParser};
use lockstep_text::{TokenKind, Tokenizer};
use toktrie::{InferenceCapabilities, TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};

use crate::error::one_line;
use crate::{Error, Grammar, Matcher};

/// Begins the words of tokens that text never spells. No UTF-8 text holds this byte, so no rule about text allows them.
const MARK: u8 = TokTrie::SPECIAL_TOKEN_MARKER;
/// Bytes of a token; the tree of tokens holds up to 1024, the longest in use are runs of some hundred spaces.
const TOKEN_BYTES_MAX: usize = 1_000;
/// Bytes of all tokens, which bound the tree's nodes.
const BYTES_MAX: usize = (1 << 22) - 1;
/// Stack of the thread that compiles: recursion goes as deep as a schema has properties.
const STACK_BYTES: usize = 32 << 20;

/// The tokens of a model as constrained decoding sees them. Cheap to make and to clone; shared between threads.
#[derive(Clone)]
pub struct Vocabulary {
    inner: Arc<Inner>,
}

struct Inner {
    tokenizer: Tokenizer,
    end_tokens: Vec<u32>,
    built: OnceLock<Result<Built, Error>>,
}

/// What takes time: some 0.2 s for 50 thousand tokens, 0.7 s for 256 thousand.
struct Built {
    factory: ParserFactory,
    environment: TokEnv,
}

impl std::fmt::Debug for Vocabulary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vocabulary").field("tokens", &self.inner.tokenizer.vocab_size()).finish_non_exhaustive()
    }
}

impl Vocabulary {
    /// The vocabulary of a tokenizer whose answers end with any of `end_tokens`.
    pub fn new(tokenizer: &Tokenizer, end_tokens: &[u32]) -> Result<Self, Error> {
        let tokens = tokenizer.vocab_size();
        if let Some(&id) = end_tokens.iter().find(|&&id| id as usize >= tokens) {
            return Err(Error::EndOutOfRange { id, tokens });
        }
        if end_tokens.is_empty() {
            return Err(Error::NoEnd);
        }
        let (tokenizer, end_tokens) = (tokenizer.clone(), end_tokens.to_vec());
        Ok(Self { inner: Arc::new(Inner { tokenizer, end_tokens, built: OnceLock::new() }) })
    }

    /// Builds the tree of tokens, which the first [`Self::matcher`] would otherwise wait for: a server does it on a
    /// thread of its own when it starts.
    pub fn prepare(&self) -> Result<(), Error> {
        self.built().map(|_| ())
    }

    /// Compiles a grammar for one answer. Takes milliseconds; bounded for any grammar.
    pub fn matcher(&self, grammar: &Grammar) -> Result<Matcher, Error> {
        let built = self.built()?;
        let trie = built.environment.tok_trie();
        // The token that stands for a mark such as `[TOOL_CALLS]`, where there is one that text never spells.
        let mark = |text: &str| trie.token_id_at_bytes(&[&[MARK], text.as_bytes()].concat());
        let what = grammar.what();
        let parser = built.compile(grammar.source(mark)).map_err(|problem| Error::Grammar { what, problem })?;
        Ok(Matcher::new(parser, trie))
    }

    fn built(&self) -> Result<&Built, Error> {
        let Inner { tokenizer, end_tokens, built } = &*self.inner;
        built.get_or_init(|| Built::new(tokenizer, end_tokens)).as_ref().map_err(Error::clone)
    }
}

impl Built {
    fn new(tokenizer: &Tokenizer, end_tokens: &[u32]) -> Result<Self, Error> {
        let tokens = tokenizer.vocab_size() as u32;
        let words: Vec<Vec<u8>> = (0..tokens).map(|id| word(tokenizer, end_tokens, id)).collect();
        if words.iter().map(Vec::len).sum::<usize>() > BYTES_MAX {
            return Err(Error::Vocabulary { problem: "its tokens have more than 4 MB of text".to_owned() });
        }
        let info = TokRxInfo::new(tokens, end_tokens.first().copied().unwrap_or_default());
        let environment: TokEnv = Arc::new(Environment(TokTrie::from(&info, &words).with_eos_tokens(end_tokens)));
        let slices = SlicedBiasComputer::general_slices();
        let mut factory = ParserFactory::new(&environment, InferenceCapabilities::default(), &slices)
            .map_err(|error| Error::Vocabulary { problem: one_line(&error.to_string()) })?;
        factory.quiet();
        *factory.limits_mut() = limits();
        Ok(Self { factory, environment })
    }

    fn compile(&self, source: TopLevelGrammar) -> Result<TokenParser, String> {
        let work = || self.factory.create_parser(source).map_err(|error| one_line(&format!("{error:#}")));
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().name("grammar".to_owned()).stack_size(STACK_BYTES);
            let thread = thread.spawn_scoped(scope, work).map_err(|error| one_line(&error.to_string()))?;
            thread.join().unwrap_or_else(|_| Err("the compiler failed; simplify it".to_owned()))
        })
    }
}

/// What a grammar sees of a token; empty for tokens that no answer may hold.
fn word(tokenizer: &Tokenizer, end_tokens: &[u32], id: u32) -> Vec<u8> {
    let bytes = tokenizer.token_bytes(id);
    let marked = end_tokens.contains(&id);
    let word = match tokenizer.kind(id) {
        None | Some(TokenKind::Unused) if !marked => Vec::new(),
        Some(TokenKind::Control | TokenKind::Unknown) => [&[MARK], bytes.as_slice()].concat(),
        _ if marked => [&[MARK], bytes.as_slice()].concat(),
        _ if bytes.contains(&MARK) => Vec::new(),
        _ => bytes,
    };
    if word.len() > TOKEN_BYTES_MAX { Vec::new() } else { word }
}

/// What one grammar may use: about 50 ms to compile and 20 ms a token, and some 40 MB.
fn limits() -> ParserLimits {
    ParserLimits {
        max_items_in_row: 4_000,
        initial_lexer_fuel: 1_000_000,
        step_lexer_fuel: 200_000,
        step_max_items: 50_000,
        max_lexer_states: 20_000,
        max_grammar_size: 200_000,
        precompute_large_lexemes: true,
        verbose_errors: false,
    }
}

struct Environment(TokTrie);

impl TokenizerEnv for Environment {
    fn tok_trie(&self) -> &TokTrie {
        &self.0
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        self.0.greedy_tokenize(bytes)
    }

    /// The model decides how text that is the only one possible is cut into tokens.
    fn tokenize_is_canonical(&self) -> bool {
        false
    }
}
