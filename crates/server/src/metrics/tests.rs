#![allow(clippy::unwrap_used)]

use super::*;

fn value(text: &str, sample: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse().unwrap()
}

/// Three tokens, 100 ms, 110 ms and 130 ms after arrival.
fn one_answer(metrics: &Metrics) {
    let ms = Duration::from_millis;
    let mut timing = Timing::new(ms(1000));
    metrics.started(7);
    for time in [1100, 1110, 1130] {
        metrics.token(&mut timing, ms(time));
    }
    let usage = Usage { prompt_tokens: 7, cached_tokens: 4, completion_tokens: 3, ..Usage::default() };
    metrics.finished("stop", &timing, Some(&usage), ms(5000));
}

#[test]
fn times_are_what_their_names_say() {
    let metrics = Metrics::new(None);
    one_answer(&metrics);
    metrics.answered("/v1/chat/completions", 200);
    let load = Load { running: 2, waiting: 1, reserved_bytes: 25, kv_bytes_max: 100, ..Load::default() };
    let text = metrics.text(Form::Prometheus, &load, 9, true).unwrap();
    let close = |sample: &str, want: f64| {
        let got = value(&text, sample);
        assert!((got - want).abs() < 1e-9, "{sample}: {got}, not {want}");
    };
    close("lockstep_time_to_first_token_seconds_sum", 0.1);
    close("lockstep_inter_token_latency_seconds_sum", 0.03);
    close("lockstep_inter_token_latency_seconds_count", 2.0);
    close("lockstep_time_per_output_token_seconds_sum", 0.015);
    close("lockstep_e2e_request_latency_seconds_sum", 0.13);
    close("lockstep_tokens_per_second_per_user_sum", 1.0 / 0.015);
    close("lockstep_prompt_tokens_total", 7.0);
    close("lockstep_generation_tokens_total", 3.0);
    close("lockstep_prefix_cache_queries_total", 7.0);
    close("lockstep_prefix_cache_hits_total", 4.0);
    close("lockstep_requests_finished_total{finished_reason=\"stop\"}", 1.0);
    close("lockstep_http_requests_total{route=\"/v1/chat/completions\",status=\"200\"}", 1.0);
    close("lockstep_requests_running", 2.0);
    close("lockstep_requests_waiting", 1.0);
    close("lockstep_kv_cache_usage_ratio", 0.25);
    close("lockstep_engine_steps_total", 9.0);
    assert!(!text.contains("vllm:"));
}

#[test]
fn an_answer_without_a_token_has_no_time_of_tokens() {
    let metrics = Metrics::new(None);
    metrics.finished("abort", &Timing::new(Duration::from_secs(1)), None, Duration::from_secs(3));
    let text = metrics.text(Form::Prometheus, &Load::default(), 0, true).unwrap();
    assert_eq!(value(&text, "lockstep_time_to_first_token_seconds_count"), 0.0);
    assert_eq!(value(&text, "lockstep_time_per_output_token_seconds_count"), 0.0);
    assert_eq!(value(&text, "lockstep_e2e_request_latency_seconds_sum"), 2.0);
    assert_eq!(value(&text, "lockstep_kv_cache_usage_ratio"), 0.0);
}

#[test]
fn vllms_names_carry_the_model_and_the_same_values() {
    let metrics = Metrics::new(Some("m/x"));
    one_answer(&metrics);
    let text = metrics.text(Form::OpenMetrics, &Load::default(), 0, true).unwrap();
    assert!(text.ends_with("# EOF\n"));
    for (name, want) in [
        ("vllm:prompt_tokens_total", 7.0),
        ("vllm:generation_tokens_total", 3.0),
        ("vllm:prefix_cache_queries_total", 7.0),
        ("vllm:prefix_cache_hits_total", 4.0),
        ("vllm:time_to_first_token_seconds_count", 1.0),
        ("vllm:inter_token_latency_seconds_count", 2.0),
        ("vllm:time_per_output_token_seconds_count", 2.0),
        ("vllm:e2e_request_latency_seconds_count", 1.0),
        ("vllm:num_requests_running", 0.0),
        ("vllm:num_requests_waiting", 0.0),
        ("vllm:kv_cache_usage_perc", 0.0),
    ] {
        assert_eq!(value(&text, &format!("{name}{{model_name=\"m/x\"}}")), want, "{name}");
    }
}
