//! The text form, the builder's rules and the verifier, as input text -> expected text.
#![allow(clippy::unwrap_used)]

use lockstep_graph::{Builder, Error, NodeId, Op, Rotary, RotaryPairs, parse_graph, verify};

/// A whole small graph; every operation occurs.
const EVERYTHING: &str = "\
weight table [12, 8]
weight norm [8]
weight head_norm [4]
weight q [8, 8]
weight q_bias [8]
weight kv [4, 8]
weight down [8, 4]
rotary 0 halves size=4 1.0 0.1
rotary 1 adjacent size=2 0.30000000000000004
%0 = embed table factor=2.828427
%1 = rms_norm %0 norm group=8 eps=1e-5
%2 = matmul %1 q bias=q_bias
%3 = matmul %1 kv
%4 = rms_norm %2 head_norm group=4 eps=1e-6
%5 = rotary %4 head_size=4 rotary=0
%6 = rotary %3 head_size=4 rotary=1
%7 = attention %5 %6 %3 layer=0 heads=2 kv_heads=1 head_size=4 scale=0.35355338 window=3 soft_cap=50.0
%8 = add %0 %7
%9 = matmul %8 kv
%10 = gelu %9
%11 = silu %9
%12 = mul %10 %11
%13 = matmul %12 down
%14 = matmul %13 table
%15 = soft_cap %14 cap=30.0
output %15
";

/// Parses, verifies and prints; errors and violations become text too.
fn check(input: &str, expected: &str) {
    let found = match parse_graph(input) {
        Err(error) => error.to_string(),
        Ok(graph) => {
            let violations = verify(&graph);
            if violations.is_empty() {
                graph.to_string()
            } else {
                violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
            }
        }
    };
    assert_eq!(found.trim_end(), expected.trim_end(), "for the input:\n{input}");
}

/// As `check`, for one changed line of [`EVERYTHING`].
fn check_changed(from: &str, to: &str, expected: &str) {
    assert_eq!(EVERYTHING.matches(from).count(), 1, "`{from}` must name one place");
    check(&EVERYTHING.replace(from, to), expected);
}

#[test]
fn round_trip_keeps_everything() {
    check(EVERYTHING, EVERYTHING);
    let graph = parse_graph(EVERYTHING).unwrap();
    assert_eq!(parse_graph(&graph.to_string()).unwrap(), graph);
    assert_eq!(graph.rotaries[1].frequencies[0].to_bits(), (0.1f64 + 0.2).to_bits());
    assert_eq!(graph.layers(), 1);
}

#[test]
fn comments_and_blanks_are_skipped() {
    check(
        "# a graph\nweight t [2, 3] # the table\n\n%0 = embed t\noutput %0",
        "weight t [2, 3]\n%0 = embed t\noutput %0",
    );
}

#[test]
fn shapes_that_do_not_fit_are_named() {
    check_changed("weight q [8, 8]", "weight q [8, 6]", "graph text, line 12: tensor q: shape [8, 6], expected [8, 8]");
    check_changed(
        "weight q_bias [8]",
        "weight q_bias [7]",
        "graph text, line 12: tensor q_bias: shape [7], expected [8]",
    );
    check_changed("weight norm [8]", "weight norm [4]", "graph text, line 11: tensor norm: shape [4], expected [8]");
    check_changed(
        "weight table [12, 8]",
        "weight table [12]",
        "graph text, line 10: node %0: tensor table is not a matrix",
    );
    check_changed(
        "weight norm [8]",
        "weight norm [18446744073709551615, 2]",
        "graph text, line 2: tensor norm: shape [18446744073709551615, 2] has more elements than can be counted",
    );
    check_changed(
        "weight norm [8]",
        "weight norm [0]",
        "graph text, line 2: tensor norm: shape [0], expected one or two dimensions, none of them zero",
    );
}

