//! Which entry of a compiled program computes which tokens, and how long that takes.

use anyhow::{Result, bail};
use lockstep_program::Program;
use lockstep_program::program::{Binding, BindingKind, Entry};

/// What an entry `decode.N` reads.
const DECODE_INPUTS: [&str; 3] = ["token", "position", "length"];
/// What an entry `prefill.N` reads.
const PREFILL_INPUTS: [&str; 2] = ["tokens", "positions"];

/// An entry that takes tokens of a sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The entry's name.
    pub entry: String,
    /// How many tokens it takes at most; fewer take as long.
    pub tokens: usize,
    /// The positions that it covers: those of its tokens and all before them.
    pub context: usize,
    /// What the program predicts.
    pub cycles: u64,
    /// Writing its inputs and reading its outputs: an estimate from the machine's description.
    pub host_link_seconds: f64,
}

/// The steps of a compiled model.
#[derive(Clone, Debug, PartialEq)]
pub struct Timetable {
    /// Of one token each, by their context.
    decode: Vec<Step>,
    /// Of many tokens each, by their context.
    prefill: Vec<Step>,
    /// The chip's clock.
    pub clock_hertz: u64,
}

impl Timetable {
    /// The steps of a program; an error where it has none of one token.
    pub fn of(program: &Program<'_>) -> Result<Self> {
        let steps = |kind: &str, inputs: &[&str]| {
            let step = |entry: &Entry| {
                let context = entry.name.strip_prefix(kind)?.strip_prefix('.')?.parse().ok()?;
                let tokens = tokens_of(program, &entry.name);
                let host_link_seconds = host_link_seconds(program, inputs);
                Some(Step { entry: entry.name.clone(), tokens, context, cycles: entry.cycles, host_link_seconds })
            };
            let mut steps: Vec<Step> = program.entries.iter().filter_map(step).collect();
            steps.sort_by_key(|step| step.context);
            steps
        };
        let (decode, prefill) = (steps("decode", &DECODE_INPUTS), steps("prefill", &PREFILL_INPUTS));
        if decode.is_empty() {
            bail!("program {:?} has no entry decode.N: make one with `lockstep compile`", program.name);
        }
        Ok(Self { decode, prefill, clock_hertz: program.machine.clock_hertz })
    }

    /// The longest sequence.
    pub fn context(&self) -> usize {
        self.decode.last().map_or(0, |step| step.context)
    }

    /// Most tokens that one step takes.
    pub fn tokens_max(&self) -> usize {
        self.prefill.iter().map(|step| step.tokens).max().unwrap_or(1)
    }

    /// The step for the next of `tokens` tokens of a sequence that has `length`, and how many of them it takes: many at
    /// once where that is cheaper than one by one, else one in the smallest context that holds it.
    pub fn next(&self, length: usize, tokens: usize) -> Option<(&Step, usize)> {
        let saving = |step: &Step| {
            let taken = step.tokens.min(tokens).min(step.context.saturating_sub(length));
            let alone: Option<u64> = (length..length + taken).map(|at| Some(self.single(at)?.cycles)).sum();
            alone?.checked_sub(step.cycles).filter(|saved| *saved > 0).map(|saved| (saved, taken))
        };
        let savings = self.prefill.iter().filter_map(|step| Some((saving(step)?, step)));
        match savings.max_by_key(|((saved, _), _)| *saved) {
            Some(((_, taken), step)) => Some((step, taken)),
            None => Some((self.single(length)?, 1)),
        }
    }

    /// The step of one token at a position.
    fn single(&self, position: usize) -> Option<&Step> {
        self.decode.iter().find(|step| position < step.context)
    }

    /// Cycles of a prompt and of the answer's tokens; none where they are too many. The last token of an answer
    /// is not computed with.
    pub fn of_answer(&self, prompt: usize, answer: usize) -> Option<u64> {
        let (mut length, mut cycles) = (0, 0);
        let end = prompt + answer.saturating_sub(1);
        while length < end {
            let together = if length < prompt { prompt - length } else { 1 };
            let (step, taken) = self.next(length, together)?;
            (length, cycles) = (length + taken, cycles + step.cycles);
        }
        Some(cycles)
    }

