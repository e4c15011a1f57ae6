//! Plain HTTP, for what needs no client library.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::SOON;

/// Body of the answer to a `GET`.
pub fn get(address: SocketAddr, path: &str) -> String {
    exchange(address, &format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept: */*\r\n\r\n")).1
}

/// Status and body of the answer to a `POST`.
pub fn post(address: SocketAddr, path: &str, body: &str) -> (u16, String) {
    let length = body.len();
    exchange(address, &format!("POST {path} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"))
}

fn exchange(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let text = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, body.to_owned())
}
