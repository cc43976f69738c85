//! What is left of limits, in the headers that clients of OpenAI's and Groq's look for.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::account::Left;

const REQUESTS: [&str; 3] =
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"];
const TOKENS: [&str; 3] = ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"];

/// Adds the headers of the limits that there are.
pub(super) fn tell(left: &Left, headers: &mut HeaderMap) {
    for (names, left) in [(REQUESTS, left.requests), (TOKENS, left.tokens)] {
        let Some((limit, remaining, reset)) = left else { continue };
        let values = [limit.to_string(), remaining.to_string(), written(reset)];
        for (name, value) in names.into_iter().zip(values) {
            // Digits and letters are a header's value.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
    }
}

/// A time as both write it: `20ms`, `7.66s`, `2m59.56s`, `1h0m0s`.
fn written(time: Duration) -> String {
    // Rounded up: who waits that long, has waited long enough.
    let millis = time.as_nanos().div_ceil(1_000_000);
    let (hours, minutes, rest) = (millis / 3_600_000, millis / 60_000 % 60, millis % 60_000);
    let seconds = if rest % 1000 == 0 {
        (rest / 1000).to_string()
    } else {
        format!("{}.{:03}", rest / 1000, rest % 1000).trim_end_matches('0').to_owned()
    };
    match (hours, minutes, rest) {
        (0, 0, 0) => "0s".to_owned(),
        (0, 0, 1..1000) => format!("{rest}ms"),
        (0, 0, _) => format!("{seconds}s"),
        (0, _, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_as_others_write_them() {
        let cases = [
            (0, "0s"),
            (20, "20ms"),
            (1000, "1s"),
            (7660, "7.66s"),
            (8064, "8.064s"),
            (60_000, "1m0s"),
            (179_560, "2m59.56s"),
            (3_600_000, "1h0m0s"),
            (3_661_500, "1h1m1.5s"),
        ];
        for (millis, text) in cases {
            assert_eq!(written(Duration::from_millis(millis)), text);
        }
        assert_eq!(written(Duration::from_nanos(1)), "1ms");
    }
}
