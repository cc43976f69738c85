//! What each metric is called.

use super::Metrics;

impl Metrics {
    pub(super) fn register(&mut self) {
        let registry = self.registry.sub_registry_with_prefix("lockstep");
        registry.register("http_requests", "HTTP requests answered, by route and status", self.answered.clone());
        registry.register("requests_finished", "Generations that are over, by reason", self.finished.clone());
        registry.register("requests_refused", "Generations that the engine did not take", self.refused.clone());
        registry.register("prompt_tokens", "Tokens of prompts", self.prompt_tokens.clone());
        registry.register("generation_tokens", "Tokens generated", self.generation_tokens.clone());
        let help = "Prompt tokens of finished generations, looked for in the prefix cache";
        registry.register("prefix_cache_queries", help, self.prefix_queries.clone());
        registry.register("prefix_cache_hits", "Of them, those that were there", self.prefix_hits.clone());
        registry.register("guessed_tokens", "Tokens guessed ahead", self.guessed.clone());
        registry.register("guessed_tokens_right", "Of them, those that were right", self.guessed_right.clone());
        registry.register("requests_running", "Generations that share steps", self.running.clone());
        registry.register("requests_waiting", "Generations that wait", self.waiting.clone());
        let help = "Share of the memory for keys and values that generations have reserved; 0 without a bound";
        registry.register("kv_cache_usage_ratio", help, self.kv_use.clone());
        let help = "Memory for keys and values that generations have reserved";
        registry.register("kv_cache_reserved_bytes", help, self.kv_reserved.clone());
        registry.register("kv_cache_kept_bytes", "Memory of the prefix cache", self.kv_cached.clone());
        registry.register("engine_steps", "Steps of the engine", self.steps.clone());
        registry.register("engine_up", "1 while the engine works", self.is_well.clone());
        self.register_times();
    }

    fn register_times(&mut self) {
        let registry = self.registry.sub_registry_with_prefix("lockstep");
        let times = [
            ("time_to_first_token_seconds", "From arrival to the first token", &self.first_token),
            ("inter_token_latency_seconds", "Between neighbouring tokens", &self.between_tokens),
            ("time_per_output_token_seconds", "(end to end - first token) / (tokens - 1)", &self.per_token),
            ("e2e_request_latency_seconds", "From arrival to the last token", &self.whole),
            ("request_queue_time_seconds", "From submission to the first step", &self.queue),
            ("request_prefill_time_seconds", "From the first step to the first token", &self.prefill),
            ("request_decode_time_seconds", "From the first token to the last", &self.decode),
            ("tokens_per_second_per_user", "Speed of each answer after its first token", &self.speed),
        ];
        for (name, help, histogram) in times {
            registry.register(name, help, histogram.clone());
        }
    }

    /// The names, and the label, that dashboards and routers made for vLLM look for.
    pub(super) fn register_vllm(&mut self, model: &str) {
        let label = ("model_name".into(), model.to_owned().into());
        let registry = self.registry.sub_registry_with_label(label);
        registry.register("vllm:num_requests_running", "As lockstep_requests_running", self.running.clone());
        registry.register("vllm:num_requests_waiting", "As lockstep_requests_waiting", self.waiting.clone());
        registry.register("vllm:kv_cache_usage_perc", "As lockstep_kv_cache_usage_ratio", self.kv_use.clone());
        registry.register("vllm:prompt_tokens", "As lockstep_prompt_tokens", self.prompt_tokens.clone());
        registry.register("vllm:generation_tokens", "As lockstep_generation_tokens", self.generation_tokens.clone());
        registry.register("vllm:prefix_cache_queries", "As lockstep_prefix_cache_queries", self.prefix_queries.clone());
        registry.register("vllm:prefix_cache_hits", "As lockstep_prefix_cache_hits", self.prefix_hits.clone());
        registry.register("vllm:request_success", "As lockstep_requests_finished", self.finished.clone());
        let times = [
            ("vllm:time_to_first_token_seconds", "As lockstep_time_to_first_token_seconds", &self.first_token),
            ("vllm:inter_token_latency_seconds", "As lockstep_inter_token_latency_seconds", &self.between_tokens),
            // vLLM's older name for the gap between tokens; what others mean by it is the next one.
            ("vllm:time_per_output_token_seconds", "As lockstep_inter_token_latency_seconds", &self.between_tokens),
            (
                "vllm:request_time_per_output_token_seconds",
                "As lockstep_time_per_output_token_seconds",
                &self.per_token,
            ),
            ("vllm:e2e_request_latency_seconds", "As lockstep_e2e_request_latency_seconds", &self.whole),
            ("vllm:request_queue_time_seconds", "As lockstep_request_queue_time_seconds", &self.queue),
            ("vllm:request_prefill_time_seconds", "As lockstep_request_prefill_time_seconds", &self.prefill),
            ("vllm:request_decode_time_seconds", "As lockstep_request_decode_time_seconds", &self.decode),
        ];
        for (name, help, histogram) in times {
            registry.register(name, help, histogram.clone());
        }
    }
}
