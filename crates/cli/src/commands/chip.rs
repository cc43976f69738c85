//! What `lockstep run` says about chips: the runs of a simulated one, and the time that one would take for an answer.

use crate::args::{On, RunArguments, Spread};
use crate::compiled::{CONTEXT, Recipe};
use crate::program::count;
use crate::session::Session;
use crate::simulated::{Run, SimulatedBackend};
use crate::system;
use crate::timetable::Timetable;
use lockstep_engine::Usage;
use serde_json::{Map, Value, json};

/// The system whose time the host's answers are told in.
const SYSTEM: &str = "lockstep1:1";

/// The time that a compiled system takes for an answer of the host's.
pub struct SameAnswer {
    cycles: u64,
    tokens: usize,
    seconds: f64,
    clock_hertz: u64,
}

/// The exact time of an answer of the host's on the compiled system; none where that takes more than a moment to tell.
pub fn same_answer(session: &Session, usage: &Usage) -> Option<SameAnswer> {
    let (prompt, answer) = (usage.prompt_tokens, usage.completion_tokens);
    if session.engine.backend().simulated().is_some() || prompt + answer == 0 {
        return None;
    }
    let longest = CONTEXT.max(prompt + answer - 1);
    let recipe = Recipe::new(&session.outline, system::open(SYSTEM).ok()?, longest, Spread::default());
    let timetable = Timetable::of(&recipe.kept_soon()?).ok()?;
    let cycles = timetable.of_answer(prompt, answer)?;
    let seconds = timetable.seconds(cycles);
    let tokens = prompt + answer.saturating_sub(1);
    Some(SameAnswer { cycles, tokens, seconds, clock_hertz: timetable.clock_hertz })
}

impl SameAnswer {
    /// One line for people.
    pub fn line(&self) -> String {
        let (cycles, tokens) = (self.cycles, self.tokens);
        let (milliseconds, megahertz) = (self.seconds * 1e3, self.clock_hertz / 1_000_000);
        format!(
            "the same answer on {SYSTEM}, compiled: exactly {cycles} cycles for {tokens} tokens, \
             {milliseconds:.3} ms at {megahertz} MHz without the host link"
        )
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        json!({ "system": SYSTEM, "cycles": self.cycles, "seconds": self.seconds })
    }
}

/// Sums over runs of a chip.
struct Sums {
    tokens: usize,
    /// Those of runs that were made again among them.
    cycles: u64,
    seconds: f64,
    replays: u32,
    /// Vectors corrected on links.
    vectors: u64,
    /// Words corrected in memory.
    words: u64,
    host_link_seconds: f64,
    simulation_seconds: f64,
}

impl Sums {
    fn of(chip: &SimulatedBackend, runs: &[Run]) -> Self {
        let cycles = runs.iter().map(|run| run.cycles * (1 + u64::from(run.replays))).sum();
        Self {
            tokens: runs.iter().map(|run| run.tokens).sum(),
            cycles,
            seconds: chip.timetable().seconds(cycles),
            replays: runs.iter().map(|run| run.replays).sum(),
            vectors: runs.iter().map(|run| run.link_corrected).sum(),
            words: runs.iter().map(|run| run.corrected).sum(),
            host_link_seconds: runs.iter().map(|run| run.host_link_seconds).sum(),
            simulation_seconds: runs.iter().map(|run| run.simulation_seconds).sum(),
        }
    }

    /// What was set right, if anything was.
    fn set_right(&self) -> String {
        let some = [
            ("run made again", self.replays.into()),
            ("vector corrected on links", self.vectors),
            ("word corrected in memory", self.words),
        ];
        let said = |(what, number): (&str, u64)| {
            let (noun, rest) = what.split_once(' ').unwrap_or((what, ""));
            format!(", {} {rest}", count(number as usize, noun))
        };
        some.into_iter().filter(|(_, number)| *number > 0).map(said).collect()
    }

    /// Tokens a second: of the chip, with the host link, of the simulation.
    fn rates(&self) -> [f64; 3] {
        let seconds = [self.seconds, self.seconds + self.host_link_seconds, self.simulation_seconds];
        seconds.map(|seconds| self.tokens as f64 / seconds)
    }
}

/// Lines about the runs of a simulated chip after the first `skip`: one for each row of runs that took the same cycles.
pub fn lines(session: &Session, arguments: &RunArguments, skip: usize) -> Vec<String> {
    let (On::System(system), Some(chip)) = (&arguments.on.on, session.engine.backend().simulated()) else {
        return Vec::new();
    };
    let same = |a: &Run, b: &Run| (&a.entry, a.cycles, a.cycles_predicted) == (&b.entry, b.cycles, b.cycles_predicted);
    let line = |runs: &[Run]| {
        let Some(Run { entry, cycles, cycles_predicted, .. }) = runs.first() else { return String::new() };
        let (sums, megahertz) = (Sums::of(chip, runs), chip.timetable().clock_hertz / 1_000_000);
        let [alone, with_link, simulated] = sums.rates();
        let predicted =
            if cycles == cycles_predicted { "as predicted".into() } else { format!("predicted {cycles_predicted}") };
        format!(
            "{system}: {} by {} of {entry}, each {cycles} cycles ({predicted}), {:.1} us at {megahertz} MHz: {alone:.0} tokens/s, \
             {with_link:.0} with the host link (estimated); simulated at {simulated:.1} tokens/s{}",
            count(sums.tokens, "token"),
            count(runs.len(), "step"),
            chip.timetable().seconds(*cycles) * 1e6,
            sums.set_right(),
        )
    };
    let runs = chip.runs().get(skip..).unwrap_or_default();
    runs.chunk_by(same).map(line).collect()
}

/// The same for programs: each run, and their sums. Empty where no chip is simulated.
pub fn json(session: &Session, arguments: &RunArguments) -> Map<String, Value> {
    let (On::System(system), Some(chip)) = (&arguments.on.on, session.engine.backend().simulated()) else {
        return Map::new();
    };
    let step = |run: &Run| {
        json!({
            "entry": run.entry,
            "tokens": run.tokens,
            "cycles_predicted": run.cycles_predicted,
            "cycles": run.cycles,
            "seconds": chip.timetable().seconds(run.cycles),
            "elapsed_min": in_cycles(run.elapsed.least),
            "elapsed_max": in_cycles(run.elapsed.most),
            "replays": run.replays,
            "corrected_vectors": run.link_corrected,
            "corrected_words": run.corrected,
            "simulation_seconds": run.simulation_seconds,
        })
    };
    let sums = Sums::of(chip, chip.runs());
    let [alone, with_link, simulated] = sums.rates();
    let summary = json!({
        "system": system,
        "clock_hertz": chip.timetable().clock_hertz,
        "cycles": sums.cycles,
        "seconds": sums.seconds,
        "replays": sums.replays,
        "corrected_vectors": sums.vectors,
        "corrected_words": sums.words,
        "host_link_seconds": sums.host_link_seconds,
        "tokens_per_second": alone,
        "tokens_per_second_with_host_link": with_link,
        "simulated_tokens_per_second": simulated,
    });
    let steps = chip.runs().iter().map(step).collect();
    Map::from_iter([("steps".to_owned(), Value::Array(steps)), ("chip".to_owned(), summary)])
}

/// Reference time in cycles.
pub fn in_cycles(millionths: u128) -> f64 {
    millionths as f64 / 1e6
}
