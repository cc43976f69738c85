//! Which entry of a compiled program computes which tokens, and how long that takes.

use anyhow::{Result, bail};
use lockstep_program::Program;
use lockstep_program::program::BindingKind;

/// An entry that takes tokens of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The entry's name.
    pub entry: String,
    /// How many tokens it takes.
    pub tokens: usize,
    /// The positions that it covers: those of its tokens and all before them.
    pub context: usize,
    /// What the program predicts.
    pub cycles: u64,
}

/// The steps of a compiled model.
#[derive(Clone, Debug, PartialEq)]
pub struct Timetable {
    /// By their context, then by their tokens.
    steps: Vec<Step>,
    /// The chip's clock.
    pub clock_hertz: u64,
    /// Writing the inputs of a step and reading its outputs: an estimate from the machine's description.
    pub host_link_seconds: f64,
}

impl Timetable {
    /// The steps of a program; an error where it has none.
    pub fn of(program: &Program<'_>) -> Result<Self> {
        let step = |entry: &lockstep_program::program::Entry| {
            let context = entry.name.strip_prefix("decode.")?.parse().ok()?;
            Some(Step { entry: entry.name.clone(), tokens: 1, context, cycles: entry.cycles })
        };
        let mut steps: Vec<Step> = program.entries.iter().filter_map(step).collect();
        if steps.is_empty() {
            bail!("program {:?} has no entry decode.N: make one with `lockstep compile`", program.name);
        }
        steps.sort_by_key(|step| (step.context, step.tokens));
        Ok(Self { steps, clock_hertz: program.machine.clock_hertz, host_link_seconds: host_link_seconds(program) })
    }

    /// The longest sequence.
    pub fn context(&self) -> usize {
        self.steps.last().map_or(0, |step| step.context)
    }

    /// Most tokens that one step takes.
    pub fn tokens_max(&self) -> usize {
        self.steps.iter().map(|step| step.tokens).max().unwrap_or(1)
    }

    /// The step for the next of `tokens` tokens of a sequence that has `length`: it takes as many as a step can, in the
    /// smallest context that holds them.
    pub fn next(&self, length: usize, tokens: usize) -> Option<&Step> {
        let fits = |step: &&Step| step.tokens <= tokens && length + step.tokens <= step.context;
        let most = self.steps.iter().filter(fits).map(|step| step.tokens).max()?;
        self.steps.iter().filter(fits).find(|step| step.tokens == most)
    }

    /// Cycles of a prompt and of the answer's tokens; none where they are too many. The last token of an answer
    /// is not computed with.
    pub fn of_answer(&self, prompt: usize, answer: usize) -> Option<u64> {
        let (mut length, mut cycles) = (0, 0);
        let end = prompt + answer.saturating_sub(1);
        while length < end {
            let together = if length < prompt { prompt - length } else { 1 };
            let step = self.next(length, together)?;
            (length, cycles) = (length + step.tokens, cycles + step.cycles);
        }
        Some(cycles)
    }

    /// Cycles in seconds of the chip's clock.
    pub fn seconds(&self, cycles: u64) -> f64 {
        cycles as f64 / self.clock_hertz as f64
    }
}

fn host_link_seconds(program: &Program<'_>) -> f64 {
    let host = &program.machine.host;
    let way = |kind: BindingKind| {
        let bytes = |binding: &lockstep_program::program::Binding| {
            f64::from(binding.elements) * f64::from(binding.format.streams())
        };
        let bytes: f64 = program.bindings.iter().filter(|binding| binding.kind == kind).map(bytes).sum();
        host.latency_nanoseconds as f64 * 1e-9 + bytes / host.bytes_per_second as f64
    };
    way(BindingKind::Input) + way(BindingKind::Output)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn table(steps: &[(usize, usize, u64)]) -> Timetable {
        let step = |&(context, tokens, cycles)| Step { entry: format!("{context}x{tokens}"), tokens, context, cycles };
        Timetable { steps: steps.iter().map(step).collect(), clock_hertz: 1000, host_link_seconds: 0.0 }
    }

    #[test]
    fn the_smallest_context_that_holds_the_tokens_is_taken() {
        let table = table(&[(4, 1, 10), (8, 1, 20)]);
        let entry = |length| table.next(length, 3).map(|step| step.entry.as_str());
        assert_eq!(
            [entry(0), entry(3), entry(4), entry(7), entry(8)],
            [Some("4x1"), Some("4x1"), Some("8x1"), Some("8x1"), None]
        );
        assert_eq!(table.of_answer(3, 3), Some(4 * 10 + 20));
        assert_eq!(table.of_answer(8, 2), None);
        assert!((table.seconds(500) - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn prompts_go_in_the_largest_pieces_and_answers_one_by_one() {
        let table = table(&[(4, 1, 10), (4, 2, 12), (8, 1, 20), (8, 2, 22)]);
        assert_eq!(table.tokens_max(), 2);
        assert_eq!(table.next(3, 2).unwrap().entry, "8x2");
        // Two pieces and one token of the prompt, then the answer's first.
        assert_eq!(table.of_answer(5, 2), Some(12 + 12 + 20 + 20));
    }
}