    /// Cycles in seconds of the chip's clock.
    pub fn seconds(&self, cycles: u64) -> f64 {
        cycles as f64 / self.clock_hertz as f64
    }
}

/// How many tokens an entry takes at most.
pub fn tokens_of(program: &Program<'_>, entry: &str) -> usize {
    let tokens = program.bindings.iter().find(|binding| binding.name == "tokens");
    match tokens.filter(|_| entry.starts_with("prefill.")) {
        // A vector for each.
        Some(binding) => binding.elements as usize / program.machine.lanes() as usize,
        // `decode.320x3` is a token of each of 3 sequences.
        None => entry.rsplit_once('x').and_then(|(_, count)| count.parse().ok()).unwrap_or(1),
    }
}

fn host_link_seconds(program: &Program<'_>, inputs: &[&str]) -> f64 {
    let host = &program.machine.host;
    let way = |kind: BindingKind| {
        let is_moved = |binding: &&Binding| {
            binding.kind == kind && (kind == BindingKind::Output || inputs.contains(&binding.name.as_str()))
        };
        let bytes = |binding: &Binding| f64::from(binding.elements) * f64::from(binding.format.streams());
        let bytes: f64 = program.bindings.iter().filter(is_moved).map(bytes).sum();
        host.latency_nanoseconds as f64 * 1e-9 + bytes / host.bytes_per_second as f64
    };
    way(BindingKind::Input) + way(BindingKind::Output)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn table(steps: &[(usize, usize, u64)]) -> Timetable {
        let step = |&(context, tokens, cycles): &(usize, usize, u64)| Step {
            entry: format!("{context}x{tokens}"),
            tokens,
            context,
            cycles,
            host_link_seconds: 0.0,
        };
        let (decode, prefill) = steps.iter().map(step).partition(|step| step.tokens == 1);
        Timetable { decode, prefill, clock_hertz: 1000 }
    }

    fn next(table: &Timetable, length: usize, tokens: usize) -> Option<(&str, usize)> {
        table.next(length, tokens).map(|(step, taken)| (step.entry.as_str(), taken))
    }

    #[test]
    fn the_smallest_context_that_holds_a_token_is_taken() {
        let table = table(&[(4, 1, 10), (8, 1, 20)]);
        assert_eq!(
            [0, 3, 4, 7, 8].map(|length| next(&table, length, 3)),
            [Some(("4x1", 1)), Some(("4x1", 1)), Some(("8x1", 1)), Some(("8x1", 1)), None]
        );
        assert_eq!(table.tokens_max(), 1);
        assert_eq!(table.of_answer(3, 3), Some(4 * 10 + 20));
        assert_eq!(table.of_answer(8, 2), None);
        assert!((table.seconds(500) - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn many_tokens_go_together_where_that_is_cheaper() {
        let table = table(&[(8, 1, 10), (16, 1, 20), (8, 4, 25)]);
        assert_eq!(table.tokens_max(), 4);
        assert_eq!(next(&table, 0, 9), Some(("8x4", 4)));
        assert_eq!(next(&table, 0, 3), Some(("8x4", 3)), "25 cycles are fewer than 30");
        assert_eq!(next(&table, 0, 2), Some(("8x1", 1)), "25 cycles are more than 20");
        assert_eq!(next(&table, 5, 9), Some(("8x4", 3)), "only positions below 8");
        assert_eq!(next(&table, 6, 9), Some(("8x1", 1)));
        assert_eq!(next(&table, 8, 9), Some(("16x1", 1)));
        // Whole and short batches, then one by one; the last token of the answer is not computed with.
        assert_eq!(table.of_answer(7, 2), Some(25 + 25 + 10));
        assert_eq!(table.of_answer(9, 2), Some(25 + 25 + 20 + 20));
    }

    #[test]
    fn equal_costs_go_one_by_one() {
        let table = table(&[(8, 1, 10), (8, 4, 20)]);
        assert_eq!(next(&table, 0, 2), Some(("8x1", 1)));
        assert_eq!(next(&table, 0, 3), Some(("8x4", 3)));
    }
}
