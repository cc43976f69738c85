//! Traces for OpenTelemetry: one span a request, as OTLP's JSON over HTTP.
//!
//! In: the events that the server logs. Out: spans, posted to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names. A
//! trace's id is a hash of the request's, unless the client sent its own (`traceparent`). A collector that does not
//! answer holds no request up: spans that find no room are dropped.

use serde_json::{Map, Value, json};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// Where the server's records of requests come from.
const TARGET: &str = "lockstep_server::record";
/// Spans that wait for the collector.
const WAITING_MAX: usize = 4096;
/// Spans of one post.
const BATCH_MAX: usize = 512;
/// For the collector to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Turns records into spans.
pub struct Traces(SyncSender<Option<Value>>);

/// Sends what is left when dropped.
pub struct Exporter {
    spans: SyncSender<Option<Value>>,
    thread: Option<JoinHandle<()>>,
}

/// The layer and its exporter; none where no collector is named.
#[cfg(feature = "otel")]
pub fn from_environment() -> Option<(Traces, Exporter)> {
    let named = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let all = || named("OTEL_EXPORTER_OTLP_ENDPOINT").map(|url| format!("{}/v1/traces", url.trim_end_matches('/')));
    Some(to(named("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(all)?))
}

fn to(url: String) -> (Traces, Exporter) {
    let (spans, inbox) = sync_channel(WAITING_MAX);
    let thread = std::thread::spawn(move || export(&url, &inbox));
    (Traces(spans.clone()), Exporter { spans, thread: Some(thread) })
}

impl<S: Subscriber> Layer<S> for Traces {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == TARGET {
            let mut fields = Fields::default();
            event.record(&mut fields);
            // Without room the span is lost, not the request's time.
            let _ = self.0.try_send(Some(span(&fields.0, SystemTime::now())));
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        // Without room the thread is stuck, and is left to the end of the process.
        if self.spans.try_send(None).is_ok()
            && let Some(thread) = self.thread.take()
        {
            let _ = thread.join();
        }
    }
}

fn export(url: &str, inbox: &Receiver<Option<Value>>) {
    let agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).build().new_agent();
    let mut is_failing = false;
    while let Ok(Some(first)) = inbox.recv() {
        let mut spans = vec![first];
        let mut is_over = false;
        while spans.len() < BATCH_MAX
            && let Ok(next) = inbox.try_recv()
        {
            match next {
                Some(span) => spans.push(span),
                None => is_over = true,
            }
        }
        let posted = agent.post(url).content_type("application/json").send(message(&spans).to_string());
        if let Err(error) = &posted
            && !is_failing
        {
            tracing::warn!(%error, "the collector of traces does not take them: trying on");
        }
        is_failing = posted.is_err();
        if is_over {
            return;
        }
    }
}

fn message(spans: &[Value]) -> Value {
    let resource = json!({"attributes": [
        attribute("service.name", "lockstep".into()),
        attribute("service.version", env!("CARGO_PKG_VERSION").into()),
    ]});
    let scope = json!({"name": "lockstep-server"});
    json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": scope, "spans": spans}]}]})
}

/// The span of a request that is over at `end`.
fn span(fields: &Map<String, Value>, end: SystemTime) -> Value {
    let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let nanos = |name: &str| (fields.get(name).and_then(Value::as_f64).unwrap_or(0.0) * 1e6) as u128;
    let end = end.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    let start = end.saturating_sub(nanos("total_ms"));
    let hash = blake3::hash(text("request").as_bytes()).to_hex();
    let mut parent = text("trace").split('-').skip(1);
    let (trace, parent) = (parent.next().unwrap_or(&hash[..32]), parent.next().unwrap_or_default());
    let names = [
        ("method", "http.request.method"),
        ("route", "http.route"),
        ("status", "http.response.status_code"),
        ("request", "lockstep.request.id"),
        ("key", "lockstep.key.name"),
        ("prompt_tokens", "gen_ai.usage.input_tokens"),
        ("completion_tokens", "gen_ai.usage.output_tokens"),
        ("whole", "lockstep.response.whole"),
    ];
    let attributes = names.iter().filter_map(|(field, name)| Some(attribute(name, fields.get(*field)?.clone())));
    let first_token = fields
        .get("first_token_ms")
        .map(|_| json!({"name": "first token", "timeUnixNano": (start + nanos("first_token_ms")).to_string()}));
    let is_failed = fields.get("status").and_then(Value::as_u64).is_some_and(|status| status >= 500);
    json!({
        "traceId": trace,
        "spanId": &hash[32..48],
        "parentSpanId": parent,
        "name": format!("{} {}", text("method"), text("route")),
        "kind": 2,
        "startTimeUnixNano": start.to_string(),
        "endTimeUnixNano": end.to_string(),
        "attributes": attributes.collect::<Vec<_>>(),
        "events": first_token.into_iter().collect::<Vec<_>>(),
        "status": if is_failed { json!({"code": 2}) } else { json!({}) },
    })
}

/// As OTLP writes them: whole numbers are strings.
fn attribute(key: &str, value: Value) -> Value {
    let value = match value {
        Value::Bool(_) => json!({"boolValue": value}),
        Value::Number(number) if number.is_f64() => json!({"doubleValue": number}),
        Value::Number(number) => json!({"intValue": number.to_string()}),
        other => json!({"stringValue": other}),
    };
    json!({"key": key, "value": value})
}

/// An event's fields.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;
    use tracing_subscriber::prelude::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    /// A collector that takes one post; what it was sent.
    fn collector() -> (String, JoinHandle<(String, Value)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
            }
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap();
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").unwrap();
            (head, serde_json::from_slice(&body).unwrap())
        });
        (url, thread)
    }

    #[test]
    fn a_record_becomes_a_span_at_the_collector() {
        let (url, collector) = collector();
        let (traces, exporter) = to(url);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(traces), || {
            tracing::info!(target: "elsewhere", prompt = "secret", "not a record");
            let (key, none) = (Some("ada"), None::<f64>);
            tracing::info!(
                target: TARGET, request = "req_1", method = "POST", route = "/v1/completions", status = 200_u16, key,
                trace = PARENT, completion_tokens = 3_u64, first_token_ms = 1.5, nothing = none, total_ms = 4.0,
                whole = true, "answered"
            );
        });
        drop(exporter);
        let (head, body) = collector.join().unwrap();
        assert!(head.starts_with("POST /v1/traces ") && head.contains("content-type: application/json"), "{head}");
        let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap();
        assert_eq!(spans.len(), 1, "{body}");
        let span = &spans[0];
        assert_eq!(span["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(span["parentSpanId"], "00f067aa0ba902b7");
        assert_eq!(span["spanId"].as_str().unwrap().len(), 16);
        assert_eq!(span["name"], "POST /v1/completions");
        let time = |value: &Value| value.as_str().unwrap().parse::<u128>().unwrap();
        let start = time(&span["startTimeUnixNano"]);
        assert_eq!(time(&span["endTimeUnixNano"]) - start, 4_000_000);
        assert_eq!(time(&span["events"][0]["timeUnixNano"]) - start, 1_500_000);
        let attributes = span["attributes"].as_array().unwrap();
        assert!(attributes.contains(&json!({"key": "lockstep.key.name", "value": {"stringValue": "ada"}})));
        assert!(attributes.contains(&json!({"key": "gen_ai.usage.output_tokens", "value": {"intValue": "3"}})));
    }

    #[test]
    fn a_trace_without_a_parent_is_named_by_its_request() {
        let named = |request: &str| {
            let fields = Map::from_iter([("request".to_owned(), request.into())]);
            span(&fields, SystemTime::now())["traceId"].as_str().unwrap().to_owned()
        };
        assert_eq!(named("req_1"), named("req_1"));
        assert_ne!(named("req_1"), named("req_2"));
        assert_eq!(named("req_1").len(), 32);
    }
}
