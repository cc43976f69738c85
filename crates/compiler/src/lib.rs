//! The deterministic compiler: a model's graph becomes a program whose every instruction has a place and a cycle.
//!
//! In: a graph, its weights in block formats, a machine. Out: a [`Program`] whose predicted cycles are those of its run.
//! It knows no files and no simulator. The passes, each from one type to the next: `network.rs` (sections of the graph),
//! `plan.rs` and `share.rs` (which chips run what), `place` (memory), `schedule.rs` and `compose` (instructions in space and
//! time), `emit.rs` (the program). Start reading at [`compile`].

mod chips;
mod clock;
mod collective;
mod compose;
mod emit;
mod error;
mod handover;
mod network;
mod place;
mod plan;
mod schedule;
mod share;
mod team;
mod weights;

pub use chips::Chips;
pub use collective::{Collected, Collective, Method, compile_collective};
pub use error::Error;
pub use plan::{Objective, Split};
pub use weights::Weights;

use std::iter;

use lockstep_arith::matrix::GROUP;
use lockstep_graph::Graph;
use lockstep_machine::spec::MachineSpec;
use lockstep_program::Program;
use lockstep_program::program::Entry;

use network::Network;
use place::Size;
use place::capacity::{explained, room};
use place::layout::Layout;
use plan::Room;
use team::Team;

/// How much of a model is compiled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All of it, from a token to its logits.
    #[default]
    Model,
    /// The first decoder layer alone, from x to y.
    Layer,
}

/// What to compile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The program's name.
    pub name: String,
    /// How much of the model.
    pub part: Part,
    /// Longest contexts of the entries, in tokens; each is rounded up to whole vectors.
    pub contexts: Vec<usize>,
    /// How it is spread over chips.
    pub split: Split,
    /// What the split is chosen for.
    pub objective: Objective,
    /// Sequences that are in flight at once, at least 1: each has caches, inputs and outputs of its own.
    pub sequences: usize,
    /// Tokens of a prefill step: at most as many as a vector has lanes are taken. Below 2 there is none, and none on
    /// several chips, for several sequences, or with heads wider than half a vector.
    pub batch: u32,
}

impl Options {
    fn sequences(&self) -> usize {
        self.sequences.max(1)
    }
}

/// Compiles a model for one chip or several.
///
/// Inputs of the program: `token`, `position` and `length` (i32, the same number in all lanes; `length` is
/// `position + 1`). Output: `logits` (f32). For each context an entry `decode.N`, N being the positions that it covers.
///
/// With a batch ([`Options::batch`]) there is an entry `prefill.N` too, for contexts of one vector of positions: inputs
/// `tokens` and `positions` (i32, a vector with the same number in all lanes for each token), output the `logits`
/// behind the last token. Where there are fewer tokens, the last one and its position are repeated.
///
/// With several sequences the inputs and outputs are `token.0`, `token.1` and so on, `decode.N` is a token of sequence
/// 0, and
/// `decode.NxS` one of each of S sequences, as soon after one another as the chips allow.
///
/// Of a layer alone the input is `x` (f32) instead of `token`, the output `y` (f32), and the entries are `layer.N`, or
/// `layer` where there is one. Weights behind those of the first layer may be missing.
pub fn compile<'w, 'c>(
    graph: &'w Graph,
    weights: impl Into<Weights<'w>>,
    chips: impl Into<Chips<'c>>,
    options: &Options,
) -> Result<Program<'static>, Error> {
    let (chips, weights) = (chips.into(), weights.into());
    check_machine(chips.machine())?;
    let lanes = chips.machine().lanes() as usize;
    let network = match options.part {
        Part::Model => Network::new(graph, weights, lanes)?,
        Part::Layer if chips.count() > 1 => return Err(Error::shape("chips", chips.count(), "1 for a layer alone")),
        Part::Layer => Network::first_layer(graph, weights, lanes)?,
    };
    if options.split != Split::Auto || chips.count() == 1 {
        return spread(&network, chips, options, options.split);
    }
    let tensor = spread(&network, chips, options, Split::Tensor);
    let pipeline = spread(&network, chips, options, Split::Pipeline);
    match (tensor, pipeline) {
        (Ok(tensor), Ok(pipeline)) => {
            let cost = |program: &Program<'_>| cost(program, options.objective);
            Ok(if cost(&pipeline) < cost(&tensor) { pipeline } else { tensor })
        }
        // Of two reasons the one of the way that takes fewer bytes a chip.
        (tensor, pipeline) => pipeline.or(tensor),
    }
}

/// What a token of one sequence costs, by the entry for the longest context.
fn cost(program: &Program<'_>, objective: Objective) -> u64 {
    let is_token = |entry: &&Entry| entry.name.starts_with("decode") && !entry.name.contains('x');
    let costs = program.entries.iter().filter(is_token).map(|entry| match objective {
        Objective::Latency => entry.cycles,
        Objective::Throughput => entry.interval(&program.blocks),
    });
    costs.max().unwrap_or(u64::MAX)
}

