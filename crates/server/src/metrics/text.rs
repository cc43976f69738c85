//! Metrics as text: OpenMetrics for who asks for it, Prometheus's older form for everybody else.

use std::fmt::Write as _;

use axum::http::{HeaderMap, header};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;

/// A form of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    OpenMetrics,
    Prometheus,
}

impl Form {
    /// What a scraper asks for.
    pub(crate) fn asked(headers: &HeaderMap) -> Self {
        let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Prometheus }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    pub(super) fn of(self, registry: &Registry) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, registry)?;
        if self == Self::OpenMetrics { Ok(text) } else { older(&text) }
    }
}

/// In the older form a counter's description has the name of its samples, with `_total`; units and the end are not told.
fn older(text: &str) -> Result<String, std::fmt::Error> {
    let counter = |line: &str| Some(line.strip_prefix("# TYPE ")?.strip_suffix(" counter")?.to_owned());
    let mut lines = text.lines().peekable();
    let mut out = String::with_capacity(text.len());
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            // The type follows.
            let name = lines.peek().and_then(|next| counter(next));
            match name.and_then(|name| Some((rest.strip_prefix(name.as_str())?, name))) {
                Some((help, name)) => writeln!(out, "# HELP {name}_total{help}")?,
                None => writeln!(out, "{line}")?,
            }
        } else if let Some(name) = counter(line) {
            writeln!(out, "# TYPE {name}_total counter")?;
        } else if line != "# EOF" && !line.starts_with("# UNIT ") {
            writeln!(out, "{line}")?;
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_described_by_the_name_of_their_samples() {
        let new = "# HELP a_b Some words.\n# TYPE a_b counter\na_b_total 3\n# HELP g G.\n# TYPE g gauge\ng 1\n# EOF\n";
        let old =
            "# HELP a_b_total Some words.\n# TYPE a_b_total counter\na_b_total 3\n# HELP g G.\n# TYPE g gauge\ng 1\n";
        assert_eq!(older(new).as_deref(), Ok(old));
    }
}
