//! A pod in a temporary directory: the runner, a shell script as its engine, and what it left when it ended.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use punching_fist_protocol::{Event, Line, LongResult, Reason, ShortResult};
use serde_json::Value;

/// No test takes so long on a busy machine, unless something hangs. Engines that have to be ended sleep ten minutes, and
/// their runners wait for them for five.
const PATIENCE: Duration = Duration::from_secs(120);

pub const RUNNING: &str = r#"echo '{"kind":"state","state":"running"}'"#;
/// Lets the test act while the engine runs, until [`Running::let_go`].
pub const HOLD: &str =
    "echo '{\"kind\":\"message\",\"text\":\"held\"}'\nwhile [ ! -e go ]; do sleep 0.01; done";
pub const FINISH: &str = r#"echo '{"kind":"finish","verdict":"Diagnosed","summary":"A typo.","confidence":"High","report":"The cause.","plan":"kubectl edit"}'
echo '{"kind":"state","state":"finished"}'"#;

/// Starts a program to which the kernel refuses filters of system calls, as an old one does.
const NO_FILTERS: &str = "
import ctypes, os, platform, struct, sys
seccomp = {'x86_64': 317, 'aarch64': 277}[platform.machine()]
refuse, allow = 0x50000 | 38, 0x7fff0000
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, seccomp), (0x06, 0, 0, refuse), (0x06, 0, 0, allow)]
steps = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *step) for step in steps))
program = ctypes.create_string_buffer(struct.pack('HL', 4, ctypes.addressof(steps)))
prctl = ctypes.CDLL(None).prctl
if prctl(38, 1, 0, 0, 0) or prctl(22, ctypes.c_ulong(2), program, 0, 0):
    sys.exit('no filter')
os.execvp(sys.argv[1], sys.argv[1:])
";

/// What the runner is started in.
pub struct Pod {
    pub directory: tempfile::TempDir,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
}

impl Pod {
    /// A pod of this engine, whose program is this script.
    pub fn of(engine: &str, name: &str, script: &str) -> Self {
        let pod = Self::new("exit 1");
        program(&pod.path("bin").join(name), script);
        pod.with("PUNCHING_FIST_ENGINE", engine)
    }

