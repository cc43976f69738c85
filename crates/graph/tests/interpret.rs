//! The float interpretation against numbers worked out by hand.
#![allow(clippy::unwrap_used)]

use lockstep_graph::interpret::{WeightValues, logits};
use lockstep_graph::{Error, WeightId, parse_graph};

struct Values(Vec<Vec<f32>>);

impl WeightValues for Values {
    fn vector(&self, id: WeightId) -> &[f32] {
        &self.0[id.0 as usize]
    }
    fn matrix(&self, id: WeightId) -> &[f32] {
        &self.0[id.0 as usize]
    }
}

fn run(text: &str, weights: Vec<Vec<f32>>, tokens: &[u32]) -> Vec<Vec<f32>> {
    logits(&parse_graph(text).unwrap(), &Values(weights), tokens).unwrap()
}

#[test]
fn embedding_matmul_and_bias() {
    let text =
        "weight t [2, 2]\nweight w [3, 2]\nweight b [3]\n%0 = embed t factor=2\n%1 = matmul %0 w bias=b\noutput %1";
    let weights = vec![vec![1.0, 2.0, 3.0, 4.0], vec![1.0, 0.0, 0.0, 1.0, 1.0, 1.0], vec![0.5, 0.25, 0.0]];
    assert_eq!(run(text, weights, &[1, 0]), [[6.5, 8.25, 14.0], [2.5, 4.25, 6.0]]);
}

#[test]
fn norm_over_heads() {
    let text = "weight t [1, 4]\nweight n [2]\n%0 = embed t\n%1 = rms_norm %0 n group=2 eps=0\noutput %1";
    // Each pair is divided by its own root mean square: 5 and 1.
    let found = run(text, vec![vec![7.0, 1.0, 1.0, -1.0], vec![1.0, 2.0]], &[0]);
    assert_eq!(found, [[1.4, 0.4, 1.0, -2.0]]);
}

#[test]
fn rotary_pairs_turn_by_position() {
    let quarter = std::f64::consts::FRAC_PI_2;
    for (pairs, expected) in [("halves", [-3.0, 2.0, 1.0, 4.0]), ("adjacent", [-2.0, 1.0, 3.0, 4.0])] {
        let text = format!(
            "weight t [1, 4]\nrotary 0 {pairs} size=4 {quarter:?} 0.0\n%0 = embed t\n%1 = rotary %0 head_size=4 rotary=0\noutput %1"
        );
        let found = run(&text, vec![vec![1.0, 2.0, 3.0, 4.0]], &[0, 0]);
        assert_eq!(found[0], [1.0, 2.0, 3.0, 4.0], "position 0 stays");
        assert_eq!(found[1], expected, "{pairs}");
    }
}

#[test]
fn attention_is_causal_and_windowed() {
    // q = k = 0 gives equal scores, so the output is the mean of the visible values.
    let text = |window: &str| {
        format!(
            "weight t [3, 1]\nweight zero [1, 1]\n%0 = embed t\n%1 = matmul %0 zero\n\
             %2 = attention %1 %1 %0 layer=0 heads=1 kv_heads=1 head_size=1 scale=1{window}\noutput %2"
        )
    };
    let weights = || vec![vec![2.0, 4.0, 9.0], vec![0.0]];
    assert_eq!(run(&text(""), weights(), &[0, 1, 2]), [[2.0], [3.0], [5.0]]);
    assert_eq!(run(&text(" window=2"), weights(), &[0, 1, 2]), [[2.0], [3.0], [6.5]]);
    assert_eq!(run(&text(" window=1"), weights(), &[0, 1, 2]), [[2.0], [4.0], [9.0]]);
}

#[test]
fn functions_at_known_points() {
    let text = |op: &str| format!("weight t [1, 2]\n%0 = embed t\n%1 = {op}\noutput %1");
    let at = |op: &str| run(&text(op), vec![vec![0.0, 1.0]], &[0]);
    assert_eq!(at("silu %0"), [[0.0, 0.731_058_6]]);
    assert_eq!(at("gelu %0"), [[0.0, 0.841_192]]);
    assert_eq!(at("soft_cap %0 cap=2"), [[0.0, 0.924_234_33]]);
    assert_eq!(at("mul %0 %0"), [[0.0, 1.0]]);
}

#[test]
fn tokens_and_values_are_checked() {
    let graph = parse_graph("weight t [2, 1]\n%0 = embed t\noutput %0").unwrap();
    let error = logits(&graph, &Values(vec![vec![1.0, 2.0]]), &[2]).unwrap_err();
    assert_eq!(error, Error::Token { token: 2, rows: 2 });
    let error = logits(&graph, &Values(vec![vec![1.0]]), &[0]).unwrap_err();
    assert_eq!(error.to_string(), "tensor t: 1 values given, expected 2");
}
