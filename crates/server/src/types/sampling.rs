//! How tokens are drawn, and what ends an answer: fields that chats and completions share.

use std::collections::BTreeMap;

use lockstep_engine::{Request, SamplingParams, ServiceTier};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::ApiError;

/// Longest text that may end an answer, in bytes.
const STOP_BYTES_MAX: usize = 1024;
/// Most tokens of `logit_bias`.
const BIAS_MAX: usize = 1024;
/// Most tokens of `stop_token_ids`.
const STOP_TOKENS_MAX: usize = 1024;

/// Fields of a request about drawing and ending. Null is the same as absent.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub(crate) struct SamplingFields {
    /// 0 takes the most likely token (of equals, the lowest id), 1 is the model's own distribution. Default 1.
    #[schema(minimum = 0, maximum = 2)]
    pub(crate) temperature: Option<f32>,
    /// Keep the most likely tokens that hold this share of the probability. Default 1.
    #[schema(exclusive_minimum = 0, maximum = 1)]
    pub(crate) top_p: Option<f32>,
    /// Keep only this many of the most likely tokens; 0 or -1 keeps all (as in vLLM).
    #[schema(minimum = -1)]
    pub(crate) top_k: Option<i64>,
    /// Keep tokens at least this many times as likely as the most likely one (as in vLLM). Default 0.
    #[schema(minimum = 0, maximum = 1)]
    pub(crate) min_p: Option<f32>,
    /// Decides, with a token's position, its random number. Absent: drawn, and told in `x_groq.seed`.
    pub(crate) seed: Option<i64>,
    /// Up to 4 texts that end the answer and are not part of it.
    pub(crate) stop: Option<Stop>,
    /// Subtracted once for each time a token was generated. Default 0.
    #[schema(minimum = -2, maximum = 2)]
    pub(crate) frequency_penalty: Option<f32>,
    /// Subtracted if a token was generated at all. Default 0.
    #[schema(minimum = -2, maximum = 2)]
    pub(crate) presence_penalty: Option<f32>,
    /// Divides the logits of tokens that occurred already (as in vLLM). Default 1.
    #[schema(minimum = 0.01, maximum = 100)]
    pub(crate) repetition_penalty: Option<f32>,
    /// Token ids with what is added to their logits.
    #[schema(value_type = Option<BTreeMap<String, f32>>)]
    pub(crate) logit_bias: Option<BTreeMap<String, f32>>,
    /// Only 1.
    #[schema(minimum = 1, maximum = 1)]
    pub(crate) n: Option<i64>,
    /// Go on after the model's end tokens (as in vLLM). Default false.
    pub(crate) ignore_eos: Option<bool>,
    /// No end token before this many tokens (as in vLLM). Default 0.
    #[schema(minimum = 0)]
    pub(crate) min_tokens: Option<u32>,
    /// Further tokens that end the answer (as in vLLM).
    pub(crate) stop_token_ids: Option<Vec<u32>>,
    /// Send the answer piece by piece. Default false.
    pub(crate) stream: Option<bool>,
    /// What else a stream tells.
    pub(crate) stream_options: Option<StreamOptions>,
    /// `flex` fails at once with 498 where nothing is free; `auto`, `default` and `on_demand` wait.
    pub(crate) service_tier: Option<String>,
    /// Who asks, for the log of whoever serves; not used.
    pub(crate) user: Option<String>,
}

/// One text or several.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(untagged, expecting = "a string or an array of strings")]
pub(crate) enum Stop {
    One(String),
    Many(Vec<String>),
}

/// What a stream tells besides its text.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(default)]
pub(crate) struct StreamOptions {
    /// One more chunk at the end, with no choices and the usage.
    pub(crate) include_usage: Option<bool>,
    /// The usage so far in each chunk (as in vLLM).
    pub(crate) continuous_usage_stats: Option<bool>,
}

/// A request's fields, checked.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) seed: i64,
    pub(crate) is_stream: bool,
    pub(crate) include_usage: bool,
    pub(crate) continuous_usage: bool,
    pub(crate) tier: ServiceTier,
}

