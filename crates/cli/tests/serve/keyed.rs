//! `lockstep serve --keys`: who is let in, what limits do, what is written down, counted and logged.

use std::process::Command;

use serde_json::{Value, json};

use crate::common::default_model::{lockstep, model};
use crate::common::{Folder, failure, success};
use crate::http::{Answer, Stream};
use crate::served::{Served, eventually, metric};
use crate::with;

fn serve(folder: &Folder) -> Served {
    let file = folder.join("keys.db");
    Served::start(&["--metrics-compat", "vllm", "--keys", file.to_str().unwrap()])
}

fn get(served: &Served, path: &str, key: Option<&str>) -> Answer {
    let bearer = key.map(|key| format!("Bearer {key}"));
    let headers: Vec<(&str, &str)> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    served.send("GET", path, &headers, None).rest()
}

fn ask(served: &Served, key: &str, changes: &Value) -> Stream {
    let body = json!({"model": "smollm2", "prompt": "One two three", "max_tokens": 3, "temperature": 0});
    let bearer = format!("Bearer {key}");
    served.send("POST", "/v1/completions", &[("authorization", &bearer)], Some(&with(body, changes)))
}

fn complete(served: &Served, key: &str) -> Answer {
    ask(served, key, &json!({})).rest()
}

/// What a refusal says to programs.
fn refusal(answer: &Answer) -> (u16, String) {
    (answer.status, answer.json()["error"]["code"].as_str().unwrap().to_owned())
}

fn keys(folder: &Folder, line: &str) -> Command {
    let mut command = lockstep();
    command.arg("keys").args(line.split(' ')).arg("--keys").arg(folder.join("keys.db"));
    command
}

fn add(folder: &Folder, line: &str) -> String {
    success(&mut keys(folder, &format!("add {line}"))).trim().to_owned()
}

/// Requests, prompt tokens and answer tokens of a key.
fn used(folder: &Folder, name: &str) -> [u64; 3] {
    let usage: Value = serde_json::from_str(&success(&mut keys(folder, "usage --json"))).unwrap();
    let rows = usage.as_array().unwrap().iter().filter(|row| row["name"] == name);
    // Around midnight there are two days.
    rows.fold([0; 3], |sum, row| {
        let columns = ["requests", "prompt_tokens", "completion_tokens"];
        std::array::from_fn(|index| sum[index] + row[columns[index]].as_u64().unwrap())
    })
}

#[test]
fn a_key_is_asked_for_until_it_is_revoked() {
    let folder = Folder::new("keyed");
    assert!(
        failure(lockstep().args(["serve", "-m", model(), "--keys"]).arg(folder.join("keys.db")), 1).contains("add")
    );
    let key = add(&folder, "ada");
    let served = serve(&folder);
    for path in ["/v1/models", "/metrics", "/version", "/nothing"] {
        for wrong in [None, Some("lsk_0"), Some(&key[1..])] {
            let refused = get(&served, path, wrong);
            assert_eq!(refusal(&refused), (401, "invalid_api_key".to_owned()), "{path}");
            assert_eq!(refused.json()["error"]["type"], "invalid_request_error");
        }
    }
    for path in ["/health", "/ready", "/"] {
        assert_eq!(get(&served, path, None).status, 200, "{path}");
    }
    assert_eq!(refusal(&complete(&served, "lsk_1")).0, 401);
    let answer = complete(&served, &key);
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(answer.header("x-ratelimit-limit-requests").is_none(), "a key without limits");
    // A key that is made while it runs works, and one that is revoked does not, both within seconds.
    let late = add(&folder, "bob");
    eventually("a new key works", || complete(&served, &late).status == 200);
    success(&mut keys(&folder, "revoke ada"));
    eventually("a revoked key is refused", || complete(&served, &key).status == 401);
}

