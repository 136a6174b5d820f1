//! What the generations of OpenHands have in common: how patient they are with the model, how they say what happened and
//! name their errors, and how skills are laid out.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use punching_fist_protocol::{Event, Reason};
use serde_json::Value;

use crate::skills::{Document, Skills};

/// A number that a profile may set by a variable, and what it is if it doesn't.
pub type Number = (&'static str, u32);

/// A gateway or provider that is away for five minutes costs a run time, not its life: with a multiplier of eight these
/// wait 344 seconds.
pub const RETRIES: Number = ("LLM_NUM_RETRIES", 13);
/// Seconds before the first retry.
pub const RETRY_MIN_WAIT: Number = ("LLM_RETRY_MIN_WAIT", 8);
/// Seconds before a later one, at most.
pub const RETRY_MAX_WAIT: Number = ("LLM_RETRY_MAX_WAIT", 32);
/// How the wait grows.
pub const RETRY_MULTIPLIER: Number = ("LLM_RETRY_MULTIPLIER", 8);
/// Seconds that an answer may take: a provider can hang half way through it.
pub const TIMEOUT: Number = ("LLM_TIMEOUT", 300);

/// How long a call's retries are borne since its first fault, in seconds: as the engine `sdk` has it,
/// `PATIENCE_SECONDS` in `agent/punching_fist_agent/model.py`.
const PATIENCE: u32 = 330;

/// How long the model may keep `cli` and `main` waiting. They bear a provider that takes every call and answers none for
/// [`TIMEOUT`] at each of many attempts: the time limit would come first, and hide whose fault it was. A first attempt, the
/// patience, and an attempt that began within it have their time.
pub fn most_silence() -> Duration {
    let [retries, wait, timeout] = [RETRIES, RETRY_MAX_WAIT, TIMEOUT].map(number);
    let patience = PATIENCE.min(retries.saturating_mul(wait));
    Duration::from_secs(2 * u64::from(timeout) + u64::from(patience))
}

/// Variables that the profile may have set already: what it says stays.
pub fn unless_set(defaults: &[(&str, &str)]) -> Vec<(OsString, OsString)> {
    let missing = defaults.iter().filter(|(name, _)| std::env::var_os(name).is_none());
    missing.map(|(name, value)| (name.into(), value.into())).collect()
}

/// What a variable of the profile says, where it is of that kind.
pub fn set<T: FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok()?.trim().parse().ok()
}

/// What the profile says, or the default.
pub fn number((name, default): Number) -> u32 {
    set(name).unwrap_or(default)
}

