//! The contract interpretation: where its bits can be worked out by hand, and beside the float interpretation.
#![allow(clippy::unwrap_used)]

use lockstep_arith::matrix::{BlockMatrix, Format, GROUP};
use lockstep_graph::contract::{ContractWeight, State, logits};
use lockstep_graph::interpret::{self, WeightValues};
use lockstep_graph::{Error, Graph, WeightId, parse_graph};

/// A decoder layer with every operation; the vocabulary is 12, the width 32.
const LAYER: &str = "\
weight table [12, 32]
weight norm [32]
weight head_norm [8]
weight q [32, 32]
weight q_bias [32]
weight kv [16, 32]
rotary 0 halves size=8 1.0 0.3 0.1 0.03
rotary 1 adjacent size=4 0.5 0.25
%0 = embed table factor=1.5
%1 = rms_norm %0 norm group=32 eps=1e-5
%2 = matmul %1 q bias=q_bias
%3 = matmul %1 kv
%4 = rms_norm %2 head_norm group=8 eps=1e-6
%5 = rotary %4 head_size=8 rotary=0
%6 = rotary %3 head_size=8 rotary=1
%7 = attention %5 %6 %3 layer=0 heads=4 kv_heads=2 head_size=8 scale=0.35355338 window=5 soft_cap=50.0
%8 = add %0 %7
%9 = rms_norm %8 norm group=32 eps=1e-5
%10 = matmul %9 q
%11 = gelu %10
%12 = silu %10
%13 = mul %11 %12
%14 = add %8 %13
%15 = matmul %14 table
%16 = soft_cap %15 cap=30.0
output %16
";

/// `rows x cols` codes of 8 bits with one step for all.
fn matrix(rows: usize, cols: usize, scale: i16, exponent: i8, mut code: impl FnMut() -> i8) -> BlockMatrix {
    let groups = cols.div_ceil(GROUP);
    let mut codes = vec![0i8; rows * groups * GROUP];
    for row in codes.chunks_exact_mut(groups * GROUP) {
        row[..cols].fill_with(&mut code);
    }
    BlockMatrix {
        rows,
        cols,
        format: Format::Lb8,
        codes,
        scale: vec![scale; rows * groups],
        offset: Vec::new(),
        exponent: vec![exponent; rows],
    }
}

/// Weights by a seed, about as large as a trained model's.
fn random_weights(graph: &Graph) -> Vec<ContractWeight> {
    let mut state = 1u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % 255) as i32 - 127
    };
    let mut make = |shape: &[usize]| match *shape {
        [rows, cols] => ContractWeight::Matrix(matrix(rows, cols, 300, -17, || random() as i8)),
        [n] => ContractWeight::Vector((0..n).map(|_| 1.0 + random() as f32 / 512.0).collect()),
        _ => unreachable!("the verifier allows one or two dimensions"),
    };
    graph.weights.iter().map(|weight| make(&weight.shape)).collect()
}

struct Floats(Vec<Vec<f32>>);

impl Floats {
    fn new(weights: &[ContractWeight]) -> Self {
        let values = |weight: &ContractWeight| match weight {
            ContractWeight::Matrix(matrix) => (0..matrix.rows).flat_map(|row| matrix.dequantize_row(row)).collect(),
            ContractWeight::Vector(vector) => vector.clone(),
        };
        Self(weights.iter().map(values).collect())
    }
}

impl WeightValues for Floats {
    fn vector(&self, id: WeightId) -> &[f32] {
        &self.0[id.0 as usize]
    }
    fn matrix(&self, id: WeightId) -> &[f32] {
        &self.0[id.0 as usize]
    }
}

const TOKENS: [u32; 9] = [3, 1, 4, 1, 5, 9, 2, 6, 5];

