/// A piece of an answer. Pieces of one call follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Text for the user.
    Content(String),
    /// A call begins.
    CallStart {
        /// Its number in the answer.
        index: usize,
        /// The function.
        name: String,
    },
    /// More of its arguments; joined, they are JSON unless the answer was cut off.
    CallArguments {
        /// Number of the call.
        index: usize,
        /// What follows the arguments so far.
        text: String,
    },
}

/// Pieces on their way out. White space around calls is left out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output {
    pieces: Vec<Piece>,
    calls: usize,
    /// White space that is content only if more content follows.
    space: String,
    /// Whether nothing but white space has come since the last call.
    behind_call: bool,
}

impl Output {
    /// Calls that have begun.
    pub(crate) fn calls(&self) -> usize {
        self.calls
    }

    /// What has come since this was last asked for.
    pub(crate) fn take(&mut self) -> Vec<Piece> {
        std::mem::take(&mut self.pieces)
    }

    /// The same at the answer's end: white space there is content, unless it stands behind a call.
    pub(crate) fn finish(&mut self) -> Vec<Piece> {
        let space = std::mem::take(&mut self.space);
        if !self.behind_call {
            self.add_content(&space);
        }
        self.take()
    }

    /// A call begins.
    pub(crate) fn start(&mut self, name: String) {
        self.space.clear();
        self.behind_call = true;
        self.pieces.push(Piece::CallStart { index: self.calls, name });
        self.calls += 1;
    }

    /// More arguments of the call that has begun last.
    pub(crate) fn arguments(&mut self, more: &str) {
        if let Some(Piece::CallArguments { text, .. }) = self.pieces.last_mut() {
            text.push_str(more);
        } else {
            self.pieces.push(Piece::CallArguments { index: self.calls.saturating_sub(1), text: more.to_owned() });
        }
    }

    /// Content; white space at its end waits for more, and behind a call is none.
    pub(crate) fn content(&mut self, text: &str) {
        let solid = text.trim_end();
        if !solid.is_empty() {
            let space = std::mem::take(&mut self.space);
            if self.behind_call {
                self.behind_call = false;
                self.add_content(solid.trim_start());
            } else {
                self.add_content(&space);
                self.add_content(solid);
            }
        }
        self.space.push_str(&text[solid.len()..]);
    }

    fn add_content(&mut self, text: &str) {
        match self.pieces.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Content(last)) => last.push_str(text),
            _ => self.pieces.push(Piece::Content(text.to_owned())),
        }
    }
}