    /// A pod whose engine is this script.
    pub fn new(script: &str) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        open_to_all(directory.path(), 0o755);
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("bin")).expect("a directory");
        fs::create_dir(path("tmp")).expect("a directory");
        open_to_all(&path("tmp"), 0o777);
        fs::write(path("prompt"), "What is wrong with checkout?").expect("a prompt");
        fs::write(path("termination-log"), "").expect("a termination log");
        open_to_all(&path("termination-log"), 0o666);
        program(&path("bin/punching-fist-agent"), script);
        let text = |path: PathBuf| path.to_str().expect("Unicode").to_owned();
        let environment = [
            ("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", text(path("bin")))),
            ("TMPDIR", text(path("tmp"))),
            ("PUNCHING_FIST_ENGINE", "sdk".to_owned()),
            ("PUNCHING_FIST_PROMPT_FILE", text(path("prompt"))),
            ("PUNCHING_FIST_TIMEOUT_SECONDS", "300".to_owned()),
            ("PUNCHING_FIST_MAX_ITERATIONS", "10".to_owned()),
            ("PUNCHING_FIST_GRACE_SECONDS", "2".to_owned()),
            ("PUNCHING_FIST_TERMINATION_LOG", text(path("termination-log"))),
            ("LLM_MODEL", "openai/scripted".to_owned()),
            ("LLM_API_KEY", "the-key-of-the-model".to_owned()),
        ];
        let environment = environment.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Self { directory, environment, wrapper: Vec::new() }
    }

    /// A pod of the engine `command`, whose program is this script.
    pub fn of_command(script: &str) -> Self {
        let pod = Self::new(script);
        let program = serde_json::json!([pod.path("bin/punching-fist-agent")]).to_string();
        pod.with("PUNCHING_FIST_ENGINE", "command").with("PUNCHING_FIST_COMMAND", &program)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The runner as process 1 of a PID namespace, without any capability, as a pod of the restricted profile has it.
    pub fn with_runner_as_pid_1(mut self) -> Self {
        let root = nix::unistd::geteuid().is_root();
        let spaces: &[&str] = if root { &[] } else { &["--user", "--map-root-user"] };
        let user: &[&str] = if root { &["--reuid=65532", "--regid=65532", "--clear-groups"] } else { &[] };
        let unshare = ["/usr/bin/unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
        let setpriv = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"];
        let words = unshare.iter().chain(spaces).chain(&setpriv).chain(user);
        self.wrapper = words.map(|word| (*word).to_owned()).collect();
        self
    }

    /// The same where the kernel takes no filter of system calls.
    pub fn with_an_old_kernel(mut self) -> Self {
        self = self.with_runner_as_pid_1();
        self.wrapper.extend(["python3", "-c", NO_FILTERS].map(str::to_owned));
        self
    }

    /// The runner with its log and its termination message on a disk of these pages. What they hold in the end is
    /// copied to `log` and `termination-log`.
    pub fn with_a_small_disk(mut self, pages: usize) -> Self {
        let root = nix::unistd::geteuid().is_root();
        let spaces: &[&str] = if root { &[] } else { &["--user", "--map-root-user"] };
        let disk = self.path("disk");
        fs::create_dir(&disk).expect("a directory");
        let (disk, out) = (disk.display(), self.directory.path().display());
        let script = format!(
            "mount -t tmpfs -o size={}k,mode=777 tmpfs {disk} || exit 99\n\
             \"$@\" > {disk}/log\ncode=$?\ncp {disk}/log {disk}/termination-log {out}\nexit $code",
            pages * 4
        );
        let words = ["/usr/bin/unshare", "--mount"].iter().chain(spaces).chain(&["/bin/sh", "-c"]);
        self.wrapper = words.map(|word| (*word).to_owned()).chain([script, "sh".to_owned()]).collect();
        let log = self.path("disk/termination-log");
        self.with("PUNCHING_FIST_TERMINATION_LOG", log.to_str().expect("Unicode"))
    }

    /// Starts the runner.
    pub fn start(self) -> Running {
        let runner = self.path("runner");
        let placed =
            Command::new(env!("CARGO_BIN_EXE_punching-fist-runner")).arg("place").arg(&runner).output();
        let placed = placed.expect("the runner starts");
        assert!(placed.status.success(), "{placed:?}");
        // Whoever started the tests may ignore SIGINT, as a shell's background job does; a container runtime doesn't.
        let plain = ["/usr/bin/env", "--default-signal"].map(PathBuf::from);
        let words = plain
            .into_iter()
            .chain(self.wrapper.iter().map(PathBuf::from))
            .chain([runner, "run".into()])
            .collect::<Vec<_>>();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().envs(self.environment.clone()).current_dir(&self.directory);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the runner starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut stderr = child.stderr.take().expect("piped");
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).map(|_| text).unwrap_or_default()
        });
        Running { pod: self, child, stdout, stderr, read: Vec::new(), started: Instant::now() }
    }

    /// Runs it to its end.
    pub fn run(self) -> Ended {
        self.start().wait()
    }
}

/// Writes a shell script that can be run. Another process writes it: a descriptor of our own could be inherited by what
/// another thread is just starting, and while that has it open nobody can run the file.
pub fn program(path: &Path, script: &str) {
    let mut writer = Command::new("sh");
    writer.args(["-c", "cat > \"$0\" && chmod 755 \"$0\""]).arg(path).stdin(Stdio::piped());
    let mut writer = writer.spawn().expect("a shell");
    let text = format!("#!/bin/sh\n{script}\n");
    writer.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("a reader");
    assert!(writer.wait().expect("its end").success(), "{}", path.display());
}

fn open_to_all(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("our own file");
}

/// A runner at work.
pub struct Running {
    pod: Pod,
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: JoinHandle<String>,
    read: Vec<u8>,
    started: Instant,
}

impl Running {
    pub fn pid(&self) -> nix::unistd::Pid {
        nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"))
    }

