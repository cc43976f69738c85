//! Why a file is not a model that Lockstep can run; every message is one line that names the thing and the remedy.

/// Failures of binding a model file to a graph.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No description of this architecture.
    #[error("architecture `{}` is not known: choose a model of one of {known}", shown(found))]
    UnknownArchitecture {
        /// As the file names it.
        found: String,
        /// The names that work for this kind of file.
        known: String,
    },
    /// A configuration value is missing or makes no sense.
    #[error("{key}: {}: the file is damaged or not a language model; get it again or choose another", shown(what))]
    Key {
        /// The key in the GGUF metadata or in config.json.
        key: String,
        /// What was found and what was expected.
        what: String,
    },
    /// The model uses something that the graph cannot express.
    #[error("{key}: {} is not supported: choose a model without it", shown(what))]
    Unsupported {
        /// The key or tensor that asks for it.
        key: String,
        /// What it asks for.
        what: String,
    },
    /// A tensor that the architecture needs is not there.
    #[error("tensor {} is missing: the file is incomplete; get it again or choose another", shown(name))]
    MissingTensor {
        /// As it should be named in the file.
        name: String,
    },
    /// A tensor that the architecture has no place for; ignoring it would compute something else.
    #[error("tensor {} has no place in a {family} model: choose a plain {family} file", shown(name))]
    ExtraTensor {
        /// As named in the file.
        name: String,
        /// The family.
        family: &'static str,
    },
    /// Two tensors share a name.
    #[error("tensor {} occurs twice: the file is damaged; get it again", shown(name))]
    RepeatedTensor {
        /// As named in the file.
        name: String,
    },
    /// A tensor's shape contradicts the configuration.
    #[error(
        "tensor {name}: shape {shape:?}, expected {expected:?}: tensors and configuration disagree; get the file again"
    )]
    Shape {
        /// As named in the file.
        name: String,
        /// In the file, outermost first.
        shape: Vec<usize>,
        /// From the configuration.
        expected: Vec<usize>,
    },
    /// A tensor's number format does not suit its use.
    #[error("tensor {}: type {found}, expected {expected}: choose a file with another quantisation", shown(name))]
    Type {
        /// As named in the file.
        name: String,
        /// In the file.
        found: &'static str,
        /// What would do.
        expected: &'static str,
    },
    /// A tensor's values cannot be used.
    #[error("tensor {}: {what}: get the file again or choose another", shown(name))]
    Values {
        /// As named in the file.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// A tensor's weights do not fit the arithmetic.
    #[error("tensor {}: {source}", shown(name))]
    Import {
        /// As named in the file.
        name: String,
        /// Why.
        source: lockstep_arith::import::ImportError,
    },
    /// The file's container is broken.
    #[error(transparent)]
    Formats(#[from] lockstep_formats::Error),
    /// The graph that resulted breaks a rule.
    #[error("{0}: tensors and configuration disagree; get the file again")]
    Graph(#[from] lockstep_graph::Error),
}

impl From<lockstep_graph::Violation> for Error {
    fn from(violation: lockstep_graph::Violation) -> Self {
        Self::Graph(violation.into())
    }
}

impl Error {
    pub(crate) fn key(key: &str, what: impl Into<String>) -> Self {
        Self::Key { key: key.to_owned(), what: what.into() }
    }

    pub(crate) fn unsupported(key: &str, what: impl Into<String>) -> Self {
        Self::Unsupported { key: key.to_owned(), what: what.into() }
    }
}

/// Text from a file, made fit for one line: control characters escaped, long texts cut.
fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 200;
    let mut line: String = text
        .chars()
        .take(CHARACTERS_MAX)
        .flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] })
        .collect();
    if text.chars().nth(CHARACTERS_MAX).is_some() {
        line.push_str("...");
    }
    line
}
