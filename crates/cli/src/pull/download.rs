//! One file over HTTP: resumed where it stopped, verified, and renamed into place only when complete.

use crate::output;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body};

/// What to get.
#[derive(Clone, Debug)]
pub struct Remote {
    /// Where.
    pub url: String,
    /// Sent as a bearer token to this host alone.
    pub token: Option<String>,
    /// Its length in bytes, where known beforehand.
    pub size: Option<u64>,
    /// SHA-256 in lower-case hexadecimal, where known beforehand.
    pub sha256: Option<String>,
}

/// How patient to be.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Tries in a row without a new byte before giving up.
    pub tries: u32,
    /// Pause before the second try; doubled for each further one.
    pub pause: Duration,
    /// For finding the host and connecting to it.
    pub connect: Duration,
}

impl Patience {
    /// For a source without an alternative.
    pub const USUAL: Self = Self { tries: 5, pause: Duration::from_millis(500), connect: Duration::from_secs(15) };
    /// For a source with an alternative.
    pub const SHORT: Self = Self { tries: 1, pause: Duration::ZERO, connect: Duration::from_secs(3) };

    /// A client with these limits. A transfer may take ten minutes, after which it is resumed.
    pub fn agent(self) -> Agent {
        Agent::config_builder()
            .http_status_as_error(false)
            .timeout_resolve(Some(self.connect))
            .timeout_connect(Some(self.connect))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            .timeout_recv_body(Some(Duration::from_mins(10)))
            .user_agent(concat!("lockstep/", env!("CARGO_PKG_VERSION")))
            .build()
            .into()
    }
}

/// A file could not be written here: no other source helps.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct DiskError {
    path: String,
    problem: String,
}

impl DiskError {
    pub fn new(path: &Path, error: &std::io::Error) -> Self {
        let remedy = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room",
            _ => "check its permissions",
        };
        let problem = format!("{error}: {remedy}, or set LOCKSTEP_HOME to another folder");
        Self { path: path.display().to_string(), problem }
    }
}

/// Why a try ended early.
enum Interrupted {
    /// Trying again may help.
    Transient(anyhow::Error),
    /// It will not.
    Final(anyhow::Error),
}

impl From<DiskError> for Interrupted {
    fn from(error: DiskError) -> Self {
        Self::Final(error.into())
    }
}

/// Gets `remote` into `destination`. What a killed or cut transfer left in `destination.part` is continued.
pub fn download(remote: &Remote, destination: &Path, patience: Patience) -> Result<()> {
    let part = part_path(destination);
    let mut transfer = Transfer::open(remote, &part, patience)?;
    let resumed = transfer.have > 0;
    transfer.finish(patience)?;
    if transfer.is_wrong() && resumed {
        // The remote file may have changed since the first part was fetched.
        transfer.restart()?;
        transfer.finish(patience)?;
    }
    let wrong = transfer.is_wrong();
    transfer.bar.finish_and_clear();
    if wrong {
        drop(transfer);
        std::fs::remove_file(&part).map_err(|error| DiskError::new(&part, &error))?;
        bail!("{}: its SHA-256 is not the published one: try again, or another source", remote.url);
    }
    transfer.file.sync_all().map_err(|error| DiskError::new(&part, &error))?;
    drop(transfer);
    std::fs::rename(&part, destination).map_err(|error| DiskError::new(destination, &error))?;
    Ok(())
}

/// Where an unfinished file is kept.
pub fn part_path(destination: &Path) -> PathBuf {
    let mut name = destination.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    destination.with_file_name(name)
}

struct Transfer<'a> {
    remote: &'a Remote,
    agent: Agent,
    path: &'a Path,
    file: File,
    hasher: Sha256,
    have: u64,
    size: Option<u64>,
    bar: indicatif::ProgressBar,
}

impl<'a> Transfer<'a> {
    /// Opens the unfinished file and hashes what it holds.
    fn open(remote: &'a Remote, path: &'a Path, patience: Patience) -> Result<Self> {
        let open = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
        let file = open.map_err(|error| DiskError::new(path, &error))?;
        let name = remote.url.rsplit('/').next().unwrap_or("file");
        let bar = output::byte_bar(name, remote.size);
        let agent = patience.agent();
        let mut transfer = Self { remote, agent, path, file, hasher: Sha256::new(), have: 0, size: remote.size, bar };
        transfer.have =
            std::io::copy(&mut transfer.file, &mut transfer.hasher).map_err(|error| DiskError::new(path, &error))?;
        if remote.size.is_some_and(|size| transfer.have > size) {
            transfer.restart()?;
        }
        transfer.bar.set_position(transfer.have);
        Ok(transfer)
    }

    fn is_wrong(&self) -> bool {
        let found = format!("{:x}", self.hasher.clone().finalize());
        self.remote.sha256.as_ref().is_some_and(|wanted| *wanted != found)
    }

    fn restart(&mut self) -> Result<(), DiskError> {
        let path = self.path;
        let clear = self.file.set_len(0).and_then(|()| self.file.seek(SeekFrom::Start(0)));
        clear.map_err(|error| DiskError::new(path, &error))?;
        self.hasher = Sha256::new();
        self.have = 0;
        self.bar.set_position(0);
        Ok(())
    }

