//! `lockstep serve --keys` on the default model: who is let in, what limits do, what is written down, counted and logged.
#![allow(missing_docs, clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::default_model::{lockstep, model};
use common::{Folder, failure, success};
use serde_json::{Value, json};
use ureq::http::HeaderMap;

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(2);

/// A server; it ends with the test.
struct Served {
    process: Child,
    url: String,
    log: Arc<Mutex<Vec<String>>>,
    agent: ureq::Agent,
}

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Served {
    fn start(folder: &Folder) -> Self {
        let mut command = lockstep();
        command.args(["serve", "-m", model(), "--addr", "127.0.0.1:0", "--threads", "2", "--alias", "smollm2"]);
        command.args(["--lpu", "off", "--log-format", "json", "--metrics-compat", "vllm", "--keys"]);
        let mut process = command.arg(folder.join("keys.db")).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find(|line| line.starts_with("serving ")).unwrap();
        let url = line.split(" at ").nth(1).unwrap().strip_suffix("/v1").unwrap().to_owned();
        let log = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&log);
        std::thread::spawn(move || lines.for_each(|line| kept.lock().unwrap().push(line)));
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        Self { process, url, log, agent: config.build().new_agent() }
    }

    fn get(&self, path: &str, key: Option<&str>) -> Answer {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        Answer::of(request.call().unwrap())
    }

    fn ask(&self, key: &str, changes: &Value) -> ureq::http::Response<ureq::Body> {
        let mut body = json!({"model": "smollm2", "prompt": "One two three", "max_tokens": 3, "temperature": 0});
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        let request = self.agent.post(format!("{}/v1/completions", self.url)).content_type("application/json");
        request.header("authorization", format!("Bearer {key}")).send(body.to_string()).unwrap()
    }

    fn complete(&self, key: &str) -> Answer {
        Answer::of(self.ask(key, &json!({})))
    }

    fn metric(&self, key: &str, name: &str) -> f64 {
        let text = self.get("/metrics", Some(key)).text;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Answer {
    fn of(mut response: ureq::http::Response<ureq::Body>) -> Self {
        let text = response.body_mut().read_to_string().unwrap();
        Self { status: response.status().as_u16(), headers: response.headers().clone(), text }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers)).to_str().unwrap()
    }

    /// What a refusal says to programs.
    fn refusal(&self) -> (u16, String) {
        (self.status, self.json()["error"]["code"].as_str().unwrap().to_owned())
    }
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

fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_key_is_asked_for_until_it_is_revoked() {
    let folder = Folder::new("keyed");
    assert!(
        failure(lockstep().args(["serve", "-m", model(), "--keys"]).arg(folder.join("keys.db")), 1).contains("add")
    );
    let key = add(&folder, "ada");
    let served = Served::start(&folder);
    for path in ["/v1/models", "/metrics", "/version", "/nothing"] {
        for wrong in [None, Some("lsk_0"), Some(&key[1..])] {
            let refused = served.get(path, wrong);
            assert_eq!(refused.refusal(), (401, "invalid_api_key".to_owned()), "{path}");
            assert_eq!(refused.json()["error"]["type"], "invalid_request_error");
        }
    }
    for path in ["/health", "/ready", "/"] {
        assert_eq!(served.get(path, None).status, 200, "{path}");
    }
    assert_eq!(served.complete("lsk_1").refusal().0, 401);
    let answer = served.complete(&key);
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert!(!answer.headers.contains_key("x-ratelimit-limit-requests"), "a key without limits");
    // A key that is made while it runs works, and one that is revoked does not, both within seconds.
    let late = add(&folder, "bob");
    eventually("a new key works", || served.complete(&late).status == 200);
    success(&mut keys(&folder, "revoke ada"));
    eventually("a revoked key is refused", || served.complete(&key).status == 401);
}

