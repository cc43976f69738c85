//! Stop strings, found across the borders of text pieces.

/// Holds back the end of a text while it may still become a stop string.
#[derive(Debug)]
pub(crate) struct StopMatcher {
    stops: Vec<String>,
    held: String,
}

/// What became certain with a piece.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Certain {
    /// Text to show.
    pub(crate) text: String,
    /// A stop string followed it: nothing more is shown.
    pub(crate) stopped: bool,
}

impl StopMatcher {
    pub(crate) fn new(stops: Vec<String>) -> Self {
        Self { stops, held: String::new() }
    }

    /// Adds a piece. The stop string that ends first counts (of several, the longest), so that it does not matter how
    /// the text is cut into pieces.
    pub(crate) fn push(&mut self, piece: &str) -> Certain {
        self.held.push_str(piece);
        if let Some(start) = self.first_stop() {
            self.held.truncate(start);
            return Certain { text: std::mem::take(&mut self.held), stopped: true };
        }
        let open = self.stops.iter().map(|stop| open_length(&self.held, stop)).max().unwrap_or(0);
        let kept = self.held.split_off(self.held.len() - open);
        Certain { text: std::mem::replace(&mut self.held, kept), stopped: false }
    }

    /// The text still held back, which no stop string can claim any more.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Where the stop string that ends first begins.
    fn first_stop(&self) -> Option<usize> {
        let found = self.stops.iter().filter_map(|stop| self.held.find(stop).map(|start| (start + stop.len(), start)));
        found.min().map(|(_, start)| start)
    }
}

/// Length of the longest proper prefix of `stop` with which `text` ends, in bytes.
fn open_length(text: &str, stop: &str) -> usize {
    let lengths = stop.char_indices().map(|(at, _)| at).rev();
    lengths.into_iter().find(|&length| text.as_bytes().ends_with(&stop.as_bytes()[..length])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is shown of a text that arrives in the given pieces, and whether it was stopped.
    fn shown(stops: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut matcher = StopMatcher::new(stops.iter().map(ToString::to_string).collect());
        let mut text = String::new();
        for piece in pieces {
            let certain = matcher.push(piece);
            text += &certain.text;
            if certain.stopped {
                return (text, true);
            }
        }
        (text + &matcher.finish(), false)
    }

    #[test]
    fn what_may_become_a_stop_string_is_held_back() {
        let mut matcher = StopMatcher::new(vec!["</s>".into(), "été".into()]);
        assert_eq!(matcher.push("a</"), Certain { text: "a".into(), stopped: false });
        assert_eq!(matcher.push("b ét"), Certain { text: "</b ".into(), stopped: false });
        assert_eq!(matcher.push("é!"), Certain { text: String::new(), stopped: true });
    }

    #[test]
    fn pieces_do_not_matter() {
        let texts = ["aabab", "abababc", "xyzété", "éétét", "", "abcab", "aaaa", "été"];
        let lists: [&[&str]; 6] = [&["abc", "b"], &["aba", "ab"], &["été", "té"], &["zz"], &["aaab", "aab"], &["a"]];
        for text in texts {
            for stops in lists {
                let whole = shown(stops, &[text]);
                let characters: Vec<String> = text.chars().map(String::from).collect();
                let pieces: Vec<&str> = characters.iter().map(String::as_str).collect();
                assert_eq!(shown(stops, &pieces), whole, "{text} {stops:?}");
                for at in (0..text.len()).filter(|&at| text.is_char_boundary(at)) {
                    assert_eq!(shown(stops, &[&text[..at], &text[at..]]), whole, "{text} {stops:?} at {at}");
                }
                assert!(stops.iter().all(|stop| !whole.0.contains(stop)));
                assert_eq!(whole.1, stops.iter().any(|stop| text.contains(stop)));
            }
        }
    }
}