#[test]
fn stays_close_to_floats() {
    let graph = parse_graph(LAYER).unwrap();
    let weights = random_weights(&graph);
    let exact = logits(&graph, &weights, &TOKENS).unwrap().concat();
    let floats = interpret::logits(&graph, &Floats::new(&weights), &TOKENS).unwrap().concat();
    let largest = floats.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
    let difference = exact.iter().zip(&floats).fold(0.0f32, |most, (x, y)| most.max((x - y).abs()));
    // Activations carry 8 bits, and roundings add up over five matrices.
    assert!(largest > 1.0, "logits up to {largest} show nothing");
    assert!(difference < 0.03 * largest, "off by {difference} of {largest}");
}

#[test]
fn a_step_has_the_bits_worked_out_by_hand() {
    let graph =
        parse_graph("weight t [2, 2]\nweight b [2]\n%0 = embed t factor=0.1\n%1 = matmul %0 t bias=b\noutput %1");
    // Rows (2, 4) and (6, -2): codes times 2^1.
    let mut codes = [1i8, 2, 3, -1].into_iter();
    let table = matrix(2, 2, 2, 0, || codes.next().unwrap());
    let weights = [ContractWeight::Matrix(table), ContractWeight::Vector(vec![0.5, 0.0])];
    let found = logits(&graph.unwrap(), &weights, &[0]).unwrap();
    // x = (0.2, 0.4). t = rn(0.4 * C) = 0.00315, so expo(t) = -9 and E = -20; A = ceil(0.0031496 * 2^20) = 3303;
    // a = (round(0.2 * 2^20 / 3303), round(0.4 * 2^20 / 3303)) = (63, 127).
    // acc = 3303 * 2 * (63 + 2 * 127, 3 * 63 - 127) = (2094102, 409572); y = acc * 2^-20 + bias.
    let step = 2.0f32.powi(-20);
    assert_eq!(found, [[2_094_102.0 * step + 0.5, 409_572.0 * step]]);
}

#[test]
fn rolled_back_and_grown_again_gives_the_same_bits() {
    let graph = parse_graph(LAYER).unwrap();
    let weights = random_weights(&graph);
    let straight = logits(&graph, &weights, &TOKENS).unwrap();
    let mut state = State::new(&graph, &weights, TOKENS.len()).unwrap();
    for &token in &[3, 1, 4, 11, 0] {
        state.step(token).unwrap();
    }
    state.truncate(3);
    assert_eq!(state.position(), 3);
    for (position, &token) in TOKENS.iter().enumerate().skip(3) {
        assert_eq!(state.step(token).unwrap(), straight[position], "position {position}");
    }
    assert_eq!(state.step(0).unwrap_err(), Error::Capacity { position: 9, capacity: 9 });
}

#[test]
fn a_failed_step_leaves_the_sequence_as_it_was() {
    let graph = parse_graph(LAYER).unwrap();
    let mut weights = random_weights(&graph);
    let straight = logits(&graph, &weights, &[3, 4]).unwrap();
    // Token 7's embedding is 2^60 and more: its norm faults.
    if let ContractWeight::Matrix(table) = &mut weights[0] {
        table.exponent[7] = 40;
        table.scale[7] = 32767;
        table.codes[7 * 32] = 127;
    }
    let mut state = State::new(&graph, &weights, 4).unwrap();
    assert_eq!(state.step(3).unwrap()[..7], straight[0][..7]);
    let error = state.step(7).unwrap_err();
    assert!(matches!(&error, Error::Fault { position: 1, .. }), "{error}");
    assert_eq!(state.step(12).unwrap_err(), Error::Token { token: 12, rows: 12 });
    assert_eq!(state.step(4).unwrap()[..7], straight[1][..7]);
}

#[test]
fn weights_are_checked_against_the_graph() {
    let graph = parse_graph("weight t [2, 2]\n%0 = embed t\noutput %0").unwrap();
    let error = logits(&graph, &[ContractWeight::Vector(vec![1.0; 4])], &[0]).unwrap_err();
    assert_eq!(error.to_string(), "tensor t: values of shape [4] given, expected [2, 2]");
    assert_eq!(
        logits(&graph, &[], &[0]).unwrap_err().to_string(),
        "tensor t: values of shape [] given, expected [2, 2]"
    );
}