impl SamplingFields {
    /// Checks what the engine does not, and writes the rest into its request.
    pub(crate) fn apply(self, request: &mut Request) -> Result<Checked, ApiError> {
        if let Some(n) = self.n.filter(|&n| n != 1) {
            return Err(ApiError::unsupported("n", format!("n is {n}: one answer a request is made, send n = 1")));
        }
        let is_stream = self.stream.unwrap_or(false);
        let options = match self.stream_options {
            Some(_) if !is_stream => {
                return Err(ApiError::invalid("stream_options", "stream_options need stream = true"));
            }
            options => options.unwrap_or_default(),
        };
        let seed = self.seed.map_or_else(draw_seed, Ok)?;
        let tier = tier(self.service_tier.as_deref())?;
        let top_k = match self.top_k.unwrap_or(0) {
            k if k < -1 => return Err(ApiError::invalid("top_k", format!("top_k is {k}: it must be at least 0"))),
            k => u32::try_from(k.max(0)).unwrap_or(u32::MAX),
        };
        request.sampling = SamplingParams {
            temperature: self.temperature.unwrap_or(1.0),
            top_k,
            top_p: self.top_p.unwrap_or(1.0),
            min_p: self.min_p.unwrap_or(0.0),
            frequency_penalty: self.frequency_penalty.unwrap_or(0.0),
            presence_penalty: self.presence_penalty.unwrap_or(0.0),
            repetition_penalty: self.repetition_penalty.unwrap_or(1.0),
            logit_bias: bias(self.logit_bias.unwrap_or_default())?,
        };
        request.seed = seed as u64;
        request.stop = stops(self.stop)?;
        request.stop_token_ids = self.stop_token_ids.unwrap_or_default();
        at_most("stop_token_ids", request.stop_token_ids.len(), STOP_TOKENS_MAX)?;
        request.ignore_eos = self.ignore_eos.unwrap_or(false);
        request.min_tokens = self.min_tokens.unwrap_or(0) as usize;
        request.tier = tier;
        Ok(Checked {
            seed,
            is_stream,
            include_usage: options.include_usage.unwrap_or(false),
            continuous_usage: options.continuous_usage_stats.unwrap_or(false),
            tier,
        })
    }
}

/// 53 bits: JavaScript reads them as they are.
fn draw_seed() -> Result<i64, ApiError> {
    let drawn = getrandom::u64().map_err(|_| ApiError::internal("no seed can be drawn: send one"))?;
    Ok((drawn >> 11) as i64)
}

fn tier(name: Option<&str>) -> Result<ServiceTier, ApiError> {
    match name {
        None | Some("auto" | "default" | "on_demand") => Ok(ServiceTier::Default),
        Some("flex") => Ok(ServiceTier::Flex),
        Some(other) => Err(ApiError::invalid(
            "service_tier",
            format!("service_tier is {other:.40?}: it must be auto, default, on_demand or flex"),
        )),
    }
}

fn stops(stop: Option<Stop>) -> Result<Vec<String>, ApiError> {
    let stops = match stop {
        None => Vec::new(),
        // Clients that always send the field send it empty.
        Some(Stop::One(text)) if text.is_empty() => Vec::new(),
        Some(Stop::One(text)) => vec![text],
        Some(Stop::Many(texts)) => texts,
    };
    if let Some(long) = stops.iter().map(String::len).find(|&length| length > STOP_BYTES_MAX) {
        return Err(ApiError::invalid("stop", format!("a text of {long} bytes: at most {STOP_BYTES_MAX} are taken")));
    }
    Ok(stops)
}

fn bias(fields: BTreeMap<String, f32>) -> Result<Vec<(u32, f32)>, ApiError> {
    at_most("logit_bias", fields.len(), BIAS_MAX)?;
    let mut biases = Vec::with_capacity(fields.len());
    for (key, value) in fields {
        let id = key.parse().map_err(|_| ApiError::invalid("logit_bias", format!("{key:.40?} is not a token id")))?;
        biases.push((id, value));
    }
    biases.sort_by_key(|&(id, _)| id);
    Ok(biases)
}

/// Refuses lists that are too long.
pub(crate) fn at_most(param: &str, count: usize, most: usize) -> Result<(), ApiError> {
    if count <= most {
        return Ok(());
    }
    Err(ApiError::invalid(param, format!("{param} has {count} entries: at most {most} are taken")))
}
