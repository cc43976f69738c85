//! `cargo xtask clients`: other people's clients of the API, against a served model.
//!
//! Packages are installed side by side in the target folder while the server is built; the checks themselves run one
//! after the other, so that each can tell when the server has let go of its requests.

mod suites;
mod table;

use crate::command::{lockstep, model};
use crate::server::Server;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Instant;
use suites::{SUITES, Suite};
use table::Table;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only these clients (litellm, schemathesis, npm, langchain-groq, openai, openai-2, openai-1, groq, groq-0)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// The lockstep binary [default: this checkout's, built now]
    #[arg(long, value_name = "FILE")]
    lockstep: Option<PathBuf>,
    /// The model file [default: the default model]
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
}

const KEY: &str = "sk-lockstep-clients";
const NAME: &str = "smollm2";
/// A name with a slash, as names of models often are.
const ALIAS: &str = "lockstep/tests";

pub(crate) fn run(options: &Options) -> Result<()> {
    let suites = chosen(&options.only)?;
    let folder = std::env::current_exe()?.with_file_name("clients");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let (send, installed) = mpsc::channel();
        for suite in suites {
            let (send, folder) = (send.clone(), &folder);
            // Nobody listens any more once something has failed.
            scope.spawn(move || send.send((suite.name, suite.install(folder))).ok());
        }
        drop(send);
        let lockstep = lockstep(options.lockstep.as_deref())?;
        let model = model(options.model.as_deref(), &lockstep)?;
        let common = ["--threads", "2", "--api-key", KEY, "--alias", NAME, "--alias", ALIAS, "--log", "off"];
        let serve = |further: &[&str]| Server::start(&lockstep, &model, &[&common[..], further].concat());
        let (mut wide, mut narrow) = (serve(&["--parallel", "8"])?, serve(&["--parallel", "1", "--queue", "1"])?);
        // Requests that are made up may ask for answers of any length.
        let mut brief = serve(&["--parallel", "8", "--deadline", "1"])?;
        println!("served after {:.0} s", begun.elapsed().as_secs_f64());
        let mut table = Table::default();
        for (name, commands) in installed {
            for mut command in commands.with_context(|| format!("{name}: not installed"))? {
                let url = if name == "schemathesis" { brief.url() } else { wide.url() };
                command.env("LOCKSTEP_URL", url).env("LOCKSTEP_NARROW_URL", narrow.url());
                command.env("LOCKSTEP_KEY", KEY).env("LOCKSTEP_MODEL", NAME).env("LOCKSTEP_ALIAS", ALIAS);
                checks(&mut command, &mut table)?;
            }
        }
        wide.still_runs()?;
        narrow.still_runs()?;
        brief.still_runs()?;
        println!("{table}clients: {:.0} s", begun.elapsed().as_secs_f64());
        ensure!(table.failed() == 0, "{} checks of clients failed", table.failed());
        Ok(())
    })
}

/// Those asked for, without those that this machine has nothing to run with: continuous integration must have it all.
fn chosen(only: &[String]) -> Result<Vec<&'static Suite>> {
    if let Some(unknown) = only.iter().find(|name| SUITES.iter().all(|suite| suite.name != **name)) {
        let names: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
        bail!("{unknown}: no such client: there are {}", names.join(", "));
    }
    let mut suites: Vec<_> =
        SUITES.iter().filter(|suite| only.is_empty() || only.iter().any(|name| suite.name == *name)).collect();
    if !crate::web::has_npm() && suites.iter().any(|suite| suite.needs_npm()) {
        ensure!(std::env::var_os("CI").is_none(), "no npm: the clients from npm cannot be checked");
        println!("no npm: the clients from npm are not checked");
        suites.retain(|suite| !suite.needs_npm());
    }
    Ok(suites)
}

/// Runs one client's checks; each tells itself in a line of JSON.
fn checks(command: &mut Command, table: &mut Table) -> Result<()> {
    let shown = crate::command::shown(command);
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.with_context(|| format!("{shown} cannot be run"))?;
    let before = table.failed();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        table.add(line)?;
    }
    let is_told = table.failed() > before;
    ensure!(output.status.success() || is_told, "{shown}: ended with {} and told no failed check", output.status);
    Ok(())
}