#[test]
fn limits_hold_and_are_told() {
    let folder = Folder::new("limits");
    let few = add(&folder, "few --requests-per-minute 2");
    let small = add(&folder, "small --tokens-per-minute 20");
    let single = add(&folder, "single --concurrent 1");
    let served = Served::start(&folder);

    let answer = served.complete(&few);
    assert_eq!((answer.header("x-ratelimit-limit-requests"), answer.status), ("2", 200), "{}", answer.text);
    assert_eq!(answer.header("x-ratelimit-remaining-requests"), "1");
    assert!(answer.header("x-ratelimit-reset-requests").ends_with('s'));
    assert!(!answer.headers.contains_key("x-ratelimit-limit-tokens"));
    assert_eq!(served.complete(&few).status, 200);
    let refused = served.complete(&few);
    assert_eq!(refused.refusal(), (429, "rate_limit_exceeded".to_owned()));
    assert!((1..=31).contains(&refused.header("retry-after").parse::<u64>().unwrap()));
    assert_eq!(refused.header("x-ratelimit-remaining-requests"), "0");
    // Others are not touched, nor is what costs nothing.
    assert_eq!((served.get("/v1/models", Some(&few)).status, served.complete(&small).status), (200, 200));

    let long = Answer::of(served.ask(&small, &json!({"max_tokens": 40, "ignore_eos": true})));
    assert_eq!(long.status, 200, "what is let in runs to its end: {}", long.text);
    let refused = served.complete(&small);
    assert_eq!(refused.refusal(), (429, "rate_limit_exceeded".to_owned()));
    assert_eq!(refused.header("x-ratelimit-remaining-tokens"), "0");

    let endless = json!({"stream": true, "max_tokens": 1500, "ignore_eos": true});
    let mut stream = BufReader::new(served.ask(&single, &endless).into_body().into_reader());
    stream.read_line(&mut String::new()).unwrap();
    assert_eq!(served.complete(&single).refusal(), (429, "rate_limit_exceeded".to_owned()));
    drop(stream);
    eventually("the place is free again", || served.complete(&single).status == 200);
}

#[test]
fn usage_outlives_a_kill_and_nothing_that_was_said_is_logged() {
    let folder = Folder::new("usage");
    let key = add(&folder, "ada");
    let mut served = Served::start(&folder);
    let whole = served.complete(&key).json()["usage"].clone();
    let streamed = Answer::of(served.ask(&key, &json!({"stream": true}))).text;
    assert!(streamed.ends_with("data: [DONE]\n\n"), "{streamed}");
    let [prompt, completion] = ["prompt_tokens", "completion_tokens"].map(|name| 2 * whole[name].as_u64().unwrap());
    let want = [2, prompt, completion];
    eventually("usage is written down", || used(&folder, "ada") == want);

    let models = served.get("/v1/models", Some(&key)).json();
    let first = models["data"][0]["id"].as_str().unwrap().to_owned();
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
        assert_eq!(served.metric(&key, &name), want, "{name}");
    }

    let line = |served: &Served| {
        let log = served.log.lock().unwrap();
        let lines = log.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.map(|line| line["fields"].clone()).find(|fields| fields["route"] == "/v1/completions")
    };
    eventually("a line is logged", || line(&served).is_some());
    let fields = line(&served).unwrap();
    assert_eq!((&fields["key"], &fields["status"], &fields["whole"]), (&json!("ada"), &json!(200), &json!(true)));
    assert_eq!(fields["completion_tokens"], whole["completion_tokens"]);
    assert!(fields["first_token_ms"].as_f64().unwrap() <= fields["total_ms"].as_f64().unwrap(), "{fields}");
    let log = served.log.lock().unwrap().join("\n");
    assert!(!log.contains("One two three") && !log.contains(&key), "{log}");

    // Killed while it answers: what was written down before is there, and a new server counts on.
    let endless = json!({"stream": true, "max_tokens": 1500, "ignore_eos": true});
    let mut stream = served.ask(&key, &endless).into_body().into_reader();
    stream.read_exact(&mut [0; 6]).unwrap();
    served.process.kill().unwrap();
    served.process.wait().unwrap();
    assert_eq!(used(&folder, "ada"), want);
    let served = Served::start(&folder);
    assert_eq!(served.complete(&key).status, 200);
    eventually("usage goes on", || used(&folder, "ada") == [3, prompt / 2 * 3, completion / 2 * 3]);
}
