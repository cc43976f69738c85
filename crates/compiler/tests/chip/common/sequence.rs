//! Tokens of one sequence on a simulated chip, by the entries of a compiled model.

use std::time::Instant;

use lockstep_kernels::Kernels;
use lockstep_simulator::{Linked, Simulator};

/// A chip with what it has read of a sequence. Every step takes the predicted cycles.
pub struct Sequence<'p> {
    simulator: Simulator<'p>,
    lanes: usize,
    /// Inputs of a token, and how often each takes the same number: all lanes on every chip that reads it.
    inputs: [(&'static str, usize); 3],
}

impl<'p> Sequence<'p> {
    pub fn new(linked: &'p Linked<'p>) -> Self {
        let mut simulator = Simulator::new(linked, Kernels::detect(), 1).unwrap();
        let lanes = linked.program().machine.lanes() as usize;
        let numbers = |name| linked.program().bindings.iter().find(|b| b.name == name).unwrap().elements as usize;
        let inputs = ["token", "position", "length"].map(|name| (name, numbers(name)));
        for (name, numbers) in inputs {
            simulator.write_i32(name, &vec![0; numbers]).unwrap();
        }
        Self { simulator, lanes, inputs }
    }

    /// The bits of the logits behind a token.
    pub fn decode(&mut self, entry: &str, token: u32, position: usize) -> Vec<u32> {
        for ((name, numbers), value) in self.inputs.iter().zip([token as i32, position as i32, position as i32 + 1]) {
            self.simulator.write_i32(name, &vec![value; *numbers]).unwrap();
        }
        self.run(entry)
    }

    /// The bits of the logits behind the last of `chunk` tokens after the first `done`, by a step of `batch` tokens.
    pub fn prefill(&mut self, entry: &str, batch: usize, tokens: &[u32], done: usize, chunk: usize) -> Vec<u32> {
        let rows: Vec<usize> = (0..batch).map(|row| (done + row).min(done + chunk - 1)).collect();
        let broadcast = |of: &dyn Fn(usize) -> i32| -> Vec<i32> {
            rows.iter().flat_map(|row| vec![of(*row); self.lanes]).collect()
        };
        self.simulator.write_i32("tokens", &broadcast(&|row| tokens[row] as i32)).unwrap();
        self.simulator.write_i32("positions", &broadcast(&|row| row as i32)).unwrap();
        self.run(entry)
    }

    fn run(&mut self, entry: &str) -> Vec<u32> {
        let start = Instant::now();
        let report = self.simulator.run(entry).unwrap_or_else(|error| panic!("{error}"));
        println!("{entry} in {:?}, {} cycles", start.elapsed(), report.cycles);
        assert_eq!(report.cycles, report.cycles_predicted);
        bits(&self.simulator.read_f32("logits").unwrap())
    }
}

pub fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}
