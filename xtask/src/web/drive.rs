//! `cargo xtask playground`: the playground in a headless browser, against a server of this checkout.

use super::{npm, prepared};
use crate::command::{lockstep, model, pass};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

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

/// Loading takes half a second; a busy machine many times that.
const READY_WITHIN: Duration = Duration::from_mins(1);

pub(crate) fn run(options: &Options) -> Result<()> {
    let browser = options.browser.clone().or_else(crate::viewer::installed);
    let browser = browser.context("no browser: `apt-get install chromium-headless-shell`, or give one by --browser")?;
    let web = prepared()?;
    let lockstep = lockstep(options.lockstep.as_deref())?;
    let model = model(options.model.as_deref(), &lockstep)?;
    let pictures = options.pictures.clone().unwrap_or_else(|| std::env::temp_dir().join("lockstep-playground"));
    std::fs::create_dir_all(&pictures).with_context(|| pictures.display().to_string())?;
    let pictures = pictures.canonicalize()?;
    let server = Server::start(&lockstep, &model)?;
    let mut drive = npm(&web);
    drive.args(["run", "--silent", "drive", "--", &format!("http://{}", server.address), KEY]);
    pass(drive.arg(&pictures).arg(browser))?;
    println!("pictures: {}", pictures.display());
    Ok(())
}

/// A served model; it ends with this value.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(lockstep: &Path, model: &Path) -> Result<Self> {
        // Bound and let go: the port is free an instant later, too.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(lockstep);
        command.arg("serve").arg("-m").arg(model).args(["--addr", &address.to_string()]);
        command.args(["--parallel", "8", "--threads", "2", "--log", "off", "--api-key", KEY]);
        let child = command.stdin(Stdio::null()).spawn().context("lockstep serve cannot be started")?;
        let mut server = Self { child, address };
        let begun = Instant::now();
        while !server.is_ready() {
            if let Some(status) = server.child.try_wait()? {
                bail!("lockstep serve ended ({status}) before it was ready");
            }
            if begun.elapsed() > READY_WITHIN {
                bail!("lockstep serve is not ready after {} s", READY_WITHIN.as_secs());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(server)
    }

    fn is_ready(&self) -> bool {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            let fields = format!("Host: {}\r\nAuthorization: Bearer {KEY}\r\nConnection: close", self.address);
            write!(stream, "GET /ready HTTP/1.1\r\n{fields}\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200 "))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
