//! Flags: each is described once here, for parsing, `--help` and completions alike.

mod collective;
mod conditions;
mod keys;
mod programs;
mod serve;

pub use collective::CollectiveArguments;
pub use conditions::{ConditionArguments, OnArguments};
pub use keys::KeysCommand;
pub use programs::{
    AsmArguments, CompileArguments, DisasmArguments, ExplainArguments, LayerArguments, MachineCommand,
    SimulateArguments, VerifyArguments,
};
pub use serve::{LogForm, MetricsNames, ServeArguments};

use clap::{Args, Parser, Subcommand, ValueEnum};
use lockstep_compiler::{Objective, Split};
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs open-weights language models with answers that are the same bits every time.
#[derive(Debug, Parser)]
#[command(name = "lockstep", version, after_help = EXAMPLES, max_term_width = 100)]
pub struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

const EXAMPLES: &str = "\
Examples:
  lockstep run \"Why is the sky blue?\"          answer one prompt with the default model
  lockstep run                                 chat at the terminal
  cat notes.txt | lockstep run -m ./model.gguf summarise a file with a model of your own
  lockstep serve --addr 127.0.0.1:8080         answer over HTTP, as OpenAI's API does
  lockstep pull org/repository:Q8_0            get a model from Hugging Face
  lockstep bench --threads 2                   measure this machine
  lockstep run --on lockstep1:1 \"Hello\"        the same answer by a simulated chip
  lockstep compile --system lockstep1:1 -o model.lks
  lockstep machine show lockstep1:8            eight simulated chips
  lockstep simulate filetests/vector-add.lka --input 'a=fill 1'

Environment:
  LOCKSTEP_HOME    folder of pulled models      (default: the data folder of the platform)
  LOCKSTEP_CACHE   packed weights and programs  (default: the cache folder of the platform)
  HF_ENDPOINT      another Hugging Face server  (default: https://huggingface.co)
  HF_TOKEN         access to gated repositories";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Answer a prompt, or chat at a terminal
    Run(RunArguments),
    /// Serve a model over an API that clients of OpenAI's understand
    Serve(Box<ServeArguments>),
    /// Make and revoke the keys that a server asks for, and see what was used with them
    Keys {
        #[command(subcommand)]
        what: KeysCommand,
    },
    /// Get a model: the default one, a Hugging Face repository (org/name or org/name:QUANT) or a file
    Pull(PullArguments),
    /// List pulled models
    List,
    /// Remove a pulled model
    #[command(name = "rm")]
    Remove {
        /// Its name, as `lockstep list` prints it
        name: String,
    },
    /// Describe a model: header, tensors, and how exactly its weights are imported
    Info(InfoArguments),
    /// Measure prompt and generation speed, latency and memory
    Bench(BenchArguments),
    /// Measure a model's quality
    Eval {
        #[command(subcommand)]
        what: Evaluation,
    },
    /// Print the hash of all logits of a prompt and its greedy continuation
    Digest(DigestArguments),
    /// Compile a model to a program for simulated chips, whose time is known before it runs
    Compile(CompileArguments),
    /// Turn an assembler text into a program
    Asm(AsmArguments),
    /// Print a program as assembler text, which assembles to the same bytes
    Disasm(DisasmArguments),
    /// Check a program without running it: every violation, with cycle, chip, unit and instructions
    Verify(VerifyArguments),
    /// Say where a program's cycles go: phases, lower bounds, the critical chain, use of units
    Explain(ExplainArguments),
    /// Run a program on simulated chips, cycle by cycle as predicted
    Simulate(SimulateArguments),
    /// Write the program of a model's first decoder layer alone, from x to y
    Layer(LayerArguments),
    /// Let the chips of a system add up, gather, broadcast or hand over vectors, in cycles known beforehand
    Collective(CollectiveArguments),
    /// Describe machines
    Machine {
        #[command(subcommand)]
        what: MachineCommand,
    },
    /// Look after the packed weights and compiled programs that make a second start quick
    Cache {
        #[command(subcommand)]
        what: CacheCommand,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, Subcommand)]
pub enum Evaluation {
    /// Perplexity on a text: each window starts with the model's BOS where it has one, its second half is scored
    Perplexity(PerplexityArguments),
}

#[derive(Debug, Subcommand)]
pub enum CacheCommand {
    /// List packed weights and compiled programs
    List,
    /// Remove all packed weights and compiled programs
    Clear,
}

