//! Flags of the commands about machines and programs.

use super::{ConditionArguments, Spread};
use clap::{Args, Subcommand, ValueEnum};
use lockstep_arith::matrix::Format;
use lockstep_machine::outage::Outage;
use std::path::PathBuf;

const COMPILE_EXAMPLES: &str = "\
Examples:
  lockstep compile --system lockstep1:1 --context 256 -o smollm2.lks
  lockstep compile --system lockstep1:8 --split tensor -o node.lks
  lockstep compile -m ./model.gguf --system my.toml -o model.lks --json | jq .phases
  lockstep compile --config config.json --system lockstep1:576 --context 2048 --json
  lockstep run --on lockstep1:1 \"Hello\"        compiles once, and answers with the program";

/// What to compile, and for which machine.
#[derive(Debug, Args)]
#[command(after_help = COMPILE_EXAMPLES)]
pub struct CompileArguments {
    /// A pulled name, a file, a folder or a Hugging Face repository (org/name or org/name:QUANT)
    #[arg(short, long, default_value = "smollm2")]
    pub model: String,
    /// A config.json as Hugging Face has it, in place of a model: compiled from shapes alone, to be timed and not run
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    pub config: Option<PathBuf>,
    /// The format of the matrices of `--config`
    #[arg(long, value_enum, requires = "config", default_value_t = WeightChoice::Lb4)]
    pub weights: WeightChoice,
    /// The system: chips of a preset, such as lockstep1:1 or lockstep1:8, or of a description's file
    #[arg(long, value_name = "SYSTEM", default_value = "lockstep1:1")]
    pub system: String,
    #[command(flatten)]
    pub spread: Spread,
    /// Compile for the system without these: chips (3) and links of chips (0.4), parted by commas
    #[arg(long, value_name = "LIST")]
    pub without: Option<Outage>,
    /// Longest sequence in tokens; an entry is made for each of 320, 640, 1280 and so on up to the first that holds it,
    /// and with --config one alone
    #[arg(long, value_name = "TOKENS", default_value_t = 256, value_parser = clap::value_parser!(u32).range(2..))]
    pub context: u32,
    /// Sequences in flight at once in a pipeline; each has keys and values of its own, and an entry runs a token of each
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub sequences: u32,
    /// The program to write; without it, only its times are printed
    #[arg(short, long, value_name = "PROGRAM")]
    pub output: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Formats of matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WeightChoice {
    /// 4 bits, and a 16-bit scale for 32 weights: 4.5 bits a weight
    Lb4,
    /// 8 bits, and a 16-bit scale for 32 weights: 8.5 bits a weight
    Lb8,
}

impl From<WeightChoice> for Format {
    fn from(choice: WeightChoice) -> Self {
        match choice {
            WeightChoice::Lb4 => Self::LB4,
            WeightChoice::Lb8 => Self::Lb8,
        }
    }
}

const ASM_EXAMPLES: &str = "\
Examples:
  lockstep asm filetests/vector-add.lka -o add.lks
  lockstep asm filetests/vector-add.lka -o add.lks --system my.toml    for another machine
  lockstep asm broken.lka -o out.lks --json    all errors as JSON, with line, column and hint";

/// What to assemble.
#[derive(Debug, Args)]
#[command(after_help = ASM_EXAMPLES)]
pub struct AsmArguments {
    /// The text; `-` reads standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The program to write
    #[arg(short, long, value_name = "PROGRAM")]
    pub output: PathBuf,
    /// Assemble for this machine, whichever the text names: a preset or a description's file
    #[arg(long, value_name = "SYSTEM")]
    pub system: Option<String>,
    /// Print one JSON object: what was made, or all errors
    #[arg(long)]
    pub json: bool,
}

const DISASM_EXAMPLES: &str = "\
Examples:
  lockstep disasm add.lks > add.lka            with all that was derived: flow, imports, cycles";

/// What to print as text.
#[derive(Debug, Args)]
#[command(after_help = DISASM_EXAMPLES)]
pub struct DisasmArguments {
    /// The program
    #[arg(value_name = "PROGRAM")]
    pub program: PathBuf,
}

const VERIFY_EXAMPLES: &str = "\
Examples:
  lockstep verify add.lks                      exit 0 and one line, or exit 1 and all violations
  lockstep verify add.lks --json | jq .violations";

/// What to verify.
#[derive(Debug, Args)]
#[command(after_help = VERIFY_EXAMPLES)]
pub struct VerifyArguments {
    /// The program, or an assembler text
    #[arg(value_name = "PROGRAM")]
    pub program: PathBuf,
    /// The machine it must be made for, such as lockstep1, or a description's file
    #[arg(long, value_name = "SYSTEM")]
    pub system: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

const EXPLAIN_EXAMPLES: &str = "\
Examples:
  lockstep explain model.lks                   phases, bounds and the critical chain of each entry
  lockstep explain model.lks --html model.html every issue on its unit, to look at in a browser
  lockstep explain model.lks --json | jq '.entries[0].phases[] | {name, cycles, bound, bound_cycles}'";

/// What to explain.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_EXAMPLES)]
pub struct ExplainArguments {
    /// The program, or an assembler text
    #[arg(value_name = "PROGRAM")]
    pub program: PathBuf,
    /// The machine it must be made for, such as lockstep1, or a description's file
    #[arg(long, value_name = "SYSTEM")]
    pub system: Option<String>,
    /// Only this entry [default: all]
    #[arg(long, value_name = "NAME")]
    pub entry: Option<String>,
    /// Write the schedule viewer: one page, without need of a network
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write a Perfetto trace of the entry, by default of the first
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

const SIMULATE_EXAMPLES: &str = "\
Examples:
  lockstep simulate add.lks --input 'a=ramp start=0 step=1'
  lockstep simulate add.lks --input a=@a.f32 --output sum=sum.f32 --trace add.perfetto-trace
  lockstep simulate add.lks --timing-only --json
  lockstep simulate node.lks --timing-only --expand --threads 2
  lockstep simulate node.lks --input 'x=fill 1' --drift-ppm 100 --link-jitter --link-error-rate 0.01 --seed 7

Numbers of an input: `1 2.5 -3`, `fill 0`, `ramp start=0 step=1`, `random seed=7 min=-1 max=1`,
several parted by `;`, or `@FILE` with the numbers' bytes, little-endian.
Open a trace at https://ui.perfetto.dev; a nanosecond is a cycle.";

/// What to simulate, and how.
#[derive(Debug, Args)]
#[command(after_help = SIMULATE_EXAMPLES)]
pub struct SimulateArguments {
    /// The program, or an assembler text
    #[arg(value_name = "PROGRAM")]
    pub program: PathBuf,
    /// The machine it must be made for, such as lockstep1, or a description's file
    #[arg(long, value_name = "SYSTEM")]
    pub system: Option<String>,
    /// Which entry to run [default: the first]
    #[arg(long, value_name = "NAME")]
    pub entry: Option<String>,
    /// An input's numbers; once for each input
    #[arg(long, value_name = "NAME=NUMBERS")]
    pub input: Vec<String>,
    /// Write an output's numbers to a file, little-endian
    #[arg(long, value_name = "NAME=FILE", conflicts_with = "timing_only")]
    pub output: Vec<String>,
    /// Link the program and count its cycles, without values: each block once, and all of its instances are checked
    #[arg(long)]
    pub timing_only: bool,
    /// Then link each instance of a block in the entry anew, as if its instructions stood there for it alone
    #[arg(long, requires = "timing_only")]
    pub expand: bool,
    /// Threads to run chips on; no number of them changes a bit
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub threads: u16,
    /// Do it so many times, with the same inputs, and report the median speed; outputs are those of the first
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,
    /// Write a Perfetto trace
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Flip so many bits of memory before the run, to see them corrected or detected
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000), conflicts_with = "timing_only")]
    pub flip_bits: u32,
    /// Chips (3) and links of chips (0.4) that are out of order, parted by commas. With --system, others stand in for
    /// dead chips where they are wired alike
    #[arg(long, value_name = "LIST")]
    pub dead: Option<Outage>,
    #[command(flatten)]
    pub conditions: ConditionArguments,
    /// Decides which bits flip, and what is drawn for the conditions
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

const MACHINE_EXAMPLES: &str = "\
Examples:
  lockstep machine show lockstep1:8            a node: its wiring, what follows, every value and its source
  lockstep machine show lockstep1:10440 --json
  lockstep machine show lockstep1:ring8        eight chips in a ring
  lockstep machine show lockstep1:8 --cables   which link of which chip leads where
  lockstep machine show lockstep1 --toml > my.toml
  lockstep machine check my.toml               all mistakes, by key";

/// What to do with machine descriptions.
#[derive(Debug, Subcommand)]
#[command(after_help = MACHINE_EXAMPLES)]
pub enum MachineCommand {
    /// Print a system: its wiring, its values with their sources, and the figures that follow
    #[command(after_help = MACHINE_EXAMPLES)]
    Show {
        /// A preset and a number of chips, such as lockstep1:8 or lockstep1:ring8, or a description's file, also with
        /// a number
        #[arg(value_name = "SYSTEM", default_value = "lockstep1")]
        system: String,
        /// Print the description as TOML, to start one of your own from
        #[arg(long, conflicts_with_all = ["json", "cables"])]
        toml: bool,
        /// Print each cable, as the table `[topology]` of a description of your own
        #[arg(long, conflicts_with = "json")]
        cables: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Check a description; exit 1 with all mistakes
    #[command(after_help = MACHINE_EXAMPLES)]
    Check {
        /// The description's file, or a preset
        #[arg(value_name = "FILE")]
        system: String,
    },
    /// List the presets
    List,
}

const LAYER_EXAMPLES: &str = "\
Examples:
  lockstep layer -o layer.lks
  lockstep simulate layer.lks --input 'x=random seed=1 min=-1 max=1' \\
      --input 'position=fill 0' --input 'length=fill 1'";

/// Which layer, and for which machine.
#[derive(Debug, Args)]
#[command(after_help = LAYER_EXAMPLES)]
pub struct LayerArguments {
    /// A pulled name, a file, a folder or a Hugging Face repository: a small llama model
    #[arg(short, long, default_value = "smollm2")]
    pub model: String,
    /// The machine: a preset or a description's file
    #[arg(long, value_name = "SYSTEM", default_value = "lockstep1")]
    pub system: String,
    /// The program to write
    #[arg(short, long, value_name = "PROGRAM")]
    pub output: PathBuf,
}
