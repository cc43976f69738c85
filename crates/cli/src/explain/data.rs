//! What the viewer shows, as JSON: numbers in flat arrays, names once.

use anyhow::{Context, Result};
use lockstep_machine::geometry::{Hemisphere, Queue};
use lockstep_machine::inst::Inst;
use lockstep_machine::inst::operand::Slot;
use lockstep_program::Program;
use lockstep_program::explain::{
    BlockFigures, Bound, EntryFigures, Explanation, Figures, ISSUES_MAX, Spent, Unit, issues,
};
use lockstep_program::issues::Issues;
use lockstep_program::program::{BindingKind, Block, Instance, IssueId, Origin, Word};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};

/// Colours of the legend, in the order of their numbers in the data.
const KINDS: [&str; 12] = [
    "memory read",
    "memory write",
    "gather, scatter",
    "alu",
    "reduce",
    "load",
    "install",
    "activate",
    "drain",
    "switch",
    "link",
    "fetch",
];

/// Instructions of a block with their issues: the viewer names an issue by its run and its number within it.
struct Runs {
    /// queue, cycle, text, kind, further issues, every, word stride, row stride.
    rows: Vec<[i64; 8]>,
    of: BTreeMap<(Queue, u32), usize>,
}

/// All of it.
pub fn of(program: &Program<'_>, explanation: &Explanation) -> Result<Value> {
    let spec = &program.machine;
    let used = |queue: &Queue| program.blocks.iter().any(|block| block.queues.iter().any(|text| text.queue == *queue));
    let queues: Vec<Queue> = spec.queues().into_iter().filter(used).collect();
    let order: BTreeMap<Queue, usize> = queues.iter().copied().zip(0..).collect();
    let mut texts = Texts::default();
    let mut listed = Vec::new();
    for block in &program.blocks {
        let issues = issues(block, spec, ISSUES_MAX)?;
        listed.push((runs(block, &issues, &order, &mut texts)?, issues));
    }
    let blocks = program.blocks.iter().enumerate().map(|(index, block)| {
        let instance = program.entries.iter().flat_map(|e| &e.instances).find(|i| i.block as usize == index);
        let (runs, issues) = &listed[index];
        let figures = &explanation.blocks[index];
        json!({
            "name": block.name,
            "cycles": block.cycles,
            "runs": runs.rows,
            "edges": edges(block, index as u32, instance, &listed),
            "chain": chain(figures, runs, issues),
            "chip": instance.map_or(0, |instance| instance.chip),
            "offsets": instance.map_or_else(Vec::new, |instance| instance.offsets.to_vec()),
            "figures": figures_json(&figures.figures, program, 1),
        })
    });
    let blocks: Vec<Value> = blocks.collect();
    let entries = program.entries.iter().zip(&explanation.entries).map(|(entry, explained)| {
        let instances = entry.instances.iter().map(|i| (i.block, i.chip, i.start)).collect::<Vec<_>>();
        let mut value = entry_json(explained, program);
        value["instances"] = json!(instances);
        value
    });
    Ok(json!({
        "program": program.name,
        "machine": spec.name,
        "clock": spec.clock_hertz,
        "chips": program.chips,
        "lanes": spec.lanes(),
        "kinds": KINDS,
        "queues": queues.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "texts": texts.list,
        "places": places(program),
        "images": program.images.iter().map(|image| &image.name).collect::<Vec<_>>(),
        "bindings": program.bindings.iter().map(|binding| &binding.name).collect::<Vec<_>>(),
        "blocks": blocks,
        "entries": entries.collect::<Vec<_>>(),
    }))
}

/// Texts, each once.
#[derive(Default)]
struct Texts {
    list: Vec<String>,
    known: HashMap<String, i64>,
}

impl Texts {
    fn number(&mut self, text: String) -> i64 {
        *self.known.entry(text).or_insert_with_key(|text| {
            self.list.push(text.clone());
            self.list.len() as i64 - 1
        })
    }
}

fn runs(block: &Block, issues: &Issues, order: &BTreeMap<Queue, usize>, texts: &mut Texts) -> Result<Runs> {
    let of_queue: BTreeMap<Queue, _> = block.queues.iter().map(|text| (text.queue, &text.insts)).collect();
    let mut runs = Runs { rows: Vec::new(), of: BTreeMap::new() };
    for index in 0..issues.len() {
        let IssueId { queue, inst, issue } = issues.id(index);
        if issue > 0 {
            continue;
        }
        let what = issues.inst(index);
        let next = of_queue.get(&queue).and_then(|insts| insts.get(inst as usize + 1));
        let repeat = match next.map(|bytes| Inst::decode(*bytes)).transpose()? {
            Some(Inst::Repeat { count, every, word_stride, row_stride }) => {
                [count.get().into(), every.get().into(), word_stride.0.into(), row_stride.0.into()]
            }
            _ => [0; 4],
        };
        let number = *order.get(&queue).with_context(|| format!("{queue} is unknown to the machine"))? as i64;
        let [count, every, words, rows] = repeat;
        let (cycle, text) = (issues.cycle(index) as i64, texts.number(what.to_string()));
        runs.of.insert((queue, inst), runs.rows.len());
        runs.rows.push([number, cycle, text, kind(what, queue), count, every, words, rows]);
    }
    Ok(runs)
}

