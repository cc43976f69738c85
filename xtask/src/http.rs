//! One request a connection, for tasks that talk to a served model.

use anyhow::{Context, Result};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// Longest silence of a server: a slow computer is waited for, one that hangs is not.
const PATIENCE: Duration = Duration::from_mins(10);
/// The same for what is answered at once.
const SHORT: Duration = Duration::from_secs(5);

/// What came back, at once: the status, and the body as text.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"), SHORT)
}

/// The same with a body of JSON.
pub(crate) fn post(address: SocketAddr, path: &str, body: &Value) -> Result<(u16, String)> {
    ask(address, &posted(address, path, body), PATIENCE)
}

/// The same, but the answer's lines go to `on_line` as they come: head, bounds of chunks and all. Who reads knows the
/// lines that it wants by how they begin; a server puts each event of a stream into a chunk of its own.
pub(crate) fn post_lines(address: SocketAddr, path: &str, body: &Value, mut on_line: impl FnMut(String)) -> Result<()> {
    let stream = send(address, &posted(address, path, body), PATIENCE)?;
    for line in BufReader::new(stream).lines() {
        on_line(line?);
    }
    Ok(())
}

fn posted(address: SocketAddr, path: &str, body: &Value) -> String {
    let body = body.to_string();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json");
    format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn send(address: SocketAddr, request: &str, patience: Duration) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(request.as_bytes())?;
    Ok(stream)
}

fn ask(address: SocketAddr, request: &str, patience: Duration) -> Result<(u16, String)> {
    let mut answer = Vec::new();
    send(address, request, patience)?.read_to_end(&mut answer)?;
    let answer = String::from_utf8(answer).context("the answer is not UTF-8")?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer has no head")?;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("the answer has no status")?;
    let is_chunked = head.to_ascii_lowercase().contains("\r\ntransfer-encoding: chunked");
    Ok((status, if is_chunked { joined(body).context("the answer breaks off")? } else { body.to_owned() }))
}

/// The text of chunks, each after its length in hexadecimal; none where the last one is missing.
fn joined(mut chunks: &str) -> Option<String> {
    let mut text = String::new();
    loop {
        let (length, rest) = chunks.split_once("\r\n")?;
        let length = usize::from_str_radix(length, 16).ok()?;
        if length == 0 {
            return Some(text);
        }
        text.push_str(rest.get(..length)?);
        chunks = rest.get(length..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::joined;

    #[test]
    fn chunks_are_joined_where_they_are_whole() {
        assert_eq!(joined("3\r\nabc\r\nA\r\n0123456789\r\n0\r\n\r\n").as_deref(), Some("abc0123456789"));
        for broken in ["", "3\r\nabc\r\n", "3\r\nab", "x\r\n", "5\r\nab\r\n0\r\n"] {
            assert_eq!(joined(broken), None, "{broken:?}");
        }
    }
}
