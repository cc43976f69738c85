//! A small HTTP server on the loopback interface whose faults are scripted.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What one request is answered with.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Status line and headers (with CRLF), then the body; the connection is closed after it.
    Send(String, Vec<u8>),
    /// The same, then silence until the client goes.
    Stall(String, Vec<u8>),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub range: Option<u64>,
    pub authorization: Option<String>,
}

/// A running server; it ends with the test process.
pub struct Server {
    pub url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    /// `answer` is given each request and how many came before it.
    pub fn start(answer: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                std::thread::spawn(move || serve(stream, &*answer, &log));
            }
        });
        Self { url, asked }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, answer: &dyn Fn(&Asked, usize) -> Answer, log: &Mutex<Vec<Asked>>) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let first = lines.next()?.ok()?;
    let mut asked = Asked { path: first.split(' ').nth(1)?.to_owned(), range: None, authorization: None };
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':')?;
        match name.to_ascii_lowercase().as_str() {
            "range" => asked.range = value.trim().strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok(),
            "authorization" => asked.authorization = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let before = {
        let mut log = log.lock().unwrap();
        log.push(asked.clone());
        log.len() - 1
    };
    match answer(&asked, before) {
        Answer::Send(head, body) => {
            stream.write_all(head.as_bytes()).ok()?;
            stream.write_all(&body).ok()?;
        }
        Answer::Stall(head, body) => {
            stream.write_all(head.as_bytes()).ok()?;
            stream.write_all(&body).ok()?;
            stream.flush().ok()?;
            // Until the client closes its side, or the read timeout.
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
    }
    Some(())
}

fn head(status: &str, length: usize, more: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{more}\r\n")
}

/// All of `bytes`.
pub fn whole(bytes: &[u8]) -> Answer {
    Answer::Send(head("200 OK", bytes.len(), ""), bytes.to_vec())
}

/// `bytes` from where the request wants them.
pub fn ranged(bytes: &[u8], asked: &Asked) -> Answer {
    match asked.range {
        None => whole(bytes),
        Some(start) if start as usize >= bytes.len() => status("416 Range Not Satisfiable"),
        Some(start) => {
            let rest = &bytes[start as usize..];
            let range = format!("Content-Range: bytes {start}-{}/{}\r\n", bytes.len() - 1, bytes.len());
            Answer::Send(head("206 Partial Content", rest.len(), &range), rest.to_vec())
        }
    }
}

/// The answer, but the connection breaks after `length` bytes of the body.
pub fn cut(answer: Answer, length: usize) -> Answer {
    match answer {
        Answer::Send(head, body) => Answer::Send(head, body[..length].to_vec()),
        stall @ Answer::Stall(..) => stall,
    }
}

/// The answer, but nothing comes after `length` bytes of the body.
pub fn stall(answer: Answer, length: usize) -> Answer {
    match answer {
        Answer::Send(head, body) | Answer::Stall(head, body) => Answer::Stall(head, body[..length].to_vec()),
    }
}

pub fn status(line: &str) -> Answer {
    Answer::Send(head(line, 0, ""), Vec::new())
}
