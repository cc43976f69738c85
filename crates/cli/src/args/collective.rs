//! Flags of `lockstep collective`.

use clap::{Args, ValueEnum};
use lockstep_compiler::Collective;
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  lockstep collective all-reduce --system lockstep1:8        one vector of i32 from each chip, summed up on all
  lockstep collective all-reduce --system lockstep1:256      over 32 nodes in three hops
  lockstep collective all-gather --system lockstep1:16 --vectors 4
  lockstep collective broadcast --system lockstep1:ring8 --from 3
  lockstep collective transfer --system lockstep1:72 --from 0 --to 4 --vectors 100
  lockstep collective all-reduce --system my.toml -o sum.lks --json";

/// What chips do together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CollectiveKind {
    /// All get the sums of what each has, vectors of i32
    AllReduce,
    /// All get what each has, vectors of bytes
    AllGather,
    /// All others get what one has, vectors of bytes
    Broadcast,
    /// One gets what another has, vectors of bytes
    Transfer,
}

/// What to do, and on which chips.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CollectiveArguments {
    /// What the chips do
    #[arg(value_name = "KIND", value_enum)]
    pub kind: CollectiveKind,
    /// The system: chips of a preset, such as lockstep1:8 or lockstep1:256, or of a description's file
    #[arg(long, value_name = "SYSTEM")]
    pub system: String,
    /// Vectors that each chip has that has any; a vector has as many numbers as the machine has lanes
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub vectors: u32,
    /// The chip that has vectors, of a broadcast or a transfer
    #[arg(long, value_name = "CHIP", default_value_t = 0)]
    pub from: u32,
    /// The chip that gets them, of a transfer [default: the last one]
    #[arg(long, value_name = "CHIP")]
    pub to: Option<u32>,
    /// Decides the numbers that are sent
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32))]
    pub seed: u32,
    /// Write the program, to simulate, verify or explain
    #[arg(short, long, value_name = "PROGRAM")]
    pub output: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

impl CollectiveArguments {
    /// What is to be compiled, for so many chips.
    pub fn collective(&self, chips: u32) -> Collective {
        let from = self.from;
        match self.kind {
            CollectiveKind::AllReduce => Collective::AllReduce,
            CollectiveKind::AllGather => Collective::AllGather,
            CollectiveKind::Broadcast => Collective::Broadcast { from },
            CollectiveKind::Transfer => Collective::Transfer { from, to: self.to.unwrap_or(chips.saturating_sub(1)) },
        }
    }
}
