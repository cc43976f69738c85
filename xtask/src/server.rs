//! A served model, for tasks that drive it from outside.

use anyhow::{Context, Result, bail};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Loading takes half a second; a busy machine many times that.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// `lockstep serve` on a free port of the loopback interface; it ends with this value.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts it with further arguments, and waits until it is ready.
    pub(crate) fn start(lockstep: &Path, model: &Path, arguments: &[&str]) -> Result<Self> {
        // Bound and let go: the port is free an instant later, too.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new(lockstep);
        command.arg("serve").arg("-m").arg(model).args(["--addr", &address.to_string()]).args(arguments);
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

    /// Where it is, without a slash at the end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same for sockets.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its number among the system's processes.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Fails if it has ended by itself.
    pub(crate) fn still_runs(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("lockstep serve ended by itself ({status})"),
            None => Ok(()),
        }
    }

    fn is_ready(&self) -> bool {
        crate::http::get(self.address, "/ready").is_ok_and(|(status, _)| status == 200)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
