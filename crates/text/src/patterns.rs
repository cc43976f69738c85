//! The pre-tokenisers that GGUF names in `tokenizer.ggml.pre`. The patterns are those of the models' own
//! `tokenizer.json`; a name is the one that GGUF converters write for it.

use crate::Error;
use crate::normalize::Normalizer;
use crate::split::{Behavior, Pattern, PreTokenizer, Step};

/// GPT-2's words, which byte-level pre-tokenisation uses where nothing else is said.
pub(crate) const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

/// Patterns that are run in linear time and bounded memory, wherever they come from: a tokenizer.json writes the same
/// ones.
pub(crate) const KNOWN_PATTERNS: [&str; 4] = [GPT2, LLAMA3, QWEN2, TEKKEN];

#[derive(Clone, Copy)]
enum Rule {
    /// GPT-2's pattern alone.
    Gpt2,
    /// Every digit alone, then GPT-2's pattern.
    DigitsGpt2,
    /// Llama 3's pattern; a word that is a token stays whole.
    Llama3,
    /// Llama 3's pattern, always merged.
    Llama3Merged,
    /// NFC, then Qwen 2's pattern.
    Qwen2,
    /// Mistral Nemo's pattern; a word that is a token stays whole.
    Tekken,
}

/// `default` stands in files whose converter did not know better.
const NAMES: &[(&str, Rule)] = &[
    ("default", Rule::Gpt2),
    ("gpt-2", Rule::Gpt2),
    ("gpt2", Rule::Gpt2),
    ("mpt", Rule::Gpt2),
    ("olmo", Rule::Gpt2),
    ("phi-2", Rule::Gpt2),
    ("codeshell", Rule::DigitsGpt2),
    ("command-r", Rule::DigitsGpt2),
    ("refact", Rule::DigitsGpt2),
    ("smollm", Rule::DigitsGpt2),
    ("starcoder", Rule::DigitsGpt2),
    ("llama-bpe", Rule::Llama3),
    ("llama-v3", Rule::Llama3),
    ("llama3", Rule::Llama3),
    ("dbrx", Rule::Llama3Merged),
    ("smaug-bpe", Rule::Llama3Merged),
    ("deepseek-r1-qwen", Rule::Qwen2),
    ("qwen2", Rule::Qwen2),
    ("stablelm2", Rule::Qwen2),
    ("tekken", Rule::Tekken),
];

/// What a name stands for.
pub(crate) struct PreTokenizerRule {
    pub(crate) normalizers: Vec<Normalizer>,
    pub(crate) steps: PreTokenizer,
    /// A word that is a token is taken whole.
    pub(crate) whole_words: bool,
}

/// Looks a GGUF name up.
pub(crate) fn pre_tokenizer(name: &str) -> Result<PreTokenizerRule, Error> {
    let Some(&(_, rule)) = NAMES.iter().find(|(known, _)| *known == name) else {
        let known: Vec<_> = NAMES.iter().map(|(known, _)| *known).collect();
        return Err(Error::UnknownPreTokenizer { name: name.to_owned(), known: known.join(", ") });
    };
    let pattern = match rule {
        Rule::Gpt2 | Rule::DigitsGpt2 => GPT2,
        Rule::Llama3 | Rule::Llama3Merged => LLAMA3,
        Rule::Qwen2 => QWEN2,
        Rule::Tekken => TEKKEN,
    };
    let mut steps = Vec::new();
    if matches!(rule, Rule::DigitsGpt2) {
        steps.push(Step::Digits { individual: true });
    }
    steps.push(Step::Split { pattern: Pattern::regex(pattern)?, behavior: Behavior::Isolated, invert: false });
    Ok(PreTokenizerRule {
        normalizers: if matches!(rule, Rule::Qwen2) { vec![Normalizer::Nfc] } else { Vec::new() },
        steps: PreTokenizer { steps },
        whole_words: matches!(rule, Rule::Llama3 | Rule::Tekken),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_name_compiles_and_covers_its_text() {
        let text = "I'LL say: \u{e9}t\u{e9} 12345 \u{1f468}\u{200d}\u{1f469} \t\n\n  \u{3000}x_y\r\n  end  ";
        for (name, _) in NAMES {
            let mut joined = String::new();
            pre_tokenizer(name).unwrap().steps.split(text, true, &mut |word| joined.push_str(word)).unwrap();
            assert_eq!(joined, text, "{name}");
        }
    }

    /// Each of these is one match of a pattern that looks back over millions of characters: within the matcher's limit.
    #[test]
    fn no_length_of_run_is_too_much() {
        for (name, _) in NAMES.iter().filter(|(name, _)| ["gpt-2", "llama3", "qwen2", "tekken"].contains(name)) {
            let steps = pre_tokenizer(name).unwrap().steps;
            for run in [" ", "\n", "a", "A", "é", "7", "!", "\u{301}", "aB", " \t", "\r\n "] {
                for end in ["", "x"] {
                    let text = run.repeat(1_200_000) + end;
                    let result = steps.split(&text, true, &mut |_| {});
                    assert!(result.is_ok(), "{name} {run:?} {end:?}: {result:?}");
                }
            }
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = pre_tokenizer("gpt-9").err().unwrap().to_string();
        assert!(message.contains("gpt-9") && message.contains("llama-bpe") && message.contains("qwen2"), "{message}");
    }
}