/// Which model, and how it runs. None of the second kind changes a bit of the answer.
#[derive(Clone, Debug, Args)]
pub struct ModelArguments {
    /// A pulled name, a file, a folder or a Hugging Face repository (org/name or org/name:QUANT)
    #[arg(short, long, default_value = "smollm2")]
    pub model: String,
    /// Workers [default: one a core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=512))]
    pub threads: Option<u16>,
    /// Most prompt tokens read in one step
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub prefill_chunk: u32,
    /// Longest sequence in tokens [default: the model's own]
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u32).range(2..))]
    pub context: Option<u32>,
    /// Instruction set of the kernels
    #[arg(long, value_enum, default_value_t = KernelChoice::Auto)]
    pub kernels: KernelChoice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KernelChoice {
    /// The fastest that this CPU has
    Auto,
    /// Plain code
    Scalar,
    /// AVX2
    Avx2,
    /// AVX-512 with VNNI
    Avx512,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

/// Where a model runs. The bits of its answers are the same everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum On {
    /// On this computer.
    Host,
    /// On a simulated system, by its name.
    System(String),
}

impl std::str::FromStr for On {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(if text == "host" { Self::Host } else { Self::System(text.to_owned()) })
    }
}

/// How a model is spread over the chips of a system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub struct Spread {
    /// Over chips by matrix rows and heads inside a node and by layers over nodes, or by layers alone, or what is better
    #[arg(long, value_enum, default_value_t = SplitChoice::Auto)]
    pub split: SplitChoice,
    /// What `--split auto` chooses for: one sequence, or as many as are in flight at once
    #[arg(long, value_enum, default_value_t = ObjectiveChoice::Latency)]
    pub objective: ObjectiveChoice,
}

/// How to split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SplitChoice {
    /// What is better for the objective, of what fits
    #[default]
    Auto,
    /// By matrix rows and heads inside a node, by layers over nodes
    Tensor,
    /// By layers
    Pipeline,
}

impl From<SplitChoice> for Split {
    fn from(choice: SplitChoice) -> Self {
        match choice {
            SplitChoice::Auto => Self::Auto,
            SplitChoice::Tensor => Self::Tensor,
            SplitChoice::Pipeline => Self::Pipeline,
        }
    }
}

/// What to choose for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ObjectiveChoice {
    /// The next token of a sequence soon
    #[default]
    Latency,
    /// Many tokens of many sequences
    Throughput,
}

impl From<ObjectiveChoice> for Objective {
    fn from(choice: ObjectiveChoice) -> Self {
        match choice {
            ObjectiveChoice::Latency => Self::Latency,
            ObjectiveChoice::Throughput => Self::Throughput,
        }
    }
}

/// How tokens are drawn.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArguments {
    /// 0 always takes the most likely token, 1 is the model's own distribution
    #[arg(long, value_name = "X", default_value_t = 0.7, value_parser = number(0.0, 2.0))]
    pub temperature: f32,
    /// Keep only the N most likely tokens; 0 keeps all
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub top_k: u32,
    /// Keep the most likely tokens that hold this share of the probability
    #[arg(long, value_name = "X", default_value_t = 0.95, value_parser = number(f32::MIN_POSITIVE, 1.0))]
    pub top_p: f32,
    /// Keep tokens at least this many times as likely as the most likely one
    #[arg(long, value_name = "X", default_value_t = 0.0, value_parser = number(0.0, 1.0))]
    pub min_p: f32,
    /// Decides, with a token's position, its random number; and what is drawn for the conditions of a simulated system
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Divides the logits of tokens that occurred already; 1 is none
    #[arg(long, value_name = "X", default_value_t = 1.0, value_parser = number(0.01, 100.0))]
    pub repetition_penalty: f32,
    /// Subtracted once for each time a token was generated
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true, value_parser = number(-2.0, 2.0))]
    pub frequency_penalty: f32,
    /// Subtracted if a token was generated at all
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_negative_numbers = true, value_parser = number(-2.0, 2.0))]
    pub presence_penalty: f32,
}

