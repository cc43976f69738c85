//! `GET models` and what else the server tells of itself.

use serde::Serialize;
use utoipa::ToSchema;

/// The models of this server.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// `list`
    pub(crate) object: &'static str,
    pub(crate) data: Vec<ModelObject>,
}

/// A model.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ModelObject {
    pub(crate) id: String,
    /// `model`
    pub(crate) object: &'static str,
    /// Seconds since 1970.
    pub(crate) created: u64,
    pub(crate) owned_by: &'static str,
    /// The same model by its first name (as in vLLM).
    pub(crate) root: String,
    /// Longest sequence in tokens (as in vLLM).
    pub(crate) max_model_len: usize,
    /// The same (as in Groq).
    pub(crate) context_window: usize,
    pub(crate) active: bool,
}

/// `GET /version`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    pub(crate) version: &'static str,
    pub(crate) system_fingerprint: String,
}

/// `GET /health` and `GET /ready`.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// `ok`
    pub(crate) status: &'static str,
}
