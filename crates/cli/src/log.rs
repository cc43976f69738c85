//! The log of a server: lines on standard error, and traces where this is built with them.

use crate::args::LogForm;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

/// Ends what must end with the log.
#[must_use]
pub struct Log {
    #[cfg(feature = "otel")]
    _traces: Option<crate::traces::Exporter>,
}

/// Starts the log of this process.
pub fn start(form: LogForm) -> Log {
    let lines = || tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let lines = match form {
        LogForm::Text => Some(lines().with_ansi(false).boxed()),
        LogForm::Json => Some(lines().json().boxed()),
        LogForm::Off => None,
    };
    let log = tracing_subscriber::registry().with(LevelFilter::INFO).with(lines);
    #[cfg(feature = "otel")]
    {
        let (traces, exporter) = crate::traces::from_environment().unzip();
        log.with(traces).init();
        Log { _traces: exporter }
    }
    #[cfg(not(feature = "otel"))]
    {
        log.init();
        Log {}
    }
}
