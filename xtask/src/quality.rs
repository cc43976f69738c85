//! `cargo xtask quality`: perplexity beside float32 and llama.cpp, by `tools/reference/quality/perplexity.py`.

use crate::{command, machine};
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use std::process::Command;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A Python with torch, transformers, gguf, sentencepiece and llama-cpp-python
    #[arg(long, value_name = "PATH", default_value = "python3")]
    python: PathBuf,
    /// Folder of libllama.so [default: the one in llama-cpp-python]
    #[arg(long, value_name = "FOLDER")]
    llama_library: Option<PathBuf>,
    /// Leave llama.cpp out
    #[arg(long, conflicts_with = "llama_library")]
    without_llama: bool,
    /// The lockstep binary [default: this checkout's, built now]
    #[arg(long, value_name = "PATH")]
    lockstep: Option<PathBuf>,
    /// GGUF file [default: the default model]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// A text of at least 20 kB [default: tests/data/alice.txt]
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// Tokens of a window
    #[arg(long, value_name = "N", default_value_t = 512)]
    window: u32,
}

/// Runs the script; it fails where lockstep is too far from float32.
pub(crate) fn run(options: &Options) -> Result<()> {
    let lockstep = command::lockstep(options.lockstep.as_deref())?;
    let model = command::model(options.model.as_deref(), &lockstep)?;
    let mut script = Command::new(&options.python);
    script.arg("-B").arg(command::root()?.join("tools/reference/quality/perplexity.py"));
    script.arg("--model").arg(&model).arg("--lockstep").arg(&lockstep);
    script.arg("--window").arg(options.window.to_string());
    if let Some(text) = &options.text {
        script.arg("--text").arg(text);
    }
    if options.without_llama {
        script.arg("--without-llama");
    }
    if let Some(folder) = &options.llama_library {
        script.env("LLAMA_CPP_LIB_PATH", folder);
    }
    println!("{}", machine::describe());
    command::pass(&mut script)
}
