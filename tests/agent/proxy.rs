//! A proxy in front of one replica's gateway, as clusters have them: where nobody listens behind it, it says so with 503.

use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::held::read_request;

/// What it says, in turn: as Envoy does, and as a gateway of ours that can't reach the API server.
const UNAVAILABLE: [(&str, &str); 2] = [
    ("text/plain", "no healthy upstream"),
    (
        "application/json",
        r#"{"error":{"message":"punching-fist-gateway: Unavailable: try again","type":"server_error","code":503}}"#,
    ),
];
static SAID: AtomicUsize = AtomicUsize::new(0);

/// Starts it, for as long as the process lives: its address.
pub fn start(gateway: SocketAddr) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that goes away is its own business.
            thread::spawn(move || pass(client, gateway));
        }
    });
    Ok(address)
}

fn pass(client: TcpStream, gateway: SocketAddr) -> io::Result<()> {
    let Ok(server) = TcpStream::connect(gateway) else { return refuse(client) };
    let (reads, writes) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || copy(reads, writes));
    copy(server, client)
}

fn refuse(mut client: TcpStream) -> io::Result<()> {
    read_request(&client)?;
    let (kind, body) = UNAVAILABLE[SAID.fetch_add(1, Ordering::SeqCst) % UNAVAILABLE.len()];
    let head = format!("content-type: {kind}\r\ncontent-length: {}\r\nconnection: close", body.len());
    write!(client, "HTTP/1.1 503 Service Unavailable\r\n{head}\r\n\r\n{body}")
}

/// However one side ends, the other is told.
fn copy(mut from: TcpStream, mut to: TcpStream) -> io::Result<()> {
    let copied = io::copy(&mut from, &mut to);
    to.shutdown(Shutdown::Write)?;
    copied.map(drop)
}
