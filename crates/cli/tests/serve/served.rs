//! A running `lockstep serve`.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::default_model::{lockstep, model};
use crate::http::{Answer, Stream, request};

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// A server; it ends with the test.
pub(crate) struct Served {
    process: Child,
    address: String,
    log: Mutex<Log>,
}

/// What it says on standard error, line by line.
struct Log {
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Served {
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = lockstep();
        command.args(["serve", "-m", model(), "--addr", "127.0.0.1:0", "--alias", "smollm2", "--lpu", "off"]);
        if !arguments.contains(&"--threads") {
            command.args(["--threads", "2"]);
        }
        command.args(["--log", "json"]).args(arguments).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines().map_while(Result::ok);
        let line = lines.find(|line| line.starts_with("serving ")).unwrap();
        let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        let (send, received) = channel();
        // Read to the end even where nobody wants it, so that the server can write.
        std::thread::spawn(move || lines.for_each(|line| drop(send.send(line))));
        Self { process, address, log: Mutex::new(Log { lines: received, seen: Vec::new() }) }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.open(path, body).rest()
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], None).rest()
    }

    /// Asks, and leaves the answer's body unread.
    pub(crate) fn open(&self, path: &str, body: &Value) -> Stream {
        self.send("POST", path, &[], Some(body))
    }

    /// The same with further headers.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Stream {
        Stream::open(self.connect(), &request(method, path, headers, body))
    }

    /// Sends bytes as they are and reads one answer.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Answer {
        Stream::open(self.connect(), bytes).rest()
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    pub(crate) fn metric(&self, name: &str) -> f64 {
        metric(&self.get("/metrics").text, name)
    }

    /// Waits for a line of the log of which `found` makes something.
    pub(crate) fn logged<T>(&self, what: &str, found: impl Fn(&Value) -> Option<T>) -> T {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let parsed = |line: &String| serde_json::from_str::<Value>(line).ok();
        if let Some(value) = log.seen.iter().filter_map(parsed).find_map(|line| found(&line)) {
            return value;
        }
        loop {
            let line = log.lines.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("never logged: {what}"));
            log.seen.push(line);
            if let Some(value) = log.seen.last().and_then(parsed).and_then(|line| found(&line)) {
                return value;
            }
        }
    }

    /// All lines of the log so far.
    pub(crate) fn log(&self) -> String {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<String> = log.lines.try_iter().collect();
        log.seen.extend(new);
        log.seen.join("\n")
    }

    /// How many files and sockets it has open, where the system tells (Linux); 0 elsewhere.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).map_or(0, Iterator::count)
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        let status = std::process::Command::new("kill").arg(self.process.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits until it ends by itself, which must be a success.
    pub(crate) fn ends(mut self) {
        let log = self.log.get_mut().unwrap();
        // It holds the other end of this for as long as it lives.
        let error = std::iter::repeat_with(|| log.lines.recv_timeout(PATIENCE)).find_map(Result::err);
        assert_eq!(error, Some(RecvTimeoutError::Disconnected), "it does not end");
        assert!(self.process.wait().unwrap().success());
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The value of a metric in what `/metrics` says.
pub(crate) fn metric(text: &str, name: &str) -> f64 {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// Asks again until it is so. Each try waits for an answer of another process, so that none need be slept away.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
    }
}