#[test]
fn limits_hold_and_are_told() {
    let folder = Folder::new("limits");
    let few = add(&folder, "few --requests-per-minute 2");
    let small = add(&folder, "small --tokens-per-minute 20");
    let single = add(&folder, "single --concurrent 1");
    let served = serve(&folder);

    let answer = complete(&served, &few);
    assert_eq!((answer.header("x-ratelimit-limit-requests"), answer.status), (Some("2"), 200), "{}", answer.text);
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), Some("1"));
    assert!(answer.header("x-ratelimit-reset-requests").unwrap().ends_with('s'));
    assert!(answer.header("x-ratelimit-limit-tokens").is_none());
    assert_eq!(complete(&served, &few).status, 200);
    let refused = complete(&served, &few);
    assert_eq!(refusal(&refused), (429, "rate_limit_exceeded".to_owned()));
    assert!((1..=31).contains(&refused.header("retry-after").unwrap().parse::<u64>().unwrap()));
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), Some("0"));
    // Others are not touched, nor is what costs nothing.
    assert_eq!((get(&served, "/v1/models", Some(&few)).status, complete(&served, &small).status), (200, 200));

    let long = ask(&served, &small, &json!({"max_tokens": 40, "ignore_eos": true})).rest();
    assert_eq!(long.status, 200, "what is let in runs to its end: {}", long.text);
    let refused = complete(&served, &small);
    assert_eq!(refusal(&refused), (429, "rate_limit_exceeded".to_owned()));
    assert_eq!(refused.header("x-ratelimit-remaining-tokens"), Some("0"));

    let endless = json!({"stream": true, "max_tokens": 1500, "ignore_eos": true});
    let mut stream = ask(&served, &single, &endless);
    stream.read_events(1);
    assert_eq!(refusal(&complete(&served, &single)), (429, "rate_limit_exceeded".to_owned()));
    drop(stream);
    eventually("the place is free again", || complete(&served, &single).status == 200);
}

#[test]
fn usage_outlives_a_kill_and_nothing_that_was_said_is_logged() {
    let folder = Folder::new("usage");
    let key = add(&folder, "ada");
    let mut served = serve(&folder);
    let whole = complete(&served, &key).json()["usage"].clone();
    let streamed = ask(&served, &key, &json!({"stream": true})).rest().text;
    assert!(streamed.ends_with("data: [DONE]\n\n"), "{streamed}");
    let [prompt, completion] = ["prompt_tokens", "completion_tokens"].map(|name| 2 * whole[name].as_u64().unwrap());
    let want = [2, prompt, completion];
    eventually("usage is written down", || used(&folder, "ada") == want);

    let models = get(&served, "/v1/models", Some(&key)).json();
    let first = models["data"][0]["id"].as_str().unwrap().to_owned();
    let metrics = get(&served, "/metrics", Some(&key)).text;
    for (name, want) in [
        ("lockstep_prompt_tokens_total", prompt as f64),
        ("lockstep_generation_tokens_total", completion as f64),
        ("lockstep_http_requests_total{route=\"/v1/completions\",status=\"200\"}", 2.0),
        ("lockstep_time_to_first_token_seconds_count", 2.0),
        ("lockstep_inter_token_latency_seconds_count", completion as f64 - 2.0),
        ("lockstep_e2e_request_latency_seconds_count", 2.0),
        ("lockstep_requests_running", 0.0),
        ("lockstep_requests_waiting", 0.0),
        ("lockstep_engine_up", 1.0),
        ("vllm:prompt_tokens_total{model_name=\"smollm2\"}", prompt as f64),
        ("vllm:time_to_first_token_seconds_count{model_name=\"smollm2\"}", 2.0),
    ] {
        let name = name.replace("smollm2", &first);
        assert_eq!(metric(&metrics, &name), want, "{name}");
    }

    let is_of_route = |line: &Value| (line["fields"]["route"] == "/v1/completions").then(|| line["fields"].clone());
    let fields = served.logged("a line of a completion", is_of_route);
    assert_eq!((&fields["key"], &fields["status"], &fields["whole"]), (&json!("ada"), &json!(200), &json!(true)));
    assert_eq!(fields["completion_tokens"], whole["completion_tokens"]);
    assert!(fields["first_token_ms"].as_f64().unwrap() <= fields["total_ms"].as_f64().unwrap(), "{fields}");
    let log = served.log();
    assert!(!log.contains("One two three") && !log.contains(&key), "{log}");

    // Killed while it answers: what was written down before is there, and a new server counts on.
    let endless = json!({"stream": true, "max_tokens": 1500, "ignore_eos": true});
    let mut stream = ask(&served, &key, &endless);
    stream.read_events(1);
    served.kill();
    assert_eq!(used(&folder, "ada"), want);
    let served = serve(&folder);
    assert_eq!(complete(&served, &key).status, 200);
    eventually("usage goes on", || used(&folder, "ada") == [3, prompt / 2 * 3, completion / 2 * 3]);
}
