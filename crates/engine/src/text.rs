//! What the engine needs from whatever turns token ids into text.

/// Starts one text per request.
pub trait Detokenizer {
    /// A fresh text, to which a request's generated tokens are pushed one after the other.
    fn start(&self) -> Box<dyn TextStream + Send>;
}

/// Text of one request. A piece never ends within a character: what is not yet certain is kept for the next piece.
pub trait TextStream {
    /// Adds a token; returns the text that it makes certain (often its own, sometimes none).
    fn push(&mut self, id: u32) -> String;
    /// Returns the text that was still kept. Called once, after the last token.
    fn finish(&mut self) -> String;
}

/// No text at all: for callers that only want token ids or logits.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoText;

impl Detokenizer for NoText {
    fn start(&self) -> Box<dyn TextStream + Send> {
        Box::new(Self)
    }
}

impl TextStream for NoText {
    fn push(&mut self, _id: u32) -> String {
        String::new()
    }

    fn finish(&mut self) -> String {
        String::new()
    }
}