/// Which colour an instruction has.
fn kind(inst: &Inst, queue: Queue) -> i64 {
    match (inst, Unit::of(queue)) {
        (Inst::Fetch { .. }, _) => 11,
        (Inst::Gather { .. } | Inst::Scatter { .. }, _) => 2,
        (Inst::Mem { bank0: Slot::Write(..), .. } | Inst::Mem { bank1: Slot::Write(..), .. }, _) => 1,
        (_, Unit::Mem) => 0,
        (_, Unit::Alu) => 3,
        (_, Unit::Reduce) => 4,
        (Inst::Install { .. }, _) => 6,
        (_, Unit::Load) => 5,
        (_, Unit::Activate) => 7,
        (_, Unit::Drain) => 8,
        (_, Unit::Switch) => 9,
        (_, Unit::Send | Unit::Receive) => 10,
    }
}

/// Reader's run, its issue, how many, operand, step, and the origin: 1 (block, run, issue), 2 (image, vector), 3
/// (binding, word), 4 (link, vector), or 0 for nothing and 5 for many. Imports are those of the block's first instance.
fn edges(block: &Block, index: u32, instance: Option<&Instance>, listed: &[(Runs, Issues)]) -> Vec<[i64; 9]> {
    let mut edges = Vec::new();
    for edge in &block.flow {
        let run = |block: u32, id: IssueId| listed.get(block as usize)?.0.of.get(&(id.queue, id.inst)).copied();
        let Some(reader) = run(index, edge.reader) else { continue };
        let origin = match edge.origin {
            Origin::Import { import, offset } => instance
                .and_then(|instance| instance.imports.get(import as usize)?.moved(offset.into()))
                .unwrap_or(Origin::Nothing),
            origin => origin,
        };
        let [tag, a, b, c] = match origin {
            Origin::Issue { block, id, .. } => match run(block, id) {
                Some(run) => [1, i64::from(block), run as i64, i64::from(id.issue)],
                None => [0; 4],
            },
            Origin::Image { image, vector } => [2, image.into(), vector.into(), 0],
            Origin::Input { binding, vector } => [3, binding.into(), vector.into(), 0],
            Origin::Sent { link, vector } => [4, link.into(), vector.into(), 0],
            Origin::Many(_) => [5, 0, 0, 0],
            Origin::Nothing | Origin::Import { .. } => [0; 4],
        };
        let (issue, count) = (edge.reader.issue.into(), edge.count.into());
        edges.push([reader as i64, issue, count, edge.operand.into(), edge.step.into(), tag, a, b, c]);
    }
    edges
}

/// The critical chain: run and issue of each step.
fn chain(figures: &BlockFigures, runs: &Runs, issues: &Issues) -> Vec<(usize, u32)> {
    let name = |issue: u32| {
        let id = issues.id(issue as usize);
        runs.of.get(&(id.queue, id.inst)).map(|run| (*run, id.issue))
    };
    figures.chain.iter().filter_map(|step| name(step.issue)).collect()
}

/// What lies where: name, chip, side, slice, bank, first word, vectors.
fn places(program: &Program<'_>) -> Vec<Value> {
    let place = |name: &str, word: &Word, vectors: u32| {
        let side = i32::from(word.hemisphere == Hemisphere::East);
        json!([name, word.chip, side, word.slice, word.bank, word.word, vectors])
    };
    let images = program.images.iter().map(|image| place(&image.name, &image.first, image.vectors));
    let bindings = program.bindings.iter().flat_map(|binding| {
        let kind = if binding.kind == BindingKind::Input { "input" } else { "output" };
        let name = format!("{} ({kind})", binding.name);
        binding.words.iter().map(move |word| place(&name, word, 1))
    });
    images.chain(bindings).collect()
}

/// An entry's figures and those of its phases.
pub fn entry_json(entry: &EntryFigures, program: &Program<'_>) -> Value {
    let phases = entry.phases.iter().map(|phase| {
        let mut value = figures_json(&phase.figures, program, program.chips);
        value["name"] = json!(phase.name);
        value["start"] = json!(phase.start);
        value["instances"] = json!(phase.instances);
        value["share"] = json!(share(phase.figures.cycles, entry.figures.cycles));
        value
    });
    let mut value = figures_json(&entry.figures, program, program.chips);
    value["name"] = json!(entry.name);
    value["phases"] = phases.collect();
    value
}

/// A block's figures.
pub fn block_json(block: &BlockFigures, program: &Program<'_>) -> Value {
    let mut value = figures_json(&block.figures, program, 1);
    value["name"] = json!(block.name);
    value["chain_steps"] = json!(block.chain.len());
    value
}

fn figures_json(figures: &Figures, program: &Program<'_>, chips: u32) -> Value {
    let (bound, bound_cycles) = figures.bound();
    let bounds: BTreeMap<String, u64> = Bound::ALL.iter().map(ToString::to_string).zip(figures.bounds).collect();
    let chain: BTreeMap<String, u64> = Spent::ALL.iter().map(ToString::to_string).zip(figures.chain).collect();
    let issues: BTreeMap<String, u64> = Unit::ALL.iter().map(ToString::to_string).zip(figures.issues).collect();
    let used = |unit: &Unit| (unit.to_string(), figures.utilisation(*unit, &program.machine, chips));
    json!({
        "cycles": figures.cycles,
        "seconds": figures.cycles as f64 / program.machine.clock_hertz as f64,
        "bound": bound.to_string(),
        "bound_cycles": bound_cycles,
        "bounds": bounds,
        "chain": chain,
        "issues": issues,
        "utilisation": Unit::ALL.iter().map(used).collect::<BTreeMap<_, _>>(),
    })
}

/// A part of a whole, 0 to 1.
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}
