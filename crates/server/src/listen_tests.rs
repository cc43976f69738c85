#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::SocketAddr;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::routing::post;

use super::*;
use crate::body::read_bytes;

/// Something that must not end by itself gets this much time, what is to be cut off the other.
const LONG: Duration = Duration::from_mins(10);
const SHORT: Duration = Duration::from_millis(20);

/// A server with these limits whose one route reads a body and says it back; it lives as long as the process.
fn served(limits: Limits) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    let (most, time) = (limits.body_bytes, limits.body_time);
    let echo = move |headers: HeaderMap, body: Body| async move { read_bytes(&headers, body, most, time).await };
    let router = Router::new().route("/", post(echo));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (_drain, draining) = watch::channel(false);
        runtime.block_on(async { serve(TcpListener::from_std(listener).unwrap(), router, &limits, draining).await });
    });
    address
}

/// Sends bytes, and reads until the server closes.
fn answer(address: SocketAddr, bytes: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(bytes.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn posted(body: &str, length: usize) -> String {
    format!("POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}")
}

#[test]
fn a_body_that_does_not_come_is_waited_for_no_longer_than_allowed() {
    let address = served(Limits { body_time: SHORT, header_time: LONG, ..Limits::default() });
    let late = answer(address, &posted("abc", 4));
    assert!(late.starts_with("HTTP/1.1 408 ") && late.contains("\"code\":\"request_timeout\""), "{late}");
    assert!(late.contains("\r\nx-should-retry: false\r\n"), "{late}");
    // A connection on which nothing is asked is not one whose body is late.
    let idle = std::net::TcpStream::connect(address).unwrap();
    let whole = answer(address, &posted("abcd", 4));
    assert!(whole.starts_with("HTTP/1.1 200 ") && whole.ends_with("\r\n\r\nabcd"), "{whole}");
    drop(idle);
}

#[test]
fn a_head_that_does_not_end_is_cut_off() {
    let address = served(Limits { body_time: LONG, header_time: SHORT, ..Limits::default() });
    for begun in ["POST / HTTP/1.1\r\nhost: localhost\r\nx: ", "P", ""] {
        let cut = answer(address, begun);
        assert!(cut.is_empty() || cut.starts_with("HTTP/1.1 408 "), "{begun:?}: {cut}");
    }
}

#[test]
fn a_body_is_as_long_as_allowed_whatever_it_says_of_itself() {
    let address = served(Limits { body_bytes: 4, ..Limits::default() });
    assert!(answer(address, &posted("abcd", 4)).starts_with("HTTP/1.1 200 "));
    assert!(answer(address, &posted("", 5)).starts_with("HTTP/1.1 413 "));
    let head = "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
    assert!(answer(address, &format!("{head}4\r\nabcd\r\n0\r\n\r\n")).starts_with("HTTP/1.1 200 "));
    let more = answer(address, &format!("{head}3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"));
    assert!(more.starts_with("HTTP/1.1 413 ") && more.contains("\"code\":\"request_too_large\""), "{more}");
}
