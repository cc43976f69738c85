//! Why a model does not fit, in terms of what a user can change.

use lockstep_arith::matrix::Format;
use lockstep_graph::Rotary;
use lockstep_machine::spec::MachineSpec;

use super::layout::Layout;
use super::tiles::TileFormat;
use super::uses::{Use, uses};
use crate::chips::Chips;
use crate::error::Error;
use crate::network::{Kind, Network};
use crate::share::Share;
use crate::weights::{Matrix, Named};

/// Tensors that an error names.
const NAMED: usize = 3;

/// The error with the whole account, where memory was what lacked: `cause` on one of `chips` chips, which all together
/// hold `network`, each with caches of `tiles` vectors of positions.
pub(crate) fn explained(cause: Error, network: &Network<'_>, chips: Chips<'_>, tiles: usize) -> Error {
    if !cause.is_room() {
        return cause;
    }
    let spec = chips.machine();
    let mut tensors: Vec<(&str, u64)> = tensors(network).map(|(name, matrix)| (name, bytes(&matrix, spec))).collect();
    let weights: u64 = tensors.iter().map(|(_, bytes)| bytes).sum();
    // Equal sizes by name, so that the message is always the same.
    tensors.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    let largest: Vec<String> =
        tensors.iter().take(NAMED).map(|(name, bytes)| format!("{name} {}", mib(*bytes))).collect();
    let per_context = cache_bytes(network, spec);
    let needed = weights + per_context * tiles as u64;
    let available = spec.sram_bytes() * u64::from(chips.count());
    let (lanes, positions) = (spec.lanes(), tiles as u64 * u64::from(spec.lanes()));
    let (where_, more) = match chips.count() {
        1 => ("the chip".to_owned(), ""),
        count => (format!("{count} chips"), "more chips, "),
    };
    Error::Capacity {
        cause: cause.to_string(),
        account: format!(
            "weights take {} (the largest: {}), keys and values of {positions} positions {}, of {} on {where_}; {}",
            mib(weights),
            largest.join(", "),
            mib(per_context * tiles as u64),
            mib(available),
            match needed.checked_sub(available) {
                Some(short) => format!("{} are short", mib(short)),
                None => format!(
                    "of these {} are for weights and caches, the rest holds tables, text and the values of a step",
                    mib(room(spec) * u64::from(chips.count()))
                ),
            }
        ),
        levers: format!(
            "{more}a shorter --context (each {lanes} positions take {}), fewer --sequences, a 4-bit format of the weights, a \
             smaller model",
            mib(per_context)
        ),
    }
}

/// Bytes of a chip's slices where weights lie.
pub(crate) fn room(spec: &MachineSpec) -> u64 {
    let far = u64::from(Layout::new(spec).far.width());
    2 * far * u64::from(spec.mem.words_per_slice) * u64::from(spec.lanes())
}

/// What some weights take on all chips.
pub(crate) fn matrix_bytes(weights: &[Named<'_>], spec: &MachineSpec) -> u64 {
    weights.iter().filter_map(|named| named.matrix().ok()).map(|matrix| bytes(&matrix, spec)).sum()
}

/// What the matrices of a section take on the fullest of `ranks` chips that share it.
pub(crate) fn share_bytes(kind: &Kind<'_>, rotaries: &[Rotary], ranks: usize, spec: &MachineSpec) -> u64 {
    let lanes = spec.lanes() as usize;
    let vectors = |rank| -> usize {
        let section = kind.section.shared(Share { rank, ranks }, lanes);
        let vectors = |(usage, format): (&Use, &Option<Format>)| match (usage, format) {
            (Use::Matrix(arrangement), Some(format)) => arrangement.vectors((*format).into(), spec),
            _ => 0,
        };
        uses(&section, rotaries, lanes).iter().zip(&section.formats).map(vectors).sum()
    };
    (0..ranks).map(vectors).max().unwrap_or_default() as u64 * u64::from(spec.lanes())
}

/// What the codes of a table take on the fullest of `ranks` chips that share its columns.
pub(crate) fn table_bytes(table: &Named<'_>, ranks: usize, spec: &MachineSpec) -> u64 {
    let Ok(matrix) = table.matrix() else { return 0 };
    let tiles = matrix.cols.div_ceil(spec.lanes() as usize).div_ceil(ranks);
    let loads = tiles.div_ceil(TileFormat::from(matrix.format).inputs_per_load());
    matrix.rows as u64 * loads as u64 * u64::from(spec.lanes())
}

/// Words of the tables of rotary embeddings for one vector of positions.
pub(crate) fn rotary_words(network: &Network<'_>, spec: &MachineSpec) -> u64 {
    network.rotaries.len() as u64 * 2 * 4 * u64::from(spec.lanes())
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// All matrices, each once.
fn tensors<'n, 'w>(network: &'n Network<'w>) -> impl Iterator<Item = (&'w str, Matrix<'w>)> + 'n {
    let embedding = network.embedding.iter().map(|(table, _)| *table);
    let is_embedding =
        move |named: &Named<'_>| network.embedding.as_ref().is_some_and(|(table, _)| table.id == named.id);
    let others = network.kinds.iter().chain(&network.head).flat_map(|kind| kind.weights.iter().flatten().copied());
    let all = embedding.chain(others.filter(move |named| !is_embedding(named)));
    all.filter_map(|named| named.matrix().ok().map(|matrix| (named.name, matrix)))
}

/// What a matrix's row vectors and scale vectors take.
fn bytes(matrix: &Matrix<'_>, spec: &MachineSpec) -> u64 {
    let lanes = u64::from(spec.lanes());
    let format = TileFormat::from(matrix.format);
    let inputs = (matrix.cols as u64).div_ceil(lanes);
    let loads = inputs.div_ceil(format.inputs_per_load() as u64);
    let tables = if format.offsets { 2 } else { 1 };
    let scales = (matrix.rows as u64).div_ceil(lanes) * inputs * tables * 2 * lanes.div_ceil(32);
    (matrix.rows as u64 * loads + scales) * lanes
}

/// Keys and values of all layers for one vector of positions: two bytes a lane.
fn cache_bytes(network: &Network<'_>, spec: &MachineSpec) -> u64 {
    cache_words(network, spec) * u64::from(spec.lanes())
}

/// The words that they take.
pub(crate) fn cache_words(network: &Network<'_>, spec: &MachineSpec) -> u64 {
    let vectors =
        |kind: usize| network.kinds[kind].section.heads.as_ref().map_or(0, |heads| heads.keys.vectors() as u64);
    let lanes = u64::from(spec.lanes());
    network.layers.iter().map(|(kind, _)| vectors(*kind) * 2 * 2 * lanes).sum()
}
