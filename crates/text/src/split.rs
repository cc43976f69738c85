//! Pre-tokenisation: text is cut into words, and no token reaches over the end of a word.

use crate::Error;
use crate::error::one_line;
use crate::patterns::KNOWN_PATTERNS;

/// What separates words.
#[derive(Debug)]
pub(crate) enum Pattern {
    Regex(Box<fancy_regex::Regex>),
    /// One of `KNOWN_PATTERNS`, without its look-ahead.
    Known {
        regex: Box<fancy_regex::Regex>,
        keeps_line_end: bool,
    },
    Literal(String),
}

/// What becomes of the matches of a pattern. The names are `tokenizer.json`'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behavior {
    Removed,
    Isolated,
    Contiguous,
    MergedWithPrevious,
    MergedWithNext,
}

/// Where a Metaspace puts its mark in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prepend {
    First,
    Never,
    Always,
}

/// One cut. Each step cuts the pieces of the step before it.
#[derive(Debug)]
pub(crate) enum Step {
    Split { pattern: Pattern, behavior: Behavior, invert: bool },
    Digits { individual: bool },
    PrefixSpace,
    Metaspace { mark: String, prepend: Prepend, split: bool },
}

/// The steps in order; without one the whole text is one word.
#[derive(Debug, Default)]
pub(crate) struct PreTokenizer {
    pub(crate) steps: Vec<Step>,
}

/// A stretch of text, and whether the pattern matched it.
type Piece = (usize, usize, bool);

/// How GPT-2's pattern and those after it end: white space up to a word, less its last character, which the word may
/// take.
const SPACES: &str = r"|\s+(?!\S)|\s+";

impl Pattern {
    /// A regular expression.
    ///
    /// Those of `KNOWN_PATTERNS` run without their look-ahead, for which a matcher must be able to go back over any
    /// length of white space: the run is matched whole, and its last character given back afterwards.
    pub(crate) fn regex(pattern: &str) -> Result<Self, Error> {
        if let Some(words) = pattern.strip_suffix(SPACES).filter(|_| KNOWN_PATTERNS.contains(&pattern)) {
            // Where line ends have an alternative of their own, white space that ends in one is its match.
            let keeps_line_end = words.ends_with(r"|\s*[\r\n]+");
            let regex = Box::new(compile(&format!(r"{words}|\s+"))?);
            return Ok(Self::Known { regex, keeps_line_end });
        }
        Ok(Self::Regex(Box::new(compile(pattern)?)))
    }

    /// Matches and what lies between them, covering the text.
    fn pieces(&self, text: &str) -> Result<Vec<Piece>, Error> {
        let mut pieces = Vec::new();
        let mut done = 0;
        let mut add = |start: usize, end: usize| {
            if start > done {
                pieces.push((done, start, false));
            }
            pieces.push((start, end, true));
            done = end;
        };
        match self {
            Self::Literal(literal) => text.match_indices(literal.as_str()).for_each(|(at, m)| add(at, at + m.len())),
            Self::Regex(regex) => {
                let mut last = 0;
                for found in regex.find_iter(text) {
                    let found = found.map_err(|error| gave_up(regex, last, error))?;
                    last = found.end();
                    add(found.start(), found.end());
                }
            }
            Self::Known { regex, keeps_line_end } => {
                let mut from = 0;
                while let Some(found) = regex.find_from_pos(text, from).map_err(|error| gave_up(regex, from, error))? {
                    from = found.start() + kept(text, found.start(), found.end(), *keeps_line_end);
                    add(found.start(), from);
                }
            }
        }
        if done < text.len() {
            pieces.push((done, text.len(), false));
        }
        Ok(pieces)
    }
}

fn compile(pattern: &str) -> Result<fancy_regex::Regex, Error> {
    let compiled = fancy_regex::RegexBuilder::new(pattern).delegate_size_limit(1 << 22).build();
    compiled.map_err(|error| Error::BadPattern { pattern: one_line(pattern), problem: one_line(error) })
}

fn gave_up(regex: &fancy_regex::Regex, at: usize, error: fancy_regex::Error) -> Error {
    Error::PatternGaveUp { pattern: one_line(regex.as_str()), at, problem: one_line(error) }
}

/// Bytes of a match that stay in it: all, or of several white spaces before a word all but the last.
fn kept(text: &str, start: usize, end: usize, keeps_line_end: bool) -> usize {
    let found = &text[start..end];
    let last = found.chars().next_back().map_or(0, char::len_utf8);
    let line_end = keeps_line_end && found.ends_with(['\r', '\n']);
    let gives_back = end < text.len() && last < found.len() && !line_end && found.chars().all(char::is_whitespace);
    if gives_back { found.len() - last } else { found.len() }
}

impl Behavior {
    /// The words that the pieces make, in order; some may be empty.
    fn words(self, pieces: &[Piece]) -> Vec<(usize, usize)> {
        let mut words: Vec<(usize, usize)> = Vec::with_capacity(pieces.len());
        // "With the next" is "with the previous", seen from the end.
        let backwards = self == Self::MergedWithNext;
        let mut previous_matched = None;
        for step in 0..pieces.len() {
            let (start, end, matched) = pieces[if backwards { pieces.len() - 1 - step } else { step }];
            let joins = match self {
                Self::Removed | Self::Isolated => false,
                Self::Contiguous => previous_matched == Some(matched),
                Self::MergedWithPrevious | Self::MergedWithNext => matched && previous_matched == Some(false),
            };
            previous_matched = Some(matched);
            match words.last_mut() {
                Some(word) if joins && backwards => word.0 = start,
                Some(word) if joins => word.1 = end,
                _ if matched && self == Self::Removed => {}
                _ => words.push((start, end)),
            }
        }
        if backwards {
            words.reverse();
        }
        words
    }
}