/// A text; empty where none stands.
pub fn string(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// How a command has ended; none where that isn't known. -1: it goes on in the background.
pub fn exit_code(value: &Value) -> Option<i32> {
    value.as_i64().filter(|code| *code != -1).and_then(|code| i32::try_from(code).ok())
}

/// What was charged, in US dollars. No price is known where that is nothing.
pub fn cost(dollars: f64) -> Option<String> {
    (dollars > 0.0).then(|| format!("{dollars:.6}"))
}

/// A tool that couldn't do what the agent wanted: nothing that ends the run.
pub fn tool_error(text: String) -> Event {
    Event::Error { reason: None, code: Some("ToolCallRefused".to_owned()), text }
}

/// Which end of a run an error is: by the name of its class, which is its code or what its text begins with.
pub fn reason(class: &str) -> Reason {
    match class.strip_prefix("LLM").unwrap_or(class) {
        "AuthenticationError" | "PermissionDeniedError" => Reason::CredentialsRefused,
        "BadRequestError" | "NotFoundError" | "UnprocessableEntityError" => Reason::ConfigurationRefused,
        "MaxIterationsReached" => Reason::IterationLimit,
        "MaxBudgetReached" => Reason::BudgetExceeded,
        "AgentStuckInLoopError" => Reason::Stuck,
        "APIError"
        | "APIConnectionError"
        | "APITimeoutError"
        | "InternalServerError"
        | "NoResponseError"
        | "RateLimitError"
        | "ServiceUnavailableError"
        | "Timeout"
        | "TimeoutError" => Reason::ProviderFault,
        _ => Reason::AgentFault,
    }
}

/// The instructions of all skills as one text; none if there are none.
pub fn instructions(skills: &Skills) -> Option<String> {
    let texts: Vec<&str> = skills.instructions.iter().map(|document| document.text.trim()).collect();
    (!texts.is_empty()).then(|| texts.join("\n\n") + "\n")
}

/// Longest name of a skill that is made here; 64 characters are the most that the engine takes.
const SKILL_NAME: usize = 56;

/// The documents as skills: the name of each one's directory, and its text. A name is of lower case letters, digits and
/// single dashes, and the skill has to say the same one: the engine leaves any other out and tells nobody.
pub fn skills(documents: &[Document]) -> Vec<(String, String)> {
    let mut skills: Vec<(String, String)> = Vec::new();
    for document in documents {
        let mut name = skill_name(&document.name);
        if skills.iter().any(|(taken, _)| *taken == name) {
            name = format!("{name}-{}", skills.len());
        }
        let text = skill(document, &name);
        skills.push((name, text));
    }
    skills
}

fn skill_name(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    let words: Vec<&str> =
        lower.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let joined = words.join("-");
    joined[..joined.len().min(SKILL_NAME)].trim_end_matches('-').to_owned()
}

/// What a skill says of itself stays, but for its name; one that says nothing is about its first line.
fn skill(document: &Document, name: &str) -> String {
    if let Some((head, rest)) =
        document.text.strip_prefix("---\n").and_then(|text| text.split_once("\n---\n"))
    {
        let kept = head.lines().filter(|line| !line.starts_with("name:"));
        let head: Vec<&str> = kept.collect();
        return format!("---\nname: \"{name}\"\n{}\n---\n{rest}", head.join("\n"));
    }
    let first =
        document.text.lines().map(|line| line.trim_start_matches('#').trim()).find(|line| !line.is_empty());
    // A string of JSON is one of YAML too.
    let about = Value::from(first.unwrap_or(&document.name)).to_string();
    format!("---\nname: \"{name}\"\ndescription: {about}\n---\n{}", document.text)
}

/// Its name makes Python run it before anything else. The agent has the engine's uid, and could open its descriptors,
/// where its events come from, through /proc: not of a process that isn't dumpable. What the engine starts doesn't get it.
const SHIELD: &str = "\
import ctypes, os, sys
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
here = os.path.dirname(os.path.abspath(__file__))
rest = [path for path in os.environ.pop('PYTHONPATH', '').split(':') if path and path != here]
if rest:
    os.environ['PYTHONPATH'] = ':'.join(rest)
sys.path[:] = [path for path in sys.path if path != here]
";

fn shield_directory(state_directory: &Path) -> PathBuf {
    state_directory.join("python")
}

/// What keeps the agent's shell away from the engine's descriptors and memory: a file.
pub fn shield(state_directory: &Path) -> (PathBuf, String) {
    (shield_directory(state_directory).join("sitecustomize.py"), SHIELD.to_owned())
}

/// The variable by which Python finds it, before what is there already.
pub fn shield_path(state_directory: &Path) -> (OsString, OsString) {
    let mut path = shield_directory(state_directory).into_os_string();
    if let Some(rest) = std::env::var_os("PYTHONPATH") {
        path.push(":");
        path.push(rest);
    }
    ("PYTHONPATH".into(), path)
}

/// Where the prompt stands that the engine is started with.
pub fn prompt_file(state_directory: &Path) -> PathBuf {
    state_directory.join("task.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document { name: "runbooks-disk".to_owned(), path: PathBuf::new(), text: text.to_owned() }
    }

    #[test]
    fn python_shields_itself_and_nothing_that_it_starts() {
        let directory = tempfile::tempdir().expect("a directory");
        let (file, text) = shield(directory.path());
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("our own directory");
        std::fs::write(file, text).expect("our own directory");
        let (name, path) = shield_path(directory.path());
        let script = "import ctypes, os, sys\n\
            print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), os.environ.get('PYTHONPATH'), len(sys.argv))";
        for (more, left) in [("", "None"), (":/elsewhere", "/elsewhere")] {
            let mut path = path.clone();
            path.push(more);
            let output = std::process::Command::new("python3").args(["-c", script]).env(&name, path).output();
            let output = String::from_utf8(output.expect("python3").stdout).expect("Unicode");
            assert_eq!(output, format!("0 {left} 1\n"));
        }
    }

    #[test]
    fn a_model_that_hangs_is_found_out_within_an_attempt_and_one_that_is_away_is_borne() {
        let silence = most_silence().as_secs();
        // The default of `timeoutSeconds`; five minutes away, and then an answer that takes as long as one may.
        assert!(silence < 1800 - u64::from(number(TIMEOUT)), "{silence}");
        assert!(silence > 300 + u64::from(number(TIMEOUT)), "{silence}");
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../agent/punching_fist_agent/model.py");
        let python = std::fs::read_to_string(path).expect("the engine `sdk`");
        assert!(python.contains(&format!("\nPATIENCE_SECONDS = {PATIENCE}\n")), "the same for every engine");
    }

    #[test]
    fn errors_have_their_reasons() {
        for (class, expected) in [
            ("AuthenticationError", Reason::CredentialsRefused),
            ("LLMAuthenticationError", Reason::CredentialsRefused),
            ("LLMBadRequestError", Reason::ConfigurationRefused),
            ("LLMRateLimitError", Reason::ProviderFault),
            ("Timeout", Reason::ProviderFault),
            ("MaxIterationsReached", Reason::IterationLimit),
            ("ValueError", Reason::AgentFault),
            ("", Reason::AgentFault),
        ] {
            assert_eq!(reason(class), expected, "{class}");
        }
    }

    #[test]
    fn a_document_says_what_it_is_about() {
        let plain = skill(&document("\n# When a \"disk\" is full\nRun df.\n"), "runbooks-disk");
        assert!(
            plain.starts_with(
                "---\nname: \"runbooks-disk\"\ndescription: \"When a \\\"disk\\\" is full\"\n---\n"
            ),
            "{plain}"
        );
        let own = skill(&document("---\nname: disk\ntriggers: [disk]\n---\nRun df.\n"), "runbooks-disk");
        assert_eq!(own, "---\nname: \"runbooks-disk\"\ntriggers: [disk]\n---\nRun df.\n");
    }

    #[test]
    fn a_skill_has_a_name_that_the_engine_takes_and_no_other_has() {
        let long = "a-".repeat(40);
        let names = ["Run.Books-DISK_Full", "run-books-disk-full", "..x..", &long];
        let documents = names.map(|name| Document { name: name.to_owned(), ..document("Run df.") });
        let skills = skills(&documents);
        let names: Vec<&str> = skills.iter().map(|(name, _)| name.as_str()).collect();
        let cut = "a-".repeat(28);
        assert_eq!(names, ["run-books-disk-full", "run-books-disk-full-1", "x", cut.trim_end_matches('-')]);
    }

    #[test]
    fn instructions_are_one_text() {
        assert_eq!(instructions(&Skills::default()), None);
        let skills = Skills { instructions: vec![document("One.\n"), document("Two.")], ..Skills::default() };
        assert_eq!(instructions(&skills).as_deref(), Some("One.\n\nTwo.\n"));
    }
}
