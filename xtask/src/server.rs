//! A served model, for tasks that drive it from outside.

use crate::command::shown;
use anyhow::{Context, Result, bail};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Loading takes half a second; a busy machine many times that.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// Between two looks whether it is ready: less than what a start is measured to.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A server on a free port of the loopback interface; it ends with this value.
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    name: String,
    /// From its start until it was ready.
    pub(crate) ready_after: Duration,
}

impl Server {
    /// Starts `lockstep serve` with further arguments, and waits until it is ready.
    pub(crate) fn start(lockstep: &Path, model: &Path, arguments: &[&str]) -> Result<Self> {
        Self::of(Command::new(lockstep).arg("serve").arg("-m").arg(model).args(arguments), "/ready", |address| {
            vec!["--addr".to_owned(), address.to_string()]
        })
    }

    /// Starts any server, and waits until `ready` answers 200. `listen` says by which arguments it is told its address.
    pub(crate) fn of(
        command: &mut Command,
        ready: &str,
        listen: impl FnOnce(SocketAddr) -> Vec<String>,
    ) -> Result<Self> {
        // Bound and let go: the port is free an instant later, too.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        command.args(listen(address));
        let name = shown(command);
        let begun = Instant::now();
        let child = command.stdin(Stdio::null()).spawn().with_context(|| format!("{name} cannot be started"))?;
        let mut server = Self { child, address, name, ready_after: Duration::ZERO };
        while !server.is_ready(ready) {
            server.still_runs()?;
            if begun.elapsed() > READY_WITHIN {
                bail!("{} is not ready after {} s", server.name, READY_WITHIN.as_secs());
            }
            std::thread::sleep(LOOK_EVERY);
        }
        server.ready_after = begun.elapsed();
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
            Some(status) => bail!("{} ended by itself ({status})", self.name),
            None => Ok(()),
        }
    }

    fn is_ready(&self, path: &str) -> bool {
        crate::http::get(self.address, path).is_ok_and(|(status, _)| status == 200)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
