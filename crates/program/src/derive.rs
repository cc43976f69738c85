//! Fills in what a program written by hand leaves out: flow, imports, cycles and phases.
//!
//! In: blocks with texts, instances with offsets, images and bindings. Out: the same program, in which every operand
//! names its producer and every prediction is what the instructions take. It believes the instructions: where a hand
//! meant another producer, the flow says so afterwards, and a test of the outputs shows it.
//!
//! An operand whose producer is the same in all instances of its block, and in the same instance, is named in the block's
//! flow. Any other becomes an import, to which each instance binds its own origin. Consecutive issues of one instruction
//! whose origins move on by one step in all instances share an edge.

use std::collections::HashMap;

use crate::program::{Entry, FlowEdge, Origin, Phase, Program};
use crate::verify::facts::{Facts, Producer};
use crate::verify::{Found, Report, Violation, gather, run_entry};

/// Computes `cycles`, `flow` and `imports` of all blocks, `imports` of all instances, `cycles` of all entries, and the
/// phases of entries that have none. What was there is replaced.
///
/// Memory operands of a block that no entry runs stay without edges. A program with hazards is left as it was.
pub fn derive(program: &mut Program<'_>) -> Result<(), Vec<Violation>> {
    let mut report = Report::default();
    let Some(facts) = gather(program, &mut report).filter(|_| report.is_clean()) else {
        return Err(report.finish());
    };
    let mut operands: Vec<Lasting> = facts.iter().map(Lasting::new).collect();
    let mut ends = Vec::new();
    for entry in &program.entries {
        let first: Vec<usize> = entry.instances.iter().map(|i| operands[i.block as usize].add_instance()).collect();
        ends.push(run_entry(program, &facts, entry, &mut report, &mut |_, place, access, found| {
            operands[entry.instances[place].block as usize].set(first[place], access.number, found);
        }));
    }
    if !report.is_clean() {
        return Err(report.finish());
    }
    let flows: Vec<Flow> = facts.iter().zip(&operands).map(|(facts, lasting)| Flow::new(facts, lasting)).collect();
    drop(facts);
    fill(program, flows, &ends);
    Ok(())
}

/// Puts what was found into the program.
fn fill(program: &mut Program<'_>, flows: Vec<Flow>, ends: &[u64]) {
    let mut bound: Vec<_> = Vec::new();
    for (block, flow) in program.blocks.iter_mut().zip(flows) {
        (block.cycles, block.imports, block.flow) = (flow.cycles, flow.columns.len() as u32, flow.edges);
        bound.push((flow.columns, 0));
    }
    for (entry, end) in program.entries.iter_mut().zip(ends) {
        for instance in &mut entry.instances {
            let (columns, next) = &mut bound[instance.block as usize];
            instance.imports = columns.iter().map(|column| column[*next]).collect();
            *next += 1;
        }
        entry.cycles = *end;
    }
    for entry in &mut program.entries {
        if entry.phases.is_empty() && entry.cycles > 0 {
            let name = |block: u32| {
                let name = &program.blocks[block as usize].name;
                // What stands behind # tells blocks of one kind apart.
                name.split_once('#').map_or(name.as_str(), |(kind, _)| kind).to_owned()
            };
            entry.phases = phases(entry, name);
        }
    }
}

/// A phase for each row of blocks of one kind, as they start on any chip, from the entry's start to its end; one,
/// `all`, if there are none.
fn phases(entry: &Entry, name: impl Fn(u32) -> String) -> Vec<Phase> {
    let mut phases: Vec<Phase> = Vec::new();
    let mut starts: Vec<(u64, u32)> = entry.instances.iter().map(|instance| (instance.start, instance.block)).collect();
    starts.sort_unstable();
    starts.dedup();
    for (start, block) in starts {
        let name = name(block);
        if phases.last().is_none_or(|last| last.name != name) {
            let start = if phases.is_empty() { 0 } else { start };
            phases.push(Phase { name, start, cycles: 0 });
        }
    }
    if phases.is_empty() {
        phases.push(Phase { name: "all".to_owned(), start: 0, cycles: 0 });
    }
    let mut end = entry.cycles;
    for phase in phases.iter_mut().rev() {
        phase.cycles = end - phase.start;
        end = phase.start;
    }
    phases
}

/// Operands of a block that are read from lasting places: what each instance finds.
struct Lasting {
    /// For each operand of the block its place in `found`, or nothing.
    places: Vec<u32>,
    /// How many have one.
    count: usize,
    /// By instance.
    found: Vec<Vec<Found>>,
}

const NO_PLACE: u32 = u32::MAX;

impl Lasting {
    fn new(facts: &Facts) -> Self {
        let mut count = 0;
        let place = |producer: &Producer| {
            if *producer == Producer::Lasting {
                count += 1;
                count as u32 - 1
            } else {
                NO_PLACE
            }
        };
        let places = facts.producers.iter().map(place).collect();
        Self { places, count, found: Vec::new() }
    }

    fn add_instance(&mut self) -> usize {
        self.found.push(vec![Found { origin: Origin::Nothing, own: true }; self.count]);
        self.found.len() - 1
    }

    fn set(&mut self, instance: usize, operand: u32, found: Found) {
        self.found[instance][self.places[operand as usize] as usize] = found;
    }
}

