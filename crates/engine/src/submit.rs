//! Taking requests.

use crate::backend::Backend;
use crate::engine::Engine;
use crate::request::{Attached, Request, RequestId, ServiceTier};
use crate::sampling::Sampler;
use crate::stop::StopMatcher;
use crate::task::{Parts, Rules, Task};
use crate::validate::{SubmitError, check};

impl<B: Backend> Engine<B> {
    /// Queues a request.
    pub fn submit(&mut self, request: Request) -> Result<RequestId, SubmitError> {
        self.submit_with(request, Attached::default())
    }

    /// Queues a request and what goes with it.
    pub fn submit_with(&mut self, request: Request, mut attached: Attached) -> Result<RequestId, SubmitError> {
        check(&request, self.backend.vocab_size(), self.context)?;
        let tokens_max = request.prompt.len().saturating_add(request.max_tokens).min(self.context);
        if request.tier == ServiceTier::Flex && !self.could_start(tokens_max) {
            return Err(SubmitError::NoRoom);
        }
        if self.waiting.len() >= self.options.waiting_max {
            return Err(SubmitError::QueueFull { waiting: self.waiting.len() });
        }
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let mut ends = request.stop_token_ids;
        if !request.ignore_eos {
            // An end token outside the vocabulary is never drawn, and must not be banned by its index.
            let vocabulary = self.backend.vocab_size();
            ends.extend(self.options.end_token_ids.iter().filter(|&&id| (id as usize) < vocabulary));
        }
        let rules = Rules {
            prompt_tokens: request.prompt.len(),
            tokens_max,
            ends: ends.clone(),
            logprobs: request.logprobs,
            tier: request.tier,
            scope: request.cache_scope,
            deadline: request.deadline,
        };
        let sampler = Sampler::new(request.sampling, request.seed, ends, request.min_tokens, &request.prompt);
        self.waiting.push_back(Task::new(Parts {
            id,
            rules,
            prompt: request.prompt,
            all_logits: request.all_logits,
            speculate: request.speculate && self.options.guesses_max > 0,
            sampler,
            text: attached.text.take().unwrap_or_else(|| self.detokenizer.start()),
            stops: StopMatcher::new(request.stop),
            attached,
            submitted: self.clock.now(),
        }));
        Ok(id)
    }

    /// Whether a request of this many tokens would run in the next step, with all that wait before it.
    fn could_start(&self, tokens_max: usize) -> bool {
        let bytes = self.reserved(true).saturating_add(self.backend.sequence_bytes(tokens_max));
        self.waiting.len() + self.running.len() < self.running_max() && bytes <= self.options.kv_bytes_max
    }
}
