//! `cargo xtask viewer`: the schedule viewer in a headless browser.
//!
//! Each page is made by `lockstep explain --html`, gets `check.js` added, and is opened twice, in light and in dark. The
//! script works it by mouse, wheel and keys; what it found is read from the document that the browser prints.

use crate::command::{lockstep, read, root};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::Command;

const CHECKS: &str = include_str!("check.js");

/// Names by which a browser of the Chromium family is installed.
const BROWSERS: [&str; 6] = [
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "chrome-headless-shell",
    "headless_shell",
];

/// What is checked where nothing is given: one by hand, the others as any program.
const FILETESTS: [&str; 5] = ["vector-add", "softmax", "matmul-lb8", "instances", "exchange"];

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A browser of the Chromium family [default: the first that is installed]
    #[arg(long, value_name = "FILE")]
    browser: Option<PathBuf>,
    /// Say which browser that is, and check nothing
    #[arg(long)]
    find: bool,
    /// A program to look at [default: some filetests]
    #[arg(long, value_name = "PROGRAM")]
    program: Vec<PathBuf>,
    /// The lockstep binary [default: this checkout's, built now]
    #[arg(long, value_name = "FILE")]
    lockstep: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let browser = options.browser.clone().or_else(installed);
    let browser = browser.context("no browser: `apt-get install chromium-headless-shell`, or give one by --browser")?;
    if options.find {
        println!("{}", browser.display());
        return Ok(());
    }
    let lockstep = lockstep(options.lockstep.as_deref())?;
    let filetests = root()?.join("filetests");
    let programs = match &options.program[..] {
        [] => FILETESTS.iter().map(|name| filetests.join(format!("{name}.lka"))).collect(),
        given => given.to_vec(),
    };
    let folder = std::env::temp_dir().join(format!("lockstep-viewer-{}", std::process::id()));
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let result = programs.iter().try_for_each(|program| check(program, &folder, &lockstep, &browser));
    std::fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
    result
}

/// The first browser in the search path.
pub(crate) fn installed() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    BROWSERS.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|file| file.is_file())
}

fn check(program: &Path, folder: &Path, lockstep: &Path, browser: &Path) -> Result<()> {
    let page = folder.join("page.html");
    read(Command::new(lockstep).arg("explain").arg(program).arg("--html").arg(&page))?;
    let text = std::fs::read_to_string(&page)?;
    for outside in ["http:", "https:", "src=", "@import", "url("] {
        ensure!(!text.contains(outside), "{}: the page has {outside:?}", program.display());
    }
    let end = text.rfind("</body>").context("the page has no end")?;
    std::fs::write(&page, format!("{}<script>\n{CHECKS}</script>\n{}", &text[..end], &text[end..]))?;
    let light = opened(&page, folder, browser, 1).with_context(|| format!("{}, light", program.display()))?;
    let dark = opened(&page, folder, browser, 0).with_context(|| format!("{}, dark", program.display()))?;
    ensure!(light.1 != dark.1, "{}: light and dark look alike: {}", program.display(), light.1);
    println!("{}: {} bytes; light: {}; dark: {}", program.display(), text.len(), light.0, dark.0);
    Ok(())
}

/// Opens the page; the verdict, and the colour behind it. Browsers number dark 0 and light 1.
fn opened(page: &Path, folder: &Path, browser: &Path, scheme: u8) -> Result<(String, String)> {
    let mut command = Command::new(browser);
    // The page is our own: it needs no sandbox, which containers often cannot give.
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,800", "--hide-scrollbars"]);
    command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    command.arg(format!("--blink-settings=preferredColorScheme={scheme}"));
    command.args(["--virtual-time-budget=60000", "--dump-dom"]).arg(format!("file://{}", page.display()));
    let document = read(&mut command)?;
    let attribute = |name: &str| {
        let (_, rest) = document.split_once(&format!("data-{name}=\""))?;
        rest.split_once('"').map(|(value, _)| value.to_owned())
    };
    let verdict = attribute("checked").context("the browser printed no verdict: the page's script did not end")?;
    if !verdict.starts_with("passed ") {
        bail!("{verdict}");
    }
    Ok((verdict, attribute("back").context("the page has no background")?))
}
