//! What the tests share: the real vocabulary of SmolLM2, a tiny one, and random walks over what is allowed.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

pub mod calls;

use std::io::Read;
use std::sync::OnceLock;

use lockstep_grammar::{Grammar, Matcher, Vocabulary};
use lockstep_text::{TokenKind, Tokenizer, VocabModel, VocabSpec};
use serde_json::Value;

/// SmolLM2's tokenizer, from the fixture of the text crate.
pub fn smollm2() -> &'static Tokenizer {
    static TOKENIZER: OnceLock<Tokenizer> = OnceLock::new();
    TOKENIZER.get_or_init(|| {
        let packed = include_bytes!("../../../text/tests/fixtures/smollm2.json.gz");
        let mut text = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
        let fixture: Value = serde_json::from_str(&text).unwrap();
        let merges: Vec<String> = fixture["merges"].as_str().unwrap().lines().map(str::to_owned).collect();
        let special: Vec<&str> =
            fixture["special"].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
        // A number stands for the token that a merge makes.
        let token = |token: &Value| match token.as_u64() {
            Some(merge) => merges[merge as usize].replacen(' ', "", 1),
            None => token.as_str().unwrap().to_owned(),
        };
        let tokens: Vec<String> = fixture["tokens"].as_array().unwrap().iter().map(token).collect();
        let kind =
            |text: &String| if special.contains(&text.as_str()) { TokenKind::Control } else { TokenKind::Normal };
        let token_types = tokens.iter().map(kind).collect();
        let chat_template = fixture["chat_template"].as_str().map(str::to_owned);
        tokenizer(tokens, token_types, merges, 2, chat_template)
    })
}

/// All bytes, some words, and marks: one token each.
pub fn tiny(words: &[&str], marks: &[&str]) -> Tokenizer {
    let alphabet = (33u32..127).chain(161..173).chain(174..256).chain(256..324);
    let mut tokens: Vec<String> = vec!["<end>".to_owned()];
    let mut kinds = vec![TokenKind::Control];
    let mut add = |text: String, kind| {
        tokens.push(text);
        kinds.push(kind);
    };
    for code in alphabet {
        add(char::from_u32(code).unwrap().to_string(), TokenKind::Normal);
    }
    for word in words {
        add((*word).to_owned(), TokenKind::UserDefined);
    }
    for mark in marks {
        add((*mark).to_owned(), TokenKind::Control);
    }
    tokenizer(tokens, kinds, Vec::new(), 0, None)
}

fn tokenizer(
    tokens: Vec<String>,
    token_types: Vec<TokenKind>,
    merges: Vec<String>,
    eos: u32,
    chat_template: Option<String>,
) -> Tokenizer {
    let spec = VocabSpec {
        model: VocabModel::Bpe { merges, pre: "smollm".to_owned() },
        tokens,
        token_types,
        bos: None,
        eos: Some(eos),
        eot: None,
        unk: None,
        pad: None,
        add_bos: false,
        add_eos: false,
        add_space_prefix: false,
        chat_template,
    };
    Tokenizer::from_vocab(spec).unwrap()
}

pub fn vocabulary(tokenizer: &Tokenizer) -> Vocabulary {
    Vocabulary::new(tokenizer, tokenizer.end_of_generation()).unwrap()
}

/// SmolLM2's, made once.
pub fn smollm2_vocabulary() -> &'static Vocabulary {
    static VOCABULARY: OnceLock<Vocabulary> = OnceLock::new();
    VOCABULARY.get_or_init(|| vocabulary(smollm2()))
}

/// splitmix64: equal seeds give equal walks everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// The allowed tokens, rising.
pub fn allowed(matcher: &mut Matcher) -> Vec<u32> {
    let words = matcher.allowed().unwrap().unwrap();
    let bit = |id: u32| words[id as usize / 32] >> (id % 32) & 1 == 1;
    (0..words.len() as u32 * 32).filter(|&id| bit(id)).collect()
}

/// The text of a walk of random allowed tokens that ended, None where it did not within `steps` and 400 more that look
/// for the end.
pub fn walk(
    tokenizer: &Tokenizer,
    vocabulary: &Vocabulary,
    grammar: &Grammar,
    seed: u64,
    steps: usize,
) -> Option<String> {
    let mut matcher = vocabulary.matcher(grammar).unwrap();
    let mut random = Random(seed);
    let mut ids = Vec::new();
    for step in 0..steps + 400 {
        let allowed = allowed(&mut matcher);
        let end = allowed.iter().copied().find(|&id| tokenizer.is_end_of_generation(id));
        if let Some(end) = end
            && (allowed.len() == 1 || step > steps || random.below(4) == 0)
        {
            matcher.accept(end).unwrap();
            return Some(tokenizer.decode(&ids, false));
        }
        let text = |id: u32| tokenizer.token_bytes(id);
        let closing = [&b"\""[..], b"}", b"]", b":", b"0", b"e", b"a"];
        let closer = closing.iter().find_map(|close| allowed.iter().copied().find(|&id| text(id) == *close));
        // Small steps too, or strings would be all there is.
        let id = match closer {
            Some(closer) if step > steps || random.below(4) == 0 => closer,
            _ => allowed[random.below(allowed.len())],
        };
        if tokenizer.is_end_of_generation(id) {
            continue;
        }
        matcher.accept(id).unwrap();
        ids.push(id);
    }
    None
}

/// Whether a text, cut into tokens as the tokenizer does, is allowed and may end.
pub fn fits(tokenizer: &Tokenizer, vocabulary: &Vocabulary, grammar: &Grammar, text: &str) -> bool {
    let mut matcher = vocabulary.matcher(grammar).unwrap();
    let options = lockstep_text::EncodeOptions { add_special: false, parse_special: true };
    for id in tokenizer.encode(text, options) {
        if !allowed(&mut matcher).contains(&id) {
            return false;
        }
        matcher.accept(id).unwrap();
    }
    matcher.may_end().unwrap()
}
