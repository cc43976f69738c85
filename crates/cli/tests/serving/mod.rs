//! A running `lockstep serve`, and a small HTTP client that can misbehave.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::common::default_model::{lockstep, model};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_mins(2);

/// A server; it ends with the test.
pub struct Served {
    process: Child,
    address: String,
}

/// What came back.
pub struct Answer {
    pub status: u16,
    head: String,
    pub text: String,
}

/// A response of which only the head was read.
pub struct Stream(BufReader<TcpStream>);

impl Served {
    pub fn start(arguments: &[&str]) -> Self {
        let mut command = lockstep();
        command.args(["serve", "-m", model(), "--addr", "127.0.0.1:0", "--threads", "2", "--alias", "smollm2"]);
        command.args(["--lpu", "off", "--log", "off"]).args(arguments).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let line = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("serving "))).unwrap().unwrap();
        let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        // Kept read, so that the server can write.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address }
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.raw(&request(path, body))
    }

    pub fn get(&self, path: &str) -> Answer {
        self.raw(format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").as_bytes())
    }

    /// Sends bytes as they are and reads one answer.
    pub fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // Whoever is refused early may be cut off while writing.
        let _ = stream.write_all(bytes);
        let mut reader = BufReader::new(stream);
        let head = read_head(&mut reader);
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let text = if head.contains("\r\ntransfer-encoding: chunked") { chunked(reader) } else { sized(reader, &head) };
        Answer { status, head, text }
    }

    /// Asks, and leaves the answer's body unread.
    pub fn open(&self, path: &str, body: &Value) -> Stream {
        let mut stream = self.connect();
        stream.write_all(&request(path, body)).unwrap();
        let mut reader = BufReader::new(stream);
        assert!(read_head(&mut reader).starts_with("HTTP/1.1 200"));
        Stream(reader)
    }

    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("{name} in {text}"))
    }

    /// Whether something comes true in time.
    pub fn eventually(&self, holds: impl Fn(&Self) -> bool) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if holds(self) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        let status = std::process::Command::new("kill").arg(self.process.id().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Whether it ends by itself, with success.
    pub fn ends(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

impl Stream {
    /// All that follows.
    pub fn rest(self) -> String {
        chunked(self.0)
    }
}

fn request(path: &str, body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn read_head(reader: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
    head
}

fn sized(mut reader: BufReader<TcpStream>, head: &str) -> String {
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    String::from_utf8(body).unwrap()
}

fn chunked(mut reader: BufReader<TcpStream>) -> String {
    let mut body = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        let start = body.len();
        body.resize(start + length + 2, 0);
        reader.read_exact(&mut body[start..]).unwrap();
        body.truncate(start + length);
        if length == 0 {
            return String::from_utf8(body).unwrap();
        }
    }
}

/// The events of a stream, which must end as it should.
pub fn events(text: &str) -> Vec<Value> {
    let mut data: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(data.pop(), Some("[DONE]"), "{text}");
    data.into_iter().map(|data| serde_json::from_str(data).unwrap()).collect()
}
