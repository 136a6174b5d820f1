//! Reading files that the agent could have put there: it has our uid. What isn't a plain file, or has no end, costs
//! nothing, and one look takes so much, for so long, and no more.

use std::fs::{self, DirEntry, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::OFlag;
use serde_json::Value;

/// The longest file, in bytes: a long conversation fits several times.
const FILE_MAX: u64 = 16 * 1024 * 1024;
/// So many values are in one file, at most: a long conversation has thousands, and each takes many times its length.
const VALUES: usize = 100_000;
/// So many bytes are read in one look.
const BYTES: u64 = 64 * 1024 * 1024;
/// So many files are read in one look.
const FILES: usize = 1000;
/// So long does one look take.
const TIME: Duration = Duration::from_millis(500);
/// So many entries of a directory are seen.
const ENTRIES: usize = 20_000;

/// What stands in a plain file of at most `most` bytes.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path)?;
    let metadata = file.metadata()?;
    // Whatever else stands under that name could be read without end, or is not the program's.
    if !metadata.is_file() {
        return Err(io::Error::other("the path holds no file"));
    }
    let too_long = || io::Error::other(format!("the file has more than {most} bytes"));
    if metadata.len() > most {
        return Err(too_long());
    }
    let mut text = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default() + 1);
    file.take(most + 1).read_to_end(&mut text)?;
    // It may have grown since.
    if text.len() as u64 > most { Err(too_long()) } else { Ok(text) }
}

/// The JSON that a text is; none where it is none, or has so many values that they would take all memory.
pub fn json(text: &[u8]) -> Option<Value> {
    if values(text) > VALUES { None } else { serde_json::from_slice(text).ok() }
}

/// How many values a text of JSON has, at most: each but the first follows one of three signs.
fn values(text: &[u8]) -> usize {
    let (mut count, mut is_string, mut is_escaped) = (1, false, false);
    for byte in text {
        is_string ^= *byte == b'"' && !is_escaped;
        is_escaped = is_string && *byte == b'\\' && !is_escaped;
        count += usize::from(!is_string && matches!(byte, b',' | b'[' | b'{'));
    }
    count
}

/// What stands in a directory that is no link, as far as one look sees it.
pub fn entries(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    listed(directory).map(|entry| entry.path())
}

/// The directories in a directory, links to none among them.
pub fn directories(directory: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let directories = listed(directory).filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.path())
}

fn listed(directory: &Path) -> impl Iterator<Item = DirEntry> + use<> {
    let is_directory = fs::symlink_metadata(directory).is_ok_and(|metadata| metadata.is_dir());
    let entries = is_directory.then(|| fs::read_dir(directory).ok()).flatten();
    entries.into_iter().flatten().flatten().take(ENTRIES)
}

/// One look at the engine's files. What it has no room for is left for the next one.
#[derive(Debug)]
pub struct Look {
    files: usize,
    bytes: u64,
    /// No file has more bytes.
    longest: u64,
    until: Instant,
}

impl Look {
    /// A look that has read nothing yet.
    pub fn new() -> Self {
        Self { files: FILES, bytes: BYTES, longest: FILE_MAX, until: Instant::now() + TIME }
    }

    /// A look at shorter files, with so many bytes in all as one of them may have.
    pub fn at_short_files(longest: u64) -> Self {
        Self { bytes: longest, longest, ..Self::new() }
    }

    /// As much again, until the same moment.
    pub fn renewed(&self) -> Self {
        Self { until: self.until, ..Self::at_short_files(self.longest) }
    }

    /// What stands in the file; none where that can't be read, or not in this look.
    pub fn read(&mut self, path: &Path) -> Option<Vec<u8>> {
        let text = self.peek(path)?;
        self.count(&text);
        Some(text)
    }

    /// The JSON in the file; none as in [`Self::read`] and [`json`]. What is none takes time from this look, and no room.
    pub fn json(&mut self, path: &Path) -> Option<Value> {
        let text = self.peek(path)?;
        let value = json(&text)?;
        self.count(&text);
        Some(value)
    }

    fn peek(&self, path: &Path) -> Option<Vec<u8>> {
        if self.is_over() { None } else { read(path, self.longest).ok() }
    }

    fn count(&mut self, text: &[u8]) {
        self.files -= 1;
        self.bytes = self.bytes.saturating_sub(text.len() as u64);
    }

    /// Whether it has no room for more.
    pub fn is_over(&self) -> bool {
        self.files == 0 || self.bytes == 0 || Instant::now() >= self.until
    }
}

#[cfg(test)]
pub mod traps {
    //! Files on which a careless reader hangs, or takes all memory.

    use std::fs::File;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::Mode;

    use super::*;

    /// Puts each of them where `place` says.
    pub fn set(place: impl Fn(&str) -> PathBuf) {
        nix::unistd::mkfifo(&place("fifo"), Mode::S_IRWXU).expect("our own directory");
        symlink("/dev/zero", place("endless")).expect("our own directory");
        let sparse = File::create(place("sparse")).expect("our own directory");
        sparse.set_len(20 << 30).expect("a file with a hole");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_files_of_some_length_are_read() {
        let directory = tempfile::tempdir().expect("a directory");
        traps::set(|name| directory.path().join(name));
        fs::write(directory.path().join("plain"), "four").expect("our own directory");
        for (name, problem) in [
            ("fifo", "no file"),
            ("endless", "symbolic link"),
            ("sparse", "more than 4 bytes"),
            (".", "no file"),
        ] {
            let error = read(&directory.path().join(name), 4).expect_err(name).to_string();
            assert!(error.contains(problem), "{name}: {error}");
        }
        assert_eq!(read(&directory.path().join("plain"), 4).expect("a file"), b"four");
        assert!(read(&directory.path().join("plain"), 3).is_err());
    }

    #[test]
    fn a_look_takes_so_much_and_a_link_to_a_directory_shows_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("file");
        fs::write(&file, "x").expect("our own directory");
        let mut look = Look { files: 2, ..Look::new() };
        assert!(look.read(&file).is_some() && look.read(&file).is_some() && look.read(&file).is_none());
        let mut look = Look { bytes: 1, ..Look::new() };
        assert!(look.read(&file).is_some() && look.read(&file).is_none());
        assert!(Look { until: Instant::now(), ..Look::new() }.read(&file).is_none());
        assert_eq!(entries(directory.path()).count(), 1);
        let link = directory.path().join("link");
        std::os::unix::fs::symlink("/proc", &link).expect("our own directory");
        assert_eq!((entries(&link).count(), directories(&link).count()), (0, 0));
        assert_eq!((entries(directory.path()).count(), directories(directory.path()).count()), (2, 0));
    }

    #[test]
    fn values_without_end_are_no_json() {
        let list = |count: usize| format!("[0{}]", ",0".repeat(count));
        let text = format!(r#"["{}", "\\", ",[{{\"", 7]"#, ",".repeat(2 * VALUES));
        assert_eq!((values(b"7"), values(b"[[],{}]"), values(text.as_bytes())), (1, 5, 5));
        for (text, is_json) in
            [(list(VALUES - 5), true), (list(VALUES), false), (text, true), ("[".into(), false)]
        {
            assert_eq!(json(text.as_bytes()).is_some(), is_json);
        }
    }
}
