//! The engine `command`: any program that writes its conclusion to the file `$PUNCHING_FIST_RESULT`.

use std::io;
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use punching_fist_protocol::pod::variables::RESULT;
use punching_fist_protocol::{Event, Finish, State};

use super::{Engine, ExitCodes, Launch, Reader, Reading, protocol_lines, untrusted};
use crate::judge::{Fault, ProcessEnd};
use crate::settings;
use crate::task::Task;

/// A conclusion that takes more bytes is none: what is kept of it is a hundredth.
const RESULT_MAX: u64 = 10_000_000;

/// The program that the profile names.
pub struct Command;

impl Engine for Command {
    fn launch(&self, task: &Task) -> Result<Launch, Fault> {
        let (program, arguments) =
            task.command.split_first().ok_or_else(|| Fault::refused(settings::no_command()))?;
        Ok(Launch {
            program: program.into(),
            arguments: arguments.iter().map(Into::into).collect(),
            set: vec![(RESULT.into(), result_file(task).into())],
            directories: vec![task.state_directory.clone()],
            ..Launch::default()
        })
    }

    fn reader(&self, task: &Task) -> Box<dyn Reader> {
        Box::new(ResultFile { path: result_file(task) })
    }

    fn exit_codes(&self) -> ExitCodes {
        ExitCodes::Plain
    }

    fn stop_signal(&self) -> Signal {
        Signal::SIGTERM
    }

    fn needs_model(&self) -> bool {
        false
    }
}

fn result_file(task: &Task) -> PathBuf {
    task.state_directory.join("result.json")
}

struct ResultFile {
    path: PathBuf,
}

impl Reader for ResultFile {
    fn line(&mut self, line: &str) -> Option<Vec<Reading>> {
        match protocol_lines::read(line)? {
            // The file alone says what the program concludes, and its end when it is done.
            Reading::Event(Event::Finish(_)) | Reading::UnreadableFinish(_) => None,
            reading => Some(vec![reading]),
        }
    }

    fn at_end(&mut self, end: ProcessEnd) -> Vec<Reading> {
        match conclusion(&self.path) {
            Ok(None) => Vec::new(),
            Ok(Some(finish)) if end == ProcessEnd::Exited(0) => {
                vec![
                    Reading::Event(Event::Finish(finish)),
                    Reading::Event(Event::State { state: State::Finished }),
                ]
            }
            Ok(Some(finish)) => vec![Reading::Event(Event::Finish(finish))],
            Err(problem) => vec![Reading::UnreadableFinish(format!("{RESULT}: {problem}"))],
        }
    }
}

/// What the file says; none if there is no file.
fn conclusion(path: &Path) -> Result<Option<Finish>, String> {
    let text = match untrusted::read(path, RESULT_MAX) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text.map_err(|error| error.to_string())?,
    };
    // A stray byte or a mark at the beginning, as some editors write it, is no reason to lose a conclusion.
    let text = String::from_utf8_lossy(&text);
    let text = text.trim_start_matches('\u{feff}');
    serde_json::from_str(text).map(Some).map_err(|error| format!("the file is no conclusion: {error}"))
}
