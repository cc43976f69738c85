//! What an engine is told, and what it tells of itself.

use lockstep_kernels::Kernels;

/// Choices that hold for all requests. None of them changes a token or a logit.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Most prompt tokens in a step; the backend's most where absent.
    pub prefill_chunk: Option<usize>,
    /// Most that prompts add to a step in which other requests generate, in percent of what it costs without them: at 200
    /// tokens come at least a third as fast as without prompts, and a prompt takes at most half as long again as alone.
    pub prefill_percent_shared: u32,
    /// Most requests that share a step.
    pub running_max: usize,
    /// Most requests that wait.
    pub waiting_max: usize,
    /// Most memory for keys and values, in bytes: of requests that run, each counted with the most tokens it can come
    /// to, and of kept sequences, which give way first. It bounds the context too: what is alone must fit.
    pub kv_bytes_max: u64,
    /// Of it, most for sequences that are kept so that later requests can begin with their tokens; 0 keeps none.
    pub cache_bytes_max: u64,
    /// The model's end tokens.
    pub end_token_ids: Vec<u32>,
    /// Most tokens guessed ahead per request and step; 0 turns speculation off for all.
    pub guesses_max: usize,
    /// What a further token, of an answer or a prompt, adds to a step, in percent of a step of one token. Guesses are
    /// made where they are more likely right than this.
    pub token_cost_percent: u32,
    /// What draws tokens.
    pub kernels: Kernels,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            prefill_chunk: None,
            prefill_percent_shared: 200,
            running_max: 64,
            waiting_max: 1024,
            kv_bytes_max: u64::MAX,
            cache_bytes_max: 0,
            end_token_ids: Vec::new(),
            guesses_max: 16,
            token_cost_percent: 35,
            kernels: Kernels::detect(),
        }
    }
}

/// What an engine holds at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Requests that wait.
    pub waiting: usize,
    /// Requests that run.
    pub running: usize,
    /// Memory that those that run have reserved, in bytes.
    pub reserved_bytes: u64,
    /// Most memory that they can come to: the budget, or what the most requests of the most tokens need.
    pub kv_bytes_max: u64,
    /// Kept sequences.
    pub cached_sequences: usize,
    /// Their tokens.
    pub cached_tokens: usize,
    /// Their memory, in bytes.
    pub cached_bytes: u64,
}

impl Load {
    /// Share of the memory for keys and values that is reserved, 0 to 1; 0 where they take none.
    pub fn kv_use(&self) -> f64 {
        if self.kv_bytes_max == 0 { 0.0 } else { self.reserved_bytes as f64 / self.kv_bytes_max as f64 }
    }
}
