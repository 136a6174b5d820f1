//! A provider whose answers stop half way, until the test lets them go on.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use punching_fist_e2e::{Outcome, until};

/// What is said at first.
pub const FIRST: &str = "The first half,";
/// What is said when it goes on.
pub const LAST: &str = "and the second.";

/// The provider, for as long as the process lives.
pub struct Held {
    address: SocketAddr,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    /// First halves that were written.
    begun: AtomicUsize,
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Held {
    /// It answers by half from the start.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let gate = Arc::<Gate>::default();
        let opens = Arc::clone(&gate);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let opens = Arc::clone(&opens);
                // A client that goes away is its own business.
                thread::spawn(move || answer(client, &opens));
            }
        });
        Self { address, gate }
    }

    /// Where it is, as a profile says it.
    pub fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Lets every answer go on to its end.
    pub fn release(&self) {
        *self.gate.is_open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.gate.opened.notify_all();
    }

    /// Waits until that many answers have begun.
    pub async fn begun(&self, count: usize) -> Outcome {
        let begun = async || (self.gate.begun.load(Ordering::SeqCst) >= count).then_some(());
        until("an answer has begun", begun).await
    }
}

fn answer(mut client: TcpStream, gate: &Gate) -> io::Result<()> {
    read_request(&client)?;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    let said = |text| format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#);
    write!(client, "{head}data: {}\n\n", said(FIRST))?;
    gate.begun.fetch_add(1, Ordering::SeqCst);
    let is_open = gate.is_open.lock().unwrap_or_else(PoisonError::into_inner);
    drop(gate.opened.wait_while(is_open, |is_open| !*is_open).unwrap_or_else(PoisonError::into_inner));
    let usage = r#"{"choices":[],"usage":{"prompt_tokens":1000,"completion_tokens":100}}"#;
    write!(client, "data: {}\n\ndata: {usage}\n\ndata: [DONE]\n\n", said(LAST))
}

/// Reads a request to its end.
pub fn read_request(client: &TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(client);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        line.clear();
    }
    reader.read_exact(&mut vec![0; length])
}