    /// The most memory that the runner has had so far, in KiB.
    pub fn most_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("the kernel tells it");
        line.split_ascii_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }

    /// Reads on until an event fits.
    pub fn wait_for(&mut self, fits: impl Fn(&Event) -> bool) -> Event {
        loop {
            let start = self.read.len();
            let read = self.stdout.read_until(b'\n', &mut self.read).expect("the runner prints");
            assert!(
                read > 0 && self.started.elapsed() < PATIENCE,
                "no such event: {:?}",
                String::from_utf8_lossy(&self.read)
            );
            let line = Line::parse(&String::from_utf8_lossy(&self.read[start..]));
            if let Some(line) = line.filter(|line| fits(&line.event)) {
                return line.event;
            }
        }
    }

    /// The first child of the process that we started: the runner, where `unshare` stands before it.
    pub fn child_of_wrapper(&self) -> nix::unistd::Pid {
        let pid = self.child.id();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it runs");
        nix::unistd::Pid::from_raw(children.trim().parse().expect("one child"))
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.pod.path(name)
    }

    /// Waits until so many processes are in the PID namespace of the runner.
    pub fn wait_for_processes(&self, count: usize) {
        let space = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
        let ours = space(&self.child_of_wrapper().to_string());
        let is_there = |entry: &fs::DirEntry| entry.file_name().to_str().and_then(space) == ours;
        while fs::read_dir("/proc").expect("/proc").flatten().filter(is_there).count() < count {
            assert!(self.started.elapsed() < PATIENCE, "they don't come");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Opens the engine's standard output, as a process outside of the runner's reach could hold it.
    pub fn hold_the_engines_output(&self) -> fs::File {
        let engine = fs::read_to_string(self.pod.path("pid")).expect("the engine wrote its process id");
        let output = fs::OpenOptions::new().write(true).open(format!("/proc/{}/fd/1", engine.trim()));
        output.expect("a pipe")
    }

    /// Reads on until the engine is at [`HOLD`].
    pub fn wait_until_held(&mut self) {
        self.wait_for(|event| matches!(event, Event::Message { text } if text == "held"));
    }

    /// Lets an engine that waits for the file `go` go on.
    pub fn let_go(&self) {
        fs::write(self.pod.path("go"), "").expect("our own directory");
    }

    /// Waits for the end of the process while its log stays unread.
    pub fn wait_without_reading(&mut self) {
        while self.child.try_wait().expect("our own child").is_none() {
            assert!(self.started.elapsed() < PATIENCE, "it hangs");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end, which has to come without what would never come by itself.
    pub fn wait(mut self) -> Ended {
        self.stdout.read_to_end(&mut self.read).expect("the runner prints");
        let code = self.child.wait().expect("the runner ends").code();
        let took = self.started.elapsed();
        assert!(took < PATIENCE, "{took:?}: {}", String::from_utf8_lossy(&self.read));
        let message = fs::read_to_string(self.pod.path("termination-log")).unwrap_or_default();
        let stderr = self.stderr.join().expect("no panic");
        Ended { pod: self.pod, code, log: self.read, message, stderr }
    }
}

/// What a runner left.
pub struct Ended {
    pub pod: Pod,
    pub code: Option<i32>,
    pub log: Vec<u8>,
    pub message: String,
    pub stderr: String,
}

impl Ended {
    pub fn text(&self) -> String {
        String::from_utf8(self.log.clone()).expect("the runner prints text")
    }

    /// Every line of the log, which all are JSON objects of limited length.
    pub fn values(&self) -> Vec<Value> {
        let value = |line: &str| {
            assert!(line.len() <= punching_fist_protocol::LINE_MAX, "a line of {} bytes", line.len());
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        self.text().lines().map(value).collect()
    }

    pub fn events(&self) -> Vec<Event> {
        self.text().lines().filter_map(Line::parse).map(|line| line.event).collect()
    }

    pub fn short(&self) -> ShortResult {
        let code = self.code.expect("an exit code");
        ShortResult::from_message(&self.message, code)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.message))
    }

    pub fn long(&self) -> Option<LongResult> {
        LongResult::from_log(&self.log, self.short().long_sha256.as_deref()?)
    }

    /// Asserts how it ended, and that whoever reads the log alone sees it too.
    pub fn ended_with(&self, code: i32, reason: Reason) -> ShortResult {
        assert_eq!(self.code, Some(code), "{}\n{}", self.text(), self.stderr);
        assert_eq!(self.stderr, "", "the runner has nothing to say on standard error");
        let short = self.short();
        assert_eq!(short.reason, reason, "{:?}", short.error);
        short
    }

    /// Asserts that it ended so, with an error that says this and without a verdict in either form.
    pub fn failed_with(&self, code: i32, reason: Reason, error: &str) {
        let short = self.ended_with(code, reason);
        let told = short.error.as_deref().unwrap_or_default();
        assert!(short.error.is_some() && told.contains(error), "no {error:?} in {:?}", short.error);
        assert_eq!((short.verdict, self.long()), (None, None), "{error:?}");
    }
}