/// What is known about one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// The same in all instances.
    Here(Origin),
    /// Told by the instances, in this place of theirs.
    Imported(usize),
}

/// The flow of a block.
struct Flow {
    cycles: u64,
    edges: Vec<FlowEdge>,
    /// For each import, what each instance binds to it.
    columns: Vec<Vec<Origin>>,
}

/// Makes edges and imports of a block.
struct Maker<'a> {
    facts: &'a Facts,
    lasting: &'a Lasting,
    edges: Vec<FlowEdge>,
    columns: Vec<Vec<Origin>>,
    imports: HashMap<Vec<Origin>, u32>,
}

impl Flow {
    fn new(facts: &Facts, lasting: &Lasting) -> Self {
        let mut maker = Maker { facts, lasting, edges: Vec::new(), columns: Vec::new(), imports: HashMap::new() };
        for issues in facts.insts().filter(|issues| !issues.is_empty()) {
            let of = |issue: u32| facts.operands[issue as usize + 1] - facts.operands[issue as usize];
            for operand in 0..of(issues[0]) {
                maker.runs(issues, operand);
            }
        }
        maker.edges.sort_unstable();
        Self { cycles: facts.cycles, edges: maker.edges, columns: maker.columns }
    }
}

impl Maker<'_> {
    /// The edges about one operand of an instruction's issues; all issues of an instruction have the same operands.
    fn runs(&mut self, issues: &[u32], operand: u32) {
        let mut at = 0;
        while at < issues.len() {
            let known = |nth: usize| self.known(self.facts.operands[issues[nth] as usize] + operand);
            let Some(first) = known(at) else {
                at += 1;
                continue;
            };
            let step = issues.get(at + 1).and_then(|_| self.step(first, known(at + 1)?)).unwrap_or(0);
            let mut count = 1;
            while at + count < issues.len()
                && known(at + count).is_some_and(|next| self.follows(first, next, i64::from(step) * count as i64))
            {
                count += 1;
            }
            let reader = self.facts.issues[issues[at] as usize].id;
            let step = if count == 1 { 0 } else { step };
            let origin = self.origin(first);
            self.edges.push(FlowEdge { reader, count: count as u32, operand: operand as u8, origin, step });
            at += count;
        }
    }

    /// What is known about an operand; nothing where no instance tells.
    fn known(&self, operand: u32) -> Option<Known> {
        match self.facts.producers[operand as usize] {
            Producer::Nobody => Some(Known::Here(Origin::Nothing)),
            Producer::Issue(by, result) => {
                let id = self.facts.issues[by as usize].id;
                Some(Known::Here(Origin::Issue { block: self.facts.block, id, result }))
            }
            Producer::Unknown => None,
            Producer::Lasting => {
                let place = self.lasting.places[operand as usize] as usize;
                let first = self.lasting.found.first()?[place];
                let same = |found: &Vec<Found>| found[place] == first && first.own;
                let here = self.lasting.found.iter().all(same);
                Some(if here { Known::Here(first.origin) } else { Known::Imported(place) })
            }
        }
    }

    /// How far the second origin is from the first, in all instances.
    fn step(&self, first: Known, second: Known) -> Option<i32> {
        let step = match (first, second) {
            (Known::Here(first), Known::Here(second)) => distance(&first, &second)?,
            (Known::Imported(first), Known::Imported(second)) => {
                let found = self.lasting.found.first()?;
                distance(&found[first].origin, &found[second].origin)?
            }
            _ => return None,
        };
        i32::try_from(step).ok()
    }

    /// Whether the second origin is the first moved on so far, in all instances.
    fn follows(&self, first: Known, second: Known, by: i64) -> bool {
        match (first, second) {
            (Known::Here(first), Known::Here(second)) => first.moved(by) == Some(second),
            (Known::Imported(first), Known::Imported(second)) => {
                let moved = |found: &Vec<Found>| found[first].origin.moved(by) == Some(found[second].origin);
                self.lasting.found.iter().all(moved)
            }
            _ => false,
        }
    }

    /// The origin as the flow names it.
    fn origin(&mut self, known: Known) -> Origin {
        match known {
            Known::Here(origin) => origin,
            Known::Imported(place) => {
                let column: Vec<Origin> = self.lasting.found.iter().map(|found| found[place].origin).collect();
                let columns = &mut self.columns;
                let import = *self.imports.entry(column).or_insert_with_key(|column| {
                    columns.push(column.clone());
                    columns.len() as u32 - 1
                });
                Origin::Import { import, offset: 0 }
            }
        }
    }
}

/// How many issues or vectors the second origin is on from the first; nothing if it is not of the same kind.
fn distance(first: &Origin, second: &Origin) -> Option<i64> {
    let between = |a: u32, b: u32| i64::from(b) - i64::from(a);
    let by = match (first, second) {
        (Origin::Issue { id: a, .. }, Origin::Issue { id: b, .. }) => between(a.issue, b.issue),
        (Origin::Image { vector: a, .. }, Origin::Image { vector: b, .. })
        | (Origin::Input { vector: a, .. }, Origin::Input { vector: b, .. })
        | (Origin::Sent { vector: a, .. }, Origin::Sent { vector: b, .. }) => between(*a, *b),
        _ => 0,
    };
    (first.moved(by) == Some(*second)).then_some(by)
}
