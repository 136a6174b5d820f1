//! What a Service of Kubernetes does for the gateway: one address, behind it the replica whose turn it is. A connection
//! carries one request, so that the calls of a pod go to all replicas, even if its engine would keep the first one.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value;

/// How the headers begin that have the pod's token.
const CREDENTIALS: [&str; 2] = ["authorization: bearer ", "x-api-key: "];

/// The Service, for as long as the process lives.
pub struct Service {
    address: SocketAddr,
    routes: Arc<Mutex<Routes>>,
}

/// Where connections go.
#[derive(Default)]
struct Routes {
    endpoints: Vec<SocketAddr>,
    /// By a part of the pod's name, as the task's UID is: who takes its connections for as long as it listens.
    favourites: Vec<(String, SocketAddr)>,
    /// By pod: who took its connections.
    taken: BTreeMap<String, Vec<SocketAddr>>,
}

impl Service {
    /// A Service that leads nowhere yet.
    ///
    /// # Panics
    /// Loopback has no free port.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("a listener has an address");
        let routes = Arc::<Mutex<Routes>>::default();
        let known = Arc::clone(&routes);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let known = Arc::clone(&known);
                // Where nobody listens, or the client goes, the connection just ends.
                thread::spawn(move || forward(client, &known));
            }
        });
        Self { address, routes }
    }

    /// Its address, as agents are told it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Leads there from now on, unless it does already.
    pub fn leads_to(&self, endpoints: impl Iterator<Item = SocketAddr>) {
        let mut routes = lock(&self.routes);
        if routes.endpoints.is_empty() {
            routes.endpoints.extend(endpoints);
        }
    }

    /// Leads the pods with the task's `uid` in their names there for as long as somebody listens.
    pub fn favours(&self, uid: &str, endpoint: SocketAddr) {
        lock(&self.routes).favourites.push((uid.to_owned(), endpoint));
    }

    /// How many replicas took calls of the pods with the task's `uid` in their names.
    pub fn replicas_of(&self, uid: &str) -> usize {
        let routes = lock(&self.routes);
        let of_task = routes.taken.iter().filter(|(pod, _)| pod.contains(uid));
        let mut all: Vec<SocketAddr> = of_task.flat_map(|(_, endpoints)| endpoints.clone()).collect();
        all.sort();
        all.dedup();
        all.len()
    }
}

impl Routes {
    /// Who is asked, one after the other, until one takes the pod's connection: each time another one first.
    fn of(&self, pod: &str) -> Vec<SocketAddr> {
        let mut in_turn = self.endpoints.clone();
        let turn = self.taken.get(pod).map_or(0, Vec::len);
        let first = turn.checked_rem(in_turn.len()).unwrap_or_default();
        in_turn.rotate_left(first);
        let favourites = self.favourites.iter().filter(|(uid, _)| pod.contains(uid));
        favourites.map(|(_, endpoint)| *endpoint).chain(in_turn).collect()
    }
}

fn lock(routes: &Mutex<Routes>) -> MutexGuard<'_, Routes> {
    routes.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Copies both ways, until both have ended.
fn forward(client: TcpStream, routes: &Mutex<Routes>) -> io::Result<()> {
    let mut reads = BufReader::new(client.try_clone()?);
    let head = read_head(&mut reads)?;
    if head.is_empty() {
        return Ok(());
    }
    let mut server = connect(&pod(&head).unwrap_or_default(), routes)?;
    write!(server, "{}connection: close\r\n\r\n", head.concat())?;
    server.write_all(reads.buffer())?;
    let writes = server.try_clone()?;
    let up = thread::spawn(move || copy(reads.into_inner(), writes));
    copy(server, client);
    let _ = up.join();
    Ok(())
}

/// The lines of a request before its body, without what it says of its connection.
fn read_head(reads: &mut BufReader<TcpStream>) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        // So ends a head that breaks off, too: the server refuses it.
        if reads.read_line(&mut line)? <= 2 {
            return Ok(lines);
        }
        if !line.to_lowercase().starts_with("connection:") {
            lines.push(line);
        }
    }
}

/// The name of the pod that asks, as the token says it that it was given.
fn pod(head: &[String]) -> Option<String> {
    let credentials = |line: &String| {
        let begin = CREDENTIALS.iter().find(|begin| line.to_lowercase().starts_with(**begin))?;
        Some(line[begin.len()..].trim().to_owned())
    };
    let token = head.iter().find_map(credentials)?;
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims["kubernetes.io"]["pod"]["name"].as_str().map(str::to_owned)
}

/// To the first that takes the connection.
fn connect(pod: &str, routes: &Mutex<Routes>) -> io::Result<TcpStream> {
    let in_turn = lock(routes).of(pod);
    let taken = in_turn.into_iter().find_map(|at| Some((at, TcpStream::connect(at).ok()?)));
    let (endpoint, server) = taken.ok_or_else(|| io::Error::other("nobody listens"))?;
    lock(routes).taken.entry(pod.to_owned()).or_default().push(endpoint);
    Ok(server)
}

/// A client that goes is a server's business, and the other way round.
fn copy(mut from: TcpStream, mut to: TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
}
