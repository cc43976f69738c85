//! A small HTTP client that can misbehave: one request a connection, bytes as they are.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use serde_json::Value;

/// What came back.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) text: String,
}

/// A response that is read piece by piece.
pub(crate) struct Stream {
    reader: BufReader<TcpStream>,
    head: String,
    body: Vec<u8>,
    is_over: bool,
}

impl Stream {
    /// Sends bytes and reads the head of what comes back.
    pub(crate) fn open(mut stream: TcpStream, bytes: &[u8]) -> Self {
        // Whoever is refused early may be cut off while writing.
        let _ = stream.write_all(bytes);
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|read| read > 0) {}
        Self { reader, head, body: Vec::new(), is_over: false }
    }

    /// 0 where nothing came back.
    pub(crate) fn status(&self) -> u16 {
        self.head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    /// Reads until this many events are there, or the end.
    pub(crate) fn read_events(&mut self, count: usize) {
        while !self.is_over && String::from_utf8_lossy(&self.body).matches("data: ").count() < count {
            self.read_piece();
        }
    }

    /// Reads to the end.
    pub(crate) fn rest(mut self) -> Answer {
        while !self.is_over {
            self.read_piece();
        }
        Answer { status: self.status(), head: self.head, text: String::from_utf8(self.body).unwrap() }
    }

    /// A chunk, or all of a body whose length is known.
    fn read_piece(&mut self) {
        let is_chunked = self.head.contains("\r\ntransfer-encoding: chunked");
        let length = if is_chunked {
            let mut line = String::new();
            self.reader.read_line(&mut line).unwrap();
            usize::from_str_radix(line.trim(), 16).unwrap()
        } else {
            header(&self.head, "content-length").and_then(|length| length.parse().ok()).unwrap_or(0)
        };
        let start = self.body.len();
        self.body.resize(start + length, 0);
        self.reader.read_exact(&mut self.body[start..]).unwrap();
        if is_chunked {
            self.reader.read_exact(&mut [0; 2]).unwrap();
        }
        self.is_over = !is_chunked || length == 0;
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }

    /// The events of a stream, which must end as it should.
    pub(crate) fn events(&self) -> Vec<Value> {
        let mut data: Vec<&str> = self.text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
        assert_eq!(data.pop(), Some("[DONE]"), "{}", self.text);
        data.into_iter().map(|data| serde_json::from_str(data).unwrap()).collect()
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// A request with further header lines.
pub(crate) fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    head.extend(headers.iter().flat_map(|(name, value)| [name, ": ", value, "\r\n"]));
    let body = body.map(Value::to_string).unwrap_or_default();
    if !body.is_empty() {
        let length = body.len().to_string();
        head.extend(["content-type: application/json\r\ncontent-length: ", &length, "\r\n"]);
    }
    [head, body].join("\r\n").into_bytes()
}
