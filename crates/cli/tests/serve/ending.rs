//! Clients that leave, and a server that ends.

use serde_json::json;

use crate::served::Served;
use crate::{chat, with};

#[test]
fn who_leaves_frees_the_slot() {
    let served = Served::start(&["--parallel", "1"]);
    let long = with(chat("Write a very long story.", 4000), &json!({"stream": true, "ignore_eos": true}));
    let mut stream = served.open("/v1/chat/completions", &long);
    // The one with the role is sent before anything runs.
    stream.read_events(2);
    assert_eq!(served.metric("lockstep_requests_running"), 1.0);
    let flex = served.post("/v1/chat/completions", &with(chat("Hello", 2), &json!({"service_tier": "flex"})));
    assert_eq!((flex.status, &flex.json()["error"]["type"]), (498, &json!("capacity_exceeded")));
    drop(stream);
    // There is one place: this is answered once it is free.
    assert_eq!(served.post("/v1/chat/completions", &chat("Hello", 2)).status, 200);
    assert_eq!(served.metric("lockstep_requests_running"), 0.0);
    assert_eq!(served.metric("lockstep_requests_finished_total{finished_reason=\"abort\"}"), 1.0, "it ran to its end");
}

#[cfg(unix)]
#[test]
fn a_server_that_ends_finishes_its_answers() {
    let served = Served::start(&[]);
    let long = with(chat("Write a long story.", 200), &json!({"stream": true, "ignore_eos": true}));
    let mut stream = served.open("/v1/chat/completions", &long);
    stream.read_events(2);
    served.terminate();
    served.logged("that it ends", |line| line["fields"]["message"].as_str()?.starts_with("asked to end").then_some(()));
    // It is said an instant before it is so.
    let mut refused = std::iter::repeat_with(|| served.post("/v1/chat/completions", &chat("Hello", 1)));
    let refused = refused.find(|answer| answer.status == 503).unwrap();
    assert!(refused.header("retry-after").is_some());
    let events = stream.rest().events();
    assert_eq!(events.iter().filter(|c| c["choices"][0]["delta"]["content"].is_string()).count(), 201);
    served.ends();
}
