//! One run of an engine: in process and mount namespaces of its own, where it finds its own processes and its own
//! directory alone to look for keys in.

use std::error::Error;
use std::fs;
use std::io;
use std::process::Stdio;
use std::time::{Duration, Instant};

use punching_fist_testkit::python::Environment;
use punching_fist_testkit::scripted_model::ScriptedModel;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::cases::{Case, End};
use super::engine::{Engine, INSIDE};

/// Process 1 of the namespace, as the runner is in a pod. It takes names of signals on its standard input. The engine
/// gets a pipe for its output: what an agent writes into that through /proc is to be seen. It alone gets the environment:
/// a key in that of process 1 would be found.
const INIT: &str = r#"
mount --bind "$0" "$1"
cd "$1/workspace"
out=$1/out
mkfifo "$out/stdout.pipe" "$out/stderr.pipe"
cat < "$out/stdout.pipe" > "$out/stdout" &
cat < "$out/stderr.pipe" > "$out/stderr" &
exec 3<&0
shift
(
    . "$out/environment"
    rm "$out/environment"
    exec setsid env --default-signal "$@" > "$out/stdout.pipe" 2> "$out/stderr.pipe" < /dev/null
) &
engine=$!
while read -r signal <&3; do kill -s "$signal" -- "-$engine"; done &
code=0
wait "$engine" || code=$?
# What the engine has printed goes through the pipes.
sleep 0.5
echo "$code" > "$out/exit"
"#;
/// How long a call of the model is left alone until its answer has surely come to the engine.
const SETTLE: Duration = Duration::from_secs(2);
/// What an engine may take to end when it is asked to.
const TO_STOP: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// What a run left behind.
pub struct Ran {
    /// The run's directory.
    pub directory: TempDir,
    /// The exit code, or `killed`.
    pub exit: String,
    /// How long it took.
    pub took: Duration,
}

/// Runs the engine to the end that the case asks for.
pub async fn run(
    engine: Engine,
    case: &Case,
    environment: &Environment,
    model: &ScriptedModel,
) -> Result<Ran, Box<dyn Error>> {
    let directory = tempfile::Builder::new().prefix("punching-fist-agents-").tempdir()?;
    engine.prepare(directory.path())?;
    let started = Instant::now();
    let mut command = enter();
    command.arg(directory.path()).arg(INSIDE).args(engine.command(environment));
    let variables = engine.variables(environment, &model.url);
    let exports = variables.iter().map(|(name, value)| format!("export {name}='{value}'\n"));
    fs::write(directory.path().join("out/environment"), exports.collect::<String>())?;
    command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin");
    // What an agent writes to the output of process 1 is for nobody.
    command.stdout(Stdio::null());
    let mut child = command.stdin(Stdio::piped()).kill_on_drop(true).spawn()?;
    end(&mut child, engine, case.end, model).await?;
    // Whoever is left ends with process 1.
    child
        .start_kill()
        .or_else(|error| if error.kind() == io::ErrorKind::InvalidInput { Ok(()) } else { Err(error) })?;
    child.wait().await?;
    let exit = fs::read_to_string(directory.path().join("out/exit"));
    let exit = exit.map_or_else(|_| "killed".to_owned(), |code| code.trim().to_owned());
    Ok(Ran { directory, exit, took: started.elapsed() })
}

fn enter() -> Command {
    let mut command = Command::new("/usr/bin/unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    command.args(["--", "sh", "-ec", INIT]);
    command
}

async fn end(child: &mut Child, engine: Engine, end: End, model: &ScriptedModel) -> io::Result<()> {
    let patience = match end {
        End::Itself(patience) => patience,
        End::Stopped { calls } => {
            after(calls, model, child).await?;
            let mut signals =
                child.stdin.take().ok_or_else(|| io::Error::other("the sandbox takes no signals"))?;
            signals.write_all(engine.stop_signal().as_bytes()).await?;
            TO_STOP
        }
        End::Killed { calls } => {
            after(calls, model, child).await?;
            return Ok(());
        }
    };
    match timeout(patience, child.wait()).await {
        Ok(ended) => ended.map(drop),
        Err(_) => Ok(()),
    }
}

/// Waits until the model has been called so often and everything before that call is written, or the engine has ended.
async fn after(calls: usize, model: &ScriptedModel, child: &mut Child) -> io::Result<()> {
    while model.requests().len() < calls {
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        sleep(POLL).await;
    }
    sleep(SETTLE).await;
    Ok(())
}
