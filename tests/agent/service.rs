//! What a Service of Kubernetes does for the gateway: one address, behind it whichever replica takes the connection.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// The Service, for as long as the process lives.
pub struct Service {
    address: SocketAddr,
    /// The next one first.
    endpoints: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Service {
    /// A Service that leads nowhere yet.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let endpoints = Arc::<Mutex<Vec<SocketAddr>>>::default();
        let known = Arc::clone(&endpoints);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let known = Arc::clone(&known);
                thread::spawn(move || forward(client, &known));
            }
        });
        Self { address, endpoints }
    }

    /// Its address, as agents are told it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leads there from now on, unless it does already.
    pub fn leads_to(&self, endpoints: impl Iterator<Item = SocketAddr>) {
        let mut known = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_empty() {
            known.extend(endpoints);
        }
    }
}

/// Copies both ways, until both have ended. Where nobody listens the client's connection just ends.
fn forward(client: TcpStream, endpoints: &Mutex<Vec<SocketAddr>>) {
    let Some(server) = connect(endpoints) else { return };
    let (Ok(reads), Ok(writes)) = (client.try_clone(), server.try_clone()) else { return };
    let up = thread::spawn(move || copy(reads, writes));
    copy(server, client);
    let _ = up.join();
}

/// To the endpoint whose turn it is, or the next that takes connections.
fn connect(endpoints: &Mutex<Vec<SocketAddr>>) -> Option<TcpStream> {
    let in_turn = {
        let mut endpoints = endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        if !endpoints.is_empty() {
            endpoints.rotate_left(1);
        }
        endpoints.clone()
    };
    in_turn.into_iter().find_map(|endpoint| TcpStream::connect(endpoint).ok())
}

/// A client that goes is a server's business, and the other way round.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
