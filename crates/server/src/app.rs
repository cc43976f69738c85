//! What all routes share.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use lockstep_engine::ServiceTier;
use lockstep_grammar::{ToolFormat, Vocabulary};
use lockstep_text::Tokenizer;
use tokio::sync::watch;

use crate::access::{Caller, Gate};
use crate::error::ApiError;
use crate::metrics::Metrics;
use crate::pool::Pool;
use crate::runner::Runner;
use crate::served::{ServedModel, ServerOptions};

/// The server's state.
pub(crate) struct App {
    pub(crate) model: ServedModel,
    pub(crate) runner: Runner,
    pub(crate) pool: Pool,
    pub(crate) options: ServerOptions,
    pub(crate) gate: Arc<Gate>,
    pub(crate) metrics: Metrics,
    /// How the template writes calls of tools.
    pub(crate) tool_format: ToolFormat,
    /// For constrained answers; none where the model's vocabulary does not allow them.
    pub(crate) vocabulary: Result<Vocabulary, String>,
    /// Becomes true when the server is asked to end.
    pub(crate) draining: watch::Receiver<bool>,
    /// Most bytes of a token's text: a longer text per token cannot fit the context.
    token_bytes_max: usize,
}

pub(crate) type Shared = Arc<App>;

/// What is known of a request before its body.
#[derive(Clone)]
pub(crate) struct Meta {
    /// `req_...`, as the answer's `x-request-id` says.
    pub(crate) id: String,
    /// Came in under `/openai/v1`.
    pub(crate) is_groq: bool,
    pub(crate) caller: Arc<Caller>,
}

impl Meta {
    /// How an answer names the tier that it was given at.
    pub(crate) fn tier(&self, tier: ServiceTier) -> &'static str {
        match tier {
            ServiceTier::Flex => "flex",
            ServiceTier::Default if self.is_groq => "on_demand",
            ServiceTier::Default => "default",
        }
    }
}

impl App {
    pub(crate) fn new(
        model: ServedModel,
        runner: Runner,
        gate: Gate,
        options: ServerOptions,
        draining: watch::Receiver<bool>,
    ) -> Self {
        let token_bytes_max = longest_token(&model.tokenizer);
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let vocabulary = Vocabulary::new(&model.tokenizer, &model.end_token_ids).map_err(|error| error.to_string());
        let vllm_model = model.names.first().filter(|_| options.vllm_metrics).map(String::as_str);
        let template = model.tokenizer.chat_template_source().unwrap_or_default();
        Self {
            runner,
            pool: Pool::new(cores.max(2)),
            gate: Arc::new(gate),
            metrics: Metrics::new(vllm_model),
            tool_format: ToolFormat::detect(template),
            vocabulary,
            model,
            options,
            draining,
            token_bytes_max,
        }
    }

    /// Checks that a request asks for what is served.
    pub(crate) fn require_model(&self, name: &str) -> Result<(), ApiError> {
        if self.model.names.iter().any(|known| known == name) {
            return Ok(());
        }
        let (shown, known) = (name.chars().take(100).collect::<String>(), self.model.names.join(", "));
        let message = format!("the model {shown:?} is not served here: use {known}");
        Err(ApiError::not_found("model_not_found", message).of("model"))
    }

    /// Refuses a text that is longer than any text of so many tokens, before time is spent on it.
    pub(crate) fn require_short(&self, param: &str, bytes: usize) -> Result<(), ApiError> {
        let most = self.model.context.saturating_mul(self.token_bytes_max);
        if bytes <= most {
            return Ok(());
        }
        Err(ApiError::too_long(self.model.context, &format!("{bytes} bytes cannot fit it: shorten them")).of(param))
    }

    /// Refuses work while the server ends.
    pub(crate) fn require_open(&self) -> Result<(), ApiError> {
        if *self.draining.borrow() {
            return Err(ApiError::unavailable("shutting_down", "the server is ending: ask another one"));
        }
        Ok(())
    }
}

fn longest_token(tokenizer: &Tokenizer) -> usize {
    let ids = 0..u32::try_from(tokenizer.vocab_size()).unwrap_or(u32::MAX);
    ids.filter_map(|id| tokenizer.token_text(id)).map(str::len).max().unwrap_or(1)
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A name that nothing else has.
pub(crate) fn fresh_id(prefix: &str) -> String {
    let mut bytes = [0; 12];
    // Without randomness names may repeat; nothing relies on them.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().fold(prefix.to_owned(), |name, byte| format!("{name}{byte:02x}"))
}
