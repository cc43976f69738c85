//! Why a file is not a model that Lockstep can run; every message is one line that names the thing and the remedy.

/// Failures of binding a model file to a graph.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No description of this architecture.
    #[error("architecture `{found}` is not known: choose a model of one of {known}")]
    UnknownArchitecture {
        /// As the file names it.
        found: String,
        /// The names that work for this kind of file.
        known: String,
    },
    /// A configuration value is missing or makes no sense.
    #[error("{key}: {what}: the file is damaged or not a language model; get it again or choose another")]
    Key {
        /// The key in the GGUF metadata or in config.json.
        key: String,
        /// What was found and what was expected.
        what: String,
    },
    /// The model uses something that the graph cannot express.
    #[error("{key}: {what} is not supported: choose a model without it")]
    Unsupported {
        /// The key or tensor that asks for it.
        key: String,
        /// What it asks for.
        what: String,
    },
    /// A tensor that the architecture needs is not there.
    #[error("tensor {name} is missing: the file is incomplete; get it again or choose another")]
    MissingTensor {
        /// As it should be named in the file.
        name: String,
    },
    /// A tensor that the architecture has no place for; ignoring it would compute something else.
    #[error("tensor {name} has no place in a {family} model: choose a plain {family} file")]
    ExtraTensor {
        /// As named in the file.
        name: String,
        /// The family.
        family: &'static str,
    },
    /// Two tensors share a name.
    #[error("tensor {name} occurs twice: the file is damaged; get it again")]
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
    #[error("tensor {name}: type {found}, expected {expected}: choose a file with another quantisation")]
    Type {
        /// As named in the file.
        name: String,
        /// In the file.
        found: &'static str,
        /// What would do.
        expected: &'static str,
    },
    /// A tensor's values cannot be used.
    #[error("tensor {name}: {what}: get the file again or choose another")]
    Values {
        /// As named in the file.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// A tensor's weights do not fit the arithmetic.
    #[error("tensor {name}: {source}")]
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
