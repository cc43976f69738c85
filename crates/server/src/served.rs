//! What the server is given: an engine, and what it must know of the model.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lockstep_engine::{Backend, Clock, Engine};
use lockstep_text::{ChatTemplate, Tokenizer};
use serde::Serialize;
use utoipa::ToSchema;

/// A model behind an engine.
pub struct Served<B: Backend> {
    /// Answers requests; moves to a thread of its own.
    pub engine: Engine<B>,
    /// The clock that the engine reads; deadlines are readings of it.
    pub clock: Arc<dyn Clock + Send + Sync>,
    /// What there is to know of the model.
    pub model: ServedModel,
}

/// The exact time that a compiled system takes for an answer of so many prompt and answer tokens; none where it has no
/// program for it.
pub type LpuClock = Arc<dyn Fn(usize, usize) -> Option<LpuTime> + Send + Sync>;

/// Facts about the served model.
pub struct ServedModel {
    /// Names that requests may use; answers of `/v1/models` begin with the first. At least one.
    pub names: Vec<String>,
    /// When its file was made, in seconds since 1970.
    pub created: u64,
    /// Its vocabulary.
    pub tokenizer: Tokenizer,
    /// Tokens that end an answer.
    pub end_token_ids: Vec<u32>,
    /// Its chat template; none where it has none.
    pub template: Option<ChatTemplate>,
    /// What templates take for today, as `YYYY-MM-DD`.
    pub date: String,
    /// Names weights, tokenizer, template, arithmetic and sampler: equal fingerprints give equal answers.
    pub fingerprint: String,
    /// Longest sequence in tokens.
    pub context: usize,
    /// Tells the time of a compiled system.
    pub lpu: Option<LpuClock>,
}

/// The time of a compiled program, known before it runs.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct LpuTime {
    /// The system that the model is compiled for.
    pub system: String,
    /// Cycles of the prompt, up to the first token.
    pub prompt_cycles: u64,
    /// Cycles of the whole answer.
    pub total_cycles: u64,
    /// The prompt in seconds, without the host link.
    pub prompt_time: f64,
    /// Each further token in seconds, on average.
    pub token_time: f64,
    /// The whole answer in seconds.
    pub total_time: f64,
}

/// How to serve. Nothing here changes an answer.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Where to listen.
    pub addr: std::net::SocketAddr,
    /// Listen on an address that others can reach, without a key.
    pub insecure: bool,
    /// Refuse fields that this API does not know.
    pub strict_params: bool,
    /// Who may ask.
    pub access: Access,
    /// Web pages of these origins may ask, besides our own.
    pub cors_origins: Vec<String>,
    /// Names by which this server is reached, besides its address and `localhost`.
    pub hosts: Vec<String>,
    /// Repeat metrics under vLLM's names.
    pub vllm_metrics: bool,
    /// Bounds.
    pub limits: Limits,
}

/// Who may ask.
#[derive(Clone, Debug, Default)]
pub enum Access {
    /// Everybody.
    #[default]
    Open,
    /// Who has the key.
    Key(String),
    /// Who has one of the keys of this file.
    File(PathBuf),
}

/// Bounds on what clients can make the server do.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a body.
    pub body_bytes: usize,
    /// Bytes of a request's head.
    pub header_bytes: usize,
    /// For a request's head.
    pub header_time: Duration,
    /// For a request's body.
    pub body_time: Duration,
    /// For an answer, from its submission.
    pub answer_time: Duration,
    /// For a client that does not read.
    pub write_time: Duration,
    /// For streams to finish once the server is asked to end.
    pub drain_time: Duration,
    /// Connections.
    pub connections: usize,
    /// Messages of a chat.
    pub messages: usize,
    /// Prompts of a completion.
    pub prompts: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            header_bytes: 16 << 10,
            header_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            answer_time: Duration::from_mins(10),
            write_time: Duration::from_mins(1),
            drain_time: Duration::from_mins(1),
            connections: 1024,
            messages: 2048,
            prompts: 16,
        }
    }
}
