//! Flags of `lockstep serve`.

use super::{ModelArguments, Switch};
use clap::Args;
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ServeArguments {
    #[command(flatten)]
    pub model: ModelArguments,
    /// Where to listen
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    pub addr: SocketAddr,
    /// Most requests that are answered at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel: u16,
    /// Most requests that wait; others are refused with 429
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub queue: u32,
    /// Most memory for keys and values, in MiB [default: half of what is free]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    pub kv_memory: Option<u64>,
    /// Of it, most for prompts that later requests may begin with, in MiB; 0 keeps none
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u64).range(0..=1 << 40))]
    pub prefix_cache: u64,
    /// Another name that the model answers to; as often as wanted
    #[arg(long, value_name = "NAME")]
    pub alias: Vec<String>,
    /// The key that requests must bring
    #[arg(long, value_name = "KEY", conflicts_with = "keys")]
    pub api_key: Option<String>,
    /// A file of keys, as `lockstep keys` makes it
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// Listen on an address that others can reach, without a key
    #[arg(long)]
    pub insecure: bool,
    /// Refuse request fields that the API does not have
    #[arg(long)]
    pub strict_params: bool,
    /// Let web pages of this origin ask (such as `https://example.org`); as often as wanted
    #[arg(long, value_name = "ORIGIN")]
    pub cors_origin: Vec<String>,
    /// A name by which clients reach this server; as often as wanted
    #[arg(long, value_name = "NAME")]
    pub host: Vec<String>,
    /// Repeat the metrics under another server's names
    #[arg(long, value_name = "SERVER", value_enum)]
    pub metrics_compat: Option<MetricsNames>,
    /// Most seconds of an answer
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=86400))]
    pub deadline: u32,
    /// Tell the exact time of each answer on this compiled system, or `off`
    #[arg(long, value_name = "SYSTEM", default_value = "lockstep1:1")]
    pub lpu: String,
    /// Guess ahead by looking up repeated text; answers are the same, only sooner
    #[arg(long, value_enum, default_value_t = Switch::On)]
    pub speculate: Switch,
    /// Form of the log on standard error; prompts are never in it
    #[arg(long, alias = "log-format", value_enum, default_value_t = LogForm::Text)]
    pub log: LogForm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum MetricsNames {
    Vllm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum LogForm {
    Text,
    Json,
    Off,
}
