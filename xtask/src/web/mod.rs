//! `cargo xtask web`: the playground's sources, and that the committed page is made of them.

pub(crate) mod drive;

use crate::command::{pass, root};
use anyhow::{Context, Result, ensure};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::Command;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Replace the committed page by the one that the sources make
    #[arg(long)]
    write: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let web = prepared()?;
    pass(npm(&web).args(["run", "--silent", "check"]))?;
    pass(npm(&web).args(["run", "--silent", "test"]))?;
    let made = web.join("node_modules").join(".page");
    let mut build = npm(&web);
    build.args(["run", "--silent", "build", "--", "--emptyOutDir", "--logLevel", "warn", "--outDir"]).arg(&made);
    pass(&mut build)?;
    let page = |folder: &Path| {
        let path = folder.join("index.html");
        std::fs::read(&path).with_context(|| path.display().to_string())
    };
    let (new, committed) = (page(&made)?, web.join("dist"));
    if options.write {
        std::fs::create_dir_all(&committed)?;
        std::fs::write(committed.join("index.html"), &new)?;
    } else {
        let stale = "web/dist/index.html is not what its sources make: run `cargo xtask web --write` and commit it";
        ensure!(page(&committed)? == new, "{stale}");
    }
    println!("web/dist/index.html: {} bytes, made of the sources as they are", new.len());
    Ok(())
}

/// npm, and a Node.js that is new enough for the page's tools.
pub(crate) fn installed() -> bool {
    has_npm() && node().is_some_and(|version| version >= (20, 19))
}

/// npm in the search path.
pub(crate) fn has_npm() -> bool {
    let names = if cfg!(windows) { ["npm.cmd", "npm.exe"] } else { ["npm", "npm"] };
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| names.iter().any(|name| folder.join(name).is_file()))
    })
}

/// The version of Node.js: major and minor number.
fn node() -> Option<(u32, u32)> {
    let told = Command::new("node").arg("--version").output().ok()?;
    let text = String::from_utf8(told.stdout).ok()?;
    let mut numbers = text.trim().trim_start_matches('v').split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// npm at work in a folder.
pub(crate) fn npm(web: &Path) -> Command {
    let mut npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    npm.current_dir(web);
    npm
}

/// The folder of the sources, with the packages of its lock file installed.
fn prepared() -> Result<PathBuf> {
    ensure!(installed(), "no npm: `apt-get install npm`, or Node.js from nodejs.org (20.19 or later)");
    let web = root()?.join("web");
    let changed = |path: &str| std::fs::metadata(web.join(path)).and_then(|file| file.modified()).ok();
    // npm notes what it installed in a file of this name.
    let installed = changed("node_modules/.package-lock.json");
    if installed.is_none() || installed < changed("package-lock.json") {
        pass(npm(&web).args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]))?;
    }
    Ok(web)
}
