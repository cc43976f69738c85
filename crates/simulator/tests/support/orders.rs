//! The text programs of `filetests/`, and what their lines beginning with `#:` ask for.

use std::path::{Path, PathBuf};

use lockstep_program::program::{Binding, Word};
use lockstep_program::text::parse_numbers;
use lockstep_program::{Program, text};
use lockstep_simulator::{Conditions, Drift, Simulator};

/// All files, by name.
pub(crate) fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../filetests");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "lka"));
    files.sort();
    assert!(!files.is_empty(), "no file in {}", folder.display());
    files
}

/// What a file asks for.
#[derive(Default)]
pub(crate) struct Orders {
    pub(crate) set: Vec<(String, String)>,
    pub(crate) expect: Vec<(String, String)>,
    run: Vec<String>,
    flip: Vec<(Word, u8, Vec<u8>)>,
    under: Conditions,
    /// How often a run that lost a vector is made again, at most.
    pub(crate) replays: u32,
}

impl Orders {
    pub(crate) fn read(source: &str) -> Self {
        let mut orders = Self::default();
        for line in source.lines().filter_map(|line| line.strip_prefix("#:")) {
            let (verb, rest) = line.trim().split_once(' ').unwrap();
            let pair = || rest.split_once(" = ").map(|(name, numbers)| (name.to_owned(), numbers.to_owned())).unwrap();
            match verb {
                "set" => orders.set.push(pair()),
                "expect" => orders.expect.push(pair()),
                "run" => orders.run.push(rest.to_owned()),
                "flip" => orders.flip.push(flip(rest)),
                "under" => rest.split_ascii_whitespace().for_each(|word| orders.condition(word)),
                _ => panic!("no order is called {verb:?}"),
            }
        }
        orders
    }

    /// `drift=PPM`, `extremes=PPM`, `jitter`, `errors=N`, `losses=N`, `seed=N`, `replays=N`, `dead=CHIP,CHIP.LINK`.
    fn condition(&mut self, word: &str) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let number = || value.parse::<u32>().unwrap_or_else(|error| panic!("{word}: {error}"));
        match name {
            "drift" => self.under.drift = Drift::Drawn(number()),
            "extremes" => self.under.drift = Drift::Extremes(number()),
            "jitter" => self.under.link_jitter = true,
            "errors" => self.under.link_errors = number(),
            "losses" => self.under.link_losses = number(),
            "seed" => self.under.seed = number().into(),
            "replays" => self.replays = number(),
            "dead" => self.under.outage = value.parse().unwrap(),
            _ => panic!("no condition is called {name:?}"),
        }
    }

    /// Sets conditions, writes the inputs that are set, and flips bits.
    pub(crate) fn prepare(&self, program: &Program<'_>, simulator: &mut Simulator<'_>) {
        simulator.set_conditions(self.under.clone());
        for order in &self.set {
            simulator.write(&order.0, &numbers(program, order)).unwrap();
        }
        for (word, superlane, bits) in &self.flip {
            for bit in bits {
                simulator.flip(*word, *superlane, *bit);
            }
        }
    }

    /// The entries to run: all of them, each once, unless the file says otherwise.
    pub(crate) fn entries(&self, program: &Program<'_>) -> Vec<String> {
        let all = || program.entries.iter().map(|entry| entry.name.clone()).collect();
        if self.run.is_empty() { all() } else { self.run.clone() }
    }
}

/// The binding of this name.
pub(crate) fn binding<'a>(program: &'a Program<'_>, name: &str) -> &'a Binding {
    program.bindings.iter().find(|binding| binding.name == name).unwrap_or_else(|| panic!("no {name}"))
}

/// The bytes of a binding's numbers.
pub(crate) fn numbers(program: &Program<'_>, (name, numbers): &(String, String)) -> Vec<u8> {
    let binding = binding(program, name);
    parse_numbers(numbers, binding.format, binding.elements).unwrap()
}

/// `CHIP:SLICE.BANK.WORD superlane N bits N N`.
fn flip(rest: &str) -> (Word, u8, Vec<u8>) {
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let program = format!("lockstep 1\nmachine lockstep1\ninput \"x\" u8 320 at {}\n", words[0]);
    let word = text::parse(&program).unwrap().program.bindings[0].words[0];
    (word, words[2].parse().unwrap(), words[4..].iter().map(|bit| bit.parse().unwrap()).collect())
}
