//! `cargo xtask playground`: the playground in a headless browser, against a server of this checkout.

use super::{npm, prepared};
use crate::command::{lockstep, model, pass};
use crate::server::Server;
use anyhow::{Context, Result};
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A browser of the Chromium family [default: the first that is installed]
    #[arg(long, value_name = "FILE")]
    browser: Option<PathBuf>,
    /// The lockstep binary [default: this checkout's, built now]
    #[arg(long, value_name = "FILE")]
    lockstep: Option<PathBuf>,
    /// The model file [default: the default model]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Where its pictures go [default: a folder for temporary files]
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
}

/// The page asks for it; the test types it.
const KEY: &str = "sk-lockstep-playground";

pub(crate) fn run(options: &Options) -> Result<()> {
    let browser = options.browser.clone().or_else(crate::viewer::installed);
    let browser = browser.context("no browser: `apt-get install chromium-headless-shell`, or give one by --browser")?;
    let web = prepared()?;
    let lockstep = lockstep(options.lockstep.as_deref())?;
    let model = model(options.model.as_deref(), &lockstep)?;
    let pictures = options.pictures.clone().unwrap_or_else(|| std::env::temp_dir().join("lockstep-playground"));
    std::fs::create_dir_all(&pictures).with_context(|| pictures.display().to_string())?;
    let pictures = pictures.canonicalize()?;
    let server =
        Server::start(&lockstep, &model, &["--parallel", "8", "--threads", "2", "--log", "off", "--api-key", KEY])?;
    let mut drive = npm(&web);
    drive.args(["run", "--silent", "drive", "--", &server.url(), KEY]);
    pass(drive.arg(&pictures).arg(browser))?;
    println!("pictures: {}", pictures.display());
    Ok(())
}
