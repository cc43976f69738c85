//! Parts that answers of all routes share.

use lockstep_engine as engine;
use serde::Serialize;
use utoipa::ToSchema;

use crate::served::LpuTime;

/// Counts and times of an answer; times are seconds of a monotonic clock, stamped in the engine.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct Usage {
    pub(crate) prompt_tokens: usize,
    pub(crate) completion_tokens: usize,
    pub(crate) total_tokens: usize,
    /// From submission to the first step.
    pub(crate) queue_time: f64,
    /// From there to the first token.
    pub(crate) prompt_time: f64,
    /// From the first token to the last.
    pub(crate) completion_time: f64,
    /// `prompt_time` and `completion_time`.
    pub(crate) total_time: f64,
    pub(crate) prompt_tokens_details: PromptTokensDetails,
    pub(crate) completion_tokens_details: CompletionTokensDetails,
}

/// The usage, or that it is not there yet.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum UsageOrNull {
    Null,
    Usage(Usage),
}

/// Of the prompt's tokens.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct PromptTokensDetails {
    /// Those taken from the prefix cache.
    pub(crate) cached_tokens: usize,
}

/// Of the answer's tokens.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct CompletionTokensDetails {
    pub(crate) reasoning_tokens: usize,
}

impl From<&engine::Usage> for Usage {
    fn from(usage: &engine::Usage) -> Self {
        let (prompt_time, completion_time) = (usage.prompt_time.as_secs_f64(), usage.completion_time.as_secs_f64());
        Self {
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            total_tokens: usage.prompt_tokens + usage.completion_tokens,
            queue_time: usage.queue_time.as_secs_f64(),
            prompt_time,
            completion_time,
            total_time: prompt_time + completion_time,
            prompt_tokens_details: PromptTokensDetails { cached_tokens: usage.cached_tokens },
            completion_tokens_details: CompletionTokensDetails::default(),
        }
    }
}

impl Usage {
    /// Counts without times, for a stream that goes on.
    pub(crate) fn so_far(prompt_tokens: usize, completion_tokens: usize) -> Self {
        let total_tokens = prompt_tokens + completion_tokens;
        Self { prompt_tokens, completion_tokens, total_tokens, ..Self::default() }
    }
}

impl Usage {
    /// Adds the usage of another answer to the same request, which ran beside it; without its tokens where they are
    /// not told.
    pub(crate) fn add(&mut self, other: &Self, without_answer: bool) {
        let completion_tokens = if without_answer { 0 } else { other.completion_tokens };
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += completion_tokens;
        self.total_tokens += other.prompt_tokens + completion_tokens;
        self.queue_time = self.queue_time.max(other.queue_time);
        self.prompt_time = self.prompt_time.max(other.prompt_time);
        self.completion_time = self.completion_time.max(other.completion_time);
        self.total_time = self.prompt_time + self.completion_time;
        self.prompt_tokens_details.cached_tokens += other.prompt_tokens_details.cached_tokens;
    }
}

/// Groq's own fields.
#[derive(Clone, Debug, Default, Serialize, ToSchema)]
pub(crate) struct XGroq {
    pub(crate) id: String,
    /// The seed that was used: with it, the same request gives the same answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seed: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) usage: Option<Usage>,
    /// Why a stream broke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// What anyone can check an answer by.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct XLockstep {
    /// BLAKE3 of the answer's token ids, the end token included, each as four bytes, least significant first.
    pub(crate) output_digest: String,
    /// The time of the same answer by the compiled program, exact; null where there is none of its length.
    pub(crate) lpu: Option<LpuTime>,
}

/// Why an answer is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FinishReason {
    Stop,
    Length,
    ToolCalls,
}
