//! What users ask: the same of every server, and never the same twice in one life of a server.

use crate::command::root;
use anyhow::{Context, Result};

const FORMS: [&str; 8] = [
    "Write a short story about",
    "Explain to a child",
    "What should everybody know about",
    "Write a letter to a friend about",
    "Describe a day that has to do with",
    "What are the good and bad sides of",
    "Give me a plan for a lesson about",
    "Tell me the history of",
];

const TOPICS: [&str; 9] = [
    "the tides of the sea",
    "bread and how it is baked",
    "long bridges",
    "the first railways",
    "bees in a city",
    "maps of the stars",
    "a garden in winter",
    "clocks that never stop",
    "paper",
];

/// Characters of a long prompt: about 500 tokens.
const LONG_CHARACTERS: usize = 1820;

/// A question of about ten tokens; no two of the first 72 are the same.
pub(crate) fn short(index: usize) -> String {
    format!("{} {}.", FORMS[index % FORMS.len()], TOPICS[(index / FORMS.len() + index % FORMS.len()) % TOPICS.len()])
}

/// A text of about 500 tokens; no two begin alike.
pub(crate) fn long(index: usize) -> Result<String> {
    let path = root()?.join("tests/data/alice.txt");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let rest: String = text.chars().skip(index * LONG_CHARACTERS).take(LONG_CHARACTERS).collect();
    Ok(rest)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_are_the_same() {
        let count = FORMS.len() * TOPICS.len();
        assert_eq!((0..count).map(short).collect::<BTreeSet<_>>().len(), count);
        let long: BTreeSet<String> = (0..10).map(|index| long(index).unwrap()).collect();
        assert_eq!(long.len(), 10);
        assert!(long.iter().all(|text| text.chars().count() == LONG_CHARACTERS));
    }
}