    /// Tries until all is there, or until `patience.tries` in a row brought nothing.
    fn finish(&mut self, patience: Patience) -> Result<()> {
        let mut failures = 0;
        loop {
            let before = self.have;
            match self.attempt() {
                Ok(()) => return Ok(()),
                Err(Interrupted::Final(error)) => return Err(error),
                Err(Interrupted::Transient(error)) => {
                    failures = if self.have > before { 0 } else { failures + 1 };
                    if failures >= patience.tries {
                        return Err(error).with_context(|| self.given_up());
                    }
                    std::thread::sleep(patience.pause * 2u32.saturating_pow(failures));
                }
            }
        }
    }

    fn given_up(&self) -> String {
        let url = &self.remote.url;
        match self.have {
            0 => format!("{url}: check the connection"),
            kept => format!("{url}: {} are kept, run the same command again to go on", output::bytes(kept)),
        }
    }

    fn attempt(&mut self) -> Result<(), Interrupted> {
        if self.size == Some(self.have) && self.have > 0 {
            return Ok(());
        }
        let mut request = self.agent.get(&self.remote.url);
        if let Some(token) = &self.remote.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if self.have > 0 {
            request = request.header("Range", format!("bytes={}-", self.have));
        }
        let response = request.call().map_err(|error| Interrupted::Transient(error.into()))?;
        self.accept(&response)?;
        self.copy(response)
    }

    /// Judges the answer's head: where its body belongs, and how long the whole is.
    fn accept(&mut self, response: &Response<Body>) -> Result<(), Interrupted> {
        let status = response.status();
        let length = response.headers().get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
        match status {
            StatusCode::OK => {
                // Also the answer of a server that does not know ranges.
                if self.have > 0 {
                    self.restart()?;
                }
                self.expect(length)
            }
            StatusCode::PARTIAL_CONTENT => {
                let range = response.headers().get("content-range").and_then(|value| value.to_str().ok());
                let Some((start, total)) = range.and_then(parse_content_range) else {
                    return self.distrust("it sent a part without saying which");
                };
                if start != self.have {
                    return self.distrust("it sent another part than the one asked for");
                }
                self.expect(total)
            }
            StatusCode::RANGE_NOT_SATISFIABLE => self.distrust("it has less than is here already"),
            status => {
                let error = refusal(status, &self.remote.url, self.remote.token.is_some());
                let transient = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                Err(if transient { Interrupted::Transient(error) } else { Interrupted::Final(error) })
            }
        }
    }

    /// What is here cannot be continued: starts over.
    fn distrust(&mut self, what: &str) -> Result<(), Interrupted> {
        self.restart()?;
        Err(Interrupted::Transient(anyhow::anyhow!("{}: {what}", self.remote.url)))
    }

    fn expect(&mut self, size: Option<u64>) -> Result<(), Interrupted> {
        match (self.remote.size, size) {
            (Some(wanted), Some(found)) if wanted != found => {
                let what = format!("{}: {found} bytes, {wanted} are published: try later", self.remote.url);
                return Err(Interrupted::Final(anyhow::anyhow!(what)));
            }
            (None, Some(found)) => {
                self.size = Some(found);
                self.bar.set_length(found);
            }
            _ => {}
        }
        Ok(())
    }

    fn copy(&mut self, response: Response<Body>) -> Result<(), Interrupted> {
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 16];
        loop {
            // A server that sends more than it announced is not read on.
            let left = self.size.map_or(buffer.len() as u64, |size| size.saturating_sub(self.have));
            let limit = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            if limit == 0 {
                return Ok(());
            }
            let count = match reader.read(&mut buffer[..limit]) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(Interrupted::Transient(error.into())),
            };
            if count == 0 {
                return match self.size {
                    Some(size) if self.have < size => Err(Interrupted::Transient(anyhow::anyhow!("it was cut off"))),
                    _ => Ok(()),
                };
            }
            self.file.write_all(&buffer[..count]).map_err(|error| DiskError::new(self.path, &error))?;
            self.hasher.update(&buffer[..count]);
            self.have += count as u64;
            self.bar.set_position(self.have);
        }
    }
}

/// First byte and length of the whole, of `bytes FIRST-LAST/TOTAL`.
fn parse_content_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.trim().parse().ok()?, total.trim().parse().ok()))
}

/// What a refusal means to the user.
pub fn refusal(status: StatusCode, url: &str, has_token: bool) -> anyhow::Error {
    let remedy = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if has_token => {
            "HF_TOKEN gives no access to it: check that it exists and accept its terms on its page"
        }
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            "it does not exist or is not public: check its name, or set HF_TOKEN"
        }
        StatusCode::NOT_FOUND => "it does not exist: check its name",
        StatusCode::TOO_MANY_REQUESTS => "too many requests: try later, or set HF_TOKEN",
        _ => "try later",
    };
    anyhow::anyhow!("{url}: HTTP {}: {remedy}", status.as_u16())
}