#[test]
fn numbers_that_do_not_fit_are_named() {
    check_changed("heads=2 kv", "heads=3 kv", "graph text, line 17: node %7: q has width 8, expected 3 heads of 4");
    check_changed(
        "kv_heads=1",
        "kv_heads=0",
        "graph text, line 17: node %7: 2 heads over 0 key and value heads, expected a positive multiple",
    );
    check_changed("window=3", "window=0", "graph text, line 17: node %7: window 0, expected at least the token itself");
    check_changed(
        "scale=0.35355338",
        "scale=NaN",
        "graph text, line 17: node %7: scale NaN, expected a finite number above 0",
    );
    check_changed("eps=1e-6", "eps=-1", "graph text, line 14: node %4: eps -1, expected 0 or more");
    check_changed(
        "size=4 1.0",
        "size=6 1.0",
        "graph text, line 8: rotary 0: 2 frequencies for a rotary size of 6, expected half of it",
    );
    check_changed("1.0 0.1", "1.0 inf", "graph text, line 8: rotary 0: frequency 1 is not a finite number");
    check_changed("cap=30.0", "cap=0", "graph text, line 25: node %15: cap 0, expected a finite number above 0");
    check_changed(
        "add %0 %7",
        "add %0 %3",
        "graph text, line 18: node %8: inputs of widths 8 and 4, expected equal widths",
    );
    check_changed("group=4 eps", "group=3 eps", "graph text, line 14: tensor head_norm: shape [4], expected [3]");
}

#[test]
fn malformed_text_is_named() {
    check_changed("silu %9", "relu %9", "graph text, line 21: unknown operation `relu`");
    check_changed("silu %9", "silu %11", "graph text, line 21: node %11: input %11 is not an earlier node");
    check_changed("silu %9", "silu", "graph text, line 21: node %11: 0 inputs, expected 1");
    check_changed("%11 = silu", "%12 = silu", "graph text, line 21: node %12, expected %11");
    check_changed("matmul %13 table", "matmul %13 tables", "graph text, line 24: tensor tables is not declared");
    check_changed("cap=30.0", "cap=30.0 cup=1", "graph text, line 25: unexpected `cup=1`");
    check_changed("layer=0 ", "", "graph text, line 17: expected layer=VALUE");
    check_changed("weight q [8, 8]", "weight norm [8]", "graph text, line 4: tensor norm is declared twice");
    check_changed("output %15", "", "graph text, line 27: expected `output %N` at the end");
    check_changed("output %15", "output %16", "graph text, line 26: output %16 is not a node");
    check_changed(
        "rotary 1 adjacent",
        "rotary 1 spiral",
        "graph text, line 9: pairing `spiral`, expected halves or adjacent",
    );
}

#[test]
fn whole_graph_rules_are_all_reported() {
    check(
        "weight t [2, 4]\nweight idle [3]\nrotary 0 halves size=4 1.0 0.5\n%0 = embed t\n%1 = silu %0\n\
         %2 = attention %0 %0 %0 layer=1 heads=1 kv_heads=1 head_size=4 scale=1\noutput %2",
        "node %2: attention layer 1, expected 0\ntensor idle: no node uses it\nrotary 0: no node uses it\n\
         node %1: the output does not depend on it",
    );
}

#[test]
fn verifier_sees_what_a_builder_would_refuse() {
    let mut graph = parse_graph(EVERYTHING).unwrap();
    graph.nodes[1].width = 9;
    graph.nodes[3].inputs = vec![NodeId(3)];
    graph.weights[2].name = "norm".into();
    graph.rotaries[0].frequencies.pop();
    graph.output = NodeId(99);
    let found: Vec<_> = verify(&graph).iter().map(ToString::to_string).collect();
    let expected = [
        "tensor norm: declared twice, as #1 and #2",
        "rotary 0: 1 frequencies for a rotary size of 4, expected half of it",
        "node %1: width 9, expected 8",
        "tensor q: shape [8, 8], expected [8, 9]",
        "node %3: input %3 is not an earlier node",
        "graph: the output %99 is not a node",
    ];
    assert_eq!(found, expected);
}

#[test]
fn builder_shares_equal_rotaries_and_refuses_bad_parts() {
    let mut builder = Builder::new();
    let rotary = Rotary { pairs: RotaryPairs::Halves, rotary_size: 2, frequencies: vec![1.0] };
    assert_eq!(builder.rotary(rotary.clone()).unwrap(), builder.rotary(rotary).unwrap());
    assert!(builder.weight("white space", &[1]).is_err());
    let table = builder.weight("t", &[3, 2]).unwrap();
    let x = builder.add(Op::Embed { table, factor: None }, &[]).unwrap();
    assert_eq!(builder.width(x), 2);
    let error = builder.finish(x).unwrap_err();
    assert_eq!(error.to_string(), "rotary 0: no node uses it");
    assert!(matches!(error, Error::Invalid(violations) if violations.len() == 1));
}
