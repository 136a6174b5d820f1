//! What containers write: one log for each run of a container, in the format of the container runtimes (CRI), and the
//! register of those that can be asked for.

mod lines;
mod reader;

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::jiff::Timestamp;
use tokio::fs::{self, File};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::sync::watch;

use lines::Lines;
pub use reader::{LogReader, Selection};

/// A file of a log is followed by the next when it is so long, and the one before it goes.
const FILE_LENGTH: u64 = 10 * 1024 * 1024;

/// How far a log has been written.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    /// The number of the file that is written to. The one before may still be there.
    file: u64,
    /// Its length.
    length: u64,
    /// Nothing will follow.
    ended: bool,
}

/// The log of one run of a container.
#[derive(Debug)]
pub struct Log {
    directory: PathBuf,
    written: watch::Sender<Written>,
}

impl Log {
    /// An empty log in a directory of its own.
    ///
    /// # Errors
    /// The directory can't be made.
    pub async fn create(directory: PathBuf) -> io::Result<Arc<Self>> {
        fs::create_dir_all(&directory).await?;
        Ok(Arc::new(Self { directory, written: watch::Sender::default() }))
    }

    fn path(&self, file: u64) -> PathBuf {
        self.directory.join(format!("{file}.log"))
    }

    /// Writes down what comes out of the two pipes, until both are closed.
    ///
    /// # Errors
    /// A pipe or the disk fails. The log ends there.
    pub async fn record(&self, stdout: pipe::Receiver, stderr: pipe::Receiver) -> io::Result<()> {
        let result = self.copy(stdout, stderr).await;
        self.close();
        result
    }

    /// Nothing will be written any more.
    pub fn close(&self) {
        self.written.send_modify(|written| written.ended = true);
    }

    async fn copy(&self, mut stdout: pipe::Receiver, mut stderr: pipe::Receiver) -> io::Result<()> {
        let mut file = File::create(self.path(0)).await?;
        let (mut out, mut err) = (Lines::new("stdout"), Lines::new("stderr"));
        let (mut out_buffer, mut err_buffer) = (vec![0; 16 * 1024], vec![0; 16 * 1024]);
        let (mut out_open, mut err_open) = (true, true);
        while out_open || err_open {
            let records = tokio::select! {
                read = stdout.read(&mut out_buffer), if out_open => {
                    let read = read?;
                    out_open = read > 0;
                    out.push(&out_buffer[..read], Timestamp::now())
                }
                read = stderr.read(&mut err_buffer), if err_open => {
                    let read = read?;
                    err_open = read > 0;
                    err.push(&err_buffer[..read], Timestamp::now())
                }
            };
            self.append(&mut file, &records).await?;
        }
        Ok(())
    }

    async fn append(&self, file: &mut File, records: &[u8]) -> io::Result<()> {
        if records.is_empty() {
            return Ok(());
        }
        let written = *self.written.borrow();
        if written.length > FILE_LENGTH {
            *file = File::create(self.path(written.file + 1)).await?;
            self.written.send_modify(|written| (written.file, written.length) = (written.file + 1, 0));
            if let Some(old) = written.file.checked_sub(1) {
                fs::remove_file(self.path(old)).await?;
            }
        }
        file.write_all(records).await?;
        file.flush().await?;
        self.written.send_modify(|written| written.length += records.len() as u64);
        Ok(())
    }

    /// The last `length` bytes of at most `lines` lines, without time stamps.
    pub async fn tail(self: &Arc<Self>, lines: usize, length: usize) -> Vec<u8> {
        let selection = Selection { tail: Some(lines), ..Selection::default() };
        let mut text = Vec::new();
        if let Ok(mut reader) = LogReader::open(Arc::clone(self), selection).await {
            while let Ok(Some(piece)) = reader.next().await {
                text.extend_from_slice(&piece);
                text.drain(..text.len().saturating_sub(length));
            }
        }
        text
    }
}

/// Which container is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    pub namespace: String,
    pub pod: String,
    pub container: String,
}

/// The logs of one container that are kept.
#[derive(Clone, Debug)]
struct Kept {
    pod_uid: String,
    current: Arc<Log>,
    previous: Option<Arc<Log>>,
}

/// All logs that can be asked for.
#[derive(Debug, Default)]
pub struct Logs(Mutex<HashMap<Key, Kept>>);

impl Logs {
    /// Makes `log` the current one of a container, and returns the directory of one that is no longer needed.
    pub fn start(&self, key: Key, pod_uid: &str, log: Arc<Log>) -> Option<PathBuf> {
        let mut logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (previous, dropped) = match logs.remove(&key).filter(|kept| kept.pod_uid == pod_uid) {
            Some(kept) => (Some(kept.current), kept.previous),
            None => (None, None),
        };
        logs.insert(key, Kept { pod_uid: pod_uid.to_owned(), current: log, previous });
        dropped.map(|log| log.directory.clone())
    }

    /// The log of the container's current run, or of the one before.
    pub fn find(&self, key: &Key, previous: bool) -> Option<Arc<Log>> {
        let logs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = logs.get(key)?;
        if previous { kept.previous.clone() } else { Some(Arc::clone(&kept.current)) }
    }

    /// Forgets the logs of a pod.
    pub fn forget(&self, pod_uid: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, kept| kept.pod_uid != pod_uid);
    }
}
