/// How a family of models writes calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ToolFormat {
    /// `<tool_call>{"name": ..., "arguments": ...}</tool_call>`: Hermes, Qwen 2.5 and 3, Granite 4 and others.
    Hermes,
    /// `{"name": ..., "parameters": ...}`, one, behind `<|python_tag|>` or not: Llama 3.1 to 3.3.
    Llama,
    /// `[TOOL_CALLS][{"name": ..., "arguments": ...}, ...]`: Mistral 7B v0.3, Nemo.
    Mistral,
    /// `[TOOL_CALLS]name[ARGS]{...}` for each: newer Mistral models.
    MistralArgs,
    /// The template knows no tools, or none of these formats: they are told in a system message of ours, and calls are
    /// written as [`Self::Hermes`] does.
    Generic,
}

/// Before a call of Hermes' format.
pub(crate) const OPEN: &str = "<tool_call>";
/// After it.
pub(crate) const CLOSE: &str = "</tool_call>";
/// Before the calls of Mistral's formats.
pub(crate) const TOOL_CALLS: &str = "[TOOL_CALLS]";
/// Between name and arguments.
pub(crate) const ARGS: &str = "[ARGS]";
/// Before a call of Llama's format.
pub(crate) const PYTHON_TAG: &str = "<|python_tag|>";

impl ToolFormat {
    /// The format that a chat template (its Jinja source) teaches.
    pub fn detect(template: &str) -> Self {
        let has = |text: &str| template.contains(text);
        let json_call =
            has("\"arguments\"") || has("\\\"arguments\\\"") || has("'arguments'") || has("\"arguments\\\"");
        if !has("tools") {
            Self::Generic
        } else if has(TOOL_CALLS) && has(ARGS) {
            Self::MistralArgs
        } else if has(TOOL_CALLS) {
            Self::Mistral
        } else if has(OPEN) && has(CLOSE) && json_call && !has("<function=") && !has("<arg_key>") {
            Self::Hermes
        } else if has("<|start_header_id|>") && has("ipython") && has("\"parameters\": ") {
            Self::Llama
        } else {
            Self::Generic
        }
    }

    /// Whether the template writes the tools itself.
    pub fn is_native(self) -> bool {
        self != Self::Generic
    }

    /// Special tokens that an answer's text must show for its calls to be found.
    pub fn marks(self) -> &'static [&'static str] {
        match self {
            Self::Hermes | Self::Generic => &[OPEN, CLOSE],
            Self::Llama => &[PYTHON_TAG],
            Self::Mistral => &[TOOL_CALLS],
            Self::MistralArgs => &[TOOL_CALLS, ARGS],
        }
    }

    /// The key of a call's arguments.
    pub(crate) fn arguments_key(self) -> &'static str {
        if self == Self::Llama { "parameters" } else { "arguments" }
    }
}