impl PreTokenizer {
    /// Calls `word` with every word of `text`, in order. `at_start` says that `text` begins the whole input.
    pub(crate) fn split(&self, text: &str, at_start: bool, word: &mut dyn FnMut(&str)) -> Result<(), Error> {
        run(&self.steps, text, at_start, word)
    }
}

fn run(steps: &[Step], text: &str, at_start: bool, word: &mut dyn FnMut(&str)) -> Result<(), Error> {
    if text.is_empty() {
        return Ok(());
    }
    let Some((step, rest)) = steps.split_first() else {
        word(text);
        return Ok(());
    };
    match step {
        Step::Split { pattern, behavior, invert } => {
            let mut pieces = pattern.pieces(text)?;
            for piece in &mut pieces {
                piece.2 ^= invert;
            }
            run_words(rest, text, &behavior.words(&pieces), at_start, word)
        }
        Step::Digits { individual } => {
            let behavior = if *individual { Behavior::Isolated } else { Behavior::Contiguous };
            run_words(rest, text, &behavior.words(&digit_pieces(text)), at_start, word)
        }
        Step::PrefixSpace if text.starts_with(' ') => run(rest, text, at_start, word),
        Step::PrefixSpace => run(rest, &format!(" {text}"), at_start, word),
        Step::Metaspace { mark, prepend, split } => {
            let mut marked = text.replace(' ', mark);
            let wanted = *prepend == Prepend::Always || (*prepend == Prepend::First && at_start);
            if wanted && !marked.starts_with(mark.as_str()) {
                marked.insert_str(0, mark);
            }
            if *split {
                let pieces = Pattern::Literal(mark.clone()).pieces(&marked)?;
                run_words(rest, &marked, &Behavior::MergedWithNext.words(&pieces), at_start, word)
            } else {
                run(rest, &marked, at_start, word)
            }
        }
    }
}

fn run_words(
    rest: &[Step],
    text: &str,
    words: &[(usize, usize)],
    at_start: bool,
    word: &mut dyn FnMut(&str),
) -> Result<(), Error> {
    words.iter().try_for_each(|&(start, end)| run(rest, &text[start..end], at_start && start == 0, word))
}

/// Every numeric character matches; what is between is one piece.
fn digit_pieces(text: &str) -> Vec<Piece> {
    let mut pieces: Vec<Piece> = Vec::new();
    for (at, character) in text.char_indices() {
        let (end, digit) = (at + character.len_utf8(), character.is_numeric());
        match pieces.last_mut() {
            Some(last) if !digit && !last.2 => last.1 = end,
            _ => pieces.push((at, end, digit)),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn words(steps: Vec<Step>, text: &str) -> Vec<String> {
        let mut words = Vec::new();
        PreTokenizer { steps }.split(text, true, &mut |word| words.push(word.to_owned())).unwrap();
        words
    }

    #[test]
    fn behaviors_place_the_matches() {
        let check = |behavior, invert, expected: &[&str]| {
            let pattern = Pattern::Literal("-".to_owned());
            assert_eq!(words(vec![Step::Split { pattern, behavior, invert }], "the-final--countdown"), expected);
        };
        check(Behavior::Removed, false, &["the", "final", "countdown"]);
        check(Behavior::Removed, true, &["-", "-", "-"]);
        check(Behavior::Isolated, false, &["the", "-", "final", "-", "-", "countdown"]);
        check(Behavior::Contiguous, false, &["the", "-", "final", "--", "countdown"]);
        check(Behavior::MergedWithPrevious, false, &["the-", "final-", "-", "countdown"]);
        check(Behavior::MergedWithNext, false, &["the", "-final", "-", "-countdown"]);
    }

    #[test]
    fn digits_stand_alone_or_in_runs() {
        assert_eq!(words(vec![Step::Digits { individual: true }], "a12 ³b"), ["a", "1", "2", " ", "³", "b"]);
        assert_eq!(words(vec![Step::Digits { individual: false }], "a12 ³b"), ["a", "12", " ", "³", "b"]);
    }

    #[test]
    fn known_patterns_cut_as_they_are_written() {
        const PARTS: [&str; 12] = [" ", " ", "\n", "\r", "\t", "\u{3000}", "a", "B", "1", "!", "'s", "\u{301}"];
        let mut state = 3u64;
        let mut below = |limit: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % limit
        };
        for written in KNOWN_PATTERNS {
            let known = Pattern::regex(written).unwrap();
            assert!(matches!(known, Pattern::Known { .. }), "{written}");
            let written = Pattern::Regex(Box::new(compile(written).unwrap()));
            for _ in 0..2_000 {
                let text: String = (0..below(12)).map(|_| PARTS[below(PARTS.len())]).collect();
                assert_eq!(known.pieces(&text), written.pieces(&text), "{text:?}");
            }
        }
    }

    #[test]
    fn a_pattern_that_explodes_is_an_error() {
        let pattern = Pattern::regex(r"(?:a|a(?=a)|(?=a)a)*(?<=x)b").unwrap();
        let step = Step::Split { pattern, behavior: Behavior::Isolated, invert: false };
        let result = PreTokenizer { steps: vec![step] }.split(&"a".repeat(200), true, &mut |_| {});
        assert!(matches!(result, Err(Error::PatternGaveUp { .. })), "{result:?}");
    }

    #[test]
    fn a_bad_pattern_is_an_error() {
        assert!(matches!(Pattern::regex("(a"), Err(Error::BadPattern { .. })));
        assert!(matches!(Pattern::regex(r"\p{L}{1000}{1000}"), Err(Error::BadPattern { .. })));
    }
}