/// Compiles a network for chips, split in one way.
fn spread(network: &Network<'_>, chips: Chips<'_>, options: &Options, split: Split) -> Result<Program<'static>, Error> {
    let spec = chips.machine();
    let lanes = spec.lanes() as usize;
    let mut buckets: Vec<usize> = options.contexts.iter().map(|context| context.div_ceil(lanes).max(1)).collect();
    buckets.sort_unstable();
    buckets.dedup();
    let largest = buckets.last().copied().ok_or_else(|| Error::shape("contexts", "none", "at least one"))?;
    let size = Size { tiles: largest, batch: options.batch.min(spec.lanes()), sequences: options.sequences() };
    let teams = placed(network, chips, split, size)
        .map_err(|cause| explained(cause, network, chips, size.tiles * size.sequences))?;
    emit::emit(options, chips, teams, &buckets)
}

/// Groups of chips with their memory: the first way that suits the plain deal of layers, or else the one of which the
/// dearest group is cheapest. Copies of value heads make code faster, and sides that are filled evenly save room.
fn placed<'w>(network: &Network<'w>, chips: Chips<'_>, split: Split, size: Size) -> Result<Vec<Team<'w>>, Error> {
    let plain = (split == Split::Tensor).then(|| network.without_copies());
    let dearest = |teams: &[Team<'_>]| teams.iter().map(|team| team.group.time()).max();
    let (mut best, mut lacking): (Option<Vec<Team<'w>>>, _) = (None, None);
    let networks = iter::once(network).chain(&plain);
    for (network, evenly) in networks.flat_map(|network| [(network, false), (network, true)]) {
        match dealt(network, chips, split, size, evenly) {
            Ok((teams, refused)) => {
                if best.as_ref().is_none_or(|best| dearest(&teams) < dearest(best)) {
                    best = Some(teams);
                }
                if !refused {
                    break;
                }
            }
            Err(error) if error.is_room() => lacking = Some(error),
            Err(error) => return Err(error),
        }
    }
    best.ok_or_else(|| lacking.unwrap_or_else(|| Error::shape("ways", 0, "at least one")))
}

/// Groups of chips with their memory, and whether some were refused. What a chip holds beside weights, and how well they
/// divide into banks, is known when they are placed: where a group finds no room, those like it are dealt fewer layers,
/// and others more.
fn dealt<'w>(
    network: &Network<'w>,
    chips: Chips<'_>,
    split: Split,
    size: Size,
    evenly: bool,
) -> Result<(Vec<Team<'w>>, bool), Error> {
    let mut room = Room::new(room(chips.machine()));
    let mut refused = None;
    loop {
        let groups = match plan::groups(network, chips, split, &room) {
            Ok(groups) => groups,
            Err(error) => return Err(refused.unwrap_or(error)),
        };
        let mut teams = Vec::new();
        for group in &groups {
            match Team::new(network, group.clone(), chips.machine(), size, evenly) {
                Ok(team) => teams.push(team),
                Err(error) if error.is_room() && groups.len() > 1 && group.layers.len() > 1 => {
                    room.refuse(group, network);
                    refused = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            }
        }
        if teams.len() == groups.len() {
            return Ok((teams, refused.is_some()));
        }
    }
}

/// Whether weights have slices to lie in.
fn has_far_slices(spec: &MachineSpec) -> bool {
    let Layout { near, far, .. } = Layout::new(spec);
    far.end >= near.end.saturating_add(8)
}

fn check_machine(spec: &MachineSpec) -> Result<(), Error> {
    let needs = [
        (spec.vxm.reduce_units > 0, "lane reducers"),
        (spec.mxm.block, "block matrix mode"),
        (spec.mxm.wide, "wide matrix mode"),
        (spec.mxm.load_column, "load by column"),
        (spec.mxm.planes_per_hemisphere >= 2, "pairs of matrix planes"),
        (spec.mem.slices_per_hemisphere >= 40, "40 memory slices in each hemisphere"),
        (has_far_slices(spec), "8 memory slices between those next to the vector unit and the text"),
        (spec.lanes().is_multiple_of(GROUP as u32), "whole number of groups of 32 lanes"),
        (spec.streams >= 16, "16 streams in each direction"),
        (spec.vxm.alus >= 2, "2 ALUs"),
    ];
    match needs.iter().find(|(there, _)| !there) {
        Some((_, what)) => Err(Error::Machine { machine: spec.name.clone(), what }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use lockstep_arith::matrix::Format;
    use lockstep_machine::system::SystemSpec;

    use super::*;

    /// How many layers of Llama-3-8B each group of 8 chips has, with caches for 2,240 positions.
    fn layers(system: &str) -> Result<Vec<usize>, Error> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/models/llama-3-8b.json");
        let config = std::fs::read_to_string(path).expect("the data of tests");
        let config = serde_json::from_str(&config).expect("JSON");
        let (_, graph) = lockstep_models::from_hf_config(&config).expect("a model");
        let system = SystemSpec::preset(system).expect("a preset");
        let network = Network::new(&graph, Format::LB4.into(), system.machine().lanes() as usize)?;
        let size = Size { tiles: 7, batch: 1, sequences: 1 };
        let teams = placed(&network, (&system).into(), Split::Tensor, size)?;
        Ok(teams.iter().map(|team| team.group.layers.len()).collect())
    }

    #[test]
    fn layers_go_where_there_is_room() {
        // Embedding and head take room of the first group and the last one.
        assert_eq!(layers("lockstep1:40"), Ok(vec![4, 8, 8, 8, 4]));
        assert_eq!(layers("lockstep1:48"), Ok(vec![4, 6, 6, 6, 6, 4]));
        assert_eq!(layers("lockstep1:32"), Err(Error::Room { needed: 5, size: 8, groups: 4 }));
    }
}
