//! The engine `sdk`: our own Python around the OpenHands SDK. It speaks the protocol's events itself.

use super::{Engine, ExitCodes, Launch, Reader, Reading, protocol_lines};
use crate::judge::Fault;
use crate::task::Task;

/// `punching-fist-agent`, from the folder `agent/` of this repository.
pub struct Sdk;

impl Engine for Sdk {
    fn launch(&self, _: &Task) -> Result<Launch, Fault> {
        Ok(Launch { program: "punching-fist-agent".into(), ..Launch::default() })
    }

    fn reader(&self, _: &Task) -> Box<dyn Reader> {
        Box::new(Lines)
    }

    fn exit_codes(&self) -> ExitCodes {
        ExitCodes::Ours
    }
}

struct Lines;

impl Reader for Lines {
    fn line(&mut self, line: &str) -> Option<Vec<Reading>> {
        protocol_lines::read(line).map(|reading| vec![reading])
    }
}
