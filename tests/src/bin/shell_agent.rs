//! An agent without a model: its prompt is its script, so that a test says exactly what the agent does. It speaks the
//! protocol of the runner's engine `sdk`. A line that begins with `!` is a step; all others are ignored, so that any
//! prompt, also the default one for alerts, is a script that ends in `Inconclusive`.
//!
//! | step | what it does |
//! |---|---|
//! | `say TEXT`, `think TEXT` | a message, a thought |
//! | `run COMMAND` | runs it in a shell, with its output and exit code as events |
//! | `model COMMAND` | the same; if it fails, what it printed is the error of the model that it called, and the end |
//! | `usage JSON` | what was used so far, as the protocol has it |
//! | `print LINE` | the line as it is: something that is no event, or a forged one |
//! | `report TEXT`, `plan TEXT` | for the verdict; `\n` is a line end |
//! | `sleep SECONDS` | waits |
//! | `await NAME` | waits until there is a ConfigMap of that name in the pod's namespace |
//! | `attempt N STEP` | the step, if this is the run's N-th pod |
//! | `become COMMAND` | the shell takes the agent's place |
//! | `verdict VERDICT SUMMARY` | comes to a verdict and ends |
//! | `fail REASON TEXT` | ends with an error and the exit code that goes with the reason |
//! | `exit CODE` | ends, and says nothing |

use std::error::Error;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use punching_fist_protocol::{Event, Finish, Reason, State};
use serde_json::Value;

type Step<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let mut agent = Agent::default();
    match agent.work() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("the script: {error}");
            ExitCode::from(1)
        }
    }
}

/// What the script has said so far.
#[derive(Default)]
struct Agent {
    commands: usize,
    attempt: Option<usize>,
    report: Option<String>,
    plan: Option<String>,
}

impl Agent {
    fn work(&mut self) -> Step<ExitCode> {
        let script = std::fs::read_to_string(std::env::var("PUNCHING_FIST_PROMPT_FILE")?)?;
        tell(&Event::State { state: State::Running })?;
        for line in script.lines().filter_map(|line| line.trim().strip_prefix('!')) {
            if let Some(code) = self.step(line)? {
                return Ok(code);
            }
        }
        self.conclude("Inconclusive The script came to no verdict.")
    }

    /// One step; an exit code, if it is the last.
    fn step(&mut self, line: &str) -> Step<Option<ExitCode>> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "say" => tell(&Event::Message { text: rest.to_owned() })?,
            "think" => tell(&Event::Thought { text: rest.to_owned() })?,
            "run" => drop(self.run(rest)?),
            "model" => return self.model(rest),
            "usage" => tell(&Event::Usage(serde_json::from_str(rest)?))?,
            "print" => print_line(rest)?,
            "report" => self.report = Some(rest.replace("\\n", "\n")),
            "plan" => self.plan = Some(rest.replace("\\n", "\n")),
            "sleep" => sleep(Duration::from_secs_f64(rest.parse()?)),
            "await" => wait_for(rest)?,
            "attempt" => return self.in_attempt(rest),
            "become" => return Err(Command::new("sh").args(["-c", rest]).exec().into()),
            "verdict" => return self.conclude(rest).map(Some),
            "fail" => return fail(rest).map(Some),
            "exit" => return Ok(Some(ExitCode::from(rest.parse::<u8>()?))),
            _ => return Err(format!("unknown step {line:?}").into()),
        }
        Ok(None)
    }

    fn in_attempt(&mut self, rest: &str) -> Step<Option<ExitCode>> {
        let (number, step) = rest.split_once(' ').ok_or("attempt N STEP")?;
        if self.attempt()? == number.parse::<usize>()? { self.step(step) } else { Ok(None) }
    }

    /// The how-manieth pod of its Job this one is. A pod's name is its Job's and a suffix.
    fn attempt(&mut self) -> Step<usize> {
        if let Some(known) = self.attempt {
            return Ok(known);
        }
        let pod = std::env::var("HOSTNAME")?;
        let (job, _) = pod.rsplit_once('-').ok_or("HOSTNAME is no pod's name")?;
        let selector = format!("--selector=batch.kubernetes.io/job-name={job}");
        let pods = kubectl(&["get", "pods", "--output=name", &selector])?;
        Ok(*self.attempt.insert(pods.lines().count()))
    }

    /// A call of the model, after which an engine ends if it is refused.
    fn model(&mut self, command: &str) -> Step<Option<ExitCode>> {
        let output = self.run(command)?;
        if output.status.success() {
            return Ok(None);
        }
        fail(&format!("{} {}", Reason::ProviderFault.as_str(), text(&output))).map(Some)
    }

    fn run(&mut self, command: &str) -> Step<Output> {
        self.commands += 1;
        let id = self.commands.to_string();
        tell(&Event::Command { id: id.clone(), command: command.to_owned() })?;
        let script = format!("exec 2>&1\n{command}");
        let output = Command::new("sh").args(["-c", &script]).stdin(Stdio::null()).output()?;
        tell(&Event::Output { id, exit_code: output.status.code(), text: text(&output) })?;
        Ok(output)
    }

    fn conclude(&mut self, rest: &str) -> Step<ExitCode> {
        let (verdict, summary) = rest.split_once(' ').unwrap_or((rest, ""));
        tell(&Event::Finish(Finish {
            verdict: serde_json::from_value(Value::from(verdict))?,
            summary: summary.to_owned(),
            confidence: None,
            report: self.report.take(),
            plan: self.plan.take(),
        }))?;
        tell(&Event::State { state: State::Finished })?;
        Ok(ExitCode::SUCCESS)
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fail(rest: &str) -> Step<ExitCode> {
    let (reason, text) = rest.split_once(' ').unwrap_or((rest, ""));
    let reason = Reason::from(reason.to_owned());
    tell(&Event::Error { reason: Some(reason), code: None, text: text.to_owned() })?;
    tell(&Event::State { state: State::Error })?;
    Ok(ExitCode::from(u8::try_from(reason.exit_code().as_i32())?))
}

fn wait_for(name: &str) -> Step<()> {
    kubectl(&["wait", "--for=create", "--timeout=300s", &format!("configmap/{name}")]).map(drop)
}

/// kubectl with the rights of the pod's ServiceAccount, in its namespace.
fn kubectl(arguments: &[&str]) -> Step<String> {
    let output = Command::new("kubectl").args(arguments).stdin(Stdio::null()).output()?;
    if !output.status.success() {
        return Err(format!("kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn tell(event: &Event) -> Step<()> {
    print_line(&serde_json::to_string(event)?)
}

fn print_line(line: &str) -> Step<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
