//! Flags of `lockstep keys`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key and print it: it is not kept, and cannot be shown again
    Add(AddKeyArguments),
    /// List keys with their limits
    List(KeysFileArguments),
    /// Make a key useless, for good; a running server notices within seconds
    Revoke {
        /// Its name
        name: String,
        #[command(flatten)]
        file: KeysFile,
    },
    /// Print what was used with each key, by day (UTC)
    Usage(KeysFileArguments),
}

/// Which file.
#[derive(Debug, Args)]
pub struct KeysFile {
    /// The file of keys, as `lockstep serve --keys` reads it
    #[arg(long, value_name = "FILE")]
    pub keys: PathBuf,
}

#[derive(Debug, Args)]
pub struct KeysFileArguments {
    #[command(flatten)]
    pub file: KeysFile,
    /// Print one JSON array
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct AddKeyArguments {
    /// Says whose it is
    pub name: String,
    #[command(flatten)]
    pub file: KeysFile,
    /// Most requests in a minute [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub requests_per_minute: Option<u64>,
    /// Most tokens in a minute, of prompts and answers [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000))]
    pub tokens_per_minute: Option<u64>,
    /// Most requests at once [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub concurrent: Option<u64>,
}
