//! The playground: one page, and the policy under which browsers run it.
//!
//! In: `web/dist/index.html`, built from `web/` and committed. Out: the page at `/`, with headers that let nothing but
//! its own script and style run, and nothing but this server be asked. Start reading at [`page`].

use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

const PAGE: &str = include_str!("../../../web/dist/index.html");

/// Browsers may not guess types, tell other sites where people came from, or give the page devices that it does not use.
const FIXED: [(HeaderName, &str); 6] = [
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    (header::CACHE_CONTROL, "no-cache"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
];

static HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
    let mut headers: HeaderMap =
        FIXED.map(|(name, value)| (name, HeaderValue::from_static(value))).into_iter().collect();
    let tag = format!("\"{}\"", STANDARD.encode(Sha256::digest(PAGE)));
    for (name, value) in [(header::CONTENT_SECURITY_POLICY, policy(PAGE)), (header::ETAG, tag)] {
        // Both are letters and signs that headers may have; if not, the page had better not run.
        headers.insert(name, HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static("default-src 'none'")));
    }
    headers
});

/// The page's route. A browser that has it already is told so.
pub(crate) async fn page(asked: HeaderMap) -> Response {
    let known = asked.get(header::IF_NONE_MATCH);
    if known.is_some() && known == HEADERS.get(header::ETAG) {
        return (StatusCode::NOT_MODIFIED, HEADERS.clone()).into_response();
    }
    (HEADERS.clone(), PAGE).into_response()
}

/// A Content-Security-Policy by which a page runs its own scripts and styles, by hash, and asks its own server.
fn policy(page: &str) -> String {
    let hashes = |element| {
        let hashes = contents(page, element).map(|text| format!(" 'sha256-{}'", STANDARD.encode(Sha256::digest(text))));
        hashes.collect::<String>()
    };
    format!(
        "default-src 'none'; script-src{}; style-src{}; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        hashes("script"),
        hashes("style")
    )
}

/// What stands between the tags of each such element, to the byte.
fn contents<'a>(page: &'a str, element: &'a str) -> impl Iterator<Item = &'a str> {
    page.split(&format!("<{element}")).skip(1).collect::<Vec<_>>().into_iter().filter_map(move |rest| {
        let rest = rest.starts_with(['>', ' ']).then_some(rest)?;
        let (_attributes, rest) = rest.split_once('>')?;
        rest.split_once(&format!("</{element}>")).map(|(text, _)| text)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hashes_are_of_what_stands_between_the_tags() {
        let page = "<style>a{}</style><noscript>x</noscript>\n<script type=\"module\">\nlet a;\n</script>";
        assert_eq!(contents(page, "style").collect::<Vec<_>>(), ["a{}"]);
        assert_eq!(contents(page, "script").collect::<Vec<_>>(), ["\nlet a;\n"]);
        // printf 'a{}' | openssl dgst -sha256 -binary | base64
        let style = "style-src 'sha256-X1RutGBrXCt9KkSaXMK7tHftWiRscFHOhxsS8tv8hBk='; ";
        assert!(policy(page).contains(style), "{}", policy(page));
        let script = "script-src 'sha256-mVUM17+Pgbr9k4nIeoTtZL1k7gaurHNmkpipEynFfgk='; ";
        assert!(policy(page).contains(script), "{}", policy(page));
    }

    #[test]
    fn the_page_is_one_file_that_keeps_to_itself() {
        assert_eq!(contents(PAGE, "script").count(), 1);
        assert_eq!(contents(PAGE, "style").count(), 1);
        assert!(PAGE.len() < 100_000, "{} bytes", PAGE.len());
        for word in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            " style=\"",
            " onclick",
            "@import",
            "src=",
        ] {
            assert!(!PAGE.contains(word), "the page has {word:?}");
        }
        let outside = PAGE.match_indices("://").map(|(at, _)| &PAGE[at..PAGE.len().min(at + 20)]);
        // The name space of SVG is a name, not an address.
        let outside: Vec<_> = outside.filter(|text| !text.starts_with("://www.w3.org/2000/s")).collect();
        assert!(outside.is_empty(), "{outside:?}");
    }

    #[tokio::test]
    async fn a_browser_gets_the_page_once() {
        let first = page(HeaderMap::new()).await;
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[header::ETAG].clone();
        assert!(first.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'; "));
        let again = page(HeaderMap::from_iter([(header::IF_NONE_MATCH, tag)])).await;
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    }
}
