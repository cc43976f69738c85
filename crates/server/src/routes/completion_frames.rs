//! Completions piece by piece.

use crate::app::Shared;
use crate::generation::{self, End, Generation, Step, Token};
use crate::routes::completions::{Echo, Head, Wants};
use crate::sse::{Frames, Written};
use crate::types::answer::{Usage, UsageOrNull, XGroq, XLockstep};
use crate::types::completion::{Completion, CompletionChoice, CompletionLogprobs};
use crate::types::sampling::Checked;

/// The pieces of all answers of a request, one answer after the other.
pub(crate) struct CompletionFrames {
    app: Shared,
    head: Head,
    checked: Checked,
    wants: Wants,
    echoes: Vec<Echo>,
    usage: Usage,
    ids: Vec<u32>,
    /// The answer whose echo was told.
    echoed: Option<usize>,
    /// Characters of the answer so far.
    offset: usize,
}

impl CompletionFrames {
    pub(crate) fn new(app: Shared, head: Head, checked: Checked, wants: Wants, echoes: Vec<Echo>) -> Self {
        Self { app, head, checked, wants, echoes, usage: Usage::default(), ids: Vec::new(), echoed: None, offset: 0 }
    }

    /// A piece of an answer.
    fn piece(&self, index: usize, text: String, logprobs: Option<CompletionLogprobs>) -> Completion {
        let mut chunk = self.head.with(vec![CompletionChoice { index, text, logprobs, finish_reason: None }]);
        chunk.usage = self.checked.include_usage.then_some(UsageOrNull::Null);
        chunk
    }

    /// The prompt, before the first token of its answer: by then all its logits were read.
    fn echo(&mut self, index: usize, frames: &mut Written) {
        if self.echoed.replace(index) == Some(index) {
            return;
        }
        self.offset = 0;
        if let Some(echo) = self.echoes.get(index).filter(|_| self.wants.echo) {
            let (text, logprobs) = echo.tell(&self.app);
            self.offset = text.chars().count();
            frames.data(&self.piece(index, text, logprobs));
        }
    }

    fn token(&mut self, index: usize, generation: &Generation, token: Token, frames: &mut Written) {
        if self.wants.nothing || (token.is_end && token.text.is_empty()) {
            return;
        }
        let logprobs = self.wants.logprobs.then(|| {
            let mut list = CompletionLogprobs::default();
            list.push(&self.app, token.id, token.logprobs.as_ref(), &mut self.offset);
            list
        });
        let mut chunk = self.piece(index, token.text, logprobs);
        if self.checked.continuous_usage {
            chunk.usage =
                Some(UsageOrNull::Usage(Usage::so_far(generation.prompt_tokens, generation.completion_tokens())));
        }
        frames.data(&chunk);
    }

    /// The last piece of an answer; that of the last answer says what the whole response does.
    fn end(&mut self, index: usize, end: &End, frames: &mut Written) {
        let text = if self.wants.nothing { String::new() } else { end.text.clone() };
        let mut chunk = self.piece(index, text, None);
        if let Some(choice) = chunk.choices.first_mut() {
            choice.finish_reason = Some(end.reason);
        }
        self.usage.add(&Usage::from(&end.usage), self.wants.nothing);
        self.ids.extend(&end.ids);
        if index + 1 == self.echoes.len() {
            let usage = Some(self.usage.clone());
            if !self.checked.include_usage {
                chunk.usage = Some(UsageOrNull::Usage(self.usage.clone()));
            }
            let (id, seed) = (self.head.request_id.clone(), Some(self.head.seed));
            chunk.x_groq = Some(XGroq { id, seed, usage, ..XGroq::default() });
            let lpu = if index == 0 { end.x_lockstep(&self.app).lpu } else { None };
            chunk.x_lockstep = Some(XLockstep { output_digest: generation::digest(self.ids.iter().copied()), lpu });
        }
        frames.data(&chunk);
    }
}

impl Frames for CompletionFrames {
    fn begin(&mut self, _: &mut Written) {}

    fn step(&mut self, index: usize, generation: &Generation, step: Step, frames: &mut Written) {
        self.echo(index, frames);
        match step {
            Step::Token(token) => self.token(index, generation, token, frames),
            Step::End(end) => self.end(index, &end, frames),
        }
    }

    fn finish(&mut self, frames: &mut Written) {
        if self.checked.include_usage {
            let mut chunk = self.head.with(Vec::new());
            chunk.usage = Some(UsageOrNull::Usage(self.usage.clone()));
            frames.data(&chunk);
        }
        frames.done();
    }
}