#[derive(Debug, Args)]
pub struct RunArguments {
    /// What to answer; `-` or nothing reads a piped standard input, nothing at a terminal starts a chat
    pub prompt: Option<String>,
    #[command(flatten)]
    pub model: ModelArguments,
    #[command(flatten)]
    pub on: OnArguments,
    /// Instructions before the conversation
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    pub system: Option<String>,
    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub max_tokens: u32,
    #[command(flatten)]
    pub sampling: SamplingArguments,
    /// Text that ends the answer; up to 4 times
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// Guess ahead by looking up repeated text; the answer is the same, only sooner
    #[arg(long, value_enum, default_value_t = Switch::On)]
    pub speculate: Switch,
    /// Continue the text as it is, without the model's chat template
    #[arg(long)]
    pub raw: bool,
    /// Print one JSON object when the answer is complete
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct PullArguments {
    /// `smollm2`, org/name or org/name:QUANT, or a file or folder to keep under a name
    #[arg(default_value = "smollm2")]
    pub model: String,
    /// Keep a file or folder under this name [default: its own name]
    #[arg(long)]
    pub name: Option<String>,
}

#[derive(Debug, Args)]
pub struct InfoArguments {
    /// A pulled name, a file, a folder or a repository
    #[arg(value_name = "FILE", conflicts_with = "model", required_unless_present = "model")]
    pub file: Option<String>,
    /// The same, as the other commands spell it
    #[arg(short, long)]
    pub model: Option<String>,
    /// Print the graph of one step instead
    #[arg(long, conflicts_with = "json")]
    pub graph: bool,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct BenchArguments {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    pub prompt_tokens: u32,
    /// Tokens to generate
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(2..))]
    pub generate: u32,
    /// Measured runs, after one that is not; medians are printed
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repeat: u32,
    /// Requests at once: above 1, their tokens per second together while all of them run are printed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub parallel: u32,
    /// Guess ahead; off, since a made-up prompt says nothing about guessing
    #[arg(long, value_enum, default_value_t = Switch::Off)]
    pub speculate: Switch,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct DigestArguments {
    #[command(flatten)]
    pub model: ModelArguments,
    #[command(flatten)]
    pub on: OnArguments,
    /// The text, taken as it is
    #[arg(long, value_name = "TEXT")]
    pub prompt: String,
    /// Tokens to generate, always the most likely one
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    pub generate: u32,
    /// Requests that run together; all but one have other prompts
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=256))]
    pub batch: u32,
    /// Hash only the logits that tokens are drawn from: a simulated chip then reads the prompt many tokens at a time
    #[arg(long)]
    pub answer: bool,
    /// Guess ahead by looking up repeated text
    #[arg(long, value_enum, default_value_t = Switch::On)]
    pub speculate: Switch,
    /// Decides what is drawn for the conditions of a simulated system
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

#[derive(Debug, Args)]
pub struct PerplexityArguments {
    /// The text
    pub file: PathBuf,
    #[command(flatten)]
    pub model: ModelArguments,
    /// Tokens of a window, BOS included
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(2..))]
    pub window: u32,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// A finite number between two bounds.
fn number(low: f32, high: f32) -> impl Fn(&str) -> Result<f32, String> + Clone {
    move |text| {
        let value: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
        let shown = if low == f32::MIN_POSITIVE { "above 0".to_owned() } else { format!("from {low}") };
        if (low..=high).contains(&value) { Ok(value) } else { Err(format!("must be {shown} to {high}")) }
    }
}

/// Prints what clap found: help and version as they are, a mistake as one line. Returns the exit code.
pub fn explain(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe is the reader's choice.
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(2)
        }
        _ => {
            eprintln!("{}", one_line(&error.to_string()));
            ExitCode::from(2)
        }
    }
}

/// The message without the usage that clap appends, and the command that prints all of it.
fn one_line(message: &str) -> String {
    let usage = message.lines().find_map(|line| line.strip_prefix("Usage: "));
    let lines = message.lines().take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more"));
    let what = lines.map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let words = usage.unwrap_or("lockstep").split(' ');
    let command = words.take_while(|word| word.chars().all(|c| c.is_ascii_lowercase())).collect::<Vec<_>>();
    format!("{what}: see `{} --help`", command.join(" "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_description_is_consistent() {
        Arguments::command().debug_assert();
    }

    fn mistake(line: &str) -> String {
        let error = Arguments::try_parse_from(line.split(' ')).unwrap_err();
        let message = one_line(&error.to_string());
        assert!(message.starts_with("error: ") && message.lines().count() == 1, "{message}");
        message
    }

    #[test]
    fn mistakes_are_one_line_that_names_the_flag() {
        assert!(mistake("lockstep run --sed 1 x").contains("'--seed'"));
        assert!(mistake("lockstep run --seed x x").contains("--seed"));
        assert!(mistake("lockstep run --seed -1 x").contains("-1"));
        assert!(mistake("lockstep run --temperature nan x").contains("must be from 0 to 2"));
        assert!(mistake("lockstep run --top-p 0 x").contains("must be above 0 to 1"));
        assert!(mistake("lockstep digest").contains("--prompt"));
        assert!(mistake("lockstep digest --prompt x --kernels neon").contains("avx2, avx512"));
        assert!(mistake("lockstep eval perplexity").contains("lockstep eval perplexity --help"));
        assert!(mistake("lockstep frobnicate").contains("frobnicate"));
    }
}
